#include "sandbox-service/sandbox/store.h"

#include "common/base/str.h"
#include "common/contracts/quota.h"
#include "common/json/write.h"
#include "sandbox-service/docker/wire.h"
#include "sandbox-service/sandbox/store_statements.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 4,
    STORE_TIMEOUT_MS = 5000,
    STORE_JSON_MAX = 256 * 1024, /* an environment with every byte escaped */
    INT_SIZE = 24,
    NUMBERS_MAX = 256, /* a few of them as JSON */
};

struct store {
    struct pg_pool *pool;  /* owned */
    struct list calls;     /* in flight */
    struct list stillborn; /* could not begin: done is due */
    struct timer stillborn_due;
    const char *instance;            /* borrowed */
    const char *node;                /* borrowed */
    const char *limits;              /* borrowed */
    struct pg_statement *statements; /* owned: ours, and those of other parts */
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    struct store_call *call = arg;
    list_remove(&call->node);
    call->query = NULL;
    call->done(result, err, call->arg);
}

/* One each turn: its done may begin others. */
static void on_stillborn_due(void *arg)
{
    struct store *store = arg;
    if (list_is_empty(&store->stillborn)) {
        return;
    }
    struct store_call *call = LIST_ENTRY(store->stillborn.next, struct store_call, node);
    if (call->node.next != &store->stillborn) {
        timer_arm(&store->stillborn_due, 0);
    }
    const struct err err = call->err;
    on_result(NULL, &err, call);
}

void store_ask(struct store *store, struct store_call *call, const char *statement,
               const struct pg_parameters *parameters, pg_result_fn *done, void *arg)
{
    *call = (struct store_call){.store = store, .done = done, .arg = arg};
    call->query = pg_query_begin(store->pool, statement, parameters, STORE_TIMEOUT_MS, on_result,
                                 call, &call->err);
    if (call->query != NULL) {
        list_append(&store->calls, &call->node);
        return;
    }
    list_append(&store->stillborn, &call->node);
    timer_arm(&store->stillborn_due, 0);
}

struct store *store_open(struct loop *loop, const struct store_options *options, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "store: out of memory");
        return NULL;
    }
    list_init(&store->calls);
    list_init(&store->stillborn);
    store->instance = options->instance;
    store->node = options->node;
    store->limits = options->limits;
    size_t own = store_statement_count;
    store->statements = calloc(own + options->more_count, sizeof *store->statements);
    if (store->statements == NULL) {
        err_set(err, ERR_INTERNAL, "store: out of memory");
        free(store);
        return NULL;
    }
    memcpy(store->statements, store_statements, own * sizeof *store->statements);
    for (size_t i = 0; i < options->more_count; i++) {
        store->statements[own + i] = options->more[i];
    }
    const struct pg_options pg = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = store->statements,
        .statement_count = own + options->more_count,
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->pool = pg_pool_open(loop, &pg, err);
    if (store->pool == NULL ||
        !timer_open(&store->stillborn_due, loop, on_stillborn_due, store, err)) {
        store_close(store);
        return NULL;
    }
    return store;
}

bool store_is_up(const struct store *store)
{
    return pg_pool_is_up(store->pool);
}

bool store_fail_all(struct store *store)
{
    bool called = !list_is_empty(&store->calls) || !list_is_empty(&store->stillborn);
    (void)pg_pool_fail_all(store->pool);
    while (!list_is_empty(&store->stillborn)) {
        struct store_call *call = LIST_ENTRY(store->stillborn.next, struct store_call, node);
        const struct err err = call->err;
        on_result(NULL, &err, call);
    }
    return called;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    pg_pool_close(store->pool);
    timer_close(&store->stillborn_due);
    free(store->statements);
    free(store);
}

const char *store_instance(const struct store *store)
{
    return store->instance;
}

const char *store_node(const struct store *store)
{
    return store->node;
}

static void write_int(int64_t value, char out[INT_SIZE])
{
    (void)snprintf(out, INT_SIZE, "%" PRId64, value);
}

