#include "gateway/native/routes.h"

#include "common/base/secret.h"
#include "common/ipc/client.h"
#include "gateway/cache/activity.h"
#include "gateway/http/syntax.h"
#include "gateway/native/admission.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/credentials.h"
#include "gateway/native/errors.h"
#include "gateway/native/repeat.h"
#include "gateway/native/wake.h"

#include <stdio.h>
#include <stdlib.h>

static const struct route routes[] = {
    {HTTP_GET, "/health", ROUTE_OPEN, 0, 0, health_show},
    {HTTP_GET, "/openapi.json", ROUTE_OPEN, 0, 0, openapi_show},
    {HTTP_POST, "/api/keys",
     ROUTE_CALLER | ROUTE_JSON | ROUTE_COUNTED | ROUTE_CREATES | ROUTE_SECRET, AUTH_KEYS,
     JSON_BODY_MAX, keys_create},
    {HTTP_GET, "/api/keys", ROUTE_CALLER, AUTH_KEYS, 0, keys_list},
    {HTTP_DELETE, "/api/keys/{id}", ROUTE_CALLER, AUTH_KEYS, 0, keys_revoke},
    {HTTP_POST, "/api/keys/{id}/rotate",
     ROUTE_CALLER | ROUTE_JSON | ROUTE_COUNTED | ROUTE_CREATES | ROUTE_SECRET, AUTH_KEYS,
     JSON_BODY_MAX, keys_rotate},
    {HTTP_GET, "/api/secrets", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, secrets_list_handle},
    {HTTP_PUT, "/api/secrets/{item}", ROUTE_CALLER | ROUTE_JSON, AUTH_SANDBOX_WRITE,
     SECRET_BODY_MAX, secrets_set_handle},
    {HTTP_DELETE, "/api/secrets/{item}", ROUTE_CALLER, AUTH_SANDBOX_WRITE, 0,
     secrets_delete_handle},
    {HTTP_GET, "/api/volumes", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, volumes_list_handle},
    {HTTP_POST, "/api/volumes", ROUTE_CALLER | ROUTE_JSON | ROUTE_CREATES, AUTH_SANDBOX_WRITE,
     JSON_BODY_MAX, volumes_create_handle},
    {HTTP_DELETE, "/api/volumes/{item}", ROUTE_CALLER, AUTH_SANDBOX_WRITE, 0,
     volumes_delete_handle},
    {HTTP_GET, "/api/volumes/{item}/archive", ROUTE_CALLER, AUTH_FILES, 0,
     volume_archive_get_handle},
    {HTTP_PUT, "/api/volumes/{item}/archive", ROUTE_CALLER, AUTH_FILES, 0,
     volume_archive_put_handle},
    {HTTP_GET, "/api/users/me", ROUTE_CALLER, 0, 0, user_show_handle},
    {HTTP_PATCH, "/api/users/me", ROUTE_CALLER | ROUTE_JSON, AUTH_KEYS, USER_BODY_MAX,
     user_update_handle},
    {HTTP_DELETE, "/api/users/me", ROUTE_CALLER, AUTH_KEYS, 0, user_delete_handle},
    {HTTP_GET, "/api/audit", ROUTE_CALLER, 0, 0, audit_list_handle},
    {HTTP_GET, "/api/users/me/sandboxes", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, sandbox_list_handle},
    {HTTP_GET, "/api/templates", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, templates_list_handle},
    {HTTP_POST, "/api/templates", ROUTE_CALLER | ROUTE_JSON | ROUTE_CREATES, AUTH_SANDBOX_WRITE,
     TEMPLATE_BODY_MAX, templates_create_handle},
    {HTTP_GET, "/api/templates/{item}", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, templates_show_handle},
    {HTTP_DELETE, "/api/templates/{item}", ROUTE_CALLER, AUTH_SANDBOX_WRITE, 0,
     templates_remove_handle},
    {HTTP_GET, "/api/templates/{item}/log", ROUTE_CALLER, AUTH_SANDBOX_READ, 0,
     template_log_handle},
    {HTTP_PUT, "/api/templates/{item}/context", ROUTE_CALLER, AUTH_SANDBOX_WRITE, 0,
     template_context_handle},
    {HTTP_GET, "/api/snapshots", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, snapshots_list_handle},
    {HTTP_GET, "/api/snapshots/{item}", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, templates_show_handle},
    {HTTP_DELETE, "/api/snapshots/{item}", ROUTE_CALLER, AUTH_SANDBOX_WRITE, 0,
     templates_remove_handle},
    {HTTP_GET, "/api/admin/users", ROUTE_CALLER, AUTH_ADMIN, 0, admin_users_list},
    {HTTP_PATCH, "/api/admin/users/{id}", ROUTE_CALLER | ROUTE_JSON, AUTH_ADMIN, JSON_BODY_MAX,
     admin_users_change},
    {HTTP_GET, "/api/admin/sandboxes", ROUTE_CALLER, AUTH_ADMIN, 0, admin_sandboxes_list},
    {HTTP_DELETE, "/api/admin/sandboxes/{id}", ROUTE_CALLER, AUTH_ADMIN, 0,
     admin_sandboxes_destroy},
    {HTTP_GET, "/api/admin/keys", ROUTE_CALLER, AUTH_ADMIN, 0, admin_keys_list},
    {HTTP_DELETE, "/api/admin/keys/{id}", ROUTE_CALLER, AUTH_ADMIN, 0, admin_keys_revoke},
    {HTTP_POST, "/webhooks/clerk", ROUTE_SIGNED, 0, WEBHOOK_BODY_MAX, webhooks_clerk_handle},
    {HTTP_GET, "/api/events", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, events_user_handle},
    {HTTP_POST, "/api/webhooks",
     ROUTE_CALLER | ROUTE_JSON | ROUTE_COUNTED | ROUTE_CREATES | ROUTE_SECRET, AUTH_KEYS,
     JSON_BODY_MAX, hooks_create},
    {HTTP_GET, "/api/webhooks", ROUTE_CALLER, AUTH_KEYS, 0, hooks_list},
    {HTTP_DELETE, "/api/webhooks/{id}", ROUTE_CALLER, AUTH_KEYS, 0, hooks_remove},
    {HTTP_GET, "/api/webhooks/{id}/dead-letters", ROUTE_CALLER, AUTH_KEYS, 0, hooks_dead_letters},
    {HTTP_POST, "/api/webhooks/{id}/redeliver", ROUTE_CALLER, AUTH_KEYS, 0, hooks_redeliver},
    {HTTP_GET, "/sandbox", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, sandbox_list_handle},
    {HTTP_POST, "/sandbox/create", ROUTE_CALLER | ROUTE_JSON | ROUTE_CREATES, AUTH_SANDBOX_WRITE,
     JSON_BODY_MAX, sandbox_create_handle},
    {HTTP_GET, "/sandbox/quota/usage", ROUTE_CALLER, AUTH_SANDBOX_READ, 0, quota_usage_handle},
    {HTTP_POST, "/sandbox/execute",
     ROUTE_CALLER | ROUTE_JSON | ROUTE_COMMAND | ROUTE_CREATES | ROUTE_RUNS,
     AUTH_SANDBOX_WRITE | AUTH_EXEC, EXECUTE_BODY_MAX, sandbox_execute_handle},
    {HTTP_POST, "/sandbox/execute/batch",
     ROUTE_CALLER | ROUTE_JSON | ROUTE_COMMAND | ROUTE_CREATES | ROUTE_RUNS,
     AUTH_SANDBOX_WRITE | AUTH_EXEC, EXECUTE_BODY_MAX, sandbox_execute_batch_handle},
    {HTTP_GET, "/sandbox/system/stats", ROUTE_CALLER, AUTH_ADMIN, 0, system_stats_handle},
    {HTTP_POST, "/sandbox/system/drain", ROUTE_CALLER | ROUTE_JSON, AUTH_ADMIN, JSON_BODY_MAX,
     system_drain_handle},
    {HTTP_POST, "/sandbox/system/cleanup", ROUTE_CALLER | ROUTE_JSON, AUTH_ADMIN, JSON_BODY_MAX,
     system_cleanup_handle},
    {HTTP_GET, "/sandbox/{id}/status", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     sandbox_status_handle},
    {HTTP_GET, "/sandbox/{id}/events", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     events_sandbox_handle},
    {HTTP_GET, "/sandbox/{id}/stats", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     stats_show_handle},
    {HTTP_GET, "/sandbox/{id}/stats/history", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     stats_history_handle},
    {HTTP_POST, "/sandbox/{id}/destroy", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_WRITE, 0,
     sandbox_destroy_handle},
    {HTTP_DELETE, "/sandbox/{id}", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_WRITE, 0,
     sandbox_destroy_handle},
    {HTTP_POST, "/sandbox/{id}/timeout", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, sandbox_timeout_handle},
    {HTTP_POST, "/sandbox/{id}/pause", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, sandbox_pause_handle},
    {HTTP_POST, "/sandbox/{id}/resume", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, sandbox_resume_handle},
    {HTTP_POST, "/sandbox/{id}/fork", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_CREATES,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, fork_handle},
    {HTTP_POST, "/sandbox/{id}/snapshots",
     ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_CREATES, AUTH_SANDBOX_WRITE, JSON_BODY_MAX,
     snapshots_create_handle},
    {HTTP_POST, "/sandbox/{id}/exec", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_COMMAND,
     AUTH_EXEC, JSON_BODY_MAX, sandbox_exec_handle},
    {HTTP_POST, "/sandbox/{id}/expose", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_CREATES,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, sandbox_expose_handle},
    {HTTP_GET, "/sandbox/{id}/ports", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     sandbox_ports_handle},
    {HTTP_DELETE, "/sandbox/{id}/ports/{item}", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_WRITE, 0,
     sandbox_port_close_handle},
    {HTTP_GET, "/sandbox/{id}/network", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_SANDBOX_READ, 0,
     sandbox_network_get_handle},
    {HTTP_PUT, "/sandbox/{id}/network", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_SANDBOX_WRITE, JSON_BODY_MAX, sandbox_network_set_handle},
    {HTTP_POST, "/sandbox/{id}/token",
     ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_CREATES | ROUTE_SECRET, 0, JSON_BODY_MAX,
     token_make_handle},
    {HTTP_GET, "/sandbox/{id}/processes", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_EXEC, 0,
     processes_list_handle},
    {HTTP_POST, "/sandbox/{id}/processes/{item}/signal", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_EXEC, JSON_BODY_MAX, processes_signal_handle},
    {HTTP_POST, "/sandbox/{id}/processes/{item}/stdin", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_EXEC, INPUT_BODY_MAX, processes_stdin_handle},
    {HTTP_POST, "/sandbox/{id}/processes/{item}/resize", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON,
     AUTH_EXEC, JSON_BODY_MAX, processes_resize_handle},
    {HTTP_GET, "/sandbox/{id}/processes/{item}/output", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_EXEC, 0,
     processes_output_handle},
    {HTTP_GET, "/sandbox/{id}/files", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_FILES, 0,
     files_get_handle},
    {HTTP_PUT, "/sandbox/{id}/files", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_WRITE, AUTH_FILES, 0,
     files_put_handle},
    {HTTP_POST, "/sandbox/{id}/files", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_WRITE, AUTH_FILES, 0,
     files_post_handle},
    {HTTP_POST, "/sandbox/{id}/files/url",
     ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_CREATES, AUTH_FILES, JSON_BODY_MAX,
     file_url_make_handle},
    {HTTP_GET, "/files/{id}", ROUTE_SIGNED, 0, 0, file_url_use_handle},
    {HTTP_PUT, "/files/{id}", ROUTE_SIGNED | ROUTE_WRITE, 0, 0, file_url_use_handle},
    {HTTP_GET, "/sandbox/{id}/archive", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_FILES, 0,
     archive_get_handle},
    {HTTP_PUT, "/sandbox/{id}/archive", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_WRITE, AUTH_FILES, 0,
     archive_put_handle},
    {HTTP_GET, "/sandbox/{id}/entries", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_FILES, 0,
     entries_list_handle},
    {HTTP_POST, "/sandbox/{id}/entries", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON | ROUTE_WRITE,
     AUTH_FILES, JSON_BODY_MAX, entries_change_handle},
    {HTTP_DELETE, "/sandbox/{id}/entries", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_WRITE, AUTH_FILES,
     0, entries_remove_handle},
    {HTTP_GET, "/sandbox/{id}/watch", ROUTE_CALLER | ROUTE_SANDBOX, AUTH_FILES, 0, watch_handle},
    {HTTP_POST, "/sandbox/{id}/search", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_JSON, AUTH_FILES,
     JSON_BODY_MAX, search_handle},
    {HTTP_GET, "/client/{id}", ROUTE_CALLER | ROUTE_SANDBOX | ROUTE_SOCKET, 0, 0,
     client_socket_handle},
};

