#include "auth-service/service.h"

#include "auth-service/admin_calls.h"
#include "auth-service/audit/append.h"
#include "auth-service/call.h"
#include "auth-service/database.h"
#include "auth-service/idempotency/calls.h"
#include "auth-service/key_calls.h"
#include "auth-service/session_calls.h"
#include "auth-service/token_calls.h"
#include "auth-service/user_calls.h"
#include "common/audit/writer.h"
#include "common/base/encode.h"
#include "common/contracts/admin.h"
#include "common/contracts/audit.h"
#include "common/contracts/idempotency.h"
#include "common/contracts/users.h"

#include <stdlib.h>

enum { HEALTH_TIMEOUT_MS = 1000 };

static void free_bytes(uint8_t **bytes)
{
    free(*bytes);
}

struct check_call {
    struct call call;
    struct auth_check_key body;
};

/* The trail names the part of the key that may be shown, so that its owner can be told. */
static void refuse_key(struct check_call *check, const struct err *err)
{
    enum { SHOWN_LEN = API_KEY_PREFIX_SIZE - 1 };
    struct view shown = check->body.key;
    if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED) {
        struct audit_record record = {.action = AUDIT_KEY_REFUSED, .result = AUDIT_REFUSED};
        shown.len = shown.len == API_KEY_LEN ? SHOWN_LEN : 0; /* else it is no key */
        audit_record_set_detail(&record, "prefix", shown);
        audit_record_set_actor(&record, &check->call.request->actor,
                               check->call.request->trace.request_id);
        audit_note(check->call.service->parts.audit, &record);
    }
    call_fail(&check->call, err);
}

static void on_checked(const struct api_key_row *row, const struct err *err, void *arg)
{
    struct check_call *check = arg;
    if (err != NULL) {
        refuse_key(check, err);
        return;
    }
    struct auth_identity reply = {.tier = view_of(row->tier),
                                  .expires_at_ms = row->expires_at_ms,
                                  .scopes = row->scopes,
                                  .max_sandboxes = row->max_sandboxes,
                                  .requests_per_minute = row->requests_per_minute,
                                  .key_limits = view_of(row->key_limits),
                                  .is_admin = row->is_admin};
    memcpy(reply.user_id, row->user_id, sizeof reply.user_id);
    memcpy(reply.api_key_id, row->id, sizeof reply.api_key_id);
    call_succeed(&check->call, &auth_identity_schema, &reply);
}

static void check_key(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct check_call, &auth_check_key_schema);
    struct service *service = arg;
    struct err err;
    struct check_call *check = call_begin(service, exchange, request, &shape);
    if (check != NULL && !key_check(&service->parts.checker, check->body.key,
                                    call_timeout_ms(&check->call), on_checked, check, &err)) {
        refuse_key(check, &err);
    }
}

struct webhook_call {
    struct call call;
    struct auth_webhook body;
};

static void on_webhook_taken(const struct err *err, void *arg)
{
    struct webhook_call *webhook = arg;
    if (err != NULL) {
        call_fail(&webhook->call, err);
    } else {
        call_succeed(&webhook->call, &empty_schema, NULL);
    }
}

static bool receive_webhook(struct webhook_call *webhook, struct err *err)
{
    const struct auth_webhook *body = &webhook->body;
    size_t len = 0;
    AUTO(free_bytes) uint8_t *bytes = malloc(ENCODE_BASE64_DECODED_MAX(body->body_base64.len));
    if (bytes == NULL) {
        return err_set(err, ERR_INTERNAL, "webhook: out of memory");
    }
    if (!encode_base64_decode(ENCODE_BASE64, body->body_base64, bytes, &len)) {
        return err_set(err, ERR_INVALID, "the body of a webhook came as no base64");
    }
    const struct svix_message message = {.id = body->id,
                                         .timestamp = body->timestamp,
                                         .signature = body->signature,
                                         .body = {(const char *)bytes, len}};
    return webhook_receive(webhook->call.service->parts.webhooks, &message,
                           &webhook->call.request->trace, call_timeout_ms(&webhook->call),
                           on_webhook_taken, webhook, err);
}

static void take_webhook(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct webhook_call, &auth_webhook_schema);
    struct err err;
    struct webhook_call *webhook = call_begin(arg, exchange, request, &shape);
    if (webhook != NULL && !receive_webhook(webhook, &err)) {
        call_fail(&webhook->call, &err);
    }
}

struct ended_call {
    struct call call;
    struct auth_key_ids body;
};

static void on_ended_found(const PGresult *result, const struct err *err, void *arg)
{
    struct ended_call *ended = arg;
    struct view ids[AUTH_KEY_IDS_MAX];
    struct auth_key_ids reply = {{ids, 0}};
    if (err != NULL) {
        call_fail(&ended->call, err);
        return;
    }
    for (int row = 0; row < pg_rows(result) && row < AUTH_KEY_IDS_MAX; row++) {
        ids[reply.api_key_ids.count++] = view_of(pg_text(result, row, 0));
    }
    call_succeed(&ended->call, &auth_key_ids_schema, &reply);
}

