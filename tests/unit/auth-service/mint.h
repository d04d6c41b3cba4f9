/* tests/unit/auth-service/mint.h: keys and session tokens of a test's own. */
#ifndef TESTS_UNIT_AUTH_SERVICE_MINT_H
#define TESTS_UNIT_AUTH_SERVICE_MINT_H

#include <stddef.h>

enum {
    MINT_TOKEN_SIZE = 16384,
    MINT_JWK_SIZE = 2048,
    MINT_PEM_SIZE = 4096,
};

struct mint_key;

/* A new key of so many bits; mint_key_free frees it. */
struct mint_key *mint_key_new(unsigned bits);
/* On the curve of that name: "P-256". */
struct mint_key *mint_ec_key_new(const char *curve);
void mint_key_free(struct mint_key *key);

/* Its public half: {"kty":"RSA",...} or {"kty":"EC",...} with this kid, and the PEM. */
void mint_jwk(const struct mint_key *key, const char *kid, char out[MINT_JWK_SIZE]);
void mint_pem(const struct mint_key *key, char out[MINT_PEM_SIZE]);

/* RS256 or ES256, as the key has it, over header and payload, which are JSON. */
void mint_token(const struct mint_key *key, const char *header, const char *payload,
                char out[MINT_TOKEN_SIZE]);

#endif