static const struct {
    enum http_method method;
    const char *name;
} method_names[] = {
    {HTTP_GET, "GET"},     {HTTP_HEAD, "HEAD"},     {HTTP_POST, "POST"},       {HTTP_PUT, "PUT"},
    {HTTP_PATCH, "PATCH"}, {HTTP_DELETE, "DELETE"}, {HTTP_OPTIONS, "OPTIONS"},
};

/* The segment at the front of path (which begins with '/'); moves path behind it. */
static struct view next_segment(struct view *path)
{
    *path = view_from(*path, 1);
    const char *slash = path->len == 0 ? NULL : memchr(path->ptr, '/', path->len);
    struct view segment = {path->ptr, slash == NULL ? path->len : (size_t)(slash - path->ptr)};
    *path = view_from(*path, segment.len);
    return segment;
}

/* The segments of a path that stand for a name in braces. */
struct parameters {
    struct view id;
    struct view item;
};

/* Whether path has the pattern's form. */
static bool matches(const char *pattern, struct view path, struct parameters *parameters)
{
    struct view wanted = view_of(pattern);
    while (wanted.len > 0 && path.len > 0) {
        struct view expected = next_segment(&wanted);
        struct view segment = next_segment(&path);
        if (segment.len > 0 && view_equal(expected, VIEW("{id}"))) {
            parameters->id = segment;
        } else if (segment.len > 0 && view_equal(expected, VIEW("{item}"))) {
            parameters->item = segment;
        } else if (!view_equal(expected, segment)) {
            return false;
        }
    }
    return wanted.len == 0 && path.len == 0;
}

