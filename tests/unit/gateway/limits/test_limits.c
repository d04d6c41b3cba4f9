/* gateway/limits/limits.c: two gateways that share a real Redis. */
#include "gateway/limits/limits.h"

#include "common/base/clock.h"
#include "common/redis/redis.h"
#include "gateway/limits/bucket.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>

enum {
    GATEWAYS = 2,
    MANY = 50,
    WARM_MS = 150,
    HAMMER_MS = 2000,
    SLACK_MS = 400, /* of a busy machine */
    ROUNDED_MS = 2, /* clocks are cut to milliseconds */
};

struct fixture {
    struct redis_server *server;
    struct loop *loop;
    struct redis *redis[GATEWAYS];
    struct limits *limits[GATEWAYS];
};

struct outcome {
    bool done;
    int calls;
    enum limit_answer answer;
    struct limit_verdict verdict;
};

static void on_done(enum limit_answer answer, const struct limit_verdict *verdict, void *arg)
{
    struct outcome *outcome = arg;
    outcome->done = true;
    outcome->calls++;
    outcome->answer = answer;
    outcome->verdict = *verdict;
}

static struct limit_request request_of(const char *name, int32_t per_minute, int32_t burst)
{
    struct limit_request request = {.count = 1};
    request.claims[0].policy = "user";
    request.claims[0].rate = (struct limit_rate){per_minute, burst};
    (void)snprintf(request.claims[0].name, sizeof request.claims[0].name, "user:%s", name);
    return request;
}

/* A key in front of the user. */
static struct limit_request with_key(const struct limit_request *user, int32_t burst)
{
    struct limit_request both = {.count = 2};
    both.claims[0] = (struct limit_claim){.policy = "key", .rate = {1, burst}, .name = "key:1"};
    both.claims[1] = user->claims[0];
    return both;
}

static enum limit_answer begin(struct fixture *fixture, int gateway,
                               const struct limit_request *request, struct outcome *outcome,
                               struct limit_wait **wait)
{
    *outcome = (struct outcome){0};
    enum limit_answer answer =
        limits_take(fixture->limits[gateway], request, &outcome->verdict, wait, on_done, outcome);
    assert_int_equal(outcome->calls, 0);
    outcome->done = answer != LIMIT_WAITS;
    outcome->answer = answer;
    return answer;
}

static struct outcome take(struct fixture *fixture, int gateway,
                           const struct limit_request *request)
{
    struct outcome outcome;
    struct limit_wait *wait;
    (void)begin(fixture, gateway, request, &outcome, &wait);
    turn_until(fixture->loop, &outcome.done);
    return outcome;
}

static void assert_takes(struct fixture *fixture, int gateway, const struct limit_request *request,
                         int count, enum limit_answer expected)
{
    for (int i = 0; i < count; i++) {
        struct outcome outcome = take(fixture, gateway, request);
        if (outcome.answer != expected) {
            fail_msg("request %d: %d", i, (int)outcome.answer);
        }
    }
}

static void burst_is_admitted_and_more_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 10);
    struct outcome outcome = take(fixture, 0, &request);
    assert_int_equal(outcome.answer, LIMIT_ADMITTED);
    assert_string_equal(outcome.verdict.policy, "user");
    assert_int_equal(outcome.verdict.remaining, 9);
    assert_int_equal(outcome.verdict.rate.burst, 10);
    assert_in_range(outcome.verdict.full_ms, 59 * 1000, 60 * 1000);
    assert_takes(fixture, 0, &request, 9, LIMIT_ADMITTED);
    outcome = take(fixture, 0, &request);
    assert_int_equal(outcome.answer, LIMIT_REFUSED);
    assert_int_equal(outcome.verdict.remaining, 0);
    assert_in_range(outcome.verdict.retry_ms, 50 * 1000, 60 * 1000);
}

static void refusals_do_not_ask_redis(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 1);
    struct outcome outcome;
    struct limit_wait *wait;
    assert_takes(fixture, 0, &request, 1, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &request, 1, LIMIT_REFUSED);
    assert_int_equal(begin(fixture, 0, &request, &outcome, &wait), LIMIT_REFUSED);
}

static void others_are_not_concerned(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request one = request_of("1", 1, 1);
    const struct limit_request other = request_of("2", 1, 1);
    assert_takes(fixture, 0, &one, 1, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &one, 1, LIMIT_REFUSED);
    assert_takes(fixture, 0, &other, 1, LIMIT_ADMITTED);
}

