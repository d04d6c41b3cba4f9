/* gateway/native/client_admission.c, and what the relay makes of it: messages of a socket that
 * count. */
#include "gateway/native/client_admission.h"

#include "common/redis/redis.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/relay_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { BURST = 3 };

static struct redis_server *server;
static struct redis *redis;
static struct limits *limits;

static bool is_up(void *arg)
{
    (void)arg;
    return redis_is_up(redis);
}

/* Messages of the stage's client cost one of BURST, of a limit that hardly refills. */
static void count_messages(struct relay_stage *stage, const char *url)
{
    struct err err = {0};
    struct limit_request costs = {.count = 1};
    costs.claims[0] = (struct limit_claim){.policy = "user", .rate = {1, BURST}, .name = "user:1"};
    redis = redis_open(relay_loop(stage), url, &err);
    assert_non_null(redis);
    limits = limits_new(redis, "test", "a", &err);
    assert_non_null(limits);
    client_relay_count(&stage->relay, limits, &costs);
}

static void count_with_redis(struct relay_stage *stage)
{
    redis_server_run(server, "FLUSHALL");
    count_messages(stage, redis_server_url(server));
    turn_until_true(relay_loop(stage), is_up, NULL);
}

static void count_alone(struct relay_stage *stage)
{
    count_messages(stage, "unix:///nowhere/redis.sock");
}

static void assert_refused(struct relay_stage *stage, const char *id)
{
    char head[64];
    relay_wait_for(stage, relay_client_has_text);
    (void)snprintf(head, sizeof head, "{\"id\":%s,\"type\":\"error\",", id);
    const char *text = stage->at_client.text;
    assert_true(strncmp(text, head, strlen(head)) == 0);
    assert_non_null(strstr(text, "\"code\":\"rate_limited\","));
    const char *wait = strstr(text, "\"retryAfterMs\":");
    assert_non_null(wait);
    assert_in_range(strtol(wait + strlen("\"retryAfterMs\":"), NULL, 10), 50 * 1000, 60 * 1000);
    stage->at_client.texts = 0;
}

static void ask_and_be_answered(struct relay_stage *stage)
{
    stage->answer = "\"type\":\"psResponse\"";
    relay_ask(stage, "{\"id\":\"1\",\"type\":\"ps\"}");
    relay_wait_for_text(stage, "{\"id\":\"1\",\"streamId\":0,\"type\":\"psResponse\"}");
}

static void messages_beyond_the_limit_are_refused_and_the_socket_stays(void **state)
{
    struct relay_stage *stage = *state;
    count_with_redis(stage);
    for (int i = 0; i < BURST; i++) {
        ask_and_be_answered(stage);
    }
    relay_ask(stage, "{\"id\":\"2\",\"type\":\"ps\"}");
    assert_refused(stage, "\"2\"");
    relay_ask(stage, "{\"id\":\"3\",\"type\":\"exec\",\"command\":\"x\"}");
    assert_refused(stage, "\"3\"");
    assert_int_equal(stage->at_agent.texts, BURST);
    assert_false(stage->client_closed);
}

static void what_is_no_request_counts_too(void **state)
{
    struct relay_stage *stage = *state;
    count_with_redis(stage);
    relay_ask(stage, "[]");
    relay_wait_for_error(stage, "null", "invalid_message");
    relay_ask(stage, "{\"type\":\"ps\"}");
    relay_wait_for_error(stage, "null", "invalid_message");
    relay_ask(stage, "{\"id\":\"1\",\"type\":\"unwatch\",\"streamId\":7}");
    relay_wait_for_error(stage, "\"1\"", "stream_not_open");
    relay_ask(stage, "[]");
    assert_refused(stage, "null");
}

static void frames_of_streams_do_not_count(void **state)
{
    struct relay_stage *stage = *state;
    count_with_redis(stage);
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    for (int i = 0; i < 2 * BURST; i++) {
        relay_send_frame(stage, 500, STREAM_DATA, VIEW("x"));
    }
    ask_and_be_answered(stage);
    ask_and_be_answered(stage);
    assert_int_equal(stage->at_agent.bytes, 2 * BURST);
}

/* The first waits for Redis; those behind it come in their turn. */
static void messages_that_wait_keep_their_order(void **state)
{
    struct relay_stage *stage = *state;
    char text[64];
    count_with_redis(stage);
    for (int i = 1; i <= BURST; i++) {
        (void)snprintf(text, sizeof text, "{\"id\":\"%d\",\"type\":\"ps\",\"n\":%d}", i, i);
        relay_ask(stage, text);
    }
    while (stage->at_agent.texts < BURST) {
        int before = stage->at_agent.texts;
        stage->at_agent.texts = 0;
        relay_wait_for(stage, relay_agent_has_text);
        stage->at_agent.texts += before;
        (void)snprintf(text, sizeof text, "\"n\":%d", stage->at_agent.texts);
        assert_non_null(strstr(stage->at_agent.text, text));
    }
}

static void without_redis_this_gateway_counts(void **state)
{
    struct relay_stage *stage = *state;
    count_alone(stage);
    for (int i = 0; i < BURST; i++) {
        ask_and_be_answered(stage);
    }
    relay_ask(stage, "{\"id\":\"2\",\"type\":\"ps\"}");
    assert_refused(stage, "\"2\"");
}

static bool is_closed(void *arg)
{
    const struct relay_stage *stage = arg;
    return stage->client_closed;
}

static void who_goes_on_unheeding_is_sent_away(void **state)
{
    struct relay_stage *stage = *state;
    count_alone(stage);
    for (int i = 0; i < BURST + CLIENT_REFUSALS_MAX; i++) {
        relay_ask(stage, "{\"id\":\"1\",\"type\":\"resize\"}");
    }
    while (stage->at_client.texts < CLIENT_REFUSALS_MAX) {
        turn_for(relay_loop(stage), 1);
    }
    assert_false(stage->client_closed);
    relay_ask(stage, "{\"id\":\"1\",\"type\":\"resize\"}");
    relay_wait_for(stage, is_closed);
    assert_int_equal(stage->client_close_code, WS_CLOSE_POLICY);
}

static void a_socket_that_ends_waits_no_more(void **state)
{
    struct relay_stage *stage = *state;
    count_with_redis(stage);
    relay_ask(stage, "{\"id\":\"1\",\"type\":\"ps\"}");
    while (stage->relay.admission.wait == NULL) {
        (void)event_base_loop(loop_base(relay_loop(stage)), EVLOOP_ONCE);
    }
    client_relay_close(&stage->relay);
    assert_null(stage->relay.admission.wait);
}

static int close_stage(void **state)
{
    struct relay_stage *stage = *state;
    client_relay_close(&stage->relay);
    limits_free(limits);
    redis_close(redis);
    return relay_stage_close(state);
}

static int start_server(void **state)
{
    (void)state;
    server = redis_server_start(NULL);
    return 0;
}

static int remove_server(void **state)
{
    (void)state;
    redis_server_remove(server);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_stage_open, close_stage)
    const struct CMUnitTest tests[] = {
        TEST(messages_beyond_the_limit_are_refused_and_the_socket_stays),
        TEST(what_is_no_request_counts_too),
        TEST(frames_of_streams_do_not_count),
        TEST(messages_that_wait_keep_their_order),
        TEST(without_redis_this_gateway_counts),
        TEST(who_goes_on_unheeding_is_sent_away),
        TEST(a_socket_that_ends_waits_no_more),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
