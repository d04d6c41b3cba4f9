#include "common/base/id.h"
#include "common/base/str.h"
#include "common/json/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define UUID "9F1b2c3d-0000-4000-8000-abcdefABCDEF"

struct inner {
    int64_t depth;
    struct view label;
};
struct sample {
    struct view name;
    struct view text; /* may hold NUL */
    bool has_text;
    char id[ID_SIZE];
    int64_t count;
    int64_t port;
    bool flag;
    bool has_flag;
    struct json_strings list;
    struct json_pairs map;
    struct view object;
    struct view array;
    struct view color;
    struct view even;
    struct inner inner;
    bool name_is_null;
};

static bool has_even_length(struct view value, const char **problem)
{
    *problem = "must have an even length";
    return value.len % 2 == 0;
}

static const char *const colors[] = {"red", "green", NULL};
static const struct json_field inner_fields[] = {
    JSON_INT(struct inner, depth, "depth", .required = true),
    JSON_STRING(struct inner, label, "label", .not_empty = true),
};
static const struct json_field fields[] = {
    JSON_STRING(struct sample, name, "name", .max_len = 8, .nullable = true,
                JSON_IS_NULL(struct sample, name_is_null)),
    JSON_STRING(struct sample, text, "text", .allow_nul = true,
                JSON_PRESENT(struct sample, has_text)),
    JSON_ID(struct sample, id, "id"),
    JSON_INT(struct sample, count, "count", .fallback = 42),
    JSON_INT(struct sample, port, "port", .min = 1, .max = 65535),
    JSON_BOOL(struct sample, flag, "flag", .fallback = true, JSON_PRESENT(struct sample, has_flag)),
    JSON_STRINGS(struct sample, list, "list", .max_len = 3, .item_max = 4),
    JSON_PAIRS(struct sample, map, "map", .max_len = 2, .item_max = 4, .check = has_even_length),
    JSON_OBJECT(struct sample, object, "object", .max_len = 24),
    JSON_ARRAY(struct sample, array, "array"),
    JSON_STRING(struct sample, color, "color", .one_of = colors),
    JSON_STRING(struct sample, even, "even", .check = has_even_length),
    JSON_STRUCT(struct sample, inner, "inner", inner_fields),
};
static const struct json_schema lenient = {fields, COUNT_OF(fields), false};
static const struct json_schema strict = {fields, COUNT_OF(fields), true};

static void expect_view(struct view view, struct view expected)
{
    assert_int_equal(view.len, expected.len);
    if (expected.len > 0) {
        assert_memory_equal(view.ptr, expected.ptr, expected.len);
    }
}

static struct json_doc *read_valid(struct view text, struct sample *out)
{
    struct err err = {0};
    struct json_violations violations;
    struct json_doc *doc = json_read(text, &strict, out, &violations, &err);
    if (doc == NULL) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(violations.count, 0);
    assert_int_equal(err.code, ERR_NONE);
    return doc;
}

static void every_kind_is_read(void **state)
{
    (void)state;
    struct sample sample;
    struct json_doc *doc =
        read_valid(VIEW("{\"name\":\"n\\u00e9\",\"text\":\"\",\"id\":\"" UUID "\",\"count\":-7,"
                        "\"port\":8080,\"flag\":false,\"list\":[\"a\",\"\"],"
                        "\"map\":{\"ke\":\"v\"},\"object\": {\"x\" : [1]} ,\"array\":[1,{}],"
                        "\"color\":\"green\",\"even\":\"ab\","
                        "\"inner\":{\"depth\":1,\"label\":\"deep\"}}"),
                   &sample);
    expect_view(sample.name, VIEW("n\xc3\xa9"));
    assert_true(sample.has_text);
    expect_view(sample.text, VIEW(""));
    assert_string_equal(sample.id, "9f1b2c3d-0000-4000-8000-abcdefabcdef");
    assert_int_equal(sample.count, -7);
    assert_int_equal(sample.port, 8080);
    assert_false(sample.flag);
    assert_true(sample.has_flag);
    assert_int_equal(sample.list.count, 2);
    expect_view(sample.list.items[0], VIEW("a"));
    expect_view(sample.list.items[1], VIEW(""));
    assert_int_equal(sample.map.count, 1);
    expect_view(sample.map.items[0].name, VIEW("ke"));
    expect_view(sample.map.items[0].value, VIEW("v"));
    expect_view(sample.object, VIEW("{\"x\" : [1]}"));
    expect_view(sample.array, VIEW("[1,{}]"));
    expect_view(sample.color, VIEW("green"));
    assert_int_equal(sample.inner.depth, 1);
    expect_view(sample.inner.label, VIEW("deep"));
    json_doc_free(doc);
}

