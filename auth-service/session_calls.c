#include "auth-service/session_calls.h"

#include "auth-service/api_keys/issue.h"
#include "auth-service/call.h"
#include "common/base/log.h"

struct create_call {
    struct call call;
    struct auth_create_key body;
};
struct list_call {
    struct call call;
    struct auth_list_keys body;
};
struct revoke_call {
    struct call call;
    struct auth_revoke_key body;
    char user_id[ID_SIZE];
};

/* Each begins with the user that the token speaks for. */
static void find_user(struct call *call, struct view token, user_found_fn *on_user)
{
    struct err err;
    if (!session_check(call->service->parts.sessions, token, call->request->request_id,
                       call_timeout_ms(call), on_user, call, &err)) {
        call_fail(call, &err);
    }
}

/* POST /api/keys: USER, then ISSUE. */
static void on_issued(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct create_call *create = arg;
    if (err != NULL) {
        call_fail(&create->call, err);
        return;
    }
    struct auth_new_key reply = {.key = view_of(issued->key),
                                 .prefix = view_of(issued->prefix),
                                 .name = view_of(issued->name),
                                 .created_at = view_of(issued->times.created_at),
                                 .expires_at = view_of(issued->times.expires_at)};
    memcpy(reply.id, issued->times.id, sizeof reply.id);
    log_info("api_key.created", LOG_STR("api_key_id", reply.id), LOG_VIEW("prefix", reply.prefix),
             LOG_STR("request_id", create->call.request->request_id));
    call_succeed(&create->call, &auth_new_key_schema, &reply);
}

static void on_create_user(const struct user *user, const struct err *err, void *arg)
{
    struct create_call *create = arg;
    const struct service_parts *parts = &create->call.service->parts;
    struct err failure;
    if (err != NULL) {
        call_fail(&create->call, err);
        return;
    }
    const struct key_order order = {.pg = parts->pg,
                                    .workers = parts->workers,
                                    .user_id = user->id,
                                    .name = create->body.name,
                                    .expires_in_days = create->body.expires_in_days,
                                    .timeout_ms = call_timeout_ms(&create->call)};
    if (!key_issue(&order, on_issued, create, &failure)) {
        call_fail(&create->call, &failure);
    }
}

void session_call_create_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                             void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct create_call, &auth_create_key_schema);
    struct create_call *create = call_begin(arg, exchange, request, &shape);
    if (create != NULL) {
        find_user(&create->call, create->body.token, on_create_user);
    }
}

/* GET /api/keys: USER, then LIST. */
static void on_list(const PGresult *result, const struct err *err, void *arg)
{
    struct list_call *list = arg;
    struct str array = STR_INIT(IPC_MESSAGE_MAX);
    struct err failure;
    if (err != NULL) {
        call_fail(&list->call, err);
        return;
    }
    api_key_list_read(result, &array);
    if (str_check(&array, "list of API keys", &failure)) {
        const struct auth_key_list reply = {.api_keys = str_view(&array)};
        call_succeed(&list->call, &auth_key_list_schema, &reply);
    } else {
        call_fail(&list->call, &failure);
    }
    str_free(&array);
}

static void on_list_user(const struct user *user, const struct err *err, void *arg)
{
    struct list_call *list = arg;
    struct err failure;
    if (err != NULL) {
        call_fail(&list->call, err);
    } else if (!api_key_list(list->call.service->parts.pg, user->id, call_timeout_ms(&list->call),
                             on_list, list, &failure)) {
        call_fail(&list->call, &failure);
    }
}

void session_call_list_keys(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct list_call, &auth_list_keys_schema);
    struct list_call *list = call_begin(arg, exchange, request, &shape);
    if (list != NULL) {
        find_user(&list->call, list->body.token, on_list_user);
    }
}

/* DELETE /api/keys/{id}: USER, then REVOKE. */
static void on_revoked(const struct err *err, void *arg)
{
    struct revoke_call *revoke = arg;
    if (err != NULL) {
        call_fail(&revoke->call, err);
        return;
    }
    log_info("api_key.revoked", LOG_STR("api_key_id", revoke->body.id),
             LOG_STR("user_id", revoke->user_id),
             LOG_STR("request_id", revoke->call.request->request_id));
    call_succeed(&revoke->call, &empty_schema, NULL);
}

static void on_revoke_user(const struct user *user, const struct err *err, void *arg)
{
    struct revoke_call *revoke = arg;
    struct err failure;
    if (err != NULL) {
        call_fail(&revoke->call, err);
        return;
    }
    memcpy(revoke->user_id, user->id, sizeof revoke->user_id);
    if (!key_revoke(&revoke->call.service->parts.revoker, revoke->body.id, user->id,
                    call_timeout_ms(&revoke->call), on_revoked, revoke, &failure)) {
        call_fail(&revoke->call, &failure);
    }
}

void session_call_revoke_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                             void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct revoke_call, &auth_revoke_key_schema);
    struct revoke_call *revoke = call_begin(arg, exchange, request, &shape);
    if (revoke != NULL) {
        find_user(&revoke->call, revoke->body.token, on_revoke_user);
    }
}
