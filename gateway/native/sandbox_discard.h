/* gateway/native/sandbox_discard.h: the end of a sandbox that nobody waits for. */
#ifndef GATEWAY_NATIVE_SANDBOX_DISCARD_H
#define GATEWAY_NATIVE_SANDBOX_DISCARD_H

#include "gateway/native/request.h"

/* Has the caller's sandbox destroyed. Whether that worked is not heard of: otherwise it ends when
 * its time is over. */
void sandbox_discard(struct request *request, const char sandbox_id[ID_SIZE]);

#endif
