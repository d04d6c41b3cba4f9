#include "auth-service/key_calls.h"

#include "auth-service/act.h"
#include "auth-service/api_keys/issue.h"
#include "common/base/log.h"

struct create_call {
    struct call call;
    struct auth_create_key body;
    struct audit_act *act; /* owned until it is done */
};
struct rotate_call {
    struct call call;
    struct auth_rotate_key body;
    struct audit_act *act; /* owned until it is done */
};
struct list_call {
    struct call call;
    struct auth_list_keys body;
};
struct revoke_call {
    struct call call;
    struct auth_revoke_key body;
    struct audit_act *act; /* owned until it is done */
};

/* NULL, and the call is answered, when there is no room for its record. */
static struct audit_act *begin_act(struct call *call, enum audit_action action,
                                   const struct api_key_actor *actor)
{
    struct audit_act *act = act_begin(call, action, "api_key");
    if (act != NULL) {
        struct audit_record *record = audit_act_record(act);
        memcpy(record->actor_user, actor->user_id, ID_SIZE);
        memcpy(record->actor_key, actor->actor_key_id, ID_SIZE);
    }
    return act;
}

static void answer_with_key(struct call *call, const struct issued_key *issued, const char *event)
{
    const struct api_key_made *made = &issued->made;
    struct auth_new_key reply = {.key = view_of(issued->key),
                                 .prefix = view_of(issued->prefix),
                                 .name = view_of(made->name),
                                 .created_at = view_of(made->created_at),
                                 .expires_at = view_of(made->expires_at),
                                 .scopes = made->scopes,
                                 .max_sandboxes = made->max_sandboxes,
                                 .requests_per_minute = made->requests_per_minute};
    memcpy(reply.id, made->id, sizeof reply.id);
    memcpy(reply.parent_id, made->parent_id, sizeof reply.parent_id);
    log_info(event, LOG_STR("api_key_id", reply.id), LOG_VIEW("prefix", reply.prefix),
             LOG_STR("parent_id", reply.parent_id), LOG_TRACE(&call->request->trace));
    call_succeed(call, &auth_new_key_schema, &reply);
}

static void on_issued(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct create_call *create = arg;
    act_end(TAKE(create->act), err == NULL ? issued->made.id : "", err);
    if (err != NULL) {
        call_fail(&create->call, err);
    } else {
        answer_with_key(&create->call, issued, "api_key.created");
    }
}

static void issue(struct create_call *create)
{
    const struct service_parts *parts = &create->call.service->parts;
    const struct auth_create_key *body = &create->body;
    struct err err;
    const struct key_order order = {.pg = parts->pg,
                                    .workers = parts->workers,
                                    .id = body->id,
                                    .user_id = body->user_id,
                                    .actor_key_id = body->actor_key_id,
                                    .name = body->name,
                                    .expires_in_days = body->expires_in_days,
                                    .scopes = body->scopes,
                                    .max_sandboxes = body->max_sandboxes,
                                    .requests_per_minute = body->requests_per_minute,
                                    .timeout_ms = call_timeout_ms(&create->call)};
    if (!key_issue(&order, on_issued, create, &err)) {
        act_end(TAKE(create->act), "", &err);
        call_fail(&create->call, &err);
    }
}

void key_call_create(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct create_call, &auth_create_key_schema);
    struct create_call *create = call_begin(arg, exchange, request, &shape);
    if (create == NULL) {
        return;
    }
    const struct api_key_actor actor = {create->body.user_id, create->body.actor_key_id};
    struct audit_act *act = begin_act(&create->call, AUDIT_KEY_CREATED, &actor);
    if (act != NULL) {
        create->act = act;
        issue(create);
    }
}

/* A key that goes on for a while is announced when it expires. */
static void announce_end(const struct rotate_call *rotate)
{
    struct err err;
    if (rotate->body.overlap_s == 0 &&
        !announce(rotate->call.service->parts.revoker.announcer, INVALIDATE_KEY, rotate->body.id,
                  NULL, NULL, &err)) {
        log_error("invalidation.not_published", LOG_STR("api_key_id", rotate->body.id),
                  LOG_ERR(&err));
    }
}

static void on_rotated(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct rotate_call *rotate = arg;
    if (err == NULL) {
        audit_record_set_detail(audit_act_record(rotate->act), "newId", view_of(issued->made.id));
    }
    act_end(TAKE(rotate->act), rotate->body.id, err);
    if (err != NULL) {
        call_fail(&rotate->call, err);
        return;
    }
    announce_end(rotate);
    answer_with_key(&rotate->call, issued, "api_key.rotated");
}

static void replace(struct rotate_call *rotate)
{
    const struct service_parts *parts = &rotate->call.service->parts;
    struct err err;
    const struct key_order order = {.pg = parts->pg,
                                    .workers = parts->workers,
                                    .id = rotate->body.new_id,
                                    .user_id = rotate->body.user_id,
                                    .actor_key_id = rotate->body.actor_key_id,
                                    .replaces_id = rotate->body.id,
                                    .overlap_s = rotate->body.overlap_s,
                                    .timeout_ms = call_timeout_ms(&rotate->call)};
    if (!key_issue(&order, on_rotated, rotate, &err)) {
        act_end(TAKE(rotate->act), rotate->body.id, &err);
        call_fail(&rotate->call, &err);
    }
}

void key_call_rotate(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct rotate_call, &auth_rotate_key_schema);
    struct rotate_call *rotate = call_begin(arg, exchange, request, &shape);
    if (rotate == NULL) {
        return;
    }
    const struct api_key_actor actor = {rotate->body.user_id, rotate->body.actor_key_id};
    struct audit_act *act = begin_act(&rotate->call, AUDIT_KEY_ROTATED, &actor);
    if (act != NULL) {
        rotate->act = act;
        replace(rotate);
    }
}

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

void key_call_list(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct list_call, &auth_list_keys_schema);
    struct list_call *list = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (list == NULL) {
        return;
    }
    const struct api_key_actor actor = {list->body.user_id, list->body.actor_key_id};
    if (!api_key_list(list->call.service->parts.lists, &actor, call_timeout_ms(&list->call),
                      on_list, list, &err)) {
        call_fail(&list->call, &err);
    }
}

static void on_revoked(const struct err *err, void *arg)
{
    struct revoke_call *revoke = arg;
    act_end(TAKE(revoke->act), revoke->body.id, err);
    if (err != NULL) {
        call_fail(&revoke->call, err);
        return;
    }
    log_info("api_key.revoked", LOG_STR("api_key_id", revoke->body.id),
             LOG_STR("user_id", revoke->body.user_id), LOG_TRACE(&revoke->call.request->trace));
    call_succeed(&revoke->call, &empty_schema, NULL);
}

void key_call_revoke(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct revoke_call, &auth_revoke_key_schema);
    struct revoke_call *revoke = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (revoke == NULL) {
        return;
    }
    const struct api_key_actor actor = {revoke->body.user_id, revoke->body.actor_key_id};
    struct audit_act *act = begin_act(&revoke->call, AUDIT_KEY_REVOKED, &actor);
    if (act == NULL) {
        return;
    }
    revoke->act = act;
    if (!key_revoke(&revoke->call.service->parts.revoker, revoke->body.id, &actor,
                    call_timeout_ms(&revoke->call), on_revoked, revoke, &err)) {
        act_end(act, revoke->body.id, &err);
        call_fail(&revoke->call, &err);
    }
}
