#include "auth-service/users/session_watch.h"

#include "auth-service/jwt/issuer.h"
#include "auth-service/tokens/store.h"
#include "auth-service/users/revoked_sessions.h"
#include "common/audit/act.h"
#include "common/base/clock.h"
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/secret.h"
#include "common/contracts/auth.h"
#include "common/json/read.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BODY_MAX = 64 * 1024,
    HEADER_SIZE = CONFIG_TEXT_SIZE + 32,
    URL_SIZE = CONFIG_TEXT_SIZE + SESSION_ID_SIZE + 16,
    STORE_TIMEOUT_MS = 5000,
    MS_IN_S = 1000,
    HTTP_OK = 200,
    HTTP_NOT_FOUND = 404,
};

const struct session_watch_timing session_watch_default_timing = {
    .gap_ms = 125, /* 80 in ten seconds: Clerk lets a development instance ask 100 */
    .kept_ms = 3 * AUTH_NOTE_SESSIONS_MS + AUTH_NOTE_SESSIONS_MS / 2,
    .fetch_timeout_ms = 10000,
    .retry_min_ms = 1000,
    .retry_max_ms = 60000,
};

struct watched {
    struct map_node by_id;
    struct list node; /* in the queue, unless it is the current one */
    char id[SESSION_ID_SIZE];
    int64_t seen_ms; /* monotonic, as all times here */
    int64_t due_ms;
};

/* One after the other: ASK, and of a session that ended RECORD (for client tokens of it), DENY (its
 * own tokens) and ANNOUNCE. */
struct session_watch {
    struct session_watch_options parts; /* its strings are not used behind the opening */
    char instance[INVALIDATION_CHANNEL_SIZE];
    char api_url[CONFIG_TEXT_SIZE];
    char authorization[HEADER_SIZE];
    struct timer timer;
    struct map known;
    struct list queue;       /* by due_ms */
    struct watched *current; /* owned; NULL: none is asked for */
    struct http_call *call;  /* about it; NULL: none */
    int64_t next_ms;         /* nothing is asked before */
    int64_t pause_ms;        /* after the last failure; 0: the last one succeeded */
    struct audit_act *act;   /* owned; of a session that is being ended */
};

static void forget(struct session_watch *watch, struct watched *watched)
{
    map_remove(&watch->known, &watched->by_id);
    list_remove(&watched->node);
    free(watched);
}

static void enqueue(struct session_watch *watch, struct watched *watched, int64_t due_ms)
{
    struct list *before = watch->queue.previous;
    watched->due_ms = due_ms;
    while (before != &watch->queue && LIST_ENTRY(before, struct watched, node)->due_ms > due_ms) {
        before = before->previous;
    }
    list_append(before->next, &watched->node);
}

