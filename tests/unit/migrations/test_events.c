/* Events of sandboxes and webhooks of users, as far as the database does the work. */
#include "tests/support/postgres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <string.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define KEY "44444444-4444-4444-8444-444444444441"
#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define HOOK "55555555-5555-4555-8555-555555555551"
#define SECOND_HOOK "55555555-5555-4555-8555-555555555552"

static struct postgres *postgres;

static void run(const char *sql)
{
    postgres_run(postgres, sql);
}

static void expect(const char *sql, const char *expected)
{
    postgres_expect(postgres, sql, expected);
}

#define MAKE(id, user, key)                                                                        \
    "INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, tier, status,"      \
    " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"            \
    " VALUES ('" id "', '" user "', " key ", 'base', 'i', 'sudo', 'free', 'creating', 'none',"     \
    " 'i', 'n', 512, 1000, 256, 2, now() + interval '1 hour');"
#define SET(id, status) "UPDATE sandboxes SET status = '" status "' WHERE id = '" id "';"
#define END(id, reason)                                                                            \
    "UPDATE sandboxes SET status = 'stopping', end_reason = '" reason "' WHERE id = '" id "';"
#define NUMBER "SELECT coalesce(sum(events), 0) FROM event_number(100, 10)"
#define TOLD                                                                                       \
    "SELECT string_agg(type || coalesce('/' || cause, '') || '/' || actor, ' '"                    \
    " ORDER BY seq) FROM sandbox_events"
#define MAKE_HOOK                                                                                  \
    "SELECT id FROM webhook_create('" HOOK "', '" USER "', 'https://a/', '{}', '', 20)"
#define TAKE_ONE "SELECT coalesce(max(delivery), 0) > 0 FROM webhook_take(10, 60000)"

static void each_change_is_an_event_with_cause_and_actor(void **state)
{
    (void)state;
    run(MAKE(FIRST, USER, "'" KEY "'"));
    run(SET(FIRST, "running"));
    run(SET(FIRST, "running")); /* none */
    run("UPDATE sandboxes SET exit_code = 1 WHERE id = '" FIRST "'");
    run(END(FIRST, "timeout"));
    run("UPDATE sandboxes SET status = 'destroyed', ended_at = now() WHERE id = '" FIRST "'");
    expect(NUMBER, "4");
    expect(TOLD, "sandbox.creating/create/user sandbox.running/system "
                 "sandbox.stopping/timeout/system sandbox.destroyed/timeout/system");
    expect("SELECT string_agg(coalesce(previous, '-'), ' ' ORDER BY seq) FROM sandbox_events",
           "- creating running stopping");
    expect("SELECT actor_user || ' ' || actor_key FROM sandbox_events WHERE previous IS NULL",
           USER " " KEY);
}

static void who_acts_is_said_for_one_transaction(void **state)
{
    (void)state;
    run(MAKE(FIRST, USER, "NULL") MAKE(SECOND, USER, "NULL"));
    run("BEGIN; WITH moved AS (UPDATE sandboxes SET status = 'stopping', end_reason = 'admin'"
        " WHERE id = '" FIRST "' RETURNING id, event_act('admin', '" OTHER "', NULL, 'cleanup'))"
        " SELECT count(*) FROM moved; COMMIT; " SET(SECOND, "running"));
    expect("SELECT cause || ' ' || actor || ' ' || actor_user FROM sandbox_events"
           " WHERE status = 'stopping'",
           "cleanup admin " OTHER);
    expect("SELECT actor FROM sandbox_events WHERE status = 'running'", "system");
}

static void what_was_not_committed_did_not_happen(void **state)
{
    (void)state;
    run("BEGIN; " MAKE(FIRST, USER, "NULL") " ROLLBACK");
    expect("SELECT count(*) FROM sandbox_events", "0");
}

