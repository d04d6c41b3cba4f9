/* gateway/http/tls.h: a certificate and its key, and the TLS sessions they answer for: TLS 1.2 and
 * up, http/1.1 by ALPN, no renegotiation. */
#ifndef GATEWAY_HTTP_TLS_H
#define GATEWAY_HTTP_TLS_H

#include "common/base/err.h"

struct bufferevent;
struct event_base;
struct http_tls;

/* Reads both files (PEM; the certificate with its chain; the key without a password). They must
 * belong together. Copies the paths. */
struct http_tls *http_tls_new(const char *certificate_path, const char *key_path,
                              struct err *err) MUST_CHECK;
/* Reads them again, for sessions that begin afterwards. On failure all stays as it was. */
bool http_tls_reload(struct http_tls *tls, struct err *err) MUST_CHECK;
/* Sessions that have begun go on. Accepts NULL. */
void http_tls_free(struct http_tls *tls);

/* The server's end of a session over fd, which is freed with the bufferevent. NULL when out of
 * memory; fd stays the caller's then. */
struct bufferevent *http_tls_accept(struct http_tls *tls, struct event_base *base,
                                    int fd) MUST_CHECK;

#endif