/* A bit for each method of that path. Who may GET may HEAD. */
static unsigned methods_of(struct view path)
{
    unsigned methods = 0;
    struct parameters ignored;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (matches(routes[i].path, path, &ignored)) {
            methods |= 1U << routes[i].method;
        }
    }
    return (methods & 1U << HTTP_GET) != 0 ? methods | 1U << HTTP_HEAD : methods;
}

/* What has no route: each such request is counted by its address, then answered. */

static void answer_preflight(struct request *request)
{
    http_answer_preflight(request_hand_over(request));
}

static void refuse_address(struct request *request)
{
    struct err err = {0};
    err_set(&err, ERR_NOT_FOUND, "There is nothing at this address.");
    request_fail(request, &err);
}

static void refuse_method(struct request *request)
{
    char allow[64] = "";
    size_t length = 0;
    unsigned methods = methods_of(http_exchange_head(request->exchange)->path);
    for (size_t i = 0; i < sizeof method_names / sizeof method_names[0]; i++) {
        if ((methods & 1U << method_names[i].method) != 0) {
            int added = snprintf(allow + length, sizeof allow - length, "%s%s",
                                 length == 0 ? "" : ", ", method_names[i].name);
            length += added > 0 ? (size_t)added : 0;
        }
    }
    static const char format[] =
        "{\"error\":\"This address allows only: %s.\",\"code\":\"method_not_allowed\","
        "\"requestId\":\"%s\"}";
    char body[sizeof format + sizeof allow + HTTP_REQUEST_ID_SIZE];
    (void)snprintf(body, sizeof body, format, allow, http_exchange_request_id(request->exchange));
    const struct http_header header = {VIEW("Allow"), view_of(allow)};
    const struct http_response response = {
        .status = 405, .body = view_of(body), .headers = &header, .header_count = 1};
    request_respond(request, &response);
}

