/* The functions of the migration about a node as a whole: draining, its state, what is forgotten.
 */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define ADMIN "11111111-1111-4111-8111-111111111111"
#define OTHER "11111111-1111-4111-8111-111111111112"

enum { TEXT_SIZE = 256, BATCH = 3 };

static const struct pg_statement statements[] = {
    {"make",
     "INSERT INTO sandboxes (id, user_id, template, image, profile, read_only_root, tier,"
     " status, network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours,"
     " expires_at, ended_at, end_reason)"
     " SELECT gen_random_uuid(), '" ADMIN "', 'base', $1, 'sudo', false, 'free',"
     " CASE WHEN $3::int >= 0 THEN 'destroyed' ELSE 'running' END, 'none', 'test', $2, 512,"
     " 500, 64, 2, now(), CASE WHEN $3::int >= 0 THEN now() - make_interval(days => $3) END,"
     " CASE WHEN $3::int >= 0 THEN 'user' END"},
    {"set_image", "UPDATE sandboxes SET image = $1 WHERE (ended_at IS NULL) = $2::boolean"},
    {"drain", "SELECT node_set_draining($1, 'test', $2, $3, $4)"},
    {"state", "SELECT coalesce(draining ->> 'reason', CASE WHEN draining IS NULL THEN 'takes' ELSE"
              " 'no reason' END) || ' ' || (sandboxes ->> 'running') || ' ' ||"
              " (promised ->> 'memoryMB') || ' ' || (promised ->> 'cpu')"
              " FROM node_state('test', $1)"},
    {"forget", "SELECT sandboxes_forget('test', $1, $2)"},
    {"attach", "WITH v AS (INSERT INTO volumes (id, user_id, name, size_mb, instance, node)"
               " VALUES (gen_random_uuid(), '" ADMIN "', 'v', 1, 'test', 'node-1') RETURNING id)"
               " INSERT INTO volume_attachments SELECT s.id, v.id, '/v' FROM sandboxes s, v"},
    {"detach", "DELETE FROM volume_attachments"},
    {"count", "SELECT count(*) FROM sandboxes"},
    {"ports", "SELECT count(*) FROM ports_left($1, 'test', 'node-1', $2)"},
    {"named", "SELECT string_agg(n, ' ' ORDER BY n) FROM images_named($1) AS named (n)"},
    {"record", "WITH l AS (INSERT INTO audit_log (at, action, result, service, personal_digest)"
               " SELECT now() - make_interval(days => $1), 'exec', 'ok', 'test',"
               " sha256(gen_random_uuid()::text::bytea) RETURNING id)"
               " INSERT INTO audit_personal (audit_id, salt, address)"
               " SELECT id, decode(repeat('00', 32), 'hex'), '127.0.0.1' FROM l"},
    {"forget_personal", "SELECT audit_forget_personal($1, $2)"},
    {"recorded", "SELECT (SELECT count(*) FROM audit_log) || ' ' ||"
                 " (SELECT count(*) FROM audit_personal)"},
    {"template", "INSERT INTO templates (id, user_id, name, image, instance, node)"
                 " VALUES ('" ADMIN "', '" ADMIN "', 'mine', 'test/template:x', 'test', $1)"},
    {"fail_template", "UPDATE templates SET status = 'failed', failure = 'x' WHERE name = 'mine'"},
    {"remove_template", "DELETE FROM templates WHERE name = 'mine'"},
    {"images",
     "SELECT is_gone::text FROM template_images('test', 'node-1', ARRAY['" ADMIN "']::uuid[])"},
    {"age", "UPDATE template_images_gone SET gone_at = now() - interval '2 days'"},
    {"forget_images", "SELECT template_images_forget('test', 'node-1', $1)"},
    {"leave_port", "INSERT INTO ports (sandbox_id, container_port, visibility, instance, node)"
                   " SELECT id, 80, 'public', instance, node FROM sandboxes"},
    {"clear", "WITH d AS (DELETE FROM nodes_draining) DELETE FROM sandboxes"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

struct answer {
    bool done;
    char text[TEXT_SIZE];
    struct err err;
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    } else if (pg_rows(result) == 1) {
        (void)snprintf(answer->text, sizeof answer->text, "%s", pg_text(result, 0, 0));
    }
}

static struct answer ask(void **state, const char *statement, struct pg_parameters parameters)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    struct err err;
    while (parameters.count < 4 && parameters.values[parameters.count] != NULL) {
        parameters.count++;
    }
    assert_non_null(pg_query_begin(fixture->pool, statement, &parameters, TURN_PATIENCE_MS,
                                   on_result, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}
#define ASK(state, statement, ...)                                                                 \
    ask(state, statement, (struct pg_parameters){.values = {__VA_ARGS__}})

/* That went well, and says so. */
static void expect(const struct answer *answer, const char *text)
{
    assert_string_equal(answer->err.message, "");
    assert_string_equal(answer->text, text);
}
#define EXPECT(text, ...)                                                                          \
    do {                                                                                           \
        struct answer answer_ = ASK(__VA_ARGS__);                                                  \
        expect(&answer_, text);                                                                    \
    } while (0)

static void a_draining_node_takes_no_sandbox_and_the_others_do(void **state)
{
    EXPECT("", state, "make", "debian", "node-1", "-1");
    EXPECT("", state, "drain", ADMIN, "node-1", "true", "a new kernel");
    struct answer refused = ASK(state, "make", "debian", "node-1", "-1");
    assert_int_equal(refused.err.code, ERR_UNAVAILABLE);
    assert_string_equal(refused.err.reason, "node_draining");
    EXPECT("", state, "make", "debian", "node-2", "-1");
    EXPECT("a new kernel 1 512 0.5", state, "state", "node-1");
    EXPECT("takes 1 512 0.5", state, "state", "node-2");
    EXPECT("", state, "drain", ADMIN, "node-1", "false", "");
    EXPECT("", state, "make", "debian", "node-1", "-1");
    EXPECT("takes 2 1024 1", state, "state", "node-1");
}

static void draining_again_keeps_the_reason_unless_there_is_another(void **state)
{
    EXPECT("", state, "drain", ADMIN, "node-1", "true", "first");
    EXPECT("", state, "drain", ADMIN, "node-1", "true", "");
    EXPECT("first 0 0 0", state, "state", "node-1");
    EXPECT("", state, "drain", ADMIN, "node-1", "true", "second");
    EXPECT("second 0 0 0", state, "state", "node-1");
    EXPECT("", state, "drain", ADMIN, "node-1", "false", "");
    EXPECT("", state, "drain", ADMIN, "node-1", "false", "");
    EXPECT("takes 0 0 0", state, "state", "node-1");
}

static void only_administrators_drain_and_clean(void **state)
{
    struct answer refused = ASK(state, "drain", OTHER, "node-1", "true", "");
    assert_int_equal(refused.err.code, ERR_DENIED);
    assert_string_equal(refused.err.reason, "not_admin");
    refused = ASK(state, "ports", OTHER, "false");
    assert_string_equal(refused.err.reason, "not_admin");
}

static void what_ended_long_ago_is_forgotten_a_batch_at_a_time(void **state)
{
    for (int i = 0; i < BATCH + 1; i++) {
        EXPECT("", state, "make", "debian", "node-1", "31");
    }
    EXPECT("", state, "make", "debian", "node-1", "29");
    EXPECT("", state, "make", "debian", "node-1", "-1");
    EXPECT("3", state, "forget", "30", "3");
    EXPECT("1", state, "forget", "30", "3");
    EXPECT("0", state, "forget", "30", "3");
    EXPECT("2", state, "count", NULL);
}

static void what_may_still_write_to_a_volume_is_not_forgotten(void **state)
{
    EXPECT("", state, "make", "debian", "node-1", "31");
    EXPECT("", state, "attach", NULL);
    EXPECT("0", state, "forget", "30", "3");
    EXPECT("", state, "detach", NULL);
    EXPECT("1", state, "forget", "30", "3");
}

static void persons_go_from_old_records_of_the_trail(void **state)
{
    EXPECT("", state, "record", "31");
    EXPECT("", state, "record", "29");
    EXPECT("0", state, "forget_personal", "60", "1");
    EXPECT("1", state, "forget_personal", "1", "1"); /* never less than 30 */
    EXPECT("0", state, "forget_personal", "1", "1");
    EXPECT("2 1", state, "recorded", NULL);
}

static void images_of_templates_that_went_are_marked(void **state)
{
    EXPECT("", state, "template", "node-1");
    EXPECT("false", state, "images", NULL);
    EXPECT("", state, "fail_template", NULL);
    EXPECT("true", state, "images", NULL); /* the engine may have made it all the same */
    EXPECT("", state, "remove_template", NULL);
    EXPECT("true", state, "images", NULL);
    EXPECT("0", state, "forget_images", "{}"); /* it has just gone */
    EXPECT("", state, "age", NULL);
    EXPECT("0", state, "forget_images", "{" ADMIN "}"); /* it is there yet */
    EXPECT("1", state, "forget_images", "{}");
    EXPECT("", state, "images", NULL);
}

static void ports_of_what_ended_are_told_and_removed(void **state)
{
    EXPECT("", state, "make", "debian", "node-1", "1");
    EXPECT("", state, "make", "debian", "node-1", "-1");
    EXPECT("", state, "leave_port", NULL);
    EXPECT("1", state, "ports", ADMIN, "false");
    EXPECT("1", state, "ports", ADMIN, "true");
    EXPECT("0", state, "ports", ADMIN, "false");
}

static void images_of_templates_and_of_what_lives_are_named(void **state)
{
    EXPECT("", state, "make", "lives", "node-1", "-1");
    EXPECT("", state, "make", "ended:1", "node-1", "1");
    /* A template has said which image it is. */
    EXPECT("", state, "set_image", "lives", "true");
    EXPECT("", state, "set_image", "ended:1", "false");
    EXPECT("lives:latest", state, "named", "[\"lives:latest\",\"ended:1\",\"lives:2\"]");
    EXPECT("", state, "named", "[]");
}

static int clear(void **state)
{
    (void)ASK(state, "clear", NULL);
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres, "INSERT INTO users (id, tier, role) VALUES ('" ADMIN
                                   "', 'pro', 'admin'), ('" OTHER "', 'pro', 'user')");
    const struct pg_options options = {.url = postgres_url(fixture.postgres),
                                       .connections = 1,
                                       .statements = statements,
                                       .statement_count = sizeof statements / sizeof statements[0],
                                       .statement_timeout_ms = TURN_PATIENCE_MS};
    fixture.loop = loop_new(&err);
    fixture.pool = pg_pool_open(fixture.loop, &options, &err);
    assert_non_null(fixture.pool);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    pg_pool_close(fixture->pool);
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_draining_node_takes_no_sandbox_and_the_others_do),
        TEST(draining_again_keeps_the_reason_unless_there_is_another),
        TEST(only_administrators_drain_and_clean),
        TEST(what_ended_long_ago_is_forgotten_a_batch_at_a_time),
        TEST(what_may_still_write_to_a_volume_is_not_forgotten),
        TEST(persons_go_from_old_records_of_the_trail),
        TEST(images_of_templates_that_went_are_marked),
        TEST(ports_of_what_ended_are_told_and_removed),
        TEST(images_of_templates_and_of_what_lives_are_named),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