static void write_pairs(struct json_writer *json, const char *name, const struct json_pairs *pairs)
{
    json_begin_object(json, name);
    for (size_t i = 0; i < pairs->count; i++) {
        json_pair(json, pairs->items[i].name, pairs->items[i].value);
    }
    json_end_object(json);
}

static void write_env(const struct json_pairs *env, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    write_pairs(&json, NULL, env);
}

static void write_secrets(const struct sandbox_create *create, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    write_pairs(&json, "env", &create->secret_env);
    write_pairs(&json, "files", &create->secret_files);
    json_end_object(&json);
}

static void write_wanted(const struct sandbox_create *create, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    json_int(&json, "memoryMB", create->memory_mb);
    json_int(&json, "cpuMilli", create->cpu_milli);
    json_int(&json, "pids", create->pids);
    json_int(&json, "diskMB", create->disk_mb);
    json_int(&json, "idleTimeoutMs", create->idle_timeout_ms);
    json_string(&json, "onTimeout", create->on_timeout);
    if (create->has_auto_resume) {
        json_bool(&json, "autoResume", create->auto_resume);
    }
    json_end_object(&json);
}

static void write_bounds(const struct store_bounds *bounds, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    json_int(&json, "nodeMemoryMB", bounds->node_memory_mb);
    json_int(&json, "totalMemoryMB", bounds->total_memory_mb);
    json_int(&json, "cpus", bounds->cpus);
    json_string(&json, "network", view_of(bounds->network));
    json_bool(&json, "limitsDisk", bounds->limits_disk);
    json_end_object(&json);
}

/* Those that can't be read were refused already; no volume is called "". */
static void write_volumes(const struct json_pairs *volumes, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < volumes->count; i++) {
        struct volume_use use = {0};
        bool is_one = volume_use_read(volumes->items[i].value, &use);
        json_begin_object(&json, NULL);
        json_string(&json, "name", is_one ? use.name : VIEW(""));
        json_string(&json, "path", volumes->items[i].name);
        json_bool(&json, "readOnly", use.read_only);
        json_end_object(&json);
    }
    json_end_array(&json);
}

void store_begin(struct store *store, struct store_call *call, const struct sandbox_create *create,
                 const char *network, const struct store_bounds *bounds,
                 const struct store_claim *claim, pg_result_fn *done, void *arg)
{
    char timeout[INT_SIZE];
    char template_name[TEMPLATE_NAME_MAX + 1] = "";
    struct str env = STR_INIT(STORE_JSON_MAX);
    struct str metadata = STR_INIT(STORE_JSON_MAX);
    struct str wanted = STR_INIT(NUMBERS_MAX);
    struct str limits = STR_INIT(NUMBERS_MAX);
    write_wanted(create, &wanted);
    write_bounds(bounds, &limits);
    struct str volumes = STR_INIT(STORE_JSON_MAX);
    struct str secrets = STR_INIT(STORE_JSON_MAX);
    write_int(create->timeout_ms, timeout);
    write_env(&create->env, &env);
    str_append_view(&metadata, create->metadata.len == 0 ? VIEW("{}") : create->metadata);
    write_volumes(&create->volumes, &volumes);
    write_secrets(create, &secrets);
    bool fits = view_copy(create->template_name, template_name, sizeof template_name) &&
                !env.failed && !metadata.failed && !wanted.failed && !limits.failed &&
                !volumes.failed && !secrets.failed;
    /* What does not fit was refused by the contract already; no template is called "". */
    const struct pg_parameters parameters = {
        {create->sandbox_id, create->user_id, create->api_key_id, fits ? template_name : "",
         timeout, network, store->instance, store->node, fits ? env.data : "{}",
         fits ? metadata.data : "{}", store->limits, fits ? wanted.data : "{}",
         fits ? limits.data : "{}", fits ? volumes.data : "[]", fits ? secrets.data : "{}",
         claim->mode, claim->dead},
        17};
    store_ask(store, call, "sandbox_begin", &parameters, done, arg);
    str_free(&env);
    str_free(&metadata);
    str_free(&wanted);
    str_free(&limits);
    str_free(&volumes);
    str_free(&secrets);
}

