/* Any bytes as a session token, of Clerk and of another issuer, and as the payload of one whose
 * signature holds. */
#include "auth-service/jwt/verify.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxWbaAUr8j75CqVwLGaxZ\n"
                          "3RXO7M1u4JTyxiQuW2CoNVO0Eq5Exvo3VxfX1ABzL8GmWQQzcVJv4FfYdxrZdklK\n"
                          "KamQ1ZsQgVqOZR78EVoI8ZqmUw0f2EDtVRStNmD3EIzb1cTW5PzCIH43cjkvR7l9\n"
                          "t4mM5vO2GqwpEVe47ev5kl1ek729MB0sSZPQ9uW3RTmNpNVlKusDNAg9LkB+RxBM\n"
                          "7us0RMpofLQRG0FVRD0ms4ZxKw7mtY7q3uz1JA5/EpHSr3lI67Dt7sXFaTV+R7fn\n"
                          "Lv9daM6E+yaYtJee4csOIccSzZpDohMXc+f7cb5bkKqMvZ4ysFXCgT4ObS0NkgRO\n"
                          "6QIDAQAB\n"
                          "-----END PUBLIC KEY-----\n";

static const char jwks[] = "{\"keys\":[{\"kid\":\"ec\",\"kty\":\"EC\",\"crv\":\"P-256\","
                           "\"x\":\"WcDOKMmE-BwBaIft_sQ5swwrIxLhCWn1mKsOh3pU9Mo\","
                           "\"y\":\"MNrTcFRKUXMnap1YGJDWrMsdPiE9QE8rDIkNOgej184\"}]}";

static const struct token_policy policy = {.issuer = "https://clerk.sandbox.test",
                                           .audience = "insien",
                                           .authorized_parties = {VIEW("https://app.sandbox.test")},
                                           .authorized_party_count = 1,
                                           .allow_missing_azp = true,
                                           .clock_skew_s = 5};
static const struct token_policy other_policy = {
    .issuer = "https://id.sandbox.test/", .audience = "insien", .is_oidc = true, .clock_skew_s = 5};
static const double now_s = 1767225600;

static const struct key_set *keys(void)
{
    static struct key_set *set;
    struct err err;
    if (set == NULL) {
        set = key_set_from_pem(view_of(pem), &err);
        assert(set != NULL);
    }
    return set;
}

static const struct key_set *other_keys(void)
{
    static struct key_set *set;
    struct err err;
    if (set == NULL) {
        set = key_set_from_jwks(view_of(jwks), true, &err);
        assert(set != NULL);
    }
    return set;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view text = {(const char *)data, size};
    struct token_claims claims;
    struct err err = {0};
    char kid[KEY_ID_SIZE];
    if (!token_verify(text, &policy, keys(), now_s, &claims, &err)) {
        assert(err.code == ERR_UNAUTHENTICATED && err.reason[0] != '\0');
    } else {
        assert(token_read_kid(text, &policy, kid, &err));
    }
    if (!token_verify(text, &other_policy, other_keys(), now_s, &claims, &err)) {
        assert(err.code == ERR_UNAUTHENTICATED && err.reason[0] != '\0');
    }
    claims = (struct token_claims){0};
    if (token_claims_read(text, &policy, now_s, &claims, &err)) {
        assert(claims.subject[0] != '\0' && claims.expires_at_s > now_s - 5);
    }
    return 0;
}
