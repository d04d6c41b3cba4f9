/* auth-service/users/eraser.h: takes what can be traced to somebody out of the audit trail when
 * their account is over, whoever ended it, behind the requests. */
#ifndef AUTH_SERVICE_USERS_ERASER_H
#define AUTH_SERVICE_USERS_ERASER_H

#include "common/db/pg.h"
#include "common/event/loop.h"

struct eraser;

enum { ERASER_LOOK_MS = 2000 }; /* between two looks for somebody who is gone */

/* Borrows both. Any number of processes may do it side by side. */
struct eraser *eraser_open(struct loop *loop, struct pg_pool *pg, struct err *err) MUST_CHECK;
/* After the pool was closed. Accepts NULL. */
void eraser_close(struct eraser *eraser);

#endif