static void absent_fields_are_zero_or_their_fallback(void **state)
{
    (void)state;
    struct sample sample;
    memset(&sample, 0x5a, sizeof sample);
    struct json_doc *doc = read_valid(VIEW("{}"), &sample);
    assert_int_equal(sample.name.len, 0);
    assert_false(sample.has_text);
    assert_string_equal(sample.id, "");
    assert_int_equal(sample.count, 42);
    assert_int_equal(sample.port, 0);
    assert_true(sample.flag);
    assert_false(sample.has_flag);
    assert_int_equal(sample.list.count, 0);
    assert_int_equal(sample.map.count, 0);
    assert_int_equal(sample.object.len, 0);
    assert_int_equal(sample.inner.depth, 0);
    json_doc_free(doc);
}

static void null_is_absent_where_it_may_be(void **state)
{
    (void)state;
    struct sample sample;
    struct json_doc *doc = read_valid(VIEW("{\"name\":null}"), &sample);
    assert_int_equal(sample.name.len, 0);
    assert_true(sample.name_is_null);
    json_doc_free(doc);
    json_doc_free(read_valid(VIEW("{\"name\":\"\"}"), &sample));
    assert_false(sample.name_is_null);
    json_doc_free(read_valid(VIEW("{}"), &sample));
    assert_false(sample.name_is_null);
}

static void escapes_are_resolved(void **state)
{
    (void)state;
    struct sample sample;
    struct json_doc *doc = read_valid(
        VIEW("{\"t\\u0065xt\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\ud83d\\ude00\\u20ac\"}"), &sample);
    expect_view(sample.text, VIEW("\"\\/\b\f\n\r\t\xf0\x9f\x98\x80\xe2\x82\xac"));
    json_doc_free(doc);
}

static void nul_is_kept_where_it_is_allowed(void **state)
{
    (void)state;
    struct sample sample;
    struct json_doc *doc =
        read_valid(VIEW("{\"text\":\"\\u0000a\\\\u0000\\u0000\\u0000\\n\xc3\x80\"}"), &sample);
    expect_view(sample.text, VIEW("\0a\\u0000\0\0\n\xc3\x80"));
    json_doc_free(doc);
}

static void nested_text_keeps_its_nul_escape(void **state)
{
    (void)state;
    struct sample sample;
    struct json_doc *doc = read_valid(VIEW("{\"object\":{\"a\":\"\\u0000\"}}"), &sample);
    expect_view(sample.object, VIEW("{\"a\":\"\\u0000\"}"));
    json_doc_free(doc);
}

static void the_document_outlives_the_text(void **state)
{
    (void)state;
    struct sample sample;
    struct str text = STR_INIT(1024);
    str_append_string(&text, "{\"name\":\"kept\",\"object\":{\"k\":1},\"list\":[\"one\"]}");
    struct json_doc *doc = read_valid(str_view(&text), &sample);
    memset(text.data, 'x', text.len);
    expect_view(sample.name, VIEW("kept"));
    expect_view(sample.object, VIEW("{\"k\":1}"));
    expect_view(sample.list.items[0], VIEW("one"));
    str_free(&text);
    json_doc_free(doc);
}

static void whole_numbers_up_to_2_to_the_53_are_exact(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        int64_t value;
    } cases[] = {
        {VIEW("{\"count\":0}"), 0},
        {VIEW("{\"count\":-0}"), 0},
        {VIEW("{\"count\":9007199254740992}"), 9007199254740992},
        {VIEW("{\"count\":9007199254740991}"), 9007199254740991},
        {VIEW("{\"count\":-9007199254740992}"), -9007199254740992},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sample sample;
        struct json_doc *doc = read_valid(cases[i].text, &sample);
        assert_int_equal(sample.count, cases[i].value);
        json_doc_free(doc);
    }
}

