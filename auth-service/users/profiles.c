#include "auth-service/users/profiles.h"

#include "auth-service/jwt/issuer.h"
#include "auth-service/users/store.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/secret.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BODY_MAX = 256 * 1024,
    HEADER_SIZE = CONFIG_TEXT_SIZE + 32,
    URL_SIZE = CONFIG_TEXT_SIZE + CLAIM_TEXT_SIZE + 16,
    STORE_TIMEOUT_MS = 10 * 1000,
    MS_IN_S = 1000,
    HTTP_OK = 200,
    HTTP_NOT_FOUND = 404,
    HTTP_TOO_MANY = 429,
    HTTP_SERVER_ERRORS = 500,
};

const struct profiles_timing profiles_default_timing = {
    .fetch_timeout_ms = 10000,
    .retry_min_ms = 1000,
    .retry_max_ms = 60000,
};

struct wanted {
    struct map_node by_user;
    struct list node; /* in profiles->waiting while it waits */
    char user_id[ID_SIZE];
    char subject[CLAIM_TEXT_SIZE];
    int attempts_left;
};

/* One after the other: FETCH, then STORE. */
struct profiles {
    struct profiles_options parts; /* its strings are not used behind the opening */
    char api_url[CONFIG_TEXT_SIZE];
    char authorization[HEADER_SIZE];
    struct timer timer; /* armed while something waits and nothing is under way */
    struct map known;   /* those that wait and the one under way */
    struct list waiting;
    struct wanted *current; /* owned; NULL: none */
    struct http_call *call; /* of it; NULL: none */
    int64_t pause_ms;       /* after the last failure; 0: the last one succeeded */
};

static void forget(struct profiles *profiles, struct wanted *wanted)
{
    map_remove(&profiles->known, &wanted->by_user);
    free(wanted);
}

static void go_on(struct profiles *profiles)
{
    if (!list_is_empty(&profiles->waiting)) {
        timer_arm(&profiles->timer, profiles->pause_ms);
    }
}

/* It is asked for again when the user signs in the next time. */
static void give_up(struct profiles *profiles, const struct err *err)
{
    struct wanted *wanted = TAKE(profiles->current);
    log_warn("profile.not_fetched", LOG_STR("user_id", wanted->user_id), LOG_ERR(err));
    forget(profiles, wanted);
    go_on(profiles);
}

/* Behind the others, and not before the source has had a rest. */
static void retry_later(struct profiles *profiles, int64_t wish_ms, const struct err *err)
{
    const struct profiles_timing *timing = &profiles->parts.timing;
    int64_t pause_ms = profiles->pause_ms == 0 ? timing->retry_min_ms : profiles->pause_ms * 2;
    pause_ms = wish_ms > pause_ms ? wish_ms : pause_ms;
    profiles->pause_ms = pause_ms < timing->retry_max_ms ? pause_ms : timing->retry_max_ms;
    if (--profiles->current->attempts_left == 0) {
        give_up(profiles, err);
        return;
    }
    log_debug("profile.retry", LOG_STR("user_id", profiles->current->user_id), LOG_ERR(err));
    list_append(&profiles->waiting, &TAKE(profiles->current)->node);
    go_on(profiles);
}

static void on_stored(const PGresult *result, const struct err *err, void *arg)
{
    struct profiles *profiles = arg;
    struct err failure;
    if (err != NULL) {
        retry_later(profiles, 0, err);
        return;
    }
    struct wanted *wanted = TAKE(profiles->current);
    profiles->pause_ms = 0;
    if (user_set_profile_read(result) && !announce(profiles->parts.announcer, INVALIDATE_USER,
                                                   wanted->user_id, NULL, NULL, &failure)) {
        log_error("invalidation.not_published", LOG_STR("user_id", wanted->user_id),
                  LOG_ERR(&failure));
    }
    forget(profiles, wanted);
    go_on(profiles);
}

static void store(struct profiles *profiles, const struct profile *profile)
{
    struct err err;
    if (!user_set_profile(profiles->parts.pg, profiles->current->user_id, profile, STORE_TIMEOUT_MS,
                          on_stored, profiles, &err)) {
        retry_later(profiles, 0, &err);
    }
}

