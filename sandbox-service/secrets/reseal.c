#include "sandbox-service/secrets/reseal.h"

#include "common/base/log.h"
#include "common/base/secret.h"
#include "sandbox-service/secrets/store.h"

#include <stdlib.h>

enum {
    LOOK_AGAIN_MS = 3600 * 1000,
    RETRY_MS = 30 * 1000, /* after a failure */
};

/* A round goes through the rows by id, some at a time; each of those is sealed anew and then
 * written, unless it was changed meanwhile. What can't be opened is passed over. */
struct reseal {
    struct secret_store *store;    /* borrowed */
    const struct keyring *keyring; /* borrowed */
    struct timer due;
    char after[ID_SIZE];       /* the last row that was looked at; "" at the beginning */
    struct secret_foreign row; /* where it was read to; wiped never: all of it is sealed */
    uint8_t sealed[SECRET_SEALED_MAX];
    int writing;    /* statements in flight */
    int done_count; /* in this round, as the next */
    int left_count;
    bool failed; /* some statement of this round */
    bool more;   /* the page was full */
};

static void look(void *arg);

/* When no statement is in flight any more. */
static void go_on(struct reseal *reseal)
{
    if (reseal->failed) {
        timer_arm(&reseal->due, RETRY_MS);
        return;
    }
    if (reseal->more) {
        look(reseal);
        return;
    }
    if (reseal->done_count > 0 || reseal->left_count > 0) {
        log_info("secrets.resealed", LOG_STR("key_id", keyring_current(reseal->keyring)),
                 LOG_INT("sealed", reseal->done_count), LOG_INT("unreadable", reseal->left_count));
    }
    timer_arm(&reseal->due, LOOK_AGAIN_MS);
}

static void on_resealed(const PGresult *result, const struct err *err, void *arg)
{
    struct reseal *reseal = arg;
    reseal->failed |= err != NULL;
    reseal->done_count += err == NULL && pg_rows(result) == 1 ? 1 : 0;
    if (--reseal->writing == 0) {
        go_on(reseal);
    }
}

/* The value is in the clear within this function only. */
static bool seal_anew(struct reseal *reseal, struct err *err)
{
    const struct secret_foreign *row = &reseal->row;
    const struct keyring_place place = {row->user_id, row->name};
    const struct view sealed = {(const char *)row->sealed, row->sealed_len};
    size_t len = row->sealed_len < KEYRING_OVERHEAD ? 0 : row->sealed_len - KEYRING_OVERHEAD;
    uint8_t plain[SECRET_VALUE_MAX];
    bool ok = keyring_unseal(reseal->keyring, row->key_id, &place, sealed, plain, err) &&
              keyring_seal(reseal->keyring, &place, (struct view){(const char *)plain, len},
                           reseal->sealed, err);
    secret_wipe(plain, sizeof plain);
    return ok;
}

static void reseal_row(struct reseal *reseal, const PGresult *result, int at)
{
    struct err err = {0};
    struct secret_foreign *row = &reseal->row;
    if (!secret_store_read_foreign(result, at, row, &err)) {
        log_error("secrets.not_resealed", LOG_ERR(&err));
        reseal->failed = true;
        return;
    }
    memcpy(reseal->after, row->id, ID_SIZE);
    if (!seal_anew(reseal, &err)) {
        log_error("secrets.not_resealed", LOG_STR("user_id", row->user_id),
                  LOG_VIEW("name", row->name), LOG_ERR(&err));
        reseal->left_count++;
        return;
    }
    const struct view was = {(const char *)row->sealed, row->sealed_len};
    const struct secret_row now = {.key_id = keyring_current(reseal->keyring),
                                   .sealed = {(const char *)reseal->sealed, row->sealed_len}};
    if (secret_store_reseal(reseal->store, row->id, &was, &now, on_resealed, reseal, &err)) {
        reseal->writing++;
    } else {
        reseal->failed = true;
    }
}

static void on_page(const PGresult *result, const struct err *err, void *arg)
{
    struct reseal *reseal = arg;
    reseal->failed = err != NULL;
    reseal->more = err == NULL && pg_rows(result) == SECRET_RESEAL_ROWS;
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        reseal_row(reseal, result, row);
    }
    if (reseal->writing == 0) {
        go_on(reseal);
    }
}

static void look(void *arg)
{
    struct reseal *reseal = arg;
    struct err err = {0};
    if (!secret_store_foreign(reseal->store, keyring_current(reseal->keyring), reseal->after,
                              on_page, reseal, &err)) {
        timer_arm(&reseal->due, RETRY_MS);
    }
}

static void begin_round(void *arg)
{
    struct reseal *reseal = arg;
    reseal->after[0] = '\0';
    reseal->done_count = 0;
    reseal->left_count = 0;
    look(reseal);
}

struct reseal *reseal_open(struct loop *loop, struct secret_store *store,
                           const struct keyring *keyring, struct err *err)
{
    struct reseal *reseal = calloc(1, sizeof *reseal);
    if (reseal == NULL) {
        err_set(err, ERR_INTERNAL, "reseal: out of memory");
        return NULL;
    }
    reseal->store = store;
    reseal->keyring = keyring;
    if (!timer_open(&reseal->due, loop, begin_round, reseal, err)) {
        reseal_close(reseal);
        return NULL;
    }
    if (keyring->count > 0) {
        timer_arm(&reseal->due, 0);
    }
    return reseal;
}

void reseal_close(struct reseal *reseal)
{
    if (reseal != NULL) {
        timer_close(&reseal->due);
        free(reseal);
    }
}
