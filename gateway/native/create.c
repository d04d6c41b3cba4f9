/* POST /sandbox/create: the sandbox-service starts a container, its agent connects here, and then
 * the client gets its answer. */
#include "common/base/clock.h"
#include "common/contracts/life.h"
#include "common/contracts/network.h"
#include "common/contracts/quota.h"
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/config.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/sandbox_discard.h"

#include <stdio.h>

enum {
    CREATE_TIMEOUT_MS = 60 * 1000,
    MESSAGE_MAX = 2 * JSON_BODY_MAX,
    ANSWER_MAX = 4096,
    READY_MESSAGE_MAX = 64,
};

struct secrets_wanted {
    struct json_pairs env;
    struct json_pairs files;
};
static const struct json_field secrets_fields[] = {
    JSON_PAIRS(struct secrets_wanted, env, "env", .max_len = SECRETS_PER_SANDBOX_MAX,
               .item_max = SECRET_NAME_MAX, .check = sandbox_env_name_check, .nullable = true),
    JSON_PAIRS(struct secrets_wanted, files, "files", .max_len = SECRETS_PER_SANDBOX_MAX,
               .item_max = SECRET_NAME_MAX, .check = secret_file_name_check, .nullable = true),
};

struct create_body {
    struct view template_name;
    struct view snapshot;
    int64_t timeout_ms;
    struct json_pairs env;
    struct view metadata;
    struct view network;
    struct json_strings allow;
    int64_t memory_mb; /* this and the rest: absent: 0, the tier's */
    double cpu;
    bool has_cpu;
    int64_t pids;
    int64_t disk_mb;
    int64_t idle_timeout_ms;
    struct view on_timeout;
    bool auto_resume;
    bool has_auto_resume;
    struct secrets_wanted secrets;
    struct json_pairs volumes;
};

static const struct json_field create_fields[] = {
    JSON_STRING(struct create_body, template_name, "template", .not_empty = true,
                .max_len = TEMPLATE_NAME_MAX, .nullable = true),
    JSON_STRING(struct create_body, snapshot, "snapshot", .not_empty = true,
                .max_len = TEMPLATE_NAME_MAX, .nullable = true),
    JSON_INT(struct create_body, timeout_ms, "timeoutMs", .min = 1000,
             .max = SANDBOX_TIMEOUT_MS_MAX, .nullable = true),
    JSON_PAIRS(struct create_body, env, "env", .max_len = ENV_PAIRS_MAX, .item_max = ENV_BYTES_MAX,
               .check = sandbox_env_name_check, .nullable = true),
    JSON_OBJECT(struct create_body, metadata, "metadata", .max_len = METADATA_BYTES_MAX,
                .nullable = true),
    JSON_STRING(struct create_body, network, "network", .one_of = network_modes, .nullable = true),
    JSON_STRINGS(struct create_body, allow, "allow", .max_len = NETWORK_ALLOW_MAX,
                 .item_max = NETWORK_ALLOW_ITEM_MAX, .nullable = true),
    JSON_INT(struct create_body, memory_mb, "memoryMB", .min = LIMIT_MEMORY_MB_MIN,
             .max = LIMIT_MEMORY_MB_MAX, .nullable = true),
    JSON_NUMBER(struct create_body, cpu, "cpu", .nullable = true,
                JSON_PRESENT(struct create_body, has_cpu)),
    JSON_INT(struct create_body, pids, "pids", .min = LIMIT_PIDS_MIN, .max = LIMIT_PIDS_MAX,
             .nullable = true),
    JSON_INT(struct create_body, disk_mb, "diskMB", .min = LIMIT_DISK_MB_MIN,
             .max = LIMIT_DISK_MB_MAX, .nullable = true),
    JSON_INT(struct create_body, idle_timeout_ms, "idleTimeoutMs", .min = IDLE_TIMEOUT_MS_MIN,
             .max = SANDBOX_TIMEOUT_MS_MAX, .nullable = true),
    JSON_STRING(struct create_body, on_timeout, "onTimeout", .one_of = timeout_policies,
                .nullable = true),
    JSON_BOOL(struct create_body, auto_resume, "autoResume", .nullable = true,
              JSON_PRESENT(struct create_body, has_auto_resume)),
    JSON_STRUCT(struct create_body, secrets, "secrets", secrets_fields, .nullable = true),
    JSON_PAIRS(struct create_body, volumes, "volumes", .max_len = VOLUMES_PER_SANDBOX_MAX,
               .item_max = VOLUME_USE_MAX, .check = volume_path_check, .nullable = true),
};

/* Whoever left and has an Idempotency-Key comes back for the answer. */
static bool nobody_will_know(const struct request *request)
{
    return request->exchange == NULL && request->repeat == NULL;
}

/* Nobody will ever learn the sandbox's id. */
static void fail_and_undo(struct request *request, const struct err *err)
{
    sandbox_discard(request, request->id);
    request_fail(request, err);
}

