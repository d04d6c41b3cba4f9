#include "common/db/result.h"

#include "common/db/pg.h"

#include <stdlib.h>
#include <string.h>

/* Longer prefixes come before the shorter ones they begin with. */
static const struct {
    const char *sqlstate; /* or the beginning of it */
    enum err_code code;
    const char *reason; /* NULL: the code's own name */
} states[] = {
    {"23505", ERR_CONFLICT, "unique_violation"},
    {"57014", ERR_TIMEOUT, NULL},     /* statement_timeout */
    {"57P", ERR_UNAVAILABLE, NULL},   /* starting up, shutting down */
    {"08", ERR_UNAVAILABLE, NULL},    /* connection failures */
    {"53", ERR_UNAVAILABLE, NULL},    /* no connections, memory or disk left */
    {"40", ERR_UNAVAILABLE, NULL},    /* rolled back: deadlock, serialization */
    {"25006", ERR_UNAVAILABLE, NULL}, /* a standby */
};

/* What our own SQL raises: the message is the reason. */
static const struct {
    const char *sqlstate;
    enum err_code code;
} raised[] = {
    {"IN400", ERR_INVALID},     {"IN401", ERR_UNAUTHENTICATED}, {"IN403", ERR_DENIED},
    {"IN404", ERR_NOT_FOUND},   {"IN409", ERR_CONFLICT},        {"IN429", ERR_LIMIT},
    {"IN503", ERR_UNAVAILABLE},
};

static const char *field(const PGresult *result, int code)
{
    const char *value = PQresultErrorField(result, code);
    return value == NULL ? "" : value;
}

static bool fill(const char *sqlstate, const char *message, struct err *err)
{
    for (size_t i = 0; i < sizeof raised / sizeof raised[0]; i++) {
        if (strcmp(sqlstate, raised[i].sqlstate) == 0) {
            return err_set_reason(err, raised[i].code, message, "%s", message);
        }
    }
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (strncmp(sqlstate, states[i].sqlstate, strlen(states[i].sqlstate)) == 0) {
            const char *reason = states[i].reason;
            return err_set_reason(err, states[i].code,
                                  reason == NULL ? err_code_name(states[i].code) : reason,
                                  "postgres: %s (%s)", message, sqlstate);
        }
    }
    return err_set(err, ERR_INTERNAL, "postgres: %s (%s)", message, sqlstate);
}

bool pg_result_check(const PGresult *result, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        return true;
    }
    const char *sqlstate = result == NULL ? "" : field(result, PG_DIAG_SQLSTATE);
    if (sqlstate[0] == '\0') { /* libpq's own: the connection is gone */
        return err_set(err, ERR_UNAVAILABLE, "postgres: the connection broke");
    }
    return fill(sqlstate, field(result, PG_DIAG_MESSAGE_PRIMARY), err);
}

const char *pg_text(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}

int64_t pg_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool pg_bool(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

bool pg_is_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0;
}

int pg_rows(const PGresult *result)
{
    return PQntuples(result);
}
