#include "auth-service/idempotency/keeper.h"

#include "auth-service/idempotency/seal.h"
#include "auth-service/idempotency/store.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    CLEAN_EVERY_MS = 60 * 1000,
    CLEAN_AGAIN_MS = 100, /* there is more */
    CLEAN_TIMEOUT_MS = 10 * 1000,
    PLACE_MAX = 256,
    SEALED_HEX_MAX = 2 * (IDEMPOTENCY_ANSWER_MAX + 64),
};

struct idempotency {
    struct pg_pool *pg; /* borrowed */
    struct view secret; /* borrowed */
    struct timer clean;
};

struct claiming {
    struct seal_key key;
    char user_id[ID_SIZE];
    char request[IDEMPOTENCY_REQUEST_LEN + 1];
    idempotency_claimed_fn *done;
    void *arg;
};

/* A renewal, a finish, or a release. */
struct ending {
    bool must_have_row;
    idempotency_done_fn *done;
    void *arg;
};

static void on_cleaned(const PGresult *result, const struct err *err, void *arg)
{
    struct idempotency *idempotency = arg;
    bool has_more = err == NULL && pg_int(result, 0, 0) == IDEMPOTENCY_CLEAN_MAX;
    if (err != NULL) {
        log_warn("idempotency.not_cleaned", LOG_ERR(err));
    }
    timer_arm(&idempotency->clean, has_more ? CLEAN_AGAIN_MS : CLEAN_EVERY_MS);
}

static void on_clean_due(void *arg)
{
    struct idempotency *idempotency = arg;
    struct err err = {0};
    if (!idempotency_store_clean(idempotency->pg, CLEAN_TIMEOUT_MS, on_cleaned, idempotency,
                                 &err)) {
        on_cleaned(NULL, &err, idempotency);
    }
}

struct idempotency *idempotency_open(struct loop *loop, struct pg_pool *pg, struct view secret,
                                     struct err *err)
{
    struct idempotency *idempotency = calloc(1, sizeof *idempotency);
    if (idempotency == NULL) {
        err_set(err, ERR_INTERNAL, "idempotency: out of memory");
        return NULL;
    }
    idempotency->pg = pg;
    idempotency->secret = secret;
    if (!timer_open(&idempotency->clean, loop, on_clean_due, idempotency, err)) {
        free(idempotency);
        return NULL;
    }
    timer_arm(&idempotency->clean, CLEAN_EVERY_MS);
    return idempotency;
}

void idempotency_close(struct idempotency *idempotency)
{
    if (idempotency != NULL) {
        timer_close(&idempotency->clean);
        free(idempotency);
    }
}

/* What an answer belongs to. */
static bool write_place(const char *user_id, struct view request, int64_t status, struct str *out,
                        struct err *err)
{
    str_appendf(out, "%s\n%.*s\n%" PRId64, user_id, (int)request.len, request.ptr, status);
    return str_check(out, "place of an answer", err);
}

static bool open_answer(const struct claiming *claiming, const struct idempotency_row *row,
                        struct str *out, struct err *err)
{
    AUTO(str_free) struct str place = STR_INIT(PLACE_MAX);
    return write_place(claiming->user_id, view_of(claiming->request), row->status, &place, err) &&
           seal_open(&claiming->key, str_view(&place), row->answer_hex, out, err);
}

/* The only way out of a claim that was begun. */
static void finish_claiming(struct claiming *claiming, const struct idempotency_claimed *claimed,
                            const struct err *err)
{
    claiming->done(claimed, err, claiming->arg);
    secret_wipe(claiming, sizeof *claiming);
    free(claiming);
}

static void on_claimed(const PGresult *result, const struct err *err, void *arg)
{
    struct claiming *claiming = arg;
    struct idempotency_row row;
    struct err failure = {0};
    struct str answer = STR_INIT(IDEMPOTENCY_ANSWER_MAX + 1);
    if (err != NULL) {
        finish_claiming(claiming, NULL, err);
        return;
    }
    if (idempotency_store_read(result, &row, &failure) &&
        (row.status == 0 || open_answer(claiming, &row, &answer, &failure))) {
        struct idempotency_claimed claimed = {
            .is_again = row.is_again, .status = row.status, .answer = str_view(&answer)};
        memcpy(claimed.resource_id, row.resource_id, ID_SIZE);
        finish_claiming(claiming, &claimed, NULL);
    } else {
        finish_claiming(claiming, NULL, &failure);
    }
    if (answer.data != NULL) {
        secret_wipe(answer.data, answer.capacity);
    }
    str_free(&answer);
}