static void go_on(struct session_watch *watch)
{
    if (watch->current != NULL || list_is_empty(&watch->queue)) {
        return;
    }
    int64_t now_ms = clock_monotonic_ms();
    int64_t due_ms = LIST_ENTRY(watch->queue.next, struct watched, node)->due_ms;
    int64_t at_ms = due_ms > watch->next_ms ? due_ms : watch->next_ms;
    timer_arm(&watch->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

/* It serves, as far as we know: its turn comes again. */
static void keep(struct session_watch *watch)
{
    enqueue(watch, TAKE(watch->current), clock_monotonic_ms() + watch->parts.timing.interval_ms);
    go_on(watch);
}

/* Nothing was learnt. The source has a rest; then come the others that are due, and then this one.
 */
static void retry_later(struct session_watch *watch, int64_t wish_ms, const struct err *err)
{
    const struct session_watch_timing *timing = &watch->parts.timing;
    int64_t now_ms = clock_monotonic_ms();
    int64_t pause_ms = watch->pause_ms == 0 ? timing->retry_min_ms : watch->pause_ms * 2;
    if (watch->pause_ms == 0) {
        log_warn("session_watch.paused", LOG_ERR(err));
    }
    pause_ms = wish_ms > pause_ms ? wish_ms : pause_ms;
    watch->pause_ms = pause_ms < timing->retry_max_ms ? pause_ms : timing->retry_max_ms;
    watch->next_ms = now_ms + watch->pause_ms;
    enqueue(watch, TAKE(watch->current), now_ms);
    go_on(watch);
}

static void on_denied(const redisReply *reply, const struct err *err, void *arg)
{
    struct session_watch *watch = arg;
    struct err failure;
    (void)reply;
    if (err != NULL) {
        audit_act_cancel(TAKE(watch->act));
        retry_later(watch, 0, err);
        return;
    }
    struct watched *watched = TAKE(watch->current);
    audit_act_end_with(TAKE(watch->act), watched->id, NULL);
    log_info("session.ended_at_clerk", LOG_STR("session_id", watched->id));
    if (!announce(watch->parts.announcer, INVALIDATE_SESSION, watched->id, NULL, NULL, &failure)) {
        log_error("invalidation.not_published", LOG_STR("session_id", watched->id),
                  LOG_ERR(&failure));
    }
    forget(watch, watched);
    go_on(watch);
}

static void deny(struct session_watch *watch)
{
    struct err err;
    if (!revoked_sessions_add(watch->parts.redis, watch->instance, watch->current->id,
                              STORE_TIMEOUT_MS, on_denied, watch, &err)) {
        on_denied(NULL, &err, watch);
    }
}

static void on_recorded(const PGresult *result, const struct err *err, void *arg)
{
    struct session_watch *watch = arg;
    (void)result;
    if (err != NULL) {
        on_denied(NULL, err, watch);
    } else {
        deny(watch);
    }
}

static void end(struct session_watch *watch)
{
    struct err err;
    watch->act = revoked_sessions_begin_act(watch->parts.audit, watch->current->id, &err);
    if (watch->act == NULL) {
        retry_later(watch, 0, &err);
    } else if (watch->parts.pg == NULL) {
        deny(watch);
    } else if (!token_maker_end_session(watch->parts.pg, watch->current->id, STORE_TIMEOUT_MS,
                                        on_recorded, watch, &err)) {
        on_denied(NULL, &err, watch);
    }
}

struct description {
    struct view id;
    struct view status;
};
static const struct json_field description_fields[] = {
    JSON_STRING(struct description, id, "id", .required = true, .max_len = SESSION_ID_MAX),
    JSON_STRING(struct description, status, "status", .required = true, .max_len = SESSION_ID_MAX),
};

/* What we have no word for is no reason to cut anybody off. */
static bool has_ended(struct view status)
{
    static const struct view words[] = {VIEW("abandoned"), VIEW("ended"),    VIEW("expired"),
                                        VIEW("removed"),   VIEW("replaced"), VIEW("revoked")};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (view_equal(status, words[i])) {
            return true;
        }
    }
    return false;
}

static void take(struct session_watch *watch, struct view body)
{
    struct description description;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(body, &JSON_SCHEMA(description_fields), &description, NULL, &err);
    if (doc == NULL || !view_equal(description.id, view_of(watch->current->id))) {
        err_set(&err, ERR_UNAVAILABLE, "the API described no such session");
        retry_later(watch, 0, &err);
        return;
    }
    watch->pause_ms = 0;
    if (has_ended(description.status)) {
        end(watch);
    } else {
        keep(watch);
    }
}

/* Clerk's word for it; a 404 of whoever else stands at the address says nothing. */
static bool says_not_found(const struct http_reply *reply)
{
    static const struct view code = VIEW("\"resource_not_found\"");
    return reply->status == HTTP_NOT_FOUND && reply->body.len > 0 &&
           memmem(reply->body.ptr, reply->body.len, code.ptr, code.len) != NULL;
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct session_watch *watch = arg;
    struct err failure;
    watch->call = NULL;
    if (err != NULL) {
        retry_later(watch, 0, err);
    } else if (reply->status == HTTP_OK) {
        take(watch, reply->body);
    } else if (says_not_found(reply)) {
        watch->pause_ms = 0;
        end(watch);
    } else {
        err_set(&failure, ERR_UNAVAILABLE, "session: status %d", reply->status);
        retry_later(watch, reply->retry_after_s * MS_IN_S, &failure);
    }
}

static void ask(struct session_watch *watch)
{
    char url[URL_SIZE];
    struct err err;
    (void)snprintf(url, sizeof url, "%s/v1/sessions/%s", watch->api_url, watch->current->id);
    static const char agent[] = "User-Agent: insien-auth/" INSIEN_VERSION;
    const char *headers[] = {"Accept: application/json", "Clerk-API-Version: 2025-04-10", agent,
                             watch->authorization, NULL};
    const struct http_call_options options = {.method = "GET",
                                              .url = url,
                                              .headers = headers,
                                              .timeout_ms = watch->parts.timing.fetch_timeout_ms,
                                              .response_max = BODY_MAX};
    watch->call = http_call_begin(watch->parts.http, &options, on_reply, watch, &err);
    if (watch->call == NULL) {
        retry_later(watch, 0, &err);
    }
}

/* No gateway has anything open for it any more. */
static bool is_forgotten(const struct session_watch *watch, const struct watched *watched,
                         int64_t now_ms)
{
    return now_ms - watched->seen_ms > watch->parts.timing.kept_ms;
}

static void on_timer(void *arg)
{
    struct session_watch *watch = arg;
    int64_t now_ms = clock_monotonic_ms();
    while (!list_is_empty(&watch->queue)) {
        struct watched *first = LIST_ENTRY(watch->queue.next, struct watched, node);
        if (first->due_ms > now_ms) {
            break;
        }
        if (!is_forgotten(watch, first, now_ms)) {
            list_remove(&first->node);
            watch->current = first;
            watch->next_ms = now_ms + watch->parts.timing.gap_ms;
            ask(watch);
            return;
        }
        forget(watch, first);
    }
    go_on(watch);
}

/* Makes place for a new one; those that are not named any more lie in the queue until their turn.
 */
static bool has_room(struct session_watch *watch, int64_t now_ms)
{
    if (watch->known.count < SESSIONS_WATCHED_MAX) {
        return true;
    }
    for (LIST_EACH(node, &watch->queue)) {
        struct watched *watched = LIST_ENTRY(node, struct watched, node);
        if (is_forgotten(watch, watched, now_ms)) {
            forget(watch, watched);
            return true;
        }
    }
    return false;
}

static void add(struct session_watch *watch, struct view session_id, int64_t now_ms)
{
    struct watched *watched = has_room(watch, now_ms) ? calloc(1, sizeof *watched) : NULL;
    if (watched == NULL) {
        return; /* it is named again */
    }
    (void)view_copy(session_id, watched->id, sizeof watched->id);
    watched->seen_ms = now_ms;
    map_insert(&watch->known, &watched->by_id, view_of(watched->id));
    enqueue(watch, watched, now_ms);
    go_on(watch);
}

void session_watch_note(struct session_watch *watch, struct view session_id)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!session_id_is_sound(session_id)) {
        return;
    }
    struct map_node *node = map_find(&watch->known, session_id);
    if (node != NULL) {
        MAP_ENTRY(node, struct watched, by_id)->seen_ms = now_ms;
    } else {
        add(watch, session_id, now_ms);
    }
}

