/* auth-service/audit/sealer.h: chains the rows of the audit trail by hash, behind their writers. */
#ifndef AUTH_SERVICE_AUDIT_SEALER_H
#define AUTH_SERVICE_AUDIT_SEALER_H

#include "auth-service/audit/store.h"

struct audit_sealer;

/* Seals every second, of all such processes one at a time. The log gets the last seal now and then
 * (audit.anchor: seq, hash): an attacker who changes the whole chain can't change that. Borrows
 * both. */
struct audit_sealer *audit_sealer_open(struct loop *loop, struct pg_pool *pg,
                                       struct err *err) MUST_CHECK;
/* After the pool was closed. Accepts NULL. */
void audit_sealer_close(struct audit_sealer *sealer);

#endif
