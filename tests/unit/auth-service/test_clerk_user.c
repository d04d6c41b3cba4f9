/* auth-service/users/clerk_user and auth-service/webhooks/event: what is taken from Clerk's
 * descriptions, and what is not. */
#include "auth-service/webhooks/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define ID "\"id\":\"user_2abc\",\"updated_at\":1767225600000"
#define ADDRESS(id, mail, verification)                                                            \
    "{\"id\":\"" id "\",\"email_address\":\"" mail "\",\"verification\":" verification "}"
#define VERIFIED "{\"status\":\"verified\",\"attempts\":1}"
#define UNVERIFIED "{\"status\":\"unverified\"}"

enum { TEXT_SIZE = 4096 };

static struct clerk_user read_user(const char *members)
{
    char text[TEXT_SIZE];
    struct clerk_user user;
    struct err err = {0};
    (void)snprintf(text, sizeof text, "{" ID "%s}", members);
    if (!clerk_user_read(view_of(text), &user, &err)) {
        fail_msg("%s: %s", members, err.message);
    }
    return user;
}

static void the_primary_address_is_taken_when_it_is_proven(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *members;
        const char *email;
    } cases[] = {
        {"the second of two",
         ",\"primary_email_address_id\":\"b\",\"email_addresses\":[" ADDRESS(
             "a", "a@x.test", VERIFIED) "," ADDRESS("b", "b@x.test", VERIFIED) "]",
         "b@x.test"},
        {"not proven",
         ",\"primary_email_address_id\":\"a\",\"email_addresses\":[" ADDRESS("a", "a@x.test",
                                                                             UNVERIFIED) "]",
         ""},
        {"no word on it",
         ",\"primary_email_address_id\":\"a\",\"email_addresses\":[" ADDRESS("a", "a@x.test",
                                                                             "null") "]",
         ""},
        {"none is primary",
         ",\"primary_email_address_id\":null,\"email_addresses\":[" ADDRESS("a", "a@x.test",
                                                                            VERIFIED) "]",
         ""},
        {"none at all", ",\"primary_email_address_id\":\"a\",\"email_addresses\":[]", ""},
        {"not said", "", ""},
        {"one of odd form is passed over",
         ",\"primary_email_address_id\":\"b\",\"email_addresses\":[7," ADDRESS("b", "b@x.test",
                                                                               VERIFIED) "]",
         "b@x.test"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct clerk_user user = read_user(cases[i].members);
        if (strcmp(user.profile.email, cases[i].email) != 0) {
            fail_msg("%s: \"%s\"", cases[i].name, user.profile.email);
        }
    }
}

static void the_name_is_put_together(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        const char *name;
    } cases[] = {
        {",\"first_name\":\"Alice\",\"last_name\":\"Adams\",\"username\":\"al\"", "Alice Adams"},
        {",\"first_name\":\"Alice\",\"last_name\":null", "Alice"},
        {",\"first_name\":\"\",\"last_name\":\"Adams\"", "Adams"},
        {",\"first_name\":null,\"username\":\"al\"", "al"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(read_user(cases[i].members).profile.display_name, cases[i].name);
    }
}

static void a_long_name_is_cut_between_characters(void **state)
{
    (void)state;
    char members[TEXT_SIZE] = ",\"username\":\"a";
    size_t len = strlen(members);
    for (int i = 0; i < PROFILE_NAME_SIZE; i++) {
        members[len++] = (char)0xc3;
        members[len++] = (char)0xa9;
    }
    members[len] = '"';
    const struct clerk_user user = read_user(members);
    /* One byte and pairs: 255 bytes have room for all of it. */
    assert_int_equal(strlen(user.profile.display_name), PROFILE_NAME_SIZE - 1);
    memmove(members + 13, members + 14, strlen(members + 13)); /* pairs alone: 254 bytes */
    assert_int_equal(strlen(read_user(members).profile.display_name), PROFILE_NAME_SIZE - 2);
}

static void only_https_pictures_are_taken(void **state)
{
    (void)state;
    assert_string_equal(read_user(",\"image_url\":\"https://i.test/a\"").profile.avatar_url,
                        "https://i.test/a");
    assert_string_equal(read_user(",\"image_url\":\"javascript:alert(1)\"").profile.avatar_url, "");
    assert_string_equal(read_user(",\"image_url\":\"http://i.test/a\"").profile.avatar_url, "");
}

