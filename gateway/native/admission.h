/* gateway/native/admission.h: what a request costs, in the limits of gateway/limits, and who pays.
 *
 * Each of these ends in next (now or later), or in the answer: 429 "rate_limited", and 503 for acts
 * that must not be done while nobody counts. All answers of a counted request tell how the limit
 * stands. A client whose address is exempt pays nothing. */
#ifndef GATEWAY_NATIVE_ADMISSION_H
#define GATEWAY_NATIVE_ADMISSION_H

#include "gateway/limits/claim.h"
#include "gateway/native/request.h"

/* The caller is known: once in a request's life. */
void admission_of_caller(struct request *request, request_handler_fn *next);

/* What each message on a socket of the caller costs, in the limits that are returned; NULL:
 * nothing. Before the socket leaves its exchange. */
struct limits *admission_of_messages(const struct request *request, struct limit_request *costs);

/* Nobody knows the caller yet, or there is none. */
void admission_of_address(struct request *request, enum limit_kind kind, request_handler_fn *next);

/* It came without a credential, or with a wrong one: answers with err unless its address had too
 * many of these. */
void admission_fail(struct request *request, const struct err *err);

/* True, and answered, when a credential need not be looked at: its address had too many that were
 * wrong. */
bool admission_refuses_address(struct request *request) MUST_CHECK;

#endif