static void take(struct profiles *profiles, struct view body)
{
    struct clerk_user user;
    struct err err;
    if (!clerk_user_read(body, &user, &err)) {
        give_up(profiles, &err);
    } else if (strcmp(user.subject, profiles->current->subject) != 0) {
        err_set(&err, ERR_UNAVAILABLE, "the API described another user");
        give_up(profiles, &err);
    } else {
        store(profiles, &user.profile);
    }
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    static const struct profile nobody; /* and older than anything that a webhook will tell */
    struct profiles *profiles = arg;
    struct err failure;
    profiles->call = NULL;
    if (err != NULL) {
        retry_later(profiles, 0, err);
    } else if (reply->status == HTTP_OK) {
        take(profiles, reply->body);
    } else if (reply->status == HTTP_NOT_FOUND) {
        store(profiles, &nobody);
    } else {
        err_set(&failure, ERR_UNAVAILABLE, "user: status %d", reply->status);
        if (reply->status == HTTP_TOO_MANY || reply->status >= HTTP_SERVER_ERRORS) {
            retry_later(profiles, reply->retry_after_s * MS_IN_S, &failure);
        } else {
            give_up(profiles, &failure);
        }
    }
}

static void on_timer(void *arg)
{
    struct profiles *profiles = arg;
    char url[URL_SIZE];
    struct err err;
    profiles->current = LIST_ENTRY(list_pop(&profiles->waiting), struct wanted, node);
    (void)snprintf(url, sizeof url, "%s/v1/users/%s", profiles->api_url,
                   profiles->current->subject);
    static const char agent[] = "User-Agent: insien-auth/" INSIEN_VERSION;
    const char *headers[] = {"Accept: application/json", "Clerk-API-Version: 2025-04-10", agent,
                             profiles->authorization, NULL};
    const struct http_call_options options = {.method = "GET",
                                              .url = url,
                                              .headers = headers,
                                              .timeout_ms = profiles->parts.timing.fetch_timeout_ms,
                                              .response_max = BODY_MAX};
    profiles->call = http_call_begin(profiles->parts.http, &options, on_reply, profiles, &err);
    if (profiles->call == NULL) {
        retry_later(profiles, 0, &err);
    }
}

void profiles_want(struct profiles *profiles, const char user_id[ID_SIZE], const char *subject)
{
    if (!clerk_user_id_is_sound(view_of(subject)) ||
        profiles->known.count >= PROFILES_WAITING_MAX ||
        map_find(&profiles->known, view_of(user_id)) != NULL) {
        return;
    }
    struct wanted *wanted = calloc(1, sizeof *wanted);
    if (wanted == NULL) {
        return; /* as when too many wait */
    }
    memcpy(wanted->user_id, user_id, ID_SIZE);
    (void)snprintf(wanted->subject, sizeof wanted->subject, "%s", subject);
    wanted->attempts_left = PROFILE_ATTEMPTS;
    map_insert(&profiles->known, &wanted->by_user, view_of(wanted->user_id));
    list_append(&profiles->waiting, &wanted->node);
    if (profiles->current == NULL && !timer_is_armed(&profiles->timer)) {
        go_on(profiles);
    }
}

static bool set_up(struct profiles *profiles, const struct profiles_options *options,
                   struct err *err)
{
    struct view url = view_of(options->api_url);
    url.len -= url.len > 0 && url.ptr[url.len - 1] == '/' ? 1 : 0;
    if (!issuer_url_is_allowed(options->api_url) ||
        !view_copy(url, profiles->api_url, sizeof profiles->api_url)) {
        return err_set(err, ERR_INVALID,
                       "CLERK_API_URL must be an https:// address (http:// is for loopback only)");
    }
    if (snprintf(profiles->authorization, sizeof profiles->authorization,
                 "Authorization: Bearer %s",
                 options->secret_key) >= (int)sizeof profiles->authorization) {
        return err_set(err, ERR_INVALID, "CLERK_SECRET_KEY is too long");
    }
    return map_init(&profiles->known, err) &&
           timer_open(&profiles->timer, options->loop, on_timer, profiles, err);
}

struct profiles *profiles_open(const struct profiles_options *options, struct err *err)
{
    struct profiles *profiles = calloc(1, sizeof *profiles);
    if (profiles == NULL) {
        err_set(err, ERR_INTERNAL, "profiles: out of memory");
        return NULL;
    }
    profiles->parts = *options;
    list_init(&profiles->waiting);
    if (!set_up(profiles, options, err)) {
        profiles_close(profiles);
        return NULL;
    }
    return profiles;
}

void profiles_close(struct profiles *profiles)
{
    if (profiles == NULL) {
        return;
    }
    if (profiles->call != NULL) {
        http_call_cancel(TAKE(profiles->call));
    }
    if (profiles->current != NULL) {
        forget(profiles, TAKE(profiles->current));
    }
    struct list *node;
    while ((node = list_pop(&profiles->waiting)) != NULL) {
        forget(profiles, LIST_ENTRY(node, struct wanted, node));
    }
    map_free(&profiles->known);
    timer_close(&profiles->timer);
    secret_wipe(profiles->authorization, sizeof profiles->authorization);
    free(profiles);
}
