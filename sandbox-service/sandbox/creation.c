#include "sandbox-service/sandbox/creation.h"

#include "common/audit/act.h"
#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/contracts/agent.h"
#include "common/json/write.h"
#include "sandbox-service/credential/token.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/start.h"
#include "sandbox-service/events/events.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/pool/claim.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/welcome.h"
#include "sandbox-service/secrets/secrets.h"
#include "sandbox-service/volumes/volumes.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    INFO_MAX = 512 * 1024, /* with an environment in it */
    START_LEAST_MS = 1000, /* what is left of the deadline must be worth a try */
};

void creation_answer(struct creation *creation, const struct err *err)
{
    struct view info = str_view(&creation->info);
    while (!list_is_empty(&creation->waiters)) {
        struct create_waiter *waiter =
            LIST_ENTRY(creation->waiters.next, struct create_waiter, node);
        list_remove(&waiter->node);
        waiter->done(err == NULL ? &info : NULL, err, waiter->arg);
    }
}

void creation_finish_failed(struct creation *creation)
{
    log_info("sandbox.create_failed", LOG_TRACE(&creation->trace),
             LOG_STR("sandbox_id", creation->sandbox_id), LOG_ERR(&creation->err));
    audit_act_end_with(TAKE(creation->act), creation->sandbox_id, &creation->err);
    creation_answer(creation, &creation->err);
    creation_release(creation);
}

static void on_row_ended(const PGresult *result, const struct err *err, void *arg)
{
    (void)result; /* no row: it has ended otherwise; it is not alive in any case */
    struct creation *creation = arg;
    if (err == NULL) {
        CRASH_POINT("failing_create.after_row");
        sandbox_clear_away(creation->sandboxes, creation->sandbox_id, &creation->trace);
    } else {
        /* The reconciler ends it: no creation of this process owns it any more. */
        log_warn("sandbox.row_not_failed", LOG_TRACE(&creation->trace),
                 LOG_STR("sandbox_id", creation->sandbox_id), LOG_ERR(err));
    }
    creation_finish_failed(creation);
}

void creation_fail(struct creation *creation)
{
    /* One that lives and is aborted was given up by its user. */
    const struct store_end end = {
        .reason = creation->aborted ? "user" : "error", .container_status = "removed", .error = ""};
    starts_leave(creation->sandboxes->starts, &creation->turn);
    timer_disarm(&creation->deadline);
    store_end(creation->sandboxes->store, &creation->row, creation->sandbox_id, &end, on_row_ended,
              creation);
}

bool creation_has_ended(struct creation *creation)
{
    return creation->aborted && !err_set_reason(&creation->err, ERR_CONFLICT, "sandbox_ended",
                                                "ended while it was being created");
}

static void on_part_done(struct creation *creation)
{
    if (--creation->parts_left > 0) {
        return;
    }
    if (creation->err.code != ERR_NONE || creation_has_ended(creation)) {
        creation_fail(creation);
        return;
    }
    if (creation->is_for_pool) {
        CRASH_POINT("refill.before_answer");
    }
    CRASH_POINT("create.before_answer");
    starts_leave(creation->sandboxes->starts, &creation->turn);
    log_info("sandbox.started", LOG_TRACE(&creation->trace),
             LOG_STR("sandbox_id", creation->sandbox_id),
             LOG_INT("duration_ms", clock_monotonic_ms() - creation->began_ms),
             LOG_INT("warm", creation->is_for_pool));
    creation->answered = true;
    audit_act_end_with(TAKE(creation->act), creation->sandbox_id, NULL);
    creation_answer(creation, NULL);
    timer_arm(&creation->deadline, CREATE_MAX_MS);
    creation_release_if_over(creation);
}

/* lxcfs has gone: sandboxes are made without it until the engine is looked at again. */
static void note_lxcfs(struct creation *creation, const struct err *err)
{
    const char *dir = creation->spec.lxcfs_dir;
    if (dir != NULL && strstr(err->message, dir) != NULL) {
        log_error("lxcfs.lost", LOG_STR("dir", dir), LOG_ERR(err));
        creation->sandboxes->abilities.lxcfs_dir = NULL;
    }
}

