/* sandbox-service/templates/keeping.h: what comes before the image of a sandbox's disk, and behind
 * it: the sandbox stands still, what it has written is measured, and its user has room for that. */
#ifndef SANDBOX_TEMPLATES_KEEPING_H
#define SANDBOX_TEMPLATES_KEEPING_H

#include "sandbox-service/docker/container.h"
#include "sandbox-service/life/still.h"

struct pg_query;
struct templates;

/* err NULL: it stands still until keeping_end, and may be kept. Else the errors of still_begin and
 * of template_store_weigh, ERR_CONFLICT "sandbox_gone", ERR_UNAVAILABLE "docker_unavailable". */
typedef void keeping_done_fn(const struct err *err, void *arg);

/* Lies in a work; zero: there is nothing to end. */
struct keeping {
    struct templates *templates; /* borrowed, as the next */
    const char *template_id;
    char sandbox_id[ID_SIZE];
    struct still_hold still;
    struct container_call container;
    struct pg_query *query; /* in flight */
    keeping_done_fn *done;
    void *arg;
};
/* done comes once, later, on the loop, unless keeping_end comes before; not when this fails. */
bool keeping_begin(struct keeping *keeping, struct templates *templates, const char *template_id,
                   const char sandbox_id[ID_SIZE], keeping_done_fn *done, void *arg,
                   struct err *err) MUST_CHECK;
/* The sandbox moves on. */
void keeping_end(struct keeping *keeping);

#endif
