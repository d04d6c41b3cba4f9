#include "common/ws/handshake.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "common/ws/sha1.h"

#include <assert.h>

enum { KEY_BYTES = 16 };
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool ws_key_new(char out[WS_KEY_SIZE], struct err *err)
{
    uint8_t bytes[KEY_BYTES];
    if (!secret_random(bytes, sizeof bytes, err)) {
        return false;
    }
    (void)encode_base64(ENCODE_BASE64, bytes, sizeof bytes, out);
    return true;
}

bool ws_key_is_valid(struct view key)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(WS_KEY_SIZE)];
    size_t len;
    return key.len == WS_KEY_SIZE - 1 && encode_base64_decode(ENCODE_BASE64, key, bytes, &len) &&
           len == KEY_BYTES;
}

void ws_accept_of(struct view key, char out[WS_ACCEPT_SIZE])
{
    char text[WS_KEY_SIZE - 1 + sizeof ACCEPT_GUID];
    uint8_t digest[SHA1_SIZE];
    assert(key.len == WS_KEY_SIZE - 1);
    memcpy(text, key.ptr, key.len);
    memcpy(text + key.len, ACCEPT_GUID, sizeof ACCEPT_GUID);
    sha1_of((struct view){text, sizeof text - 1}, digest);
    (void)encode_base64(ENCODE_BASE64, digest, sizeof digest, out);
}
