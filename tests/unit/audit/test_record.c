/* common/audit/record.c and chain.c: what needs no database. */
#include "common/audit/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void each_action_has_a_name_that_is_read_back(void **state)
{
    (void)state;
    enum audit_action action;
    for (int i = 0; i < AUDIT_ACTION_COUNT; i++) {
        const char *name = audit_action_name((enum audit_action)i);
        assert_non_null(name);
        assert_true(audit_action_parse(view_of(name), &action));
        assert_int_equal(action, i);
    }
    assert_false(audit_action_parse(VIEW("key.eaten"), &action));
    assert_false(audit_action_parse(VIEW(""), &action));
}

static void text_is_cut_between_characters(void **state)
{
    (void)state;
    char out[6];
    audit_text_set(out, sizeof out, VIEW("abcde"));
    assert_string_equal(out, "abcde");
    audit_text_set(out, sizeof out, VIEW("abcd\xc3\xa9"));
    assert_string_equal(out, "abcd");
    audit_text_set(out, sizeof out, VIEW("\xe2\x82\xac\xe2\x82\xac"));
    assert_string_equal(out, "\xe2\x82\xac");
    audit_text_set(out, sizeof out, VIEW(""));
    assert_string_equal(out, "");
}

static void what_the_database_would_refuse_is_cleaned(void **state)
{
    (void)state;
    static struct audit_record record;
    (void)snprintf(record.target, sizeof record.target, "a\xff\xe2\x82 \xc3\xa9");
    (void)snprintf(record.user_agent, sizeof record.user_agent, "\xed\xa0\x80");
    (void)snprintf(record.address, sizeof record.address, "1.2.3.4:80");
    audit_record_clean(&record);
    assert_string_equal(record.target, "a??? \xc3\xa9");
    assert_string_equal(record.user_agent, "???");
    assert_string_equal(record.address, "");
    (void)snprintf(record.address, sizeof record.address, "::1");
    audit_record_clean(&record);
    assert_string_equal(record.address, "::1");
}

static void detail_is_json_and_always_fits(void **state)
{
    (void)state;
    static struct audit_record record;
    static char long_text[4096];
    audit_record_set_detail(&record, "reason", VIEW("a \"b\"\n"));
    assert_string_equal(record.detail, "{\"reason\":\"a \\\"b\\\"\\n\"}");
    audit_record_set_detail(&record, "reason", VIEW("a\0b"));
    assert_string_equal(record.detail, "{\"reason\":\"a\"}");
    memset(long_text, '\x01', sizeof long_text - 1);
    audit_record_set_detail(&record, "reason", view_of(long_text));
    assert_in_range(strlen(record.detail), 900, sizeof record.detail - 1);
    assert_string_equal(record.detail + strlen(record.detail) - 2, "\"}");
}

static void details_share_the_room(void **state)
{
    (void)state;
    static struct audit_record record;
    static char long_text[4096];
    static const char start[] = "{\"op\":\"exec\",\"command\":\"aaa";
    memset(long_text, 'a', sizeof long_text - 1);
    audit_record_set_detail(&record, "path", view_of(long_text));
    assert_in_range(strlen(record.detail), 950, sizeof record.detail - 1);
    audit_record_set_detail(&record, "op", VIEW("exec"));
    audit_record_add_detail(&record, "command", view_of(long_text));
    audit_record_add_detail(&record, "cwd", VIEW(""));
    audit_record_add_detail(&record, "reason", VIEW("agent_lost"));
    assert_memory_equal(record.detail, start, sizeof start - 1);
    assert_string_equal(record.detail + strlen(record.detail) - 26,
                        "aa\",\"reason\":\"agent_lost\"}");
    for (int i = 0; i < 100; i++) {
        audit_record_add_detail(&record, "more", view_of(long_text));
    }
    assert_in_range(strlen(record.detail), 900, sizeof record.detail - 1);
    assert_int_equal(record.detail[strlen(record.detail) - 1], '}');
    memset(long_text, '\xc3', sizeof long_text - 1);
    audit_record_set_detail(&record, "path", view_of(long_text));
    assert_in_range(strlen(record.detail), 800, sizeof record.detail - 1);
}

static void who_acts_is_in_the_record(void **state)
{
    (void)state;
    static struct audit_record record;
    struct actor actor = {.user_id = "4b8c5a9e-3f0e-4d0a-9a57-0d6f3c2b1a00",
                          .address = "2001:db8::1"};
    actor_text_set(actor.user_agent, sizeof actor.user_agent, VIEW("curl/8"));
    audit_record_set_actor(&record, &actor, "r-1");
    assert_string_equal(record.actor_user, actor.user_id);
    assert_string_equal(record.actor_key, "");
    assert_string_equal(record.address, "2001:db8::1");
    assert_string_equal(record.user_agent, "curl/8");
    assert_string_equal(record.request_id, "r-1");
}

static void digest_of(uint8_t salt_byte, const char *address, const char *impersonator,
                      const char *user_agent, uint8_t out[AUDIT_HASH_BYTES])
{
    uint8_t salt[AUDIT_SALT_BYTES];
    struct err err = {0};
    const struct audit_personal personal = {address, impersonator, user_agent};
    memset(salt, salt_byte, sizeof salt);
    assert_true(audit_personal_digest(salt, &personal, out, &err));
}

static void personal_digest_differs_by_each_part_of_it(void **state)
{
    (void)state;
    static const struct {
        uint8_t salt;
        const char *address, *impersonator, *user_agent;
    } parts[] = {
        {1, "10.0.0.1", "bo", "x"}, {2, "10.0.0.1", "bo", "x"}, {1, "10.0.0.2", "bo", "x"},
        {1, "", "bo", "x"},         {1, "10.0.0.1", "", "box"}, {1, "10.0.0.1", "box", ""},
        {1, "10.0.0.1", "b", "ox"}, {1, "::", "bo", "x"},
    };
    enum { COUNT = sizeof parts / sizeof parts[0] };
    uint8_t digests[COUNT][AUDIT_HASH_BYTES];
    for (int i = 0; i < COUNT; i++) {
        digest_of(parts[i].salt, parts[i].address, parts[i].impersonator, parts[i].user_agent,
                  digests[i]);
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(digests[i], digests[j], AUDIT_HASH_BYTES);
        }
    }
}

static void address_counts_by_its_value(void **state)
{
    (void)state;
    uint8_t one[AUDIT_HASH_BYTES];
    uint8_t other[AUDIT_HASH_BYTES];
    digest_of(1, "2001:DB8:0:0::1", "", "", one);
    digest_of(1, "2001:db8::1", "", "", other);
    assert_memory_equal(one, other, AUDIT_HASH_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_action_has_a_name_that_is_read_back),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(what_the_database_would_refuse_is_cleaned),
        cmocka_unit_test(detail_is_json_and_always_fits),
        cmocka_unit_test(details_share_the_room),
        cmocka_unit_test(who_acts_is_in_the_record),
        cmocka_unit_test(personal_digest_differs_by_each_part_of_it),
        cmocka_unit_test(address_counts_by_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
