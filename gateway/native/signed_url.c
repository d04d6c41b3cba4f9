#include "gateway/native/signed_url.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

enum {
    HMAC_LEN = 32,
    SIGNED_MAX = 16 * 1024,
};

static const char *operation_of(const struct signed_url *url)
{
    return url->is_upload ? "upload" : "download";
}

/* The path's length stands before it: so no other path and user make the same text. */
static bool sign(const struct signed_url *url, struct view secret, char out[SIGNATURE_SIZE],
                 struct err *err)
{
    uint8_t mac[HMAC_LEN];
    unsigned len = 0;
    AUTO(str_free) struct str text = STR_INIT(SIGNED_MAX);
    str_appendf(&text, "file-url 1\n%s\n%s\n%" PRId64 "\n%zu\n", url->sandbox_id, operation_of(url),
                url->expires_s, strlen(url->path));
    str_append_string(&text, url->path);
    str_append_string(&text, url->user);
    if (!str_check(&text, "signed URL", err)) {
        return false;
    }
    if (HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text.data, text.len,
             mac, &len) == NULL ||
        len != sizeof mac) {
        return err_set(err, ERR_INTERNAL, "HMAC failed");
    }
    (void)encode_base64(ENCODE_BASE64_URL, mac, sizeof mac, out);
    return true;
}

/* RFC 3986, 2.3: all but the unreserved is escaped; '/' is easier to read as it is. */
static void append_escaped(struct str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        char c = *text;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || strchr("-._~/", c) != NULL) {
            str_append_char(out, c);
        } else {
            str_appendf(out, "%%%02X", (unsigned)(unsigned char)c);
        }
    }
}

bool signed_url_write(const struct signed_url *url, struct view secret, const char *base,
                      struct str *out, struct err *err)
{
    char signature[SIGNATURE_SIZE];
    if (!sign(url, secret, signature, err)) {
        return false;
    }
    str_appendf(out, "%s/files/%s?op=%s&path=", base, url->sandbox_id, operation_of(url));
    append_escaped(out, url->path);
    if (url->user[0] != '\0') {
        str_append_view(out, VIEW("&user="));
        append_escaped(out, url->user);
    }
    str_appendf(out, "&exp=%" PRId64 "&sig=%s", url->expires_s, signature);
    return str_check(out, "signed URL", err);
}

bool signed_url_check(const struct signed_url *url, struct view secret, const char *signature,
                      int64_t now_s, struct err *err)
{
    char expected[SIGNATURE_SIZE];
    if (!sign(url, secret, expected, err)) {
        return false;
    }
    if (strlen(signature) != SIGNATURE_SIZE - 1 ||
        !secret_equal(signature, expected, SIGNATURE_SIZE - 1)) {
        return err_set_reason(err, ERR_DENIED, "url_invalid", "This URL is not valid.");
    }
    return now_s < url->expires_s ||
           err_set_reason(err, ERR_DENIED, "url_expired", "This URL has expired.");
}
