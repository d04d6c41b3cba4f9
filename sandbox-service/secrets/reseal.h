/* sandbox-service/secrets/reseal.h: seals with the key of now what others have sealed, little by
 * little. */
#ifndef SANDBOX_SECRETS_RESEAL_H
#define SANDBOX_SECRETS_RESEAL_H

#include "common/event/loop.h"
#include "sandbox-service/secrets/keyring.h"

struct reseal;
struct secret_store;

/* Begins on the loop, and looks again each hour: another process may still seal with its former
 * key. Borrows all. */
struct reseal *reseal_open(struct loop *loop, struct secret_store *store,
                           const struct keyring *keyring, struct err *err) MUST_CHECK;
/* After secret_store_fail_all; NULL is fine. */
void reseal_close(struct reseal *reseal);

#endif
