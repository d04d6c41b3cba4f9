/* gateway/native/repeat.h: Idempotency-Key on requests that create something: a repeat within 24
 * hours gets the answer of the first, and creates nothing more. A request holds its key for as long
 * as it takes; when its gateway dies, a repeat has it seconds later, and finds by its id what was
 * made. What makes nothing that stays (ROUTE_RUNS) is done again when its answer is too long to be
 * kept, or whoever did it died. An answer that is a credential
 * (ROUTE_SECRET) is for repeats of the same caller alone, and is given only when it is kept: a
 * repeat makes another secret otherwise. The auth-service keeps keys and
 * answers (common/contracts/idempotency.h). */
#ifndef GATEWAY_NATIVE_REPEAT_H
#define GATEWAY_NATIVE_REPEAT_H

#include "gateway/native/request.h"

/* Whether the request came with a key to a route that honours it. Its body is there. */
bool repeat_is_asked_for(const struct request *request) MUST_CHECK;
/* Claims the key, and then calls next; or answers instead of it. From here on the request outlives
 * its client. */
void repeat_begin(struct request *request, request_handler_fn *next);

/* What the request makes must have this id; NULL when it came without a key. */
const char *repeat_resource_id(const struct request *request);
/* The same, or a new id. */
bool repeat_choose_id(const struct request *request, char out[ID_SIZE], struct err *err) MUST_CHECK;

/* Whether another try may have made it, and its answer may have been heard. */
bool repeat_is_again(const struct request *request);

/* What was made with this id is, or will be, undone: a repeat makes another. */
void repeat_undo(const struct request *request);

/* For request.c. An answer is about to be given: true when it is kept first, and given to
 * request_respond again behind that. */
bool repeat_keep(struct request *request, const struct http_response *response) MUST_CHECK;
/* The request fails with err: it has made nothing, unless err leaves open what was done; then a
 * repeat finds that by its id, and where the answer is a credential only after a while. */
void repeat_release(const struct request *request, const struct err *err);
/* Accepts NULL. */
void repeat_free(struct repeat *repeat);

#endif