static const struct route preflight = {.handle = answer_preflight};
static const struct route no_address = {.handle = refuse_address};
static const struct route no_method = {.handle = refuse_method};

static const struct route *find_route(const struct http_head *head, struct parameters *parameters,
                                      bool *path_is_known)
{
    /* HEAD is GET without the body, which the HTTP server leaves out. */
    enum http_method method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
    *path_is_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        struct parameters found = {0};
        if (matches(routes[i].path, head->path, &found)) {
            *path_is_known = true;
            if (routes[i].method == method) {
                *parameters = found;
                return &routes[i];
            }
        }
    }
    return NULL;
}

/* Whoever comes with a signature is not known to have a good one: its handler records. */
static void handle(struct request *request)
{
    struct err err = {0};
    bool is_signed = (request->route->needs & ROUTE_SIGNED) != 0;
    if (request->is_revoked) { /* while it waited */
        request_error_revoked(request, &err);
        request_fail(request, &err);
    } else if (is_signed || request_record_data(request, &err)) {
        request->route->handle(request);
    } else {
        request_fail(request, &err);
    }
}

static void on_body(struct http_exchange *exchange, struct view body, void *arg)
{
    (void)exchange;
    struct request *request = arg;
    request->body = body;
    if (!request->is_revoked && repeat_is_asked_for(request)) {
        repeat_begin(request, handle);
    } else {
        handle(request);
    }
}

