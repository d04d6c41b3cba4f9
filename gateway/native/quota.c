/* GET /sandbox/quota/usage: what the caller has in use, and may have. */
#include "common/contracts/quota.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    ANSWER_MAX = 4096,
};

static void write_count(struct json_writer *writer, const char *name, int64_t used, int64_t most)
{
    json_begin_object(writer, name);
    json_int(writer, "used", used);
    if (most == 0) {
        json_null(writer, "limit");
    } else {
        json_int(writer, "limit", most);
    }
    json_end_object(writer);
}

/* A tier may have none at all. */
static void write_tier_count(struct json_writer *writer, const struct quota_usage *usage)
{
    json_begin_object(writer, "sandboxes");
    json_int(writer, "used", usage->sandboxes);
    json_int(writer, "limit", usage->most);
    json_end_object(writer);
}

static void write_used(struct json_writer *writer, const struct quota_usage *usage)
{
    json_begin_object(writer, "inUse");
    json_int(writer, "memoryMB", usage->memory_mb);
    cpu_write(writer, "cpu", usage->cpu_milli);
    json_int(writer, "diskMB", usage->disk_mb);
    json_end_object(writer);
}

static void write_answer(const struct request *request, const struct quota_usage *usage,
                         struct str *out)
{
    const struct resource_limits each = {.memory_mb = usage->each_memory_mb,
                                         .cpu_milli = usage->each_cpu_milli,
                                         .pids = usage->each_pids,
                                         .disk_mb = usage->each_disk_mb,
                                         .lifetime_hours = usage->each_lifetime_hours};
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "tier", usage->tier);
    write_tier_count(&writer, usage);
    if (request->caller.api_key_id[0] == '\0') {
        json_null(&writer, "key");
    } else {
        write_count(&writer, "key", usage->key_sandboxes, usage->key_most);
    }
    write_used(&writer, usage);
    resource_limits_write(&writer, "perSandbox", &each);
    json_end_object(&writer);
}

static void on_usage(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct quota_usage usage;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &quota_usage_schema, &usage);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_answer(request, &usage, &out);
    request_respond_json(request, 200, &out);
}

void quota_usage_handle(struct request *request)
{
    struct quota_question message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.api_key_id, request->caller.api_key_id, ID_SIZE);
    const struct service_question question = {.service = request->gateway->sandbox_service,
                                              .method = QUOTA_USAGE,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .repeatable = true,
                                              .schema = &quota_question_schema,
                                              .message = &message};
    service_ask(request, &question, on_usage);
}