void store_get_created(struct store *store, struct store_call *call, const char *id,
                       pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id}, 1};
    store_ask(store, call, "sandbox_get_created", &parameters, done, arg);
}

void store_add_warm(struct store *store, struct store_call *call, const char *id,
                    const struct store_warm *warm, const struct store_bounds *bounds,
                    pg_result_fn *done, void *arg)
{
    struct str limits = STR_INIT(NUMBERS_MAX);
    write_bounds(bounds, &limits);
    const struct pg_parameters parameters = {{id, warm->template_name, warm->network, warm->tier,
                                              store->instance, store->node, warm->bundle,
                                              store->limits, limits.failed ? "{}" : limits.data},
                                             9};
    store_ask(store, call, "sandbox_add_warm", &parameters, done, arg);
    str_free(&limits);
}

void store_set_image(struct store *store, struct store_call *call, const char *id,
                     const struct wire_image *image, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id, image->work_dir, image->user, image->id}, 4};
    store_ask(store, call, "sandbox_set_image", &parameters, done, arg);
}

void store_fail(struct store *store, struct store_call *call, const char *id, const char *reason,
                pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id, reason}, 2};
    store_ask(store, call, "sandbox_fail", &parameters, done, arg);
}

void store_get(struct store *store, struct store_call *call, const char *id, pg_result_fn *done,
               void *arg)
{
    const struct pg_parameters parameters = {{id}, 1};
    store_ask(store, call, "sandbox_get", &parameters, done, arg);
}

void store_list(struct store *store, struct store_call *call,
                const struct store_selection *selection, pg_result_fn *done, void *arg)
{
    char rows[INT_SIZE];
    char created[INT_SIZE];
    const struct position *after = selection->after;
    write_int(selection->limit, rows);
    if (after == NULL) {
        const struct pg_parameters parameters = {{selection->user_id, selection->status, rows}, 3};
        store_ask(store, call, "sandbox_list_first", &parameters, done, arg);
        return;
    }
    write_int(after->created_us, created);
    const struct pg_parameters parameters = {
        {selection->user_id, selection->status, rows, created, after->id}, 5};
    store_ask(store, call, "sandbox_list_after", &parameters, done, arg);
}

void store_destroy(struct store *store, struct store_call *call, const char *id,
                   const char *user_id, const char *api_key_id, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id, user_id, api_key_id}, 3};
    store_ask(store, call, "sandbox_destroy", &parameters, done, arg);
}

void store_list_any(struct store *store, struct store_call *call,
                    const struct store_any_selection *selection, pg_result_fn *done, void *arg)
{
    char rows[INT_SIZE];
    write_int(selection->limit, rows);
    const struct pg_parameters parameters = {{selection->user_id, selection->status,
                                              selection->after.created_us, selection->after.id,
                                              rows},
                                             5};
    store_ask(store, call, "sandbox_list_any", &parameters, done, arg);
}

void store_destroy_any(struct store *store, struct store_call *call, const char *id,
                       const char *admin_id, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id, admin_id}, 2};
    store_ask(store, call, "sandbox_destroy_any", &parameters, done, arg);
}

void store_end(struct store *store, struct store_call *call, const char *id,
               const struct store_end *end, pg_result_fn *done, void *arg)
{
    char exit_code[INT_SIZE];
    write_int(end->exit_code, exit_code);
    const struct pg_parameters parameters = {{id, end->reason, end->container_status,
                                              end->has_exit_code ? exit_code : NULL, end->error,
                                              end->is_gone ? "true" : "false"},
                                             6};
    store_ask(store, call, "sandbox_end", &parameters, done, arg);
}

void store_finish(struct store *store, struct store_call *call, const char *id, pg_result_fn *done,
                  void *arg)
{
    const struct pg_parameters parameters = {{id}, 1};
    store_ask(store, call, "sandbox_finish", &parameters, done, arg);
}

void store_connect(struct store *store, struct store_call *call, const char *id, int64_t generation,
                   pg_result_fn *done, void *arg)
{
    char number[INT_SIZE];
    write_int(generation, number);
    const struct pg_parameters parameters = {{id, number}, 2};
    store_ask(store, call, "sandbox_connect", &parameters, done, arg);
}

