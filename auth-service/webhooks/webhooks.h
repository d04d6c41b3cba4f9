/* auth-service/webhooks/webhooks.h: what Clerk tells us by itself: users that changed or went, and
 * sessions that ended. */
#ifndef AUTH_SERVICE_WEBHOOKS_WEBHOOKS_H
#define AUTH_SERVICE_WEBHOOKS_WEBHOOKS_H

#include "auth-service/api_keys/announce.h"
#include "auth-service/webhooks/svix.h"
#include "common/base/trace.h"
#include "common/db/pg.h"

struct audit_writer;
struct webhooks;

/* All borrowed for the life of the webhooks, but secrets, which is copied. */
struct webhooks_options {
    struct pg_pool *pg;
    struct redis *redis;
    struct announcer *announcer;
    struct audit_writer *audit;
    const char *instance;
    const char *issuer;  /* of the users that the webhooks are about; "": not known */
    const char *secrets; /* as svix_secrets_read takes it; "": every webhook is refused with
                            ERR_UNAVAILABLE "webhooks_not_configured" */
};
/* ERR_INVALID for settings that can't be right. */
struct webhooks *webhooks_open(const struct webhooks_options *options, struct err *err) MUST_CHECK;
/* After pg, redis and announcer were closed: nothing is under way then. */
void webhooks_close(struct webhooks *webhooks);

/* err is NULL when the webhook has had its effect, now or before, or is to have none. */
typedef void webhook_done_fn(const struct err *err, void *arg);

/* Borrows message during the call. done comes exactly once, later. False and err, without done, for
 * what is known at once: ERR_INVALID "webhook_refused" (its signature), "webhook_unreadable";
 * ERR_UNAVAILABLE. After an error the sender is to send it again. */
bool webhook_receive(struct webhooks *webhooks, const struct svix_message *message,
                     const struct trace *trace, int64_t timeout_ms, webhook_done_fn *done,
                     void *arg, struct err *err) MUST_CHECK;

#endif