static void write_answer(const struct request *request, struct str *out)
{
    const struct sandbox_meta *sandbox = &request->sandbox;
    char agent_url[CONFIG_PATH_SIZE + ID_SIZE + sizeof "/agent/"];
    (void)snprintf(agent_url, sizeof agent_url, "%s/agent/%s", request->gateway->config->ws_url,
                   sandbox->id);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(sandbox->id));
    json_string(&writer, "agentUrl", view_of(agent_url));
    json_string(&writer, "tier", view_of(sandbox->tier));
    resource_limits_write(&writer, "resourceLimits", &sandbox->limits);
    json_string(&writer, "expiresAt", view_of(sandbox->expires_at));
    json_end_object(&writer);
}

static void finish(struct request *request)
{
    if (nobody_will_know(request)) {
        sandbox_discard(request, request->id);
    }
    sandbox_cache_prefetch(request->gateway->sandboxes, request->id);
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_answer(request, &out);
    request_respond_json(request, 200, &out);
}

static void on_started(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    request->hub_call = NULL;
    if (err != NULL) {
        fail_and_undo(request, err);
    } else if (view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        fail_and_undo(request, &failure);
    } else {
        finish(request);
    }
}

/* What the template starts serves before the client hears of the sandbox. */
static void wait_for_start(struct request *request)
{
    struct err err = {0};
    struct hub_message message;
    int64_t left_ms = request->until_ms - clock_monotonic_ms();
    AUTO(str_free) struct str text = STR_INIT(READY_MESSAGE_MAX);
    str_append_string(&text, "{\"type\":\"ready\"}");
    if (agent_message(&text, &message, &err)) {
        request->hub_call = hub_call_begin(request->gateway->hub, request->id, &message,
                                           left_ms > 0 ? left_ms : 1, on_started, request, &err);
    }
    if (request->hub_call == NULL) {
        fail_and_undo(request, &err);
    }
}

static void on_agent_ready(const struct err *err, void *arg)
{
    struct request *request = arg;
    request->hub_wait = NULL;
    if (err != NULL) {
        fail_and_undo(request, err);
    } else if (request->sandbox.has_start) {
        wait_for_start(request);
    } else {
        finish(request);
    }
}

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    request->ipc_call = NULL;
    if (err != NULL) {
        /* Known refusals made nothing; of anything else it is not known. */
        if (err->code >= ERR_UNAVAILABLE) {
            fail_and_undo(request, err);
        } else {
            request_fail(request, err);
        }
        return;
    }
    if (!sandbox_meta_read(*body, &request->sandbox, &failure)) {
        fail_and_undo(request, &failure);
        return;
    }
    if (nobody_will_know(request)) {
        fail_and_undo(request, &failure); /* Only ends the request: nobody hears it. */
        return;
    }
    int64_t left_ms = request->until_ms - clock_monotonic_ms();
    request->hub_wait =
        hub_wait_begin(request->gateway->hub, request->id, left_ms > 0 ? left_ms : 0,
                       on_agent_ready, request, &failure);
    if (request->hub_wait == NULL) {
        fail_and_undo(request, &failure);
    }
}

static bool write_message(const struct request *request, const struct create_body *wanted,
                          struct str *out, struct err *err)
{
    struct sandbox_create message = {
        .template_name = wanted->snapshot.len > 0        ? wanted->snapshot
                         : wanted->template_name.len > 0 ? wanted->template_name
                                                         : VIEW("base"),
        .timeout_ms = wanted->timeout_ms,
        .env = wanted->env,
        .metadata = wanted->metadata,
        .network = wanted->network,
        .allow = wanted->allow,
        .memory_mb = wanted->memory_mb,
        .pids = wanted->pids,
        .disk_mb = wanted->disk_mb,
        .idle_timeout_ms = wanted->idle_timeout_ms,
        .on_timeout = wanted->on_timeout,
        .auto_resume = wanted->auto_resume,
        .has_auto_resume = wanted->has_auto_resume,
        .secret_env = wanted->secrets.env,
        .secret_files = wanted->secrets.files,
        .volumes = wanted->volumes,
    };
    if (wanted->snapshot.len > 0 && wanted->template_name.len > 0) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "either template or snapshot may be named");
    }
    if (wanted->has_cpu && !cpu_read(wanted->cpu, &message.cpu_milli)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "cpu must be from 0.01 to 1024");
    }
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.api_key_id, request->caller.api_key_id, ID_SIZE);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_create_schema, &message);
    json_end_object(&writer);
    return env_size_check(&wanted->env, err) && sandbox_extras_check(&message, err) &&
           str_check(out, "sandbox.create", err);
}

static bool choose_id(struct request *request, struct err *err)
{
    const char *id = repeat_resource_id(request);
    if (id == NULL) {
        return id_new(request->id, err);
    }
    memcpy(request->id, id, ID_SIZE);
    return true;
}

void sandbox_create_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct create_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                                     &wanted, &violations, &err);
    AUTO(str_free) struct str message = STR_INIT(MESSAGE_MAX);
    if (doc == NULL || !choose_id(request, &err) ||
        !write_message(request, &wanted, &message, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    const struct ipc_call_options options = {.method = SANDBOX_CREATE,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = CREATE_TIMEOUT_MS};
    request->outlives_client = true;
    request->until_ms = clock_monotonic_ms() + CREATE_TIMEOUT_MS;
    request->ipc_call = ipc_call_begin(request->gateway->sandbox_service, &options,
                                       str_view(&message), on_created, request, &err);
    if (request->ipc_call == NULL) {
        request_fail(request, &err);
    }
}