void store_usage(struct store *store, struct store_call *call, const char *user_id,
                 const char *api_key_id, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{user_id, api_key_id}, 2};
    store_ask(store, call, "quota_usage", &parameters, done, arg);
}

void store_disk_limits(struct store *store, struct store_call *call, int64_t paused_ms,
                       pg_result_fn *done, void *arg)
{
    char ago[INT_SIZE];
    write_int(paused_ms, ago);
    const struct pg_parameters parameters = {{store->instance, store->node, ago}, 3};
    store_ask(store, call, "sandbox_disk_limits", &parameters, done, arg);
}

void store_live(struct store *store, struct store_call *call, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{store->instance, store->node}, 2};
    store_ask(store, call, "sandbox_live", &parameters, done, arg);
}

static struct view text(const PGresult *result, int row, int column)
{
    return view_of(pg_text(result, row, column));
}

static void copy_id(const PGresult *result, int row, int column, char out[ID_SIZE])
{
    if (!id_parse(text(result, row, column), out)) {
        out[0] = '\0'; /* NULL */
    }
}

void store_read_info(const PGresult *result, int row, struct sandbox_info *out)
{
    *out = (struct sandbox_info){
        .template_name = text(result, row, INFO_TEMPLATE),
        .tier = text(result, row, INFO_TIER),
        .network = text(result, row, INFO_NETWORK),
        .status = text(result, row, INFO_STATUS),
        .end_reason = text(result, row, INFO_END_REASON),
        .created_at = text(result, row, INFO_CREATED_AT),
        .expires_at = text(result, row, INFO_EXPIRES_AT),
        .warned_of = text(result, row, INFO_WARNED_OF),
        .has_start = pg_bool(result, row, INFO_HAS_START),
        .ended_at = text(result, row, INFO_ENDED_AT),
        .metadata = text(result, row, INFO_METADATA),
        .memory_mb = pg_int(result, row, INFO_MEMORY_MB),
        .cpu_milli = pg_int(result, row, INFO_CPU_MILLI),
        .pids = pg_int(result, row, INFO_PIDS),
        .disk_mb = pg_int(result, row, INFO_DISK_MB),
        .lifetime_hours = pg_int(result, row, INFO_LIFETIME_HOURS),
        .container = {.running = pg_bool(result, row, INFO_CONTAINER_RUNNING),
                      .status = text(result, row, INFO_CONTAINER_STATUS),
                      .exit_code = pg_int(result, row, INFO_EXIT_CODE),
                      .error = text(result, row, INFO_CONTAINER_ERROR)},
    };
    copy_id(result, row, INFO_ID, out->sandbox_id);
    copy_id(result, row, INFO_USER_ID, out->user_id);
    copy_id(result, row, INFO_API_KEY_ID, out->api_key_id);
}

void store_read_begun(const PGresult *result, struct store_begun *out)
{
    store_read_info(result, 0, &out->info);
    out->image = pg_text(result, 0, BEGUN_IMAGE);
    out->profile = pg_text(result, 0, BEGUN_PROFILE);
    out->read_only_root = pg_bool(result, 0, BEGUN_READ_ONLY_ROOT);
    out->runtime = pg_text(result, 0, BEGUN_RUNTIME);
    out->cpus = pg_text(result, 0, BEGUN_CPUS);
    out->volumes = view_of(pg_text(result, 0, BEGUN_VOLUMES));
    out->secrets = view_of(pg_text(result, 0, BEGUN_SECRETS));
    out->is_warm = pg_bool(result, 0, BEGUN_IS_WARM);
    out->limits_differ = pg_bool(result, 0, BEGUN_LIMITS_DIFFER);
    out->agent_generation = pg_int(result, 0, BEGUN_GENERATION);
    out->env = pg_text(result, 0, BEGUN_ENV);
    out->work_dir = pg_text(result, 0, BEGUN_WORK_DIR);
    out->work_dir_chosen = pg_bool(result, 0, BEGUN_WORK_DIR_CHOSEN);
    out->user = pg_text(result, 0, BEGUN_USER);
    out->user_chosen = pg_bool(result, 0, BEGUN_USER_CHOSEN);
    out->allow = view_of(pg_text(result, 0, BEGUN_ALLOW));
}

