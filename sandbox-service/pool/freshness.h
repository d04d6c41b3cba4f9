/* sandbox-service/pool/freshness.h: whether containers that wait are made from what the name of
 * their image means today.
 *
 * A template names an image, and whoever builds one anew moves its name. Each look asks the engine
 * about one of the names; containers of another image than it has now leave. */
#ifndef SANDBOX_POOL_FRESHNESS_H
#define SANDBOX_POOL_FRESHNESS_H

#include "common/db/pg.h"
#include "sandbox-service/docker/image.h"

struct images;
struct pool_store;

/* Lies in the pool; starts as zero. */
struct freshness {
    struct images *images;    /* borrowed */
    struct pool_store *store; /* borrowed */
    struct image_call call;
    char image[IMAGE_NAME_SIZE]; /* the one asked about last */
    pg_result_fn *done;
    void *arg;
};

/* done comes exactly once, later, on the loop: with the rows of those that left, for
 * pool_store_read_id, or without a result when there was nothing to ask about. What the engine does
 * not know of an image is no mistake. False, and no done: shutting down. */
bool freshness_check(struct freshness *freshness, pg_result_fn *done, void *arg,
                     struct err *err) MUST_CHECK;

#endif
