/* sandbox-service/pool/claim.h: what is left to do for a creation that was given a container of the
 * pool; inside of sandbox/create.h.
 *
 * Its row runs already and counts against its user's quota. What the engine must change is changed,
 * and the answer goes out; the caller tells the agent. A container that turns out to be dead is
 * given back, with its row, in the statement that claims the next. */
#ifndef SANDBOX_POOL_CLAIM_H
#define SANDBOX_POOL_CLAIM_H

#include <stdbool.h>

struct creation;

enum { CLAIMS_MAX = 3 /* dead ones in a row before a container is started */ };

/* creation->spec describes what was asked for; limits_differ: the container has others. */
void claim_settle(struct creation *creation, bool limits_differ);

/* The same for a row that was there when it was asked for: whoever began it may have been killed
 * before the container was changed. */
void claim_repeat(struct creation *creation, bool is_warm);

#endif
