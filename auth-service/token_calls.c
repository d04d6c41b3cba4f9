#include "auth-service/token_calls.h"

#include "auth-service/act.h"
#include "auth-service/tokens/store.h"
#include "auth-service/users/session_watch.h"
#include "auth-service/users/store.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"

enum { MS_IN_S = 1000 };

struct make_call {
    struct call call;
    struct auth_make_token body;
    struct audit_act *act; /* owned until it is done */
    struct client_token token;
};
struct check_call {
    struct call call;
    struct auth_check_session body;
    struct client_token token;
};

static void fail_make(struct make_call *make, const struct err *err)
{
    act_end(TAKE(make->act), make->body.sandbox_id, err);
    call_fail(&make->call, err);
}

/* The key or the session was good a moment ago. */
static bool refuse_maker(const struct make_call *make, struct err *err)
{
    bool is_key = make->body.actor_key_id[0] != '\0';
    return err_set_reason(err, ERR_UNAUTHENTICATED, is_key ? "invalid_api_key" : "invalid_session",
                          is_key ? "The API key is not valid." : "Invalid or expired session");
}

static bool fill_token(struct make_call *make, const struct token_maker_row *row, struct err *err)
{
    const struct auth_make_token *body = &make->body;
    struct client_token *token = &make->token;
    if (row->is_suspended) {
        return user_refuse_suspended(err);
    }
    token->scopes = (unsigned)body->scopes;
    if (token->scopes == 0 || (token->scopes & ~row->scopes) != 0) {
        return err_set_reason(err, ERR_DENIED, "missing_scope",
                              "A token has no scopes that its maker lacks.");
    }
    token->watch_session = body->watch_session;
    memcpy(token->user_id, body->user_id, ID_SIZE);
    memcpy(token->sandbox_id, body->sandbox_id, ID_SIZE);
    memcpy(token->api_key_id, body->actor_key_id, ID_SIZE);
    token->issued_at_s = clock_wall_ms() / MS_IN_S;
    token->expires_at_s = token->issued_at_s + body->ttl_s;
    if (row->ends_at_ms != 0 && row->ends_at_ms / MS_IN_S < token->expires_at_s) {
        token->expires_at_s = row->ends_at_ms / MS_IN_S;
    }
    return id_new(token->id, err);
}

static void answer_token(struct make_call *make)
{
    struct err err;
    struct str text = STR_INIT(AUTH_TOKEN_MAX);
    const struct client_token *token = &make->token;
    if (!client_token_write(make->call.service->parts.client_tokens, token, &text, &err)) {
        fail_make(make, &err);
    } else {
        const struct auth_new_token reply = {.token = str_view(&text),
                                             .expires_at_ms = token->expires_at_s * MS_IN_S,
                                             .scopes = token->scopes};
        audit_record_set_detail(audit_act_record(make->act), "tokenId", view_of(token->id));
        act_end(TAKE(make->act), token->sandbox_id, NULL);
        log_info("client_token.made", LOG_STR("token_id", token->id),
                 LOG_STR("sandbox_id", token->sandbox_id), LOG_TRACE(&make->call.request->trace));
        call_succeed(&make->call, &auth_new_token_schema, &reply);
    }
    if (text.data != NULL) {
        secret_wipe(text.data, text.len);
    }
    str_free(&text);
}

static void on_maker_of_new(const PGresult *result, const struct err *err, void *arg)
{
    struct make_call *make = arg;
    struct token_maker_row row;
    struct err failure;
    if (err != NULL) {
        fail_make(make, err);
    } else if (!(token_maker_read(result, &row) || refuse_maker(make, &failure)) ||
               !fill_token(make, &row, &failure)) {
        fail_make(make, &failure);
    } else {
        answer_token(make);
    }
}

static bool find_maker_of_new(struct make_call *make, struct err *err)
{
    const struct auth_make_token *body = &make->body;
    struct client_token *token = &make->token;
    char ends_at[CLOCK_ISO_SIZE];
    if (!view_copy(body->session_id, token->session_id, sizeof token->session_id) ||
        !view_copy(body->impersonator, token->impersonator, sizeof token->impersonator) ||
        !view_copy(body->sandbox_ends_at, ends_at, sizeof ends_at)) {
        return err_set(err, ERR_INVALID, "client token: a text is none");
    }
    const struct token_maker maker = {body->user_id, body->actor_key_id, token->session_id,
                                      ends_at};
    return token_maker_find(make->call.service->parts.pg, &maker, call_timeout_ms(&make->call),
                            on_maker_of_new, make, err);
}

