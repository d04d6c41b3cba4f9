#include "common/base/id.h"
#include "common/json/scan.h"
#include "common/json/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

enum { OUT_MAX = 1 << 16 };

static void expect(struct str *out, const char *text)
{
    struct err err = {0};
    assert_true(str_check(out, "test", &err));
    assert_string_equal(out->data, text);
    assert_true(json_scan(str_view(out), NULL, NULL, &err));
    str_free(out);
}

static void commas_stand_between_values(void **state)
{
    (void)state;
    struct str out = STR_INIT(OUT_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_begin_array(&writer, "empty");
    json_end_array(&writer);
    json_begin_array(&writer, "items");
    json_int(&writer, NULL, INT64_MIN);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "yes", true);
    json_bool(&writer, "no", false);
    json_end_object(&writer);
    json_null(&writer, NULL);
    json_end_array(&writer);
    json_raw(&writer, "raw", VIEW("[1]"));
    json_raw(&writer, "nothing", (struct view){0});
    json_string_or_null(&writer, "a", "");
    json_string_or_null(&writer, "b", NULL);
    json_string_or_null(&writer, "c", "x");
    json_end_object(&writer);
    expect(&out, "{\"empty\":[],\"items\":[-9223372036854775808,{\"yes\":true,\"no\":false},null],"
                 "\"raw\":[1],\"nothing\":null,\"a\":null,\"b\":null,\"c\":\"x\"}");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view value;
        const char *text;
    } cases[] = {
        {"empty", {NULL, 0}, "\"\""},
        {"plain", VIEW("plain text, longer than a word"), "\"plain text, longer than a word\""},
        {"quotes", VIEW("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
        {"short escapes", VIEW("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {"control bytes", VIEW("\x01\x1f\x7f"), "\"\\u0001\\u001f\x7f\""},
        {"NUL", VIEW("a\0b"), "\"a\\u0000b\""},
        {"UTF-8", VIEW("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
         "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"not UTF-8",
         VIEW("a\xff"
              "b\xe2\x82"
              "c\xed\xa0\x80"),
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd"
         "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"cut at the end", VIEW("\xf0\x9f\x98"), "\"\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str out = STR_INIT(OUT_MAX);
        struct json_writer writer = json_writer_on(&out);
        print_message("%s\n", cases[i].name);
        json_string(&writer, NULL, cases[i].value);
        expect(&out, cases[i].text);
    }
}

static void a_beginning_fits_as_it_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view value;
        size_t room;
        size_t len;
        size_t left;
    } cases[] = {
        {"empty", VIEW(""), 3, 0, 3},
        {"all of it", VIEW("abc"), 3, 3, 0},
        {"room is left", VIEW("abc"), 5, 3, 2},
        {"plain, cut", VIEW("abcd"), 3, 3, 0},
        {"a character is not cut", VIEW("a\xc3\xa9"), 2, 1, 1},
        {"short escape", VIEW("a\nb"), 3, 2, 0},
        {"no room for a short escape", VIEW("a\nb"), 2, 1, 1},
        {"long escape", VIEW("\x01\x01"), 11, 1, 5},
        {"not UTF-8", VIEW("\xff\xff"), 5, 1, 2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t room = cases[i].room;
        print_message("%s\n", cases[i].name);
        struct view beginning = json_string_cut(cases[i].value, &room);
        assert_ptr_equal(beginning.ptr, cases[i].value.ptr);
        assert_int_equal(beginning.len, cases[i].len);
        assert_int_equal(room, cases[i].left);
    }
}

static void names_from_outside_are_escaped(void **state)
{
    (void)state;
    struct str out = STR_INIT(OUT_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_pair(&writer, VIEW("a\"b"), VIEW("1"));
    json_pair(&writer, VIEW(""), VIEW("2"));
    json_end_object(&writer);
    expect(&out, "{\"a\\\"b\":\"1\",\"\":\"2\"}");
}

static void bytes_are_written_in_base64(void **state)
{
    (void)state;
    struct str out = STR_INIT(OUT_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_array(&writer, NULL);
    json_base64(&writer, NULL, (struct view){NULL, 0});
    json_base64(&writer, NULL, VIEW("\xff\xfe\xfd\0"));
    json_end_array(&writer);
    expect(&out, "[\"\",\"//79AA==\"]");
}

static void a_ceiling_is_remembered(void **state)
{
    (void)state;
    struct str out = STR_INIT(16);
    struct json_writer writer = json_writer_on(&out);
    struct err err = {0};
    json_string(&writer, NULL, VIEW("seventeen letters"));
    json_base64(&writer, NULL, VIEW("more"));
    assert_false(str_check(&out, "test", &err));
    str_free(&out);
}

struct inner {
    int64_t depth;
};
struct sample {
    struct view name;
    struct view needed;
    struct view maybe;
    bool has_maybe;
    char id[ID_SIZE];
    int64_t count;
    int64_t rare;
    bool has_rare;
    bool flag;
    struct json_strings list;
    struct json_strings needed_list;
    struct json_pairs map;
    struct view object;
    struct inner inner;
};
static const struct json_field inner_fields[] = {JSON_INT(struct inner, depth, "depth")};
static const struct json_field fields[] = {
    JSON_STRING(struct sample, name, "name"),
    JSON_STRING(struct sample, needed, "needed", .required = true),
    JSON_STRING(struct sample, maybe, "maybe", .allow_nul = true,
                JSON_PRESENT(struct sample, has_maybe)),
    JSON_ID(struct sample, id, "id"),
    JSON_INT(struct sample, count, "count"),
    JSON_INT(struct sample, rare, "rare", JSON_PRESENT(struct sample, has_rare)),
    JSON_BOOL(struct sample, flag, "flag"),
    JSON_STRINGS(struct sample, list, "list"),
    JSON_STRINGS(struct sample, needed_list, "neededList", .required = true),
    JSON_PAIRS(struct sample, map, "map"),
    JSON_OBJECT(struct sample, object, "object"),
    JSON_STRUCT(struct sample, inner, "inner", inner_fields),
};
static const struct json_schema schema = {fields, COUNT_OF(fields), true};

static void write_sample(struct str *out, const struct sample *sample)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &schema, sample);
    json_end_object(&writer);
}

static void absent_fields_of_a_struct_are_left_out(void **state)
{
    (void)state;
    struct str out = STR_INIT(OUT_MAX);
    const struct sample sample = {0};
    write_sample(&out, &sample);
    expect(&out, "{\"needed\":\"\",\"count\":0,\"flag\":false,\"neededList\":[],"
                 "\"inner\":{\"depth\":0}}");
}

static void a_struct_reads_back_as_it_was_written(void **state)
{
    (void)state;
    static const struct view items[] = {VIEW("a"), VIEW("\n")};
    static const struct json_pair pairs[] = {{VIEW("k\""), VIEW("v")}};
    const struct sample sample = {
        .name = VIEW("n"),
        .needed = VIEW("x"),
        .maybe = VIEW("\0"),
        .has_maybe = true,
        .id = "9f1b2c3d-0000-4000-8000-abcdefabcdef",
        .count = -5,
        .rare = 0,
        .has_rare = true,
        .flag = true,
        .list = {items, COUNT_OF(items)},
        .map = {pairs, COUNT_OF(pairs)},
        .object = VIEW("{\"o\":[1]}"),
        .inner = {.depth = 9},
    };
    struct str first = STR_INIT(OUT_MAX);
    struct str second = STR_INIT(OUT_MAX);
    struct sample again;
    struct err err = {0};
    write_sample(&first, &sample);
    struct json_doc *doc = json_read(str_view(&first), &schema, &again, NULL, &err);
    assert_non_null(doc);
    assert_true(again.has_rare);
    assert_int_equal(again.maybe.len, 1);
    write_sample(&second, &again);
    assert_string_equal(first.data, second.data);
    json_doc_free(doc);
    str_free(&second);
    expect(&first, "{\"name\":\"n\",\"needed\":\"x\",\"maybe\":\"\\u0000\","
                   "\"id\":\"9f1b2c3d-0000-4000-8000-abcdefabcdef\",\"count\":-5,\"rare\":0,"
                   "\"flag\":true,\"list\":[\"a\",\"\\n\"],\"neededList\":[],"
                   "\"map\":{\"k\\\"\":\"v\"},\"object\":{\"o\":[1]},\"inner\":{\"depth\":9}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_values),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(a_beginning_fits_as_it_is_written),
        cmocka_unit_test(names_from_outside_are_escaped),
        cmocka_unit_test(bytes_are_written_in_base64),
        cmocka_unit_test(a_ceiling_is_remembered),
        cmocka_unit_test(absent_fields_of_a_struct_are_left_out),
        cmocka_unit_test(a_struct_reads_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
