#include "sandbox-service/sandbox/reconcile.h"

#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/reconcile/drift.h"
#include "sandbox-service/reconcile/leftovers.h"
#include "sandbox-service/reconcile/store.h"
#include "sandbox-service/reconcile/unknown.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/end.h"
#include "sandbox-service/sandbox/presence.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/store.h"

#include <stdlib.h>

enum {
    AFTER_FAILURE_MS = 2000,
    LEFTOVERS_EVERY = 2, /* runs */
};

enum found_status {
    FOUND_UNKNOWN,
    FOUND_CREATING,
    FOUND_RUNNING,
    FOUND_SHIFTING, /* pausing, resuming */
    FOUND_PAUSED,
    FOUND_STOPPING,
};

/* What was found under one id: on the engine, on disk, or in the database. */
struct found {
    struct map_node by_id;
    struct list node;
    char sandbox_id[ID_SIZE];
    bool has_row; /* that is not at its end */
    bool has_container;
    bool is_kept;   /* it has no row, and may be needed yet */
    bool runs;      /* the container, frozen or not */
    bool is_frozen; /* the same */
    bool on_disk;   /* the sandbox rests, or is to, without a running container */
    enum found_status status;
    char networks[WIRE_NETWORKS_SIZE]; /* the container's */
};

/* What is on the engine and on disk is read before the rows are: since a row is written before all
 * else, whatever is found without a row has none any more. Then one after the other is dealt with;
 * each act checks the present state again before it changes anything. */
struct reconciler {
    struct sandboxes *sandboxes; /* borrowed */
    struct timer due;
    struct container_call containers;
    struct store_call rows;
    struct bulk_store *bulk;     /* owned */
    struct unknown *unknown;     /* owned */
    struct leftovers *leftovers; /* owned */
    struct drift *drift;         /* owned */
    struct map found;
    struct list todo; /* the same */
    bool running;
    bool again;
    bool engine_was_away;      /* for this run */
    bool engine_was_away_next; /* for the run after this one */
    bool failing;              /* the last run did: said once */
    bool out_of_memory;
    int64_t began_ms;
    uint64_t runs; /* so far */
    struct err err;
    reconciled_fn *on_done;
    void *arg;
};

static void act_on_next(void *arg);
static void look_for_strange(struct reconciler *reconciler);

static const char *reason_of_missing(const struct reconciler *reconciler)
{
    return reconciler->engine_was_away ? "engine_restart" : "error";
}

static void forget(struct reconciler *reconciler, struct found *found)
{
    map_remove(&reconciler->found, &found->by_id);
    list_remove(&found->node);
    free(found);
}

static void forget_all(struct reconciler *reconciler)
{
    for (LIST_EACH(node, &reconciler->todo)) {
        forget(reconciler, LIST_ENTRY(node, struct found, node));
    }
}

static struct found *note(struct reconciler *reconciler, const char sandbox_id[ID_SIZE])
{
    struct map_node *node = map_find(&reconciler->found, view_of(sandbox_id));
    if (node != NULL) {
        return MAP_ENTRY(node, struct found, by_id);
    }
    struct found *found = calloc(1, sizeof *found);
    if (found == NULL) {
        reconciler->out_of_memory = true;
        return NULL;
    }
    memcpy(found->sandbox_id, sandbox_id, ID_SIZE);
    map_insert(&reconciler->found, &found->by_id, view_of(found->sandbox_id));
    list_append(&reconciler->todo, &found->node);
    return found;
}

static int64_t next_run_ms(const struct reconciler *reconciler, bool failed)
{
    int64_t interval_ms = reconciler->sandboxes->config->reconcile_interval_s * 1000;
    if (failed) {
        return interval_ms < AFTER_FAILURE_MS ? interval_ms : AFTER_FAILURE_MS;
    }
    return reconciler->again ? 0 : interval_ms;
}

