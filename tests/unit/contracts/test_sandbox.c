#include "common/contracts/sandbox.h"
#include "tests/unit/contracts/round_trip.h"

#include <stdio.h>

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"
#define ID_C "33333333-3333-4333-8333-333333333333"

static void messages_survive(void **state)
{
    (void)state;
    union {
        struct sandbox_create create;
        struct sandbox_get get;
        struct sandbox_info info;
        struct sandbox_list list;
        struct sandbox_page page;
        struct sandbox_tier tier;
        struct sandbox_limits limits;
        struct sandbox_destroy destroy;
        struct sandbox_agent_connect connect;
        struct sandbox_agent_welcome welcome;
        struct sandbox_report report;
        struct sandbox_health health;
    } any;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } messages[] = {
        {&sandbox_create_schema,
         "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B "\",\"apiKeyId\":\"" ID_C
         "\",\"template\":\"base\",\"timeoutMs\":60000,\"env\":{\"A\":\"b\"},"
         "\"metadata\":{\"k\":[1,null]},\"network\":\"none\",\"memoryMB\":256,"
         "\"cpuMilli\":500,\"pids\":64,\"diskMB\":100,\"idleTimeoutMs\":30000,"
         "\"onTimeout\":\"pause\",\"autoResume\":false}"},
        {&sandbox_create_schema,
         "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B "\",\"apiKeyId\":\"" ID_C
         "\",\"template\":\"base\",\"timeoutMs\":0,\"memoryMB\":0,\"cpuMilli\":0,\"pids\":0,"
         "\"diskMB\":0,\"idleTimeoutMs\":0}"},
        {&sandbox_create_schema,
         "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B
         "\",\"template\":\"base\",\"timeoutMs\":0,\"memoryMB\":0,\"cpuMilli\":0,\"pids\":0,"
         "\"diskMB\":0,\"idleTimeoutMs\":0,\"deadId\":\"" ID_C "\",\"mode\":\"cold\"}"},
        {&sandbox_get_schema, "{\"sandboxId\":\"" ID_A "\"}"},
        {&sandbox_info_schema,
         "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B "\",\"template\":\"base\","
         "\"tier\":\"free\",\"network\":\"open\",\"status\":\"destroyed\",\"endReason\":\"user\","
         "\"createdAt\":\"2026-01-31T23:59:59Z\",\"expiresAt\":\"2026-02-01T00:00:00Z\","
         "\"endedAt\":\"2026-02-01T00:00:00Z\",\"metadata\":{},\"memoryMB\":512,"
         "\"cpuMilli\":1000,\"pids\":256,\"diskMB\":2048,\"lifetimeHours\":2,"
         "\"container\":{\"running\":false,\"status\":\"removed\",\"exitCode\":137,"
         "\"error\":\"why\"},\"repeated\":true,\"configure\":{\"token\":\"a.b.c\"}}"},
        {&sandbox_list_schema, "{\"userId\":\"" ID_A "\",\"limit\":100,\"cursor\":\"x\"}"},
        {&sandbox_list_schema,
         "{\"userId\":\"" ID_A "\",\"status\":\"failed\",\"limit\":1,\"cursor\":\"x\"}"},
        {&sandbox_page_schema, "{\"sandboxes\":[{\"a\":1}],\"nextCursor\":\"y\"}"},
        {&sandbox_page_schema, "{\"sandboxes\":[]}"},
        {&sandbox_tier_schema, "{\"tier\":\"pro\"}"},
        {&sandbox_limits_schema,
         "{\"sandboxes\":2,\"memoryMB\":512,\"cpuShares\":1024,\"lifetimeHours\":2}"},
        {&sandbox_destroy_schema,
         "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B "\",\"wait\":true}"},
        {&sandbox_agent_connect_schema,
         "{\"sandboxId\":\"" ID_A "\",\"gatewayId\":\"" ID_B "\",\"token\":\"a.b.c\"}"},
        {&sandbox_agent_welcome_schema,
         "{\"token\":\"a.b.c\",\"env\":{\"A\":\"b\"},\"profile\":\"locked\",\"workDir\":\"/app\","
         "\"user\":\"user\"}"},
        {&sandbox_report_schema,
         "{\"gatewayId\":\"" ID_A "\",\"connected\":[\"" ID_B "\",\"" ID_C "\"]}"},
        {&sandbox_report_schema, "{\"gatewayId\":\"" ID_A "\",\"connected\":[]}"},
        {&sandbox_health_schema, "{\"postgres\":true,\"redis\":false,\"docker\":true}"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        expect_round_trip(messages[i].schema, &any, messages[i].text);
    }
}

