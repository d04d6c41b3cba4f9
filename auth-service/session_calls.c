#include "auth-service/session_calls.h"

#include "auth-service/act.h"
#include "auth-service/users/session_watch.h"
#include "auth-service/users/sign_in.h"

struct check_call {
    struct call call;
    struct auth_check_session body;
    struct audit_act *arrival; /* owned until the user is known, who may be made by the way */
    struct audit_act *sign_in; /* the same, of a session that is new */
};

static void refuse(struct check_call *check, const struct err *err)
{
    struct audit_act *arrival = TAKE(check->arrival);
    struct audit_record *record = audit_act_record(arrival);
    if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED) {
        record->action = AUDIT_SESSION_REFUSED;
        record->result = AUDIT_REFUSED;
        record->target_kind[0] = '\0';
        audit_record_set_detail(record, "reason", view_of(err->reason));
        audit_note(check->call.service->parts.audit, record);
    }
    audit_act_cancel(arrival);
    audit_act_cancel(TAKE(check->sign_in));
    call_fail(&check->call, err);
}

static void record_sign_in(struct check_call *check, const struct session *session)
{
    const struct service_parts *parts = &check->call.service->parts;
    struct audit_act *sign_in = TAKE(check->sign_in);
    if (session->was_known) {
        audit_act_cancel(sign_in);
    } else {
        sign_in_tell(parts->redis, parts->instance, sign_in, session);
    }
}

static void record_arrival(struct audit_act *arrival, const struct user *user)
{
    if (!user->is_new) {
        audit_act_cancel(arrival);
        return;
    }
    memcpy(audit_act_record(arrival)->actor_user, user->id, ID_SIZE);
    act_end(arrival, user->id, NULL);
}

static void on_checked(const struct session *session, const struct err *err, void *arg)
{
    struct check_call *check = arg;
    if (err != NULL) {
        refuse(check, err);
        return;
    }
    const struct user *user = session->user;
    struct auth_identity reply = {
        .session_id = view_of(session->session_id),
        .impersonator = view_of(session->impersonator),
        .tier = view_of(user->tier),
        .expires_at_ms = session->expires_at_ms,
        .scopes = user->is_admin ? AUTH_SCOPES_ALL : AUTH_SCOPES_DEFAULT,
        .is_admin = user->is_admin,
        .watch_session = session->is_of_clerk && check->call.service->parts.session_watch != NULL,
        .return_at_ms = session->is_of_clerk ? 0 : session->token_expires_at_ms};
    memcpy(reply.user_id, user->id, sizeof reply.user_id);
    record_arrival(TAKE(check->arrival), user);
    record_sign_in(check, session);
    call_succeed(&check->call, &auth_identity_schema, &reply);
}

void session_call_check(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape =
        CALL_SHAPE(struct check_call, &auth_check_session_schema);
    struct err err;
    struct check_call *check = call_begin(arg, exchange, request, &shape);
    struct audit_act *arrival =
        check == NULL ? NULL : act_begin(&check->call, AUDIT_USER_CREATED, "user");
    if (arrival == NULL) {
        return;
    }
    check->arrival = arrival;
    check->sign_in = act_begin(&check->call, AUDIT_SESSION_STARTED, "session");
    if (check->sign_in == NULL) {
        audit_act_cancel(arrival);
        return;
    }
    if (!session_check(check->call.service->parts.sessions, check->body.token, &request->trace,
                       call_timeout_ms(&check->call), on_checked, check, &err)) {
        refuse(check, &err);
    }
}

struct note_call {
    struct call call;
    struct auth_session_ids body;
};

void session_call_note(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct note_call, &auth_session_ids_schema);
    struct note_call *note = call_begin(arg, exchange, request, &shape);
    if (note == NULL) {
        return;
    }
    struct session_watch *watch = note->call.service->parts.session_watch;
    for (size_t i = 0; watch != NULL && i < note->body.session_ids.count; i++) {
        session_watch_note(watch, note->body.session_ids.items[i]);
    }
    call_succeed(&note->call, &empty_schema, NULL);
}