/* A transaction that began earlier and ends later comes behind, and is not lost. */
static void numbers_follow_the_commits(void **state)
{
    (void)state;
    PGconn *slow = PQconnectdb(postgres_url(postgres));
    PQclear(PQexec(slow, "BEGIN"));
    PGresult *result = PQexec(slow, MAKE(FIRST, USER, "NULL"));
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    run(MAKE(SECOND, USER, "NULL"));
    expect(NUMBER, "1");
    PQclear(PQexec(slow, "COMMIT"));
    PQfinish(slow);
    expect(NUMBER, "1");
    expect("SELECT string_agg(right(sandbox_id::text, 1), ' ' ORDER BY seq) FROM sandbox_events",
           "2 1");
    expect("SELECT string_agg(right(sandbox_id::text, 1), ' ' ORDER BY id) FROM sandbox_events",
           "1 2");
}

static void a_note_is_an_event_while_the_sandbox_lives(void **state)
{
    (void)state;
    run(MAKE(FIRST, USER, "NULL"));
    expect("SELECT event_note('" FIRST "', 'sandbox.ending', 'timeout', '{\"inMs\": 60000}')", "t");
    expect("SELECT status || ' ' || (detail ->> 'inMs') FROM sandbox_events"
           " WHERE type = 'sandbox.ending'",
           "creating 60000");
    run(END(FIRST, "user"));
    run("UPDATE sandboxes SET status = 'destroyed', ended_at = now()");
    expect("SELECT event_note('" FIRST "', 'sandbox.ending', NULL, NULL)", "f");
}

static void a_webhook_gets_its_owners_events_of_its_types(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run("UPDATE webhooks SET types = '{sandbox.running}'");
    run(MAKE(FIRST, USER, "NULL") MAKE(SECOND, OTHER, "NULL"));
    run(SET(FIRST, "running") SET(SECOND, "running"));
    expect(NUMBER, "4");
    expect("SELECT count(*) FROM webhook_outbox", "1");
    expect("SELECT e.type || ' ' || e.user_id FROM webhook_outbox o"
           " JOIN sandbox_events e ON e.id = o.event_id",
           "sandbox.running " USER);
}

static void one_delivery_of_a_webhook_is_under_way_at_a_time(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL") SET(FIRST, "running"));
    expect(NUMBER, "2");
    expect("SELECT (event).type FROM webhook_take(10, 60000)", "sandbox.creating");
    expect(TAKE_ONE, "f");
    run("SELECT webhook_delivered((SELECT min(id) FROM webhook_outbox))");
    expect("SELECT (event).type FROM webhook_take(10, 60000)", "sandbox.running");
    run("SELECT webhook_delivered((SELECT min(id) FROM webhook_outbox))");
    expect("SELECT count(*) FROM webhook_outbox", "0");
    expect("SELECT delivered_at IS NOT NULL FROM webhooks", "t");
}

static void one_user_takes_a_few_of_the_places(void **state)
{
    (void)state;
    run("INSERT INTO webhooks (id, user_id, url) SELECT gen_random_uuid(), '" USER "', 'https://a/'"
        " FROM generate_series(1, 20)");
    run("SELECT id FROM webhook_create('" HOOK "', '" OTHER "', 'https://b/', '{}', '', 20)");
    run(MAKE(FIRST, USER, "NULL") MAKE(SECOND, OTHER, "NULL"));
    expect(NUMBER, "2");
    expect("SELECT string_agg(target, ' ' ORDER BY target) FROM webhook_take(16, 60000)",
           "https://a/ https://a/ https://a/ https://a/ https://b/");
    expect("SELECT count(*) FROM webhook_take(16, 60000)", "0");
    run("UPDATE webhooks SET busy_until = '-infinity' WHERE id = (SELECT id FROM webhooks"
        " WHERE busy_until > now() AND user_id = '" USER "' LIMIT 1)");
    expect("SELECT count(*) FROM webhook_take(16, 60000)", "1");
}

static void a_lease_that_ends_frees_the_delivery(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    expect("SELECT count(*) FROM webhook_take(10, 0)", "1");
    expect(TAKE_ONE, "t");
}

