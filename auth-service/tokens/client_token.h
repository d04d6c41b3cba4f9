/* auth-service/tokens/client_token.h: short-lived tokens for one sandbox, for browsers.
 *
 * JWTs (RFC 7519), HS256 under a key of their own, with a "typ" and an "aud" that nothing else has:
 * no session token, agent's token or signed address is one of these, nor the other way round. Only
 * this service signs and checks. */
#ifndef AUTH_SERVICE_TOKENS_CLIENT_TOKEN_H
#define AUTH_SERVICE_TOKENS_CLIENT_TOKEN_H

#include "common/base/str.h"
#include "common/contracts/auth.h"

enum {
    CLIENT_TOKEN_KEY_LEN = 32,
    CLIENT_TOKEN_AUDIENCE_SIZE = 96,
};

/* What signs and checks; to be wiped. */
struct client_token_key {
    uint8_t bytes[CLIENT_TOKEN_KEY_LEN];
    char audience[CLIENT_TOKEN_AUDIENCE_SIZE]; /* of this deployment */
};
/* Made of a secret of the service (HKDF, RFC 5869), which is not told by it. */
bool client_token_key_derive(struct view secret, const char *instance, struct client_token_key *out,
                             struct err *err) MUST_CHECK;

struct client_token {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char sandbox_id[ID_SIZE];
    char api_key_id[ID_SIZE];                   /* that made it; "": a session did */
    char session_id[AUTH_SESSION_ID_MAX + 1];   /* that made it; "": a key did, or not said */
    char impersonator[AUTH_SESSION_ID_MAX + 1]; /* who acted in the user's name; "": nobody */
    bool watch_session;                         /* as in auth_identity */
    unsigned scopes;                            /* of AUTH_SCOPES_CLIENT */
    int64_t issued_at_s;                        /* since 1970, as the next */
    int64_t expires_at_s;
};

/* Appends the text. */
bool client_token_write(const struct client_token_key *key, const struct client_token *token,
                        struct str *out, struct err *err) MUST_CHECK;

/* ERR_UNAUTHENTICATED "invalid_token", or when only its time is over "token_expired". */
bool client_token_read(const struct client_token_key *key, struct view text, int64_t now_s,
                       struct client_token *out, struct err *err) MUST_CHECK;

#endif