static const struct violation_case {
    struct view text;
    const char *path;
    const char *message;
} violation_cases[] = {
    {VIEW("[]"), "", "must be a JSON object"},
    {VIEW("\"x\""), "", "must be a JSON object"},
    {VIEW("{\"name\":5}"), "name", "must be a string"},
    {VIEW("{\"name\":[\"a\"]}"), "name", "must be a string"},
    {VIEW("{\"text\":null}"), "text", "must be a string"},
    {VIEW("{\"name\":\"123456789\"}"), "name", "must be at most 8 bytes long"},
    {VIEW("{\"name\":\"\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\"}"), "name",
     "must be at most 8 bytes long"},
    {VIEW("{\"name\":\"a\\u0000\"}"), "name", "must not contain NUL"},
    {VIEW("{\"id\":7}"), "id", "must be a UUID"},
    {VIEW("{\"id\":\"\"}"), "id", "must be a UUID"},
    {VIEW("{\"id\":\"9f1b2c3d000040008000abcdefabcdef\"}"), "id", "must be a UUID"},
    {VIEW("{\"count\":\"8080\"}"), "count", "must be a whole number"},
    {VIEW("{\"count\":8080.0}"), "count", "must be a whole number"},
    {VIEW("{\"count\":80e2}"), "count", "must be a whole number"},
    {VIEW("{\"count\":1E0}"), "count", "must be a whole number"},
    {VIEW("{\"count\":null}"), "count", "must be a whole number"},
    {VIEW("{\"count\":9007199254740993}"), "count", "must be a whole number"},
    {VIEW("{\"count\":-9007199254740993}"), "count", "must be a whole number"},
    {VIEW("{\"count\":18446744073709551617}"), "count", "must be a whole number"},
    {VIEW("{\"count\":1234567890123456789012345678901234567890123456789012345678901234}"), "count",
     "must be a whole number"},
    {VIEW("{\"port\":0}"), "port", "must be from 1 to 65535"},
    {VIEW("{\"port\":65536}"), "port", "must be from 1 to 65535"},
    {VIEW("{\"port\":-1}"), "port", "must be from 1 to 65535"},
    {VIEW("{\"flag\":1}"), "flag", "must be true or false"},
    {VIEW("{\"flag\":\"true\"}"), "flag", "must be true or false"},
    {VIEW("{\"list\":\"a\"}"), "list", "must be an array of strings"},
    {VIEW("{\"list\":{}}"), "list", "must be an array of strings"},
    {VIEW("{\"list\":[\"a\",\"b\",\"c\",\"d\"]}"), "list", "must have at most 3 entries"},
    {VIEW("{\"list\":[\"a\",7]}"), "list[1]", "must be a string"},
    {VIEW("{\"list\":[null]}"), "list[0]", "must be a string"},
    {VIEW("{\"list\":[\"a\",\"abcde\"]}"), "list[1]", "must be at most 4 bytes long"},
    {VIEW("{\"list\":[\"\\u0000\"]}"), "list[0]", "must not contain NUL"},
    {VIEW("{\"map\":[]}"), "map", "must be an object of strings"},
    {VIEW("{\"map\":{\"ab\":1}}"), "map.ab", "must be a string"},
    {VIEW("{\"map\":{\"abc\":\"\"}}"), "map.abc", "must have an even length"},
    {VIEW("{\"map\":{\"ab\":\"12345\"}}"), "map.ab", "must be at most 4 bytes long"},
    {VIEW("{\"map\":{\"ab\":\"\\u0000\"}}"), "map.ab", "must not contain NUL"},
    {VIEW("{\"map\":{\"aa\":\"\",\"bb\":\"\",\"cc\":\"\"}}"), "map", "must have at most 2 entries"},
    {VIEW("{\"object\":[]}"), "object", "must be an object"},
    {VIEW("{\"object\":{\"a\":\"aaaaaaaaaaaaaaaaaaaaaa\"}}"), "object",
     "must be at most 24 bytes long"},
    {VIEW("{\"array\":{}}"), "array", "must be an array"},
    {VIEW("{\"color\":\"blue\"}"), "color", "must be one of red, green"},
    {VIEW("{\"even\":\"abc\"}"), "even", "must have an even length"},
    {VIEW("{\"inner\":5}"), "inner", "must be an object"},
    {VIEW("{\"inner\":{}}"), "inner.depth", "is required"},
    {VIEW("{\"inner\":{\"depth\":1,\"label\":\"\"}}"), "inner.label", "must not be empty"},
    {VIEW("{\"inner\":{\"depth\":1,\"other\":1}}"), "inner.other", "is not known here"},
    {VIEW("{\"Name\":\"a\"}"), "Name", "is not known here"},
};

static void violations_name_the_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(violation_cases); i++) {
        const struct violation_case *wrong = &violation_cases[i];
        struct sample sample;
        struct json_violations violations;
        struct err err = {0};
        print_message("%.*s\n", (int)wrong->text.len, wrong->text.ptr);
        assert_null(json_read(wrong->text, &strict, &sample, &violations, &err));
        assert_int_equal(violations.count, 1);
        assert_string_equal(violations.items[0].path, wrong->path);
        assert_string_equal(violations.items[0].message, wrong->message);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.reason, "validation_failed");
    }
}

