/* insien-sandbox: the control plane of one Docker engine. */
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/event/worker.h"
#include "common/ipc/tls.h"
#include "common/redis/redis.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/image.h"
#include "sandbox-service/engine.h"
#include "sandbox-service/events/events.h"
#include "sandbox-service/life/calls.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/life/still.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/pool/pool.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/disk.h"
#include "sandbox-service/sandbox/news.h"
#include "sandbox-service/sandbox/presence.h"
#include "sandbox-service/sandbox/reconcile.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/starts.h"
#include "sandbox-service/sandbox/store.h"
#include "sandbox-service/secrets/secrets.h"
#include "sandbox-service/service.h"
#include "sandbox-service/system/housekeeping.h"
#include "sandbox-service/system/room.h"
#include "sandbox-service/system/system.h"
#include "sandbox-service/templates/calls.h"
#include "sandbox-service/templates/templates.h"
#include "sandbox-service/trail.h"
#include "sandbox-service/volumes/volumes.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
    SECCOMP_MAX = 128 * 1024,
    LIMITS_MAX = 4096,
    URL_SIZE = 300,
    OTHER_CONNECTIONS = 12, /* to the engine, besides those that start containers */
    WORKERS = 1,
    WORKER_QUEUE = 16,
    SERVE_AT_LATEST_MS = 20000, /* also when engine or database do not come */
    DRAIN_MS = 15000,
    DRAIN_LOOK_MS = 20,
};

struct app {
    struct sandbox_config config;
    struct sandboxes sandboxes;
    struct agent_dirs dirs;
    uid_t service_uid;
    gid_t service_gid;
    struct str limits;
    char *seccomp;
    struct loop *loop;
    struct worker_pool *workers;
    struct store *store;
    struct trail *trail;
    struct redis *redis;
    struct docker *docker;
    struct images *images;
    struct starts *starts;
    struct presence *presence;
    struct ports *ports;
    struct templates *templates;
    struct events *events;
    struct keyring keyring;
    struct secrets *secrets;
    struct volumes *volumes;
    struct network *network;
    struct restricted *restricted;
    struct networks *networks;
    struct reconciler *reconciler;
    struct engine *engine;
    struct disk_watch *disk_watch;
    struct shifts *shifts;
    struct stills *stills;
    struct life_calls *life_calls;
    struct reaper *reaper;
    struct room *room;
    struct housekeeping *housekeeping;
    struct system *system;
    struct pool *pool;
    struct news *news;
    struct service *service;
    struct timer serve; /* armed until the service is open */
    struct timer drain;
    int64_t drain_left_ms;
    bool reconciled;
    bool network_settled;
    int exit_status;
};

static bool look_up_service_user(struct app *app, struct err *err)
{
    const struct passwd *user = getpwnam(app->config.service_user);
    if (user == NULL) {
        return err_set(err, ERR_INVALID, "SERVICE_USER: there is no user %s",
                       app->config.service_user);
    }
    app->service_uid = user->pw_uid;
    app->service_gid = user->pw_gid;
    return true;
}

static bool prepare(struct app *app, struct err *err)
{
    const struct sandbox_config *config = &app->config;
    app->limits = STR_INIT(LIMITS_MAX);
    app->seccomp = malloc(SECCOMP_MAX);
    (void)umask(0077);
    return look_up_service_user(app, err) && tiers_write(config->tiers, &app->limits, err) &&
           (app->seccomp != NULL || err_set(err, ERR_INTERNAL, "out of memory")) &&
           config_read_file(config->seccomp_profile, app->seccomp, SECCOMP_MAX, err) &&
           (keyring_read(&app->keyring, config->secrets_key, config->secrets_old_keys, err) ||
            err_wrap(err, "SECRETS_KEY, SECRETS_OLD_KEYS")) &&
           bundle_volume_name(config->agent_bundle, app->sandboxes.agent_volume, err) &&
           agent_dirs_open(&app->dirs, config->run_dir, app->service_uid, app->service_gid, err);
}

/* Opens when the engine's state and ours agree and the network is known; or when it is known that
 * this has to wait. */
static void serve(void *arg)
{
    struct app *app = arg;
    struct err err = {0};
    const struct sandbox_config *config = &app->config;
    const struct ipc_tls tls = {config->ipc_ca, config->ipc_certificate, config->ipc_key,
                                "gateway"};
    char url[URL_SIZE];
    if (app->service != NULL || app->sandboxes.draining) {
        return;
    }
    timer_disarm(&app->serve);
    if (config->listen[0] == '\0') {
        (void)snprintf(url, sizeof url, "ipc://%s/sandbox-1.sock", config->run_dir);
    } else {
        (void)snprintf(url, sizeof url, "%s", config->listen);
    }
    app->service = service_open(app->loop, url, app->service_uid, &tls, &app->sandboxes, &err);
    if (app->service == NULL) {
        log_error("service.not_open", LOG_ERR(&err));
        app->exit_status = EXIT_FAILURE;
        loop_stop(app->loop);
        return;
    }
    news_tell(app->news);
    log_info("service.open", LOG_STR("url", url));
}

