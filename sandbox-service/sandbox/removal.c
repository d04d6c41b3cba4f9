#include "sandbox-service/sandbox/removal.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/store.h"
#include "sandbox-service/volumes/volumes.h"

#include <stdlib.h>

struct removal {
    struct map_node by_id;
    struct list node;            /* linked while it waits */
    struct sandboxes *sandboxes; /* borrowed */
    struct list waiters;
    struct container_call container;
    struct store_call row;
    struct trace trace;
    char sandbox_id[ID_SIZE];
};

static void start_waiting(struct sandboxes *sandboxes);

static void drop(struct removal *removal)
{
    map_remove(&removal->sandboxes->removing, &removal->by_id);
    list_remove(&removal->node);
    struct list *node;
    while ((node = list_pop(&removal->waiters)) != NULL) {
        struct removal_waiter *waiter = LIST_ENTRY(node, struct removal_waiter, node);
        waiter->over(waiter->arg);
    }
    free(removal);
}

/* The only way out of one that runs. */
static void finish(struct removal *removal, const struct err *err)
{
    struct sandboxes *sandboxes = removal->sandboxes;
    if (err != NULL) {
        log_warn("sandbox.removal_failed", LOG_TRACE(&removal->trace),
                 LOG_STR("sandbox_id", removal->sandbox_id), LOG_ERR(err));
    }
    drop(removal);
    sandboxes->removals_running--;
    start_waiting(sandboxes);
}

static void on_row(const PGresult *result, const struct err *err, void *arg)
{
    struct removal *removal = arg;
    if (err == NULL && pg_rows(result) == 1) {
        CRASH_POINT("destroy.after_end");
        log_info("sandbox.destroyed", LOG_TRACE(&removal->trace),
                 LOG_STR("sandbox_id", removal->sandbox_id));
        sandboxes_publish(removal->sandboxes, removal->sandbox_id);
    }
    if (err == NULL) {
        volumes_sweep_soon(removal->sandboxes->volumes);
    }
    finish(removal, err);
}

static void on_container_gone(const struct err *err, void *arg)
{
    struct removal *removal = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish(removal, err);
        return;
    }
    CRASH_POINT("destroy.after_container");
    if (!agent_dir_remove(removal->sandboxes->dirs, removal->sandbox_id, &failure)) {
        finish(removal, &failure);
        return;
    }
    CRASH_POINT("destroy.after_folder");
    sandboxes_locate(removal->sandboxes, removal->sandbox_id, NULL);
    networks_forget(removal->sandboxes->networks, removal->sandbox_id);
    store_finish(removal->sandboxes->store, &removal->row, removal->sandbox_id, on_row, removal);
}

static void start_waiting(struct sandboxes *sandboxes)
{
    char name[CONTAINER_NAME_SIZE];
    while (sandboxes->removals_running < REMOVALS_AT_A_TIME &&
           !list_is_empty(&sandboxes->removals_waiting)) {
        struct removal *removal =
            LIST_ENTRY(sandboxes->removals_waiting.next, struct removal, node);
        list_remove(&removal->node);
        sandboxes->removals_running++;
        container_name(removal->sandbox_id, name);
        container_remove(sandboxes->docker, &removal->container, name, on_container_gone, removal);
    }
}

void sandbox_remove(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                    const struct trace *trace)
{
    if (sandboxes->draining || map_find(&sandboxes->removing, view_of(sandbox_id)) != NULL) {
        return;
    }
    struct removal *removal = calloc(1, sizeof *removal);
    if (removal == NULL) {
        log_error("sandbox.removal_failed", LOG_TRACE(trace), LOG_STR("sandbox_id", sandbox_id),
                  LOG_STR("error", "out of memory"));
        return;
    }
    removal->sandboxes = sandboxes;
    list_init(&removal->waiters);
    removal->trace = *trace;
    memcpy(removal->sandbox_id, sandbox_id, ID_SIZE);
    map_insert(&sandboxes->removing, &removal->by_id, view_of(removal->sandbox_id));
    list_append(&sandboxes->removals_waiting, &removal->node);
    start_waiting(sandboxes);
}

bool sandbox_is_being_removed(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    return map_find(&sandboxes->removing, view_of(sandbox_id)) != NULL;
}

bool sandbox_removal_wait(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                          struct removal_waiter *waiter)
{
    struct map_node *node = map_find(&sandboxes->removing, view_of(sandbox_id));
    if (node == NULL) {
        return false;
    }
    list_append(&MAP_ENTRY(node, struct removal, by_id)->waiters, &waiter->node);
    return true;
}

void sandbox_removals_drop_waiting(struct sandboxes *sandboxes)
{
    for (LIST_EACH(node, &sandboxes->removals_waiting)) {
        drop(LIST_ENTRY(node, struct removal, node));
    }
}
