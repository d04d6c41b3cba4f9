#include "common/base/str.h"
#include "common/json/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

enum { TEXT_MAX = 1 << 20 };

static bool is_valid(struct view text)
{
    struct err err = {0};
    bool valid = json_scan(text, NULL, NULL, &err);
    if (!valid) {
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.reason, "invalid_json");
    }
    return valid;
}

static void valid_texts_pass(void **state)
{
    (void)state;
    static const struct view texts[] = {
        VIEW("{}"),
        VIEW("[]"),
        VIEW(" \t\r\n{ \"a\" : 1 , \"b\" : [ ] } \n"),
        VIEW("null"),
        VIEW("true"),
        VIEW("false"),
        VIEW("\"\""),
        VIEW("0"),
        VIEW("-0"),
        VIEW("-0.5e+10"),
        VIEW("1E9"),
        VIEW("123456789012345678901234567890"),
        VIEW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\""),
        VIEW("\"\\u0000\""),
        VIEW("\"\\ud83d\\ude00\""),
        VIEW("\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\""),
        VIEW("[1,[2,[3,{}]],\"x\"]"),
        VIEW("{\"\":{\"\":{\"\":0}}}"),
        VIEW("{\"a\":{\"x\":1},\"b\":{\"x\":1}}"),
        VIEW("{\"a\":1,\"A\":2,\"a \":3,\"aa\":4}"),
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        print_message("%.*s\n", (int)texts[i].len, texts[i].ptr);
        assert_true(is_valid(texts[i]));
    }
}

static void invalid_texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view text;
    } cases[] = {
        {"nothing", {NULL, 0}},
        {"blanks", VIEW("  ")},
        {"byte order mark", VIEW("\xef\xbb\xbf{}")},
        {"another blank", VIEW("\f{}")},
        {"comment", VIEW("{}/**/")},
        {"two documents", VIEW("{}{}")},
        {"text after", VIEW("{} x")},
        {"NUL after", VIEW("{}\0")},
        {"NUL in a string", VIEW("\"a\0b\"")},
        {"trailing comma in an object", VIEW("{\"a\":1,}")},
        {"trailing comma in an array", VIEW("[1,]")},
        {"leading comma", VIEW("[,1]")},
        {"two commas", VIEW("[1,,2]")},
        {"no comma", VIEW("[1 2]")},
        {"wrong bracket", VIEW("[1}")},
        {"open object", VIEW("{\"a\":1")},
        {"open array", VIEW("[1")},
        {"open string", VIEW("\"abc")},
        {"name without quotes", VIEW("{a:1}")},
        {"name in single quotes", VIEW("{'a':1}")},
        {"number as a name", VIEW("{1:1}")},
        {"no colon", VIEW("{\"a\" 1}")},
        {"no value", VIEW("{\"a\":}")},
        {"NaN", VIEW("NaN")},
        {"Infinity", VIEW("-Infinity")},
        {"upper-case word", VIEW("True")},
        {"cut word", VIEW("nul")},
        {"longer word", VIEW("nulll")},
        {"plus", VIEW("+1")},
        {"leading zero", VIEW("01")},
        {"minus alone", VIEW("-")},
        {"no digit before the point", VIEW(".5")},
        {"no digit after the point", VIEW("5.")},
        {"no exponent", VIEW("5e")},
        {"no exponent after a sign", VIEW("5e+")},
        {"hex", VIEW("0x10")},
        {"raw newline in a string", VIEW("\"a\nb\"")},
        {"raw tab in a string", VIEW("\"a\tb\"")},
        {"unknown escape", VIEW("\"\\x41\"")},
        {"NUL as an escape", VIEW("\"\\\0\"")},
        {"escape cut", VIEW("\"\\")},
        {"short hex escape", VIEW("\"\\u12\"")},
        {"no hex", VIEW("\"\\u12g4\"")},
        {"lone high surrogate", VIEW("\"\\ud83d\"")},
        {"lone low surrogate", VIEW("\"\\ude00\"")},
        {"two high surrogates", VIEW("\"\\ud83d\\ud83d\"")},
        {"surrogate and a character", VIEW("\"\\ud83dxxxxxx\"")},
        {"surrogate and another escape", VIEW("\"\\ud83d\\n\\n\\n\"")},
        {"raw surrogate", VIEW("\"\xed\xa0\xbd\"")},
        {"overlong UTF-8", VIEW("\"\xc0\x80\"")},
        {"stray continuation", VIEW("\"\x80\"")},
        {"cut UTF-8", VIEW("\"\xe2\x82\"")},
        {"above U+10FFFF", VIEW("\"\xf4\x90\x80\x80\"")},
        {"Latin-1", VIEW("\"caf\xe9\"")},
        {"invalid UTF-8 in a name", VIEW("{\"\xff\":1}")},
        {"member twice", VIEW("{\"a\":1,\"b\":2,\"a\":3}")},
        {"member twice, once escaped", VIEW("{\"a\":1,\"\\u0061\":3}")},
        {"escapes of either letter case", VIEW("{\"\\u00e9\":1,\"\xc3\xa9\":3}")},
        {"surrogates and UTF-8", VIEW("{\"\\uD83D\\uDE00\":1,\"\xf0\x9f\x98\x80\":3}")},
        {"slash and escaped slash", VIEW("{\"/\":1,\"\\/\":3}")},
        {"empty name twice", VIEW("{\"\":1,\"\":3}")},
        {"member twice inside", VIEW("[{\"x\":{\"a\":1,\"a\":1}}]")},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("%s\n", cases[i].name);
        assert_false(is_valid(cases[i].text));
    }
}

