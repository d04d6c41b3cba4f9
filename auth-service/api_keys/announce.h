/* auth-service/api_keys/announce.h: tells the gateways to forget, and does not give up easily. */
#ifndef AUTH_SERVICE_API_KEYS_ANNOUNCE_H
#define AUTH_SERVICE_API_KEYS_ANNOUNCE_H

#include "common/contracts/invalidation.h"
#include "common/event/loop.h"
#include "common/redis/redis.h"

struct announcer;

enum {
    ANNOUNCE_FOR_MS = 60 * 1000, /* as long as a gateway may hold what it should forget */
    ANNOUNCEMENTS_MAX = 4096,    /* that wait for Redis */
    /* Those of what is found behind others leave the rest to what somebody ends now. */
    ANNOUNCEMENTS_FOUND_MAX = ANNOUNCEMENTS_MAX / 2,
};

/* Borrows redis. */
struct announcer *announcer_open(struct loop *loop, struct redis *redis, const char *instance,
                                 struct err *err) MUST_CHECK;
/* After redis was closed. */
void announcer_close(struct announcer *announcer);

/* Tells how the first attempt went; while Redis is away it is repeated for ANNOUNCE_FOR_MS. */
typedef void announced_fn(bool published, void *arg);

/* done (may be NULL) comes exactly once, later. False, without done, when nothing more can wait. */
bool announce(struct announcer *announcer, enum invalidation_kind kind, const char *id,
              announced_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Those that wait. */
size_t announcer_count(const struct announcer *announcer);

#endif
