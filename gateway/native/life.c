/* A sandbox's time and rest: POST /sandbox/{id}/timeout, /pause, /resume. */
#include "common/contracts/life.h"
#include "common/base/log.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    REST_TIMEOUT_MS = 60 * 1000, /* a container may take its time to stop, an agent to come */
    AGENT_TIMEOUT_MS = 3000,     /* it has connected already, perhaps to another gateway */
    ANSWER_MAX = 2048,
    TIMEOUT_MS_MIN = 1000,
};

static void put_text(struct json_writer *writer, const char *name, struct view text)
{
    if (text.len == 0) {
        json_null(writer, name);
    } else {
        json_string(writer, name, text);
    }
}

static void write_state(const struct request *request, const struct life_state *state,
                        struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(request->id));
    json_string(&writer, "status", state->status);
    put_text(&writer, "expiresAt", state->expires_at);
    put_text(&writer, "endsAt", state->ends_at);
    put_text(&writer, "pausedAt", state->paused_at);
    put_text(&writer, "pauseMode", state->pause_mode);
    json_string(&writer, "onTimeout", state->on_timeout);
    if (state->idle_timeout_ms == 0) {
        json_null(&writer, "idleTimeoutMs");
    } else {
        json_int(&writer, "idleTimeoutMs", state->idle_timeout_ms);
    }
    json_bool(&writer, "autoResume", state->auto_resume);
    json_end_object(&writer);
}

/* The answer of one whose agent is still to be heard of. */
struct kept {
    struct str answer;
};

static void end_kept(void *work)
{
    struct kept *kept = work;
    str_free(&kept->answer);
}

/* An agent that does not come here may have come to another gateway: it runs all the same. */
static void on_agent_ready(const struct err *err, void *arg)
{
    struct request *request = arg;
    const struct kept *kept = request->work;
    request->hub_wait = NULL;
    if (err != NULL) {
        log_info("resume.agent_elsewhere", LOG_TRACE(&request->trace), LOG_ERR(err));
    }
    request_respond_json(request, 200, &kept->answer);
}

/* Else what the client sends next would come before its agent. */
static void answer_when_ready(struct request *request, struct str *answer)
{
    struct err err = {0};
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL) {
        request_respond_json(request, 200, answer);
        return;
    }
    request->hub_wait = hub_wait_begin(request->gateway->hub, request->id, AGENT_TIMEOUT_MS,
                                       on_agent_ready, request, &err);
    if (request->hub_wait == NULL) {
        free(kept);
        request_respond_json(request, 200, answer);
        return;
    }
    kept->answer = *answer;
    *answer = STR_INIT(ANSWER_MAX);
    request_set_work(request, kept, end_kept);
}

static void on_state(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct life_state state;
    sandbox_cache_forget(request->gateway->sandboxes, request->id);
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &life_state_schema, &state);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_state(request, &state, &out);
    if (request->route->handle == sandbox_resume_handle &&
        !hub_is_ready(request->gateway->hub, request->id)) {
        answer_when_ready(request, &out);
    } else {
        request_respond_json(request, 200, &out);
    }
}

static void ask(struct request *request, const char *method, int64_t timeout_ms,
                const struct json_schema *schema, const void *message)
{
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = method,
        .timeout_ms = timeout_ms,
        .repeatable = true,
        .schema = schema,
        .message = message,
    };
    service_ask(request, &question, on_state);
}

/* A request without a body asks for the defaults. NULL: it has failed. */
static struct json_doc *read_body(struct request *request, const struct json_schema *schema,
                                  void *out)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct view text = request->body.len == 0 ? VIEW("{}") : request->body;
    struct json_doc *doc = json_read(text, schema, out, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
    }
    return doc;
}

/* False: it has failed. */
static bool record(struct request *request, enum audit_action action)
{
    struct err err = {0};
    bool recorded = request_record(request, action, &err);
    if (!recorded) {
        request_fail(request, &err);
    }
    return recorded;
}

struct pause_body {
    struct view mode;
};
static const struct json_field pause_fields[] = {
    JSON_STRING(struct pause_body, mode, "mode", .one_of = pause_modes, .nullable = true),
};

void sandbox_pause_handle(struct request *request)
{
    struct pause_body body;
    const struct json_schema schema = JSON_SCHEMA(pause_fields);
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &body);
    if (doc == NULL || !record(request, AUDIT_SANDBOX_PAUSED)) {
        return;
    }
    struct sandbox_pause message = {.mode = body.mode.len == 0 ? VIEW(PAUSE_FREEZE) : body.mode};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    request_add_detail(request, "mode", message.mode);
    ask(request, SANDBOX_PAUSE, REST_TIMEOUT_MS, &sandbox_pause_schema, &message);
}

struct resume_body {
    int64_t timeout_ms;
};
static const struct json_field resume_fields[] = {
    JSON_INT(struct resume_body, timeout_ms, "timeoutMs", .min = TIMEOUT_MS_MIN,
             .max = SANDBOX_TIMEOUT_MS_MAX, .nullable = true),
};

void sandbox_resume_handle(struct request *request)
{
    struct resume_body body;
    const struct json_schema schema = JSON_SCHEMA(resume_fields);
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &body);
    if (doc == NULL || !record(request, AUDIT_SANDBOX_RESUMED)) {
        return;
    }
    struct sandbox_resume message = {.timeout_ms = body.timeout_ms};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, SANDBOX_RESUME, REST_TIMEOUT_MS, &sandbox_resume_schema, &message);
}

struct times_body {
    int64_t timeout_ms; /* first: presence is no member's at offset 0 */
    int64_t idle_timeout_ms;
    bool has_timeout;
    bool has_idle_timeout;
    bool idle_timeout_is_null;
    bool has_auto_resume;
    struct view on_timeout;
    bool auto_resume;
};
static const struct json_field times_fields[] = {
    JSON_INT(struct times_body, timeout_ms, "timeoutMs", .min = TIMEOUT_MS_MIN,
             .max = SANDBOX_TIMEOUT_MS_MAX, JSON_PRESENT(struct times_body, has_timeout)),
    JSON_INT(struct times_body, idle_timeout_ms, "idleTimeoutMs", .min = IDLE_TIMEOUT_MS_MIN,
             .max = SANDBOX_TIMEOUT_MS_MAX, .nullable = true,
             JSON_PRESENT(struct times_body, has_idle_timeout),
             JSON_IS_NULL(struct times_body, idle_timeout_is_null)),
    JSON_STRING(struct times_body, on_timeout, "onTimeout", .one_of = timeout_policies),
    JSON_BOOL(struct times_body, auto_resume, "autoResume",
              JSON_PRESENT(struct times_body, has_auto_resume)),
};

void sandbox_timeout_handle(struct request *request)
{
    struct times_body body;
    const struct json_schema schema = JSON_SCHEMA(times_fields);
    AUTO(json_doc_release) struct json_doc *doc = read_body(request, &schema, &body);
    if (doc == NULL || !record(request, AUDIT_SANDBOX_TIMES_SET)) {
        return;
    }
    struct sandbox_times message = {
        .timeout_ms = body.has_timeout ? body.timeout_ms : -1,
        .idle_timeout_ms = body.idle_timeout_is_null ? 0
                           : body.has_idle_timeout   ? body.idle_timeout_ms
                                                     : -1,
        .on_timeout = body.on_timeout,
        .auto_resume = body.auto_resume,
        .has_auto_resume = body.has_auto_resume,
    };
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    ask(request, SANDBOX_TIMES, CALL_TIMEOUT_MS, &sandbox_times_schema, &message);
}
