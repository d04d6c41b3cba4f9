#include "auth-service/api_keys/expiry.h"

#include "auth-service/api_keys/store.h"
#include "common/base/log.h"

#include <stdlib.h>

enum {
    LOOK_TIMEOUT_MS = 5000,
    LOOK_AGAIN_MS = 100, /* there is more: when Redis has taken what was found */
};

/* Keys leave room for users. */
_Static_assert((int)API_KEYS_EXPIRED_MAX <= (int)ANNOUNCEMENTS_FOUND_MAX / 2, "a look has room");

struct expiry {
    struct pg_pool *pg; /* borrowed, as the next */
    struct announcer *announcer;
    struct timer timer; /* armed while no look is under way */
    int64_t since_ms;   /* of PostgreSQL's clock: up to it all was announced; 0: nothing yet */
    bool complained;    /* since the last look that went well */
};

enum { ID, SINCE, KIND, HAS_MORE };

static enum invalidation_kind kind_of(const char *word)
{
    if (strcmp(word, "key") == 0) {
        return INVALIDATE_KEY;
    }
    return strcmp(word, "user") == 0 ? INVALIDATE_USER : INVALIDATE_ACCOUNT;
}

/* What could not be announced is looked for again. */
static bool announce_all(struct expiry *expiry, const PGresult *result, struct err *err)
{
    for (int row = 0; row < pg_rows(result); row++) {
        char id[ID_SIZE];
        enum invalidation_kind kind = kind_of(pg_text(result, row, KIND));
        if (announcer_count(expiry->announcer) >= ANNOUNCEMENTS_FOUND_MAX) {
            return err_set_reason(err, ERR_LIMIT, "busy", "too many announcements wait for Redis");
        }
        if (id_parse(view_of(pg_text(result, row, ID)), id) &&
            !announce(expiry->announcer, kind, id, NULL, NULL, err)) {
            return false;
        }
    }
    return true;
}

static void complain(struct expiry *expiry, const struct err *err)
{
    if (!expiry->complained) {
        log_warn("api_key.expiry_not_announced", LOG_ERR(err));
    }
    expiry->complained = true;
}

static void on_found(const PGresult *result, const struct err *err, void *arg)
{
    struct expiry *expiry = arg;
    struct err failure;
    bool has_more = false;
    if (err != NULL) {
        complain(expiry, err);
    } else if (!announce_all(expiry, result, &failure)) {
        complain(expiry, &failure);
    } else {
        has_more = pg_bool(result, 0, HAS_MORE);
        expiry->since_ms = pg_int(result, 0, SINCE);
        expiry->complained = false;
    }
    timer_arm(&expiry->timer, has_more ? LOOK_AGAIN_MS : EXPIRY_LOOK_MS);
}

static void on_timer(void *arg)
{
    struct expiry *expiry = arg;
    struct err err;
    if (!api_key_find_expired(expiry->pg, expiry->since_ms, LOOK_TIMEOUT_MS, on_found, expiry,
                              &err)) {
        complain(expiry, &err);
        timer_arm(&expiry->timer, EXPIRY_LOOK_MS);
    }
}

struct expiry *expiry_open(struct loop *loop, struct pg_pool *pg, struct announcer *announcer,
                           struct err *err)
{
    struct expiry *expiry = calloc(1, sizeof *expiry);
    if (expiry == NULL) {
        err_set(err, ERR_INTERNAL, "expiry of keys: out of memory");
        return NULL;
    }
    expiry->pg = pg;
    expiry->announcer = announcer;
    if (!timer_open(&expiry->timer, loop, on_timer, expiry, err)) {
        free(expiry);
        return NULL;
    }
    timer_arm(&expiry->timer, 0);
    return expiry;
}

void expiry_close(struct expiry *expiry)
{
    if (expiry == NULL) {
        return;
    }
    timer_close(&expiry->timer);
    free(expiry);
}