/* application/json, with no parameter but the one character set that JSON has. */
static bool is_json(struct view type)
{
    if (!view_equal_nocase(syntax_trim(view_cut(&type, ';')), VIEW("application/json"))) {
        return false;
    }
    while (type.len > 0) {
        struct view parameter = syntax_trim(view_cut(&type, ';'));
        if (parameter.len > 0 && !view_equal_nocase(parameter, VIEW("charset=utf-8")) &&
            !view_equal_nocase(parameter, VIEW("charset=\"utf-8\""))) {
            return false;
        }
    }
    return true;
}

/* A create without a body asks for the defaults: only a body needs a type. */
static bool check_media_type(const struct http_exchange *exchange, struct err *err)
{
    struct view encoding = http_exchange_header(exchange, "Content-Encoding");
    if (!http_exchange_head(exchange)->has_body) {
        return true;
    }
    if (encoding.len > 0 && !view_equal_nocase(encoding, VIEW("identity"))) {
        return err_set_reason(err, ERR_INVALID, "unsupported_media_type",
                              "Send the body without Content-Encoding.");
    }
    return is_json(http_exchange_header(exchange, "Content-Type")) ||
           err_set_reason(err, ERR_INVALID, "unsupported_media_type",
                          "Send the body as Content-Type: application/json.");
}

