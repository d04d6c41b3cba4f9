/* sandbox-service/pool/targets.c */
#include "sandbox-service/pool/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct tier_limits tiers[TIER_COUNT] = {
    [TIER_FREE] = {.memory_mb = 512},
    [TIER_PRO] = {.memory_mb = 1024},
    [TIER_ENTERPRISE] = {.memory_mb = 2048},
};

static struct pool_kinds read_kinds(const char *text)
{
    struct pool_kinds kinds;
    const char *what = "";
    assert_true(pool_kinds_read(text, "open", &kinds, &what));
    return kinds;
}

static void kinds_are_taken_apart(void **state)
{
    (void)state;
    const struct pool_kinds kinds = read_kinds("base=2,python/none=4,base/none/pro=1");
    assert_int_equal(kinds.count, 3);
    assert_string_equal(kinds.items[0].template_name, "base");
    assert_string_equal(kinds.items[0].network, "open");
    assert_int_equal(kinds.items[0].tier, TIER_FREE);
    assert_int_equal(kinds.items[0].floor, 2);
    assert_string_equal(kinds.items[1].network, "none");
    assert_int_equal(kinds.items[1].floor, 4);
    assert_int_equal(kinds.items[2].tier, TIER_PRO);
    assert_int_equal(read_kinds("").count, 0);
    assert_int_equal(read_kinds("none").count, 0);
}

static void unusable_kinds_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "base",
        "base=",
        "=2",
        "base=-1",
        "base=1001",
        "base=99999999999",
        "Base=1",
        "base/host=1",
        "base/none/vip=1",
        "base=1,base=2",
        "base/none/free/x=1",
        "base=1;b=2",
        "ba se=1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct pool_kinds kinds;
        const char *what = NULL;
        if (pool_kinds_read(wrong[i], "open", &kinds, &what)) {
            fail_msg("%s was accepted", wrong[i]);
        }
    }
}

static void floors_are_kept_without_demand(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=2,python/none=4");
    const struct pool_bounds bounds = {.adaptive_max = 8, .memory_mb = 8192, .tiers = tiers};
    pool_kinds_plan(&kinds, &bounds);
    assert_int_equal(kinds.items[0].target, 2);
    assert_int_equal(kinds.items[1].target, 4);
}

static void a_busy_minute_raises_the_target_up_to_the_bound(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=2");
    const struct pool_bounds bounds = {.adaptive_max = 8, .memory_mb = 65536, .tiers = tiers};
    struct pool_kind *asked = pool_kinds_find(&kinds, VIEW("tiny"), VIEW("none"), TIER_PRO);
    assert_non_null(asked);
    kinds.items[0].peak = 5;
    asked->peak = 100;
    pool_kinds_plan(&kinds, &bounds);
    assert_int_equal(kinds.items[0].target, 5);
    assert_int_equal(asked->target, 8);
}

static void without_adaption_demand_changes_nothing(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=2");
    const struct pool_bounds bounds = {.memory_mb = 65536, .tiers = tiers};
    kinds.items[0].peak = 50;
    pool_kinds_plan(&kinds, &bounds);
    assert_int_equal(kinds.items[0].target, 2);
}

static void the_budget_is_never_exceeded_and_shared_in_turns(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=1,tiny/none=1");
    const struct pool_bounds bounds = {
        .adaptive_max = 100, .memory_mb = INT64_C(6) * 512 + 511, .tiers = tiers};
    kinds.items[0].peak = 50;
    kinds.items[1].peak = 50;
    pool_kinds_plan(&kinds, &bounds);
    assert_int_equal(kinds.items[0].target, 3);
    assert_int_equal(kinds.items[1].target, 3);
}

static void floors_come_before_demand(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=1,tiny/none/pro=2");
    const struct pool_bounds bounds = {.adaptive_max = 100, .memory_mb = 2560, .tiers = tiers};
    kinds.items[0].peak = 50;
    pool_kinds_plan(&kinds, &bounds);
    assert_int_equal(kinds.items[0].target, 1);
    assert_int_equal(kinds.items[1].target, 2);
}

static void the_neediest_and_the_fullest_are_found(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=1,tiny=4,python=2");
    const struct pool_bounds bounds = {.memory_mb = 65536, .tiers = tiers};
    kinds.items[0].warm = 3;
    kinds.items[1].warm = 1;
    kinds.items[2].warm = 2;
    pool_kinds_plan(&kinds, &bounds);
    assert_ptr_equal(pool_kinds_neediest(&kinds), &kinds.items[1]);
    assert_ptr_equal(pool_kinds_fullest(&kinds), &kinds.items[0]);
    kinds.items[0].warm = 1;
    kinds.items[1].warm = 4;
    assert_null(pool_kinds_neediest(&kinds));
    assert_null(pool_kinds_fullest(&kinds));
}

static void so_many_may_be_claimed_until_less_than_half_waits(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("base=5,tiny=4");
    const struct pool_bounds bounds = {.memory_mb = 65536, .tiers = tiers};
    assert_int_equal(pool_kinds_spare(&kinds), POOL_COUNT_MAX);
    pool_kinds_plan(&kinds, &bounds);
    kinds.items[0].warm = 5;
    kinds.items[1].warm = 4;
    assert_int_equal(pool_kinds_spare(&kinds), 2);
    kinds.items[1].warm = 3;
    assert_int_equal(pool_kinds_spare(&kinds), 1);
    kinds.items[0].warm = 2;
    assert_int_equal(pool_kinds_spare(&kinds), -1);
}

static void kinds_beyond_the_bound_get_no_pool(void **state)
{
    (void)state;
    struct pool_kinds kinds = read_kinds("");
    char name[] = "t00";
    for (int i = 0; i < POOL_KINDS_MAX; i++) {
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        assert_non_null(pool_kinds_find(&kinds, view_of(name), VIEW("none"), TIER_FREE));
    }
    assert_non_null(pool_kinds_find(&kinds, VIEW("t07"), VIEW("none"), TIER_FREE));
    assert_null(pool_kinds_find(&kinds, VIEW("more"), VIEW("none"), TIER_FREE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_taken_apart),
        cmocka_unit_test(unusable_kinds_are_refused),
        cmocka_unit_test(floors_are_kept_without_demand),
        cmocka_unit_test(a_busy_minute_raises_the_target_up_to_the_bound),
        cmocka_unit_test(without_adaption_demand_changes_nothing),
        cmocka_unit_test(the_budget_is_never_exceeded_and_shared_in_turns),
        cmocka_unit_test(floors_come_before_demand),
        cmocka_unit_test(the_neediest_and_the_fullest_are_found),
        cmocka_unit_test(so_many_may_be_claimed_until_less_than_half_waits),
        cmocka_unit_test(kinds_beyond_the_bound_get_no_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
