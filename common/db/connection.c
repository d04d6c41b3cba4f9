#include "common/db/connection.h"

#include "common/base/log.h"
#include "common/db/result.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 5000, /* connecting and preparing together */
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 1000,
};

enum state {
    STATE_DOWN,       /* the timer tries again */
    STATE_CONNECTING, /* the timer gives up */
    STATE_PREPARING,  /* the same timer */
    STATE_IDLE,
    STATE_BUSY,
};

struct pg_connection {
    struct loop *loop;                       /* borrowed */
    const struct pg_target *target;          /* borrowed */
    const struct pg_options *options;        /* borrowed */
    const struct pg_connection_hooks *hooks; /* borrowed */
    void *arg;
    enum state state;
    PGconn *pg;        /* owned; NULL while down */
    struct event *io;  /* owned; made anew whenever the socket or the interest changes */
    short io_interest; /* of io */
    struct timer timer;
    int64_t backoff_ms;
    size_t prepared;  /* statements that the server knows */
    PGresult *result; /* owned; of the statement that runs */
    bool complained;  /* the log knows of this outage */
};

static void begin_connect(struct pg_connection *connection);

static void unwatch(struct pg_connection *connection)
{
    if (connection->io != NULL) {
        event_free(connection->io);
        connection->io = NULL;
    }
}

/* Drops the connection to the server and tries again after delay_ms. */
static void go_down(struct pg_connection *connection, int64_t delay_ms)
{
    unwatch(connection);
    PQfinish(connection->pg);
    connection->pg = NULL;
    PQclear(connection->result);
    connection->result = NULL;
    connection->state = STATE_DOWN;
    timer_arm(&connection->timer, delay_ms);
}

static void complain(struct pg_connection *connection, const char *why)
{
    if (!connection->complained) {
        connection->complained = true;
        log_warn("postgres.down", LOG_STR("error", why));
    }
}

/* The server, or the way to it, failed. Last in its turn: a query that ran gets its answer. */
static void on_broken(struct pg_connection *connection, const char *why)
{
    struct err err = {0};
    err_set(&err, ERR_UNAVAILABLE, "postgres: %s", why);
    bool was_busy = connection->state == STATE_BUSY;
    bool was_up = pg_connection_is_up(connection);
    complain(connection, err.message);
    int64_t delay_ms = was_up ? BACKOFF_FIRST_MS : connection->backoff_ms;
    connection->backoff_ms = delay_ms * 2 < BACKOFF_MAX_MS ? delay_ms * 2 : BACKOFF_MAX_MS;
    go_down(connection, delay_ms);
    if (was_busy) {
        connection->hooks->on_answer(NULL, &err, connection->arg);
    }
}

static const char *why_broken(const struct pg_connection *connection)
{
    const char *message = PQerrorMessage(connection->pg);
    return message[0] == '\0' ? "the connection broke" : message;
}

static void on_io(evutil_socket_t fd, short what, void *arg);

static bool watch(struct pg_connection *connection, short interest)
{
    unwatch(connection);
    connection->io_interest = interest;
    connection->io = event_new(loop_base(connection->loop), PQsocket(connection->pg),
                               (short)(interest | EV_PERSIST), on_io, connection);
    return connection->io != NULL && event_add(connection->io, NULL) == 0;
}

/* Writes what the socket takes now; the rest goes when it is writable. */
static bool flush(struct pg_connection *connection)
{
    int left = PQflush(connection->pg);
    short interest = (short)(left > 0 ? EV_READ | EV_WRITE : EV_READ);
    return left >= 0 && (interest == connection->io_interest || watch(connection, interest));
}

static bool send_prepare(struct pg_connection *connection)
{
    const struct pg_statement *statement = &connection->options->statements[connection->prepared];
    return PQsendPrepare(connection->pg, statement->name, statement->sql, 0, NULL) == 1 &&
           flush(connection);
}

static void become_ready(struct pg_connection *connection)
{
    timer_disarm(&connection->timer);
    connection->state = STATE_IDLE;
    connection->backoff_ms = BACKOFF_FIRST_MS;
    connection->complained = false;
    log_info("postgres.up", LOG_INT("server_version", PQserverVersion(connection->pg)));
    connection->hooks->on_ready(connection->arg);
}

static void prepare_next(struct pg_connection *connection)
{
    if (connection->prepared == connection->options->statement_count) {
        become_ready(connection);
    } else if (!send_prepare(connection)) {
        on_broken(connection, why_broken(connection));
    }
}

static void continue_connect(struct pg_connection *connection)
{
    PostgresPollingStatusType wanted = PQconnectPoll(connection->pg);
    switch (wanted) {
    case PGRES_POLLING_READING:
    case PGRES_POLLING_WRITING:
        if (!watch(connection, wanted == PGRES_POLLING_READING ? EV_READ : EV_WRITE)) {
            on_broken(connection, "out of memory");
        }
        return;
    case PGRES_POLLING_OK:
        if (PQsetnonblocking(connection->pg, 1) != 0 || !watch(connection, EV_READ)) {
            on_broken(connection, why_broken(connection));
            return;
        }
        connection->state = STATE_PREPARING;
        prepare_next(connection);
        return;
    default:
        on_broken(connection, why_broken(connection));
    }
}

