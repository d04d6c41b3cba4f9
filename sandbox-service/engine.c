#include "sandbox-service/engine.h"

#include "common/base/log.h"
#include "sandbox-service/docker/abilities.h"
#include "sandbox-service/docker/events.h"
#include "sandbox-service/docker/info.h"
#include "sandbox-service/docker/version.h"
#include "sandbox-service/docker/volume.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/end.h"
#include "sandbox-service/sandbox/reconcile.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/room.h"
#include "sandbox-service/volumes/volumes.h"

#include <stdlib.h>

enum {
    RETRY_MS = 1000,
    MB = 1024 * 1024,
    /* How many times the engine's memory may be promised when no setting says how much: most
     * sandboxes use little of theirs. */
    MEMORY_PROMISED_TIMES = 8,
};

struct engine {
    struct engine_options options;
    struct info_call info;
    struct wire_info told;
    struct abilities_call abilities;
    struct agent_volume_spec volume;
    struct docker_events *events; /* owned */
    struct timer retry;
    bool attaching;
    bool seen_before; /* it has been here and may have gone and come again */
    bool live_restore;
};

static void attach(struct engine *engine);

static void fail(struct engine *engine, const struct err *err)
{
    log_error("engine.not_ready", LOG_ERR(err));
    engine->attaching = false;
    if (docker_is_up(engine->options.docker)) {
        timer_arm(&engine->retry, RETRY_MS);
    }
}

static void on_abilities(const struct err *err, void *arg)
{
    struct engine *engine = arg;
    if (err != NULL) {
        fail(engine, err);
        return;
    }
    engine->attaching = false;
    if (!docker_is_up(engine->options.docker)) {
        return; /* engine_came comes again */
    }
    engine->options.sandboxes->engine_ready = true;
    log_info("engine.ready", LOG_STR("volume", engine->volume.volume),
             LOG_INT("live_restore", engine->live_restore));
    docker_events_listen(engine->events);
    network_check(engine->options.network);
}

static void on_volume(const struct err *err, void *arg)
{
    struct engine *engine = arg;
    struct sandboxes *sandboxes = engine->options.sandboxes;
    const struct sandbox_config *config = sandboxes->config;
    const struct abilities_options options = {.instance = config->instance,
                                              .info = &engine->told,
                                              .binds_cpus = strcmp(config->cpuset, "on") == 0,
                                              .lxcfs_dir = config->lxcfs_dir};
    if (err != NULL) {
        fail(engine, err);
        return;
    }
    sandboxes->abilities.memory_mb = config->node_memory_mb > 0
                                         ? config->node_memory_mb
                                         : engine->told.memory_bytes / MB * MEMORY_PROMISED_TIMES;
    abilities_find(engine->options.docker, &engine->abilities, &options, &sandboxes->abilities,
                   on_abilities, engine);
}

/* Whoever runs it is to know; what a distribution has mended can't be told from here. */
static void judge_runc(const char *version)
{
    const struct runc_flaw *flaw = runc_find_flaw(version);
    if (flaw == NULL) {
        return;
    }
    if (flaw->is_way_out && !runc_may_be_mended(version)) {
        log_error("engine.runc_flawed", LOG_STR("version", version), LOG_STR("flaw", flaw->id),
                  LOG_STR("mended_in", flaw->mended));
    } else {
        log_warn("engine.runc_may_be_flawed", LOG_STR("version", version),
                 LOG_STR("flaw", flaw->id), LOG_STR("mended_in", flaw->mended));
    }
}

static void on_info(const struct wire_info *info, const struct err *err, void *arg)
{
    struct engine *engine = arg;
    struct err failure = {0};
    if (err != NULL) {
        fail(engine, err);
        return;
    }
    engine->told = *info;
    engine->live_restore = info->live_restore;
    memcpy(engine->options.sandboxes->runtimes, info->runtimes, sizeof info->runtimes);
    room_watch(engine->options.sandboxes->room, info->root_dir);
    engine->options.sandboxes->dirs->root_gid = info->remapped_gid;
    volumes_engine_came(engine->options.sandboxes->volumes, info->remapped_uid, info->remapped_gid);
    judge_runc(info->runc);
    if (!info->live_restore) {
        log_warn("engine.no_live_restore", LOG_STR("version", info->version));
    }
    if (!agent_volume_ensure(engine->options.docker, &engine->volume, on_volume, engine,
                             &failure)) {
        fail(engine, &failure);
    }
}

static void attach(struct engine *engine)
{
    if (!engine->attaching) {
        engine->attaching = true;
        docker_ask_info(engine->options.docker, &engine->info, on_info, engine);
    }
}

static void on_retry(void *arg)
{
    struct engine *engine = arg;
    if (docker_is_up(engine->options.docker)) {
        attach(engine);
    }
}

/* Whether this process itself is removing its container. */
static bool is_being_removed(const struct engine *engine, const char sandbox_id[ID_SIZE])
{
    return map_find(&engine->options.sandboxes->removing, view_of(sandbox_id)) != NULL;
}

static void on_die(const char sandbox_id[ID_SIZE], void *arg)
{
    struct engine *engine = arg;
    if (!is_being_removed(engine, sandbox_id)) {
        sandbox_check_end(engine->options.sandboxes, sandbox_id,
                          engine->live_restore ? END_DIED : END_DIED_OR_TAKEN, NULL, NULL);
    }
}

/* One that rested without a running container dies no more. A creation that begins again removes
 * what the one before it left. */
static void on_gone(const char sandbox_id[ID_SIZE], void *arg)
{
    struct engine *engine = arg;
    struct sandboxes *sandboxes = engine->options.sandboxes;
    if (!is_being_removed(engine, sandbox_id) && !sandbox_is_being_created(sandboxes, sandbox_id)) {
        sandbox_check_end(sandboxes, sandbox_id, END_MISSED, NULL, NULL);
    }
}

static void on_listening(void *arg)
{
    struct engine *engine = arg;
    reconciler_run(engine->options.reconciler, engine->seen_before && !engine->live_restore);
    engine->seen_before = true;
}

void engine_came(struct engine *engine)
{
    attach(engine);
}

void engine_went(struct engine *engine)
{
    engine->options.sandboxes->engine_ready = false;
    network_engine_missing(engine->options.network);
}

struct engine *engine_new(const struct engine_options *options, struct err *err)
{
    static const struct docker_events_hooks hooks = {
        .on_die = on_die, .on_gone = on_gone, .on_listening = on_listening};
    const struct sandbox_config *config = options->sandboxes->config;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        err_set(err, ERR_INTERNAL, "engine: out of memory");
        return NULL;
    }
    engine->options = *options;
    engine->volume = (struct agent_volume_spec){.volume = options->sandboxes->agent_volume,
                                                .bundle = config->agent_bundle,
                                                .instance = config->instance};
    engine->events =
        docker_events_open(options->loop, options->docker, config->instance, &hooks, engine, err);
    if (engine->events == NULL ||
        !timer_open(&engine->retry, options->loop, on_retry, engine, err)) {
        engine_free(engine);
        return NULL;
    }
    return engine;
}

void engine_free(struct engine *engine)
{
    if (engine != NULL) {
        docker_events_close(engine->events);
        timer_close(&engine->retry);
        free(engine);
    }
}