void store_read_warm(const PGresult *result, struct store_begun *out)
{
    *out = (struct store_begun){
        .info = {.network = text(result, 0, WARM_NETWORK),
                 .memory_mb = pg_int(result, 0, WARM_MEMORY_MB),
                 .cpu_milli = pg_int(result, 0, WARM_CPU_MILLI),
                 .pids = pg_int(result, 0, WARM_PIDS),
                 .disk_mb = pg_int(result, 0, WARM_DISK_MB)},
        .image = pg_text(result, 0, WARM_IMAGE),
        .profile = pg_text(result, 0, WARM_PROFILE),
        .read_only_root = pg_bool(result, 0, WARM_READ_ONLY_ROOT),
        .runtime = pg_text(result, 0, WARM_RUNTIME),
        .cpus = pg_text(result, 0, WARM_CPUS),
    };
    copy_id(result, 0, WARM_ID, out->info.sandbox_id);
}

void store_read_usage(const PGresult *result, struct quota_usage *out)
{
    *out = (struct quota_usage){
        .tier = text(result, 0, USAGE_TIER),
        .sandboxes = pg_int(result, 0, USAGE_SANDBOXES),
        .memory_mb = pg_int(result, 0, USAGE_MEMORY_MB),
        .cpu_milli = pg_int(result, 0, USAGE_CPU_MILLI),
        .disk_mb = pg_int(result, 0, USAGE_DISK_MB),
        .key_sandboxes = pg_int(result, 0, USAGE_KEY_SANDBOXES),
        .key_most = pg_int(result, 0, USAGE_KEY_MOST),
    };
}

int64_t store_read_disk_mb(const PGresult *result, int row)
{
    return pg_int(result, row, DISK_LIMIT_MB);
}

void store_read_position(const PGresult *result, int row, struct position *out)
{
    position_read(result, row, INFO_ID, LIST_CREATED_US, out);
}

bool store_read_moved(const PGresult *result)
{
    return pg_bool(result, 0, DESTROY_MOVED);
}

const char *store_read_destroyed(const PGresult *result)
{
    return pg_text(result, 0, DESTROY_ID);
}

const char *store_read_id(const PGresult *result, int row)
{
    return pg_text(result, row, LIVE_ID);
}

const char *store_read_status(const PGresult *result, int row)
{
    return pg_text(result, row, LIVE_STATUS);
}

const char *store_read_network(const PGresult *result, int row)
{
    return pg_text(result, row, LIVE_NETWORK);
}

bool store_read_on_disk(const PGresult *result, int row)
{
    return pg_bool(result, row, LIVE_ON_DISK);
}

void store_read_connected(const PGresult *result, struct store_connected *out)
{
    *out = (struct store_connected){.known = pg_rows(result) == 1};
    if (!out->known) {
        return;
    }
    out->alive = sandbox_status_is_live(text(result, 0, CONNECT_STATUS));
    out->first = pg_bool(result, 0, CONNECT_COMES);
    out->is_warm = view_equal(text(result, 0, CONNECT_STATUS), VIEW("warm"));
    out->accepted = pg_bool(result, 0, CONNECT_ACCEPTED);
    out->env = pg_text(result, 0, CONNECT_ENV);
    out->profile = pg_text(result, 0, CONNECT_PROFILE);
    out->work_dir = pg_text(result, 0, CONNECT_WORK_DIR);
    out->work_dir_chosen = pg_bool(result, 0, CONNECT_WORK_DIR_CHOSEN);
    out->start = pg_text(result, 0, CONNECT_START);
    out->user = pg_text(result, 0, CONNECT_USER);
    out->user_chosen = pg_bool(result, 0, CONNECT_USER_CHOSEN);
    out->secrets = view_of(pg_text(result, 0, CONNECT_SECRETS));
}
