/* sandbox-service/secrets/store.h: sealed secrets in PostgreSQL. */
#ifndef SANDBOX_SECRETS_STORE_H
#define SANDBOX_SECRETS_STORE_H

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/contracts/secrets.h"
#include "common/db/pg.h"
#include "sandbox-service/secrets/keyring.h"

enum {
    SECRET_SEALED_MAX = SECRET_VALUE_MAX + KEYRING_OVERHEAD,
    SECRET_RESEAL_ROWS = 20, /* that are sealed anew at a time */
};

struct secret_store;

struct secret_store *secret_store_open(struct loop *loop, const char *url,
                                       struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool secret_store_fail_all(struct secret_store *store);
/* After secret_store_fail_all; NULL is fine. */
void secret_store_close(struct secret_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

/* One row, for secret_store_read_set. Errors as those of SECRET_SET. */
struct secret_row {
    const char *user_id;
    const char *name;
    const char *key_id;
    struct view sealed;
};
bool secret_store_set(struct secret_store *store, const struct secret_row *row, pg_result_fn *done,
                      void *arg, struct err *err) MUST_CHECK;
/* Views into the result; the name is the caller's. */
void secret_store_read_set(const PGresult *result, struct secret_info *out);

/* Rows for secret_store_write_list, by name. */
bool secret_store_list(struct secret_store *store, const char *user_id, pg_result_fn *done,
                       void *arg, struct err *err) MUST_CHECK;
/* A JSON array. */
bool secret_store_write_list(const PGresult *result, struct str *out, struct err *err) MUST_CHECK;

/* One row when it was there. */
bool secret_store_delete(struct secret_store *store, const char *user_id, const char *name,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* At most SECRET_RESEAL_ROWS that another key than this one sealed, behind after (an id; "" from
 * the beginning), for secret_store_read_foreign. */
bool secret_store_foreign(struct secret_store *store, const char *key_id, const char *after,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
struct secret_foreign {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    struct view name; /* the views point into the result */
    const char *key_id;
    uint8_t sealed[SECRET_SEALED_MAX];
    size_t sealed_len;
};
bool secret_store_read_foreign(const PGresult *result, int row, struct secret_foreign *out,
                               struct err *err) MUST_CHECK;
/* The value is another key's from now on, unless it was changed since it was read: it has still the
 * sealed form was. One row when that was so. */
bool secret_store_reseal(struct secret_store *store, const char *id, const struct view *was,
                         const struct secret_row *row, pg_result_fn *done, void *arg,
                         struct err *err) MUST_CHECK;

#endif
