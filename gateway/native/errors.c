#include "gateway/native/errors.h"

#include "common/base/log.h"
#include "common/contracts/auth.h"
#include "common/json/write.h"
#include "gateway/http/server.h"

enum {
    ERROR_BODY_MAX = 16 * 1024,
    RETRY_AFTER_S = 1,
    QUOTA_RETRY_AFTER_S = 10, /* something has to end first */
    NODE_RETRY_AFTER_S = 60,  /* an operator has to act */
    CLERK_RETRY_AFTER_S = 5,  /* before its keys are known it is asked this often at least */
};

/* What is not the client's business gets a fixed sentence; what has a status of its own is here. */
static const struct known_error {
    const char *reason;
    int status;           /* 0: the code's */
    const char *code;     /* NULL: the reason */
    const char *sentence; /* NULL: the message, when it is public */
    int retry_after_s;    /* 0: the least, for 429 and 503; negative: asking again does not help */
} known_errors[] = {
    {"agent_lost", 503, NULL, "The agent in the sandbox is not connected; try again shortly.", 0},
    {"connection_refused", 502, NULL, "Nothing in the sandbox listens on this port.", 0},
    {"connect_timeout", 504, NULL, "The port in the sandbox does not answer.", 0},
    {"agent_timeout", 504, NULL, "The agent in the sandbox did not answer in time.", 0},
    {"clerk_not_configured", 503, NULL,
     "Sign-in is not configured here: set CLERK_PUBLISHABLE_KEY, or AUTH_ISSUER for another "
     "issuer.",
     -1},
    {"clerk_unavailable", 503, NULL, "Sign-in can't be checked right now; try again shortly.",
     CLERK_RETRY_AFTER_S},
    {"audit_unavailable", 503, NULL,
     "Nothing can be changed while it can't be recorded; try again shortly.", 0},
    {"webhooks_not_configured", 503, NULL,
     "Webhooks are not set up here: set CLERK_WEBHOOK_SIGNING_SECRET.", -1},
    {"webhook_refused", 400, NULL, "The webhook was not accepted.", 0},
    {"webhook_unreadable", 400, NULL, "The webhook was not understood.", 0},
    {"docker_unavailable", 503, NULL, "The container engine is not available; try again shortly.",
     0},
    {"sandbox_starting", 409, NULL, "The sandbox is still being created.", 0},
    {"sandbox_paused", 409, NULL,
     "The sandbox is paused, and requests do not wake it: resume it first.", 0},
    {"sandbox_busy", 409, NULL, "The sandbox is being paused and resumed by others.", 0},
    {"pause_failed", 503, NULL, "The sandbox could not be paused; it goes on running.", 0},
    {"resume_failed", 503, NULL, "The sandbox could not be resumed; it stays paused.", 0},
    {"network_unavailable", 503, NULL,
     "This server does not offer this network to sandboxes now: ask for network \"none\".", 0},
    {"runtime_unavailable", 503, NULL, "The container engine does not have the template's runtime.",
     -1},
    {"overloaded", 503, NULL, "Too many sandboxes are being created; try again shortly.", 0},
    {"unavailable", 503, "service_unavailable", "A service is not available; try again shortly.",
     0},
    {"start_failed", 409, NULL, NULL, -1},
    {"start_timeout", 504, NULL, "What the template starts did not serve in time.", 0},
    {"timeout", 504, NULL, "A service did not answer in time; try again.", 0},
    {"internal", 500, "internal_error", "Something went wrong on our side.", 0},
    /* Unknown ids and those of others: the same bytes, whichever process noticed. */
    {"sandbox_not_found", 404, NULL, "Sandbox not found", 0},
    {"api_key_not_found", 404, NULL, "API key not found", 0},
    {"invalid_api_key", 401, NULL, "The API key is not valid.", 0},
    {"template_not_found", 404, NULL,
     "There is no such template; GET /api/templates lists those there are.", 0},
    {"image_not_found", 503, "template_image_missing",
     "This server does not have the template's image yet: the operator makes it with "
     "SANDBOX_IMAGES.",
     -1},
    {"template_exists", 409, NULL, "There is a template with this name already.", 0},
    {"template_not_ready", 409, NULL, "The template is not ready.", 0},
    {"template_elsewhere", 409, NULL, "The template's image is on another machine.", 0},
    {"template_in_use", 409, NULL, "Sandboxes of this template are alive, or still end.", 1},
    {"template_of_server", 403, NULL, "Templates that come with the server stay.", 0},
    {"template_quota_exceeded", 429, NULL,
     "You have as many templates as there can be: delete one.", -1},
    {"templates_in_making", 429, NULL,
     "Other templates of yours are being made, or wait for their folder: that has to end first.",
     QUOTA_RETRY_AFTER_S},
    {"template_queue_full", 503, NULL, "Too many templates are being made; try again shortly.",
     QUOTA_RETRY_AFTER_S},
    {"template_context_too_large", 413, NULL, NULL, -1},
    {"builds_not_allowed", 403, NULL,
     "Images are not built here: the operator can allow it with TEMPLATE_BUILDS=on.", 0},
    {"key_rights_exceeded", 403, NULL,
     "A key has no more scopes, no higher limits and no longer life than the key that makes it, "
     "and \"admin\" only when its user is an administrator.",
     0},
    {"child_key", 403, NULL, "A key that another key made can't end the account.", 0},
    {"api_key_ended", 409, NULL, "This API key was revoked, or has expired.", 0},
    {"api_key_limit", 429, NULL,
     "You have as many API keys in use as there can be: revoke one first.", QUOTA_RETRY_AFTER_S},
    {"key_quota_exceeded", 429, NULL,
     "This API key, with those made by it, has as many sandboxes as it may have: destroy one, or "
     "wait until one ends.",
     QUOTA_RETRY_AFTER_S},
    {"account_not_found", 404, NULL, "There is no such user.", 0},
    {"account_deleted", 409, NULL, "This user's account was deleted.", 0},
    {"own_account", 409, NULL, "Nobody suspends themselves: another administrator can.", 0},
    {"not_admin", 403, "missing_scope", "This is for administrators.", 0},
    {"account_suspended", 403, NULL, "This account is suspended.", 0},
    {"user_suspended", 403, "account_suspended", "This account is suspended.", 0},
    {"quota_exceeded", 429, NULL,
     "You have as many sandboxes as your tier allows: destroy one, or wait until one ends.",
     QUOTA_RETRY_AFTER_S},
    {"tier_limit_exceeded", 403, NULL,
     "That is more memory, CPU, processes or disk than a sandbox of your tier may have: "
     "GET /sandbox/quota/usage tells how much it may.",
     0},
    {"node_full", 503, NULL,
     "This server has no memory left for one more sandbox; try again shortly.",
     QUOTA_RETRY_AFTER_S},
    {"node_disk_full", 503, NULL,
     "This server has too little disk left for one more sandbox; try again later.",
     NODE_RETRY_AFTER_S},
    {"node_draining", 503, NULL,
     "This server takes no more sandboxes: it is about to be serviced. Those it has go on.",
     NODE_RETRY_AFTER_S},
    {"port_not_found", 404, NULL, "This port of the sandbox is not exposed.", 0},
    {"port_quota_exceeded", 429, NULL,
     "The sandbox has as many exposed ports as it may have: close one.", QUOTA_RETRY_AFTER_S},
    {"host_ports_exhausted", 503, NULL, "Every port of this server for sandboxes is in use.",
     QUOTA_RETRY_AFTER_S},
    {"secret_not_found", 404, NULL, "You have no secret of this name.", 0},
    {"secret_quota_exceeded", 429, NULL,
     "You have as many secrets as there can be: delete one first.", QUOTA_RETRY_AFTER_S},
    {"secrets_too_large", 400, NULL, "The secrets of one sandbox must not exceed 256 KiB together.",
     0},
    {"secrets_not_configured", 503, NULL, "This server keeps no secrets.", 0},
    {"secret_unreadable", 503, NULL,
     "This server can't read a secret that the sandbox is to have: its operator has to give it the "
     "key again, or you the value.",
     0},
    {"volume_not_found", 404, NULL, "You have no volume of this name.", 0},
    {"volume_exists", 409, NULL, "You have a volume of this name already.", 0},
    {"volume_path_unsafe", 409, NULL, "A part of a volume's path is a symbolic link, or no folder.",
     0},
    {"volume_in_use", 409, NULL, NULL, 1}, /* a sandbox that ends has it a moment longer */
    {"volume_elsewhere", 409, NULL, "The volumes of one sandbox must lie on one machine.", 0},
    {"volume_named_twice", 400, NULL, "A sandbox has a volume in one place.", 0},
    {"volume_quota_exceeded", 429, NULL,
     "Your volumes are as many or as large as your tier allows: delete one first.",
     QUOTA_RETRY_AFTER_S},
    {"volumes_unavailable", 503, NULL, "This server can't make or mount volumes now.", 0},
    {"disk_full", 503, NULL, "The disks of this server are full.", 0},
    {"snapshot_quota_exceeded", 429, NULL, NULL, QUOTA_RETRY_AFTER_S},
    {"webhook_exists", 409, NULL, "There is a webhook with this id already.", 0},
    {"webhook_limit", 429, NULL, "You have as many webhooks as there can be: delete one first.",
     QUOTA_RETRY_AFTER_S},
    {"network_changing", 409, NULL,
     "The network of this sandbox is being changed; try again shortly.", 1},
    {"network_addresses_exhausted", 429, NULL,
     "Every address of this server for restricted sandboxes is in use.", QUOTA_RETRY_AFTER_S},
    {"idempotency_key_reused", 409, NULL,
     "This Idempotency-Key came with another request within the last 24 hours.", -1},
    {"idempotency_in_progress", 409, NULL,
     "A request with this Idempotency-Key is still under way; try again shortly.", 1},
    {"idempotency_limit", 429, NULL, "You used too many Idempotency-Keys within 24 hours.", 60},
    {"rate_limit_unavailable", 503, NULL,
     "This can't be done while requests can't be counted; try again shortly.", 0},
    {"sandbox_exists", 409, NULL, "There is a sandbox with this id already.", 0},
    {"upgrade_required", 426, NULL, NULL, 0},
    {"unsupported_media_type", 415, NULL, NULL, 0},
    {"method_not_allowed", 405, NULL, NULL, 0},
    {"not_implemented", 501, NULL, NULL, 0},
};

