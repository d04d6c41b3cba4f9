#include "gateway/native/event_stream.h"
#include "gateway/native/once.h"
#include "gateway/native/search_lines.h"
#include "gateway/native/text_carry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* e acute, the euro sign, a grinning face */
#define TEXT                                                                                       \
    "a\xc3\xa9"                                                                                    \
    "b\xe2\x82\xac"                                                                                \
    "c\xf0\x9f\x98\x80"                                                                            \
    "d"

static void a_character_is_never_cut(void **state)
{
    (void)state;
    const struct view text = VIEW(TEXT);
    for (size_t first = 0; first <= text.len; first++) {
        for (size_t second = first; second <= text.len; second++) {
            const struct view pieces[] = {{text.ptr, first},
                                          {text.ptr + first, second - first},
                                          {text.ptr + second, text.len - second}};
            struct text_carry carry = {0};
            struct str scratch = STR_INIT(64);
            struct str whole = STR_INIT(64);
            for (size_t i = 0; i < 3; i++) {
                struct view part = text_carry_join(&carry, pieces[i], &scratch);
                struct str json = STR_INIT(256);
                struct json_writer writer = json_writer_on(&json);
                json_string(&writer, NULL, part);
                assert_null(strstr(json.data, "\xef\xbf\xbd"));
                str_append_view(&whole, part);
                str_free(&json);
            }
            assert_int_equal(carry.len, 0);
            assert_true(view_equal(str_view(&whole), text));
            str_free(&scratch);
            str_free(&whole);
        }
    }
}

static void bytes_that_are_no_text_are_not_held_back(void **state)
{
    (void)state;
    static const char *const cases[] = {"\xff",         "\x80\x80\x80", "a\xc0",   "\xe2\x28",
                                        "\xf0\x9f\x41", "\xc3\xa9\xa9", "\xed\xa0"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text_carry carry = {0};
        struct str scratch = STR_INIT(64);
        struct view part = text_carry_join(&carry, view_of(cases[i]), &scratch);
        if (part.len != strlen(cases[i]) || carry.len != 0) {
            fail_msg("case %zu", i);
        }
        str_free(&scratch);
    }
}

static void a_broken_character_goes_out_with_the_next_piece(void **state)
{
    (void)state;
    struct text_carry carry = {0};
    struct str scratch = STR_INIT(64);
    assert_int_equal(text_carry_join(&carry, VIEW("\xe2\x82"), &scratch).len, 0);
    assert_int_equal(carry.len, 2);
    assert_true(view_equal(text_carry_join(&carry, VIEW("x"), &scratch), VIEW("\xe2\x82x")));
    assert_int_equal(carry.len, 0);
    str_free(&scratch);
}

static void an_event_is_written_in_both_forms(void **state)
{
    (void)state;
    struct str out = STR_INIT(256);
    struct json_writer writer = event_begin(EVENTS_SSE, &out, "stdout", "7:3:0");
    json_string(&writer, "data", VIEW("a\nb"));
    event_end(EVENTS_SSE, &out, &writer);
    writer = event_begin(EVENTS_NDJSON, &out, "exit", "7:3:0");
    json_int(&writer, "exitCode", 0);
    event_end(EVENTS_NDJSON, &out, &writer);
    assert_string_equal(out.data, "event: stdout\nid: 7:3:0\n"
                                  "data: {\"type\":\"stdout\",\"data\":\"a\\nb\"}\n\n"
                                  "{\"type\":\"exit\",\"exitCode\":0}\n");
    str_free(&out);
}

static void accept_names_the_form(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool found;
        enum event_format format;
    } cases[] = {
        {"text/event-stream", true, EVENTS_SSE},
        {"Text/Event-Stream;charset=utf-8", true, EVENTS_SSE},
        {"application/x-ndjson", true, EVENTS_NDJSON},
        {"text/html, application/x-ndjson, text/event-stream", true, EVENTS_NDJSON},
        {"application/json, text/event-stream", false, EVENTS_SSE},
        {"text/event-stream, application/json", true, EVENTS_SSE},
        {"*/*", false, EVENTS_SSE},
        {"application/json", false, EVENTS_SSE},
        {"", false, EVENTS_SSE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum event_format format = EVENTS_SSE;
        if (events_accepted(view_of(cases[i].accept), &format) != cases[i].found ||
            format != cases[i].format) {
            fail_msg("%s", cases[i].accept);
        }
    }
}

#define USER_ID "11111111-1111-4111-8111-111111111111"

static void a_key_of_any_length_fits(void **state)
{
    (void)state;
    char longest[ONCE_KEY_MAX + 2];
    char first[ONCE_SIZE];
    char second[ONCE_SIZE];
    struct err err = {0};
    memset(longest, 'k', sizeof longest);
    assert_true(once_write(USER_ID, (struct view){longest, ONCE_KEY_MAX}, first, &err));
    assert_true(once_write(USER_ID, (struct view){longest, ONCE_KEY_MAX - 1}, second, &err));
    assert_string_not_equal(first, second);
    assert_true(strncmp(first, USER_ID "/idem/", sizeof USER_ID + 5) == 0);
    assert_true(strlen(first) <= 128);
    assert_false(once_write(USER_ID, (struct view){longest, ONCE_KEY_MAX + 1}, first, &err));
    assert_string_equal(err.reason, "invalid_idempotency_key");
}

static void a_key_is_visible_ascii(void **state)
{
    (void)state;
    char out[ONCE_SIZE];
    struct err err = {0};
    assert_false(once_write(USER_ID, VIEW(""), out, &err));
    assert_false(once_write(USER_ID, VIEW("a b"), out, &err));
    assert_false(once_write(USER_ID, VIEW("\xc3\xa9"), out, &err));
    assert_true(once_write(USER_ID, VIEW("!~"), out, &err));
}

static void lines_become_one_answer(void **state)
{
    (void)state;
    struct str out = STR_INIT(1024);
    search_lines_write(VIEW("{\"path\":\"a\"}\n{\"path\":\"b\",\"line\":1}\n"
                            "{\"done\":true,\"truncated\":false,\"files\":2}\n"),
                       &out);
    assert_string_equal(
        out.data,
        "{\"results\":[{\"path\":\"a\"},{\"path\":\"b\",\"line\":1}],\"truncated\":false}");
    str_free(&out);
}

static void a_search_that_was_cut_says_so(void **state)
{
    (void)state;
    struct str out = STR_INIT(1024);
    search_lines_write(VIEW("{\"path\":\"a\"}\n{\"path\":\"b"), &out);
    assert_string_equal(out.data, "{\"results\":[{\"path\":\"a\"}],\"truncated\":true}");
    str_clear(&out);
    search_lines_write(VIEW("{\"done\":true,\"truncated\":true}\n"), &out);
    assert_string_equal(out.data, "{\"results\":[],\"truncated\":true}");
    str_clear(&out);
    search_lines_write(VIEW(""), &out);
    assert_string_equal(out.data, "{\"results\":[],\"truncated\":true}");
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_is_never_cut),
        cmocka_unit_test(bytes_that_are_no_text_are_not_held_back),
        cmocka_unit_test(a_broken_character_goes_out_with_the_next_piece),
        cmocka_unit_test(an_event_is_written_in_both_forms),
        cmocka_unit_test(accept_names_the_form),
        cmocka_unit_test(a_key_of_any_length_fits),
        cmocka_unit_test(a_key_is_visible_ascii),
        cmocka_unit_test(lines_become_one_answer),
        cmocka_unit_test(a_search_that_was_cut_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
