/* sandbox-service/volumes/store.h: volumes in PostgreSQL. What a sandbox attaches is said in the
 * statement that makes its row (sandbox/store.h). */
#ifndef SANDBOX_VOLUMES_STORE_H
#define SANDBOX_VOLUMES_STORE_H

#include "common/base/str.h"
#include "common/contracts/volumes.h"
#include "common/db/pg.h"

struct volume_store;

struct volume_store_options {
    const char *url;      /* until volume_store_open returns */
    const char *instance; /* borrowed, as the next two */
    const char *node;
    const char *limits; /* tiers_write */
};

struct volume_store *volume_store_open(struct loop *loop,
                                       const struct volume_store_options *options,
                                       struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool volume_store_fail_all(struct volume_store *store);
/* After volume_store_fail_all; NULL is fine. */
void volume_store_close(struct volume_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

/* One row. Errors as those of VOLUME_CREATE. */
bool volume_store_make(struct volume_store *store, const struct volume_create *request,
                       pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Views into the result. */
bool volume_store_read_info(const PGresult *result, struct volume_info *out,
                            struct err *err) MUST_CHECK;

/* Rows for volume_store_write_list. */
bool volume_store_list(struct volume_store *store, const char *user_id, pg_result_fn *done,
                       void *arg, struct err *err) MUST_CHECK;
/* A JSON array. */
bool volume_store_write_list(const PGresult *result, struct str *out, struct err *err) MUST_CHECK;

/* One row. Errors as those of VOLUME_DELETE. */
bool volume_store_delete(struct volume_store *store, const struct volume_delete *request,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* The volumes whose disk is on this machine, and those that have none as far as is known, by id,
 * for volume_store_read_here. */
bool volume_store_here(struct volume_store *store, pg_result_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
struct volume_here {
    char id[ID_SIZE];
    bool is_deleting;
    bool is_attached;
};
bool volume_store_read_here(const PGresult *result, int row, struct volume_here *out,
                            struct err *err) MUST_CHECK;

/* Those of these of which no row tells: volume_store_read_unknown. ids as below. */
bool volume_store_unknown(struct volume_store *store, const char *ids, pg_result_fn *done,
                          void *arg, struct err *err) MUST_CHECK;
const char *volume_store_read_unknown(const PGresult *result, int row);

/* The disks of these, which were being deleted, are gone, and the rows go too. ids is an array as
 * PostgreSQL reads it: "{<id>,...}". */
bool volume_store_forget(struct volume_store *store, const char *ids, pg_result_fn *done, void *arg,
                         struct err *err) MUST_CHECK;

#endif
