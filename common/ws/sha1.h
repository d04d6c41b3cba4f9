/* common/ws/sha1.h: SHA-1 (RFC 3174) for the opening handshake, where it protects nothing. The
 * agent links no cryptographic library. */
#ifndef COMMON_WS_SHA1_H
#define COMMON_WS_SHA1_H

#include "common/base/view.h"

#include <stdint.h>

enum {
    SHA1_SIZE = 20,
    SHA1_INPUT_MAX = 247, /* bytes; four blocks with the padding */
};

/* text holds at most SHA1_INPUT_MAX bytes. */
void sha1_of(struct view text, uint8_t out[SHA1_SIZE]);

#endif
