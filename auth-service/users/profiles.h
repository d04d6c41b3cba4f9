/* auth-service/users/profiles.h: asks Clerk's Backend API, behind the requests, who the users are
 * that were seen for the first time. Nobody waits for it: a token says all that is needed. */
#ifndef AUTH_SERVICE_USERS_PROFILES_H
#define AUTH_SERVICE_USERS_PROFILES_H

#include "auth-service/api_keys/announce.h"
#include "common/db/pg.h"
#include "common/http/client.h"

struct profiles;

enum {
    PROFILES_WAITING_MAX = 1024, /* more are not noted; they are when they sign in again */
    PROFILE_ATTEMPTS = 8,        /* then the same */
};

struct profiles_timing {
    int64_t fetch_timeout_ms;
    int64_t retry_min_ms; /* after a failure nothing is asked for so long; doubles with each more */
    int64_t retry_max_ms; /* also of what the API itself asks to wait */
};
extern const struct profiles_timing profiles_default_timing;

/* Borrowed for the life of the profiles; strings are copied. */
struct profiles_options {
    struct loop *loop;
    struct pg_pool *pg;
    struct http_client *http;
    struct announcer *announcer;
    const char *api_url; /* https, or http to a loopback address */
    const char *secret_key;
    struct profiles_timing timing;
};
/* ERR_INVALID for settings that can't be right. */
struct profiles *profiles_open(const struct profiles_options *options, struct err *err) MUST_CHECK;
/* After pg was closed, before announcer and http are. Accepts NULL. */
void profiles_close(struct profiles *profiles);

/* Once for each user, however often it is called meanwhile. subject: what Clerk calls the user. */
void profiles_want(struct profiles *profiles, const char user_id[ID_SIZE], const char *subject);

#endif