/* For an error that has come without a message of its own: then the reason stands there. */
static const struct {
    const char *reason;
    const char *sentence;
} bare_errors[] = {
    {"sandbox_ended", "The sandbox has ended."},
    {"snapshot_quota_exceeded", "Your snapshots take all the room that your tier has: delete one."},
    {"user_deleted", "This user's account was deleted."},
    {"user_not_found", "There is no such user."},
    {"volume_in_use", "The volume is in use by a sandbox, and is not shared."},
};

static const struct known_error *find(const struct err *err)
{
    for (size_t i = 0; i < sizeof known_errors / sizeof known_errors[0]; i++) {
        if (strcmp(known_errors[i].reason, err->reason) == 0) {
            return &known_errors[i];
        }
    }
    return NULL;
}

static const char *public_message(const struct err *err)
{
    for (size_t i = 0; i < sizeof bare_errors / sizeof bare_errors[0]; i++) {
        if (strcmp(err->message, bare_errors[i].reason) == 0) {
            return bare_errors[i].sentence;
        }
    }
    return err->message;
}

const char *errors_sentence(const struct err *err)
{
    const struct known_error *known = find(err);
    if (known != NULL && known->sentence != NULL) {
        return known->sentence;
    }
    if (err_message_is_public(err->code)) {
        return public_message(err);
    }
    switch (err->code) {
    case ERR_TIMEOUT:
        return "It took too long; try again.";
    case ERR_UNAVAILABLE:
        return "A service is not available; try again shortly.";
    default:
        return "Something went wrong on our side.";
    }
}

