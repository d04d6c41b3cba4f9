/* migrations/grants.sql: what each service may do in the database, and what not. */
#include "tests/support/postgres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define USER_ID "'11111111-1111-4111-8111-111111111111'"
#define SANDBOX_ID "'22222222-2222-4222-8222-222222222222'"
#define PERMISSION_DENIED "42501"

static struct postgres *postgres;

/* Prints what a query finds, which should be nothing. */
static void expect_nothing(const char *sql)
{
    PGconn *pg = PQconnectdb(postgres_url(postgres));
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s", PQerrorMessage(pg));
    }
    for (int row = 0; row < PQntuples(result); row++) {
        print_error("%s\n", PQgetvalue(result, row, 0));
    }
    assert_int_equal(PQntuples(result), 0);
    PQclear(result);
    PQfinish(pg);
}

/* "": it succeeded. */
static void try_as(const char *service, const char *sql, char sqlstate[6])
{
    PGconn *pg = PQconnectdb(postgres_service_url(postgres, service));
    if (PQstatus(pg) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(pg));
    }
    PQclear(PQexec(pg, "BEGIN"));
    PGresult *result = PQexec(pg, sql);
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    (void)snprintf(sqlstate, 6, "%s", code == NULL ? "" : code);
    PQclear(result);
    PQfinish(pg); /* and with it what it did */
}

/* Each new table has to be decided on in grants.sql; those that no service needs stand here too. */
static void every_table_is_decided_on(void **state)
{
    (void)state;
    expect_nothing(
        "SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p', 'v', 'm')"
        " AND relname NOT IN ('schema_migrations')"
        " AND NOT EXISTS (SELECT FROM unnest(ARRAY['postgres_auth', 'postgres_sandbox']) AS r (n)"
        "   WHERE has_any_column_privilege(n, c.oid, 'SELECT, INSERT, UPDATE')"
        "   OR has_table_privilege(n, c.oid, 'DELETE'))");
}

/* The same of functions; here stand those that only others of ours call. */
static void every_function_is_decided_on(void **state)
{
    (void)state;
    expect_nothing("SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
                   " AND prorettype <> 'trigger'::regtype"
                   " AND proname NOT IN ('api_key_has_room', 'port_next_free', "
                   "'network_free_address', 'audit_field', 'audit_hash',"
                   " 'quota_check_user', 'quota_check_memory', 'quota_choose_cpus', 'quota_limit',"
                   " 'pool_limit', 'node_check_admin',"
                   " 'audit_owner', 'template_find')"
                   " AND NOT has_function_privilege('postgres_auth', p.oid, 'EXECUTE')"
                   " AND NOT has_function_privilege('postgres_sandbox', p.oid, 'EXECUTE')");
}

