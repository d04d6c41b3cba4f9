#include "sandbox-service/pool/freshness.h"

#include "common/base/log.h"
#include "sandbox-service/pool/store.h"

#include <stdio.h>

/* The only way out. */
static void finish(struct freshness *freshness, const PGresult *result, const struct err *err)
{
    freshness->done(result, err, freshness->arg);
}

static void on_shed(const PGresult *result, const struct err *err, void *arg)
{
    finish(arg, err == NULL ? result : NULL, err);
}

static void on_image(const struct wire_image *image, const struct err *err, void *arg)
{
    struct freshness *freshness = arg;
    struct err failure = {0};
    if (err != NULL) {
        log_debug("pool.image_not_told", LOG_STR("image", freshness->image), LOG_ERR(err));
        finish(freshness, NULL, NULL);
    } else if (image->id[0] == '\0') {
        finish(freshness, NULL, NULL);
    } else if (!pool_store_shed_image(freshness->store, freshness->image, image->id, on_shed,
                                      freshness, &failure)) {
        finish(freshness, NULL, &failure);
    }
}

static void on_next(const PGresult *result, const struct err *err, void *arg)
{
    struct freshness *freshness = arg;
    struct err ignored = {0};
    if (err != NULL || pg_rows(result) == 0) {
        finish(freshness, NULL, err);
        return;
    }
    (void)snprintf(freshness->image, sizeof freshness->image, "%s",
                   pool_store_read_image(result, 0));
    if (!image_ask(freshness->images, &freshness->call, freshness->image, on_image, freshness,
                   &ignored)) {
        finish(freshness, NULL, NULL); /* no name of an image: nothing of it can wait */
    }
}

bool freshness_check(struct freshness *freshness, pg_result_fn *done, void *arg, struct err *err)
{
    freshness->done = done;
    freshness->arg = arg;
    return pool_store_next_image(freshness->store, freshness->image, on_next, freshness, err);
}
