/* sandbox-service/network/cidr.c */
#include "sandbox-service/network/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool reads(const char *text)
{
    struct cidr cidr;
    return cidr_parse(view_of(text), &cidr);
}

static void range_is_read_and_written(void **state)
{
    (void)state;
    struct cidr cidr;
    char text[CIDR_TEXT_SIZE];
    assert_true(cidr_parse(VIEW("10.200.0.0/20"), &cidr));
    assert_int_equal(cidr.address, 0x0ac80000);
    assert_int_equal(cidr.bits, 20);
    cidr_format(&cidr, text);
    assert_string_equal(text, "10.200.0.0/20");
}

static void lone_address_is_a_range_of_one(void **state)
{
    (void)state;
    struct cidr cidr;
    assert_true(cidr_parse(VIEW("192.0.2.7"), &cidr));
    assert_int_equal(cidr.bits, 32);
}

static void anything_but_a_range_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0/8",
        "10.0.0.0/ 8",
        " 10.0.0.0/8",
        "10.0.0.1/8",
        "::/0",
        "10.0.0.0/8\n",
        "10.0.0.0/008",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (reads(wrong[i])) {
            fail_msg("\"%s\" was read", wrong[i]);
        }
    }
}

static void range_contains_its_addresses_alone(void **state)
{
    (void)state;
    struct cidr cidr;
    struct cidr all;
    assert_true(cidr_parse(VIEW("172.16.0.0/12"), &cidr));
    assert_true(cidr_contains(&cidr, 0xac1fffff));
    assert_false(cidr_contains(&cidr, 0xac200000));
    assert_true(cidr_parse(VIEW("0.0.0.0/0"), &all));
    assert_true(cidr_contains(&all, 0xffffffff));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_is_read_and_written),
        cmocka_unit_test(lone_address_is_a_range_of_one),
        cmocka_unit_test(anything_but_a_range_is_refused),
        cmocka_unit_test(range_contains_its_addresses_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
