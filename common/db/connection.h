/* common/db/connection.h: one non-blocking connection that prepares the statements and comes back
 * by itself when it breaks. */
#ifndef COMMON_DB_CONNECTION_H
#define COMMON_DB_CONNECTION_H

#include "common/db/pg.h"
#include "common/db/target.h"

struct pg_connection;

/* Each is the last thing the connection does in that turn: the receiver may close it. */
struct pg_connection_hooks {
    /* Ready for its first query; after a break, again. */
    void (*on_ready)(void *arg);
    /* The end of the query that was sent: result, or err. The connection is idle again, or down. */
    void (*on_answer)(const PGresult *result, const struct err *err, void *arg);
};

/* Borrows all but the error for the connection's life. Begins to connect when the loop runs. */
struct pg_connection *pg_connection_open(struct loop *loop, const struct pg_target *target,
                                         const struct pg_options *options,
                                         const struct pg_connection_hooks *hooks, void *arg,
                                         struct err *err) MUST_CHECK;
/* No hook is called any more. Accepts NULL. */
void pg_connection_close(struct pg_connection *connection);

/* Prepared and connected, with or without a query. */
bool pg_connection_is_up(const struct pg_connection *connection);
bool pg_connection_is_idle(const struct pg_connection *connection);

/* Sends a query over an idle connection. On failure no answer comes, and the connection is down
 * when it was its fault. */
bool pg_connection_send(struct pg_connection *connection, const char *statement,
                        const char *const *values, int count, struct err *err) MUST_CHECK;

/* Gives up what runs (no answer comes) by connecting anew. */
void pg_connection_reset(struct pg_connection *connection);

#endif
