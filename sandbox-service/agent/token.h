/* sandbox-service/agent/token.h: the agent's credential; only the newest one is in memory. */
#ifndef SANDBOX_AGENT_TOKEN_H
#define SANDBOX_AGENT_TOKEN_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "common/contracts/agent.h"

struct token {
    char text[AGENT_TOKEN_MAX + 1]; /* empty: there is none */
};

/* Takes the token from the file over, if there is one in it. */
bool token_load(struct token *token, const char *path) MUST_CHECK;
/* Takes a new token over; false when it is empty, too long or could not stand in a header. */
bool token_set(struct token *token, struct view text) MUST_CHECK;
void token_wipe(struct token *token);

#endif
