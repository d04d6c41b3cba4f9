#include "gateway/limits/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_rate(struct limit_rate rate, int32_t per_minute, int32_t burst)
{
    assert_int_equal(rate.per_minute, per_minute);
    assert_int_equal(rate.burst, burst);
}

static struct limit_policy parse(const char *text)
{
    struct limit_policy policy;
    struct err err = {0};
    if (!limit_policy_parse(&policy, text, &err)) {
        fail_msg("%s", err.message);
    }
    return policy;
}

static void empty_text_gives_the_defaults(void **state)
{
    (void)state;
    struct limit_policy policy = parse("");
    assert_rate(policy.rates[LIMIT_FREE], 60, 10);
    assert_rate(policy.rates[LIMIT_PRO], 600, 60);
    assert_rate(policy.rates[LIMIT_ENTERPRISE], 6000, 600);
    assert_rate(policy.rates[LIMIT_ADDRESS], 120, 60);
    assert_rate(policy.rates[LIMIT_PREVIEW], 6000, 600);
}

static void what_is_named_is_changed(void **state)
{
    (void)state;
    struct limit_policy policy = parse("pro=1000000/1 , address=1/1000000");
    assert_rate(policy.rates[LIMIT_PRO], 1000000, 1);
    assert_rate(policy.rates[LIMIT_ADDRESS], 1, 1000000);
    assert_rate(policy.rates[LIMIT_FREE], 60, 10);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        " ",
        ",",
        "free",
        "free=",
        "free=60",
        "free=60/",
        "free=/10",
        "free=0/10",
        "free=60/0",
        "free=-1/10",
        "free=1e2/10",
        "=60/10",
        "gold=60/10",
        "FREE=60/10",
        "free=60/10/10",
        "free=60 /10",
        "free=60/10,",
        "free=60/10,free=60/10",
        "free=60/10 pro=60/10",
        "free=1000001/10",
        "free=60/1000001",
        "free=99999999999999999999/10",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct limit_policy policy;
        struct err err = {0};
        if (limit_policy_parse(&policy, texts[i], &err)) {
            fail_msg("\"%s\"", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void unknown_tier_gets_what_free_gets(void **state)
{
    (void)state;
    struct limit_policy policy = parse("");
    assert_rate(limit_policy_of_tier(&policy, VIEW("enterprise")), 6000, 600);
    assert_rate(limit_policy_of_tier(&policy, VIEW("gold")), 60, 10);
    assert_rate(limit_policy_of_tier(&policy, VIEW("preview")), 60, 10);
}

static void key_gets_no_more_than_its_tier(void **state)
{
    (void)state;
    const struct limit_rate pro = {600, 60};
    assert_rate(limit_rate_capped(pro, 601), 600, 60);
    assert_rate(limit_rate_capped(pro, INT64_MAX), 600, 60);
    assert_rate(limit_rate_capped(pro, 100), 100, 60);
    assert_rate(limit_rate_capped(pro, 5), 5, 5);
    assert_rate(limit_rate_capped((struct limit_rate){10, 20}, 10), 10, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_text_gives_the_defaults),
        cmocka_unit_test(what_is_named_is_changed),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(unknown_tier_gets_what_free_gets),
        cmocka_unit_test(key_gets_no_more_than_its_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
