/* auth-service/api_keys/expiry.c with many keys, against a real PostgreSQL and Redis. */
#include "auth-service/api_keys/expiry.h"
#include "common/base/clock.h"
#include "common/contracts/invalidation.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { SQL_SIZE = 512 };

/* Whose messages nobody keeps, but of one key. */
struct crowd {
    bool subscribed;
    bool has_come;
    int count;
    const char *id;
};

static void on_one_of_many(struct view message, void *arg)
{
    struct crowd *crowd = arg;
    enum invalidation_kind kind;
    char id[INVALIDATION_ID_SIZE];
    assert_true(invalidation_read(message, &kind, id));
    crowd->count++;
    crowd->has_come = crowd->has_come || strcmp(id, crowd->id) == 0;
}

static void on_crowd_state(bool subscribed, void *arg)
{
    ((struct crowd *)arg)->subscribed = subscribed;
}

/* As it may be when the service comes up. */
static void ends_of_more_keys_than_can_wait_are_announced_one_look_after_the_other(void **state)
{
    static const struct redis_subscriber subscriber = {on_one_of_many, on_crowd_state};
    enum { KEYS = ANNOUNCEMENTS_MAX + 1000 };
    struct accounts *accounts = *state;
    struct user user;
    struct issued_key last;
    char sql[SQL_SIZE];
    struct err err = {0};
    accounts_user(accounts, "many keys", &user);
    accounts_issue(accounts, user.id, &last);
    struct crowd crowd = {.id = last.made.id};
    (void)snprintf(sql, sizeof sql, "UPDATE api_keys SET expires_at = now() WHERE id = '%s'",
                   last.made.id);
    postgres_run(accounts->postgres, sql);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO api_keys (user_id, prefix, digest, bcrypt, expires_at)"
                   " SELECT '%s', 'isk_00000000', sha256(('many' || i)::bytea), '',"
                   " now() - interval '1 hour' + (i / 900) * interval '1 second'"
                   " FROM generate_series(1, %d) i",
                   user.id, KEYS);
    postgres_run(accounts->postgres, sql);
    struct redis_subscription *subscription =
        redis_subscribe(accounts->loop, redis_server_url(accounts->redis_server),
                        "insien:" ACCOUNTS_INSTANCE ":invalidate", &subscriber, &crowd, &err);
    assert_non_null(subscription);
    turn_until(accounts->loop, &crowd.subscribed);
    struct expiry *expiry = expiry_open(accounts->loop, accounts->pg, accounts->announcer, &err);
    assert_non_null(expiry);
    turn_until(accounts->loop, &crowd.has_come);
    turn_until_count(accounts->loop, &crowd.count, KEYS + 1);
    assert_in_range(crowd.count, KEYS + 1, KEYS + KEYS / 2); /* not all of them again and again */
    expiry_close(expiry);
    redis_unsubscribe(subscription);
}

struct busy_time {
    struct announcer *announcer;
    size_t most; /* that waited */
    int64_t until_ms;
};

static bool is_over(void *arg)
{
    struct busy_time *busy = arg;
    size_t count = announcer_count(busy->announcer);
    busy->most = count > busy->most ? count : busy->most;
    return clock_monotonic_ms() >= busy->until_ms;
}

/* As an operator may do it in SQL. */
static void a_change_of_very_many_users_leaves_room_for_revocations(void **state)
{
    struct accounts *accounts = *state;
    struct busy_time busy = {.announcer = accounts->announcer};
    char sql[SQL_SIZE];
    struct err err = {0};
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO users (access_changed_at) SELECT now() FROM generate_series(1, %d)",
                   ANNOUNCEMENTS_MAX);
    postgres_run(accounts->postgres, sql);
    struct expiry *expiry = expiry_open(accounts->loop, accounts->pg, accounts->announcer, &err);
    assert_non_null(expiry);
    busy.until_ms = clock_monotonic_ms() + EXPIRY_LOOK_MS / 2;
    turn_until_true(accounts->loop, is_over, &busy);
    assert_in_range(busy.most, 1, ANNOUNCEMENTS_FOUND_MAX);
    expiry_close(expiry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_more_keys_than_can_wait_are_announced_one_look_after_the_other),
        cmocka_unit_test(a_change_of_very_many_users_leaves_room_for_revocations),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
