/* Any bytes as a JWKS document, as a PEM and as a publishable key. */
#include "auth-service/jwt/clerk.h"
#include "auth-service/jwt/keys.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view text = {(const char *)data, size};
    struct err err = {0};
    char host[CLERK_HOST_SIZE];
    struct key_set *set = key_set_from_jwks(text, true, &err);
    if (set != NULL) {
        assert(key_set_count(set) >= 1 && key_set_count(set) <= KEY_SET_MAX);
        assert(key_set_find(set, VIEW("")) == NULL);
    }
    key_set_free(set);
    set = key_set_from_pem(text, &err);
    assert(set == NULL || key_set_find(set, VIEW("any")) != NULL);
    key_set_free(set);
    if (clerk_host_from_publishable_key(text, host, &err)) {
        assert(strchr(host, '.') != NULL && strpbrk(host, "/:@?#$ ") == NULL);
    }
    return 0;
}