void token_call_make(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct make_call, &auth_make_token_schema);
    struct err err;
    struct make_call *make = call_begin(arg, exchange, request, &shape);
    struct audit_act *act =
        make == NULL ? NULL : act_begin(&make->call, AUDIT_TOKEN_MADE, "sandbox");
    if (act == NULL) {
        return;
    }
    make->act = act;
    if (!find_maker_of_new(make, &err)) {
        fail_make(make, &err);
    }
}

static void refuse_token(struct check_call *check, const struct err *err)
{
    const struct client_token *token = &check->token;
    if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_DENIED) {
        struct audit_record record = {.action = AUDIT_TOKEN_REFUSED, .result = AUDIT_REFUSED};
        audit_record_set_detail(&record, "reason", view_of(err->reason));
        audit_record_set_actor(&record, &check->call.request->actor,
                               check->call.request->trace.request_id);
        memcpy(record.actor_user, token->user_id, ID_SIZE);
        memcpy(record.actor_key, token->api_key_id, ID_SIZE);
        audit_text_set(record.target_kind, sizeof record.target_kind,
                       token->id[0] == '\0' ? VIEW("") : VIEW("sandbox"));
        audit_text_set(record.target, sizeof record.target, view_of(token->sandbox_id));
        audit_note(check->call.service->parts.audit, &record);
    }
    call_fail(&check->call, err);
}

static bool check_maker(const struct token_maker_row *row, bool serves, struct err *err)
{
    if (!serves) {
        return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_token",
                              "Invalid or expired token");
    }
    return !row->is_suspended || user_refuse_suspended(err);
}

/* Gateways tell of what is long; this is what is short. */
static void watch_session(const struct check_call *check)
{
    struct session_watch *watch = check->call.service->parts.session_watch;
    if (watch != NULL && check->token.watch_session) {
        session_watch_note(watch, view_of(check->token.session_id));
    }
}

static void on_maker_of_known(const PGresult *result, const struct err *err, void *arg)
{
    struct check_call *check = arg;
    const struct client_token *token = &check->token;
    struct token_maker_row row;
    struct err failure;
    if (err != NULL) {
        call_fail(&check->call, err);
        return;
    }
    if (!check_maker(&row, token_maker_read(result, &row), &failure)) {
        refuse_token(check, &failure);
        return;
    }
    watch_session(check);
    struct auth_identity reply = {.watch_session = token->watch_session,
                                  .session_id = view_of(token->session_id),
                                  .impersonator = view_of(token->impersonator),
                                  .tier = view_of(row.tier),
                                  .expires_at_ms = token->expires_at_s * MS_IN_S,
                                  .scopes = token->scopes & row.scopes,
                                  .requests_per_minute = row.requests_per_minute,
                                  .key_limits = view_of(row.key_limits)};
    memcpy(reply.user_id, token->user_id, ID_SIZE);
    memcpy(reply.api_key_id, token->api_key_id, ID_SIZE);
    memcpy(reply.sandbox_id, token->sandbox_id, ID_SIZE);
    call_succeed(&check->call, &auth_identity_schema, &reply);
}

/* What a refused text says is not believed, but for one whose time is over. */
static bool read_token(struct check_call *check, struct err *err)
{
    const struct client_token_key *key = check->call.service->parts.client_tokens;
    bool read =
        client_token_read(key, check->body.token, clock_wall_ms() / MS_IN_S, &check->token, err);
    if (!read && strcmp(err->reason, "token_expired") != 0) {
        check->token = (struct client_token){.scopes = 0};
    }
    return read;
}

void token_call_check(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape =
        CALL_SHAPE(struct check_call, &auth_check_session_schema);
    struct err err;
    struct check_call *check = call_begin(arg, exchange, request, &shape);
    if (check == NULL) {
        return;
    }
    const struct client_token *token = &check->token;
    if (!read_token(check, &err)) {
        refuse_token(check, &err);
        return;
    }
    const struct token_maker maker = {token->user_id, token->api_key_id, token->session_id, ""};
    if (!token_maker_find(check->call.service->parts.pg, &maker, call_timeout_ms(&check->call),
                          on_maker_of_known, check, &err)) {
        call_fail(&check->call, &err);
    }
}