static void on_prepared(struct pg_connection *connection, const struct err *err)
{
    if (err == NULL) {
        connection->prepared++;
        prepare_next(connection);
        return;
    }
    /* A database without our tables, perhaps: it may get them while we try again. */
    char why[ERR_MESSAGE_SIZE];
    (void)snprintf(why, sizeof why, "preparing %s: %.160s",
                   connection->options->statements[connection->prepared].name, err->message);
    on_broken(connection, why);
}

/* The whole answer of what was sent is in connection->result. */
static void on_statement_done(struct pg_connection *connection)
{
    PGresult *result = TAKE(connection->result);
    struct err err = {0};
    bool ok = pg_result_check(result, &err);
    const struct err *failure = ok ? NULL : &err;
    if (connection->state == STATE_PREPARING) {
        on_prepared(connection, failure);
    } else if (connection->state == STATE_BUSY) {
        connection->state = STATE_IDLE;
        connection->hooks->on_answer(ok ? result : NULL, failure, connection->arg);
    }
    PQclear(result);
}

/* True when an answer is complete; false when more has to come. */
static bool take_results(struct pg_connection *connection)
{
    while (PQisBusy(connection->pg) == 0) {
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL) {
            return connection->result != NULL;
        }
        PQclear(connection->result);
        connection->result = result;
    }
    return false;
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct pg_connection *connection = arg;
    if (connection->state == STATE_CONNECTING) {
        continue_connect(connection);
        return;
    }
    if (((what & EV_READ) != 0 && PQconsumeInput(connection->pg) == 0) || !flush(connection)) {
        on_broken(connection, why_broken(connection));
        return;
    }
    bool done = take_results(connection);
    if (PQstatus(connection->pg) == CONNECTION_BAD) {
        on_broken(connection, why_broken(connection));
    } else if (done) {
        on_statement_done(connection);
    }
}

static void on_timer(void *arg)
{
    struct pg_connection *connection = arg;
    if (connection->state == STATE_DOWN) {
        begin_connect(connection);
    } else {
        on_broken(connection, "no answer while connecting");
    }
}

static void on_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug("postgres.notice", LOG_STR("message", message));
}

static void begin_connect(struct pg_connection *connection)
{
    connection->prepared = 0;
    connection->state = STATE_CONNECTING;
    timer_arm(&connection->timer, CONNECT_TIMEOUT_MS);
    connection->pg = PQconnectStartParams((const char *const *)connection->target->keywords,
                                          (const char *const *)connection->target->values, 0);
    if (connection->pg == NULL || PQstatus(connection->pg) == CONNECTION_BAD) {
        on_broken(connection, why_broken(connection));
        return;
    }
    (void)PQsetNoticeProcessor(connection->pg, on_notice, NULL);
    if (!watch(connection, EV_WRITE)) { /* as if PQconnectPoll had asked for it */
        on_broken(connection, "out of memory");
    }
}

struct pg_connection *pg_connection_open(struct loop *loop, const struct pg_target *target,
                                         const struct pg_options *options,
                                         const struct pg_connection_hooks *hooks, void *arg,
                                         struct err *err)
{
    struct pg_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        err_set(err, ERR_INTERNAL, "postgres: out of memory");
        return NULL;
    }
    connection->loop = loop;
    connection->target = target;
    connection->options = options;
    connection->hooks = hooks;
    connection->arg = arg;
    connection->backoff_ms = BACKOFF_FIRST_MS;
    if (!timer_open(&connection->timer, loop, on_timer, connection, err)) {
        free(connection);
        return NULL;
    }
    timer_arm(&connection->timer, 0);
    return connection;
}

void pg_connection_close(struct pg_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    unwatch(connection);
    timer_close(&connection->timer);
    PQclear(connection->result);
    PQfinish(connection->pg);
    free(connection);
}

bool pg_connection_is_up(const struct pg_connection *connection)
{
    return connection->state == STATE_IDLE || connection->state == STATE_BUSY;
}

bool pg_connection_is_idle(const struct pg_connection *connection)
{
    return connection->state == STATE_IDLE;
}

bool pg_connection_send(struct pg_connection *connection, const char *statement,
                        const char *const *values, int count, struct err *err)
{
    assert(connection->state == STATE_IDLE);
    if (PQsendQueryPrepared(connection->pg, statement, count, values, NULL, NULL, 0) == 1 &&
        flush(connection)) {
        connection->state = STATE_BUSY;
        return true;
    }
    err_set(err, ERR_UNAVAILABLE, "postgres: %s", why_broken(connection));
    on_broken(connection, err->message);
    return false;
}

void pg_connection_reset(struct pg_connection *connection)
{
    go_down(connection, 0);
}