/* What the engine misses or finds in the way is not the caller's mistake. */
static void note_start_failed(struct creation *creation, const struct err *err)
{
    const char *network = creation->spec.network;
    creation->err = *err;
    note_lxcfs(creation, err);
    if (err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT) {
        return;
    }
    if (network != NULL && strstr(err->message, network) != NULL) {
        /* Somebody removed the network: it is made and tested anew. */
        err_set_reason(&creation->err, ERR_UNAVAILABLE, "network_unavailable", "%s", err->message);
        network_refresh(creation->sandboxes->network);
        restricted_check(creation->sandboxes->restricted);
        return;
    }
    err_set_reason(&creation->err, ERR_UNAVAILABLE, "docker_unavailable", "%s", err->message);
}

static void on_image_set(const PGresult *result, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err != NULL && creation->err.code == ERR_NONE) {
        creation->err = *err;
    } else if (err == NULL && pg_rows(result) == 0) {
        creation->aborted = true;
    }
    on_part_done(creation);
}

static void set_image(struct creation *creation)
{
    store_set_image(creation->sandboxes->store, &creation->row, creation->sandbox_id,
                    &creation->image, on_image_set, creation);
}

static void on_started(const char *container_id, const struct err *err, void *arg)
{
    (void)container_id; /* names are made from ids */
    struct creation *creation = arg;
    if (err != NULL && creation->err.code == ERR_NONE) {
        note_start_failed(creation, err);
    } else if (err == NULL && creation->is_for_pool) {
        CRASH_POINT("refill.after_start");
        set_image(creation);
        return;
    }
    on_part_done(creation);
}

static bool make_dir(struct creation *creation)
{
    const struct sandboxes *sandboxes = creation->sandboxes;
    AUTO(secret_free_string)
    char *token = agent_token_sign(sandboxes->config->agent_jwt_secret, creation->sandbox_id, 1,
                                   AGENT_TOKEN_FIRST_LIFE_S, &creation->err);
    return token != NULL &&
           agent_dir_make(sandboxes->dirs, creation->sandbox_id, token, &creation->err);
}

static void on_turn(void *arg)
{
    struct creation *creation = arg;
    struct sandboxes *sandboxes = creation->sandboxes;
    timer_disarm(&creation->deadline);
    int64_t left_ms = creation->until_ms - clock_monotonic_ms();
    if (left_ms < START_LEAST_MS) {
        err_set_reason(&creation->err, ERR_UNAVAILABLE, "overloaded", "waited too long to start");
    }
    if (creation->err.code != ERR_NONE || creation_has_ended(creation) || !make_dir(creation)) {
        creation_fail(creation);
        return;
    }
    CRASH_POINT("create.after_folder");
    if (docker_start_begin(sandboxes->docker, &creation->spec, left_ms, on_started, creation,
                           &creation->err) == NULL) {
        creation_fail(creation);
        return;
    }
    creation->parts_left = 1;
    /* With its image one of the pool may be claimed: that waits until its start can't fail. */
    if (!creation->is_for_pool) {
        creation->parts_left++;
        set_image(creation);
    }
}

static void wait_for_turn(struct creation *creation, const struct wire_image *image)
{
    struct starts *starts = creation->sandboxes->starts;
    creation->image = *image;
    int64_t left_ms = creation->until_ms - clock_monotonic_ms();
    if (creation_has_ended(creation) ||
        (!creation->is_for_pool && !starts_enter(starts, &creation->turn, creation->user_id,
                                                 on_turn, creation, &creation->err))) {
        creation_fail(creation);
        return;
    }
    if (creation->is_for_pool) {
        starts_enter_behind(starts, &creation->turn, on_turn, creation);
    }
    timer_arm(&creation->deadline, left_ms > 0 ? left_ms : 0);
}

static void on_image(const struct wire_image *image, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err == NULL) {
        wait_for_turn(creation, image);
        return;
    }
    creation->err = *err;
    if (err->code == ERR_NOT_FOUND) {
        log_error("template.image_missing", LOG_TRACE(&creation->trace),
                  LOG_STR("image", creation->image_name));
        creation->err.code = ERR_UNAVAILABLE;
    }
    creation_fail(creation);
}

/* One that runs already may be bound to some: an update must say all when it means all. */
static void choose_cpus(struct creation *creation, const struct store_begun *begun)
{
    int64_t count = creation->sandboxes->abilities.cpus;
    if (begun->cpus[0] == '\0' && begun->is_warm && count > 0) {
        (void)snprintf(creation->cpus, sizeof creation->cpus, "0-%" PRId64, count - 1);
    } else {
        (void)snprintf(creation->cpus, sizeof creation->cpus, "%s", begun->cpus);
    }
}

