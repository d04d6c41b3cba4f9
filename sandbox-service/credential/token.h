/* sandbox-service/credential/token.h: the tokens by which agents prove which sandbox they are.
 *
 * JWTs, HS256, {sub: sandbox id, typ: "agent", gen[, exp]}. Only this service signs and checks. */
#ifndef SANDBOX_CREDENTIAL_TOKEN_H
#define SANDBOX_CREDENTIAL_TOKEN_H

#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    AGENT_TOKEN_FIRST_LIFE_S = 600, /* of the one that lies as a file */
};

/* Returns the token, for the caller to wipe and free with secret_free_string; NULL on failure.
 * life_s 0: it does not expire, the sandbox's row decides. */
char *agent_token_sign(const char *secret, const char sandbox_id[ID_SIZE], int64_t generation,
                       int64_t life_s, struct err *err) MUST_CHECK;

/* Whether the token is one of ours, of this sandbox and in its time: ERR_UNAUTHENTICATED
 * "invalid_agent_token" when not. The caller compares the generation with the row's. */
bool agent_token_check(const char *secret, struct view token, const char sandbox_id[ID_SIZE],
                       int64_t *generation, struct err *err) MUST_CHECK;

#endif