static void mistakes_tell_where_they_are(void **state)
{
    (void)state;
    struct err err;
    assert_false(json_scan(VIEW("{\"a\":tru}"), NULL, NULL, &err));
    assert_string_equal(err.message, "invalid JSON at byte 5: an unknown word");
}

static void nest(struct str *text, int depth, const char *open, const char *close)
{
    str_clear(text);
    for (int i = 0; i < depth; i++) {
        str_append_string(text, open);
    }
    str_append_string(text, "1");
    for (int i = 0; i < depth; i++) {
        str_append_string(text, close);
    }
}

static void nesting_ends_at_32(void **state)
{
    (void)state;
    struct str text = STR_INIT(TEXT_MAX);
    nest(&text, JSON_DEPTH_MAX, "[", "]");
    assert_true(is_valid(str_view(&text)));
    nest(&text, JSON_DEPTH_MAX + 1, "[", "]");
    assert_false(is_valid(str_view(&text)));
    nest(&text, JSON_DEPTH_MAX, "{\"a\":", "}");
    assert_true(is_valid(str_view(&text)));
    nest(&text, JSON_DEPTH_MAX + 1, "{\"a\":", "}");
    assert_false(is_valid(str_view(&text)));
    str_free(&text);
}

static void numbers_end_at_64_bytes(void **state)
{
    (void)state;
    char digits[JSON_NUMBER_MAX + 1];
    memset(digits, '7', sizeof digits);
    assert_true(is_valid((struct view){digits, JSON_NUMBER_MAX}));
    assert_false(is_valid((struct view){digits, JSON_NUMBER_MAX + 1}));
}

/* Members m0, m1, ... and then last, which may be NULL. */
static void append_members(struct str *text, int count, const char *last)
{
    str_append_char(text, '{');
    for (int i = 0; i < count; i++) {
        str_appendf(text, "%s\"m%d\":%d", i == 0 ? "" : ",", i, i);
    }
    if (last != NULL) {
        str_appendf(text, ",\"%s\":0", last);
    }
    str_append_char(text, '}');
}

static void objects_end_at_1024_members(void **state)
{
    (void)state;
    struct str text = STR_INIT(TEXT_MAX);
    append_members(&text, JSON_MEMBERS_MAX, NULL);
    assert_true(is_valid(str_view(&text)));
    str_clear(&text);
    append_members(&text, JSON_MEMBERS_MAX + 1, NULL);
    assert_false(is_valid(str_view(&text)));
    str_free(&text);
}

static void repeats_are_found_among_many_members(void **state)
{
    (void)state;
    static const char *const repeated[] = {"m0", "m77", "\\u006d99", "m\\u0035\\u0030"};
    struct str text = STR_INIT(TEXT_MAX);
    append_members(&text, 100, "m\\u00310000");
    assert_true(is_valid(str_view(&text)));
    for (size_t i = 0; i < COUNT_OF(repeated); i++) {
        str_clear(&text);
        append_members(&text, 100, repeated[i]);
        assert_false(is_valid(str_view(&text)));
    }
    str_free(&text);
}

