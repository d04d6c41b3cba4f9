#include "common/db/pg.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/db/connection.h"
#include "common/db/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Without any connection a query waits this long for one to come back, which a restart of the
 * server takes; its caller should hear soon when the server stays away. */
enum { PG_DOWN_WAIT_MS = 1000 };

struct slot {
    struct pg_pool *pool;             /* borrowed */
    struct pg_connection *connection; /* owned */
    struct pg_query *query;           /* borrowed from pool->begun; NULL: none */
};

struct pg_pool {
    struct loop *loop; /* borrowed */
    struct pg_options options;
    struct pg_target *target; /* owned */
    struct list waiting;      /* queries in the order they came */
    size_t waiting_count;
    struct list begun; /* queries that were sent, or failed and wait to tell so */
    bool closing;
    size_t slot_count;
    struct slot slots[];
};

enum query_state {
    QUERY_WAITING,
    QUERY_SENT,  /* slot has it */
    QUERY_ENDED, /* has its answer or failure; its caller hears of it next */
};

struct pg_query {
    struct list node;     /* in waiting, or else in begun */
    struct pg_pool *pool; /* borrowed */
    enum query_state state;
    struct slot *slot;   /* borrowed, while sent */
    int64_t deadline_ms; /* monotonic */
    struct timer timer;
    struct err err; /* once failed */
    pg_result_fn *done;
    void *arg;
    const char *statement;                 /* borrowed */
    const char *values[PG_PARAMETERS_MAX]; /* point into text */
    int value_count;
    char text[];
};

/* Takes the query off the queue, or off its connection. */
static void detach(struct pg_query *query)
{
    if (query->state == QUERY_WAITING) {
        query->pool->waiting_count--;
    } else if (query->state == QUERY_SENT) {
        query->slot->query = NULL;
        query->slot = NULL;
    }
    list_remove(&query->node);
}

/* The only way out of a query. done may close the pool: nothing may be used after it. */
static void finish(struct pg_query *query, const PGresult *result, const struct err *err)
{
    detach(query);
    timer_close(&query->timer);
    if (query->done != NULL) {
        query->done(result, err, query->arg);
    }
    free(query);
}

static bool got_no_connection(struct pg_query *query)
{
    return err_set(&query->err, ERR_TIMEOUT, "postgres: %s got no connection in time",
                   query->statement);
}

static void send_over(struct slot *slot, struct pg_query *query)
{
    struct pg_pool *pool = slot->pool;
    detach(query);
    list_append(&pool->begun, &query->node);
    int64_t left_ms = query->deadline_ms - clock_monotonic_ms();
    /* What is sent and not answered in time costs the connection: not for a query that is late
     * already. */
    bool sent = left_ms > 0 ? pg_connection_send(slot->connection, query->statement, query->values,
                                                 query->value_count, &query->err)
                            : got_no_connection(query);
    if (sent) {
        query->state = QUERY_SENT;
        query->slot = slot;
        slot->query = query;
    } else {
        query->state = QUERY_ENDED; /* by the timer: the caller must hear it from the loop */
        left_ms = 0;
    }
    timer_arm(&query->timer, left_ms > 0 ? left_ms : 0);
}

static struct slot *idle_slot(struct pg_pool *pool)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        if (pg_connection_is_idle(pool->slots[i].connection)) {
            return &pool->slots[i];
        }
    }
    return NULL;
}

static void dispatch(struct pg_pool *pool)
{
    struct slot *slot;
    while (!list_is_empty(&pool->waiting) && (slot = idle_slot(pool)) != NULL) {
        send_over(slot, LIST_ENTRY(pool->waiting.next, struct pg_query, node));
    }
}

static void on_ready(void *arg)
{
    struct slot *slot = arg;
    dispatch(slot->pool);
}

static void on_answer(const PGresult *result, const struct err *err, void *arg)
{
    struct slot *slot = arg;
    struct pg_query *query = slot->query;
    struct pg_pool *pool = slot->pool;
    struct err named = {0};
    if (err != NULL) {
        named = *err;
        if (!err_message_is_public(err->code)) {
            err_wrap(&named, "%s", query->statement);
        }
    }
    detach(query);
    query->state = QUERY_ENDED;
    list_append(&pool->begun, &query->node);
    dispatch(pool);
    finish(query, result, err == NULL ? NULL : &named);
}

static void on_deadline(void *arg)
{
    struct pg_query *query = arg;
    int64_t left_ms = query->deadline_ms - clock_monotonic_ms();
    bool is_up = pg_pool_is_up(query->pool);
    if (query->state == QUERY_WAITING && is_up && left_ms > 0) {
        timer_arm(&query->timer, left_ms); /* the server came back meanwhile */
        return;
    }
    if (query->state == QUERY_SENT) {
        /* Asking the server to cancel would block; a new connection does not. */
        pg_connection_reset(query->slot->connection);
        err_set(&query->err, ERR_TIMEOUT, "postgres: %s was not answered in time",
                query->statement);
    } else if (query->state == QUERY_WAITING && is_up) {
        (void)got_no_connection(query);
    } else if (query->state == QUERY_WAITING) {
        err_set(&query->err, ERR_UNAVAILABLE, "postgres: no connection for %s", query->statement);
    }
    finish(query, NULL, &query->err);
}

