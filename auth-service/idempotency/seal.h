/* auth-service/idempotency/seal.h: answers at rest. What is kept of a client's Idempotency-Key
 * finds its row and tells nothing of the key; the answer opens only with the key and the service's
 * secret together. */
#ifndef AUTH_SERVICE_IDEMPOTENCY_SEAL_H
#define AUTH_SERVICE_IDEMPOTENCY_SEAL_H

#include "common/base/encode.h"
#include "common/base/id.h"
#include "common/base/str.h"

enum {
    SEAL_DIGEST_LEN = 32,
    SEAL_DIGEST_HEX_SIZE = ENCODE_HEX_SIZE(SEAL_DIGEST_LEN),
    SEAL_KEY_LEN = 32,
};

/* What is made of a key; to be wiped. */
struct seal_key {
    char digest_hex[SEAL_DIGEST_HEX_SIZE]; /* finds the row */
    uint8_t bytes[SEAL_KEY_LEN];           /* AES-256-GCM */
};
bool seal_key_derive(struct view secret, const char user_id[ID_SIZE], struct view key,
                     struct seal_key *out, struct err *err) MUST_CHECK;

/* Appends the sealed text in hex. place is what it belongs to: it opens nowhere else. */
bool seal_write(const struct seal_key *key, struct view place, struct view text, struct str *out,
                struct err *err) MUST_CHECK;
/* Appends what seal_write was given. ERR_INTERNAL when it was not it that wrote, with that key and
 * place. */
bool seal_open(const struct seal_key *key, struct view place, struct view sealed_hex,
               struct str *out, struct err *err) MUST_CHECK;

#endif
