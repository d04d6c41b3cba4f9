/* auth-service/users/session_watch.h: asks Clerk's Backend API now and then about the sessions that
 * something long is open for (a socket, a streamed answer): they outlive their tokens, and no
 * webhook need have told that they ended.
 *
 * Gateways say which sessions these are. Each is asked for at once, and then every interval_ms, one
 * after the other; one that gateways do not name any more is forgotten. So a session that ends at
 * Clerk stops within interval_ms and the time between two reports, as long as Clerk answers and
 * the sessions are few enough to be asked in turn: some thousand. While it does not answer, or says
 * that we ask too much, nobody is cut off. */
#ifndef AUTH_SERVICE_USERS_SESSION_WATCH_H
#define AUTH_SERVICE_USERS_SESSION_WATCH_H

#include "auth-service/api_keys/announce.h"
#include "common/http/client.h"

struct pg_pool;
struct session_watch;

enum { SESSIONS_WATCHED_MAX = 2048 }; /* more are not asked for until others are gone */

struct session_watch_timing {
    int64_t interval_ms; /* between two questions about the same session */
    int64_t gap_ms;      /* between two questions */
    int64_t kept_ms;     /* from the last time that a gateway named it */
    int64_t fetch_timeout_ms;
    int64_t retry_min_ms; /* after a failure nothing is asked for so long; doubles with each more */
    int64_t retry_max_ms; /* then so long; at most also what the API itself asks to wait */
};
/* Without interval_ms, which is a setting. */
extern const struct session_watch_timing session_watch_default_timing;

/* Borrowed for the life of the watch; strings are copied. */
struct session_watch_options {
    struct loop *loop;
    struct redis *redis;
    struct pg_pool *pg; /* NULL: there are no client tokens to be ended */
    struct http_client *http;
    struct announcer *announcer;
    struct audit_writer *audit;
    const char *instance;
    const char *api_url; /* https, or http to a loopback address */
    const char *secret_key;
    struct session_watch_timing timing;
};
/* ERR_INVALID for settings that can't be right. */
struct session_watch *session_watch_open(const struct session_watch_options *options,
                                         struct err *err) MUST_CHECK;
/* After redis and pg were closed, before announcer and http are. Accepts NULL. */
void session_watch_close(struct session_watch *watch);

/* A gateway has something open for it. An id that is not sound (session_id_is_sound) is let go. */
void session_watch_note(struct session_watch *watch, struct view session_id);

size_t session_watch_count(const struct session_watch *watch);

#endif