static void nothing_is_everybodys(void **state)
{
    (void)state;
    expect_nothing("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                   " AND EXISTS (SELECT FROM aclexplode(coalesce(proacl,"
                   "   acldefault('f', proowner))) WHERE grantee = 0)");
    expect_nothing("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                   " AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0)");
    expect_nothing("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                   " AND prosecdef AND NOT proconfig @> ARRAY['search_path=public, pg_temp']");
}

static void each_may_do_its_work_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *service;
        const char *sql;
        bool denied;
    } cases[] = {
        {"auth", "SELECT * FROM users, identities, api_keys, audit_log, audit_seals", false},
        {"auth", "SELECT * FROM identity_user('i', 's', 'a@example.org')", false},
        {"auth", "SELECT user_delete(" USER_ID ")", false},
        {"auth", "SELECT webhook_begin('w')", false},
        {"auth", "SELECT * FROM audit_seal(10)", false},
        {"auth", "UPDATE users SET tier = 'pro'", false},
        {"auth", "UPDATE users SET role = 'admin'", true},
        {"auth", "INSERT INTO users (role) VALUES ('admin')", true},
        {"auth", "DELETE FROM users", true},
        {"auth", "UPDATE identities SET user_id = " USER_ID, true},
        {"auth", "DELETE FROM identity_tombstones", true},
        {"auth", "UPDATE api_keys SET scopes = 63", true},
        {"auth", "UPDATE api_keys SET user_id = " USER_ID, true},
        {"auth", "DELETE FROM api_keys", true},
        {"auth",
         "INSERT INTO audit_log (id, action, result, service, personal_digest)"
         " OVERRIDING SYSTEM VALUE VALUES (9223372036854775806, 'a', 'ok', 's', sha256(''))",
         true},
        {"auth", "UPDATE audit_log SET result = 'ok'", true},
        {"auth", "DELETE FROM audit_log", true},
        {"auth", "TRUNCATE audit_log", true},
        {"auth", "INSERT INTO audit_seals VALUES (1, 1, sha256(''))", true},
        {"auth", "UPDATE audit_seals SET seq = 2", true},
        {"auth", "DELETE FROM audit_seals", true},
        {"auth", "DELETE FROM audit_personal", true},
        {"auth", "DELETE FROM audit_concerns", true},
        {"auth", "SELECT user_erase(10)", false},
        {"auth", "SELECT user_leave(" USER_ID ", NULL)", false},
        {"auth", "UPDATE audit_personal SET user_agent = ''", true},
        {"auth", "ALTER TABLE audit_log DISABLE TRIGGER ALL", true},
        {"auth", "SELECT env FROM sandboxes", true},
        {"auth", "UPDATE sandboxes SET user_id = " USER_ID, true},
        {"auth",
         "SELECT sandbox_begin(" SANDBOX_ID ", " USER_ID ", NULL, 'base', 0, 'none', 'i',"
         " 'n', '{}', '{}', '{}', '{}', '{}')",
         true},
        {"auth", "INSERT INTO templates (name, image, profile) VALUES ('a', 'b', 'sudo')", true},
        {"auth", "UPDATE schema_migrations SET sha256 = ''", true},
        {"auth", "CREATE TABLE public.mine (id int)", true},
        {"auth", "CREATE ROLE another", true},

        {"sandbox", "SELECT * FROM sandboxes LEFT JOIN ports ON true", false},
        {"sandbox",
         "SELECT id FROM sandbox_begin(" SANDBOX_ID ", " USER_ID ", NULL, 'base', 0, 'none', 'i',"
         " 'n', '{}', '{}', '{\"free\": {\"sandboxes\": 2, \"memoryMB\": 512, \"cpuMilli\": 1000,"
         " \"pids\": 256, \"diskMB\": 2048, \"lifetimeHours\": 2}}', '{}', '{}')",
         false},
        {"sandbox", "SELECT * FROM quota_usage(" USER_ID ", NULL)", false},
        {"sandbox", "SELECT quota_check_user(" USER_ID ", NULL, 1)", true},
        {"sandbox", "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'", false},
        {"sandbox", "SELECT id FROM users WHERE deleted_at IS NOT NULL", false},
        {"sandbox",
         "INSERT INTO audit_log (action, result, service, personal_digest)"
         " VALUES ('a', 'ok', 's', sha256('')) ON CONFLICT (personal_digest) DO NOTHING"
         " RETURNING id, personal_digest",
         false},
        {"sandbox", "SELECT 1 FROM audit_concerns", true},
        {"sandbox", "SELECT email FROM users", true},
        {"sandbox", "UPDATE users SET tier = 'enterprise'", true},
        {"sandbox", "SELECT 1 FROM users FOR UPDATE", true},
        {"sandbox", "SELECT bcrypt FROM api_keys", true},
        {"sandbox", "SELECT 1 FROM identities", true},
        {"sandbox", "SELECT answer FROM idempotency", true},
        {"sandbox", "INSERT INTO sandboxes (id) VALUES (" SANDBOX_ID ")", true},
        {"sandbox", "UPDATE sandboxes SET user_id = " USER_ID, true},
        {"sandbox", "UPDATE sandboxes SET expires_at = now() + interval '1 year'", true},
        {"sandbox", "DELETE FROM sandboxes", true},
        {"sandbox", "UPDATE ports SET host_port = 22", true},
        {"sandbox", "SELECT action FROM audit_log", true},
        {"sandbox",
         "INSERT INTO audit_log (id, action, result, service, personal_digest)"
         " OVERRIDING SYSTEM VALUE VALUES (9223372036854775806, 'a', 'ok', 's', sha256(''))",
         true},
        {"sandbox", "UPDATE audit_log SET result = 'ok'", true},
        {"sandbox", "DELETE FROM audit_log", true},
        {"sandbox", "SELECT address FROM audit_personal", true},
        {"sandbox", "DELETE FROM audit_personal", true},
        {"sandbox", "SELECT audit_seal(1)", true},
        {"sandbox", "SELECT * FROM identity_user('i', 's', '')", true},
        {"sandbox", "SELECT api_key_revoke(" USER_ID ", " USER_ID ", NULL)", true},
        {"sandbox",
         "UPDATE sandboxes SET status = 'stopping' RETURNING event_act('user', NULL, NULL, NULL)",
         false},
        {"sandbox", "SELECT * FROM event_number(10, 10), sandbox_events, webhook_outbox", false},
        {"sandbox", "SELECT event_clean(1, 1), event_note(" SANDBOX_ID ", 'a.b', NULL, NULL)",
         false},
        {"sandbox", "SELECT webhook_create(" SANDBOX_ID ", " USER_ID ", 'https://a/', '{}', '', 9)",
         false},
        {"sandbox", "SELECT * FROM webhook_take(1, 1)", false},
        {"sandbox", "DELETE FROM webhooks", false},
        {"sandbox", "INSERT INTO sandbox_events (sandbox_id) VALUES (" SANDBOX_ID ")", true},
        {"sandbox", "UPDATE sandbox_events SET cause = 'oom'", true},
        {"sandbox", "UPDATE webhooks SET url = 'https://b/'", true},
        {"sandbox", "DELETE FROM webhook_outbox", true},
        {"auth", "SELECT 1 FROM sandbox_events", true},
        {"auth", "SELECT 1 FROM webhooks", true},
        {"auth", "SELECT event_number(1, 1)", true},
        {"sandbox", "SELECT user_delete(" USER_ID ")", true},
        {"sandbox", "UPDATE templates SET profile = 'sudo'", true},
        {"sandbox", "INSERT INTO templates (name, image) VALUES ('a', 'b')", true},
        {"sandbox", "DELETE FROM templates", true},
        {"sandbox", "CREATE TABLE public.mine (id int)", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[6];
        try_as(cases[i].service, cases[i].sql, got);
        if (strcmp(got, cases[i].denied ? PERMISSION_DENIED : "") != 0) {
            fail_msg("%s, %s: \"%s\"", cases[i].service, cases[i].sql, got);
        }
    }
}

static void what_was_given_beside_it_is_taken_back(void **state)
{
    (void)state;
    char got[6];
    postgres_run(postgres, "GRANT DELETE ON users TO postgres_sandbox;"
                           " GRANT SELECT (email) ON users TO PUBLIC;"
                           " GRANT EXECUTE ON FUNCTION user_delete TO PUBLIC");
    try_as("sandbox", "DELETE FROM users", got);
    assert_string_equal(got, "");
    postgres_migrate(postgres);
    try_as("sandbox", "DELETE FROM users", got);
    assert_string_equal(got, PERMISSION_DENIED);
    try_as("sandbox", "SELECT email FROM users", got);
    assert_string_equal(got, PERMISSION_DENIED);
    try_as("sandbox", "SELECT user_delete(" USER_ID ")", got);
    assert_string_equal(got, PERMISSION_DENIED);
}

static void roles_that_are_not_there_are_passed_over(void **state)
{
    (void)state;
    postgres_run(postgres, "DROP OWNED BY postgres_auth; DROP ROLE postgres_auth");
    postgres_migrate(postgres);
    postgres_run(postgres, "CREATE ROLE postgres_auth LOGIN");
    postgres_migrate(postgres);
    char got[6];
    try_as("auth", "SELECT 1 FROM users", got);
    assert_string_equal(got, "");
}

static int open_all(void **state)
{
    (void)state;
    postgres = postgres_start();
    postgres_migrate(postgres);
    postgres_run(postgres, "INSERT INTO users (id, email) VALUES (" USER_ID ", 'a@example.org')");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    postgres_remove(postgres);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_is_decided_on),
        cmocka_unit_test(every_function_is_decided_on),
        cmocka_unit_test(nothing_is_everybodys),
        cmocka_unit_test(each_may_do_its_work_and_nothing_else),
        cmocka_unit_test(what_was_given_beside_it_is_taken_back),
        cmocka_unit_test(roles_that_are_not_there_are_passed_over),
    };
    return cmocka_run_group_tests_name("migrations_grants", tests, open_all, close_all);
}
