#include "auth-service/users/session.h"

#include "auth-service/jwt/verify.h"
#include "auth-service/users/known_sessions.h"
#include "auth-service/users/profiles.h"
#include "auth-service/users/revoked_sessions.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/invalidation.h"

#include <stdlib.h>

/* Somebody whose tokens we believe, with what they are verified by. */
struct source {
    struct token_issuer issuer;
    struct key_set *pem_keys; /* owned; NULL: keys come from jwks */
    struct jwks_cache *jwks;  /* owned; NULL: there is a PEM, or nothing is configured */
};

struct sessions {
    struct sessions_options parts;
    struct source clerk;
    struct source oidc;
    struct known_sessions *known; /* owned */
};

/* KEYS when they have to be fetched, then the token itself, then REVOKED, then USER. */
struct check {
    const struct sessions *sessions; /* borrowed, as the next */
    const struct source *source;
    struct view token; /* borrowed until done */
    struct trace trace;
    int64_t deadline_ms; /* monotonic */
    bool was_known;      /* before it was accepted now */
    bool is_unsure;      /* Redis did not say whether it was revoked */
    struct token_claims claims;
    session_checked_fn *done;
    void *arg;
};

static const double ms_in_s = 1000;
static const double latest_s = 9e12; /* whose milliseconds JSON can still carry */
enum {
    REVOKED_ASK_TIMEOUT_MS = 500,
    UNSURE_KEPT_MS = 1000, /* no longer than a revocation may take to be heard */
};

static bool is_of_clerk(const struct check *check)
{
    return check->source == &check->sessions->clerk;
}

/* Wall clock, as the next. */
static int64_t token_expires_ms(const struct check *check)
{
    double expires_at_s = check->claims.expires_at_s;
    return (int64_t)((expires_at_s < latest_s ? expires_at_s : latest_s) * ms_in_s);
}

static int64_t good_until_ms(const struct check *check)
{
    int64_t expires_ms = token_expires_ms(check);
    int64_t unsure_ms = clock_wall_ms() + UNSURE_KEPT_MS;
    return check->is_unsure && unsure_ms < expires_ms ? unsure_ms : expires_ms;
}

static void finish(struct check *check, const struct user *user, const struct err *err)
{
    const struct session session = {.user = user,
                                    .session_id = check->claims.session_id,
                                    .impersonator = check->claims.actor,
                                    .was_known = check->was_known,
                                    .is_of_clerk = is_of_clerk(check),
                                    .expires_at_ms = good_until_ms(check),
                                    .token_expires_at_ms = token_expires_ms(check)};
    check->done(err == NULL ? &session : NULL, err, check->arg);
    free(check);
}

/* The precise reason goes to the log; the client learns only whether a new token would help. */
static bool hide_reason(const struct check *check, struct err *err)
{
    bool expired = strcmp(err->reason, "token-expired") == 0;
    log_info("session.refused", LOG_STR("reason", err->reason), LOG_TRACE(&check->trace));
    (void)err_set_reason(err, ERR_UNAUTHENTICATED, expired ? "token_expired" : "invalid_session",
                         expired ? "Session expired" : "Invalid or expired session");
    return false;
}

static void refuse(struct check *check, const char *reason)
{
    struct err refusal;
    err_set_reason(&refusal, ERR_UNAUTHENTICATED, reason, "session refused: %s", reason);
    (void)hide_reason(check, &refusal);
    finish(check, NULL, &refusal);
}

static void refuse_suspended(struct check *check)
{
    struct err refusal;
    log_info("session.refused", LOG_STR("reason", "user-suspended"), LOG_TRACE(&check->trace));
    (void)user_refuse_suspended(&refusal);
    finish(check, NULL, &refusal);
}

