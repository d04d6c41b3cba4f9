/* gateway/stats/history.c, with a real Redis. */
#include "gateway/stats/history.h"

#include "common/contracts/agent_stats.h"
#include "common/event/loop.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

#define SANDBOX "33333333-3333-4333-8333-333333333333"
#define KEY "insien:test:stats:" SANDBOX

struct fixture {
    struct redis_server *server;
    redisContext *redis; /* the test's own connection */
    struct gateway_config config;
    struct gateway gateway;
    struct stats_history *history;
    bool told;
    bool failed;
    struct str samples;
    struct agent_usage usage;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture = (struct fixture){.samples = STR_INIT(STATS_HISTORY_MAX)};
    fixture.server = redis_server_start(NULL);
    fixture.redis = redisConnectUnix(redis_server_url(fixture.server) + strlen("unix://"));
    assert_non_null(fixture.redis);
    (void)snprintf(fixture.config.redis_url, sizeof fixture.config.redis_url, "%s",
                   redis_server_url(fixture.server));
    (void)snprintf(fixture.config.instance, sizeof fixture.config.instance, "test");
    fixture.gateway.config = &fixture.config;
    fixture.gateway.loop = loop_new(&err);
    assert_non_null(fixture.gateway.loop);
    fixture.history = stats_history_open(&fixture.gateway, &err);
    assert_non_null(fixture.history);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    stats_history_close(fixture->history);
    str_free(&fixture->samples);
    redisFree(fixture->redis);
    redis_server_remove(fixture->server);
    loop_free(fixture->gateway.loop);
    return 0;
}

static void on_samples(const struct view *samples, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->told = true;
    fixture->failed = err != NULL;
    str_clear(&fixture->samples);
    if (samples != NULL) {
        str_append_view(&fixture->samples, *samples);
    }
}

/* Whether a look could begin: only with a connection. */
static bool looks(void *arg)
{
    struct fixture *fixture = arg;
    struct err err = {0};
    return stats_look_begin(fixture->history, SANDBOX, STATS_SAMPLES_MAX, on_samples, fixture,
                            &err) != NULL;
}

static const char *look(struct fixture *fixture, int64_t count)
{
    struct err err = {0};
    fixture->told = false;
    assert_non_null(stats_look_begin(fixture->history, SANDBOX, count, on_samples, fixture, &err));
    turn_until(fixture->gateway.loop, &fixture->told);
    return fixture->samples.data == NULL ? "" : fixture->samples.data;
}

static void connect_redis(struct fixture *fixture)
{
    turn_until_true(fixture->gateway.loop, looks, fixture);
    turn_until(fixture->gateway.loop, &fixture->told);
}

static void add(struct fixture *fixture, int64_t at_ms)
{
    const struct agent_usage usage = {
        .at_ms = at_ms,
        .has_at = true,
        .cpu = {.us = 2500000, .has_us = true, .now_milli = 255, .has_now = true}};
    stats_history_add(fixture->history, SANDBOX, &usage);
}

static int64_t ask_redis(struct fixture *fixture, const char *command)
{
    redisReply *reply = redisCommand(fixture->redis, command);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    int64_t value = reply->integer;
    freeReplyObject(reply);
    return value;
}

static void without_samples_a_history_is_empty(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    assert_string_equal(look(fixture, 5), "[]");
}

static void the_newest_are_told_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    for (int64_t at_ms = 1; at_ms <= 3; at_ms++) {
        add(fixture, at_ms);
    }
#define REST                                                                                       \
    "\"memory\":null,\"cpuMs\":2500,\"cpuPercent\":25.5,\"rx\":null,\"tx\":null,\"pids\":null,"    \
    "\"disk\":null}"
    assert_string_equal(look(fixture, 2), "[{\"at\":2," REST ",{\"at\":3," REST "]");
}

static void an_hour_is_kept_and_then_forgotten(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    for (int64_t at_ms = 0; at_ms < STATS_SAMPLES_MAX + 10; at_ms++) {
        add(fixture, at_ms);
    }
    assert_int_equal(strncmp(look(fixture, STATS_SAMPLES_MAX), "[{\"at\":10,", 10), 0);
    assert_int_equal(ask_redis(fixture, "LLEN " KEY), STATS_SAMPLES_MAX);
    int64_t left_ms = ask_redis(fixture, "PTTL " KEY);
    assert_true(left_ms > 0 && left_ms <= STATS_KEPT_MS);
}

static void what_is_no_json_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    (void)ask_redis(fixture, "RPUSH " KEY " {} ]x {\"a\":1}");
    assert_string_equal(look(fixture, 5), "[{},{\"a\":1}]");
}

static void on_recent(const struct agent_usage *usage, void *arg)
{
    struct fixture *fixture = arg;
    fixture->told = true;
    fixture->usage = *usage;
}

static void look_at_recent(struct fixture *fixture)
{
    struct err err = {0};
    fixture->told = false;
    assert_non_null(stats_recent_begin(fixture->history, SANDBOX, on_recent, fixture, &err));
    turn_until(fixture->gateway.loop, &fixture->told);
}

static void the_newest_and_the_disk_are_known_without_an_agent(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    look_at_recent(fixture);
    assert_false(fixture->usage.has_at || fixture->usage.disk.has_bytes);
    add(fixture, 1);
    add(fixture, 2);
    freeReplyObject(redisCommand(fixture->redis, "SET insien:test:disk:" SANDBOX " 4096"));
    look_at_recent(fixture);
    assert_int_equal(fixture->usage.at_ms, 2);
    assert_int_equal(fixture->usage.cpu.us, 2500000);
    assert_false(fixture->usage.memory.has_bytes);
    assert_int_equal(fixture->usage.disk.bytes, 4096);
}

static void a_sample_has_the_disk_that_was_measured(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    freeReplyObject(redisCommand(fixture->redis, "SET insien:test:disk:" SANDBOX " 4096"));
    add(fixture, 1);
    assert_non_null(strstr(look(fixture, 1), "\"disk\":4096}"));
    freeReplyObject(redisCommand(fixture->redis, "SET insien:test:disk:" SANDBOX " x"));
    add(fixture, 2);
    assert_non_null(strstr(look(fixture, 1), "\"disk\":null}"));
}

static void without_redis_there_is_none(void **state)
{
    struct fixture *fixture = *state;
    connect_redis(fixture);
    redis_server_kill(fixture->server);
    fixture->told = false;
    struct err err = {0};
    if (stats_look_begin(fixture->history, SANDBOX, 1, on_samples, fixture, &err) != NULL) {
        turn_until(fixture->gateway.loop, &fixture->told);
        assert_true(fixture->failed);
    }
    add(fixture, 1); /* goes nowhere, and hurts nobody */
}

#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(without_samples_a_history_is_empty),
        HISTORY_TEST(the_newest_are_told_in_their_order),
        HISTORY_TEST(an_hour_is_kept_and_then_forgotten),
        HISTORY_TEST(what_is_no_json_is_left_out),
        HISTORY_TEST(the_newest_and_the_disk_are_known_without_an_agent),
        HISTORY_TEST(a_sample_has_the_disk_that_was_measured),
        HISTORY_TEST(without_redis_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