static void full_objects_may_nest(void **state)
{
    (void)state;
    struct str text = STR_INIT(TEXT_MAX);
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) {
        append_members(&text, 300, NULL);
        str_append_string(&text, "");
        text.data[--text.len] = '\0'; /* the closing brace */
        str_append_string(&text, ",\"next\":");
    }
    append_members(&text, 300, NULL);
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) {
        str_append_char(&text, '}');
    }
    assert_true(is_valid(str_view(&text)));
    str_free(&text);
}

struct seen {
    struct json_member members[4];
    struct view items[4];
    size_t count;
};

static void on_member(const struct json_member *member, void *arg)
{
    struct seen *seen = arg;
    assert_true(seen->count < COUNT_OF(seen->members));
    seen->members[seen->count++] = *member;
}

static void on_item(struct view item, void *arg)
{
    struct seen *seen = arg;
    assert_true(seen->count < COUNT_OF(seen->items));
    seen->items[seen->count++] = item;
}

static void expect_view(struct view view, const char *text)
{
    assert_int_equal(view.len, strlen(text));
    assert_memory_equal(view.ptr, text, view.len);
}

static void members_of_the_outermost_object_are_told(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct err err;
    assert_true(json_scan(VIEW(" { \"a\" : {\"x\": [1]} ,\"\\n\":2.5}"), on_member, &seen, &err));
    assert_int_equal(seen.count, 2);
    expect_view(seen.members[0].name, "a");
    expect_view(seen.members[0].value, "{\"x\": [1]}");
    expect_view(seen.members[0].whole, "\"a\" : {\"x\": [1]}");
    expect_view(seen.members[1].name, "\\n");
    expect_view(seen.members[1].value, "2.5");
    expect_view(seen.members[1].whole, "\"\\n\":2.5");
}

static void members_of_objects_in_an_array_are_not_told(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct err err;
    assert_true(json_scan(VIEW("[{\"a\":1}]"), on_member, &seen, &err));
    assert_int_equal(seen.count, 0);
}

static void items_of_the_outermost_array_are_told(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct err err;
    assert_true(json_scan_items(VIEW("[ 1 , [2, 3] ,\"x\"]"), on_item, &seen, &err));
    assert_int_equal(seen.count, 3);
    expect_view(seen.items[0], "1");
    expect_view(seen.items[1], "[2, 3]");
    expect_view(seen.items[2], "\"x\"");
}

static void an_envelope_has_id_and_type(void **state)
{
    (void)state;
    struct json_envelope envelope;
    struct err err;
    assert_true(json_scan_envelope(
        VIEW(" {\"type\":\"exec\", \"id\" : \"7\", \"a\":{\"id\":\"no\"}}"), &envelope, &err));
    expect_view(envelope.id, "7");
    expect_view(envelope.type, "exec");
    expect_view(envelope.id_member, "\"id\" : \"7\"");
}

static void odd_envelopes_have_no_id(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view text;
        const char *id_member;
    } cases[] = {
        {"absent", VIEW("{\"type\":\"x\"}"), ""},
        {"a number", VIEW("{\"id\":7}"), "\"id\":7"},
        {"null", VIEW("{\"id\":null}"), "\"id\":null"},
        {"empty", VIEW("{\"id\":\"\"}"), "\"id\":\"\""},
        {"with an escape", VIEW("{\"id\":\"\\u0037\"}"), "\"id\":\"\\u0037\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct json_envelope envelope;
        struct err err;
        print_message("%s\n", cases[i].name);
        assert_true(json_scan_envelope(cases[i].text, &envelope, &err));
        assert_int_equal(envelope.id.len, 0);
        expect_view(envelope.id_member, cases[i].id_member);
    }
}

static void an_envelope_knows_its_stream(void **state)
{
    (void)state;
    struct json_envelope envelope;
    struct err err;
    assert_true(json_scan_envelope(
        VIEW("{\"id\":\"7\", \"stream\":true, \"streamId\" : 2147483647 ,\"once\":1}"), &envelope,
        &err));
    assert_int_equal(envelope.stream_id, 2147483647);
    expect_view(envelope.stream_member, "\"streamId\" : 2147483647");
    assert_true(envelope.is_stream);
    assert_true(envelope.has_once);
}

