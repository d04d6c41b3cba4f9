/* common/ws/handshake.h: the values of the opening handshake (RFC 6455, section 4). */
#ifndef COMMON_WS_HANDSHAKE_H
#define COMMON_WS_HANDSHAKE_H

#include "common/base/err.h"
#include "common/base/view.h"

enum {
    WS_KEY_SIZE = 25,    /* 16 random bytes in base64 and the NUL */
    WS_ACCEPT_SIZE = 29, /* 20 bytes of SHA-1 in base64 and the NUL */
};

/* A key for a client's request. */
bool ws_key_new(char out[WS_KEY_SIZE], struct err *err) MUST_CHECK;
/* Whether a client's key decodes to exactly 16 bytes. */
bool ws_key_is_valid(struct view key) MUST_CHECK;
/* The Sec-WebSocket-Accept value for a valid key. */
void ws_accept_of(struct view key, char out[WS_ACCEPT_SIZE]);

#endif
