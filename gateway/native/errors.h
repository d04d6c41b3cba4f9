/* gateway/native/errors.h: errors as the native API shows them: {"error","code","requestId"} and,
 * for validation, "details". */
#ifndef GATEWAY_NATIVE_ERRORS_H
#define GATEWAY_NATIVE_ERRORS_H

#include "common/json/read.h"

struct http_exchange;

/* Answers and ends the exchange. Messages that are not public are replaced by a sentence that
 * belongs to the reason. violations may be NULL. */
void errors_respond(struct http_exchange *exchange, const struct err *err,
                    const struct json_violations *violations);

/* The same, with its own time to come again (> 0). */
void errors_respond_later(struct http_exchange *exchange, const struct err *err, int retry_after_s);

/* The sentence for a client, and the code it sees (never NULL). */
const char *errors_sentence(const struct err *err);
const char *errors_code(const struct err *err);

/* ERR_DENIED "missing_scope", which names the scope (of enum auth_scope). */
void errors_missing_scope(unsigned scope, struct err *err);
/* ERR_DENIED "client_token_refused". */
void errors_client_refused(struct err *err);

#endif
