#include "auth-service/admin_calls.h"

#include "auth-service/act.h"
#include "auth-service/users/admin_store.h"
#include "common/base/log.h"

struct users_call {
    struct call call;
    struct admin_list_users body;
};
struct keys_call {
    struct call call;
    struct admin_list_keys body;
};
struct change_call {
    struct call call;
    struct admin_change_user body;
    struct audit_act *tier;       /* owned until it is done; NULL: it is not set */
    struct audit_act *suspension; /* the same */
};
struct revoke_call {
    struct call call;
    struct admin_revoke_key body;
    struct audit_act *act; /* owned until it is done */
};

/* A list of any kind: how its rows are written, and where one stands. */
struct list_kind {
    void (*write)(const PGresult *result, int count, struct str *out);
    void (*locate)(const PGresult *result, int row, struct position *out);
};

/* limit rows make the page; when there is one more, it ends with a cursor. */
static void answer_with_page(struct call *call, const struct list_kind *kind,
                             const PGresult *result, int64_t limit)
{
    char cursor[POSITION_CURSOR_SIZE] = "";
    struct position last;
    struct err err;
    AUTO(str_free) struct str items = STR_INIT(IPC_MESSAGE_MAX / 2);
    int count = pg_rows(result);
    if (count > limit) {
        count = (int)limit;
        kind->locate(result, count - 1, &last);
        position_write_cursor(&last, cursor);
    }
    kind->write(result, count, &items);
    if (str_check(&items, "a page", &err)) {
        const struct admin_page page = {.items = str_view(&items), .next_cursor = view_of(cursor)};
        call_succeed(call, &admin_page_schema, &page);
    } else {
        call_fail(call, &err);
    }
}

static void on_users(const PGresult *result, const struct err *err, void *arg)
{
    static const struct list_kind kind = {admin_users_read, admin_user_position};
    struct users_call *users = arg;
    if (err != NULL) {
        call_fail(&users->call, err);
    } else {
        answer_with_page(&users->call, &kind, result, users->body.limit);
    }
}

void admin_call_list_users(struct ipc_exchange *exchange, const struct ipc_request *request,
                           void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct users_call, &admin_list_users_schema);
    struct users_call *users = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (users != NULL && !admin_list_users(users->call.service->parts.lists, &users->body,
                                           call_timeout_ms(&users->call), on_users, users, &err)) {
        call_fail(&users->call, &err);
    }
}

static void on_keys(const PGresult *result, const struct err *err, void *arg)
{
    static const struct list_kind kind = {api_key_list_all_read, api_key_position};
    struct keys_call *keys = arg;
    if (err != NULL) {
        call_fail(&keys->call, err);
    } else {
        answer_with_page(&keys->call, &kind, result, keys->body.limit);
    }
}

void admin_call_list_keys(struct ipc_exchange *exchange, const struct ipc_request *request,
                          void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct keys_call, &admin_list_keys_schema);
    struct keys_call *keys = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (keys != NULL && !api_key_list_all(keys->call.service->parts.lists, &keys->body,
                                          call_timeout_ms(&keys->call), on_keys, keys, &err)) {
        call_fail(&keys->call, &err);
    }
}

static void end_acts(struct change_call *change, const struct err *err)
{
    act_end(TAKE(change->tier), change->body.user_id, err);
    act_end(TAKE(change->suspension), change->body.user_id, err);
}

/* Begins at once on the way: what is not heard there ends by itself within a minute. */
static void tell_gateways(const struct change_call *change, bool is_suspended)
{
    struct err err;
    enum invalidation_kind kind = is_suspended ? INVALIDATE_USER : INVALIDATE_ACCOUNT;
    if (!announce(change->call.service->parts.revoker.announcer, kind, change->body.user_id, NULL,
                  NULL, &err)) {
        log_error("invalidation.not_published", LOG_STR("user_id", change->body.user_id),
                  LOG_ERR(&err));
    }
}

static void on_changed(const PGresult *result, const struct err *err, void *arg)
{
    struct change_call *change = arg;
    AUTO(str_free) struct str user = STR_INIT(IPC_MESSAGE_MAX / 2);
    struct err failure;
    end_acts(change, err);
    if (err != NULL) {
        call_fail(&change->call, err);
        return;
    }
    log_info("user.changed", LOG_STR("user_id", change->body.user_id),
             LOG_STR("admin_id", change->body.admin_id), LOG_VIEW("tier", change->body.tier),
             LOG_INT("suspended", admin_user_is_suspended(result)),
             LOG_TRACE(&change->call.request->trace));
    tell_gateways(change, admin_user_is_suspended(result));
    admin_user_read(result, &user);
    if (str_check(&user, "a user", &failure)) {
        const struct admin_user reply = {.user = str_view(&user)};
        call_succeed(&change->call, &admin_user_schema, &reply);
    } else {
        call_fail(&change->call, &failure);
    }
}

/* Takes their places in the trail; false, and the call is answered, when there is no room. */
static bool begin_acts(struct change_call *change)
{
    const struct admin_change_user *body = &change->body;
    if (body->tier.len > 0) {
        change->tier = act_begin(&change->call, AUDIT_USER_TIER_SET, "user");
        if (change->tier == NULL) {
            return false;
        }
        audit_record_set_detail(audit_act_record(change->tier), "tier", body->tier);
    }
    if (!body->sets_suspended) {
        return true;
    }
    struct audit_act *tier = TAKE(change->tier); /* the call ends with a failure */
    struct audit_act *suspension = act_begin(
        &change->call, body->suspended ? AUDIT_USER_SUSPENDED : AUDIT_USER_RESTORED, "user");
    if (suspension == NULL) {
        audit_act_cancel(tier);
        return false;
    }
    if (body->reason.len > 0) {
        audit_record_set_detail(audit_act_record(suspension), "why", body->reason);
    }
    change->tier = tier;
    change->suspension = suspension;
    return true;
}

void admin_call_change_user(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    static const struct call_shape shape =
        CALL_SHAPE(struct change_call, &admin_change_user_schema);
    struct change_call *change = call_begin(arg, exchange, request, &shape);
    struct err err;
    if (change == NULL || !begin_acts(change)) {
        return;
    }
    if (!admin_change_user(change->call.service->parts.pg, &change->body,
                           call_timeout_ms(&change->call), on_changed, change, &err)) {
        end_acts(change, &err);
        call_fail(&change->call, &err);
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
             LOG_STR("admin_id", revoke->body.admin_id), LOG_TRACE(&revoke->call.request->trace));
    call_succeed(&revoke->call, &empty_schema, NULL);
}

void admin_call_revoke_key(struct ipc_exchange *exchange, const struct ipc_request *request,
                           void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct revoke_call, &admin_revoke_key_schema);
    struct revoke_call *revoke = call_begin(arg, exchange, request, &shape);
    struct audit_act *act =
        revoke == NULL ? NULL : act_begin(&revoke->call, AUDIT_KEY_REVOKED, "api_key");
    struct err err;
    if (act == NULL) {
        return;
    }
    revoke->act = act;
    if (!key_revoke_any(&revoke->call.service->parts.revoker, &revoke->body,
                        call_timeout_ms(&revoke->call), on_revoked, revoke, &err)) {
        act_end(TAKE(revoke->act), revoke->body.id, &err);
        call_fail(&revoke->call, &err);
    }
}