static void on_user(const struct user *user, const struct err *err, void *arg)
{
    struct check *check = arg;
    if (err != NULL && err->code == ERR_UNAUTHENTICATED) {
        refuse(check, "user-deleted");
        return;
    }
    if (err == NULL && user->session_has_ended) { /* Redis may have lost it, or be away */
        refuse(check, "session-revoked");
        return;
    }
    if (err == NULL && user->suspended) {
        refuse_suspended(check);
        return;
    }
    if (err == NULL && user->is_new) {
        log_info("user.created", LOG_STR("user_id", user->id),
                 LOG_STR("issuer", check->source->issuer.issuer), LOG_TRACE(&check->trace));
    }
    if (err == NULL && user->lacks_profile && is_of_clerk(check) &&
        check->sessions->parts.profiles != NULL) {
        profiles_want(check->sessions->parts.profiles, user->id, check->claims.subject);
    }
    if (err == NULL) {
        check->was_known = known_sessions_has(check->sessions->known, check->source->issuer.issuer,
                                              &check->claims);
        known_sessions_note(check->sessions->known, check->source->issuer.issuer, &check->claims);
    }
    if (err == NULL && check->claims.actor[0] != '\0') {
        log_info("session.impersonated", LOG_STR("user_id", user->id),
                 LOG_STR("actor", check->claims.actor), LOG_TRACE(&check->trace));
    }
    finish(check, user, err);
}

static bool find_user(struct check *check, struct err *err)
{
    const struct user_identity identity = {
        .issuer = check->source->issuer.issuer,
        .subject = check->claims.subject,
        .session_id = is_of_clerk(check) ? check->claims.session_id : NULL};
    int64_t left_ms = check->deadline_ms - clock_monotonic_ms();
    if (left_ms <= 0) {
        return err_set(err, ERR_TIMEOUT, "checking a session took too long");
    }
    return user_find_or_make(check->sessions->parts.pg, &identity, left_ms, on_user, check, err);
}

/* Only PostgreSQL can say whether the session was revoked, and nobody counts who tries. */
static bool find_known_user(struct check *check, struct err *err)
{
    check->is_unsure = true;
    if (known_sessions_has(check->sessions->known, check->source->issuer.issuer, &check->claims)) {
        return find_user(check, err);
    }
    return err_set_reason(err, ERR_UNAVAILABLE, "rate_limit_unavailable",
                          "Redis is away, and nobody signs in without");
}

static void on_revoked_known(const redisReply *reply, const struct err *err, void *arg)
{
    struct check *check = arg;
    struct err failure;
    if (err == NULL && revoked_sessions_read(reply)) {
        refuse(check, "session-revoked");
    } else if (!(err == NULL ? find_user : find_known_user)(check, &failure)) {
        finish(check, NULL, &failure);
    }
}

static bool verify_and_find(struct check *check, const struct key_set *keys, struct err *err)
{
    const struct sessions_options *parts = &check->sessions->parts;
    const struct token_policy *policy = &check->source->issuer.policy;
    const char *session_id = check->claims.session_id;
    double now_s = (double)clock_wall_ms() / ms_in_s;
    struct err ignored; /* not knowing is told by no log line a request */
    if (!token_verify(check->token, policy, keys, now_s, &check->claims, err)) {
        return hide_reason(check, err);
    }
    if (!redis_is_up(parts->redis)) {
        return find_known_user(check, err);
    }
    if (!is_of_clerk(check) || !session_id_is_sound(view_of(session_id))) {
        return find_user(check, err);
    }
    return revoked_sessions_ask(parts->redis, parts->instance, session_id, REVOKED_ASK_TIMEOUT_MS,
                                on_revoked_known, check, &ignored) ||
           find_known_user(check, err);
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

/* Who is to verify a token: a token that names neither is refused by either. */
static const struct source *source_of(const struct sessions *sessions, struct view token)
{
    if (!sessions->oidc.issuer.configured) {
        return &sessions->clerk;
    }
    bool is_of_oidc = !sessions->clerk.issuer.configured ||
                      token_names_issuer(token, sessions->oidc.issuer.issuer);
    return is_of_oidc ? &sessions->oidc : &sessions->clerk;
}

static bool begin(struct check *check, struct err *err)
{
    const struct source *source = check->source;
    char kid[KEY_ID_SIZE];
    if (!token_read_kid(check->token, &source->issuer.policy, kid, err)) {
        return hide_reason(check, err);
    }
    const struct key_set *keys =
        source->pem_keys != NULL ? source->pem_keys : jwks_cache_peek(source->jwks, view_of(kid));
    if (keys != NULL) {
        return verify_and_find(check, keys, err);
    }
    return jwks_wait_begin(source->jwks, view_of(kid), on_keys, check, err) != NULL;
}

bool session_check(struct sessions *sessions, struct view token, const struct trace *trace,
                   int64_t timeout_ms, session_checked_fn *done, void *arg, struct err *err)
{
    if (!sessions->clerk.issuer.configured && !sessions->oidc.issuer.configured) {
        return err_set_reason(err, ERR_UNAVAILABLE, "clerk_not_configured",
                              "sign-in is not set up: set CLERK_PUBLISHABLE_KEY, or AUTH_ISSUER");
    }
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return err_set(err, ERR_INTERNAL, "session check: out of memory");
    }
    check->sessions = sessions;
    check->source = source_of(sessions, token);
    check->token = token;
    check->deadline_ms = clock_monotonic_ms() + timeout_ms;
    check->done = done;
    check->arg = arg;
    check->trace = *trace;
    if (!begin(check, err)) {
        free(check);
        return false;
    }
    return true;
}