static void serve_if_ready(struct app *app)
{
    if (app->reconciled && app->network_settled) {
        serve(app);
    }
}

static void on_reconciled(const struct err *err, void *arg)
{
    (void)err; /* it goes on trying; what needs the missing part says so */
    struct app *app = arg;
    app->reconciled = true;
    serve_if_ready(app);
}

static void on_network_settled(void *arg)
{
    struct app *app = arg;
    app->network_settled = true;
    serve_if_ready(app);
}

static void on_restricted(void *arg)
{
    const struct app *app = arg;
    networks_adopt(app->networks);
}

static void on_docker_state(bool up, void *arg)
{
    struct app *app = arg;
    if (up) {
        engine_came(app->engine);
        restricted_check(app->restricted);
        return;
    }
    engine_went(app->engine);
    serve(app);
}

static void finish_drain(void *arg)
{
    struct app *app = arg;
    bool busy = sandbox_creates_unanswered(&app->sandboxes) > 0 ||
                app->sandboxes.removals_running > 0 || ports_open_requests(app->ports) > 0 ||
                templates_open_requests(app->templates) > 0 ||
                life_calls_open(app->life_calls) > 0 || shifts_count(app->shifts) > 0 ||
                events_open_requests(app->events) > 0 || secrets_open_requests(app->secrets) > 0 ||
                volumes_open_requests(app->volumes) > 0 || system_open_requests(app->system) > 0 ||
                networks_open_requests(app->networks) > 0 ||
                (app->service != NULL && service_open_requests(app->service) > 0) ||
                audit_writer_count(trail_writer(app->trail)) > 0;
    app->drain_left_ms -= DRAIN_LOOK_MS;
    if (!busy || app->drain_left_ms <= 0) {
        log_info("service.drained", LOG_INT("busy", busy));
        loop_stop(app->loop);
        return;
    }
    timer_arm(&app->drain, DRAIN_LOOK_MS);
}

static void on_stop(void *arg)
{
    struct app *app = arg;
    app->sandboxes.draining = true;
    app->drain_left_ms = DRAIN_MS;
    sandbox_removals_drop_waiting(&app->sandboxes);
    events_drain(app->events);
    finish_drain(app);
}

static struct room *open_room(struct app *app, struct err *err)
{
    const struct room_options options = {.loop = app->loop,
                                         .workers = app->workers,
                                         .dir = app->config.docker_data_dir,
                                         .keep_free_mb = app->config.free_disk_mb};
    return room_open(&options, err);
}

static bool open_stores(struct app *app, struct err *err)
{
    const struct sandbox_config *config = &app->config;
    const struct store_options store = {.url = config->database_url,
                                        .instance = config->instance,
                                        .node = config->node_name,
                                        .limits = app->limits.data,
                                        .more = life_statements,
                                        .more_count = life_statement_count};
    return (app->loop = loop_new(err)) != NULL &&
           (app->workers = worker_pool_new(app->loop, WORKERS, WORKER_QUEUE, err)) != NULL &&
           (app->room = open_room(app, err)) != NULL &&
           (app->store = store_open(app->loop, &store, err)) != NULL &&
           (app->trail = trail_open(app->loop, config->database_url, err)) != NULL &&
           (app->redis = redis_open(app->loop, config->redis_url, err)) != NULL;
}

static bool open_engine(struct app *app, struct err *err)
{
    const struct sandbox_config *config = &app->config;
    const struct network_options network = {.loop = app->loop,
                                            .docker = app->docker,
                                            .workers = app->workers,
                                            .config = config,
                                            .agent_volume = app->sandboxes.agent_volume,
                                            .seccomp = app->seccomp,
                                            .on_settled = on_network_settled,
                                            .arg = app};
    if ((app->network = network_new(&network, err)) == NULL ||
        (app->reconciler = reconciler_open(&app->sandboxes, on_reconciled, app, err)) == NULL) {
        return false;
    }
    const struct engine_options engine = {.loop = app->loop,
                                          .docker = app->docker,
                                          .sandboxes = &app->sandboxes,
                                          .reconciler = app->reconciler,
                                          .network = app->network};
    return (app->engine = engine_new(&engine, err)) != NULL;
}

