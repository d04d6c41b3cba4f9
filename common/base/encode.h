/* common/base/encode.h: hex and base64 (RFC 4648), strict when reading. */
#ifndef COMMON_BASE_ENCODE_H
#define COMMON_BASE_ENCODE_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

#include <stdint.h>

enum encode_base64 {
    ENCODE_BASE64,     /* '+' '/', padded */
    ENCODE_BASE64_URL, /* '-' '_', never padded (RFC 7515) */
};

/* Sizes with the terminating NUL (texts) or at most (bytes). */
#define ENCODE_HEX_SIZE(bytes) ((bytes)*2 + 1)
#define ENCODE_BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4 + 1)
#define ENCODE_BASE64_DECODED_MAX(characters) ((characters) / 4 * 3 + 3)

/* Lower case, NUL-terminated. */
void encode_hex(const void *bytes, size_t len, char *out);
/* Exactly len*2 digits of either case. */
bool encode_hex_decode(struct view text, uint8_t *out, size_t len) MUST_CHECK;

/* Returns the number of characters written before the NUL. */
size_t encode_base64(enum encode_base64 alphabet, const void *bytes, size_t len, char *out);
/* Refuses foreign characters, wrong or missing padding and non-zero unused bits. out holds
 * ENCODE_BASE64_DECODED_MAX(text.len) bytes. */
bool encode_base64_decode(enum encode_base64 alphabet, struct view text, uint8_t *out,
                          size_t *out_len) MUST_CHECK;

#endif
