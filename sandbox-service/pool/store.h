/* sandbox-service/pool/store.h: what the pool asks PostgreSQL of its own. Rows begin and end where
 * those of sandboxes do, in sandbox/store.h, and are claimed there. */
#ifndef SANDBOX_POOL_STORE_H
#define SANDBOX_POOL_STORE_H

#include "common/db/pg.h"
#include "sandbox-service/pool/targets.h"

struct pool_store;

struct pool_store_options {
    const char *url;
    const char *instance; /* borrowed, as the next three */
    const char *node;
    const char *bundle; /* the volume of the agent */
    const char *limits; /* tiers_write */
};

struct pool_store *pool_store_open(struct loop *loop, const struct pool_store_options *options,
                                   struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE, as what comes later. Returns whether there may have
 * been anything. */
bool pool_store_fail_all(struct pool_store *store);
/* Accepts NULL. */
void pool_store_close(struct pool_store *store);

/* Each: done comes exactly once, later, on the loop, unless it returns false. */

/* Those that are not as they would be made today leave. Rows: for pool_store_read_id. */
bool pool_store_shed_stale(struct pool_store *store, pg_result_fn *done, void *arg,
                           struct err *err) MUST_CHECK;
/* So many of the kind leave, the oldest first, if so many wait. Rows: the same. */
bool pool_store_shed(struct pool_store *store, const struct pool_kind *kind, int64_t count,
                     pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
const char *pool_store_read_id(const PGresult *result, int row);

/* The image after this one, by name, that some wait of; behind the last the first. At most one row.
 */
bool pool_store_next_image(struct pool_store *store, const char *after, pg_result_fn *done,
                           void *arg, struct err *err) MUST_CHECK;
const char *pool_store_read_image(const PGresult *result, int row);
/* Those of the image that were made from another than this one leave. Rows: for
 * pool_store_read_id. */
bool pool_store_shed_image(struct pool_store *store, const char *image, const char *image_id,
                           pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* What there is, and what was asked for in the last hour. Rows: for pool_store_read_kind. */
bool pool_store_survey(struct pool_store *store, pg_result_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
/* Adds a row to what is known. */
void pool_store_read_kind(const PGresult *result, int row, struct pool_kinds *kinds);
/* What there is alone. */
bool pool_store_count(struct pool_store *store, pg_result_fn *done, void *arg,
                      struct err *err) MUST_CHECK;
/* Sets it of all kinds. */
void pool_store_read_counts(const PGresult *result, struct pool_kinds *kinds);

#endif