static bool open_networks(struct app *app, struct err *err)
{
    const struct restricted_options restricted = {.loop = app->loop,
                                                  .docker = app->docker,
                                                  .config = &app->config,
                                                  .open = network_rules(app->network),
                                                  .on_available = on_restricted,
                                                  .arg = app};
    app->sandboxes.network = app->network;
    if ((app->restricted = restricted_new(&restricted, err)) == NULL ||
        (app->networks = networks_open(&app->sandboxes, app->restricted, err)) == NULL) {
        return false;
    }
    app->sandboxes.restricted = app->restricted;
    app->sandboxes.networks = app->networks;
    return true;
}

/* An engine that remaps users can't raise a limit above its own. */
static int64_t own_open_files_max(void)
{
    enum { MOST = 1024 * 1024 };
    struct rlimit limit;
    bool is_small = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < MOST;
    return is_small ? (int64_t)limit.rlim_max : MOST;
}

/* What sandboxes are given of their users'. */
static bool open_belongings(struct app *app, struct err *err)
{
    const struct sandbox_config *config = &app->config;
    const struct secrets_options secrets = {.loop = app->loop,
                                            .database_url = config->database_url,
                                            .keyring = &app->keyring,
                                            .audit = trail_writer(app->trail)};
    const struct volumes_options volumes = {
        .loop = app->loop,
        .database_url = config->database_url,
        .instance = config->instance,
        .node = config->node_name,
        .limits = app->limits.data,
        .folder = config->volumes_dir,
        .reserve_mb = config->volumes_reserve_mb,
        .sweep_interval_ms = config->reconcile_interval_s * 1000,
        .may_remove_strays = strcmp(config->reconcile_unknown, "remove") == 0,
        .audit = trail_writer(app->trail)};
    if ((app->secrets = secrets_open(&secrets, err)) == NULL ||
        (app->volumes = volumes_open(&volumes, err)) == NULL) {
        return false;
    }
    app->sandboxes.secrets = app->secrets;
    app->sandboxes.volumes = app->volumes;
    return true;
}

/* What all acts on sandboxes share. */
static bool share(struct app *app, struct err *err)
{
    struct sandboxes *sandboxes = &app->sandboxes;
    sandboxes->loop = app->loop;
    sandboxes->config = &app->config;
    sandboxes->docker = app->docker;
    sandboxes->images = app->images;
    sandboxes->store = app->store;
    sandboxes->audit = trail_writer(app->trail);
    sandboxes->redis = app->redis;
    sandboxes->dirs = &app->dirs;
    sandboxes->starts = app->starts;
    sandboxes->presence = app->presence;
    sandboxes->room = app->room;
    sandboxes->seccomp = app->seccomp;
    sandboxes->open_files_max = own_open_files_max();
    if (!sandboxes_init(sandboxes, err) || (app->ports = ports_open(sandboxes, err)) == NULL) {
        return false;
    }
    sandboxes->ports = app->ports;
    app->shifts = shifts_new(sandboxes, err);
    app->life_calls = life_calls_new(sandboxes, err);
    sandboxes->shifts = app->shifts;
    sandboxes->life_calls = app->life_calls;
    app->stills = stills_open(sandboxes, err);
    sandboxes->stills = app->stills;
    app->templates = templates_open(sandboxes, app->limits.data, err);
    sandboxes->templates = app->templates;
    sandboxes->events = app->events = events_open(sandboxes, err);
    app->system = system_open(sandboxes, err);
    sandboxes->system = app->system;
    return app->shifts != NULL && app->life_calls != NULL && app->stills != NULL &&
           app->templates != NULL && app->events != NULL && app->system != NULL &&
           open_belongings(app, err);
}

static bool open_parts(struct app *app, struct err *err)
{
    const struct sandbox_config *config = &app->config;
    long connections = (long)config->start_concurrency + OTHER_CONNECTIONS;
    if (!open_stores(app, err) ||
        (app->docker = docker_open(app->loop, sandbox_config_docker_socket(config), connections,
                                   on_docker_state, app, err)) == NULL ||
        (app->images = images_new(app->docker, err)) == NULL ||
        (app->starts = starts_new(app->loop, config->start_concurrency, err)) == NULL ||
        (app->presence = presence_new(config->agent_lost_after_s * 1000, err)) == NULL ||
        !share(app, err) || !open_engine(app, err)) {
        return false;
    }
    if (!open_networks(app, err)) {
        return false;
    }
    app->reaper = reaper_open(&app->sandboxes, err);
    app->sandboxes.reaper = app->reaper;
    app->pool = pool_open(&app->sandboxes, app->limits.data, err);
    app->sandboxes.pool = app->pool;
    return app->reaper != NULL && app->pool != NULL &&
           (app->disk_watch = disk_watch_open(&app->sandboxes, err)) != NULL &&
           (app->housekeeping = housekeeping_open(&app->sandboxes, err)) != NULL &&
           (app->news = news_open(&app->sandboxes, app->reaper, err)) != NULL &&
           timer_open(&app->serve, app->loop, serve, app, err) &&
           timer_open(&app->drain, app->loop, finish_drain, app, err) &&
           loop_on_stop_signal(app->loop, on_stop, app, err) &&
           loop_on_reload_signal(app->loop, NULL, NULL, err);
}