static void all_violations_are_listed(void **state)
{
    (void)state;
    struct sample sample;
    struct json_violations violations;
    struct err err = {0};
    assert_null(json_read(VIEW("{\"x\":1,\"port\":0,\"name\":5,\"list\":[1,\"a\",2]}"), &strict,
                          &sample, &violations, &err));
    assert_int_equal(violations.count, 5);
    assert_string_equal(violations.items[0].path, "x");
    assert_string_equal(violations.items[1].path, "name");
    assert_string_equal(violations.items[2].path, "port");
    assert_string_equal(violations.items[3].path, "list[0]");
    assert_string_equal(violations.items[4].path, "list[2]");
    assert_string_equal(err.message, "x is not known here");
}

static void violations_beyond_the_list_are_dropped(void **state)
{
    (void)state;
    struct sample sample;
    struct json_violations violations;
    struct err err = {0};
    struct str text = STR_INIT(4096);
    str_append_string(&text, "{\"list\":[0");
    for (int i = 1; i < 100; i++) {
        str_appendf(&text, ",%d", i);
    }
    str_append_string(&text, "]}");
    assert_null(json_read(str_view(&text), &strict, &sample, &violations, &err));
    assert_int_equal(violations.count, JSON_VIOLATIONS_MAX);
    str_free(&text);
}

static void unknown_members_of_clients_are_ignored(void **state)
{
    (void)state;
    struct sample sample;
    struct err err = {0};
    struct json_doc *doc =
        json_read(VIEW("{\"new\":{\"a\":[1]},\"inner\":{\"depth\":3,\"more\":1}}"), &lenient,
                  &sample, NULL, &err);
    assert_non_null(doc);
    assert_int_equal(sample.inner.depth, 3);
    json_doc_free(doc);
}

static void bad_json_is_one_violation(void **state)
{
    (void)state;
    struct sample sample;
    struct json_violations violations;
    struct err err = {0};
    assert_null(json_read(VIEW("{\"x\":1,\"name\":}"), &strict, &sample, &violations, &err));
    assert_string_equal(err.reason, "invalid_json");
    assert_int_equal(violations.count, 1);
    assert_string_equal(violations.items[0].path, "");
    assert_string_equal(violations.items[0].message, err.message);
}

static void nothing_points_into_a_document_that_failed(void **state)
{
    (void)state;
    struct sample sample;
    struct err err = {0};
    assert_null(json_read(VIEW("{\"name\":\"a\",\"list\":[\"b\"],\"port\":0}"), &strict, &sample,
                          NULL, &err));
    assert_null(sample.name.ptr);
    assert_null(sample.list.items);
}

/* Many items of the wrong type, or more than may be, cost no memory each. */
static void long_arrays_are_refused_before_they_are_parsed(void **state)
{
    (void)state;
    enum { ITEMS = 1000000, TEXT_MAX = 4 * ITEMS };
    struct sample sample;
    struct err err = {0};
    struct str text = STR_INIT(TEXT_MAX);
    str_append_string(&text, "{\"list\":[\"\"");
    for (int i = 1; i < ITEMS; i++) {
        str_append_view(&text, VIEW(",\"\""));
    }
    str_append_string(&text, "]}");
    assert_null(json_read(str_view(&text), &strict, &sample, NULL, &err));
    assert_string_equal(err.message, "list must have at most 3 entries");
    str_free(&text);
}

static void a_null_document_is_freed_in_peace(void **state)
{
    (void)state;
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    json_doc_free(NULL);
    assert_null(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_read),
        cmocka_unit_test(absent_fields_are_zero_or_their_fallback),
        cmocka_unit_test(null_is_absent_where_it_may_be),
        cmocka_unit_test(escapes_are_resolved),
        cmocka_unit_test(nul_is_kept_where_it_is_allowed),
        cmocka_unit_test(nested_text_keeps_its_nul_escape),
        cmocka_unit_test(the_document_outlives_the_text),
        cmocka_unit_test(whole_numbers_up_to_2_to_the_53_are_exact),
        cmocka_unit_test(violations_name_the_field),
        cmocka_unit_test(all_violations_are_listed),
        cmocka_unit_test(violations_beyond_the_list_are_dropped),
        cmocka_unit_test(unknown_members_of_clients_are_ignored),
        cmocka_unit_test(bad_json_is_one_violation),
        cmocka_unit_test(nothing_points_into_a_document_that_failed),
        cmocka_unit_test(long_arrays_are_refused_before_they_are_parsed),
        cmocka_unit_test(a_null_document_is_freed_in_peace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
