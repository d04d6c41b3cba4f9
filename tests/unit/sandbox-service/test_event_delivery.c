/* sandbox-service/events: store and delivery, against a real PostgreSQL with our migrations and a
 * receiver that misbehaves on request. */
#include "sandbox-service/events/delivery.h"
#include "sandbox-service/events/store.h"

#include "tests/support/postgres.h"
#include "tests/support/turn.h"
#include "tests/unit/http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define HOOK "55555555-5555-4555-8555-555555555551"

static const struct cidr loopback[] = {{0x7f000000, 8}};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct server *server;
    struct event_store *store;
    struct target_policy policy;
    struct deliveries *deliveries;
};

/* A webhook to that path of the receiver, and one event for it. */
static void queue(struct fixture *fixture, const char *path)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO webhooks (id, user_id, url) VALUES ('" HOOK "', '" USER
                   "', 'http://127.0.0.1:%d%s')",
                   server_port(fixture->server), path);
    postgres_run(fixture->postgres, sql);
    postgres_run(fixture->postgres,
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                 " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"
                 " VALUES ('" SANDBOX "', '" USER "', 'base', 'i', 'sudo', 'free', 'creating',"
                 " 'none', 'i', 'n', 512, 1000, 256, 2, now() + interval '1 hour')");
    postgres_run(fixture->postgres, "SELECT event_number(10, 10)");
}

struct wanted {
    const struct fixture *fixture;
    const char *sql;
};

static bool holds(void *arg)
{
    const struct wanted *wanted = arg;
    deliveries_look(wanted->fixture->deliveries); /* as the service does each second */
    PGconn *pg = PQconnectdb(postgres_url(wanted->fixture->postgres));
    PGresult *result = PQexec(pg, wanted->sql);
    bool is_true = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    PQclear(result);
    PQfinish(pg);
    return is_true;
}

static void deliver_until(struct fixture *fixture, const char *sql)
{
    struct wanted wanted = {fixture, sql};
    deliveries_look(fixture->deliveries);
    turn_until_true(fixture->loop, holds, &wanted);
}

static void what_is_answered_with_2xx_has_arrived(void **state)
{
    struct fixture *fixture = *state;
    queue(fixture, "/ok");
    deliver_until(fixture, "SELECT delivered_at IS NOT NULL AND busy_until < now() FROM webhooks");
    postgres_expect(fixture->postgres, "SELECT count(*) FROM webhook_outbox", "0");
    assert_int_equal(server_requests(fixture->server), 1);
}

static void what_follows_a_2xx_does_not_matter(void **state)
{
    static const char *const paths[] = {"/large", "/cut"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        queue(fixture, paths[i]);
        deliver_until(fixture, "SELECT delivered_at IS NOT NULL FROM webhooks");
        postgres_run(fixture->postgres,
                     "DELETE FROM sandboxes; DELETE FROM webhooks; DELETE FROM sandbox_events");
    }
}

static void what_is_not_is_tried_again_later(void **state)
{
    static const struct {
        const char *path;
        const char *became;
    } cases[] = {
        {"/broken", "500 the answer was 500"},
        {"/redirect", "302 the answer was 302"},
        {"/hangup", "none no connection"},
        {"/nonsense", "none no connection"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        queue(fixture, cases[i].path);
        deliver_until(fixture, "SELECT attempts = 1 AND due_at > now() + interval '3 s'"
                               " AND dead_at IS NULL FROM webhook_outbox");
        postgres_expect(fixture->postgres,
                        "SELECT coalesce(last_status::text, 'none') || ' ' || last_error"
                        " FROM webhook_outbox",
                        cases[i].became);
        postgres_run(fixture->postgres,
                     "DELETE FROM sandboxes; DELETE FROM webhooks; DELETE FROM sandbox_events");
    }
}

static void an_address_that_is_not_public_is_not_connected_to(void **state)
{
    struct fixture *fixture = *state;
    int before = server_accepted(fixture->server);
    fixture->policy.allowed_count = 0;
    queue(fixture, "/ok");
    deliver_until(fixture, "SELECT last_error = 'the address is not allowed' FROM webhook_outbox");
    assert_int_equal(server_accepted(fixture->server), before);
}

static void nothing_begins_behind_the_stop(void **state)
{
    struct fixture *fixture = *state;
    queue(fixture, "/ok");
    deliveries_stop(fixture->deliveries);
    deliveries_look(fixture->deliveries);
    turn_for(fixture->loop, 50);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM webhook_outbox", "1");
}

static void pauses_grow_until_it_is_given_up(void **state)
{
    (void)state;
    int64_t before = 0;
    assert_int_equal(delivery_pause_ms(0), -1);
    for (int tries = 1; tries < DELIVERY_TRIES_MAX; tries++) {
        assert_true(delivery_pause_ms(tries) > before);
        before = delivery_pause_ms(tries);
    }
    assert_int_equal(delivery_pause_ms(DELIVERY_TRIES_MAX), -1);
}

struct listing {
    bool done;
    struct event_store_page page;
    char first[EVENT_TEXT_MAX];
};

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct listing *listing = arg;
    listing->done = true;
    assert_null(err);
    event_store_read_page(result, &listing->page);
    if (listing->page.count > 0) {
        const struct event_row event = event_store_page_event(result, 0);
        struct str text = STR_INIT(EVENT_TEXT_MAX);
        event_text_write(&event, &text);
        (void)snprintf(listing->first, sizeof listing->first, "%s", text.data);
        str_free(&text);
    }
}

