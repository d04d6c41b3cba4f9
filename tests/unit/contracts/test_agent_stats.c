#include "common/contracts/agent_stats.h"

#include "tests/unit/contracts/round_trip.h"

static void what_is_known_survives(void **state)
{
    (void)state;
    struct agent_usage usage;
    expect_round_trip(
        &agent_usage_schema, &usage,
        "{\"atMs\":1,\"memory\":{\"bytes\":5,\"limitBytes\":6,\"peakBytes\":7,\"oomKills\":0},"
        "\"cpu\":{\"us\":12345678901,\"nowMilli\":0,\"limitMilli\":1500,\"throttledUs\":3},"
        "\"pids\":{\"count\":2,\"limit\":256,\"refused\":0},"
        "\"network\":{\"receivedBytes\":1,\"sentBytes\":2},"
        "\"disk\":{\"bytes\":1,\"limitBytes\":2}}");
    assert_true(usage.cpu.has_now);
    assert_int_equal(usage.cpu.us, 12345678901);
}

static void what_is_not_known_is_left_out(void **state)
{
    (void)state;
    struct agent_usage usage;
    expect_round_trip(&agent_usage_schema, &usage,
                      "{\"memory\":{},\"cpu\":{\"us\":0},\"pids\":{},\"network\":{},\"disk\":{}}");
    assert_false(usage.has_at);
    assert_false(usage.memory.has_limit);
    assert_true(usage.cpu.has_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_survives),
        cmocka_unit_test(what_is_not_known_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
