/* common/db/pg.h: PostgreSQL on the loop: a small pool of non-blocking connections. */
#ifndef COMMON_DB_PG_H
#define COMMON_DB_PG_H

#include "common/event/loop.h"

#include <libpq-fe.h>
#include <stdint.h>

enum {
    PG_QUEUE_MAX = 1024, /* queries that wait for a connection; more: ERR_LIMIT "busy" */
    PG_PARAMETERS_MAX = 24,
};

/* Prepared on every connection when it opens. Names are unique in the service. */
struct pg_statement {
    const char *name;
    const char *sql;
};

struct pg_pool;
struct pg_query;

struct pg_options {
    const char *url;    /* a connection string; copied */
    size_t connections; /* opened at once, re-opened with back-off when they break */
    const struct pg_statement *statements; /* borrowed for ever */
    size_t statement_count;
    int64_t statement_timeout_ms; /* the server's own bound on one statement; pg_ask's */
};

/* Looks host names of the URL up, so that it may block: before the loop runs. */
struct pg_pool *pg_pool_open(struct loop *loop, const struct pg_options *options,
                             struct err *err) MUST_CHECK;
/* Ends the queries that wait or run with ERR_UNAVAILABLE before it returns; later ones can't begin.
 * Returns whether there were any. */
bool pg_pool_fail_all(struct pg_pool *pool);
/* After the same. Accepts NULL. */
void pg_pool_close(struct pg_pool *pool);
/* Whether at least one connection is usable now. */
bool pg_pool_is_up(const struct pg_pool *pool);

/* A parameter as text; NULL is SQL's NULL. */
struct pg_parameters {
    const char *values[PG_PARAMETERS_MAX];
    int count;
};

/* result is NULL when err is not; borrowed during the call. Errors: ERR_UNAVAILABLE (no server,
 * connection lost, shutting down), ERR_TIMEOUT, ERR_CONFLICT "unique_violation", ERR_INTERNAL, and
 * what a statement raises itself: RAISE EXCEPTION USING ERRCODE = 'IN429' etc. gives ERR_LIMIT with
 * the raised message as reason (IN400, IN401, IN403, IN404, IN409 the same way). */
typedef void pg_result_fn(const PGresult *result, const struct err *err, void *arg);

/* Runs a prepared statement. Copies the parameters. done comes exactly once, later, on the loop. A
 * query waits at most timeout_ms for a connection and its answer, and while there is no connection
 * at all at most a second; one that was sent to a connection that then broke is NOT repeated. NULL
 * when it can't begin (done is not called). */
struct pg_query *pg_query_begin(struct pg_pool *pool, const char *statement,
                                const struct pg_parameters *parameters, int64_t timeout_ms,
                                pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The same for who does not cancel, within the pool's statement_timeout_ms. */
bool pg_ask(struct pg_pool *pool, const char *statement, const struct pg_parameters *parameters,
            pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* done is not called any more; the statement may still take effect. */
void pg_query_cancel(struct pg_query *query);

/* Reading a result: text of a column by its position; "" for NULL. */
const char *pg_text(const PGresult *result, int row, int column);
int64_t pg_int(const PGresult *result, int row, int column);
bool pg_bool(const PGresult *result, int row, int column);
bool pg_is_null(const PGresult *result, int row, int column);
int pg_rows(const PGresult *result);

#endif