/* Whose one that waits becomes is not known, and this bound stays as it was made with. */
static int64_t file_disk_mb(const struct creation *creation, int64_t disk_mb)
{
    const struct tier_limits *tiers = creation->sandboxes->config->tiers;
    for (size_t i = 0; creation->is_for_pool && i < TIER_COUNT; i++) {
        disk_mb = disk_mb < tiers[i].disk_mb ? tiers[i].disk_mb : disk_mb;
    }
    return disk_mb;
}

static void describe(struct creation *creation, const struct store_begun *begun)
{
    static const char *const command[] = {AGENT_PROGRAM, NULL};
    const struct sandboxes *sandboxes = creation->sandboxes;
    const struct sandbox_info *info = &begun->info;
    bool has_network = !view_equal(info->network, VIEW("none"));
    container_name(creation->sandbox_id, creation->container);
    agent_dir_path(sandboxes->dirs, creation->sandbox_id, creation->run_dir);
    (void)snprintf(creation->image_name, sizeof creation->image_name, "%s", begun->image);
    choose_cpus(creation, begun);
    (void)snprintf(creation->runtime, sizeof creation->runtime, "%s", begun->runtime);
    (void)snprintf(creation->network, sizeof creation->network, "%s",
                   creation->placement != NULL ? restricted_network(sandboxes->restricted)
                                               : network_name(sandboxes->network));
    (void)snprintf(creation->env, sizeof creation->env, AGENT_ENV_SANDBOX_ID "=%s",
                   creation->sandbox_id);
    char id32[ID32_SIZE];
    id_to_id32(creation->sandbox_id, id32);
    memcpy(creation->host_name, id32, HOST_NAME_LEN);
    creation->spec = (struct container_spec){
        .name = creation->container,
        .image = creation->image_name,
        .command = command,
        .env = creation->env,
        /* Without a network nothing but this name resolves. */
        .hostname = has_network ? creation->host_name : "localhost",
        .sandbox_id = creation->sandbox_id,
        .node = sandboxes->config->node_name,
        .instance = sandboxes->config->instance,
        .runtime = creation->runtime[0] == '\0' ? NULL : creation->runtime,
        .network = has_network ? creation->network : NULL,
        .name_server = networks_name_server(sandboxes->networks),
        .agent_volume = sandboxes->agent_volume,
        .run_dir = creation->run_dir,
        .mounts = creation->volumes.mounts,
        .mount_count = creation->volumes.count,
        .has_secret_files = creation->has_secret_files,
        .seccomp = sandboxes->seccomp,
        .memory_bytes = info->memory_mb * 1024 * 1024,
        .cpu_milli = info->cpu_milli,
        .pids = info->pids,
        .cpus = creation->cpus[0] == '\0' ? NULL : creation->cpus,
        .disk_bytes = sandboxes->abilities.limits_disk ? info->disk_mb * 1024 * 1024 : 0,
        .lxcfs_dir = sandboxes->abilities.lxcfs_dir,
        .open_files = tier_open_files(info->pids, sandboxes->open_files_max),
        .file_bytes = tier_file_bytes(file_disk_mb(creation, info->disk_mb),
                                      volume_hold_largest_mb(&creation->volumes)),
        .is_tenant_root_possible = strcmp(begun->profile, "sudo") == 0,
        .is_agent = true,
        .read_only_root = begun->read_only_root,
    };
}

/* The agent of a claimed one knows nothing of its user yet. */
static bool write_configure(struct creation *creation, const struct store_begun *begun,
                            struct str *out)
{
    const struct welcome_source source = {.sandbox_id = begun->info.sandbox_id,
                                          .generation = begun->agent_generation,
                                          .env = begun->env,
                                          .profile = begun->profile,
                                          .work_dir = begun->work_dir,
                                          .work_dir_chosen = begun->work_dir_chosen,
                                          .start = "", /* templates with one have no pools */
                                          .user = begun->user,
                                          .user_chosen = begun->user_chosen};
    return !begun->is_warm || welcome_write(creation->sandboxes->config->agent_jwt_secret, &source,
                                            out, &creation->err);
}

