/* auth-service/api_keys/expiry.h: tells the gateways of keys that have just expired, so that what
 * was opened with one ends with it: one that is rotated may end before gateways think. And of users
 * whose tier, role or suspension changed, whoever changed it, so that nothing is done by what was
 * so before. */
#ifndef AUTH_SERVICE_API_KEYS_EXPIRY_H
#define AUTH_SERVICE_API_KEYS_EXPIRY_H

#include "auth-service/api_keys/announce.h"
#include "common/db/pg.h"

enum { EXPIRY_LOOK_MS = 1000 };

struct expiry;

/* Looks every EXPIRY_LOOK_MS; at first for what expired in the last API_KEY_OVERLAP_S_MAX, when
 * nobody may have looked. Borrows pg and announcer. */
struct expiry *expiry_open(struct loop *loop, struct pg_pool *pg, struct announcer *announcer,
                           struct err *err) MUST_CHECK;
/* After the pool was closed, before the announcer. NULL is fine. */
void expiry_close(struct expiry *expiry);

#endif
