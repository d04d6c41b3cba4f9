#include "common/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void random_bytes_differ(void **state)
{
    (void)state;
    struct err err;
    char first[64] = {0};
    char second[64] = {0};
    assert_true(secret_random(first, sizeof first, &err));
    assert_true(secret_random(second, sizeof second, &err));
    assert_memory_not_equal(first, second, sizeof first);
    assert_true(secret_random(first, 0, &err));
}

static void comparing_sees_every_byte(void **state)
{
    (void)state;
    assert_true(secret_equal("abcd", "abcd", 4));
    assert_false(secret_equal("abcd", "xbcd", 4));
    assert_false(secret_equal("abcd", "abcx", 4));
    assert_true(secret_equal("abcd", "abcx", 3));
    assert_true(secret_equal("", "", 0));
}

static void wiping_leaves_zeros(void **state)
{
    (void)state;
    char secret[8] = "secret!";
    secret_wipe(secret, sizeof secret);
    assert_memory_equal(secret, "\0\0\0\0\0\0\0\0", sizeof secret);
}

static void freeing_takes_null(void **state)
{
    (void)state;
    char *secret = strdup("secret");
    secret_free_string(&secret);
    assert_null(secret);
    secret_free_string(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(comparing_sees_every_byte),
        cmocka_unit_test(wiping_leaves_zeros),
        cmocka_unit_test(freeing_takes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
