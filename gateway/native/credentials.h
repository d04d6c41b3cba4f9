/* gateway/native/credentials.h: what a request brings to prove who it is. */
#ifndef GATEWAY_NATIVE_CREDENTIALS_H
#define GATEWAY_NATIVE_CREDENTIALS_H

#include "gateway/cache/key_cache.h"

struct http_exchange;

/* An API key (X-API-Key, Authorization: Bearer isk_..., and for sockets also Basic, as user or
 * password, and ?apiKey=), or a session token (Authorization: Bearer, of the shape of a JWT; it
 * lies in the exchange). ERR_UNAUTHENTICATED: "unauthenticated" without any, "invalid_api_key" or
 * "invalid_session" for one of the wrong shape. */
bool credentials_read(const struct http_exchange *exchange, bool is_socket, struct credential *out,
                      struct err *err) MUST_CHECK;

#endif
