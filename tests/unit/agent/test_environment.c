#include "sandbox-service/agent/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void a_later_value_replaces_an_earlier_one(void **state)
{
    (void)state;
    AUTO(environment_free) struct environment env = {0};
    struct err err;
    assert_true(environment_set(&env, VIEW("A"), VIEW("1"), &err));
    assert_true(environment_set(&env, VIEW("AB"), VIEW(""), &err));
    assert_true(environment_set(&env, VIEW("A"), VIEW("2=3"), &err));
    assert_int_equal(env.count, 2);
    assert_string_equal(env.items[0], "A=2=3");
    assert_string_equal(env.items[1], "AB=");
    assert_null(env.items[2]);
    assert_string_equal(environment_get(&env, "A"), "2=3");
    assert_null(environment_get(&env, "B"));
}

static void one_environment_is_laid_over_another(void **state)
{
    (void)state;
    AUTO(environment_free) struct environment env = {0};
    AUTO(environment_free) struct environment over = {0};
    struct err err;
    const struct json_pair pair_items[] = {{VIEW("B"), VIEW("b2")}, {VIEW("C"), VIEW("c")}};
    const struct json_pairs pairs = {pair_items, 2};
    assert_true(environment_set(&env, VIEW("B"), VIEW("b"), &err));
    assert_true(environment_set_pairs(&over, &pairs, &err));
    assert_true(environment_set_all(&env, &over, &err));
    assert_int_equal(env.count, 2);
    assert_string_equal(environment_get(&env, "B"), "b2");
    assert_string_equal(environment_get(&env, "C"), "c");
}

static void it_does_not_grow_for_ever(void **state)
{
    (void)state;
    AUTO(environment_free) struct environment env = {0};
    struct err err = {0};
    char name[16];
    for (int i = 0; i < ENVIRONMENT_ITEMS_MAX; i++) {
        (void)snprintf(name, sizeof name, "N%d", i);
        assert_true(environment_set(&env, view_of(name), VIEW("v"), &err));
    }
    assert_false(environment_set(&env, VIEW("MORE"), VIEW("v"), &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_true(environment_set(&env, VIEW("N7"), VIEW("w"), &err));
    assert_null(env.items[env.count]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_value_replaces_an_earlier_one),
        cmocka_unit_test(one_environment_is_laid_over_another),
        cmocka_unit_test(it_does_not_grow_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
