#include "sandbox-service/trail.h"

#include <stdlib.h>

enum { CONNECTIONS = 1, STATEMENT_TIMEOUT_MS = 5000 };

struct trail {
    struct pg_pool *pool;        /* owned */
    struct audit_writer *writer; /* owned */
};

struct trail *trail_open(struct loop *loop, const char *database_url, struct err *err)
{
    const struct pg_options options = {.url = database_url,
                                       .connections = CONNECTIONS,
                                       .statements = audit_statements,
                                       .statement_count = AUDIT_STATEMENT_COUNT,
                                       .statement_timeout_ms = STATEMENT_TIMEOUT_MS};
    struct trail *trail = calloc(1, sizeof *trail);
    if (trail == NULL) {
        err_set(err, ERR_INTERNAL, "trail: out of memory");
        return NULL;
    }
    trail->pool = pg_pool_open(loop, &options, err);
    trail->writer =
        trail->pool == NULL ? NULL : audit_writer_open(loop, trail->pool, "sandbox-service", err);
    if (trail->writer == NULL) {
        trail_close(trail);
        return NULL;
    }
    return trail;
}

struct audit_writer *trail_writer(const struct trail *trail)
{
    return trail->writer;
}

void trail_close(struct trail *trail)
{
    if (trail == NULL) {
        return;
    }
    audit_writer_stop(trail->writer);
    pg_pool_close(trail->pool);
    audit_writer_close(trail->writer);
    free(trail);
}