static void read_body(struct request *request)
{
    struct err err = {0};
    if ((request->route->needs & ROUTE_JSON) != 0 && !check_media_type(request->exchange, &err)) {
        request_fail(request, &err);
        return;
    }
    if (request->route->body_max == 0) {
        handle(request);
        return;
    }
    http_read_body(request->exchange, request->route->body_max, on_body, request);
}

static void authenticate_caller(struct request *request);

static void fail_unknown_sandbox(struct request *request)
{
    struct err err = {0};
    err_set_reason(&err, ERR_NOT_FOUND, "sandbox_not_found", "Sandbox not found");
    request_fail(request, &err);
}

/* A client token ends with its sandbox. */
static bool outlives_sandbox(const struct request *request, const struct sandbox_meta *meta)
{
    return caller_is_client(&request->caller) && !meta->is_live;
}

/* Keys were revoked since its own was looked for, perhaps that one: then the news came before the
 * caller, or a client socket, was there to be refused. */
static bool is_outdated(const struct request *request)
{
    return request->key_generation != key_cache_generation(request->gateway->keys);
}

static void check_owner(struct request *request, const struct sandbox_meta *meta)
{
    if (is_outdated(request)) {
        authenticate_caller(request);
        return;
    }
    if (strcmp(meta->user_id, request->caller.user_id) != 0) {
        fail_unknown_sandbox(request);
        return;
    }
    if (outlives_sandbox(request, meta)) {
        struct err err = {0};
        request_error_revoked(request, &err);
        request_fail(request, &err);
        return;
    }
    request->sandbox = *meta;
    if (wake_is_for_agent(request)) {
        activity_note(request->gateway->activity, request->id, ACTIVITY_REQUESTS);
    }
    if (wake_is_needed(request)) {
        wake_begin(request, read_body);
    } else {
        read_body(request);
    }
}

static void on_fetched(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    struct request *request = arg;
    request->fetch = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return;
    }
    check_owner(request, meta);
}

static void load_sandbox(struct request *request)
{
    struct err err = {0};
    if ((request->route->needs & ROUTE_SANDBOX) == 0) {
        read_body(request);
        return;
    }
    bool is_other =
        caller_is_client(&request->caller) && strcmp(request->caller.sandbox_id, request->id) != 0;
    if (request->id[0] == '\0' || is_other) {
        fail_unknown_sandbox(request);
        return;
    }
    const struct sandbox_meta *meta = sandbox_cache_find(request->gateway->sandboxes, request->id);
    if (meta != NULL) {
        check_owner(request, meta);
        return;
    }
    request->fetch = sandbox_fetch_begin(request->gateway->sandboxes, request->id, &request->trace,
                                         on_fetched, request, &err);
    if (request->fetch == NULL) {
        request_fail(request, &err);
    }
}

/* One is told at a time. */
static unsigned first_missing(unsigned wanted, unsigned had)
{
    unsigned missing = wanted & ~had;
    return missing & (~missing + 1U);
}

static void admit(struct request *request)
{
    struct err err = {0};
    unsigned scope = request->route->scope;
    if (caller_is_client(&request->caller) && (request->route->needs & ROUTE_SANDBOX) == 0) {
        errors_client_refused(&err);
        request_fail(request, &err);
        return;
    }
    if ((request->caller.scopes & scope) != scope) {
        errors_missing_scope(first_missing(scope, request->caller.scopes), &err);
        request_fail(request, &err);
        return;
    }
    request_expect_end(request);
    load_sandbox(request);
}

static void on_key_checked(const struct caller *caller, const struct err *err, void *arg)
{
    struct request *request = arg;
    request->key_check = NULL;
    if (err != NULL && (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED)) {
        admission_fail(request, err);
    } else if (err != NULL) {
        request_fail(request, err);
    } else if (is_outdated(request)) {
        authenticate_caller(request);
    } else {
        request->caller = *caller;
        admission_of_caller(request, admit);
    }
}

