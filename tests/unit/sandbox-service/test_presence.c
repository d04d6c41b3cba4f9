/* sandbox-service/sandbox/presence.c */
#include "sandbox-service/sandbox/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LOST_AFTER_MS = 30000, STEP_MS = 5000, START_MS = 1000000, LONG_MS = 300000 };

static const char connected[] = "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60";
static const char missing[] = "0b1de5a3-5d2f-4be5-8d53-0a0a6f1de7aa";

struct world {
    struct presence *presence;
    int64_t now_ms;
    int lost_connected;
    int lost_missing;
};

static void on_lost(const char sandbox_id[ID_SIZE], void *arg)
{
    struct world *world = arg;
    world->lost_connected += strcmp(sandbox_id, connected) == 0 ? 1 : 0;
    world->lost_missing += strcmp(sandbox_id, missing) == 0 ? 1 : 0;
}

static void check(struct world *world)
{
    presence_check_begin(world->presence, world->now_ms);
    presence_check(world->presence, connected, on_lost, world);
    presence_check(world->presence, missing, on_lost, world);
    presence_check_end(world->presence);
}

/* Lets time pass; every STEP_MS a check and, when asked for, a report of the one that is there. */
static void pass(struct world *world, int64_t duration_ms, bool with_reports)
{
    for (int64_t until_ms = world->now_ms + duration_ms; world->now_ms < until_ms;) {
        world->now_ms += STEP_MS;
        if (with_reports) {
            presence_report_came(world->presence, world->now_ms);
            presence_seen_at(world->presence, connected, world->now_ms);
        }
        check(world);
    }
}

static int begin(void **state)
{
    static struct world world;
    struct err err = {0};
    world = (struct world){.now_ms = START_MS};
    world.presence = presence_new(LOST_AFTER_MS, &err);
    *state = &world;
    return world.presence == NULL ? -1 : 0;
}

static int end(void **state)
{
    struct world *world = *state;
    presence_free(world->presence);
    return 0;
}

static void agent_that_is_missing_for_too_long_is_lost(void **state)
{
    struct world *world = *state;
    pass(world, LOST_AFTER_MS, true);
    assert_int_equal(world->lost_missing, 0);
    pass(world, PRESENCE_REPORT_FRESH_MS + 2 * STEP_MS, true);
    assert_true(world->lost_missing > 0);
    assert_int_equal(world->lost_connected, 0);
}

static void time_without_reports_does_not_count(void **state)
{
    struct world *world = *state;
    pass(world, LONG_MS, false);
    assert_int_equal(world->lost_missing, 0);
    assert_int_equal(world->lost_connected, 0);
}

static void nobody_is_lost_when_reports_begin_again(void **state)
{
    struct world *world = *state;
    pass(world, LONG_MS, false);
    pass(world, LOST_AFTER_MS / 2, true);
    assert_int_equal(world->lost_missing, 0);
    assert_int_equal(world->lost_connected, 0);
}

static void time_without_checks_does_not_count(void **state)
{
    struct world *world = *state;
    pass(world, LOST_AFTER_MS / 2, true);
    for (int64_t until_ms = world->now_ms + LONG_MS; world->now_ms < until_ms;) {
        world->now_ms += STEP_MS;
        presence_report_came(world->presence, world->now_ms);
        presence_skip_check(world->presence, world->now_ms);
    }
    check(world);
    assert_int_equal(world->lost_missing, 0);
    pass(world, LOST_AFTER_MS, true);
    assert_true(world->lost_missing > 0);
}

static void agent_that_comes_back_starts_anew(void **state)
{
    struct world *world = *state;
    pass(world, LOST_AFTER_MS, true);
    presence_seen_at(world->presence, missing, world->now_ms);
    pass(world, LOST_AFTER_MS, true);
    assert_int_equal(world->lost_missing, 0);
}

static void sandbox_that_is_not_named_is_forgotten(void **state)
{
    struct world *world = *state;
    pass(world, LOST_AFTER_MS, true);
    presence_check_begin(world->presence, world->now_ms);
    presence_check_end(world->presence);
    pass(world, LOST_AFTER_MS, true);
    assert_int_equal(world->lost_missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agent_that_is_missing_for_too_long_is_lost, begin, end),
        cmocka_unit_test_setup_teardown(time_without_reports_does_not_count, begin, end),
        cmocka_unit_test_setup_teardown(nobody_is_lost_when_reports_begin_again, begin, end),
        cmocka_unit_test_setup_teardown(time_without_checks_does_not_count, begin, end),
        cmocka_unit_test_setup_teardown(agent_that_comes_back_starts_anew, begin, end),
        cmocka_unit_test_setup_teardown(sandbox_that_is_not_named_is_forgotten, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
