/* sandbox-service/pool/rests.h: who is left in peace, and for how long. */
#include "sandbox-service/pool/rests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { NOW_MS = 1000, FIRST_MS = 2000, LONGEST_MS = 256000 };

static struct pool_kind kind_of(const char *template_name, enum tier tier)
{
    struct pool_kind kind = {.network = "none", .tier = tier};
    assert_true(view_copy(view_of(template_name), kind.template_name, sizeof kind.template_name));
    return kind;
}

static void who_fails_rests_alone(void **state)
{
    (void)state;
    struct pool_rests rests = {0};
    const struct pool_kind failing = kind_of("python", TIER_FREE);
    const struct pool_kind other = kind_of("python", TIER_PRO);
    assert_int_equal(pool_rests_note(&rests, &failing, NOW_MS), FIRST_MS);
    assert_true(pool_rests_has(&rests, &failing, NOW_MS + FIRST_MS - 1));
    assert_false(pool_rests_has(&rests, &failing, NOW_MS + FIRST_MS));
    assert_false(pool_rests_has(&rests, &other, NOW_MS));
}

static void who_fails_again_rests_for_longer_up_to_a_bound(void **state)
{
    (void)state;
    struct pool_rests rests = {0};
    const struct pool_kind failing = kind_of("python", TIER_FREE);
    assert_int_equal(pool_rests_note(&rests, &failing, NOW_MS), FIRST_MS);
    assert_int_equal(pool_rests_note(&rests, &failing, NOW_MS), 2 * FIRST_MS);
    for (int i = 0; i < 40; i++) {
        (void)pool_rests_note(&rests, &failing, NOW_MS);
    }
    assert_int_equal(pool_rests_note(&rests, &failing, NOW_MS), LONGEST_MS);
}

static void who_succeeds_begins_anew(void **state)
{
    (void)state;
    struct pool_rests rests = {0};
    const struct pool_kind kind = kind_of("python", TIER_FREE);
    (void)pool_rests_note(&rests, &kind, NOW_MS);
    pool_rests_forget(&rests, &kind);
    assert_false(pool_rests_has(&rests, &kind, NOW_MS));
    assert_int_equal(pool_rests_note(&rests, &kind, NOW_MS), FIRST_MS);
}

static void of_too_many_the_one_that_is_free_first_is_forgotten(void **state)
{
    (void)state;
    struct pool_rests rests = {0};
    char name[24];
    for (int i = 0; i <= POOL_KINDS_MAX; i++) {
        (void)snprintf(name, sizeof name, "kind-%d", i);
        const struct pool_kind kind = kind_of(name, TIER_FREE);
        (void)pool_rests_note(&rests, &kind, NOW_MS + i);
    }
    const struct pool_kind first = kind_of("kind-0", TIER_FREE);
    const struct pool_kind last = kind_of(name, TIER_FREE);
    assert_false(pool_rests_has(&rests, &first, NOW_MS));
    assert_true(pool_rests_has(&rests, &last, NOW_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_fails_rests_alone),
        cmocka_unit_test(who_fails_again_rests_for_longer_up_to_a_bound),
        cmocka_unit_test(who_succeeds_begins_anew),
        cmocka_unit_test(of_too_many_the_one_that_is_free_first_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