static void a_failure_is_tried_again_and_then_dead_and_may_be_revived(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    expect(TAKE_ONE, "t");
    run("SELECT webhook_failed(id, 500, 'no', 3600000, 0, false, 5) FROM webhook_outbox");
    expect("SELECT attempts || ' ' || last_status || ' ' || (due_at > now() + interval '59 min')"
           " FROM webhook_outbox",
           "1 500 true");
    expect(TAKE_ONE, "f");
    run("UPDATE webhook_outbox SET due_at = now()");
    expect(TAKE_ONE, "t");
    run("SELECT webhook_failed(id, NULL, 'no', NULL, 0, false, 5) FROM webhook_outbox");
    expect("SELECT dead_at IS NOT NULL FROM webhook_outbox", "t");
    expect("SELECT disabled_at IS NULL AND failing_since IS NOT NULL FROM webhooks", "t");
    expect(TAKE_ONE, "f");
    expect("SELECT webhook_redeliver('" HOOK "', '" OTHER "', 10) IS NULL", "t");
    expect("SELECT webhook_redeliver('" HOOK "', '" USER "', 10)", "1");
    expect(TAKE_ONE, "t");
}

static void a_receiver_that_is_gone_disables_its_webhook(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    run("SELECT webhook_failed(id, 410, 'gone', NULL, 0, true, 5) FROM webhook_outbox");
    expect("SELECT disabled_reason FROM webhooks", "gone");
    run(SET(FIRST, "running"));
    expect(NUMBER, "1");
    expect("SELECT count(*) FROM webhook_outbox", "1");
}

static void five_days_without_an_arrival_disable_it(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    run("UPDATE webhooks SET failing_since = now() - interval '6 days'");
    run("SELECT webhook_failed(id, 500, 'no', 1000, 0, false, 5) FROM webhook_outbox");
    expect("SELECT disabled_at IS NULL FROM webhooks", "t");
    run("SELECT webhook_failed(id, 500, 'no', NULL, 0, false, 5) FROM webhook_outbox");
    expect("SELECT disabled_reason FROM webhooks", "failing");
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect("SELECT sum(events) FROM event_number(100, 1)", "1");
    run(SET(FIRST, "running"));
    expect("SELECT sum(events) FROM event_number(100, 1)", "1");
    expect("SELECT count(*) || ' ' || count(dead_at) FROM webhook_outbox", "1 0");
    expect("SELECT dropped || ' ' || (dropped_at IS NOT NULL) FROM webhooks", "1 true");
}

/* Also by events that get their numbers together. */
static void what_waits_is_bounded_among_many_events(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect("SELECT sum(events) FROM event_number(100, 3)", "1");
    run(SET(FIRST, "running") END(FIRST, "user") MAKE(SECOND, USER, "NULL") SET(SECOND, "running"));
    expect("SELECT sum(events) FROM event_number(100, 3)", "4");
    expect("SELECT count(*) || ' ' || count(dead_at) FROM webhook_outbox", "3 0");
    expect("SELECT dropped FROM webhooks", "2");
}

/* Else whoever asks often enough has all deliveries of the service under way. */
static void a_delivery_under_way_is_not_begun_again_by_asking(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    expect(TAKE_ONE, "t");
    expect("SELECT webhook_redeliver('" HOOK "', '" USER "', 10)", "0");
    expect(TAKE_ONE, "f");
}

static void who_was_served_is_behind_who_waits(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run("SELECT id FROM webhook_create('" SECOND_HOOK "', '" OTHER "', 'https://b/', '{}', '',"
        " 20)");
    run(MAKE(FIRST, USER, "NULL") SET(FIRST, "running") MAKE(SECOND, OTHER, "NULL"));
    expect(NUMBER, "3");
    run("UPDATE webhooks SET busy_until = now() - interval '1 s' WHERE id = '" SECOND_HOOK "'");
    expect("SELECT webhook FROM webhook_take(1, 60000)", HOOK);
    run("SELECT webhook_delivered((SELECT min(id) FROM webhook_outbox WHERE webhook_id = '" HOOK
        "'))");
    expect("SELECT webhook FROM webhook_take(1, 60000)", SECOND_HOOK);
    expect("SELECT webhook FROM webhook_take(1, 60000)", HOOK);
}