static void authenticate_caller(struct request *request)
{
    struct err err = {0};
    struct credential credential;
    if (!credentials_read(request->exchange, (request->route->needs & ROUTE_SOCKET) != 0,
                          &credential, &err)) {
        admission_fail(request, &err);
        return;
    }
    request->is_revoked = false;
    request->key_generation = key_cache_generation(request->gateway->keys);
    if (key_cache_find(request->gateway->keys, &credential, &request->caller)) {
        admission_of_caller(request, admit);
    } else if (!admission_refuses_address(request)) {
        credential.actor = request_actor(request);
        request->key_check = key_check_begin(request->gateway->keys, &credential, &request->trace,
                                             on_key_checked, request, &err);
        if (request->key_check == NULL) {
            request_fail(request, &err);
        }
    }
    secret_wipe(&credential, sizeof credential);
}

static void authenticate(struct request *request)
{
    if ((request->route->needs & ROUTE_CALLER) != 0) {
        authenticate_caller(request);
    } else {
        bool is_signed = (request->route->needs & ROUTE_SIGNED) != 0;
        admission_of_address(request, is_signed ? LIMIT_PREVIEW : LIMIT_ADDRESS, read_body);
    }
}

/* A segment that would be more than one once decoded is none. */
static bool check_parameters(const struct parameters *parameters, struct err *err)
{
    char decoded[HTTP_TARGET_MAX + 1];
    return (http_decode(parameters->id, decoded, sizeof decoded) &&
            http_decode(parameters->item, decoded, sizeof decoded)) ||
           err_set_reason(err, ERR_INVALID, "bad_target",
                          "A name in the path may have no escaped slash or backslash.");
}

static void begin(const struct gateway *gateway, const struct route *route,
                  const struct parameters *parameters, struct http_exchange *exchange)
{
    struct err err = {0};
    struct request *request = request_new(gateway, route, exchange, &err);
    if (request == NULL) {
        errors_respond(exchange, &err, NULL);
        return;
    }
    if (!check_parameters(parameters, &err)) {
        admission_fail(request, &err);
        return;
    }
    request->item = parameters->item;
    if (!id_parse(parameters->id, request->id)) {
        request->id[0] = '\0';
    }
    authenticate(request);
}

/* /agent/{id}: true when path is that. On a sandbox's own socket the id must be its own. */
static bool handle_agent(const struct gateway *gateway, struct http_exchange *exchange,
                         const char *listener_id)
{
    struct parameters parameters = {0};
    char id[ID_SIZE];
    if (!matches("/agent/{id}", http_exchange_head(exchange)->path, &parameters)) {
        return false;
    }
    struct err err = {0};
    if (!check_parameters(&parameters, &err)) {
        errors_respond(exchange, &err, NULL);
        return true;
    }
    if (!id_parse(parameters.id, id) || (listener_id != NULL && strcmp(listener_id, id) != 0)) {
        err_set_reason(&err, ERR_NOT_FOUND, "sandbox_not_found", "Sandbox not found");
        errors_respond(exchange, &err, NULL);
        return true;
    }
    hub_accept(gateway->hub, exchange, id);
    return true;
}

void routes_handle(const struct gateway *gateway, struct http_exchange *exchange,
                   const char *listener_id)
{
    const struct http_head *head = http_exchange_head(exchange);
    struct parameters parameters = {0};
    bool path_is_known = false;
    if (handle_agent(gateway, exchange, listener_id)) {
        return;
    }
    /* A sandbox's own socket leads to the agent's address and to nothing else. */
    if (listener_id != NULL) {
        struct err err = {0};
        err_set(&err, ERR_NOT_FOUND, "There is nothing at this address.");
        errors_respond(exchange, &err, NULL);
        return;
    }
    const struct route *route =
        http_is_preflight(exchange) ? &preflight : find_route(head, &parameters, &path_is_known);
    if (route == NULL) {
        route = path_is_known ? &no_method : &no_address;
    }
    begin(gateway, route, &parameters, exchange);
}
