#include "common/contracts/users.h"
#include "tests/unit/contracts/round_trip.h"

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void messages_survive(void **state)
{
    (void)state;
    union {
        struct auth_get_user get;
        struct auth_user user;
        struct auth_update_user update;
        struct auth_delete_user leave;
        struct auth_list_audit list;
        struct auth_audit_page page;
    } any;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } messages[] = {
        {&auth_get_user_schema, "{\"userId\":\"" ID_A "\"}"},
        {&auth_user_schema,
         "{\"id\":\"" ID_A "\",\"email\":\"a@b\",\"displayName\":\"A\",\"avatarUrl\":\"https://a\","
         "\"tier\":\"enterprise\",\"role\":\"admin\",\"createdAt\":\"2026-01-31T23:59:59Z\"}"},
        {&auth_update_user_schema,
         "{\"userId\":\"" ID_A "\",\"actorKeyId\":\"" ID_B "\",\"setsDisplayName\":true,"
         "\"setsAvatarUrl\":false,\"displayName\":\"A\",\"avatarUrl\":\"https://a\"}"},
        {&auth_delete_user_schema, "{\"userId\":\"" ID_A "\",\"actorKeyId\":\"" ID_B "\"}"},
        {&auth_list_audit_schema,
         "{\"userId\":\"" ID_A "\",\"isForAdmin\":true,\"action\":\"a\",\"target\":\"t\","
         "\"sinceMs\":1,\"untilMs\":2,\"limit\":100,\"cursor\":\"x\"}"},
        {&auth_audit_page_schema, "{\"records\":[{\"a\":1}],\"nextCursor\":\"y\"}"},
        {&auth_audit_page_schema, "{\"records\":[]}"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        expect_round_trip(messages[i].schema, &any, messages[i].text);
    }
}

static void names_are_short_and_can_be_read(void **state)
{
    (void)state;
    static const char *const good[] = {"A", "Ann Lee", "\xc3\x84", HUNDRED, "-"};
    static const char *const bad[] = {"", " ", "   ", "a\nb", "a\tb", "\x7f", HUNDRED "1", "\xff"};
    const char *problem;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(user_name_check(view_of(good[i]), &problem));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (user_name_check(view_of(bad[i]), &problem)) {
            fail_msg("\"%s\"", bad[i]);
        }
    }
}

static void a_hundred_characters_may_be_more_bytes(void **state)
{
    (void)state;
    static const char character[] = {'\xf0', '\x9f', '\x98', '\x80'};
    char name[USER_NAME_MAX + sizeof character];
    const char *problem;
    for (size_t i = 0; i < sizeof name; i += sizeof character) {
        memcpy(name + i, character, sizeof character);
    }
    assert_true(user_name_check((struct view){name, USER_NAME_MAX}, &problem));
    assert_false(user_name_check((struct view){name, USER_NAME_MAX + 4}, &problem));
}

static void pictures_are_https_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"https://a", "https://a.example/p?q=%20#f",
                                       "https://a.example:8443/p@2x.png", "https://[::1]/"};
    static const char *const bad[] = {
        "",
        "http://a.example/",
        "HTTPS://a.example/",
        "https://",
        "https:///p",
        "https://?q",
        "https://u:p@a/",
        "https://a/ b",
        "https://a/\n",
        "https://a/\"x",
        "https://a\\b",
        "javascript:alert(1)",
        "https://a/\xc3\x84",
        "https://:1/",
    };
    static char longest[USER_AVATAR_URL_MAX + 1] = "https://a/";
    const char *problem;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(user_avatar_check(view_of(good[i]), &problem));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (user_avatar_check(view_of(bad[i]), &problem)) {
            fail_msg("%s", bad[i]);
        }
    }
    memset(longest + strlen(longest), 'x', sizeof longest - strlen(longest));
    assert_true(user_avatar_check((struct view){longest, USER_AVATAR_URL_MAX}, &problem));
    assert_false(user_avatar_check((struct view){longest, USER_AVATAR_URL_MAX + 1}, &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(names_are_short_and_can_be_read),
        cmocka_unit_test(a_hundred_characters_may_be_more_bytes),
        cmocka_unit_test(pictures_are_https_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
