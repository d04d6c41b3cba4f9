#include "sandbox-service/reconcile/unknown.h"

#include "common/base/log.h"
#include "common/base/map.h"

#include <stdlib.h>

struct stranger {
    struct map_node by_id;
    char sandbox_id[ID_SIZE];
    int64_t since_ms;
    uint64_t round; /* of the last run that noted it */
};

struct unknown {
    struct map strangers;
    bool may_go;
    int64_t after_ms;
    int64_t now_ms;
    uint64_t round;
};

struct unknown *unknown_new(bool may_go, int64_t after_ms, struct err *err)
{
    struct unknown *unknown = calloc(1, sizeof *unknown);
    if (unknown == NULL) {
        err_set(err, ERR_INTERNAL, "reconcile: out of memory");
        return NULL;
    }
    unknown->may_go = may_go;
    unknown->after_ms = after_ms;
    if (!map_init(&unknown->strangers, err)) {
        free(unknown);
        return NULL;
    }
    return unknown;
}

static void forget(struct map_node *node, void *arg)
{
    struct unknown *unknown = arg;
    map_remove(&unknown->strangers, node);
    free(MAP_ENTRY(node, struct stranger, by_id));
}

static void forget_unnoted(struct map_node *node, void *arg)
{
    struct unknown *unknown = arg;
    if (MAP_ENTRY(node, struct stranger, by_id)->round != unknown->round) {
        forget(node, unknown);
    }
}

void unknown_free(struct unknown *unknown)
{
    if (unknown != NULL) {
        map_each(&unknown->strangers, forget, unknown);
        map_free(&unknown->strangers);
        free(unknown);
    }
}

void unknown_begin(struct unknown *unknown, int64_t now_ms)
{
    unknown->now_ms = now_ms;
    unknown->round++;
}

/* NULL when there is no memory for it. what is said of one that is met first. */
static struct stranger *meet(struct unknown *unknown, const char sandbox_id[ID_SIZE],
                             const char *what)
{
    struct stranger *stranger = calloc(1, sizeof *stranger);
    if (stranger != NULL) {
        memcpy(stranger->sandbox_id, sandbox_id, ID_SIZE);
        stranger->since_ms = unknown->now_ms;
        map_insert(&unknown->strangers, &stranger->by_id, view_of(stranger->sandbox_id));
        log_error("reconcile.unknown", LOG_STR("sandbox_id", sandbox_id), LOG_STR("error", what));
    }
    return stranger;
}

static struct stranger *note(struct unknown *unknown, const char sandbox_id[ID_SIZE],
                             const char *what)
{
    struct map_node *node = map_find(&unknown->strangers, view_of(sandbox_id));
    struct stranger *stranger =
        node == NULL ? meet(unknown, sandbox_id, what) : MAP_ENTRY(node, struct stranger, by_id);
    if (stranger != NULL) {
        stranger->round = unknown->round;
    }
    return stranger;
}

bool unknown_note(struct unknown *unknown, const char sandbox_id[ID_SIZE])
{
    const struct stranger *stranger =
        note(unknown, sandbox_id,
             unknown->may_go ? "no row tells of this container: it goes later"
                             : "no row tells of this container: it is kept");
    return stranger != NULL && unknown->may_go &&
           unknown->now_ms - stranger->since_ms >= unknown->after_ms;
}

void unknown_note_elsewhere(struct unknown *unknown, const char sandbox_id[ID_SIZE])
{
    struct stranger *stranger =
        note(unknown, sandbox_id,
             "its row is another node's: it is kept; NODE_NAME was changed, or two nodes have it");
    if (stranger != NULL) {
        stranger->since_ms = unknown->now_ms; /* its time begins when no row tells of it */
    }
}

void unknown_end(struct unknown *unknown)
{
    map_each(&unknown->strangers, forget_unnoted, unknown);
}
