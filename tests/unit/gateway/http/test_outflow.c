/* gateway/http/outflow.c: what is counted, and when it is too much. */
#include "gateway/http/outflow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

struct fixture {
    struct event_base *base;
    struct bufferevent *bevs[2];
    struct outflow outflows[2];
};

static int open_fixture(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.base = event_base_new()};
    for (size_t i = 0; i < 2; i++) {
        fixture.bevs[i] = bufferevent_socket_new(fixture.base, -1, 0);
        assert_true(outflow_begin(&fixture.outflows[i], fixture.bevs[i]));
    }
    outflow_set_budget(100);
    *state = &fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 2; i++) {
        outflow_end(&fixture->outflows[i]);
        bufferevent_free(fixture->bevs[i]);
    }
    event_base_free(fixture->base);
    assert_int_equal(outflow_waiting(), 0);
    return 0;
}

static void put(struct fixture *fixture, size_t i, size_t len)
{
    static const char bytes[100];
    assert_int_equal(bufferevent_write(fixture->bevs[i], bytes, len), 0);
}

static void what_waits_anywhere_is_counted(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, 30);
    put(fixture, 1, 20);
    put(fixture, 1, 1);
    assert_int_equal(outflow_waiting(), 51);
    assert_true(outflow_is_tight());
}

static void half_of_the_budget_is_not_too_much(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, 50);
    assert_false(outflow_is_tight());
    put(fixture, 1, 1);
    assert_true(outflow_is_tight());
}

static void what_may_come_counts_too(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, 20);
    outflow_expect(0, 30);
    assert_false(outflow_is_tight());
    outflow_expect(30, 31);
    assert_true(outflow_is_tight());
    assert_int_equal(outflow_waiting(), 20);
    outflow_expect(31, 0);
    assert_false(outflow_is_tight());
}

static void what_another_counts_is_counted_once(void **state)
{
    struct fixture *fixture = *state;
    struct outflow other = {0};
    put(fixture, 0, 40);
    outflow_end(&fixture->outflows[0]);
    assert_int_equal(outflow_waiting(), 0);
    outflow_end(&fixture->outflows[0]);
    assert_true(outflow_begin(&other, fixture->bevs[0]));
    assert_int_equal(outflow_waiting(), 40);
    put(fixture, 0, 5);
    assert_int_equal(outflow_waiting(), 45);
    outflow_end(&other);
}

/* Over a pair of sockets without sockets, which takes what is written at once. */
static void what_is_taken_does_not_wait(void **state)
{
    struct fixture *fixture = *state;
    struct bufferevent *pair[2];
    struct outflow outflow = {0};
    assert_int_equal(bufferevent_pair_new(fixture->base, 0, pair), 0);
    assert_true(outflow_begin(&outflow, pair[0]));
    assert_int_equal(bufferevent_write(pair[0], "twelve bytes", 12), 0);
    assert_int_equal(outflow_waiting(), 12);
    assert_int_equal(bufferevent_enable(pair[1], EV_READ), 0);
    (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    assert_int_equal(outflow_waiting(), 0);
    outflow_end(&outflow);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_waits_anywhere_is_counted), TEST(half_of_the_budget_is_not_too_much),
        TEST(what_may_come_counts_too),       TEST(what_another_counts_is_counted_once),
        TEST(what_is_taken_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
