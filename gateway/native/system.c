/* /sandbox/system: what administrators see and do of the server as a whole. */
#include "common/contracts/system.h"
#include "common/contracts/admin.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    CLEANUP_TIMEOUT_MS = 55 * 1000,
};

static void on_answer(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct system_answer answer;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &system_answer_schema, &answer);
    if (doc != NULL) {
        const struct http_response response = {.status = 200, .body = answer.answer};
        request_respond(request, &response);
    }
}

void system_stats_handle(struct request *request)
{
    static const struct json_schema nothing = {.refuse_unknown = true};
    const struct service_question question = {.service = request->gateway->sandbox_service,
                                              .method = SYSTEM_STATS,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .repeatable = true,
                                              .schema = &nothing,
                                              .message = &nothing};
    service_ask(request, &question, on_answer);
}

static bool check_reason(struct view reason, const char **problem)
{
    size_t characters = 0;
    for (size_t i = 0; i < reason.len; i++) {
        characters += ((unsigned char)reason.ptr[i] & 0xc0) == 0x80 ? 0 : 1;
    }
    *problem = "must have at most 500 characters";
    return characters <= SYSTEM_REASON_MAX;
}
_Static_assert(SYSTEM_REASON_MAX == 500, "the sentence above");

struct drain_body {
    bool draining;
    struct view reason;
};
static const struct json_field drain_fields[] = {
    JSON_BOOL(struct drain_body, draining, "draining", .required = true),
    JSON_STRING(struct drain_body, reason, "reason", .not_empty = true, .check = check_reason),
};

struct cleanup_body {
    bool dry_run;
    bool unknown;
};
static const struct json_field cleanup_fields[] = {
    JSON_BOOL(struct cleanup_body, dry_run, "dryRun", .fallback = true),
    JSON_BOOL(struct cleanup_body, unknown, "unknown"),
};

/* NULL: the request has failed. */
static struct json_doc *read_body(struct request *request, const struct json_schema *schema,
                                  void *out)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, schema,
                                     out, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
    }
    return doc;
}

void system_drain_handle(struct request *request)
{
    struct drain_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(drain_fields, .refuse_unknown = true);
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &wanted);
    if (doc == NULL) {
        return;
    }
    struct system_drain message = {.draining = wanted.draining, .reason = wanted.reason};
    memcpy(message.admin_id, request->caller.user_id, ID_SIZE);
    memcpy(message.admin_key_id, request->caller.api_key_id, ID_SIZE);
    const struct service_question question = {.service = request->gateway->sandbox_service,
                                              .method = SYSTEM_DRAIN,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .repeatable = true,
                                              .schema = &system_drain_schema,
                                              .message = &message};
    service_ask(request, &question, on_answer);
}

void system_cleanup_handle(struct request *request)
{
    struct cleanup_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(cleanup_fields, .refuse_unknown = true);
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &wanted);
    if (doc == NULL) {
        return;
    }
    struct system_cleanup message = {.dry_run = wanted.dry_run, .unknown = wanted.unknown};
    memcpy(message.admin_id, request->caller.user_id, ID_SIZE);
    memcpy(message.admin_key_id, request->caller.api_key_id, ID_SIZE);
    const struct service_question question = {.service = request->gateway->sandbox_service,
                                              .method = SYSTEM_CLEANUP,
                                              .timeout_ms = CLEANUP_TIMEOUT_MS,
                                              .repeatable = false,
                                              .schema = &system_cleanup_schema,
                                              .message = &message};
    service_ask(request, &question, on_answer);
}