/* What will be true when the container runs. */
static bool write_info(struct creation *creation, struct store_begun *begun)
{
    AUTO(str_free) struct str configure = STR_SECRET(INFO_MAX); /* has the agent's token in it */
    struct sandbox_info *info = &begun->info;
    if (!write_configure(creation, begun, &configure)) {
        return false;
    }
    str_free(&creation->info);
    creation->info = STR_SECRET(INFO_MAX);
    struct json_writer json = json_writer_on(&creation->info);
    info->container.running = true;
    info->container.status = VIEW("running");
    info->configure = str_view(&configure);
    json_begin_object(&json, NULL);
    json_struct(&json, &sandbox_info_schema, info);
    json_end_object(&json);
    return str_check(&creation->info, "the sandbox's description", &creation->err);
}

static void on_repeated(const PGresult *result, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    struct store_begun begun;
    if (err != NULL) {
        creation->err = *err;
    } else if (pg_rows(result) == 1) {
        store_read_begun(result, &begun);
        if (strcmp(begun.info.user_id, creation->user_id) == 0 &&
            sandbox_status_is_live(begun.info.status)) {
            creation->err = (struct err){0};
            memcpy(creation->sandbox_id, begun.info.sandbox_id, ID_SIZE);
            describe(creation, &begun);
            begun.info.repeated = true;
            if (write_info(creation, &begun)) {
                claim_repeat(creation, begun.is_warm);
                return;
            }
        }
    }
    creation_finish_failed(creation);
}

/* The request named no network: then its allow-list is the template's. */
static bool place_as_template_says(struct creation *creation, const struct store_begun *begun)
{
    if (creation->placement == NULL && view_equal(begun->info.network, VIEW("restricted"))) {
        creation->placement = placement_new_of(begun->allow, &creation->err);
        return creation->placement != NULL;
    }
    return true;
}

/* What the template asks of this machine, which may have changed since it was made. */
static bool can_start(struct creation *creation, const struct sandbox_info *info)
{
    const struct sandboxes *sandboxes = creation->sandboxes;
    const struct json_strings nothing = {0};
    if (!networks_offer(sandboxes->networks, info->network, &nothing, &creation->err)) {
        return false;
    }
    return creation->runtime[0] == '\0' ||
           wire_list_has(sandboxes->runtimes, view_of(creation->runtime)) ||
           err_set_reason(&creation->err, ERR_UNAVAILABLE, "runtime_unavailable",
                          "the engine does not have the runtime %s", creation->runtime);
}

static void find_image(struct creation *creation)
{
    struct images *images = creation->sandboxes->images;
    const struct wire_image *image = images_recall(images, creation->image_name);
    if (image != NULL) {
        wait_for_turn(creation, image);
    } else if (!image_ask(images, &creation->image_call, creation->image_name, on_image, creation,
                          &creation->err)) {
        creation->err.code = ERR_UNAVAILABLE;
        creation_fail(creation);
    }
}

static void on_volumes(const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err != NULL) {
        creation->err = *err;
        log_error("volume.not_mounted", LOG_TRACE(&creation->trace),
                  LOG_STR("sandbox_id", creation->sandbox_id), LOG_ERR(err));
        creation_fail(creation);
        return;
    }
    find_image(creation);
}

static void mount_volumes(struct creation *creation)
{
    if (creation->volumes.count == 0) {
        find_image(creation);
    } else if (!volume_hold_begin(creation->sandboxes->volumes, &creation->volumes, on_volumes,
                                  creation, &creation->err)) {
        creation_fail(creation);
    }
}

static void on_refused(struct creation *creation, const struct err *err)
{
    if (strcmp(err->reason, "pool_stale") == 0) {
        creation_again(creation, "cold");
        return;
    }
    creation->err = *err;
    if (strcmp(err->reason, "sandbox_exists") == 0) {
        store_get_created(creation->sandboxes->store, &creation->row, creation->key, on_repeated,
                          creation);
    } else if (creation->dead_id[0] != '\0') {
        /* It was not taken back: it is the user's yet, who will not hear of it. */
        memcpy(creation->sandbox_id, creation->dead_id, ID_SIZE);
        creation_fail(creation);
    } else {
        creation_finish_failed(creation);
    }
}

/* What was found dead is no row of the user's any more. */
static void clear_dead_away(struct creation *creation)
{
    if (creation->dead_id[0] != '\0') {
        sandbox_clear_away(creation->sandboxes, creation->dead_id, &creation->trace);
        creation->dead_id[0] = '\0';
    }
}

static void on_placed(const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err != NULL) {
        creation->err = *err;
        creation_fail(creation);
        return;
    }
    creation->spec.address = creation->placement->change.row.address;
    mount_volumes(creation);
}

