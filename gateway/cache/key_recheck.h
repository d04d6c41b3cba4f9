/* gateway/cache/key_recheck.h: asks whether the API keys that client sockets and requests came with
 * still serve (and the users whose requests came with none), when news of their end may have been
 * missed; ends what came with one that does not. */
#ifndef GATEWAY_CACHE_KEY_RECHECK_H
#define GATEWAY_CACHE_KEY_RECHECK_H

#include "common/base/err.h"

#include <stdint.h>

struct gateway;
struct key_recheck;

enum {
    KEY_RECHECK_RETRY_MS = 500, /* until the auth-service is asked again when it failed */
    /* From one look to the next: the auth-service may be cut off from the news that reach us. */
    KEY_RECHECK_EVERY_MS = 60 * 1000,
};

/* Borrows gateway: loop, auth_service, keys, client_sockets, requests. */
struct key_recheck *key_recheck_new(const struct gateway *gateway, int64_t every_ms,
                                    struct err *err) MUST_CHECK;
/* NULL is fine. */
void key_recheck_free(struct key_recheck *recheck);

/* Now, and from then on every_ms behind each look. From the first key on; a look that is under way
 * is left for this one. One question at a time, of AUTH_KEY_IDS_MAX keys, each repeated until it is
 * answered. */
void key_recheck_begin(struct key_recheck *recheck);
/* The news are away again: there will be another look. */
void key_recheck_stop(struct key_recheck *recheck);

#endif
