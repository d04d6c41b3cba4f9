/* POST /sandbox/create: a sandbox, and then its answer. */
#include "gateway/native/create.h"

#include "common/contracts/life.h"
#include "common/contracts/network.h"
#include "common/contracts/quota.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/config.h"
#include "gateway/native/making.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 4096 };

/* The request's work. */
struct creating {
    struct making *making; /* NULL when it is over */
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

static void end_creating(void *work)
{
    struct creating *creating = work;
    if (creating->making != NULL) {
        making_cancel(TAKE(creating->making));
    }
}

void create_write_answer(const struct gateway *gateway, const struct sandbox_meta *sandbox,
                         struct json_writer *writer)
{
    char agent_url[CONFIG_PATH_SIZE + ID_SIZE + sizeof "/agent/"];
    (void)snprintf(agent_url, sizeof agent_url, "%s/agent/%s", gateway->config->ws_url,
                   sandbox->id);
    json_begin_object(writer, NULL);
    json_string(writer, "sandboxId", view_of(sandbox->id));
    json_string(writer, "agentUrl", view_of(agent_url));
    json_string(writer, "tier", view_of(sandbox->tier));
    resource_limits_write(writer, "resourceLimits", &sandbox->limits);
    json_string(writer, "expiresAt", view_of(sandbox->expires_at));
    json_end_object(writer);
}

static void on_made(const struct sandbox_meta *sandbox, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct creating *creating = request->work;
    creating->making = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return;
    }
    memcpy(request->id, sandbox->id, ID_SIZE);
    sandbox_cache_prefetch(request->gateway->sandboxes, sandbox->id);
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    create_write_answer(request->gateway, sandbox, &writer);
    request_respond_json(request, 200, &out);
}

static bool fill_message(const struct request *request, const struct create_body *wanted,
                         struct create_of of, struct sandbox_create *out, struct err *err)
{
    *out = (struct sandbox_create){
        .template_name = of.template_id != NULL          ? view_of(of.template_id)
                         : wanted->snapshot.len > 0      ? wanted->snapshot
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
    if (of.template_id != NULL && (wanted->snapshot.len > 0 || wanted->template_name.len > 0)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "a copy has no template or snapshot of its own");
    }
    if (wanted->has_cpu && !cpu_read(wanted->cpu, &out->cpu_milli)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "cpu must be from 0.01 to 1024");
    }
    memcpy(out->sandbox_id, of.sandbox_id, ID_SIZE);
    memcpy(out->user_id, request->caller.user_id, ID_SIZE);
    memcpy(out->api_key_id, request->caller.api_key_id, ID_SIZE);
    return env_size_check(&wanted->env, err) && sandbox_extras_check(out, err);
}

struct json_doc *create_read(const struct request *request, struct create_of of,
                             struct sandbox_create *out, struct json_violations *violations,
                             struct err *err)
{
    struct create_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(create_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                                     &wanted, violations, err);
    return doc != NULL && fill_message(request, &wanted, of, out, err) ? TAKE(doc) : NULL;
}

void sandbox_create_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct sandbox_create message;
    const struct create_of of = {.sandbox_id = request->id};
    AUTO(json_doc_release)
    struct json_doc *doc = repeat_choose_id(request, request->id, &err)
                               ? create_read(request, of, &message, &violations, &err)
                               : NULL;
    struct creating *creating = calloc(1, sizeof *creating);
    if (creating == NULL) {
        err_set(&err, ERR_INTERNAL, "create: out of memory");
        request_fail(request, &err);
        return;
    }
    request_set_work(request, creating, end_creating);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    request->outlives_client = true;
    creating->making = making_begin(request, &message, on_made, request, &err);
    if (creating->making == NULL) {
        request_fail(request, &err);
    }
}
