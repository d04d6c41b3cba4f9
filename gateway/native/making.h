/* gateway/native/making.h: a sandbox made for a request, until its agent knows what it is for.
 *
 * The sandbox-service starts a container, whose agent connects here and is told. Or it gives one
 * that was waiting, whose agent is connected and is told whose it is now; where that fails another
 * is asked for, and nobody notices. */
#ifndef GATEWAY_NATIVE_MAKING_H
#define GATEWAY_NATIVE_MAKING_H

#include "common/contracts/sandbox.h"
#include "gateway/native/request.h"

struct making; /* one under way */

enum { MAKING_TIMEOUT_MS = 60 * 1000 };

/* sandbox is NULL when err is not: then nothing of it stays, unless an earlier try of the request
 * may have told of it. Its id may be another than the chosen one, by which the sandbox-service
 * knows it too. Both are valid during the call. */
typedef void making_done_fn(const struct sandbox_meta *sandbox, const struct err *err, void *arg);

/* Copies wanted, whose sandbox_id is chosen; borrows request until done, which comes once, later,
 * on the loop, and fails when nobody will ever hear of the sandbox: the client left, and no
 * Idempotency-Key can come back for it. NULL when it can't begin. */
struct making *making_begin(struct request *request, const struct sandbox_create *wanted,
                            making_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* done is not called any more. What may have been made stays. */
void making_cancel(struct making *making);

#endif
