/* sandbox-service/network/denials.c */
#include "sandbox-service/network/denials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void names_and_addresses_are_counted_together(void **state)
{
    (void)state;
    struct denials denials = {0};
    struct str out = STR_INIT(DENIALS_TEXT_MAX);
    struct err err = {0};
    denials_add(&denials, "a.com");
    denials_add(&denials, "a.com");
    assert_true(denials_write(&denials,
                              VIEW("elements = { 8.8.8.8 . 17 . 53 counter packets 3 bytes 180 }"),
                              &out, &err));
    assert_string_equal(out.data, "[{\"kind\":\"name\",\"target\":\"a.com\",\"attempts\":2},"
                                  "{\"kind\":\"address\",\"target\":\"8.8.8.8:53/udp\","
                                  "\"attempts\":3}]");
    str_free(&out);
}

static void too_many_names_are_one_number(void **state)
{
    (void)state;
    struct denials denials = {0};
    struct str out = STR_INIT(DENIALS_TEXT_MAX);
    struct err err = {0};
    char name[24];
    for (int i = 0; i < DENIED_NAMES_MAX + 5; i++) {
        (void)snprintf(name, sizeof name, "n%d.com", i);
        denials_add(&denials, name);
    }
    assert_int_equal(denials.count, DENIED_NAMES_MAX);
    assert_true(denials_write(&denials, VIEW(""), &out, &err));
    assert_non_null(strstr(out.data, "{\"kind\":\"other\",\"target\":\"\",\"attempts\":5}]"));
    str_free(&out);
    denials_clear(&denials);
    assert_int_equal(denials.count, 0);
    assert_int_equal(denials.others, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_addresses_are_counted_together),
        cmocka_unit_test(too_many_names_are_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
