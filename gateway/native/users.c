/* /api/users/me: the caller's own account. */
#include "common/contracts/users.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/config.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    ANSWER_MAX = 64 * 1024,
};

struct wish {
    struct view display_name;
    struct view avatar_url;
    bool has_display_name;
    bool has_avatar_url;
    bool no_display_name; /* null: the issuer's */
    bool no_avatar_url;
};
static const struct json_field wish_fields[] = {
    JSON_STRING(struct wish, display_name, "displayName", .check = user_name_check,
                .nullable = true, JSON_PRESENT(struct wish, has_display_name),
                JSON_IS_NULL(struct wish, no_display_name)),
    JSON_STRING(struct wish, avatar_url, "avatarUrl", .check = user_avatar_check, .nullable = true,
                JSON_PRESENT(struct wish, has_avatar_url),
                JSON_IS_NULL(struct wish, no_avatar_url)),
};

/* LIMITS of the caller's tier first, so that nothing is changed when they can't be had; then the
 * ACCOUNT, as it is or is to be. */
struct account {
    struct request *request; /* borrowed */
    struct sandbox_limits limits;
    struct wish wish;
    struct json_doc *doc; /* owned; of the wish; NULL: there is none */
};

static void end_account(void *work)
{
    struct account *account = work;
    json_doc_free(account->doc);
}

/* Whoever is gone, or serves no more, hears it in the words of the credential they came with. */
static bool fail_when_gone(struct request *request, const struct err *err)
{
    struct err failure = {0};
    if (err == NULL || err->code != ERR_UNAUTHENTICATED) {
        return false;
    }
    request->ipc_call = NULL;
    request_error_revoked(request, &failure);
    request_fail(request, &failure);
    return true;
}

static void write_limit(struct json_writer *writer, const char *name, int64_t limit)
{
    if (limit == 0) {
        json_null(writer, name);
    } else {
        json_int(writer, name, limit);
    }
}

static void write_limits(struct json_writer *writer, const struct account *account)
{
    const struct request *request = account->request;
    const struct sandbox_limits *limits = &account->limits;
    struct limit_rate rate = limit_policy_of_tier(&request->gateway->config->limit_policy,
                                                  view_of(request->caller.tier));
    json_begin_object(writer, "limits");
    json_int(writer, "sandboxes", limits->sandboxes);
    json_int(writer, "memoryMB", limits->memory_mb);
    json_int(writer, "cpuShares", limits->cpu_shares);
    json_int(writer, "lifetimeHours", limits->lifetime_hours);
    json_int(writer, "requestsPerMinute", rate.per_minute);
    json_int(writer, "requestBurst", rate.burst);
    json_end_object(writer);
}

static void write_caller(struct json_writer *writer, const struct caller *caller)
{
    json_begin_object(writer, "caller");
    json_string_or_null(writer, "apiKeyId", caller->api_key_id);
    json_string_or_null(writer, "sessionId", caller->session_id);
    json_string_or_null(writer, "impersonator", caller->impersonator);
    auth_scopes_write(writer, "scopes", caller->scopes);
    write_limit(writer, "maxSandboxes", caller->max_sandboxes);
    write_limit(writer, "requestsPerMinute", caller->requests_per_minute);
    json_end_object(writer);
}

static void write_account(const struct account *account, const struct auth_user *user,
                          struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "id", view_of(user->id));
    json_view_or_null(&writer, "email", user->email);
    json_view_or_null(&writer, "displayName", user->display_name);
    json_view_or_null(&writer, "avatarUrl", user->avatar_url);
    json_string(&writer, "tier", user->tier);
    json_string(&writer, "role", user->role);
    json_string(&writer, "createdAt", user->created_at);
    write_limits(&writer, account);
    write_caller(&writer, &account->request->caller);
    json_end_object(&writer);
}

static void on_account(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct auth_user user;
    if (fail_when_gone(request, err)) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &auth_user_schema, &user);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    write_account(request->work, &user, &out);
    request_respond_json(request, 200, &out);
}

static void ask_auth(struct request *request, const char *method, const struct json_schema *schema,
                     const void *message, ipc_reply_fn *on_reply)
{
    const struct service_question question = {.service = request->gateway->auth_service,
                                              .method = method,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .schema = schema,
                                              .message = message};
    service_ask(request, &question, on_reply);
}

static void update(struct request *request, const struct wish *wish)
{
    struct auth_update_user message = {
        .sets_display_name = wish->has_display_name || wish->no_display_name,
        .sets_avatar_url = wish->has_avatar_url || wish->no_avatar_url,
        .display_name = wish->display_name,
        .avatar_url = wish->avatar_url};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    if (message.sets_display_name || message.sets_avatar_url) {
        memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
        ask_auth(request, AUTH_UPDATE_USER, &auth_update_user_schema, &message, on_account);
        return;
    }
    struct auth_get_user as_it_is = {0};
    memcpy(as_it_is.user_id, request->caller.user_id, ID_SIZE);
    ask_auth(request, AUTH_GET_USER, &auth_get_user_schema, &as_it_is, on_account);
}

static void on_limits(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct account *account = request->work;
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &sandbox_limits_schema, &account->limits);
    if (doc != NULL) {
        update(request, &account->wish);
    }
}

static struct account *begin(struct request *request)
{
    struct err err = {0};
    struct account *account = calloc(1, sizeof *account);
    if (account == NULL) {
        err_set(&err, ERR_INTERNAL, "account: out of memory");
        request_fail(request, &err);
        return NULL;
    }
    account->request = request;
    request_set_work(request, account, end_account);
    return account;
}

static void ask_limits(struct request *request)
{
    const struct sandbox_tier message = {view_of(request->caller.tier)};
    const struct service_question question = {.service = request->gateway->sandbox_service,
                                              .method = SANDBOX_LIMITS,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .repeatable = true,
                                              .schema = &sandbox_tier_schema,
                                              .message = &message};
    service_ask(request, &question, on_limits);
}

void user_show_handle(struct request *request)
{
    if (begin(request) != NULL) {
        ask_limits(request);
    }
}

void user_update_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    const struct json_schema schema = JSON_SCHEMA(wish_fields, .refuse_unknown = true);
    struct account *account = begin(request);
    if (account == NULL) {
        return;
    }
    account->doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                             &account->wish, &violations, &err);
    if (account->doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    ask_limits(request);
}

static void on_deleted(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    if (fail_when_gone(request, err) || !service_answered(request, err)) {
        return;
    }
    const struct http_response response = {.status = 204};
    request_respond(request, &response);
}

/* The account's own id, so that a mistaken DELETE ends nothing. */
static bool check_confirmation(struct request *request)
{
    struct err err = {0};
    char confirmed[ID_SIZE];
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    parameter_id(&parameters, "confirm", confirmed);
    if (parameters.violations.count == 0 && strcmp(confirmed, request->caller.user_id) != 0) {
        parameter_refuse(&parameters, "confirm", "must be the id of your account");
    }
    if (parameters_check(&parameters, &err)) {
        return true;
    }
    request_fail_validation(request, &err, &parameters.violations);
    return false;
}

void user_delete_handle(struct request *request)
{
    struct err err = {0};
    if (request->caller.impersonator[0] != '\0') {
        err_set_reason(&err, ERR_DENIED, "impersonated",
                       "Who acts in somebody's name can't end the account.");
        request_fail(request, &err);
        return;
    }
    if (!check_confirmation(request)) {
        return;
    }
    struct auth_delete_user message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.actor_key_id, request->caller.api_key_id, ID_SIZE);
    ask_auth(request, AUTH_DELETE_USER, &auth_delete_user_schema, &message, on_deleted);
}
