/* common/redis/subscription.c against a real Redis. */
#include "common/redis/redis.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>

#define CHANNEL "insien:test:invalidate"

struct fixture {
    struct redis_server *server;
    struct loop *loop;
    struct redis_subscription *subscription;
    bool subscribed;
    int state_changes;
    int messages;
    char last[64];
    bool leave_at_message;
};

static void on_message(struct view message, void *arg)
{
    struct fixture *fixture = arg;
    fixture->messages++;
    (void)snprintf(fixture->last, sizeof fixture->last, "%.*s", (int)message.len, message.ptr);
    if (fixture->leave_at_message) {
        redis_unsubscribe(fixture->subscription);
        fixture->subscription = NULL;
    }
}

static void on_state(bool subscribed, void *arg)
{
    struct fixture *fixture = arg;
    assert_true(fixture->subscribed != subscribed);
    fixture->subscribed = subscribed;
    fixture->state_changes++;
}

static const struct redis_subscriber subscriber = {.on_message = on_message, .on_state = on_state};

static bool is_lost(void *arg)
{
    const struct fixture *fixture = arg;
    return !fixture->subscribed;
}

static bool has_message(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->messages > 0;
}

static void published_message_arrives(void **state)
{
    struct fixture *fixture = *state;
    redis_server_run(fixture->server, "PUBLISH " CHANNEL " hello");
    turn_until_true(fixture->loop, has_message, fixture);
    assert_string_equal(fixture->last, "hello");
    redis_server_run(fixture->server, "PUBLISH insien:other:invalidate hello");
    turn_for(fixture->loop, 50);
    assert_int_equal(fixture->messages, 1);
}

/* Longer than a silent connection may live. */
static void quiet_subscription_stays(void **state)
{
    struct fixture *fixture = *state;
    turn_for(fixture->loop, 4000);
    assert_int_equal(fixture->state_changes, 1);
    redis_server_run(fixture->server, "PUBLISH " CHANNEL " once");
    turn_until_true(fixture->loop, has_message, fixture);
    turn_for(fixture->loop, 50);
    assert_int_equal(fixture->messages, 1);
}

static void dead_server_is_told_at_once_and_found_again(void **state)
{
    struct fixture *fixture = *state;
    redis_server_kill(fixture->server);
    turn_until_true(fixture->loop, is_lost, fixture);
    redis_server_start_again(fixture->server);
    turn_until(fixture->loop, &fixture->subscribed);
    redis_server_run(fixture->server, "PUBLISH " CHANNEL " again");
    turn_until_true(fixture->loop, has_message, fixture);
}

static void silent_server_counts_as_lost(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGSTOP), 0);
    turn_until_true(fixture->loop, is_lost, fixture);
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGCONT), 0);
    turn_until(fixture->loop, &fixture->subscribed);
}

static void subscriber_may_leave_at_a_message(void **state)
{
    struct fixture *fixture = *state;
    fixture->leave_at_message = true;
    redis_server_run(fixture->server, "PUBLISH " CHANNEL " one");
    turn_until_true(fixture->loop, has_message, fixture);
    turn_for(fixture->loop, 20);
    assert_null(fixture->subscription);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    struct redis_server *server = fixture->server;
    *fixture = (struct fixture){.server = server};
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->subscription = redis_subscribe(fixture->loop, redis_server_url(server), CHANNEL,
                                            &subscriber, fixture, &err);
    assert_non_null(fixture->subscription);
    turn_until(fixture->loop, &fixture->subscribed);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    redis_unsubscribe(fixture->subscription);
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
        TEST(published_message_arrives),
        TEST(quiet_subscription_stays),
        TEST(dead_server_is_told_at_once_and_found_again),
        TEST(silent_server_counts_as_lost),
        TEST(subscriber_may_leave_at_a_message),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
