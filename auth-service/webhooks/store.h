/* auth-service/webhooks/store.h: the effects of webhooks in PostgreSQL, each once. */
#ifndef AUTH_SERVICE_WEBHOOKS_STORE_H
#define AUTH_SERVICE_WEBHOOKS_STORE_H

#include "auth-service/users/clerk_user.h"
#include "common/base/id.h"
#include "common/db/pg.h"

enum { WEBHOOK_STATEMENT_COUNT = 3 };
extern const struct pg_statement webhook_statements[WEBHOOK_STATEMENT_COUNT];

/* delivery: what the sender calls this webhook; one that had its effect has none any more.
 * Strings are borrowed during the call. */
bool webhook_store_user_changed(struct pg_pool *pg, const char *delivery, const char *issuer,
                                const struct clerk_user *user, int64_t timeout_ms,
                                pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
bool webhook_store_user_deleted(struct pg_pool *pg, const char *delivery, const char *issuer,
                                const char *subject, int64_t timeout_ms, pg_result_fn *done,
                                void *arg, struct err *err) MUST_CHECK;
/* Remembers one without an effect. */
bool webhook_store_other(struct pg_pool *pg, const char *delivery, int64_t timeout_ms,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* What became of it, of any of the three. */
struct webhook_outcome {
    char word[16];         /* "taken", "repeated" or "gone" */
    char user_id[ID_SIZE]; /* "": of nobody */
    bool refused_now;      /* the user is refused from now on, and was not before */
};
bool webhook_store_read(const PGresult *result, struct webhook_outcome *out,
                        struct err *err) MUST_CHECK;

#endif
