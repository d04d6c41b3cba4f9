#include "auth-service/api_keys/revoke.h"

#include "common/base/log.h"

#include <stdlib.h>

enum { REVOKED_LATELY_TIMEOUT_MS = 30 * 1000 };

/* UPDATE, then ANNOUNCE. */
struct revocation {
    struct announcer *announcer; /* borrowed */
    char id[ID_SIZE];
    key_revoked_fn *done;
    void *arg;
};

static void finish(struct revocation *revocation, const struct err *err)
{
    revocation->done(err, revocation->arg);
    free(revocation);
}

static void on_announced(bool published, void *arg)
{
    struct revocation *revocation = arg;
    if (!published) {
        log_warn("invalidation.delayed", LOG_STR("api_key_id", revocation->id));
    }
    finish(revocation, NULL);
}

static void on_updated(const PGresult *result, const struct err *err, void *arg)
{
    struct revocation *revocation = arg;
    struct err failure;
    if (err != NULL) {
        finish(revocation, err);
    } else if (!api_key_revoke_read(result, &failure)) {
        finish(revocation, &failure);
    } else if (!announce(revocation->announcer, INVALIDATE_KEY, revocation->id, on_announced,
                         revocation, &failure)) {
        log_error("invalidation.not_published", LOG_STR("api_key_id", revocation->id),
                  LOG_ERR(&failure));
        finish(revocation, NULL);
    }
}

bool key_revoke(const struct revoker *revoker, const char id[ID_SIZE], const char user_id[ID_SIZE],
                int64_t timeout_ms, key_revoked_fn *done, void *arg, struct err *err)
{
    struct revocation *revocation = calloc(1, sizeof *revocation);
    if (revocation == NULL) {
        return err_set(err, ERR_INTERNAL, "revoking an API key: out of memory");
    }
    revocation->announcer = revoker->announcer;
    memcpy(revocation->id, id, sizeof revocation->id);
    revocation->done = done;
    revocation->arg = arg;
    if (!api_key_revoke(revoker->pg, id, user_id, timeout_ms, on_updated, revocation, err)) {
        free(revocation);
        return false;
    }
    return true;
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
        if (id_parse(view_of(pg_text(result, row, 0)), id) &&
            !announce(announcer, INVALIDATE_KEY, id, NULL, NULL, &failure)) {
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
