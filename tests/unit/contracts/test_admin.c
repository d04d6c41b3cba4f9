#include "common/contracts/admin.h"

#include "tests/unit/contracts/round_trip.h"

#define A "11111111-1111-4111-8111-111111111111"
#define B "22222222-2222-4222-8222-222222222222"
#define C "33333333-3333-4333-8333-333333333333"

static void messages_survive(void **state)
{
    (void)state;
    union {
        struct admin_list_users users;
        struct admin_list_keys keys;
        struct admin_change_user change;
        struct admin_revoke_key revoke;
        struct admin_list_sandboxes sandboxes;
        struct admin_destroy_sandbox destroy;
        struct admin_page page;
        struct admin_user user;
    } scratch;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } messages[] = {
        {&admin_list_users_schema, "{\"limit\":1}"},
        {&admin_list_users_schema, "{\"email\":\"a@example.org\",\"tier\":\"pro\",\"status\":"
                                   "\"deleted\",\"limit\":100,\"cursor\":\"abc\"}"},
        {&admin_list_keys_schema, "{\"userId\":\"" A "\",\"limit\":7,\"cursor\":\"abc\"}"},
        {&admin_change_user_schema, "{\"adminId\":\"" A "\",\"userId\":\"" B "\"}"},
        {&admin_change_user_schema,
         "{\"adminId\":\"" A "\",\"adminKeyId\":\"" B "\",\"userId\":\"" C
         "\",\"tier\":\"free\",\"suspended\":false,\"reason\":\"none\"}"},
        {&admin_revoke_key_schema, "{\"adminId\":\"" A "\",\"id\":\"" B "\"}"},
        {&admin_list_sandboxes_schema, "{\"status\":\"failed\",\"limit\":7}"},
        {&admin_destroy_sandbox_schema, "{\"adminId\":\"" A "\",\"sandboxId\":\"" B "\"}"},
        {&admin_page_schema, "{\"items\":[{\"id\":1}],\"nextCursor\":\"abc\"}"},
        {&admin_user_schema, "{\"user\":{\"id\":1}}"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        expect_round_trip(messages[i].schema, &scratch, messages[i].text);
    }
}

static void what_is_none_of_the_words_or_beyond_the_bounds_is_refused(void **state)
{
    (void)state;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } wrong[] = {
        {&admin_list_users_schema, "{}"},
        {&admin_list_users_schema, "{\"limit\":0}"},
        {&admin_list_users_schema, "{\"limit\":101}"},
        {&admin_list_users_schema, "{\"limit\":1,\"tier\":\"gold\"}"},
        {&admin_list_users_schema, "{\"limit\":1,\"status\":\"gone\"}"},
        {&admin_list_users_schema, "{\"limit\":1,\"other\":1}"},
        {&admin_list_sandboxes_schema, "{\"limit\":1,\"status\":\"alive\"}"},
        {&admin_change_user_schema, "{\"userId\":\"" A "\",\"tier\":\"pro\"}"},
        {&admin_change_user_schema, "{\"adminId\":\"" A "\",\"userId\":\"" B "\",\"tier\":\"x\"}"},
        {&admin_revoke_key_schema, "{\"adminId\":\"" A "\"}"},
        {&admin_destroy_sandbox_schema, "{\"sandboxId\":\"" A "\"}"},
    };
    union {
        struct admin_list_users users;
        struct admin_change_user change;
        struct admin_list_sandboxes sandboxes;
    } scratch;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err err;
        assert_string_not_equal(refusal(wrong[i].schema, &scratch, wrong[i].text, &err), "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(what_is_none_of_the_words_or_beyond_the_bounds_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
