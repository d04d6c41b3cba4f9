/* auth-service/api_keys/last_used.h: writes last_used_at behind the requests, many at a time. */
#ifndef AUTH_SERVICE_API_KEYS_LAST_USED_H
#define AUTH_SERVICE_API_KEYS_LAST_USED_H

#include "common/base/id.h"
#include "common/db/pg.h"

struct last_used;

struct last_used *last_used_open(struct loop *loop, struct pg_pool *pg, struct err *err) MUST_CHECK;
/* After the pool was closed. What was noted and not written yet is given up. */
void last_used_close(struct last_used *last_used);

/* For a key whose last_used_at is stale: it is set within a second or so. What can't be written is
 * dropped; the key's next use notes it again. */
void last_used_note(struct last_used *last_used, const char key_id[ID_SIZE]);

#endif
