#include "auth-service/admin/store.h"

#include <inttypes.h>
#include <stdio.h>

enum { NUMBER_SIZE = 24 };

static const char begin_sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
static const char page_sql[] =
    "SELECT s.seq, encode(s.hash, 'hex'), s.audit_id, p.audit_id, encode(p.salt, 'hex'),"
    " host(p.address), p.impersonator, p.user_agent, " AUDIT_ROW_COLUMNS
    " FROM audit_seals s LEFT JOIN audit_log l ON l.id = s.audit_id"
    " LEFT JOIN audit_personal p ON p.audit_id = s.audit_id"
    " WHERE s.seq > $1::bigint ORDER BY s.seq LIMIT 1000";
static const char unsealed_sql[] = "SELECT count(*) FROM audit_log WHERE id > $1::bigint";
static const char put_in_sql[] =
    "SELECT l.id FROM audit_log l LEFT JOIN audit_seals s ON s.audit_id = l.id"
    " WHERE l.id <= $1::bigint AND s.seq IS NULL ORDER BY l.id LIMIT 1";

/* Takes result: returns it when it is as expected. */
static PGresult *check(PGconn *pg, PGresult *result, ExecStatusType expected, struct err *err)
{
    if (PQresultStatus(result) != expected) {
        const char *message = PQerrorMessage(pg);
        err_set(err, ERR_UNAVAILABLE, "%.*s", (int)strcspn(message, "\n"), message);
        PQclear(result);
        return NULL;
    }
    return result;
}

static PGresult *ask(PGconn *pg, const char *sql, int64_t parameter, struct err *err)
{
    char number[NUMBER_SIZE];
    (void)snprintf(number, sizeof number, "%" PRId64, parameter);
    const char *const values[] = {number};
    return check(pg, PQexecParams(pg, sql, 1, NULL, values, NULL, NULL, 0), PGRES_TUPLES_OK, err);
}

bool audit_snapshot_begin(PGconn *pg, struct err *err)
{
    PGresult *begun = check(pg, PQexec(pg, begin_sql), PGRES_COMMAND_OK, err);
    PQclear(begun);
    return begun != NULL;
}

void audit_snapshot_end(PGconn *pg)
{
    PQclear(PQexec(pg, "ROLLBACK"));
}

PGresult *audit_read_page(PGconn *pg, int64_t seq, struct err *err)
{
    return ask(pg, page_sql, seq, err);
}

PGresult *audit_read_put_in(PGconn *pg, int64_t id, struct err *err)
{
    return ask(pg, put_in_sql, id, err);
}

PGresult *audit_read_unsealed(PGconn *pg, int64_t id, struct err *err)
{
    return ask(pg, unsealed_sql, id, err);
}
