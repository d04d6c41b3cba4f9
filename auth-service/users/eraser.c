#include "auth-service/users/eraser.h"

#include "auth-service/users/account_store.h"
#include "common/base/log.h"

#include <stdlib.h>

enum { ERASE_TIMEOUT_MS = 10 * 1000 };

struct eraser {
    struct pg_pool *pg; /* borrowed */
    struct timer timer; /* armed while nothing is under way */
    bool complained;    /* since the last look that went well */
};

static void on_erased(const PGresult *result, const struct err *err, void *arg)
{
    struct eraser *eraser = arg;
    if (err != NULL && !eraser->complained) {
        log_warn("audit.not_erased", LOG_ERR(err));
    }
    eraser->complained = err != NULL;
    bool has_more = err == NULL && account_erase_read(result);
    timer_arm(&eraser->timer, has_more ? 0 : ERASER_LOOK_MS);
}

static void on_timer(void *arg)
{
    struct eraser *eraser = arg;
    struct err err;
    if (!account_erase(eraser->pg, ERASE_TIMEOUT_MS, on_erased, eraser, &err)) {
        on_erased(NULL, &err, eraser);
    }
}

struct eraser *eraser_open(struct loop *loop, struct pg_pool *pg, struct err *err)
{
    struct eraser *eraser = calloc(1, sizeof *eraser);
    if (eraser == NULL) {
        err_set(err, ERR_INTERNAL, "eraser: out of memory");
        return NULL;
    }
    eraser->pg = pg;
    if (!timer_open(&eraser->timer, loop, on_timer, eraser, err)) {
        free(eraser);
        return NULL;
    }
    timer_arm(&eraser->timer, 0);
    return eraser;
}

void eraser_close(struct eraser *eraser)
{
    if (eraser == NULL) {
        return;
    }
    timer_close(&eraser->timer);
    free(eraser);
}
