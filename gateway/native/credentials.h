/* gateway/native/credentials.h: what a request brings to prove who it is. */
#ifndef GATEWAY_NATIVE_CREDENTIALS_H
#define GATEWAY_NATIVE_CREDENTIALS_H

#include "gateway/cache/key_cache.h"

struct http_exchange;

#define CREDENTIALS_PROTOCOL "insien.token." /* and the client token */

/* An API key (X-API-Key, Authorization: Bearer isk_..., and for sockets also Basic, as user or
 * password, and ?apiKey=), or a token of the shape of a JWT, which lies in the exchange:
 * a session's (Authorization: Bearer) or a client's (the same, and for sockets also ?token= and the
 * sub-protocol CREDENTIALS_PROTOCOL). ERR_UNAUTHENTICATED: "unauthenticated" without any,
 * "invalid_api_key", "invalid_session" or "invalid_token" for one of the wrong shape. */
bool credentials_read(const struct http_exchange *exchange, bool is_socket, struct credential *out,
                      struct err *err) MUST_CHECK;

#endif
