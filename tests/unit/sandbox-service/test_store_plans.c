/* No statement of the store, of the life of sandboxes or their networks, looks at all sandboxes
 * that ever were: with indexes made as cheap as can be, only what has none to go by reads the whole
 * table. */
#include "sandbox-service/life/store.h"
#include "sandbox-service/network/store.h"
#include "sandbox-service/sandbox/store_statements.h"
#include "tests/support/postgres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

enum { SQL_SIZE = 8192 };

static struct postgres *postgres;
static PGconn *pg;

static PGresult *run(const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    return result;
}

/* The statement as it is executed, with as many NULLs as it has parameters. */
static void write_execute(char out[SQL_SIZE])
{
    PGresult *result = run("SELECT 'EXPLAIN (COSTS OFF) EXECUTE asked' || coalesce('(' || "
                           "array_to_string(array_fill('NULL'::text, "
                           "ARRAY[nullif(cardinality(parameter_types), 0)]), ',') || ')', '') "
                           "FROM pg_prepared_statements WHERE name = 'asked'");
    (void)snprintf(out, SQL_SIZE, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
}

static void check(const struct pg_statement *statement)
{
    char sql[SQL_SIZE];
    PGresult *prepared = PQprepare(pg, "asked", statement->sql, 0, NULL);
    if (PQresultStatus(prepared) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", statement->name, PQerrorMessage(pg));
    }
    PQclear(prepared);
    write_execute(sql);
    PGresult *plan = run(sql);
    for (int row = 0; row < PQntuples(plan); row++) {
        if (strstr(PQgetvalue(plan, row, 0), "Seq Scan on sandboxes") != NULL) {
            fail_msg("%s reads the whole table", statement->name);
        }
    }
    PQclear(plan);
    PQclear(run("DEALLOCATE asked"));
}

static void statements_of_the_store_have_indexes(void **state)
{
    (void)state;
    for (size_t i = 0; i < store_statement_count; i++) {
        check(&store_statements[i]);
    }
}

static void statements_of_the_life_have_indexes(void **state)
{
    (void)state;
    for (size_t i = 0; i < life_statement_count; i++) {
        check(&life_statements[i]);
    }
}

/* Planning these takes longer than running them, so that a claim must not do it again: whoever
 * replaces one has to say so again. */
static void what_a_claim_calls_keeps_its_plans(void **state)
{
    (void)state;
    PGresult *others =
        run("SELECT proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang "
            "WHERE (proname IN ('api_key_has_room', 'quota_choose_cpus') AND lanname <> 'plpgsql') "
            "OR (proname IN ('pool_take', 'sandbox_begin', 'pool_bind', 'secrets_attach') AND "
            "NOT coalesce('plan_cache_mode=force_generic_plan' = ANY (proconfig), false))");
    if (PQntuples(others) > 0) {
        fail_msg("%s is planned anew", PQgetvalue(others, 0, 0));
    }
    PQclear(others);
}

static void statements_of_networks_have_indexes(void **state)
{
    (void)state;
    for (size_t i = 0; i < network_statement_count; i++) {
        check(&network_statements[i]);
    }
}

static int open_all(void **state)
{
    (void)state;
    postgres = postgres_start();
    postgres_migrate(postgres);
    postgres_migrate(postgres); /* as each start of the services does */
    pg = PQconnectdb(postgres_url(postgres));
    PQclear(run("SET enable_seqscan = off"));
    PQclear(run("SET plan_cache_mode = force_generic_plan"));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    PQfinish(pg);
    postgres_remove(postgres);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_of_the_store_have_indexes),
        cmocka_unit_test(statements_of_the_life_have_indexes),
        cmocka_unit_test(what_a_claim_calls_keeps_its_plans),
        cmocka_unit_test(statements_of_networks_have_indexes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