/* As an array of PostgreSQL. */
static bool write_ids(const struct json_strings *ids, struct str *out, struct err *err)
{
    for (size_t i = 0; i < ids->count; i++) {
        char id[ID_SIZE];
        if (!id_parse(ids->items[i], id)) {
            return err_set(err, ERR_INVALID, "an API key's id is none");
        }
        str_append_char(out, i == 0 ? '{' : ',');
        str_append_string(out, id);
    }
    str_append_string(out, ids->count == 0 ? "{}" : "}");
    return str_check(out, "ids of keys", err);
}

static void find_ended_keys(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct ended_call, &auth_key_ids_schema);
    struct service *service = arg;
    struct err err;
    AUTO(str_free) struct str ids = STR_INIT(AUTH_KEY_IDS_MAX * ID_SIZE + 2);
    struct ended_call *ended = call_begin(service, exchange, request, &shape);
    if (ended != NULL &&
        !(write_ids(&ended->body.api_key_ids, &ids, &err) &&
          api_key_find_ended(service->parts.pg, ids.data, call_timeout_ms(&ended->call),
                             on_ended_found, ended, &err))) {
        call_fail(&ended->call, &err);
    }
}

/* Asks both at a time and answers when both have. */
struct health_call {
    struct call call;
    char body; /* has no members */
    int waiting_for;
    struct auth_health health;
};

static void on_part_answered(struct health_call *health)
{
    if (--health->waiting_for == 0) {
        call_succeed(&health->call, &auth_health_schema, &health->health);
    }
}

static void on_postgres(const PGresult *result, const struct err *err, void *arg)
{
    struct health_call *health = arg;
    (void)result;
    health->health.postgres = err == NULL;
    on_part_answered(health);
}

static void on_redis(const redisReply *reply, const struct err *err, void *arg)
{
    struct health_call *health = arg;
    (void)reply;
    health->health.redis = err == NULL;
    on_part_answered(health);
}

static void health(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct health_call, &empty_schema);
    static const struct view ping[] = {VIEW("PING")};
    struct service *service = arg;
    struct err ignored; /* the answer is that the part is down */
    struct health_call *call = call_begin(service, exchange, request, &shape);
    if (call == NULL) {
        return;
    }
    call->waiting_for = 3;
    if (!database_ping(service->parts.pg, HEALTH_TIMEOUT_MS, on_postgres, call, &ignored)) {
        on_part_answered(call);
    }
    if (!redis_send(service->parts.redis, ping, 1, HEALTH_TIMEOUT_MS, on_redis, call, &ignored)) {
        on_part_answered(call);
    }
    on_part_answered(call); /* this function itself was the third */
}

static const struct ipc_method methods[] = {
    {AUTH_CHECK_KEY, check_key},
    {AUTH_CHECK_SESSION, session_call_check},
    {AUTH_NOTE_SESSIONS, session_call_note},
    {AUTH_MAKE_TOKEN, token_call_make},
    {AUTH_CHECK_TOKEN, token_call_check},
    {AUTH_FIND_ENDED_KEYS, find_ended_keys},
    {AUTH_CREATE_KEY, key_call_create},
    {AUTH_LIST_KEYS, key_call_list},
    {AUTH_REVOKE_KEY, key_call_revoke},
    {AUTH_ROTATE_KEY, key_call_rotate},
    {AUTH_GET_USER, user_call_get},
    {AUTH_UPDATE_USER, user_call_update},
    {AUTH_DELETE_USER, user_call_delete},
    {AUTH_LIST_AUDIT, audit_call_list},
    {AUTH_WEBHOOK, take_webhook},
    {ADMIN_LIST_USERS, admin_call_list_users},
    {ADMIN_CHANGE_USER, admin_call_change_user},
    {ADMIN_LIST_KEYS, admin_call_list_keys},
    {ADMIN_REVOKE_KEY, admin_call_revoke_key},
    {IDEMPOTENCY_CLAIM, idempotency_call_claim},
    {IDEMPOTENCY_RENEW, idempotency_call_renew},
    {IDEMPOTENCY_FINISH, idempotency_call_finish},
    {IDEMPOTENCY_RELEASE, idempotency_call_release},
    {AUDIT_APPEND, audit_call_append},
    {AUTH_HEALTH, health},
};

struct service *service_open(const struct service_parts *parts, const char *url,
                             const struct ipc_tls *tls, struct err *err)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        err_set(err, ERR_INTERNAL, "service: out of memory");
        return NULL;
    }
    service->parts = *parts;
    service->server = ipc_server_open_tls(parts->loop, url, (uid_t)-1, tls, methods,
                                          sizeof methods / sizeof methods[0], service, err);
    if (service->server == NULL) {
        service_free(service);
        return NULL;
    }
    return service;
}

void service_drain(struct service *service, service_drained_fn *on_drained, void *arg)
{
    service->draining = true;
    if (service->open_calls == 0) {
        on_drained(arg);
        return;
    }
    service->on_drained = on_drained;
    service->drained_arg = arg;
}

void service_close(struct service *service)
{
    if (service != NULL) {
        service->on_drained = NULL;
        ipc_server_close(TAKE(service->server));
    }
}

void service_free(struct service *service)
{
    if (service == NULL) {
        return;
    }
    service_close(service);
    free(service);
}
