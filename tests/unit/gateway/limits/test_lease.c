/* The script of gateway/limits/lease.c in a real Redis. */
#include "gateway/limits/lease.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY "insien:test:limit:user:1"

enum { TIMEOUT_MS = 3000, PAUSE_MS = 20 };

/* One token a minute: no time passes, for a test. */
static const struct limit_rate slow = {1, 10};
static const struct limit_rate fast = {LIMIT_RATE_MAX, 10};

struct fixture {
    struct redis_server *server;
    struct loop *loop;
    struct redis *redis;
};

struct answer {
    bool done;
    int32_t wanted;
    int32_t granted;
    int64_t units;
};

static void on_lease(const redisReply *reply, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    struct err failure = {0};
    if (err != NULL) {
        fail_msg("%s", err->message);
    }
    assert_true(lease_read(reply, answer->wanted, &answer->granted, &answer->units, &failure));
    answer->done = true;
}

static struct answer lease(struct fixture *fixture, const char *gateway, struct limit_rate rate,
                           struct bucket_order order)
{
    struct answer answer = {.wanted = order.wanted};
    struct err err = {0};
    const struct lease sent = {.key = KEY, .gateway = gateway, .rate = rate, .order = &order};
    assert_true(lease_send(fixture->redis, &sent, TIMEOUT_MS, on_lease, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static int32_t granted(struct fixture *fixture, const char *gateway, struct limit_rate rate,
                       struct bucket_order order)
{
    return lease(fixture, gateway, rate, order).granted;
}

/* Tokens. */
static int64_t left(struct fixture *fixture, const char *gateway, struct limit_rate rate,
                    struct bucket_order order)
{
    return lease(fixture, gateway, rate, order).units / BUCKET_TOKEN;
}

static void on_number(const redisReply *reply, const struct err *err, void *arg)
{
    long long *number = arg;
    assert_null(err);
    *number = reply->integer;
}

static bool has_number(void *arg)
{
    return *(long long *)arg != INT64_MIN;
}

static long long time_to_live_ms(struct fixture *fixture)
{
    const struct view words[] = {VIEW("PTTL"), VIEW(KEY)};
    long long number = INT64_MIN;
    struct err err = {0};
    assert_true(redis_send(fixture->redis, words, 2, TIMEOUT_MS, on_number, &number, &err));
    turn_until_true(fixture->loop, has_number, &number);
    return number;
}

static void new_bucket_is_full(void **state)
{
    struct answer answer = lease(*state, "a", slow, (struct bucket_order){.wanted = 3});
    assert_int_equal(answer.granted, 3);
    assert_int_equal(answer.units, 7LL * BUCKET_TOKEN);
}

static void gateways_share_what_is_there(void **state)
{
    assert_int_equal(granted(*state, "a", slow, (struct bucket_order){.wanted = 7}), 7);
    assert_int_equal(granted(*state, "b", slow, (struct bucket_order){.wanted = 7}), 3);
    assert_int_equal(granted(*state, "a", slow, (struct bucket_order){.wanted = 1}), 0);
}

static void tokens_that_are_held_are_not_made_again(void **state)
{
    assert_int_equal(granted(*state, "a", fast, (struct bucket_order){.wanted = 4}), 4);
    turn_for(((struct fixture *)*state)->loop, PAUSE_MS);
    assert_int_equal(granted(*state, "b", fast, (struct bucket_order){.wanted = 10}), 6);
    turn_for(((struct fixture *)*state)->loop, PAUSE_MS);
    assert_int_equal(granted(*state, "a", fast, (struct bucket_order){.wanted = 10, .kept = 4}), 0);
}

static void tokens_that_are_used_at_once_are_made_again(void **state)
{
    const struct bucket_order all = {.wanted = 10, .waiting = 10};
    assert_int_equal(granted(*state, "a", fast, all), 10);
    turn_for(((struct fixture *)*state)->loop, PAUSE_MS);
    assert_int_equal(granted(*state, "a", fast, all), 10);
}

static void tokens_that_were_used_are_made_again(void **state)
{
    assert_int_equal(granted(*state, "a", fast, (struct bucket_order){.wanted = 10}), 10);
    turn_for(((struct fixture *)*state)->loop, PAUSE_MS);
    assert_int_equal(granted(*state, "a", fast, (struct bucket_order){.wanted = 1}), 0);
    turn_for(((struct fixture *)*state)->loop, PAUSE_MS);
    assert_int_equal(granted(*state, "a", fast, (struct bucket_order){.wanted = 10}), 10);
}

static void unused_tokens_are_taken_back_once(void **state)
{
    const struct bucket_order back = {.returned = 4};
    assert_int_equal(granted(*state, "a", slow, (struct bucket_order){.wanted = 10}), 10);
    assert_int_equal(left(*state, "a", slow, back), 4);
    assert_int_equal(left(*state, "a", slow, back), 4);
    assert_int_equal(granted(*state, "b", slow, (struct bucket_order){.wanted = 10}), 4);
}

static void nothing_is_taken_back_of_what_was_not_granted(void **state)
{
    assert_int_equal(granted(*state, "a", slow, (struct bucket_order){.wanted = 6}), 6);
    const struct bucket_order too_much = {.kept = 5, .returned = 6};
    assert_int_equal(left(*state, "a", slow, too_much), 5);
    assert_int_equal(left(*state, "b", slow, too_much), 0);
}

static void dead_gateway_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(granted(fixture, "a", fast, (struct bucket_order){.wanted = 9}), 9);
    turn_for(fixture->loop, LEASE_KEPT_MS / 2);
    assert_int_equal(left(fixture, "b", fast, (struct bucket_order){0}), 1);
    turn_for(fixture->loop, LEASE_KEPT_MS / 2 + PAUSE_MS);
    assert_int_equal(granted(fixture, "b", fast, (struct bucket_order){.wanted = 10}), 10);
}

static void lower_burst_takes_effect(void **state)
{
    assert_int_equal(granted(*state, "a", slow, (struct bucket_order){.wanted = 1}), 1);
    const struct limit_rate lower = {1, 5};
    assert_int_equal(granted(*state, "b", lower, (struct bucket_order){.wanted = 10}), 4);
}

static void bucket_lives_until_it_would_be_full(void **state)
{
    struct fixture *fixture = *state;
    (void)lease(fixture, "a", slow, (struct bucket_order){.wanted = 2});
    assert_in_range(time_to_live_ms(fixture), 110 * 1000, 121 * 1000);
}

static void bucket_lives_while_tokens_are_held(void **state)
{
    struct fixture *fixture = *state;
    (void)lease(fixture, "a", fast, (struct bucket_order){.wanted = 2});
    assert_in_range(time_to_live_ms(fixture), LEASE_KEPT_MS / 2, LEASE_KEPT_MS + 2);
}

static void largest_bucket_is_exact(void **state)
{
    const struct limit_rate largest = {1, LIMIT_RATE_MAX};
    struct answer answer = lease(*state, "a", largest, (struct bucket_order){.wanted = 1});
    assert_int_equal(answer.units, (LIMIT_RATE_MAX - 1LL) * BUCKET_TOKEN);
    answer = lease(*state, "b", largest, (struct bucket_order){.wanted = LIMIT_RATE_MAX});
    assert_int_equal(answer.granted, LIMIT_RATE_MAX - 1);
}

static void other_replies_are_refused(void **state)
{
    (void)state;
    redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = 2};
    redisReply negative = {.type = REDIS_REPLY_INTEGER, .integer = -1};
    redisReply text = {.type = REDIS_REPLY_STRING};
    redisReply *good[] = {&number, &number};
    redisReply *granted_text[] = {&text, &number};
    redisReply *units_text[] = {&number, &text};
    redisReply *granted_negative[] = {&negative, &number};
    redisReply *units_negative[] = {&number, &negative};
    const struct {
        const char *name;
        redisReply reply;
        int32_t wanted;
        bool is_good;
    } cases[] = {
        {"good", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = good}, 2, true},
        {"too much", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = good}, 1, false},
        {"one", {.type = REDIS_REPLY_ARRAY, .elements = 1, .element = good}, 2, false},
        {"none", {.type = REDIS_REPLY_NIL}, 2, false},
        {"text", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = granted_text}, 2, false},
        {"units", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = units_text}, 2, false},
        {"less", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = granted_negative}, 2, false},
        {"debt", {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = units_negative}, 2, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t got;
        int64_t units;
        struct err err = {0};
        if (lease_read(&cases[i].reply, cases[i].wanted, &got, &units, &err) != cases[i].is_good) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static bool is_up(void *arg)
{
    const struct fixture *fixture = arg;
    return redis_is_up(fixture->redis);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    redis_server_run(fixture->server, "FLUSHALL");
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->redis = redis_open(fixture->loop, redis_server_url(fixture->server), &err);
    assert_non_null(fixture->redis);
    turn_until_true(fixture->loop, is_up, fixture);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    redis_close(fixture->redis);
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
        TEST(new_bucket_is_full),
        TEST(gateways_share_what_is_there),
        TEST(tokens_that_are_held_are_not_made_again),
        TEST(tokens_that_are_used_at_once_are_made_again),
        TEST(tokens_that_were_used_are_made_again),
        TEST(unused_tokens_are_taken_back_once),
        TEST(nothing_is_taken_back_of_what_was_not_granted),
        TEST(dead_gateway_is_forgotten),
        TEST(lower_burst_takes_effect),
        TEST(bucket_lives_until_it_would_be_full),
        TEST(bucket_lives_while_tokens_are_held),
        TEST(largest_bucket_is_exact),
        TEST(other_replies_are_refused),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
