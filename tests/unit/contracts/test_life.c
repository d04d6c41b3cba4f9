#include "common/contracts/life.h"

#include "tests/unit/contracts/round_trip.h"

#define SANDBOX "11111111-1111-4111-8111-111111111111"
#define USER "22222222-2222-4222-8222-222222222222"
#define TIME "2026-01-31T23:59:59.123Z"
#define IDS "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER "\""

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct life_state life;
    struct sandbox_pause pause;
    struct sandbox_resume resume;
    struct sandbox_times times;
    struct sandbox_active active;
    expect_round_trip(&life_state_schema, &life,
                      "{\"status\":\"paused\",\"pausedAt\":\"" TIME
                      "\",\"pauseMode\":\"disk\",\"onTimeout\":\"pause\","
                      "\"idleTimeoutMs\":10000,\"autoResume\":false}");
    expect_round_trip(&sandbox_pause_schema, &pause, IDS ",\"mode\":\"freeze\"}");
    expect_round_trip(&sandbox_resume_schema, &resume,
                      IDS ",\"timeoutMs\":60000,\"automatic\":true}");
    expect_round_trip(&sandbox_times_schema, &times,
                      IDS ",\"timeoutMs\":-1,\"idleTimeoutMs\":0,\"onTimeout\":\"destroy\","
                          "\"autoResume\":false}");
    expect_round_trip(&sandbox_active_schema, &active,
                      "{\"gatewayId\":\"" USER "\",\"active\":{\"" SANDBOX "\":\"1234\"}}");
}

static void what_is_left_as_it_is_is_told_from_none(void **state)
{
    (void)state;
    struct sandbox_times times;
    expect_round_trip(&sandbox_times_schema, &times, IDS ",\"timeoutMs\":0,\"idleTimeoutMs\":-1}");
    assert_int_equal(times.timeout_ms, 0);
    assert_int_equal(times.idle_timeout_ms, -1);
    assert_false(times.has_auto_resume);
}

static void modes_and_policies_are_few(void **state)
{
    (void)state;
    struct sandbox_pause pause;
    struct sandbox_times times;
    struct err err;
    assert_string_not_equal(
        refusal(&sandbox_pause_schema, &pause, IDS ",\"mode\":\"sleep\"}", &err), "");
    assert_string_not_equal(
        refusal(&sandbox_times_schema, &times,
                IDS ",\"timeoutMs\":-1,\"idleTimeoutMs\":-1,\"onTimeout\":\"forget\"}", &err),
        "");
}

static void pair_is_an_id_and_a_number(void **state)
{
    (void)state;
    char id[ID_SIZE];
    int64_t age_ms;
    const struct json_pair good = {VIEW(SANDBOX), VIEW("1234")};
    const struct json_pair wrong[] = {{VIEW("x"), VIEW("1")},
                                      {VIEW(SANDBOX), VIEW("")},
                                      {VIEW(SANDBOX), VIEW("-1")},
                                      {VIEW(SANDBOX), VIEW("1234567890")}};
    assert_true(sandbox_active_read(&good, id, &age_ms));
    assert_string_equal(id, SANDBOX);
    assert_int_equal(age_ms, 1234);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sandbox_active_read(&wrong[i], id, &age_ms));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(what_is_left_as_it_is_is_told_from_none),
        cmocka_unit_test(modes_and_policies_are_few),
        cmocka_unit_test(pair_is_an_id_and_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
