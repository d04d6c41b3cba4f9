/* sandbox-service/secrets/keyring.h: the keys that users' secrets are sealed with, AES-256-GCM
 * (NIST SP 800-38D) with a random nonce of 96 bits for each sealing.
 *
 * One key seals; older ones only open, until everything is sealed anew. A sealed value is bound to
 * its place, so that whoever writes to the database can't move it into another user's row, nor one
 * of a user to another name. */
#ifndef SANDBOX_SECRETS_KEYRING_H
#define SANDBOX_SECRETS_KEYRING_H

#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    KEYRING_KEY_BYTES = 32,
    KEYRING_KEY_ID_SIZE = 17, /* 16 hex digits, of the key's digest, and the NUL */
    KEYRING_KEYS_MAX = 8,     /* with the one that seals */
    KEYRING_OVERHEAD = 28,    /* bytes that a sealed value has more: nonce and tag */
    KEYRING_PLAIN_MAX = 1024 * 1024,
};

/* Lies in its owner; starts as zero. */
struct keyring {
    struct keyring_key {
        uint8_t bytes[KEYRING_KEY_BYTES];
        char id[KEYRING_KEY_ID_SIZE];
    } keys[KEYRING_KEYS_MAX]; /* the first one seals */
    size_t count;             /* 0: there is none */
};

/* current is a key of 64 hex digits, or of 32 bytes in base64; older the same, several separated by
 * commas, or empty. Both empty: a keyring without keys. ERR_INVALID. */
bool keyring_read(struct keyring *keyring, const char *current, const char *older,
                  struct err *err) MUST_CHECK;
/* Overwrites the keys. */
void keyring_wipe(struct keyring *keyring);

/* The id of the key that seals; "" when there is none. */
const char *keyring_current(const struct keyring *keyring);

/* Whose secret it is, and which. Borrowed during the call. */
struct keyring_place {
    const char *user_id; /* canonical, see common/base/id.h */
    struct view name;    /* without a NUL */
};

/* Writes plain.len + KEYRING_OVERHEAD bytes. ERR_UNAVAILABLE "secrets_not_configured" without keys.
 */
bool keyring_seal(const struct keyring *keyring, const struct keyring_place *place,
                  struct view plain, uint8_t *out, struct err *err) MUST_CHECK;

/* Writes sealed.len - KEYRING_OVERHEAD bytes, which the caller wipes after use. ERR_UNAVAILABLE
 * "secret_unreadable": the key is not there, or the value was not sealed with it for that place;
 * then nothing of it is in out. */
bool keyring_unseal(const struct keyring *keyring, const char *key_id,
                    const struct keyring_place *place, struct view sealed, uint8_t *out,
                    struct err *err) MUST_CHECK;

#endif