static int take_until_refused(struct fixture *fixture, int gateway,
                              const struct limit_request *request)
{
    int admitted = 0;
    while (take(fixture, gateway, request).answer == LIMIT_ADMITTED) {
        admitted++;
    }
    return admitted;
}

/* The first may hold a token that the second does not get. */
static void gateways_share_a_limit(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 10);
    assert_takes(fixture, 0, &request, 6, LIMIT_ADMITTED);
    int second = take_until_refused(fixture, 1, &request);
    assert_in_range(second, 3, 4);
    assert_int_equal(second + take_until_refused(fixture, 0, &request), 4);
}

static void tokens_come_back(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 600, 2);
    assert_takes(fixture, 0, &request, 2, LIMIT_ADMITTED);
    struct outcome outcome = take(fixture, 0, &request);
    assert_int_equal(outcome.answer, LIMIT_REFUSED);
    turn_for(fixture->loop, outcome.verdict.retry_ms + ROUNDED_MS);
    assert_takes(fixture, 0, &request, 1, LIMIT_ADMITTED);
}

/* Both gateways are asked all the time. The bound is exact; how near it they come depends on how
 * often the machine lets this run. (Requests that fail closed, as on a very busy machine Redis may
 * seem to be away.) */
static void gateways_admit_not_one_too_many(void **state)
{
    struct fixture *fixture = *state;
    struct limit_request request = request_of("1", 6000, 200);
    int admitted = 0;
    request.fails_closed = true;
    int64_t began_us = clock_monotonic_us();
    int64_t elapsed_us = 0;
    while (elapsed_us < HAMMER_MS * (int64_t)1000) {
        for (int i = 0; i < GATEWAYS; i++) {
            admitted += take(fixture, i, &request).answer == LIMIT_ADMITTED;
        }
        elapsed_us = clock_monotonic_us() - began_us;
    }
    int64_t most =
        200 + elapsed_us * 6000 / BUCKET_TOKEN + 1; /* units are tokens a minute by microseconds */
    assert_in_range(admitted, (uintmax_t)most / 2, (uintmax_t)most);
}

static void leased_tokens_need_no_redis(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", LIMIT_RATE_MAX, LIMIT_RATE_MAX);
    struct outcome outcome;
    struct limit_wait *wait;
    int64_t end_ms = clock_monotonic_ms() + WARM_MS;
    while (clock_monotonic_ms() < end_ms) {
        assert_takes(fixture, 0, &request, 1, LIMIT_ADMITTED);
    }
    turn_for(fixture->loop, 1);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(begin(fixture, 0, &request, &outcome, &wait), LIMIT_ADMITTED);
    }
}

static void many_at_once_wait_for_one_order(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, MANY);
    struct outcome outcomes[MANY + 1];
    struct limit_wait *waits[MANY + 1];
    for (int i = 0; i <= MANY; i++) {
        assert_int_equal(begin(fixture, 0, &request, &outcomes[i], &waits[i]), LIMIT_WAITS);
    }
    for (int i = 0; i <= MANY; i++) {
        turn_until(fixture->loop, &outcomes[i].done);
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].answer, i < MANY ? LIMIT_ADMITTED : LIMIT_REFUSED);
    }
}

static void cancelled_request_hears_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 10);
    struct outcome cancelled;
    struct limit_wait *wait;
    assert_int_equal(begin(fixture, 0, &request, &cancelled, &wait), LIMIT_WAITS);
    limit_wait_cancel(wait);
    assert_takes(fixture, 0, &request, 1, LIMIT_ADMITTED);
    assert_int_equal(cancelled.calls, 0);
}

struct again {
    struct fixture *fixture;
    struct limit_request request;
    struct outcome outcome;
    bool called;
};

static void on_done_take_again(enum limit_answer answer, const struct limit_verdict *verdict,
                               void *arg)
{
    struct again *again = arg;
    struct limit_wait *wait;
    (void)verdict;
    assert_int_equal(answer, LIMIT_ADMITTED);
    again->called = true;
    (void)begin(again->fixture, 0, &again->request, &again->outcome, &wait);
}

static void request_may_be_followed_by_another_from_its_answer(void **state)
{
    struct fixture *fixture = *state;
    struct again again = {.fixture = fixture, .request = request_of("1", 1, 2)};
    struct limit_verdict verdict;
    struct limit_wait *wait;
    assert_int_equal(limits_take(fixture->limits[0], &again.request, &verdict, &wait,
                                 on_done_take_again, &again),
                     LIMIT_WAITS);
    turn_until(fixture->loop, &again.called);
    turn_until(fixture->loop, &again.outcome.done);
    assert_int_equal(again.outcome.answer, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &again.request, 1, LIMIT_REFUSED);
}

