#include "auth-service/user_calls.h"

#include "auth-service/act.h"
#include "auth-service/audit/trail_store.h"
#include "auth-service/users/account_store.h"
#include "common/base/log.h"

struct get_call {
    struct call call;
    struct auth_get_user body;
};
struct update_call {
    struct call call;
    struct auth_update_user body;
    struct audit_act *act; /* owned until it is done */
};
struct delete_call {
    struct call call;
    struct auth_delete_user body;
    struct audit_act *act; /* owned until it is done */
};
struct audit_call {
    struct call call;
    struct auth_list_audit body;
    struct audit_act *act; /* owned until it is done; NULL: of who reads their own */
};

static void answer_with_user(struct call *call, const PGresult *result)
{
    struct auth_user user;
    struct err err;
    if (account_read(result, &user, &err)) {
        call_succeed(call, &auth_user_schema, &user);
    } else {
        call_fail(call, &err);
    }
}

static void on_got(const PGresult *result, const struct err *err, void *arg)
{
    struct get_call *get = arg;
    if (err != NULL) {
        call_fail(&get->call, err);
    } else {
        answer_with_user(&get->call, result);
    }
}

void user_call_get(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct get_call, &auth_get_user_schema);
    struct get_call *get = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (get != NULL && !account_get(get->call.service->parts.pg, get->body.user_id,
                                    call_timeout_ms(&get->call), on_got, get, &err)) {
        call_fail(&get->call, &err);
    }
}

/* Of what users do with themselves. NULL, and the call is answered, when there is no room for its
 * record. */
static struct audit_act *begin_act(struct call *call, enum audit_action action,
                                   const char user_id[ID_SIZE], const char key_id[ID_SIZE])
{
    struct audit_act *act = act_begin(call, action, "user");
    if (act != NULL) {
        struct audit_record *record = audit_act_record(act);
        memcpy(record->actor_user, user_id, ID_SIZE);
        memcpy(record->actor_key, key_id, ID_SIZE);
    }
    return act;
}

static void on_updated(const PGresult *result, const struct err *err, void *arg)
{
    struct update_call *update = arg;
    act_end(TAKE(update->act), update->body.user_id, err);
    if (err != NULL) {
        call_fail(&update->call, err);
        return;
    }
    log_info("user.updated", LOG_STR("user_id", update->body.user_id),
             LOG_TRACE(&update->call.request->trace));
    answer_with_user(&update->call, result);
}

/* What was changed, not to what: the trail is kept when the account is over. */
static void name_fields(const struct auth_update_user *body, struct audit_record *record)
{
    const char *names = !body->sets_avatar_url     ? "displayName"
                        : !body->sets_display_name ? "avatarUrl"
                                                   : "displayName avatarUrl";
    audit_record_set_detail(record, "fields", view_of(names));
}

void user_call_update(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct update_call, &auth_update_user_schema);
    struct update_call *update = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (update == NULL) {
        return;
    }
    const struct auth_update_user *body = &update->body;
    update->act = begin_act(&update->call, AUDIT_USER_UPDATED, body->user_id, body->actor_key_id);
    if (update->act == NULL) {
        return;
    }
    name_fields(body, audit_act_record(update->act));
    if (!account_update(update->call.service->parts.pg, body, call_timeout_ms(&update->call),
                        on_updated, update, &err)) {
        act_end(TAKE(update->act), body->user_id, &err);
        call_fail(&update->call, &err);
    }
}

static void on_announced(bool published, void *arg)
{
    struct delete_call *leave = arg;
    if (!published) {
        log_warn("invalidation.delayed", LOG_STR("user_id", leave->body.user_id));
    }
    call_succeed(&leave->call, &empty_schema, NULL);
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    struct delete_call *leave = arg;
    struct err failure;
    (void)result;
    act_end(TAKE(leave->act), leave->body.user_id, err);
    if (err != NULL) {
        call_fail(&leave->call, err);
        return;
    }
    log_info("user.deleted", LOG_STR("user_id", leave->body.user_id),
             LOG_TRACE(&leave->call.request->trace));
    if (!announce(leave->call.service->parts.revoker.announcer, INVALIDATE_USER,
                  leave->body.user_id, on_announced, leave, &failure)) {
        log_error("invalidation.not_published", LOG_STR("user_id", leave->body.user_id),
                  LOG_ERR(&failure));
        call_succeed(&leave->call, &empty_schema, NULL);
    }
}

void user_call_delete(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct delete_call, &auth_delete_user_schema);
    struct delete_call *leave = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (leave == NULL) {
        return;
    }
    const struct auth_delete_user *body = &leave->body;
    leave->act = begin_act(&leave->call, AUDIT_USER_DELETED, body->user_id, body->actor_key_id);
    if (leave->act == NULL) {
        return;
    }
    if (!account_delete(leave->call.service->parts.pg, body, call_timeout_ms(&leave->call),
                        on_deleted, leave, &err)) {
        act_end(TAKE(leave->act), body->user_id, &err);
        call_fail(&leave->call, &err);
    }
}

/* The only way out that answers with records; the others end in fail_list. */
static void finish_list(struct audit_call *list, const struct auth_audit_page *page)
{
    audit_act_end_with(TAKE(list->act), list->body.user_id, NULL);
    call_succeed(&list->call, &auth_audit_page_schema, page);
}

static void fail_list(struct audit_call *list, const struct err *err)
{
    audit_act_end_with(TAKE(list->act), list->body.user_id, err);
    call_fail(&list->call, err);
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct audit_call *list = arg;
    char cursor[AUDIT_CURSOR_SIZE];
    struct str records = STR_INIT(AUDIT_TRAIL_TEXT_MAX);
    struct err failure;
    if (err != NULL) {
        fail_list(list, err);
        return;
    }
    audit_trail_write(result, list->body.limit, &records, cursor);
    if (str_check(&records, "records of the audit trail", &failure)) {
        const struct auth_audit_page page = {str_view(&records), view_of(cursor)};
        finish_list(list, &page);
    } else {
        fail_list(list, &failure);
    }
    str_free(&records);
}

/* Nobody looks at what others did without a record of it. False: the call is answered. */
static bool begin_reading(struct audit_call *list)
{
    if (!list->body.is_for_admin) {
        return true;
    }
    list->act =
        act_begin(&list->call, AUDIT_TRAIL_READ, list->body.user_id[0] == '\0' ? "" : "user");
    return list->act != NULL;
}

void audit_call_list(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct audit_call, &auth_list_audit_schema);
    struct audit_call *list = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (list != NULL && begin_reading(list) &&
        !audit_trail_list(list->call.service->parts.lists, &list->body,
                          call_timeout_ms(&list->call), on_listed, list, &err)) {
        fail_list(list, &err);
    }
}
