/* auth-service/api_keys/issue.h: makes a key for a user, or one that takes the place of
 * another. */
#ifndef AUTH_SERVICE_API_KEYS_ISSUE_H
#define AUTH_SERVICE_API_KEYS_ISSUE_H

#include "auth-service/api_keys/store.h"
#include "common/event/worker.h"

/* Copied, but for the two at the top. */
struct key_order {
    struct pg_pool *pg;          /* borrowed until done */
    struct worker_pool *workers; /* borrowed until done */
    const char *id;              /* NULL or "": any; a key that has it already gets a new secret */
    const char *user_id;
    const char *actor_key_id; /* NULL or "": a session, or the operator */
    const char *replaces_id;  /* NULL or "": none; else the rights are that key's */
    struct view name;         /* empty: none */
    int64_t expires_in_days;  /* 0: as the actor, so the next three */
    int64_t scopes;
    int64_t max_sandboxes;
    int64_t requests_per_minute;
    int64_t overlap_s; /* how long the key that is replaced goes on */
    int64_t timeout_ms;
};

/* Wiped after the call that brought it. */
struct issued_key {
    char key[API_KEY_SIZE]; /* nobody can read it again */
    char prefix[API_KEY_PREFIX_SIZE];
    struct api_key_made made;
};

/* issued is NULL when err is not; valid during the call. */
typedef void key_issued_fn(const struct issued_key *issued, const struct err *err, void *arg);

/* done comes exactly once, later. False and err, without done, when it can't begin:
 * ERR_INVALID for a name or a life that is too long. */
bool key_issue(const struct key_order *order, key_issued_fn *done, void *arg,
               struct err *err) MUST_CHECK;

#endif
