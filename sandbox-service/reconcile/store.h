/* sandbox-service/reconcile/store.h: what is asked about many sandboxes at once, on a connection of
 * its own, so that nobody's request waits for it. */
#ifndef SANDBOX_RECONCILE_STORE_H
#define SANDBOX_RECONCILE_STORE_H

#include "common/base/id.h"
#include "common/base/str.h"
#include "common/db/pg.h"

struct loop;
struct bulk_store;

enum { BULK_MAX = 4096 }; /* ids of one question */

/* Ids of sandboxes, as a parameter. */
struct bulk_ids {
    struct str text;
    size_t count;
};
void bulk_ids_begin(struct bulk_ids *ids);
/* False when there are BULK_MAX. */
bool bulk_ids_add(struct bulk_ids *ids, const char sandbox_id[ID_SIZE]) MUST_CHECK;
/* Forgets them. */
void bulk_ids_free(struct bulk_ids *ids);

/* All borrowed, the last two as long as the store is open. */
struct bulk_options {
    const char *url;
    const char *instance;
    const char *node;
};
struct bulk_store *bulk_store_open(struct loop *loop, const struct bulk_options *options,
                                   struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool bulk_store_fail_all(struct bulk_store *store);
/* After bulk_store_fail_all; NULL is fine. */
void bulk_store_close(struct bulk_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. Rows: bulk_store_read_id. */

/* Those of them of which the database has never heard, or that live on another node, as it says:
 * bulk_store_read_elsewhere tells. */
bool bulk_store_strange(struct bulk_store *store, struct bulk_ids *ids, pg_result_fn *done,
                        void *arg, struct err *err) MUST_CHECK;
/* Ends those of them that live and have begun: their containers are gone. Rows that somebody else
 * is changing are left out. */
bool bulk_store_end(struct bulk_store *store, struct bulk_ids *ids, const char *reason,
                    pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Says of those of them that live, and whose network is as it should be as far as is known, that it
 * is not. Rows: which. */
bool bulk_store_unsettle(struct bulk_store *store, struct bulk_ids *ids, pg_result_fn *done,
                         void *arg, struct err *err) MUST_CHECK;
/* Frees the ports of sandboxes that have ended. Rows: whose. */
bool bulk_store_free_ports(struct bulk_store *store, pg_result_fn *done, void *arg,
                           struct err *err) MUST_CHECK;
/* At most BULK_MAX that ended behind a moment, the oldest first; since is NULL for "a day and more
 * ago", or what bulk_store_read_moment gave before. At least one row; one without an id: none. */
bool bulk_store_ended(struct bulk_store *store, const char *since, pg_result_fn *done, void *arg,
                      struct err *err) MUST_CHECK;
/* What to go on behind. */
const char *bulk_store_read_moment(const PGresult *result);
bool bulk_store_read_elsewhere(const PGresult *result, int row);
const char *bulk_store_read_id(const PGresult *result, int row);

#endif
