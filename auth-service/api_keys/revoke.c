#include "auth-service/api_keys/revoke.h"

#include "common/base/log.h"

#include <stdlib.h>

enum { REVOKED_LATELY_TIMEOUT_MS = 30 * 1000 };

/* UPDATE, then ANNOUNCE all of them at a time. */
struct revocation {
    struct announcer *announcer; /* borrowed */
    char id[ID_SIZE];            /* the key that was named */
    int unannounced;             /* and one while they are being begun */
    bool is_delayed;
    key_revoked_fn *done;
    void *arg;
};

static void finish(struct revocation *revocation, const struct err *err)
{
    revocation->done(err, revocation->arg);
    free(revocation);
}

static void count_announced(struct revocation *revocation)
{
    if (--revocation->unannounced > 0) {
        return;
    }
    if (revocation->is_delayed) {
        log_warn("invalidation.delayed", LOG_STR("api_key_id", revocation->id));
    }
    finish(revocation, NULL);
}

static void on_announced(bool published, void *arg)
{
    struct revocation *revocation = arg;
    revocation->is_delayed = revocation->is_delayed || !published;
    count_announced(revocation);
}

static void announce_key(struct revocation *revocation, const char *text)
{
    char id[ID_SIZE];
    struct err err;
    if (!id_parse(view_of(text), id)) {
        return;
    }
    if (announce(revocation->announcer, INVALIDATE_KEY, id, on_announced, revocation, &err)) {
        revocation->unannounced++;
    } else {
        log_error("invalidation.not_published", LOG_STR("api_key_id", id), LOG_ERR(&err));
    }
}

static void on_updated(const PGresult *result, const struct err *err, void *arg)
{
    struct revocation *revocation = arg;
    if (err != NULL) {
        finish(revocation, err);
        return;
    }
    revocation->unannounced = 1;
    for (int row = 0; row < pg_rows(result); row++) {
        announce_key(revocation, pg_text(result, row, 0));
    }
    count_announced(revocation);
}

static struct revocation *new_revocation(const struct revoker *revoker, const char id[ID_SIZE],
                                         key_revoked_fn *done, void *arg, struct err *err)
{
    struct revocation *revocation = calloc(1, sizeof *revocation);
    if (revocation == NULL) {
        err_set(err, ERR_INTERNAL, "revoking an API key: out of memory");
        return NULL;
    }
    revocation->announcer = revoker->announcer;
    memcpy(revocation->id, id, sizeof revocation->id);
    revocation->done = done;
    revocation->arg = arg;
    return revocation;
}

bool key_revoke(const struct revoker *revoker, const char id[ID_SIZE],
                const struct api_key_actor *actor, int64_t timeout_ms, key_revoked_fn *done,
                void *arg, struct err *err)
{
    struct revocation *revocation = new_revocation(revoker, id, done, arg, err);
    if (revocation != NULL &&
        !api_key_revoke(revoker->pg, id, actor, timeout_ms, on_updated, revocation, err)) {
        free(TAKE(revocation));
    }
    return revocation != NULL;
}

bool key_revoke_any(const struct revoker *revoker, const struct admin_revoke_key *wanted,
                    int64_t timeout_ms, key_revoked_fn *done, void *arg, struct err *err)
{
    struct revocation *revocation = new_revocation(revoker, wanted->id, done, arg, err);
    if (revocation != NULL &&
        !api_key_revoke_any(revoker->pg, wanted, timeout_ms, on_updated, revocation, err)) {
        free(TAKE(revocation));
    }
    return revocation != NULL;
}

static void on_revoked_lately(const PGresult *result, const struct err *err, void *arg)
{
    struct announcer *announcer = arg;
    struct err failure;
    if (err != NULL) {
        log_warn("invalidation.not_repeated", LOG_ERR(err));
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        char id[ID_SIZE];
        enum invalidation_kind kind = pg_bool(result, row, 1) ? INVALIDATE_USER : INVALIDATE_KEY;
        if (id_parse(view_of(pg_text(result, row, 0)), id) &&
            !announce(announcer, kind, id, NULL, NULL, &failure)) {
            log_warn("invalidation.not_repeated", LOG_ERR(&failure));
            return;
        }
    }
}

void keys_announce_revoked_lately(const struct revoker *revoker)
{
    struct err err;
    if (!api_key_find_revoked_lately(revoker->pg, REVOKED_LATELY_TIMEOUT_MS, on_revoked_lately,
                                     revoker->announcer, &err)) {
        log_warn("invalidation.not_repeated", LOG_ERR(&err));
    }
}