static void a_user_has_so_many_webhooks_and_each_once(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    expect("SELECT url FROM webhook_create('" HOOK "', '" USER "', 'https://b/', '{}', '', 1)",
           "https://a/");
    PGconn *pg = PQconnectdb(postgres_url(postgres));
    static const struct {
        const char *sql;
        const char *sqlstate;
    } refused[] = {
        {"SELECT webhook_create('" FIRST "', '" USER "', 'https://b/', '{}', '', 1)", "IN429"},
        {"SELECT webhook_create('" HOOK "', '" OTHER "', 'https://b/', '{}', '', 1)", "IN409"},
        {"SELECT webhook_create('" FIRST "', '" FIRST "', 'https://b/', '{}', '', 1)", "IN404"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        PGresult *result = PQexec(pg, refused[i].sql);
        assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), refused[i].sqlstate);
        PQclear(result);
    }
    PQfinish(pg);
}

static void a_deleted_user_leaves_no_webhook(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    run("SELECT user_delete('" USER "')");
    expect("SELECT count(*) FROM webhooks", "0");
    expect("SELECT count(*) FROM webhook_outbox", "0");
    run("UPDATE users SET deleted_at = NULL, suspended_at = NULL");
}

static void old_events_go_with_what_was_to_be_delivered(void **state)
{
    (void)state;
    run(MAKE_HOOK);
    run(MAKE(FIRST, USER, "NULL"));
    expect(NUMBER, "1");
    run(SET(FIRST, "running"));
    run("UPDATE sandbox_events SET at = now() - interval '31 days'");
    expect("SELECT event_clean(30, 100)", "1"); /* the other has no number yet */
    expect("SELECT count(*) FROM webhook_outbox", "0");
    expect("SELECT count(*) FROM sandbox_events", "1");
}

static int clear(void **state)
{
    (void)state;
    run("DELETE FROM sandboxes; DELETE FROM webhooks; DELETE FROM sandbox_events");
    return 0;
}

static int open_all(void **state)
{
    (void)state;
    postgres = postgres_start();
    postgres_migrate(postgres);
    run("INSERT INTO users (id) VALUES ('" USER "'), ('" OTHER "')");
    run("INSERT INTO api_keys (id, user_id, prefix, digest, bcrypt)"
        " VALUES ('" KEY "', '" USER "', 'isk_01234567', sha256('k'), 'x')");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    postgres_remove(postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_change_is_an_event_with_cause_and_actor),
        TEST(who_acts_is_said_for_one_transaction),
        TEST(what_was_not_committed_did_not_happen),
        TEST(numbers_follow_the_commits),
        TEST(a_note_is_an_event_while_the_sandbox_lives),
        TEST(a_webhook_gets_its_owners_events_of_its_types),
        TEST(one_delivery_of_a_webhook_is_under_way_at_a_time),
        TEST(one_user_takes_a_few_of_the_places),
        TEST(a_lease_that_ends_frees_the_delivery),
        TEST(a_failure_is_tried_again_and_then_dead_and_may_be_revived),
        TEST(a_receiver_that_is_gone_disables_its_webhook),
        TEST(five_days_without_an_arrival_disable_it),
        TEST(what_waits_is_bounded),
        TEST(what_waits_is_bounded_among_many_events),
        TEST(a_delivery_under_way_is_not_begun_again_by_asking),
        TEST(who_was_served_is_behind_who_waits),
        TEST(a_user_has_so_many_webhooks_and_each_once),
        TEST(a_deleted_user_leaves_no_webhook),
        TEST(old_events_go_with_what_was_to_be_delivered),
    };
    return cmocka_run_group_tests_name("migrations_events", tests, open_all, close_all);
}
