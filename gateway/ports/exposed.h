/* gateway/ports/exposed.h: which ports of a sandbox are exposed, as the sandbox-service says; kept
 * until its row or its ports change (told on the invalidation channel), and for 5 s at most.
 *
 * Whoever lets somebody in by an exposed port asks here first, for each connection or request:
 * exposed_find, and exposed_fetch_begin when that knows nothing. */
#ifndef GATEWAY_PORTS_EXPOSED_H
#define GATEWAY_PORTS_EXPOSED_H

#include "common/base/id.h"
#include "common/contracts/ports.h"

#include <stdint.h>

struct exposed_cache;
struct exposed_fetch;
struct ipc_client;
struct trace;

enum {
    EXPOSED_TTL_MS = 5 * 1000,
    EXPOSED_ENTRIES_MAX = 65536, /* sandboxes */
    EXPOSED_MISSING_MAX = 4096,  /* ids that no sandbox has, kept as long */
    EXPOSED_TOKEN_SIZE = 44,     /* base64url of 32 bytes, and the NUL */
};

struct exposed_port {
    uint16_t container_port;
    uint16_t host_port;       /* 0: none */
    bool is_public;           /* else whoever comes brings the token */
    char generation[ID_SIZE]; /* another one each time the port is exposed anew */
    char created_at[CLOCK_ISO_SIZE];
};

/* From its form in messages (port_row_read). */
bool exposed_port_read(struct view text, struct exposed_port *out, struct err *err) MUST_CHECK;

/* Of one sandbox. */
struct exposed_ports {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];            /* its owner */
    bool is_live;                     /* creating or running; else it has no ports */
    const struct exposed_port *items; /* by container_port; lies beside this */
    size_t count;                     /* at most SANDBOX_PORTS_MAX */
};

/* secret (borrowed) makes the tokens; all gateways have the same. */
struct exposed_cache *exposed_cache_new(struct ipc_client *sandbox_service, const char *secret,
                                        struct err *err) MUST_CHECK;
/* Every exposed_fetch must be over. NULL is fine. */
void exposed_cache_free(struct exposed_cache *cache);

/* NULL when it must be fetched. Valid until the loop's next turn. An id that was asked for and is
 * no sandbox's has no ports and no owner: ids are drawn at random by the service that makes the
 * sandbox, so none of these becomes one that somebody was told. */
const struct exposed_ports *exposed_find(struct exposed_cache *cache,
                                         const char sandbox_id[ID_SIZE]);

/* ports is NULL when err is not: ERR_NOT_FOUND "sandbox_not_found", ERR_UNAVAILABLE, ... Both are
 * valid during the call only. */
typedef void exposed_fetch_fn(const struct exposed_ports *ports, const struct err *err, void *arg);
/* Asks the sandbox-service. done comes once, later, on the loop. NULL when it can't begin. */
struct exposed_fetch *exposed_fetch_begin(struct exposed_cache *cache,
                                          const char sandbox_id[ID_SIZE], const struct trace *trace,
                                          exposed_fetch_fn *done, void *arg,
                                          struct err *err) MUST_CHECK;
void exposed_fetch_cancel(struct exposed_fetch *fetch);

/* The port when it is exposed (of a sandbox that lives), else NULL. */
const struct exposed_port *exposed_port_of(const struct exposed_ports *ports,
                                           int64_t container_port);

/* What a connection was let in by. */
struct exposed_grant {
    uint16_t port;
    bool was_public; /* it did not need a token */
    char generation[ID_SIZE];
};
struct exposed_grant exposed_grant_of(const struct exposed_port *port);
/* Whether the connection may go on: its port was not closed since, exposed anew or not, and is not
 * kept to those with a token now if it has none. */
bool exposed_grant_holds(const struct exposed_grant *grant,
                         const struct exposed_ports *ports) MUST_CHECK;

/* The token of one exposure: it stays while the port stays exposed, also through changes of its
 * visibility, and is void once the port was closed. */
bool exposed_token_write(const struct exposed_cache *cache, const char sandbox_id[ID_SIZE],
                         const struct exposed_port *port, char out[EXPOSED_TOKEN_SIZE],
                         struct err *err) MUST_CHECK;
/* Compares in constant time. */
bool exposed_token_is_right(const struct exposed_cache *cache, const char sandbox_id[ID_SIZE],
                            const struct exposed_port *port, struct view token) MUST_CHECK;

/* The channel's news. */
void exposed_forget(struct exposed_cache *cache, const char sandbox_id[ID_SIZE]);
void exposed_set_trusted(struct exposed_cache *cache, bool trusted);

#endif
