#include "common/contracts/auth.h"
#include "common/json/write.h"
#include "tests/unit/contracts/round_trip.h"

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"
#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void both_prefixes_are_one_key(void **state)
{
    (void)state;
    char key[API_KEY_SIZE];
    assert_true(api_key_normalise(VIEW("isk_" DIGITS), key));
    assert_string_equal(key, "isk_" DIGITS);
    assert_true(api_key_normalise(VIEW("e2b_" DIGITS), key));
    assert_string_equal(key, "isk_" DIGITS);
}

static void limits_of_keys_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct view broken[] = {
        VIEW("x:1"),           VIEW(ID_A),
        VIEW(ID_A ":"),        VIEW(ID_A ":0"),
        VIEW(ID_A ":-1"),      VIEW(ID_A ":1," ID_B),
        VIEW(ID_A ":1000001"), VIEW(ID_A ":99999999"),
        VIEW(ID_A ":1,,"),     VIEW(ID_A ":1," ID_A ":2," ID_A ":3," ID_A ":4," ID_A ":5"),
    };
    struct auth_key_limits limits;
    struct err err = {0};
    assert_true(auth_key_limits_read(VIEW(""), &limits, &err));
    assert_int_equal(limits.count, 0);
    assert_true(auth_key_limits_read(VIEW(ID_A ":7," ID_B ":1000000"), &limits, &err));
    assert_int_equal(limits.count, 2);
    assert_string_equal(limits.items[0].api_key_id, ID_A);
    assert_int_equal(limits.items[0].requests_per_minute, 7);
    assert_string_equal(limits.items[1].api_key_id, ID_B);
    assert_int_equal(limits.items[1].requests_per_minute, 1000000);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        if (auth_key_limits_read(broken[i], &limits, &err)) {
            fail_msg("%s", broken[i].ptr);
        }
    }
}

