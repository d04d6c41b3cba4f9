#include "sandbox-service/agent/traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HEADER                                                                                     \
    "Inter-|   Receive                                                |  Transmit\n"               \
    " face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n"

static void all_interfaces_but_loopback_are_added_up(void **state)
{
    (void)state;
    struct traffic traffic;
    assert_true(traffic_parse(HEADER "    lo: 9999 1 0 0 0 0 0 0 9999 1 0 0 0 0 0 0\n"
                                     "  eth0:1000 2 0 0 0 0 0 0 300 4 0 0 0 0 0 0\n"
                                     "  eth1:  24 2 0 0 0 0 0 0 7 4 0 0 0 0 0 0\n",
                              &traffic));
    assert_int_equal(traffic.received_bytes, 1024);
    assert_int_equal(traffic.sent_bytes, 307);
}

static void without_interfaces_there_was_none(void **state)
{
    (void)state;
    struct traffic traffic;
    assert_true(traffic_parse(HEADER, &traffic));
    assert_int_equal(traffic.received_bytes, 0);
}

static void broken_text_is_refused(void **state)
{
    (void)state;
    struct traffic traffic;
    assert_false(traffic_parse("", &traffic));
    assert_false(traffic_parse(HEADER "eth0 1 2 3\n", &traffic));
    assert_false(traffic_parse(HEADER "eth0: 1 2 3\n", &traffic));
    assert_false(traffic_parse(HEADER "eth0: 1 2 3\neth1: 1 2 3 4 5 6 7 8 9 10 11 12\n", &traffic));
}

static void this_machine_tells_it(void **state)
{
    (void)state;
    struct traffic traffic;
    assert_true(traffic_read(&traffic));
    assert_true(traffic.received_bytes >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_interfaces_but_loopback_are_added_up),
        cmocka_unit_test(without_interfaces_there_was_none),
        cmocka_unit_test(broken_text_is_refused),
        cmocka_unit_test(this_machine_tells_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