static struct listing list(struct fixture *fixture, const char *sandbox_id, int64_t after)
{
    struct listing listing = {0};
    struct err err = {0};
    struct event_list request = {.user_id = USER, .after = after, .limit = 10};
    assert_true(view_copy(view_of(sandbox_id), request.sandbox_id, ID_SIZE));
    assert_true(event_store_list(fixture->store, &request, on_listed, &listing, &err));
    turn_until(fixture->loop, &listing.done);
    return listing;
}

static void lists_go_on_behind_a_number_and_know_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct event_text text;
    struct err err = {0};
    assert_int_equal(list(fixture, "", 0).page.count, 0);
    queue(fixture, "/ok");
    struct listing all = list(fixture, "", 0);
    assert_int_equal(all.page.count, 1);
    assert_true(event_text_read(view_of(all.first), &text, &err));
    assert_true(text.number == all.page.newest);
    assert_true(view_equal(text.type, VIEW("sandbox.creating")));
    assert_non_null(strstr(all.first, "\"actor\":{\"kind\":\"user\",\"userId\":\"" USER "\""));
    assert_int_equal(list(fixture, "", EVENT_LIST_NEWEST).page.count, 0);
    assert_int_equal(list(fixture, SANDBOX, text.number).page.count, 0);
    assert_false(list(fixture, SANDBOX, 0).page.is_ended);
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'failed', ended_at = now(),"
                                    " end_reason = 'error'");
    assert_false(list(fixture, SANDBOX, 0).page.is_ended); /* its last event has no number yet */
    postgres_run(fixture->postgres, "SELECT event_number(10, 10)");
    struct listing rest = list(fixture, SANDBOX, text.number);
    assert_int_equal(rest.page.count, 1);
    assert_true(rest.page.is_ended);
}

static int open_one(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    fixture->server = server_open(fixture->loop, NULL);
    fixture->policy = (struct target_policy){loopback, 1};
    fixture->store = event_store_open(fixture->loop, postgres_url(fixture->postgres), &err);
    assert_non_null(fixture->store);
    const struct deliveries_options options = {.loop = fixture->loop,
                                               .store = fixture->store,
                                               .policy = &fixture->policy,
                                               .secret = VIEW("secret")};
    fixture->deliveries = deliveries_open(&options, &err);
    assert_non_null(fixture->deliveries);
    return 0;
}

static int close_one(void **state)
{
    struct fixture *fixture = *state;
    (void)event_store_fail_all(fixture->store);
    deliveries_close(fixture->deliveries);
    event_store_close(fixture->store);
    server_close(fixture->server);
    postgres_run(fixture->postgres,
                 "DELETE FROM sandboxes; DELETE FROM webhooks; DELETE FROM sandbox_events");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id) VALUES ('" USER "')");
    fixture.loop = loop_new(&err);
    assert_non_null(fixture.loop);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_answered_with_2xx_has_arrived),
        TEST(what_follows_a_2xx_does_not_matter),
        TEST(what_is_not_is_tried_again_later),
        TEST(an_address_that_is_not_public_is_not_connected_to),
        TEST(nothing_begins_behind_the_stop),
        cmocka_unit_test(pauses_grow_until_it_is_given_up),
        TEST(lists_go_on_behind_a_number_and_know_the_end),
    };
    return cmocka_run_group_tests_name("event_delivery", tests, open_all, close_all);
}
