#include "sandbox-service/events/signature.h"

#include "common/base/secret.h"
#include "common/base/str.h"

#include <assert.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

enum { SUBJECT_MAX = 64 * 1024 };

#define KEY_PREFIX "whsec_"
static_assert(sizeof KEY_PREFIX - 1 + ENCODE_BASE64_SIZE(SIGNATURE_KEY_LEN) <= WEBHOOK_SECRET_SIZE,
              "a secret fits");

static bool hmac(struct view key, const struct str *text, uint8_t out[SIGNATURE_KEY_LEN],
                 struct err *err)
{
    unsigned len = 0;
    return str_check(text, "what is signed", err) &&
           ((key.len <= INT_MAX &&
             HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)text->data, text->len,
                  out, &len) != NULL &&
             len == SIGNATURE_KEY_LEN) ||
            err_set(err, ERR_INTERNAL, "HMAC failed"));
}

bool signature_key_derive(struct view service_secret, const char webhook_id[ID_SIZE],
                          struct signature_key *out, struct err *err)
{
    AUTO(str_free) struct str purpose = STR_INIT(SUBJECT_MAX);
    str_appendf(&purpose, "insien webhook 1\n%s", webhook_id);
    return hmac(service_secret, &purpose, out->bytes, err);
}

void signature_key_write(const struct signature_key *key, char out[WEBHOOK_SECRET_SIZE])
{
    memcpy(out, KEY_PREFIX, sizeof KEY_PREFIX);
    (void)encode_base64(ENCODE_BASE64, key->bytes, sizeof key->bytes, out + sizeof KEY_PREFIX - 1);
}

bool signature_write(const struct signature_key *key, const struct signature_subject *subject,
                     char out[SIGNATURE_SIZE], struct err *err)
{
    uint8_t digest[SIGNATURE_KEY_LEN];
    AUTO(str_free) struct str text = STR_INIT(SUBJECT_MAX);
    str_append_view(&text, subject->id);
    str_append_char(&text, '.');
    str_append_view(&text, subject->timestamp);
    str_append_char(&text, '.');
    str_append_view(&text, subject->body);
    if (!hmac((struct view){(const char *)key->bytes, sizeof key->bytes}, &text, digest, err)) {
        return false;
    }
    (void)snprintf(out, SIGNATURE_SIZE, "v1,");
    (void)encode_base64(ENCODE_BASE64, digest, sizeof digest, out + strlen(out));
    return true;
}
