/* Stats over REST, with an agent of the test's own. */
#include "tests/unit/gateway/native/rest_stage.h"

#include "tests/support/turn.h"

#define STATS "GET " REST_SANDBOX "/stats"

static void the_agent_is_asked(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, STATS, "", VIEW(""));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"type\":\"stats\"");
    rest_answer(stage, "\"type\":\"statsResponse\",\"atMs\":0,\"memory\":{\"bytes\":5}");
    rest_wait_for(stage, "\"stats\":{\"memory\":{\"usage\":5,\"limit\":null,");
    assert_received(stage, "HTTP/1.1 200 ");
}

static void nonsense_of_the_agent_is_not_passed_on(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, STATS, "", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"statsResponse\",\"atMs\":\"x\"");
    rest_wait_for(stage, "\"code\":\"internal");
    assert_received(stage, "HTTP/1.1 500 ");
}

static void the_length_of_a_history_has_bounds(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, STATS "/history?limit=721", "", VIEW(""));
    rest_wait_for(stage, "\"code\":\"validation_failed\"");
    assert_received(stage, "HTTP/1.1 400 ");
}

#define STATS_TEST(name) cmocka_unit_test_setup_teardown(name, rest_stage_open, rest_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATS_TEST(the_agent_is_asked),
        STATS_TEST(nonsense_of_the_agent_is_not_passed_on),
        STATS_TEST(the_length_of_a_history_has_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