size_t session_watch_count(const struct session_watch *watch)
{
    return watch->known.count;
}

static bool set_up(struct session_watch *watch, const struct session_watch_options *options,
                   struct err *err)
{
    struct view url = view_of(options->api_url);
    url.len -= url.len > 0 && url.ptr[url.len - 1] == '/' ? 1 : 0;
    if (!issuer_url_is_allowed(options->api_url) ||
        !view_copy(url, watch->api_url, sizeof watch->api_url)) {
        return err_set(err, ERR_INVALID,
                       "CLERK_API_URL must be an https:// address (http:// is for loopback only)");
    }
    if (snprintf(watch->authorization, sizeof watch->authorization, "Authorization: Bearer %s",
                 options->secret_key) >= (int)sizeof watch->authorization) {
        return err_set(err, ERR_INVALID, "CLERK_SECRET_KEY is too long");
    }
    if (!view_copy(view_of(options->instance), watch->instance, sizeof watch->instance)) {
        return err_set(err, ERR_INVALID, "INSIEN_INSTANCE is too long");
    }
    return map_init(&watch->known, err) &&
           timer_open(&watch->timer, options->loop, on_timer, watch, err);
}

struct session_watch *session_watch_open(const struct session_watch_options *options,
                                         struct err *err)
{
    struct session_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, "session watch: out of memory");
        return NULL;
    }
    watch->parts = *options;
    list_init(&watch->queue);
    if (!set_up(watch, options, err)) {
        session_watch_close(watch);
        return NULL;
    }
    return watch;
}

void session_watch_close(struct session_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    if (watch->call != NULL) {
        http_call_cancel(TAKE(watch->call));
    }
    if (watch->current != NULL) {
        forget(watch, TAKE(watch->current));
    }
    for (LIST_EACH(node, &watch->queue)) {
        forget(watch, LIST_ENTRY(node, struct watched, node));
    }
    map_free(&watch->known);
    timer_close(&watch->timer);
    secret_wipe(watch->authorization, sizeof watch->authorization);
    free(watch);
}
