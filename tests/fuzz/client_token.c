/* Any bytes as a client token, and as the payload of one whose signature holds. */
#include "auth-service/tokens/client_token.h"

#include "common/base/encode.h"

#include <assert.h>
#include <openssl/hmac.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1767225600, MAC_LEN = 32, TEXT_MAX = 2 * AUTH_TOKEN_MAX, PAYLOAD_MAX = 4096 };

static const struct client_token_key key = {.audience = "insien:test:client"};

static void read_text(struct view text)
{
    struct client_token token;
    struct err err = {0};
    if (client_token_read(&key, text, NOW_S, &token, &err)) {
        assert(token.expires_at_s > NOW_S && token.user_id[0] != '\0');
        assert((token.scopes & ~(unsigned)AUTH_SCOPES_CLIENT) == 0);
        assert(auth_is_client_token(text));
    } else {
        assert(err.code == ERR_UNAUTHENTICATED && err.reason[0] != '\0');
    }
}

static void append_base64url(struct str *out, const void *bytes, size_t len)
{
    char *room = str_reserve(out, ENCODE_BASE64_SIZE(len));
    assert(room != NULL);
    str_advance(out, encode_base64(ENCODE_BASE64_URL, bytes, len, room));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t mac[MAC_LEN];
    read_text((struct view){(const char *)data, size});
    if (size == 0 || size > PAYLOAD_MAX) {
        return 0;
    }
    AUTO(str_free) struct str text = STR_INIT(TEXT_MAX);
    str_append_string(&text, CLIENT_TOKEN_HEADER ".");
    append_base64url(&text, data, size);
    assert(HMAC(EVP_sha256(), key.bytes, sizeof key.bytes, (const unsigned char *)text.data,
                text.len, mac, NULL) != NULL);
    str_append_char(&text, '.');
    append_base64url(&text, mac, sizeof mac);
    read_text(str_view(&text));
    return 0;
}
