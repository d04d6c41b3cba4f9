#include "gateway/limits/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t MS = 1000;
static const int64_t S = 1000000;

static const struct limit_rate free_rate = {60, 10};
static const struct limit_rate pro_rate = {600, 60};

static struct bucket new_bucket(struct limit_rate rate)
{
    struct bucket bucket;
    bucket_init(&bucket, rate, 0);
    return bucket;
}

/* Orders and gets at once; left: tokens. */
static struct bucket_order lease(struct bucket *bucket, int32_t waiting, int32_t granted,
                                 int32_t left, int64_t now_us)
{
    struct bucket_order order;
    assert_true(bucket_make_order(bucket, waiting, now_us, &order));
    bucket_grant(bucket, &order, now_us, granted, (int64_t)left * BUCKET_TOKEN, now_us);
    return order;
}

static void assert_take(struct bucket *bucket, int64_t now_us, enum bucket_verdict expected)
{
    assert_int_equal(bucket_take(bucket, now_us), expected);
}

static void first_request_asks_for_one_token(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    assert_take(&bucket, 0, BUCKET_ASK);
    struct bucket_order order = lease(&bucket, 1, 1, 9, 0);
    assert_int_equal(order.wanted, 1);
    assert_int_equal(order.kept, 0);
    assert_int_equal(order.returned, 0);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    assert_take(&bucket, 0, BUCKET_ASK);
}

static void nothing_is_asked_until_there_can_be_a_token(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    assert_take(&bucket, 0, BUCKET_ASK);
    (void)lease(&bucket, 1, 0, 0, 0);
    assert_take(&bucket, 0, BUCKET_EMPTY);
    assert_true(bucket_is_empty(&bucket, false, S - 1));
    assert_int_equal(bucket_retry_us(&bucket, 400 * MS), 600 * MS);
    assert_take(&bucket, S - 1, BUCKET_EMPTY);
    assert_false(bucket_is_empty(&bucket, false, S));
    assert_take(&bucket, S, BUCKET_ASK);
}

static void fast_rate_is_not_asked_for_all_the_time(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket((struct limit_rate){LIMIT_RATE_MAX, 10});
    assert_take(&bucket, 0, BUCKET_ASK);
    (void)lease(&bucket, 1, 0, 0, 0);
    assert_int_equal(bucket_retry_us(&bucket, 0), BUCKET_PAUSE_US);
}

static void tokens_that_were_granted_serve_though_more_was_wanted(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    (void)lease(&bucket, 3, 2, 0, 0);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    assert_take(&bucket, 0, BUCKET_EMPTY);
}

static void lease_ends_and_is_given_back(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    (void)lease(&bucket, 5, 5, 55, 0);
    assert_take(&bucket, BUCKET_LEASE_US - 1, BUCKET_TAKEN);
    assert_take(&bucket, BUCKET_LEASE_US, BUCKET_ASK);
    struct bucket_order order = lease(&bucket, 1, 1, 59, BUCKET_LEASE_US);
    assert_int_equal(order.returned, 4);
    assert_int_equal(order.kept, 0);
    order = lease(&bucket, 1, 1, 58, BUCKET_LEASE_US);
    assert_int_equal(order.returned, 0);
    assert_int_equal(order.kept, 1);
}

static void lease_counts_from_the_order(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    struct bucket_order order;
    assert_true(bucket_make_order(&bucket, 5, 0, &order));
    bucket_grant(&bucket, &order, 0, 5, 0, 90 * MS);
    assert_take(&bucket, BUCKET_LEASE_US, BUCKET_ASK);
}

/* A request every interval_us, whose orders are met at once. Returns how many had to ask. */
static int run(struct bucket *bucket, int requests, int64_t interval_us, int64_t *now_us,
               int *orders, int32_t *held_most)
{
    int asked = 0;
    for (int i = 0; i < requests; i++, *now_us += interval_us) {
        enum bucket_verdict verdict = bucket_take(bucket, *now_us);
        struct bucket_order order;
        assert_int_not_equal(verdict, BUCKET_EMPTY);
        asked += verdict == BUCKET_ASK;
        if ((verdict == BUCKET_ASK || bucket_runs_low(bucket, *now_us)) &&
            bucket_make_order(bucket, verdict == BUCKET_ASK, *now_us, &order)) {
            (*orders)++;
            bucket_grant(bucket, &order, *now_us, order.wanted, 0, *now_us);
            bucket->held -= verdict == BUCKET_ASK;
        }
        *held_most = bucket->held > *held_most ? bucket->held : *held_most;
    }
    return asked;
}

static void busy_caller_never_waits_and_holds_little(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket((struct limit_rate){6000, 600});
    int64_t now_us = 0;
    int orders = 0;
    int32_t held = 0;
    (void)run(&bucket, 100, MS, &now_us, &orders, &held);
    orders = 0;
    assert_int_equal(run(&bucket, 900, MS, &now_us, &orders, &held), 0);
    assert_in_range(held, 2, 600 / BUCKET_BATCHES);
    assert_in_range(orders, 1, 900 / 15 + 1);
}

