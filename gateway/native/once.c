#include "gateway/native/once.h"

#include "common/base/encode.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>

enum { DIGEST_LEN = 32 };

static bool is_key(struct view key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] <= ' ' || key.ptr[i] > '~') {
            return false;
        }
    }
    return key.len > 0 && key.len <= ONCE_KEY_MAX;
}

bool once_copy_key(struct view key, char out[ONCE_KEY_MAX + 1], struct err *err)
{
    return (is_key(key) && view_copy(key, out, ONCE_KEY_MAX + 1)) ||
           err_set_reason(err, ERR_INVALID, "invalid_idempotency_key",
                          "Idempotency-Key must be 1 to %d visible ASCII characters.",
                          ONCE_KEY_MAX);
}

bool once_write(const char user_id[ID_SIZE], struct view key, char out[ONCE_SIZE], struct err *err)
{
    uint8_t digest[DIGEST_LEN];
    char hex[ENCODE_HEX_SIZE(DIGEST_LEN)];
    char text[ONCE_KEY_MAX + 1];
    if (!once_copy_key(key, text, err)) {
        return false;
    }
    if (EVP_Digest(key.ptr, key.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return err_set(err, ERR_INTERNAL, "SHA-256 failed");
    }
    encode_hex(digest, sizeof digest, hex);
    (void)snprintf(out, ONCE_SIZE, "%s/idem/%s", user_id, hex);
    return true;
}