/* The end of a run, good or bad. */
static void finish(struct reconciler *reconciler)
{
    struct err err = reconciler->err;
    forget_all(reconciler);
    reconciler->running = false;
    if (err.code != ERR_NONE) {
        presence_skip_check(reconciler->sandboxes->presence, clock_monotonic_ms());
        reconciler->engine_was_away_next |= reconciler->engine_was_away;
        if (!reconciler->failing) {
            log_warn("reconcile.failed", LOG_ERR(&err));
        }
    }
    reconciler->failing = err.code != ERR_NONE;
    if (reconciler->runs++ % LEFTOVERS_EVERY == 0) {
        leftovers_look(reconciler->leftovers);
    }
    timer_arm(&reconciler->due, next_run_ms(reconciler, err.code != ERR_NONE));
    reconciler->again = false;
    if (reconciler->on_done != NULL) {
        reconciler->on_done(err.code == ERR_NONE ? NULL : &err, reconciler->arg);
    }
}

static void on_directory(const char sandbox_id[ID_SIZE], void *arg)
{
    (void)note(arg, sandbox_id);
}

static void note_container(struct found *found, const struct wire_listed *container)
{
    found->has_container = true;
    found->is_frozen = strcmp(container->state, "paused") == 0;
    found->runs = strcmp(container->state, "running") == 0 || found->is_frozen ||
                  strcmp(container->state, "created") == 0;
    memcpy(found->networks, container->networks, sizeof found->networks);
}

static void on_container(const struct wire_listed *container, void *arg)
{
    if (container->sandbox_id[0] == '\0') {
        log_warn("container.unknown", LOG_STR("container_id", container->id));
        return;
    }
    struct found *found = note(arg, container->sandbox_id);
    if (found != NULL) {
        note_container(found, container);
    }
}

/* Of those that failed only such are asked for whose container may still have volumes. */
static enum found_status status_of(const char *word)
{
    static const struct {
        const char *word;
        enum found_status status;
    } statuses[] = {{"creating", FOUND_CREATING}, {"running", FOUND_RUNNING},
                    {"pausing", FOUND_SHIFTING},  {"resuming", FOUND_SHIFTING},
                    {"paused", FOUND_PAUSED},     {"stopping", FOUND_STOPPING},
                    {"failed", FOUND_STOPPING}};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (strcmp(statuses[i].word, word) == 0) {
            return statuses[i].status;
        }
    }
    return FOUND_UNKNOWN;
}

/* One in a state that this program does not know is let be. */
static void add_row(struct reconciler *reconciler, const PGresult *result, int row)
{
    struct found *found = note(reconciler, store_read_id(result, row));
    enum found_status status = status_of(store_read_status(result, row));
    if (found == NULL) {
        return;
    }
    if (status == FOUND_UNKNOWN) {
        forget(reconciler, found);
        return;
    }
    found->has_row = true;
    found->status = status;
    found->on_disk = store_read_on_disk(result, row);
    if (status == FOUND_RUNNING && found->runs && !found->is_frozen) {
        drift_note(reconciler->drift, found->sandbox_id, store_read_network(result, row),
                   found->networks);
    }
}

static void on_agent_lost(const char sandbox_id[ID_SIZE], void *arg)
{
    struct reconciler *reconciler = arg;
    sandbox_end(reconciler->sandboxes, sandbox_id, "agent_lost", NULL, NULL);
}

static void check_presence(struct reconciler *reconciler)
{
    struct presence *presence = reconciler->sandboxes->presence;
    presence_check_begin(presence, clock_monotonic_ms());
    for (LIST_EACH(node, &reconciler->todo)) {
        const struct found *found = LIST_ENTRY(node, struct found, node);
        if (found->has_row && found->status == FOUND_RUNNING) {
            presence_check(presence, found->sandbox_id, on_agent_lost, reconciler);
        }
    }
    presence_check_end(presence);
}

/* Whether its row says that there is a container, and there was none. */
static bool is_missing(const struct reconciler *reconciler, const struct found *found)
{
    const struct sandboxes *sandboxes = reconciler->sandboxes;
    return found->has_row && !found->has_container &&
           (found->status == FOUND_RUNNING || found->status == FOUND_PAUSED) &&
           !sandbox_is_being_created(sandboxes, found->sandbox_id) &&
           !shift_is_under_way(sandboxes->shifts, found->sandbox_id);
}