static void a_create_is_checked(void **state)
{
    (void)state;
#define BEGIN                                                                                      \
    "{\"sandboxId\":\"" ID_A "\",\"userId\":\"" ID_B "\",\"apiKeyId\":\"" ID_C                     \
    "\",\"template\":\"base\""
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {BEGIN ",\"timeoutMs\":-1}", "timeoutMs must be from 0 to 604800000"},
        {BEGIN ",\"timeoutMs\":604800001}", "timeoutMs must be from 0 to 604800000"},
        {BEGIN ",\"env\":{\"PATH\":\"/\"}}", "env.PATH is reserved for the sandbox itself"},
        {BEGIN ",\"metadata\":[]}", "metadata must be an object"},
        {BEGIN ",\"tier\":\"enterprise\"}", "tier is not known here"},
        {"{\"sandboxId\":\"" ID_A "\",\"apiKeyId\":\"" ID_C "\",\"template\":\"base\"}",
         "userId is required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sandbox_create create;
        struct err err;
        assert_string_equal(refusal(&sandbox_create_schema, &create, cases[i].text, &err),
                            cases[i].message);
    }
#undef BEGIN
}

static void environment_names_have_one_shape(void **state)
{
    (void)state;
    static const struct {
        struct view name;
        bool of_a_command;
        bool of_a_sandbox;
    } cases[] = {
        {VIEW("A"), true, true},           {VIEW("_"), true, true},
        {VIEW("a9_Z"), true, true},        {VIEW("PATHS"), true, true},
        {VIEW("LD"), true, true},          {VIEW("agent_x"), true, true},
        {VIEW("PATH"), true, false},       {VIEW("NODE_OPTIONS"), true, false},
        {VIEW("LD_PRELOAD"), true, false}, {VIEW("AGENT_TOKEN"), true, false},
        {VIEW("SANDBOX_ID"), true, false}, {VIEW("INSIEN_X"), true, false},
        {VIEW(""), false, false},          {VIEW("9A"), false, false},
        {VIEW("A-B"), false, false},       {VIEW("A B"), false, false},
        {VIEW("A=B"), false, false},       {VIEW("A\0"), false, false},
        {VIEW("\xc3\xa9"), false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *problem;
        print_message("%.*s\n", (int)cases[i].name.len, cases[i].name.ptr);
        assert_int_equal(env_name_check(cases[i].name, &problem), cases[i].of_a_command);
        assert_int_equal(sandbox_env_name_check(cases[i].name, &problem), cases[i].of_a_sandbox);
    }
}

static void environment_names_end_at_128_characters(void **state)
{
    (void)state;
    char name[ENV_NAME_MAX + 1];
    const char *problem;
    memset(name, 'n', sizeof name);
    assert_true(env_name_check((struct view){name, ENV_NAME_MAX}, &problem));
    assert_false(env_name_check((struct view){name, ENV_NAME_MAX + 1}, &problem));
}

static void an_environment_ends_at_64_kibibytes(void **state)
{
    (void)state;
    static char value[ENV_BYTES_MAX];
    struct err err = {0};
    struct json_pair pairs[] = {
        {VIEW("A"), {value, ENV_BYTES_MAX - 1 - 2 - 3}},
        {VIEW("B"), {value, 0}},
    };
    assert_true(env_size_check(&(struct json_pairs){pairs, 2}, &err));
    pairs[1].value.len = 1;
    assert_false(env_size_check(&(struct json_pairs){pairs, 2}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(env_size_check(&(struct json_pairs){NULL, 0}, &err));
}

static void live_statuses(void **state)
{
    (void)state;
    assert_true(sandbox_status_is_live(VIEW("creating")));
    assert_true(sandbox_status_is_live(VIEW("running")));
    assert_true(sandbox_status_is_live(VIEW("pausing")));
    assert_true(sandbox_status_is_live(VIEW("paused")));
    assert_true(sandbox_status_is_live(VIEW("resuming")));
    assert_false(sandbox_status_is_live(VIEW("warm")));
    assert_true(sandbox_status_is_resting(VIEW("paused")));
    assert_false(sandbox_status_is_resting(VIEW("running")));
    assert_false(sandbox_status_is_live(VIEW("stopping")));
    assert_false(sandbox_status_is_live(VIEW("destroyed")));
    assert_false(sandbox_status_is_live(VIEW("failed")));
    assert_false(sandbox_status_is_live(VIEW("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(a_create_is_checked),
        cmocka_unit_test(environment_names_have_one_shape),
        cmocka_unit_test(environment_names_end_at_128_characters),
        cmocka_unit_test(an_environment_ends_at_64_kibibytes),
        cmocka_unit_test(live_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
