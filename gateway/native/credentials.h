/* gateway/native/credentials.h: what a request brings to prove who it is. */
#ifndef GATEWAY_NATIVE_CREDENTIALS_H
#define GATEWAY_NATIVE_CREDENTIALS_H

#include "common/contracts/auth.h"

struct http_exchange;

/* The API key: X-API-Key, Authorization: Bearer isk_..., and for sockets also Basic (as user or
 * password) and ?apiKey=. ERR_UNAUTHENTICATED: "unauthenticated" without any, "invalid_api_key" for
 * one of the wrong shape. out is canonical. */
bool credentials_api_key(const struct http_exchange *exchange, bool is_socket,
                         char out[API_KEY_SIZE], struct err *err) MUST_CHECK;

/* The session token behind Authorization: Bearer; returned to the caller to free with
 * secret_free_string. ERR_UNAUTHENTICATED "unauthenticated" or "invalid_session". */
char *credentials_session_token(const struct http_exchange *exchange, struct err *err) MUST_CHECK;

#endif
