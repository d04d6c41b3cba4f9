/* sandbox-service/agent/acting.h: file access with somebody else's rights. These
 * rights belong to a thread, and one thread does all of it. */
#ifndef SANDBOX_AGENT_ACTING_H
#define SANDBOX_AGENT_ACTING_H

#include "sandbox-service/agent/user.h"

struct acting {
    gid_t groups[USER_GROUPS_MAX]; /* the agent's own */
    int group_count;
};

/* From here until acting_end files are accessed as user. On failure nothing has changed. */
bool acting_begin(struct acting *acting, const struct user *user, struct err *err) MUST_CHECK;
/* Back to the agent's own rights. The agent ends if that fails: it must not go on as anybody else.
 */
void acting_end(struct acting *acting);

#endif