const char *errors_code(const struct err *err)
{
    const struct known_error *known = find(err);
    return known != NULL && known->code != NULL ? known->code : err->reason;
}

void errors_missing_scope(unsigned scope, struct err *err)
{
    err_set_reason(err, ERR_DENIED, "missing_scope", "This needs a key with the scope \"%s\".",
                   auth_scope_name(scope));
}

void errors_client_refused(struct err *err)
{
    err_set_reason(err, ERR_DENIED, "client_token_refused",
                   "A client token can't do this: it uses its one sandbox, and makes no tokens.");
}

static void write_details(struct json_writer *writer, const struct json_violations *violations)
{
    json_begin_array(writer, "details");
    for (size_t i = 0; i < violations->count; i++) {
        json_begin_object(writer, NULL);
        json_string(writer, "path", view_of(violations->items[i].path));
        json_string(writer, "message", view_of(violations->items[i].message));
        json_end_object(writer);
    }
    json_end_array(writer);
}

static int retry_after(const struct known_error *known, int status)
{
    if (known != NULL && known->retry_after_s != 0) {
        return known->retry_after_s;
    }
    return status == 429 || status == 503 ? RETRY_AFTER_S : 0;
}

static void respond(struct http_exchange *exchange, const struct err *err,
                    const struct json_violations *violations, int retry_after_s)
{
    static const struct http_header challenge = {VIEW("WWW-Authenticate"),
                                                 VIEW("Bearer realm=\"insien\"")};
    static const struct http_header invalid_token = {VIEW("WWW-Authenticate"),
                                                     VIEW("Bearer error=\"invalid_token\"")};
    static const struct http_header upgrade = {VIEW("Sec-WebSocket-Version"), VIEW("13")};
    const struct known_error *known = find(err);
    int status = known != NULL && known->status != 0 ? known->status : err_http_status(err->code);
    if (status >= 500) {
        log_warn("request.failed", LOG_TRACE(http_exchange_trace(exchange)),
                 LOG_INT("status", status), LOG_ERR(err));
    }
    AUTO(str_free) struct str body = STR_INIT(ERROR_BODY_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_string(&writer, "error", view_of(errors_sentence(err)));
    json_string(&writer, "code", view_of(errors_code(err)));
    json_string(&writer, "requestId", view_of(http_exchange_request_id(exchange)));
    if (violations != NULL && violations->count > 0) {
        write_details(&writer, violations);
    }
    json_end_object(&writer);
    struct http_response response = {
        .status = status,
        .body = str_view(&body),
        .retry_after_s = retry_after_s > 0 ? retry_after_s : retry_after(known, status)};
    if (status == 401) {
        response.headers =
            strcmp(err->reason, "unauthenticated") == 0 ? &challenge : &invalid_token;
        response.header_count = 1;
    } else if (status == 426) {
        response.headers = &upgrade;
        response.header_count = 1;
    }
    http_respond(exchange, &response);
}

void errors_respond(struct http_exchange *exchange, const struct err *err,
                    const struct json_violations *violations)
{
    respond(exchange, err, violations, 0);
}

void errors_respond_later(struct http_exchange *exchange, const struct err *err, int retry_after_s)
{
    respond(exchange, err, NULL, retry_after_s);
}
