#include "sandbox-service/credential/token.h"

#include "common/base/clock.h"
#include "common/base/encode.h"
#include "common/base/secret.h"
#include "common/contracts/sandbox.h"

#include <errno.h>
#include <jwt.h>
#include <stdlib.h>

#define TOKEN_TYPE "agent"

enum { HEADER_MAX = 128 }; /* base64 characters of a header of ours, generously */

static void free_jwt(jwt_t **jwt)
{
    jwt_free(*jwt);
}

char *agent_token_sign(const char *secret, const char sandbox_id[ID_SIZE], int64_t generation,
                       int64_t life_s, struct err *err)
{
    AUTO(free_jwt) jwt_t *jwt = NULL;
    int64_t now = clock_wall_ms() / 1000;
    if (jwt_new(&jwt) != 0 || jwt_add_grant(jwt, "sub", sandbox_id) != 0 ||
        jwt_add_grant(jwt, "typ", TOKEN_TYPE) != 0 ||
        jwt_add_grant_int(jwt, "gen", (long)generation) != 0 ||
        jwt_add_grant_int(jwt, "iat", (long)now) != 0 ||
        (life_s > 0 && jwt_add_grant_int(jwt, "exp", (long)(now + life_s)) != 0) ||
        jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret, (int)strlen(secret)) != 0) {
        err_set(err, ERR_INTERNAL, "agent token: can't be made");
        return NULL;
    }
    char *token = jwt_encode_str(jwt);
    if (token == NULL) {
        err_set(err, ERR_INTERNAL, "agent token: can't be signed");
    }
    return token;
}

static bool refuse(struct err *err, const char *why)
{
    return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_agent_token", "agent token: %s", why);
}

/* The algorithm is ours to choose, not the token's: looked at before the signature is. */
static bool header_is_ours(struct view token)
{
    struct header {
        struct view alg;
        struct view typ;
    } header;
    static const struct json_field fields[] = {
        JSON_STRING(struct header, alg, "alg", .required = true),
        JSON_STRING(struct header, typ, "typ"),
    };
    static const struct json_schema schema = {fields, sizeof fields / sizeof fields[0], true};
    uint8_t text[ENCODE_BASE64_DECODED_MAX(HEADER_MAX)];
    size_t len;
    struct err ignored = {0};
    const char *dot = token.len == 0 ? NULL : memchr(token.ptr, '.', token.len);
    size_t header_len = dot == NULL ? 0 : (size_t)(dot - token.ptr);
    if (header_len == 0 || header_len > HEADER_MAX ||
        !encode_base64_decode(ENCODE_BASE64_URL, (struct view){token.ptr, header_len}, text,
                              &len)) {
        return false;
    }
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read((struct view){(const char *)text, len}, &schema, &header, NULL, &ignored);
    return doc != NULL && view_equal(header.alg, VIEW("HS256"));
}

static bool grant_is(jwt_t *jwt, const char *name, const char *wanted)
{
    const char *value = jwt_get_grant(jwt, name);
    return value != NULL && strcmp(value, wanted) == 0;
}

bool agent_token_check(const char *secret, struct view token, const char sandbox_id[ID_SIZE],
                       int64_t *generation, struct err *err)
{
    char text[AGENT_TOKEN_MAX + 1];
    AUTO(free_jwt) jwt_t *jwt = NULL;
    if (!view_copy(token, text, sizeof text) || !header_is_ours(token)) {
        return refuse(err, "it has not our shape");
    }
    int failure = jwt_decode(&jwt, text, (const unsigned char *)secret, (int)strlen(secret));
    secret_wipe(text, sizeof text);
    if (failure != 0) {
        jwt = NULL;
        return refuse(err, "its signature is not ours");
    }
    if (jwt_get_alg(jwt) != JWT_ALG_HS256 || !grant_is(jwt, "typ", TOKEN_TYPE) ||
        !grant_is(jwt, "sub", sandbox_id)) {
        return refuse(err, "it is for something else");
    }
    *generation = jwt_get_grant_int(jwt, "gen");
    if (*generation <= 0) {
        return refuse(err, "it has no generation");
    }
    errno = 0;
    long expires = jwt_get_grant_int(jwt, "exp");
    return errno == ENOENT || clock_wall_ms() / 1000 < expires || refuse(err, "it has expired");
}