static void small_burst_leaves_one_token_to_hold(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    int64_t now_us = 0;
    int orders = 0;
    int32_t held = 0;
    (void)run(&bucket, 300, MS, &now_us, &orders, &held);
    assert_int_equal(held, 1);
}

static void rare_caller_holds_nothing(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    int64_t now_us = 0;
    int orders = 0;
    int32_t held = 0;
    assert_int_equal(run(&bucket, 20, 1500 * MS, &now_us, &orders, &held), 20);
    assert_int_equal(orders, 20);
    assert_int_equal(held, 0);
}

static void caller_who_was_away_begins_anew(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    int64_t now_us = 0;
    int orders = 0;
    int32_t held = 0;
    (void)run(&bucket, 300, MS, &now_us, &orders, &held);
    assert_true(bucket.batch > 0);
    now_us += 10 * S;
    assert_take(&bucket, now_us, BUCKET_ASK);
    assert_int_equal(bucket.batch, 0);
}

static void alone_it_is_a_bucket_of_the_same_rate(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_TAKEN);
    }
    assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_EMPTY);
    assert_true(bucket_is_empty(&bucket, true, 0));
    assert_int_equal(bucket_retry_us(&bucket, 0), S);
    assert_int_equal(bucket_take_alone(&bucket, S), BUCKET_TAKEN);
    assert_int_equal(bucket_take_alone(&bucket, S), BUCKET_EMPTY);
    assert_int_equal(bucket_remaining(&bucket, 100 * S), 10);
}

static void alone_it_goes_by_what_it_last_knew(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    (void)lease(&bucket, 1, 1, 2, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_TAKEN);
    }
    assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_EMPTY);
}

static void token_that_is_put_back_can_be_taken(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    const struct bucket_order order = {.wanted = 1};
    bucket_grant(&bucket, &order, 0, 1, 0, 0);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    bucket_put_back(&bucket, false);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_EMPTY);
    bucket_put_back(&bucket, true);
    assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_TAKEN);
}

static void what_redis_has_not_on_record_counts_as_used(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    (void)lease(&bucket, 3, 3, 0, 0);
    assert_take(&bucket, 0, BUCKET_TAKEN);
    bucket_settle(&bucket);
    bucket_put_back(&bucket, false);
    assert_take(&bucket, 0, BUCKET_ASK);
}

static void small_bursts_are_not_held(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket((struct limit_rate){60, BUCKET_BURST_TO_HOLD - 1});
    int64_t now_us = 0;
    int orders = 0;
    int32_t held = 0;
    assert_int_equal(run(&bucket, 300, MS, &now_us, &orders, &held), 300);
    assert_int_equal(held, 0);
}

static void what_remains_counts_what_is_held(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(free_rate);
    (void)lease(&bucket, 2, 2, 3, 0);
    assert_int_equal(bucket_remaining(&bucket, 0), 5);
    assert_int_equal(bucket_full_us(&bucket, 0), 5 * S);
    assert_int_equal(bucket_remaining(&bucket, 500 * MS), 5);
    assert_int_equal(bucket_full_us(&bucket, 500 * MS), 4500 * MS);
    assert_int_equal(bucket_remaining(&bucket, S), 4); /* the lease has ended */
    assert_int_equal(bucket_remaining(&bucket, 100 * S), 10);
    assert_int_equal(bucket_full_us(&bucket, 100 * S), 0);
}

static void lower_rate_takes_effect(void **state)
{
    (void)state;
    struct bucket bucket = new_bucket(pro_rate);
    bucket_set_rate(&bucket, free_rate);
    assert_int_equal(bucket_remaining(&bucket, 0), 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_TAKEN);
    }
    assert_int_equal(bucket_take_alone(&bucket, 0), BUCKET_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_request_asks_for_one_token),
        cmocka_unit_test(nothing_is_asked_until_there_can_be_a_token),
        cmocka_unit_test(fast_rate_is_not_asked_for_all_the_time),
        cmocka_unit_test(tokens_that_were_granted_serve_though_more_was_wanted),
        cmocka_unit_test(lease_ends_and_is_given_back),
        cmocka_unit_test(lease_counts_from_the_order),
        cmocka_unit_test(busy_caller_never_waits_and_holds_little),
        cmocka_unit_test(small_burst_leaves_one_token_to_hold),
        cmocka_unit_test(rare_caller_holds_nothing),
        cmocka_unit_test(caller_who_was_away_begins_anew),
        cmocka_unit_test(alone_it_is_a_bucket_of_the_same_rate),
        cmocka_unit_test(alone_it_goes_by_what_it_last_knew),
        cmocka_unit_test(token_that_is_put_back_can_be_taken),
        cmocka_unit_test(what_redis_has_not_on_record_counts_as_used),
        cmocka_unit_test(small_bursts_are_not_held),
        cmocka_unit_test(what_remains_counts_what_is_held),
        cmocka_unit_test(lower_rate_takes_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