static bool open_keys(const struct sessions *sessions, struct source *source, struct err *err)
{
    const struct clerk_settings *settings = sessions->parts.clerk;
    if (!source->issuer.configured) {
        return true;
    }
    if (source->issuer.has_pem) {
        source->pem_keys = key_set_from_pem(view_of(settings->jwt_key), err);
        return source->pem_keys != NULL || err_wrap(err, "CLERK_JWT_KEY");
    }
    const struct jwks_options options = {
        .url = source->issuer.jwks_url,
        .secret_key = source->issuer.jwks_needs_secret ? settings->secret_key : NULL,
        .with_ec = source->issuer.policy.is_oidc,
        .timing = jwks_default_timing};
    source->jwks = jwks_cache_open(sessions->parts.loop, sessions->parts.http, &options, err);
    return source->jwks != NULL;
}

static bool resolve(struct sessions *sessions, struct err *err)
{
    const struct sessions_options *parts = &sessions->parts;
    struct token_issuer *clerk = &sessions->clerk.issuer;
    struct token_issuer *oidc = &sessions->oidc.issuer;
    if (!clerk_resolve(parts->clerk, clerk, err) ||
        !oidc_resolve(parts->oidc, parts->clerk->clock_skew_s, oidc, err)) {
        return false;
    }
    return !clerk->configured || !oidc->configured || strcmp(clerk->issuer, oidc->issuer) != 0 ||
           err_set(err, ERR_INVALID,
                   "AUTH_ISSUER is Clerk's: it is for an issuer beside Clerk or instead of it");
}

static void log_issuers(const struct sessions *sessions)
{
    const struct token_issuer *clerk = &sessions->clerk.issuer;
    if (!clerk->configured) {
        log_info("clerk.not_configured");
    } else if (clerk->policy.authorized_party_count == 0) {
        log_warn("clerk.any_party_accepted",
                 LOG_STR("hint", "set CLERK_AUTHORIZED_PARTIES to the origins of your pages"));
    }
    if (sessions->oidc.issuer.configured) {
        log_info("oidc.configured", LOG_STR("issuer", sessions->oidc.issuer.issuer));
    }
}

struct sessions *sessions_open(const struct sessions_options *options, struct err *err)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        err_set(err, ERR_INTERNAL, "sessions: out of memory");
        return NULL;
    }
    sessions->parts = *options;
    sessions->known = known_sessions_new(err);
    if (sessions->known == NULL || !resolve(sessions, err) ||
        !open_keys(sessions, &sessions->clerk, err) || !open_keys(sessions, &sessions->oidc, err)) {
        sessions_close(sessions);
        return NULL;
    }
    log_issuers(sessions);
    return sessions;
}

void sessions_stop(struct sessions *sessions)
{
    if (sessions != NULL) {
        jwks_cache_close(TAKE(sessions->clerk.jwks));
        jwks_cache_close(TAKE(sessions->oidc.jwks));
    }
}

void sessions_close(struct sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    sessions_stop(sessions);
    key_set_free(sessions->clerk.pem_keys);
    known_sessions_free(sessions->known);
    free(sessions);
}

const char *sessions_clerk_issuer(const struct sessions *sessions)
{
    return sessions->clerk.issuer.configured ? sessions->clerk.issuer.issuer : "";
}
