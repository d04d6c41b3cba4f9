/* auth-service/api_keys/issue.h: makes a key for a user. */
#ifndef AUTH_SERVICE_API_KEYS_ISSUE_H
#define AUTH_SERVICE_API_KEYS_ISSUE_H

#include "auth-service/api_keys/store.h"
#include "common/event/worker.h"

/* Copied, but for the two at the top. */
struct key_order {
    struct pg_pool *pg;          /* borrowed until done */
    struct worker_pool *workers; /* borrowed until done */
    const char *user_id;         /* ID_SIZE bytes */
    struct view name;            /* empty: none */
    int64_t expires_in_days;     /* 0: never */
    int64_t timeout_ms;
};

/* Wiped after the call that brought it. */
struct issued_key {
    char key[API_KEY_SIZE]; /* nobody can read it again */
    char prefix[API_KEY_PREFIX_SIZE];
    char name[API_KEY_NAME_MAX + 1];
    struct api_key_times times;
};

/* issued is NULL when err is not; valid during the call. */
typedef void key_issued_fn(const struct issued_key *issued, const struct err *err, void *arg);

/* done comes exactly once, later. False and err, without done, when it can't begin:
 * ERR_INVALID for a name or a life that is too long. */
bool key_issue(const struct key_order *order, key_issued_fn *done, void *arg,
               struct err *err) MUST_CHECK;

#endif
