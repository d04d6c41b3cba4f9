/* sandbox-service/reconcile/unknown.c: what becomes of containers that no row tells of. */
#include "sandbox-service/reconcile/unknown.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t AFTER_MS = 1000;

static const char stranger[ID_SIZE] = "aaaaaaaa-aaaa-4aaa-8aaa-000000000001";
static const char other[ID_SIZE] = "aaaaaaaa-aaaa-4aaa-8aaa-000000000002";

/* A run in which that one is found. */
static bool goes_at(struct unknown *unknown, const char sandbox_id[ID_SIZE], int64_t now_ms)
{
    unknown_begin(unknown, now_ms);
    bool goes = unknown_note(unknown, sandbox_id);
    unknown_end(unknown);
    return goes;
}

static struct unknown *make(bool may_go)
{
    struct err err = {0};
    struct unknown *unknown = unknown_new(may_go, AFTER_MS, &err);
    assert_non_null(unknown);
    return unknown;
}

static void without_a_word_it_is_kept_for_ever(void **state)
{
    (void)state;
    struct unknown *unknown = make(false);
    assert_false(goes_at(unknown, stranger, 1));
    assert_false(goes_at(unknown, stranger, 1000 * AFTER_MS));
    unknown_free(unknown);
}

static void with_a_word_it_goes_when_its_time_is_over(void **state)
{
    (void)state;
    struct unknown *unknown = make(true);
    assert_false(goes_at(unknown, stranger, 1));
    assert_false(goes_at(unknown, stranger, AFTER_MS));
    assert_true(goes_at(unknown, stranger, AFTER_MS + 1));
    unknown_free(unknown);
}

static void one_that_was_known_in_between_has_its_time_anew(void **state)
{
    (void)state;
    struct unknown *unknown = make(true);
    assert_false(goes_at(unknown, stranger, 1));
    assert_false(goes_at(unknown, other, AFTER_MS));
    assert_false(goes_at(unknown, stranger, 2 * AFTER_MS));
    assert_true(goes_at(unknown, stranger, 3 * AFTER_MS));
    unknown_free(unknown);
}

static void what_lives_elsewhere_is_kept_whatever_the_word_is(void **state)
{
    (void)state;
    struct unknown *unknown = make(true);
    unknown_begin(unknown, 1);
    unknown_note_elsewhere(unknown, stranger);
    unknown_end(unknown);
    assert_false(goes_at(unknown, other, 2));
    unknown_free(unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_word_it_is_kept_for_ever),
        cmocka_unit_test(with_a_word_it_goes_when_its_time_is_over),
        cmocka_unit_test(what_lives_elsewhere_is_kept_whatever_the_word_is),
        cmocka_unit_test(one_that_was_known_in_between_has_its_time_anew),
    };
    return cmocka_run_group_tests_name("sandbox_unknown", tests, NULL, NULL);
}