static void each_claim_must_have_a_token(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request user = request_of("1", 1, 10);
    const struct limit_request both = with_key(&user, 2);
    struct outcome outcome = take(fixture, 0, &both);
    assert_int_equal(outcome.answer, LIMIT_ADMITTED);
    assert_string_equal(outcome.verdict.policy, "key"); /* has less left */
    assert_int_equal(outcome.verdict.remaining, 1);
    assert_takes(fixture, 0, &both, 1, LIMIT_ADMITTED);
    outcome = take(fixture, 0, &both);
    assert_int_equal(outcome.answer, LIMIT_REFUSED);
    assert_string_equal(outcome.verdict.policy, "key");
    assert_takes(fixture, 0, &user, 8, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &user, 1, LIMIT_REFUSED);
}

/* The first one that is refused shows only by asking; those behind it are known to be. */
static void requests_refused_by_one_claim_spare_the_other(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request user = request_of("1", 1, 2);
    const struct limit_request both = with_key(&user, 20);
    const struct limit_request key = {.count = 1, .claims = {both.claims[0]}};
    struct outcome outcome;
    struct limit_wait *wait;
    assert_takes(fixture, 0, &both, 2, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &both, 1, LIMIT_REFUSED);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(begin(fixture, 0, &both, &outcome, &wait), LIMIT_REFUSED);
        assert_string_equal(outcome.verdict.policy, "user");
    }
    assert_takes(fixture, 0, &key, 17, LIMIT_ADMITTED);
}

static bool are_up(void *arg)
{
    const struct fixture *fixture = arg;
    return redis_is_up(fixture->redis[0]) && redis_is_up(fixture->redis[1]);
}

static bool are_down(void *arg)
{
    const struct fixture *fixture = arg;
    return !redis_is_up(fixture->redis[0]) && !redis_is_up(fixture->redis[1]);
}

static void without_redis_each_gateway_goes_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 3);
    struct limit_request closed = request_of("2", 1, 3);
    struct outcome outcome;
    struct limit_wait *wait;
    closed.fails_closed = true;
    assert_takes(fixture, 0, &closed, 1, LIMIT_ADMITTED);
    redis_server_kill(fixture->server);
    turn_until_true(fixture->loop, are_down, fixture);
    for (int i = 0; i < GATEWAYS; i++) {
        for (int j = 0; j < 3; j++) {
            assert_int_equal(begin(fixture, i, &request, &outcome, &wait), LIMIT_ADMITTED);
        }
        assert_int_equal(begin(fixture, i, &request, &outcome, &wait), LIMIT_REFUSED);
        assert_in_range(outcome.verdict.retry_ms, 50 * 1000, 60 * 1000);
        assert_int_equal(begin(fixture, i, &closed, &outcome, &wait), LIMIT_UNAVAILABLE);
    }
    redis_server_start_again(fixture->server);
    turn_until_true(fixture->loop, are_up, fixture);
    assert_takes(fixture, 0, &closed, 3, LIMIT_ADMITTED);
    assert_takes(fixture, 1, &closed, 1, LIMIT_REFUSED);
}

static void silent_redis_holds_requests_for_a_moment_only(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 3);
    struct limit_request closed = request_of("2", 1, 3);
    struct outcome outcome;
    struct limit_wait *wait;
    closed.fails_closed = true;
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGSTOP), 0);
    int64_t began_ms = clock_monotonic_ms();
    struct outcome closed_outcome;
    assert_int_equal(begin(fixture, 0, &closed, &closed_outcome, &wait), LIMIT_WAITS);
    outcome = take(fixture, 0, &request);
    assert_in_range(clock_monotonic_ms() - began_ms, 0, LIMIT_WAIT_MS + SLACK_MS);
    assert_int_equal(outcome.answer, LIMIT_ADMITTED);
    turn_until(fixture->loop, &closed_outcome.done);
    assert_int_equal(closed_outcome.answer, LIMIT_UNAVAILABLE);
    assert_int_equal(begin(fixture, 0, &request, &outcome, &wait), LIMIT_ADMITTED);
    assert_int_equal(begin(fixture, 0, &closed, &outcome, &wait), LIMIT_UNAVAILABLE);
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGCONT), 0);
    turn_for(fixture->loop, LIMIT_AWAY_MS + ROUNDED_MS);
    assert_takes(fixture, 0, &closed, 1, LIMIT_ADMITTED);
}