bool idempotency_claim(struct idempotency *idempotency, const struct idempotency_claim *claim,
                       int64_t timeout_ms, idempotency_claimed_fn *done, void *arg, struct err *err)
{
    struct claiming *claiming = calloc(1, sizeof *claiming);
    if (claiming == NULL) {
        return err_set(err, ERR_INTERNAL, "idempotency: out of memory");
    }
    claiming->done = done;
    claiming->arg = arg;
    memcpy(claiming->user_id, claim->user_id, ID_SIZE);
    bool begun =
        (view_copy(claim->request, claiming->request, sizeof claiming->request) ||
         err_set(err, ERR_INVALID, "the digest of a request is too long")) &&
        seal_key_derive(idempotency->secret, claim->user_id, claim->key, &claiming->key, err) &&
        idempotency_store_claim(idempotency->pg, claim->user_id, claiming->key.digest_hex,
                                claiming->request, claim->claim, claim->lease_ms, timeout_ms,
                                on_claimed, claiming, err);
    if (!begun) {
        secret_wipe(claiming, sizeof *claiming);
        free(claiming);
    }
    return begun;
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct ending *ending = arg;
    struct err lost = {0};
    if (err == NULL && ending->must_have_row && pg_rows(result) == 0) {
        err_set_reason(&lost, ERR_CONFLICT, "idempotency_lost", "another try has the key");
        err = &lost;
    }
    ending->done(err, ending->arg);
    free(ending);
}

static struct ending *new_ending(idempotency_done_fn *done, void *arg, struct err *err)
{
    struct ending *ending = calloc(1, sizeof *ending);
    if (ending == NULL) {
        err_set(err, ERR_INTERNAL, "idempotency: out of memory");
        return NULL;
    }
    ending->done = done;
    ending->arg = arg;
    return ending;
}

bool idempotency_renew(struct idempotency *idempotency, const struct idempotency_claim *claim,
                       int64_t timeout_ms, idempotency_done_fn *done, void *arg, struct err *err)
{
    struct seal_key key;
    struct ending *ending = new_ending(done, arg, err);
    if (ending == NULL) {
        return false;
    }
    ending->must_have_row = true;
    bool begun =
        seal_key_derive(idempotency->secret, claim->user_id, claim->key, &key, err) &&
        idempotency_store_renew(idempotency->pg, claim->user_id, key.digest_hex, claim->claim,
                                claim->lease_ms, timeout_ms, on_ended, ending, err);
    secret_wipe(&key, sizeof key);
    if (!begun) {
        free(ending);
    }
    return begun;
}

static bool seal_answer(const struct idempotency_finish *finish, const struct seal_key *key,
                        struct str *out, struct err *err)
{
    AUTO(str_free) struct str place = STR_INIT(PLACE_MAX);
    return write_place(finish->user_id, finish->request, finish->status, &place, err) &&
           seal_write(key, str_view(&place), finish->answer, out, err);
}

bool idempotency_finish(struct idempotency *idempotency, const struct idempotency_finish *finish,
                        int64_t timeout_ms, idempotency_done_fn *done, void *arg, struct err *err)
{
    struct seal_key key;
    AUTO(str_free) struct str sealed = STR_INIT(SEALED_HEX_MAX);
    struct ending *ending = new_ending(done, arg, err);
    if (ending == NULL) {
        return false;
    }
    ending->must_have_row = true;
    bool begun =
        seal_key_derive(idempotency->secret, finish->user_id, finish->key, &key, err) &&
        seal_answer(finish, &key, &sealed, err) &&
        idempotency_store_finish(idempotency->pg, finish->user_id, key.digest_hex, finish->claim,
                                 finish->status, sealed.data, timeout_ms, on_ended, ending, err);
    secret_wipe(&key, sizeof key);
    if (!begun) {
        free(ending);
    }
    return begun;
}

bool idempotency_release(struct idempotency *idempotency, const struct idempotency_release *release,
                         int64_t timeout_ms, idempotency_done_fn *done, void *arg, struct err *err)
{
    struct seal_key key;
    struct ending *ending = new_ending(done, arg, err);
    if (ending == NULL) {
        return false;
    }
    bool begun =
        seal_key_derive(idempotency->secret, release->user_id, release->key, &key, err) &&
        idempotency_store_release(idempotency->pg, release->user_id, key.digest_hex, release->claim,
                                  release->keeps_id, timeout_ms, on_ended, ending, err);
    secret_wipe(&key, sizeof key);
    if (!begun) {
        free(ending);
    }
    return begun;
}