static void other_shapes_are_no_keys(void **state)
{
    (void)state;
    static const struct view texts[] = {
        VIEW(""),
        VIEW("isk_"),
        VIEW(DIGITS),
        VIEW("isk_" DIGITS "0"),
        VIEW("isk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"),
        VIEW("isk_0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"),
        VIEW("isk_0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef"),
        VIEW("ISK_" DIGITS),
        VIEW("sk__" DIGITS),
        VIEW("isk_\0"
             "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char key[API_KEY_SIZE];
        assert_false(api_key_normalise(texts[i], key));
    }
}

static void messages_survive(void **state)
{
    (void)state;
    union {
        struct auth_check_key check;
        struct auth_identity identity;
        struct auth_key_ids key_ids;
        struct auth_session_ids session_ids;
        struct auth_create_key create;
        struct auth_new_key new_key;
        struct auth_list_keys list;
        struct auth_key_list keys;
        struct auth_revoke_key revoke;
        struct auth_webhook webhook;
        struct auth_rotate_key rotate;
        struct auth_check_session check_session;
        struct auth_health health;
    } any;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } messages[] = {
        {&auth_check_key_schema, "{\"key\":\"isk_" DIGITS "\"}"},
        {&auth_identity_schema, "{\"userId\":\"" ID_A "\",\"apiKeyId\":\"" ID_B
                                "\",\"tier\":\"enterprise\",\"expiresAtMs\":1893456000000,"
                                "\"scopes\":31,\"maxSandboxes\":2,\"requestsPerMinute\":60,"
                                "\"isAdmin\":false,\"watchSession\":false,\"returnAtMs\":0,"
                                "\"keyLimits\":\"" ID_B ":60\"}"},
        {&auth_identity_schema,
         "{\"userId\":\"" ID_A "\",\"sessionId\":\"sess_1\","
         "\"impersonator\":\"user_1\",\"tier\":\"free\","
         "\"expiresAtMs\":1893456000000,\"scopes\":63,\"maxSandboxes\":0,"
         "\"requestsPerMinute\":0,\"isAdmin\":true,\"watchSession\":true,\"returnAtMs\":0}"},
        {&auth_key_ids_schema, "{\"apiKeyIds\":[\"" ID_A "\",\"" ID_B "\"]}"},
        {&auth_key_ids_schema, "{\"apiKeyIds\":[]}"},
        {&auth_session_ids_schema, "{\"sessionIds\":[\"sess_1\",\"sess_2\"]}"},
        {&auth_check_session_schema, "{\"token\":\"a.b.c\"}"},
        {&auth_create_key_schema, "{\"userId\":\"" ID_A "\",\"actorKeyId\":\"" ID_B
                                  "\",\"name\":\"n\",\"expiresInDays\":30,\"scopes\":5,"
                                  "\"maxSandboxes\":2,\"requestsPerMinute\":60}"},
        {&auth_create_key_schema,
         "{\"userId\":\"" ID_A "\",\"expiresInDays\":0,\"scopes\":0,\"maxSandboxes\":0,"
         "\"requestsPerMinute\":0}"},
        {&auth_new_key_schema,
         "{\"id\":\"" ID_A "\",\"key\":\"isk_" DIGITS "\",\"prefix\":\"isk_01234567\","
         "\"name\":\"n\",\"createdAt\":\"2026-01-31T23:59:59Z\","
         "\"expiresAt\":\"2027-01-31T23:59:59Z\",\"parentId\":\"" ID_B
         "\",\"scopes\":31,\"maxSandboxes\":2,\"requestsPerMinute\":60}"},
        {&auth_list_keys_schema, "{\"userId\":\"" ID_A "\"}"},
        {&auth_list_keys_schema, "{\"userId\":\"" ID_A "\",\"actorKeyId\":\"" ID_B "\"}"},
        {&auth_key_list_schema, "{\"apiKeys\":[{\"id\":\"x\"}]}"},
        {&auth_revoke_key_schema, "{\"userId\":\"" ID_A "\",\"id\":\"" ID_B "\"}"},
        {&auth_rotate_key_schema, "{\"userId\":\"" ID_A "\",\"actorKeyId\":\"" ID_B
                                  "\",\"id\":\"" ID_B "\",\"overlapS\":60}"},
        {&auth_webhook_schema, "{\"id\":\"msg_1\",\"timestamp\":\"1767225600\","
                               "\"signature\":\"v1,x\",\"body\":\"e30=\"}"},
        {&auth_webhook_schema, "{}"},
        {&auth_health_schema, "{\"postgres\":true,\"redis\":false}"},
        {&empty_schema, "{}"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        expect_round_trip(messages[i].schema, &any, messages[i].text);
    }
}

static void every_scope_has_a_name(void **state)
{
    (void)state;
    AUTO(str_free) struct str text = STR_INIT(256);
    struct json_writer writer = json_writer_on(&text);
    const char *problem;
    for (unsigned scope = 1; scope <= AUTH_SCOPES_ALL; scope <<= 1U) {
        assert_int_equal(auth_scope_find(view_of(auth_scope_name(scope))), scope);
        assert_true(auth_scope_check(view_of(auth_scope_name(scope)), &problem));
    }
    assert_int_equal(auth_scope_find(VIEW("sandbox")), 0);
    assert_int_equal(auth_scope_find(VIEW("")), 0);
    assert_false(auth_scope_check(VIEW("Exec"), &problem));
    assert_int_equal(AUTH_SCOPES_DEFAULT | AUTH_ADMIN, AUTH_SCOPES_ALL);
    auth_scopes_write(&writer, NULL, AUTH_SANDBOX_READ | AUTH_FILES);
    assert_string_equal(text.data, "[\"sandbox:read\",\"files\"]");
}

static void unknown_members_are_refused_between_processes(void **state)
{
    (void)state;
    struct auth_check_key check;
    struct err err;
    assert_string_equal(
        refusal(&auth_check_key_schema, &check, "{\"key\":\"k\",\"tier\":\"pro\"}", &err),
        "tier is not known here");
    assert_string_equal(refusal(&empty_schema, &check, "{\"a\":1}", &err), "a is not known here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_prefixes_are_one_key),
        cmocka_unit_test(limits_of_keys_are_read_as_they_are_written),
        cmocka_unit_test(other_shapes_are_no_keys),
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(every_scope_has_a_name),
        cmocka_unit_test(unknown_members_are_refused_between_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