/* What can't be asked about now is looked at one by one. */
static size_t collect_missing(const struct reconciler *reconciler, struct bulk_ids *ids)
{
    bulk_ids_begin(ids);
    for (LIST_EACH(node, &reconciler->todo)) {
        const struct found *found = LIST_ENTRY(node, struct found, node);
        if (is_missing(reconciler, found) && !bulk_ids_add(ids, found->sandbox_id)) {
            break;
        }
    }
    return ids->count;
}

static void on_missing_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct reconciler *reconciler = arg;
    if (err != NULL) {
        log_warn("reconcile.missing_not_ended", LOG_ERR(err)); /* the next look finds them again */
    }
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        CRASH_POINT("loss.after_rows");
        struct map_node *node =
            map_find(&reconciler->found, view_of(bulk_store_read_id(result, row)));
        if (node != NULL) {
            struct found *found = MAP_ENTRY(node, struct found, by_id);
            log_info("sandbox.ended", LOG_STR("sandbox_id", found->sandbox_id),
                     LOG_STR("reason", reason_of_missing(reconciler)));
            sandbox_clear_away(reconciler->sandboxes, found->sandbox_id, &trace_none);
            forget(reconciler, found);
        }
    }
    log_info("reconcile.missing_ended", LOG_INT("count", err == NULL ? pg_rows(result) : 0),
             LOG_INT("duration_ms", clock_monotonic_ms() - reconciler->began_ms));
    act_on_next(reconciler);
}

static void on_container_again(const struct wire_listed *container, void *arg)
{
    const struct reconciler *reconciler = arg;
    struct map_node *node = map_find(&reconciler->found, view_of(container->sandbox_id));
    if (node != NULL) {
        note_container(MAP_ENTRY(node, struct found, by_id), container);
    }
}

static void on_containers_again(const struct view *list, const struct err *err, void *arg)
{
    struct reconciler *reconciler = arg;
    struct bulk_ids ids;
    if (err != NULL) {
        reconciler->err = *err;
    } else if (wire_read_list(*list, on_container_again, reconciler, &reconciler->err)) {
        bool is_asked = collect_missing(reconciler, &ids) > 0 &&
                        bulk_store_end(reconciler->bulk, &ids, reason_of_missing(reconciler),
                                       on_missing_ended, reconciler, &reconciler->err);
        bulk_ids_free(&ids);
        if (is_asked) {
            return;
        }
        if (reconciler->err.code == ERR_NONE) {
            act_on_next(reconciler);
            return;
        }
    }
    finish(reconciler);
}

/* The first list is older than the rows: a container may have come in between. One that a row had
 * and that is not in the second is gone. */
static void look_for_missing(struct reconciler *reconciler)
{
    struct sandboxes *sandboxes = reconciler->sandboxes;
    struct bulk_ids ids;
    size_t count = collect_missing(reconciler, &ids);
    bulk_ids_free(&ids);
    if (count == 0) {
        act_on_next(reconciler);
        return;
    }
    container_list(sandboxes->docker, &reconciler->containers, sandboxes->config->instance,
                   on_containers_again, reconciler);
}

/* Whether it is kept. */
static bool note_strange(struct reconciler *reconciler, const struct found *found,
                         bool is_elsewhere)
{
    if (is_elsewhere) {
        unknown_note_elsewhere(reconciler->unknown, found->sandbox_id);
        return true;
    }
    return !unknown_note(reconciler->unknown, found->sandbox_id);
}

static void on_strange(const PGresult *result, const struct err *err, void *arg)
{
    struct reconciler *reconciler = arg;
    if (err != NULL) {
        reconciler->err = *err;
        finish(reconciler);
        return;
    }
    unknown_begin(reconciler->unknown, clock_monotonic_ms());
    for (int row = 0; row < pg_rows(result); row++) {
        struct map_node *node =
            map_find(&reconciler->found, view_of(bulk_store_read_id(result, row)));
        if (node != NULL) {
            struct found *found = MAP_ENTRY(node, struct found, by_id);
            found->is_kept =
                note_strange(reconciler, found, bulk_store_read_elsewhere(result, row));
        }
    }
    unknown_end(reconciler->unknown);
    look_for_missing(reconciler);
}

