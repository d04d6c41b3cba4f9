/* tests/unit/gateway/http/tls_stage.h: the server of fixture.h behind TLS, with a certificate made
 * for the test, and clients of it. */
#ifndef TESTS_UNIT_GATEWAY_HTTP_TLS_STAGE_H
#define TESTS_UNIT_GATEWAY_HTTP_TLS_STAGE_H

#include "gateway/http/tls.h"
#include "tests/unit/gateway/http/fixture.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

enum {
    TLS_WAIT_MS = 30000,
    TLS_PATH_SIZE = 64,
};

#define GET_NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- files ---------------------------------------------------------------------------------- */

extern char tls_certificate_path[TLS_PATH_SIZE];
extern char tls_key_path[TLS_PATH_SIZE];
extern char tls_other_path[TLS_PATH_SIZE];

/* The folder of these, for setup and teardown of a group of cmocka's. */
int tls_make_folder(void **state);
int tls_remove_folder(void **state);

/* password is NULL for none. */
void tls_write_key(const char *path, EVP_PKEY *key, unsigned char *password);
void tls_write_certificate(const char *path, EVP_PKEY *key, const char *name);
/* A new pair, whose certificate has that name. */
void tls_write_pair(const char *name);

/* --- a server and clients of it ------------------------------------------------------------- */

struct tls_stage {
    struct fixture fixture;
    struct http_tls *tls;
    struct http_listener *listener;
};

/* The certificate's name is "first". */
void tls_stage_open(struct tls_stage *stage, const struct http_limits *limits);
void tls_stage_close(struct tls_stage *stage);
/* A connection without a session. */
int tls_stage_connect(const struct tls_stage *stage);

/* What a client wants of its session. */
struct tls_wish {
    int version_max;
    const char *protocols; /* as ALPN writes them */
};

struct tls_peer {
    struct tls_stage *stage;
    SSL_CTX *context;
    SSL *ssl;
    int fd;
    struct str received;
};

/* False when the handshake fails; it is to be closed all the same. */
bool tls_peer_open(struct tls_peer *peer, struct tls_stage *stage, const struct tls_wish *wish);
void tls_peer_open_any(struct tls_peer *peer, struct tls_stage *stage);
void tls_peer_close(struct tls_peer *peer);
/* Lets the server work after a call of OpenSSL's that did not succeed. False when it never will. */
bool tls_peer_turn(struct tls_peer *peer, int result, int64_t deadline_ms);
/* False when the session has ended. */
bool tls_peer_receive(struct tls_peer *peer);
void tls_peer_send(struct tls_peer *peer, struct view bytes);
/* Reads until the text is there, or the session has ended. */
void tls_peer_wait_for(struct tls_peer *peer, const char *text);
void tls_peer_wait_end(struct tls_peer *peer);

#endif