static void start_own(struct creation *creation)
{
    if (creation->placement == NULL) {
        mount_volumes(creation);
    } else if (!placement_begin(creation->placement, networks_parts(creation->sandboxes->networks),
                                creation->sandbox_id, creation->user_id, on_placed, creation,
                                &creation->err)) {
        creation_fail(creation);
    }
}

static void on_begun(const PGresult *result, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err != NULL) {
        on_refused(creation, err);
        return;
    }
    clear_dead_away(creation);
    if (pg_rows(result) == 0) {
        err_set_reason(&creation->err, ERR_UNAVAILABLE, "overloaded", "too many starts wait");
        creation_finish_failed(creation);
        return;
    }
    struct store_begun begun;
    store_read_begun(result, &begun);
    CRASH_POINT("create.after_row");
    reaper_hurry(creation->sandboxes->reaper);
    events_hurry(creation->sandboxes->events);
    memcpy(creation->sandbox_id, begun.info.sandbox_id, ID_SIZE);
    if (creation_has_ended(creation) ||
        !secrets_check(creation->sandboxes->secrets, begun.secrets, &creation->err) ||
        !volume_hold_read(&creation->volumes, volumes_disks(creation->sandboxes->volumes),
                          begun.volumes, &creation->err)) {
        creation_fail(creation);
        return;
    }
    bool is_placed = place_as_template_says(creation, &begun);
    describe(creation, &begun);
    if (!is_placed || !can_start(creation, &begun.info) || !write_info(creation, &begun)) {
        creation_fail(creation);
    } else if (begun.is_warm) {
        claim_settle(creation, begun.limits_differ);
    } else {
        start_own(creation);
    }
}

static void on_added(const PGresult *result, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    struct store_begun begun;
    if (err != NULL) {
        creation->err = *err;
        creation_finish_failed(creation);
        return;
    }
    store_read_warm(result, &begun);
    CRASH_POINT("refill.after_row");
    describe(creation, &begun);
    find_image(creation);
}

static const char *default_network(const struct sandboxes *sandboxes)
{
    bool is_open = network_is_open(sandboxes->network) &&
                   strcmp(sandboxes->config->default_network, "open") == 0;
    return is_open ? "open" : "none";
}

static struct store_bounds bounds_of(const struct sandboxes *sandboxes)
{
    return (struct store_bounds){.node_memory_mb = sandboxes->abilities.memory_mb,
                                 .total_memory_mb = sandboxes->config->total_memory_mb,
                                 .cpus = sandboxes->abilities.cpus,
                                 .network = default_network(sandboxes),
                                 .limits_disk = sandboxes->abilities.limits_disk};
}

static void begin_row(struct creation *creation, const struct sandbox_create *request)
{
    const struct store_bounds bounds = bounds_of(creation->sandboxes);
    const struct store_claim claim = {creation->mode, creation->dead_id};
    store_begin(creation->sandboxes->store, &creation->row, request, creation->asked_network,
                &bounds, &claim, on_begun, creation);
}

void creation_begin(struct creation *creation, const struct sandbox_create *request,
                    const char *network, const char *mode)
{
    struct json_writer json = json_writer_on(&creation->message);
    creation->asked_network = network;
    creation->mode = mode;
    creation->has_secret_files = request->secret_files.count > 0;
    memcpy(creation->dead_id, request->dead_id, ID_SIZE);
    json_begin_object(&json, NULL);
    json_struct(&json, &sandbox_create_schema, request);
    json_end_object(&json);
    begin_row(creation, request);
}

void creation_again(struct creation *creation, const char *mode)
{
    struct sandbox_create request;
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    if (str_check(&creation->message, "the request", &creation->err)) {
        doc = json_read(str_view(&creation->message), &sandbox_create_schema, &request, NULL,
                        &creation->err);
    }
    if (doc == NULL) {
        creation->err.code = ERR_INTERNAL; /* it was read before */
        creation_finish_failed(creation);  /* the caller destroys what there may be */
        return;
    }
    creation->mode = mode;
    begin_row(creation, &request);
}

void creation_begin_warm(struct creation *creation, const struct store_warm *warm)
{
    const struct store_bounds bounds = bounds_of(creation->sandboxes);
    creation->is_for_pool = true;
    store_add_warm(creation->sandboxes->store, &creation->row, creation->sandbox_id, warm, &bounds,
                   on_added, creation);
}