static const struct pg_connection_hooks hooks = {.on_ready = on_ready, .on_answer = on_answer};

static bool open_slots(struct pg_pool *pool, struct err *err)
{
    for (size_t i = 0; i < pool->options.connections; i++) {
        struct slot *slot = &pool->slots[i];
        slot->pool = pool;
        slot->connection =
            pg_connection_open(pool->loop, pool->target, &pool->options, &hooks, slot, err);
        if (slot->connection == NULL) {
            return false;
        }
        pool->slot_count++;
    }
    return true;
}

struct pg_pool *pg_pool_open(struct loop *loop, const struct pg_options *options, struct err *err)
{
    assert(options->connections > 0);
    struct pg_pool *pool = calloc(1, sizeof *pool + options->connections * sizeof(struct slot));
    if (pool == NULL) {
        err_set(err, ERR_INTERNAL, "postgres: out of memory");
        return NULL;
    }
    pool->loop = loop;
    pool->options = *options;
    pool->options.url = NULL; /* the target has what it says */
    list_init(&pool->waiting);
    list_init(&pool->begun);
    pool->target = pg_target_new(options->url, options->statement_timeout_ms, err);
    if (pool->target == NULL || !open_slots(pool, err)) {
        pg_pool_close(pool);
        return NULL;
    }
    return pool;
}

static bool fail_each(struct list *queries)
{
    struct err err = {0};
    bool any = !list_is_empty(queries);
    err_set(&err, ERR_UNAVAILABLE, "postgres: shutting down");
    while (!list_is_empty(queries)) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): finish takes it off the list */
        finish(LIST_ENTRY(queries->next, struct pg_query, node), NULL, &err);
    }
    return any;
}

bool pg_pool_fail_all(struct pg_pool *pool)
{
    pool->closing = true;
    bool begun = fail_each(&pool->begun);
    bool waiting = fail_each(&pool->waiting);
    for (size_t i = 0; i < pool->slot_count; i++) {
        pg_connection_close(pool->slots[i].connection);
    }
    pool->slot_count = 0;
    return begun || waiting;
}

void pg_pool_close(struct pg_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pg_pool_fail_all(pool);
    pg_target_free(pool->target);
    free(pool);
}

bool pg_pool_is_up(const struct pg_pool *pool)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        if (pg_connection_is_up(pool->slots[i].connection)) {
            return true;
        }
    }
    return false;
}

static struct pg_query *query_new(const struct pg_parameters *parameters)
{
    size_t sizes[PG_PARAMETERS_MAX];
    size_t total = 0;
    int count = parameters == NULL ? 0 : parameters->count;
    for (int i = 0; i < count; i++) {
        sizes[i] = parameters->values[i] == NULL ? 0 : strlen(parameters->values[i]) + 1;
        total += sizes[i];
    }
    struct pg_query *query = calloc(1, sizeof *query + total);
    if (query == NULL) {
        return NULL;
    }
    char *text = query->text;
    for (int i = 0; i < count; i++) {
        if (sizes[i] > 0) {
            memcpy(text, parameters->values[i], sizes[i]);
            query->values[i] = text;
            text += sizes[i];
        }
    }
    query->value_count = count;
    return query;
}

struct pg_query *pg_query_begin(struct pg_pool *pool, const char *statement,
                                const struct pg_parameters *parameters, int64_t timeout_ms,
                                pg_result_fn *done, void *arg, struct err *err)
{
    if (pool->closing) {
        err_set(err, ERR_UNAVAILABLE, "postgres: shutting down");
        return NULL;
    }
    if (pool->waiting_count >= PG_QUEUE_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "too many queries wait; try again");
        return NULL;
    }
    struct pg_query *query = query_new(parameters);
    if (query == NULL || !timer_open(&query->timer, pool->loop, on_deadline, query, err)) {
        free(query);
        err_set(err, ERR_INTERNAL, "postgres: out of memory");
        return NULL;
    }
    query->pool = pool;
    query->statement = statement;
    query->done = done;
    query->arg = arg;
    query->deadline_ms = clock_monotonic_ms() + timeout_ms;
    bool is_short = !pg_pool_is_up(pool) && timeout_ms > PG_DOWN_WAIT_MS;
    timer_arm(&query->timer, is_short ? PG_DOWN_WAIT_MS : timeout_ms);
    list_append(&pool->waiting, &query->node);
    pool->waiting_count++;
    dispatch(pool);
    return query;
}

bool pg_ask(struct pg_pool *pool, const char *statement, const struct pg_parameters *parameters,
            pg_result_fn *done, void *arg, struct err *err)
{
    return pg_query_begin(pool, statement, parameters, pool->options.statement_timeout_ms, done,
                          arg, err) != NULL;
}

void pg_query_cancel(struct pg_query *query)
{
    query->done = NULL;
    if (query->state == QUERY_WAITING) {
        finish(query, NULL, NULL);
    }
}