static void an_envelope_has_its_timeout_as_it_stands(void **state)
{
    (void)state;
    struct json_envelope envelope;
    struct err err;
    assert_true(json_scan_envelope(VIEW("{\"timeoutMs\" : 1e3 ,\"a\":{\"timeoutMs\":5}}"),
                                   &envelope, &err));
    expect_view(envelope.timeout, "1e3");
    assert_true(json_scan_envelope(VIEW("{\"a\":{\"timeoutMs\":5}}"), &envelope, &err));
    assert_int_equal(envelope.timeout.len, 0);
}

static void only_an_integer_from_1_to_2_31_less_1_is_a_stream_id(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        uint32_t id;
    } cases[] = {
        {VIEW("{\"streamId\":1}"), 1},
        {VIEW("{\"streamId\":0}"), 0},
        {VIEW("{\"streamId\":-1}"), 0},
        {VIEW("{\"streamId\":1.0}"), 0},
        {VIEW("{\"streamId\":1e3}"), 0},
        {VIEW("{\"streamId\":\"1\"}"), 0},
        {VIEW("{\"streamId\":2147483648}"), 0},
        {VIEW("{\"streamId\":18446744073709551617}"), 0},
        {VIEW("{\"streamId\":10000000000000000000000000000000000000000001}"), 0},
        {VIEW("{\"stream\":\"true\",\"a\":{\"streamId\":5,\"stream\":true,\"once\":1}}"), 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct json_envelope envelope;
        struct err err;
        print_message("%s\n", cases[i].text.ptr);
        assert_true(json_scan_envelope(cases[i].text, &envelope, &err));
        assert_int_equal(envelope.stream_id, cases[i].id);
        assert_false(envelope.is_stream);
        assert_false(envelope.has_once);
    }
}

static void a_name_with_escapes_is_the_same_member(void **state)
{
    (void)state;
    struct json_envelope envelope;
    struct err err;
    assert_true(
        json_scan_envelope(VIEW("{\"\\u0069d\":\"7\",\"t\\u0079pe\":\"exec\"}"), &envelope, &err));
    expect_view(envelope.id, "7");
    expect_view(envelope.id_member, "\"\\u0069d\":\"7\"");
    expect_view(envelope.type, "exec");
}

static void an_id_has_at_most_64_bytes(void **state)
{
    (void)state;
    struct json_envelope envelope;
    struct err err;
    struct str text = STR_INIT(TEXT_MAX);
    str_appendf(&text, "{\"id\":\"%064d\"}", 1);
    assert_true(json_scan_envelope(str_view(&text), &envelope, &err));
    assert_int_equal(envelope.id.len, 64);
    str_clear(&text);
    str_appendf(&text, "{\"id\":\"%065d\"}", 1);
    assert_true(json_scan_envelope(str_view(&text), &envelope, &err));
    assert_int_equal(envelope.id.len, 0);
    str_free(&text);
}

static void an_envelope_is_an_object(void **state)
{
    (void)state;
    static const struct view texts[] = {VIEW("[]"), VIEW(" \"id\""), VIEW("7"), VIEW("{"),
                                        VIEW("")};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct json_envelope envelope;
        struct err err;
        assert_false(json_scan_envelope(texts[i], &envelope, &err));
        assert_string_equal(err.reason, "invalid_json");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_pass),
        cmocka_unit_test(invalid_texts_are_refused),
        cmocka_unit_test(mistakes_tell_where_they_are),
        cmocka_unit_test(nesting_ends_at_32),
        cmocka_unit_test(numbers_end_at_64_bytes),
        cmocka_unit_test(objects_end_at_1024_members),
        cmocka_unit_test(repeats_are_found_among_many_members),
        cmocka_unit_test(full_objects_may_nest),
        cmocka_unit_test(members_of_the_outermost_object_are_told),
        cmocka_unit_test(members_of_objects_in_an_array_are_not_told),
        cmocka_unit_test(items_of_the_outermost_array_are_told),
        cmocka_unit_test(an_envelope_has_id_and_type),
        cmocka_unit_test(odd_envelopes_have_no_id),
        cmocka_unit_test(an_envelope_knows_its_stream),
        cmocka_unit_test(an_envelope_has_its_timeout_as_it_stands),
        cmocka_unit_test(only_an_integer_from_1_to_2_31_less_1_is_a_stream_id),
        cmocka_unit_test(a_name_with_escapes_is_the_same_member),
        cmocka_unit_test(an_id_has_at_most_64_bytes),
        cmocka_unit_test(an_envelope_is_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
