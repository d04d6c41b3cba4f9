/* auth-service/service.h: what the other processes may ask, over IPC. */
#ifndef AUTH_SERVICE_SERVICE_H
#define AUTH_SERVICE_SERVICE_H

#include "auth-service/api_keys/check.h"
#include "auth-service/api_keys/revoke.h"
#include "auth-service/tokens/client_token.h"
#include "auth-service/users/session.h"
#include "auth-service/webhooks/webhooks.h"

struct audit_writer;
struct ipc_tls;
struct idempotency;
struct service;
struct session_watch;

/* All borrowed until service_close. */
struct service_parts {
    struct loop *loop;
    struct pg_pool *pg;
    struct pg_pool *lists; /* for what may take its time */
    struct redis *redis;
    struct worker_pool *workers;
    const char *instance;
    struct audit_writer *audit;
    struct idempotency *idempotency;
    struct sessions *sessions;
    struct session_watch *session_watch; /* NULL: none is asked for */
    struct webhooks *webhooks;
    const struct client_token_key *client_tokens;
    struct key_checker checker;
    struct revoker revoker;
};

/* Listens on url; tls (may be NULL, needed for tls+tcp:// only) is borrowed during the call. */
struct service *service_open(const struct service_parts *parts, const char *url,
                             const struct ipc_tls *tls, struct err *err) MUST_CHECK;

typedef void service_drained_fn(void *arg);
/* New requests are refused from here on. on_drained comes once, when none is under way any more;
 * at once when there is none now. */
void service_drain(struct service *service, service_drained_fn *on_drained, void *arg);

/* Stops listening. Requests that are still under way must end by closing the parts, before
 * service_free. */
void service_close(struct service *service);
void service_free(struct service *service);

#endif