static void requests_that_wait_when_redis_dies_are_decided(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 3);
    struct outcome outcomes[4];
    struct limit_wait *wait;
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGSTOP), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(begin(fixture, 0, &request, &outcomes[i], &wait), LIMIT_WAITS);
    }
    redis_server_kill(fixture->server);
    for (int i = 0; i < 4; i++) {
        turn_until(fixture->loop, &outcomes[i].done);
        assert_int_equal(outcomes[i].answer, i < 3 ? LIMIT_ADMITTED : LIMIT_REFUSED);
    }
    redis_server_start_again(fixture->server);
}

static void used_up_is_told_without_taking(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request request = request_of("1", 1, 1);
    struct limits *limits = fixture->limits[0];
    struct limit_verdict verdict;
    assert_false(limits_are_used_up(limits, &request, &verdict));
    assert_takes(fixture, 0, &request, 1, LIMIT_ADMITTED);
    assert_takes(fixture, 0, &request, 1, LIMIT_REFUSED);
    assert_true(limits_are_used_up(limits, &request, &verdict));
    assert_in_range(verdict.retry_ms, 50 * 1000, 60 * 1000);
    assert_int_equal(verdict.remaining, 0);
}

static void higher_limit_takes_effect(void **state)
{
    struct fixture *fixture = *state;
    const struct limit_request lower = request_of("1", 1, 1);
    const struct limit_request higher = request_of("1", LIMIT_RATE_MAX, 10);
    assert_takes(fixture, 0, &lower, 1, LIMIT_ADMITTED);
    turn_for(fixture->loop, 1);
    assert_takes(fixture, 0, &higher, 5, LIMIT_ADMITTED);
}

static void buckets_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct outcome outcome;
    struct limit_wait *wait;
    char name[16];
    redis_server_kill(fixture->server);
    turn_until_true(fixture->loop, are_down, fixture);
    for (int i = 0; i < LIMITS_BUCKETS_MAX + MANY; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        const struct limit_request request = request_of(name, 1, 1);
        assert_int_equal(begin(fixture, 0, &request, &outcome, &wait), LIMIT_ADMITTED);
    }
    assert_int_equal(limits_bucket_count(fixture->limits[0]), LIMITS_BUCKETS_MAX);
    const struct limit_request oldest = request_of("0", 1, 1);
    const struct limit_request newest = request_of(name, 1, 1);
    assert_int_equal(begin(fixture, 0, &newest, &outcome, &wait), LIMIT_REFUSED);
    assert_int_equal(begin(fixture, 0, &oldest, &outcome, &wait), LIMIT_ADMITTED);
    redis_server_start_again(fixture->server);
}

static int open_fixture(void **state)
{
    static const char *const ids[GATEWAYS] = {"a0000000-0000-4000-8000-000000000000",
                                              "b0000000-0000-4000-8000-000000000000"};
    struct fixture *fixture = *state;
    struct err err = {0};
    redis_server_run(fixture->server, "FLUSHALL");
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    for (int i = 0; i < GATEWAYS; i++) {
        fixture->redis[i] = redis_open(fixture->loop, redis_server_url(fixture->server), &err);
        assert_non_null(fixture->redis[i]);
        fixture->limits[i] = limits_new(fixture->redis[i], "test", ids[i], &err);
        assert_non_null(fixture->limits[i]);
    }
    turn_until_true(fixture->loop, are_up, fixture);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < GATEWAYS; i++) {
        limits_free(fixture->limits[i]);
        redis_close(fixture->redis[i]);
    }
    loop_free(fixture->loop);
    return 0;
}

static int start_server(void **state)
{
    static struct fixture fixture;
    fixture.server = redis_server_start(NULL);
    *state = &fixture;
    return 0;
}

static int remove_server(void **state)
{
    struct fixture *fixture = *state;
    redis_server_remove(fixture->server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(burst_is_admitted_and_more_refused),
        TEST(refusals_do_not_ask_redis),
        TEST(others_are_not_concerned),
        TEST(gateways_share_a_limit),
        TEST(tokens_come_back),
        TEST(gateways_admit_not_one_too_many),
        TEST(leased_tokens_need_no_redis),
        TEST(many_at_once_wait_for_one_order),
        TEST(cancelled_request_hears_nothing),
        TEST(request_may_be_followed_by_another_from_its_answer),
        TEST(each_claim_must_have_a_token),
        TEST(requests_refused_by_one_claim_spare_the_other),
        TEST(without_redis_each_gateway_goes_alone),
        TEST(silent_redis_holds_requests_for_a_moment_only),
        TEST(requests_that_wait_when_redis_dies_are_decided),
        TEST(used_up_is_told_without_taking),
        TEST(higher_limit_takes_effect),
        TEST(buckets_are_bounded),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
