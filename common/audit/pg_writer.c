/* The writer to our own PostgreSQL. */
#include "common/audit/store.h"

#include <stdlib.h>

enum { WRITE_TIMEOUT_MS = 5000 };

struct pg_sink {
    struct pg_pool *pg;  /* borrowed */
    const char *service; /* borrowed */
    audit_stored_fn *done;
    void *done_arg;
};

static void on_answer(const PGresult *result, const struct err *err, void *arg)
{
    const struct pg_sink *sink = arg;
    (void)result;
    sink->done(err, sink->done_arg);
}

static bool store(void *arg, const struct audit_item *items, size_t count, audit_stored_fn *done,
                  void *done_arg, struct err *err)
{
    struct pg_sink *sink = arg;
    sink->done = done;
    sink->done_arg = done_arg;
    return audit_store_insert(sink->pg, sink->service, items, count, WRITE_TIMEOUT_MS, on_answer,
                              sink, err);
}

struct audit_writer *audit_writer_open(struct loop *loop, struct pg_pool *pg, const char *service,
                                       struct err *err)
{
    struct pg_sink *own = calloc(1, sizeof *own);
    if (own == NULL) {
        err_set(err, ERR_INTERNAL, "audit: out of memory");
        return NULL;
    }
    own->pg = pg;
    own->service = service;
    const struct audit_sink sink = {store, free, own};
    return audit_writer_open_to(loop, &sink, err);
}
