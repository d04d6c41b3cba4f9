/* gateway/native/signed_url.h: addresses that lead to one file of a sandbox, one way, for a while,
 * for whoever holds them. */
#ifndef GATEWAY_NATIVE_SIGNED_URL_H
#define GATEWAY_NATIVE_SIGNED_URL_H

#include "common/base/id.h"
#include "common/base/str.h"

#include <stdint.h>

enum {
    SIGNED_URL_TTL_MAX_S = 86400,
    SIGNATURE_SIZE = 44, /* base64url of an HMAC-SHA-256, and the NUL */
};

struct signed_url {
    const char *sandbox_id;
    bool is_upload;
    const char *path;
    const char *user;  /* "": the agent's choice */
    int64_t expires_s; /* since 1970 */
};

/* Appends "<base>/files/<id>?op=&path=&user=&exp=&sig=". */
bool signed_url_write(const struct signed_url *url, struct view secret, const char *base,
                      struct str *out, struct err *err) MUST_CHECK;

/* ERR_DENIED "url_invalid", or when only its time is over "url_expired". */
bool signed_url_check(const struct signed_url *url, struct view secret, const char *signature,
                      int64_t now_s, struct err *err) MUST_CHECK;

#endif
