#include "auth-service/users/session.h"

#include "auth-service/jwt/verify.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/ipc/envelope.h"

#include <stdlib.h>

struct sessions {
    struct pg_pool *pg; /* borrowed */
    struct clerk clerk;
    struct key_set *pem_keys; /* owned; NULL: keys come from jwks */
    struct jwks_cache *jwks;  /* owned; NULL: there is a PEM, or nothing is configured */
};

struct check {
    struct sessions *sessions; /* borrowed */
    struct view token;         /* borrowed until done */
    char request_id[IPC_REQUEST_ID_SIZE];
    int64_t deadline_ms; /* monotonic */
    struct token_claims claims;
    user_found_fn *done;
    void *arg;
};

static const double ms_in_s = 1000;

static void finish(struct check *check, const struct user *user, const struct err *err)
{
    check->done(user, err, check->arg);
    free(check);
}

/* The precise reason goes to the log; the client learns only whether a new token would help. */
static bool hide_reason(const struct check *check, struct err *err)
{
    bool expired = strcmp(err->reason, "token-expired") == 0;
    log_info("session.refused", LOG_STR("reason", err->reason),
             LOG_STR("request_id", check->request_id));
    (void)err_set_reason(err, ERR_UNAUTHENTICATED, expired ? "token_expired" : "invalid_session",
                         expired ? "Session expired" : "Invalid or expired session");
    return false;
}

static void on_user(const struct user *user, const struct err *err, void *arg)
{
    struct check *check = arg;
    if (err == NULL && user->suspended) {
        struct err refusal;
        err_set_reason(&refusal, ERR_UNAUTHENTICATED, "user-suspended", "the user is suspended");
        (void)hide_reason(check, &refusal);
        finish(check, NULL, &refusal);
        return;
    }
    if (err == NULL && user->is_new) {
        log_info("user.created", LOG_STR("user_id", user->id),
                 LOG_STR("issuer", check->sessions->clerk.issuer),
                 LOG_STR("request_id", check->request_id));
    }
    if (err == NULL && check->claims.actor[0] != '\0') {
        log_info("session.impersonated", LOG_STR("user_id", user->id),
                 LOG_STR("actor", check->claims.actor), LOG_STR("request_id", check->request_id));
    }
    finish(check, user, err);
}

static bool verify_and_find(struct check *check, const struct key_set *keys, struct err *err)
{
    struct sessions *sessions = check->sessions;
    double now_s = (double)clock_wall_ms() / ms_in_s;
    if (!token_verify(check->token, &sessions->clerk.policy, keys, now_s, &check->claims, err)) {
        return hide_reason(check, err);
    }
    struct user_identity identity = {.issuer = sessions->clerk.issuer,
                                     .subject = check->claims.subject};
    int64_t left_ms = check->deadline_ms - clock_monotonic_ms();
    if (left_ms <= 0) {
        return err_set(err, ERR_TIMEOUT, "checking a session took too long");
    }
    return user_find_or_make(sessions->pg, &identity, left_ms, on_user, check, err);
}

static void on_keys(const struct key_set *keys, const struct err *err, void *arg)
{
    struct check *check = arg;
    struct err failure;
    if (err != NULL) {
        finish(check, NULL, err);
    } else if (!verify_and_find(check, keys, &failure)) {
        finish(check, NULL, &failure);
    }
}

static bool begin(struct check *check, struct err *err)
{
    struct sessions *sessions = check->sessions;
    char kid[KEY_ID_SIZE];
    if (!token_read_kid(check->token, &sessions->clerk.policy, kid, err)) {
        return hide_reason(check, err);
    }
    const struct key_set *keys = sessions->pem_keys != NULL
                                     ? sessions->pem_keys
                                     : jwks_cache_peek(sessions->jwks, view_of(kid));
    if (keys != NULL) {
        return verify_and_find(check, keys, err);
    }
    return jwks_wait_begin(sessions->jwks, view_of(kid), on_keys, check, err) != NULL;
}

bool session_check(struct sessions *sessions, struct view token, const char *request_id,
                   int64_t timeout_ms, user_found_fn *done, void *arg, struct err *err)
{
    if (!sessions->clerk.configured) {
        return err_set_reason(err, ERR_UNAVAILABLE, "clerk_not_configured",
                              "Signing in is not set up here: set CLERK_JWKS_URL or CLERK_JWT_KEY, "
                              "and CLERK_ISSUER");
    }
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return err_set(err, ERR_INTERNAL, "session check: out of memory");
    }
    check->sessions = sessions;
    check->token = token;
    check->deadline_ms = clock_monotonic_ms() + timeout_ms;
    check->done = done;
    check->arg = arg;
    if (!view_copy(view_of(request_id), check->request_id, sizeof check->request_id)) {
        check->request_id[0] = '\0';
    }
    if (!begin(check, err)) {
        free(check);
        return false;
    }
    return true;
}

static bool open_keys(struct sessions *sessions, struct loop *loop, struct http_client *http,
                      const struct clerk_settings *settings, struct err *err)
{
    if (sessions->clerk.has_pem) {
        sessions->pem_keys = key_set_from_pem(view_of(settings->jwt_key), err);
        return sessions->pem_keys != NULL || err_wrap(err, "CLERK_JWT_KEY");
    }
    struct jwks_options options = {
        .url = sessions->clerk.jwks_url,
        .secret_key = sessions->clerk.jwks_needs_secret ? settings->secret_key : NULL,
        .timing = jwks_default_timing};
    sessions->jwks = jwks_cache_open(loop, http, &options, err);
    return sessions->jwks != NULL;
}

struct sessions *sessions_open(struct loop *loop, struct pg_pool *pg, struct http_client *http,
                               const struct clerk_settings *settings, struct err *err)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        err_set(err, ERR_INTERNAL, "sessions: out of memory");
        return NULL;
    }
    sessions->pg = pg;
    if (!clerk_resolve(settings, &sessions->clerk, err) ||
        (sessions->clerk.configured && !open_keys(sessions, loop, http, settings, err))) {
        sessions_close(sessions);
        return NULL;
    }
    if (!sessions->clerk.configured) {
        log_info("clerk.not_configured");
    } else if (sessions->clerk.policy.authorized_party_count == 0) {
        log_warn("clerk.any_party_accepted",
                 LOG_STR("hint", "set CLERK_AUTHORIZED_PARTIES to the origins of your pages"));
    }
    return sessions;
}

void sessions_close(struct sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    jwks_cache_close(sessions->jwks);
    key_set_free(sessions->pem_keys);
    free(sessions);
}