/* Containers without a living row: has there ever been one, or does it live elsewhere? */
static void look_for_strange(struct reconciler *reconciler)
{
    struct bulk_ids ids;
    bulk_ids_begin(&ids);
    for (LIST_EACH(node, &reconciler->todo)) {
        struct found *found = LIST_ENTRY(node, struct found, node);
        bool is_stray = found->has_container && !found->has_row;
        found->is_kept = is_stray && !bulk_ids_add(&ids, found->sandbox_id);
        reconciler->again = reconciler->again || found->is_kept;
    }
    bool is_asked =
        bulk_store_strange(reconciler->bulk, &ids, on_strange, reconciler, &reconciler->err);
    bulk_ids_free(&ids);
    if (!is_asked) {
        finish(reconciler);
    }
}

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct reconciler *reconciler = arg;
    if (err != NULL) {
        reconciler->err = *err;
        finish(reconciler);
        return;
    }
    drift_begin(reconciler->drift);
    for (int row = 0; row < pg_rows(result); row++) {
        add_row(reconciler, result, row);
    }
    drift_end(reconciler->drift);
    if (reconciler->out_of_memory) {
        err_set(&reconciler->err, ERR_INTERNAL, "reconcile: out of memory");
        finish(reconciler);
        return;
    }
    check_presence(reconciler);
    look_for_strange(reconciler);
}

static void on_containers(const struct view *list, const struct err *err, void *arg)
{
    struct reconciler *reconciler = arg;
    if (err != NULL) {
        reconciler->err = *err;
    } else if (wire_read_list(*list, on_container, reconciler, &reconciler->err)) {
        store_live(reconciler->sandboxes->store, &reconciler->rows, on_rows, reconciler);
        return;
    }
    finish(reconciler);
}

static void shift(struct sandboxes *sandboxes, const char *id)
{
    struct err err = {0};
    if (!shift_join(sandboxes->shifts, id, &trace_none, NULL, &err)) {
        log_warn("sandbox.shift_failed", LOG_STR("sandbox_id", id), LOG_ERR(&err));
    }
}

/* Whether the container of a paused sandbox rests as it should; one that somebody woke rests again,
 * unless the row has changed since. */
static bool rests(struct sandboxes *sandboxes, const struct found *found)
{
    bool is_awake = found->runs && !found->is_frozen;
    if (is_awake) {
        shift(sandboxes, found->sandbox_id);
    }
    return found->has_container && (is_awake || found->is_frozen || found->on_disk);
}

/* Returns whether act_on_next is called again by what was begun. */
static bool act(struct reconciler *reconciler, const struct found *found)
{
    struct sandboxes *sandboxes = reconciler->sandboxes;
    const char *id = found->sandbox_id;
    if (sandbox_is_being_created(sandboxes, id) || shift_is_under_way(sandboxes->shifts, id)) {
        return false;
    }
    if (found->is_kept) {
        return false;
    }
    if (!found->has_row || found->status == FOUND_STOPPING) {
        if (!found->has_row) {
            log_info("reconcile.stray", LOG_STR("sandbox_id", id));
        }
        sandbox_remove(sandboxes, id, &trace_none);
        return false;
    }
    if (found->status == FOUND_CREATING) {
        sandbox_end_creating(sandboxes, id, act_on_next, reconciler);
        return true;
    }
    if (found->status == FOUND_SHIFTING) {
        shift(sandboxes, id);
        return false;
    }
    if (found->status == FOUND_PAUSED ? rests(sandboxes, found)
                                      : found->has_container && found->runs) {
        return false;
    }
    sandbox_check_end(sandboxes, id, reconciler->engine_was_away ? END_ENGINE_RESTART : END_MISSED,
                      act_on_next, reconciler);
    return true;
}

