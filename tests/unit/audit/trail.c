#include "tests/unit/audit/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_MAX = 64 * 1024, CONNECTIONS = 2, STATEMENT_TIMEOUT_MS = 20000 };

void trail_empty(struct trail *trail)
{
    char *sql = calloc(1, SQL_MAX);
    FILE *file = fopen(AUDIT_MIGRATION, "r");
    assert_true(sql != NULL && file != NULL);
    assert_in_range(fread(sql, 1, SQL_MAX - 1, file), 1, SQL_MAX - 2);
    (void)fclose(file);
    postgres_run(trail->postgres, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    postgres_run(trail->postgres, sql);
    free(sql);
}

int trail_set_up(void **state)
{
    struct trail *trail = calloc(1, sizeof *trail);
    assert_non_null(trail);
    trail->postgres = postgres_start();
    trail_empty(trail);
    *state = trail;
    return 0;
}

int trail_tear_down(void **state)
{
    struct trail *trail = *state;
    postgres_remove(trail->postgres);
    free(trail);
    return 0;
}

static bool is_up(void *arg)
{
    const struct trail *trail = arg;
    return pg_pool_is_up(trail->pg);
}

int trail_open(void **state)
{
    struct trail *trail = *state;
    struct err err = {0};
    const struct pg_options options = {.url = postgres_url(trail->postgres),
                                       .connections = CONNECTIONS,
                                       .statements = audit_statements,
                                       .statement_count = AUDIT_STATEMENT_COUNT,
                                       .statement_timeout_ms = STATEMENT_TIMEOUT_MS};
    trail_empty(trail);
    trail->loop = loop_new(&err);
    assert_non_null(trail->loop);
    trail->pg = pg_pool_open(trail->loop, &options, &err);
    assert_non_null(trail->pg);
    trail->writer = audit_writer_open(trail->loop, trail->pg, "test", &err);
    assert_non_null(trail->writer);
    turn_until_true(trail->loop, is_up, trail);
    return 0;
}

int trail_close(void **state)
{
    struct trail *trail = *state;
    audit_writer_stop(trail->writer);
    pg_pool_close(trail->pg);
    audit_writer_close(trail->writer);
    loop_free(trail->loop);
    return 0;
}

void trail_act(struct trail *trail, const char *target)
{
    struct err err = {0};
    struct audit_act *act = audit_act_begin(trail->writer, &err);
    if (act == NULL) {
        fail_msg("%s", err.message);
    }
    struct audit_record *record = audit_act_record(act);
    record->action = AUDIT_KEY_CREATED;
    audit_text_set(record->target_kind, sizeof record->target_kind, VIEW("api_key"));
    audit_text_set(record->target, sizeof record->target, view_of(target));
    audit_text_set(record->address, sizeof record->address, VIEW("2001:DB8::0:1"));
    audit_text_set(record->user_agent, sizeof record->user_agent, VIEW("a browser"));
    audit_act_end(act);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

void trail_drain(struct trail *trail)
{
    bool drained = false;
    audit_writer_drain(trail->writer, on_drained, &drained);
    turn_until(trail->loop, &drained);
}

void trail_ask(const struct trail *trail, const char *sql, char out[TRAIL_TEXT_SIZE])
{
    PGconn *pg = PQconnectdb(postgres_url(trail->postgres));
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    (void)snprintf(out, TRAIL_TEXT_SIZE, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    PQfinish(pg);
}

void trail_expect(const struct trail *trail, const char *sql, const char *expected)
{
    char text[TRAIL_TEXT_SIZE];
    trail_ask(trail, sql, text);
    assert_string_equal(text, expected);
}

void trail_expect_refusal(const struct trail *trail, const char *sql, const char *words)
{
    PGconn *pg = PQconnectdb(postgres_url(trail->postgres));
    PGresult *result = PQexec(pg, sql);
    assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    if (strstr(PQerrorMessage(pg), words) == NULL) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    PQclear(result);
    PQfinish(pg);
}
