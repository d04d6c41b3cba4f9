/* gateway/native/wake.h: a request for a sandbox that rests: it is resumed first. */
#ifndef GATEWAY_NATIVE_WAKE_H
#define GATEWAY_NATIVE_WAKE_H

#include "gateway/native/request.h"

/* Whether the request goes to the agent: others leave the sandbox at rest. */
bool wake_is_for_agent(const struct request *request);
/* Whether it does, and the sandbox rests. */
bool wake_is_needed(const struct request *request);
/* Has the sandbox resumed and goes on with next, when its agent is connected here. Of many that
 * come at once the sandbox-service resumes for the first, and the others wait for that. */
void wake_begin(struct request *request, request_handler_fn *next);

#endif