static void act_on_next(void *arg)
{
    struct reconciler *reconciler = arg;
    while (!list_is_empty(&reconciler->todo)) {
        struct found *found = LIST_ENTRY(reconciler->todo.next, struct found, node);
        struct found copy = *found;
        forget(reconciler, found);
        if (act(reconciler, &copy)) {
            return;
        }
    }
    finish(reconciler);
}

static void start(struct reconciler *reconciler)
{
    struct sandboxes *sandboxes = reconciler->sandboxes;
    reconciler->running = true;
    reconciler->began_ms = clock_monotonic_ms();
    reconciler->out_of_memory = false;
    reconciler->err = (struct err){0};
    reconciler->engine_was_away = reconciler->engine_was_away_next;
    reconciler->engine_was_away_next = false;
    if (!agent_dirs_each(sandboxes->dirs, on_directory, reconciler, &reconciler->err)) {
        finish(reconciler);
        return;
    }
    container_list(sandboxes->docker, &reconciler->containers, sandboxes->config->instance,
                   on_containers, reconciler);
}

static void on_due(void *arg)
{
    struct reconciler *reconciler = arg;
    const struct sandboxes *sandboxes = reconciler->sandboxes;
    if (reconciler->running || sandboxes->draining) {
        return;
    }
    if (!docker_is_up(sandboxes->docker)) {
        presence_skip_check(sandboxes->presence, clock_monotonic_ms());
        timer_arm(&reconciler->due, AFTER_FAILURE_MS);
        return;
    }
    network_refresh(sandboxes->network);
    restricted_refresh(sandboxes->restricted);
    networks_refresh(sandboxes->networks);
    start(reconciler);
}

void reconciler_run(struct reconciler *reconciler, bool engine_was_away)
{
    reconciler->engine_was_away_next |= engine_was_away;
    if (reconciler->running) {
        reconciler->again = true;
    } else {
        timer_arm(&reconciler->due, 0);
    }
}

static bool open_parts(struct reconciler *reconciler, struct err *err)
{
    struct sandboxes *sandboxes = reconciler->sandboxes;
    const struct sandbox_config *config = sandboxes->config;
    const struct bulk_options options = {
        .url = config->database_url, .instance = config->instance, .node = config->node_name};
    return (reconciler->bulk = bulk_store_open(sandboxes->loop, &options, err)) != NULL &&
           (reconciler->unknown = unknown_new(strcmp(config->reconcile_unknown, "remove") == 0,
                                              config->reconcile_unknown_after_s * 1000, err)) !=
               NULL &&
           (reconciler->leftovers = leftovers_new(sandboxes, reconciler->bulk, err)) != NULL &&
           (reconciler->drift = drift_new(sandboxes, reconciler->bulk, err)) != NULL;
}

struct reconciler *reconciler_open(struct sandboxes *sandboxes, reconciled_fn *on_done, void *arg,
                                   struct err *err)
{
    struct reconciler *reconciler = calloc(1, sizeof *reconciler);
    if (reconciler == NULL) {
        err_set(err, ERR_INTERNAL, "reconcile: out of memory");
        return NULL;
    }
    reconciler->sandboxes = sandboxes;
    reconciler->on_done = on_done;
    reconciler->arg = arg;
    list_init(&reconciler->todo);
    if (!map_init(&reconciler->found, err) || !open_parts(reconciler, err) ||
        !timer_open(&reconciler->due, sandboxes->loop, on_due, reconciler, err)) {
        reconciler_close(reconciler);
        return NULL;
    }
    return reconciler;
}

bool reconciler_fail_all(struct reconciler *reconciler)
{
    return bulk_store_fail_all(reconciler->bulk);
}

void reconciler_close(struct reconciler *reconciler)
{
    if (reconciler != NULL) {
        leftovers_free(reconciler->leftovers);
        drift_free(reconciler->drift);
        unknown_free(reconciler->unknown);
        bulk_store_close(reconciler->bulk);
        forget_all(reconciler);
        map_free(&reconciler->found);
        timer_close(&reconciler->due);
        free(reconciler);
    }
}
