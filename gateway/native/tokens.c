/* POST .../sandbox/{id}/token: a client token, good for that sandbox alone and for a while. */
#include "common/base/clock.h"
#include "common/contracts/auth.h"
#include "common/json/write.h"
#include "gateway/native/errors.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 10 * 1000,
    ANSWER_MAX = 16 * 1024,
    TTL_DEFAULT_S = 300,
    SCOPES_MAX = 8, /* in the list, which may name one twice */
    SCOPE_NAME_MAX = 32,
};

struct token_body {
    int64_t ttl_s;
    struct json_strings scopes;
};

static bool check_scope(struct view name, const char **problem)
{
    *problem = "must be one of: sandbox:read, sandbox:write, exec, files";
    return (auth_scope_find(name) & AUTH_SCOPES_CLIENT) != 0;
}

static const struct json_field body_fields[] = {
    JSON_INT(struct token_body, ttl_s, "ttlS", .min = 1, .max = CLIENT_TOKEN_TTL_S_MAX,
             .fallback = TTL_DEFAULT_S, .nullable = true),
    JSON_STRINGS(struct token_body, scopes, "scopes", .required = true, .max_len = SCOPES_MAX,
                 .item_max = SCOPE_NAME_MAX, .check = check_scope),
};

static void write_answer(const struct request *request, const struct auth_new_token *made,
                         struct str *out)
{
    char expires_at[CLOCK_ISO_SIZE];
    struct json_writer writer = json_writer_on(out);
    clock_format_iso(made->expires_at_ms, expires_at);
    json_begin_object(&writer, NULL);
    json_string(&writer, "token", made->token);
    json_string(&writer, "expiresAt", view_of(expires_at));
    auth_scopes_write(&writer, "scopes", (unsigned)made->scopes);
    json_string(&writer, "sandboxId", view_of(request->id));
    json_end_object(&writer);
}

static void on_made(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct auth_new_token made;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &auth_new_token_schema, &made);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_answer(request, &made, &out);
    if (!str_check(&out, "new token", &failure)) {
        request_fail(request, &failure);
        return;
    }
    const struct http_response response = {.status = 201, .body = str_view(&out), .no_store = true};
    request_respond(request, &response);
}

static void ask(struct request *request, int64_t ttl_s, unsigned scopes)
{
    const struct caller *caller = &request->caller;
    struct auth_make_token message = {
        .session_id = view_of(caller->session_id),
        .impersonator = view_of(caller->impersonator),
        .watch_session = caller->session_is_watched,
        .sandbox_ends_at = view_of(request->sandbox.expires_at),
        .scopes = scopes,
        .ttl_s = ttl_s,
    };
    memcpy(message.user_id, caller->user_id, ID_SIZE);
    memcpy(message.actor_key_id, caller->api_key_id, ID_SIZE);
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->auth_service,
        .method = AUTH_MAKE_TOKEN,
        .timeout_ms = CALL_TIMEOUT_MS,
        .schema = &auth_make_token_schema,
        .message = &message,
    };
    service_ask(request, &question, on_made);
}

/* Whether the caller may hand out scopes. */
static bool check_caller(const struct request *request, unsigned scopes, struct err *err)
{
    unsigned missing = scopes & ~request->caller.scopes;
    if (caller_is_client(&request->caller)) {
        errors_client_refused(err);
        return false;
    }
    if (missing != 0) {
        errors_missing_scope(missing & ~(missing - 1), err); /* the first of them */
        return false;
    }
    return request->sandbox.is_live ||
           err_set_reason(err, ERR_CONFLICT, "sandbox_ended", "The sandbox has ended (%s).",
                          request->sandbox.end_reason);
}

void token_make_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct token_body body;
    unsigned scopes = 0;
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &body, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    for (size_t i = 0; i < body.scopes.count; i++) {
        scopes |= auth_scope_find(body.scopes.items[i]);
    }
    if (scopes == 0) {
        request_fail_member(request, "scopes", "must name at least one");
    } else if (check_caller(request, scopes, &err)) {
        ask(request, body.ttl_s, scopes);
    } else {
        request_fail(request, &err);
    }
}