static void a_ban_is_told(void **state)
{
    (void)state;
    assert_true(read_user(",\"banned\":true").profile.banned);
    assert_false(read_user(",\"banned\":false").profile.banned);
    assert_false(read_user("").profile.banned);
}

static void a_description_without_id_or_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"id\":\"user_1\"}",
        "{\"updated_at\":1}",
        "{\"id\":\"\",\"updated_at\":1}",
        "{\"id\":\"user_1\",\"updated_at\":\"1\"}",
        "{\"id\":\"user_1\",\"updated_at\":0}",
        "{\"id\":\"user_\\u0000\",\"updated_at\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct clerk_user user;
        struct err err = {0};
        if (clerk_user_read(view_of(texts[i]), &user, &err)) {
            fail_msg("%s", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void only_an_id_of_letters_and_digits_comes_into_an_address(void **state)
{
    (void)state;
    assert_true(clerk_user_id_is_sound(VIEW("user_2abcXYZ09")));
    assert_false(clerk_user_id_is_sound(VIEW("user_")));
    assert_false(clerk_user_id_is_sound(VIEW("2abc")));
    assert_false(clerk_user_id_is_sound(VIEW("user_../../x")));
    assert_false(clerk_user_id_is_sound(VIEW("user_a?b")));
    assert_false(clerk_user_id_is_sound(
        VIEW("user_0123456789012345678901234567890123456789012345678901234567890123x")));
}

static void events_are_told_apart_by_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum webhook_kind kind;
    } cases[] = {
        {"{\"type\":\"user.created\",\"data\":{" ID "}}", WEBHOOK_USER_CHANGED},
        {"{\"type\":\"user.updated\",\"data\":{" ID "}}", WEBHOOK_USER_CHANGED},
        {"{\"type\":\"user.deleted\",\"data\":{\"id\":\"user_2abc\",\"deleted\":true}}",
         WEBHOOK_USER_DELETED},
        {"{\"type\":\"session.ended\",\"data\":{\"id\":\"sess_1\"}}", WEBHOOK_SESSION_ENDED},
        {"{\"type\":\"session.removed\",\"data\":{\"id\":\"sess_1\"}}", WEBHOOK_SESSION_ENDED},
        {"{\"type\":\"session.revoked\",\"data\":{\"id\":\"sess_1\"}}", WEBHOOK_SESSION_ENDED},
        {"{\"type\":\"session.created\",\"data\":{\"id\":\"sess_1\"}}", WEBHOOK_OTHER},
        {"{\"type\":\"organization.created\",\"data\":{}}", WEBHOOK_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct webhook_event event;
        struct err err = {0};
        assert_true(webhook_event_read(view_of(cases[i].text), &event, &err));
        assert_int_equal(event.kind, cases[i].kind);
    }
}

static void events_that_do_not_hold_what_they_promise_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "null",
        "{\"type\":\"user.created\"}",
        "{\"type\":\"user.created\",\"data\":[]}",
        "{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\"}}",
        "{\"type\":\"user.deleted\",\"data\":{}}",
        "{\"type\":\"session.ended\",\"data\":{\"id\":\"sess 1\"}}",
        "{\"type\":\"a\",\"type\":\"user.deleted\",\"data\":{\"id\":\"user_1\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct webhook_event event;
        struct err err = {0};
        if (webhook_event_read(view_of(texts[i]), &event, &err)) {
            fail_msg("%s", texts[i]);
        }
        assert_string_equal(err.reason, "webhook_unreadable");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_address_is_taken_when_it_is_proven),
        cmocka_unit_test(the_name_is_put_together),
        cmocka_unit_test(a_long_name_is_cut_between_characters),
        cmocka_unit_test(only_https_pictures_are_taken),
        cmocka_unit_test(a_ban_is_told),
        cmocka_unit_test(a_description_without_id_or_time_is_refused),
        cmocka_unit_test(only_an_id_of_letters_and_digits_comes_into_an_address),
        cmocka_unit_test(events_are_told_apart_by_their_type),
        cmocka_unit_test(events_that_do_not_hold_what_they_promise_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