/* Ends what is in flight: each end may begin a last call elsewhere, which then fails too. */
static void fail_all(struct app *app)
{
    bool called;
    stills_end(app->stills);
    do {
        shifts_end(app->shifts);
        sandbox_creates_end(&app->sandboxes);
        called = app->docker != NULL && docker_fail_all(app->docker);
        called = (app->store != NULL && store_fail_all(app->store)) || called;
        called = (app->ports != NULL && ports_fail_all(app->ports)) || called;
        called = (app->templates != NULL && templates_fail_all(app->templates)) || called;
        called = (app->events != NULL && events_fail_all(app->events)) || called;
        called = (app->reconciler != NULL && reconciler_fail_all(app->reconciler)) || called;
        called = (app->secrets != NULL && secrets_fail_all(app->secrets)) || called;
        called = (app->volumes != NULL && volumes_fail_all(app->volumes)) || called;
        called = (app->networks != NULL && networks_fail_all(app->networks)) || called;
        called = (app->pool != NULL && pool_fail_all(app->pool)) || called;
    } while (called);
}

/* The reverse of opening. */
static void close_parts(struct app *app)
{
    app->sandboxes.draining = true; /* what ends now begins nothing new */
    worker_pool_free(app->workers);
    restricted_stop(app->restricted);
    fail_all(app);
    service_close(app->service);
    news_close(app->news);
    disk_watch_close(app->disk_watch);
    housekeeping_close(app->housekeeping);
    system_close(app->system);
    room_close(app->room);
    app->sandboxes.pool = NULL;
    pool_close(app->pool);
    app->sandboxes.reaper = NULL;
    reaper_close(app->reaper);
    timer_close(&app->serve);
    timer_close(&app->drain);
    engine_free(app->engine);
    reconciler_close(app->reconciler);
    app->sandboxes.networks = NULL;
    networks_close(app->networks);
    restricted_free(app->restricted);
    network_free(app->network);
    presence_free(app->presence);
    starts_free(app->starts);
    templates_close(app->templates);
    app->sandboxes.templates = NULL;
    app->sandboxes.stills = NULL;
    stills_close(app->stills);
    images_free(app->images);
    docker_close(app->docker);
    app->sandboxes.ports = NULL;
    ports_close(app->ports);
    app->sandboxes.events = NULL;
    events_close(app->events);
    volumes_close(app->volumes);
    secrets_close(app->secrets);
    redis_close(app->redis);
    store_close(app->store);
    life_calls_free(app->life_calls);
    shifts_free(app->shifts);
    sandboxes_clear(&app->sandboxes);
    trail_close(app->trail);
    loop_free(app->loop);
    agent_dirs_close(&app->dirs);
    str_free(&app->limits);
    free(app->seccomp);
}

int main(int argc, char *argv[])
{
    if (crash_points_are_asked_for(argc, argv)) {
        return EXIT_SUCCESS;
    }
    static struct app app = {.dirs = {.agents_fd = -1, .locks_fd = -1}};
    struct err err = {0};
    enum log_level level;
    log_open("sandbox-service", LOG_INFO);
    (void)prctl(PR_SET_DUMPABLE, 0); /* it holds the key that signs agents' tokens */
    bool ok = sandbox_config_read(&app.config, &err);
    if (ok && log_level_parse(view_of(app.config.log_level), &level)) {
        log_set_level(level);
    }
    crash_points_open(app.config.run_dir);
    ok = ok && prepare(&app, &err) && open_parts(&app, &err);
    sandbox_config_forget_environment();
    secret_wipe(app.config.database_url, sizeof app.config.database_url); /* the parts have them */
    secret_wipe(app.config.redis_url, sizeof app.config.redis_url);
    secret_wipe(app.config.secrets_key, sizeof app.config.secrets_key);
    secret_wipe(app.config.secrets_old_keys, sizeof app.config.secrets_old_keys);
    if (ok) {
        timer_arm(&app.serve, SERVE_AT_LATEST_MS);
        loop_run(app.loop);
    } else {
        log_error("service.failed", LOG_ERR(&err));
        app.exit_status = EXIT_FAILURE;
    }
    close_parts(&app);
    secret_wipe(&app.config, sizeof app.config);
    keyring_wipe(&app.keyring);
    return app.exit_status;
}
