/* sandbox-service/agent/settings.h: what the container and the gateway's configure message say
 * about how a tenant's commands run. */
#ifndef SANDBOX_AGENT_SETTINGS_H
#define SANDBOX_AGENT_SETTINGS_H

#include "common/base/err.h"
#include "common/contracts/agent.h"
#include "sandbox-service/agent/environment.h"
#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/user.h"

struct settings {
    struct environment container; /* what the image and the engine set, without INSIEN_* */
    struct environment env;       /* of configure */
    bool configured;
    bool locked;                            /* the profile */
    char work_dir[PATH_SIZE];               /* of the template or the image; may be empty */
    bool work_dir_chosen;                   /* by the template */
    char image_user[2 * USER_NAME_MAX + 2]; /* of the template or the image; may be empty */
    bool user_chosen;                       /* by the template */
};

/* entries are NAME=value, NULL-terminated; those without a name are left out. */
bool settings_open(struct settings *settings, char *const *entries, struct err *err) MUST_CHECK;
void settings_close(struct settings *settings);

/* Takes all of configure but its token over, or nothing. ERR_INVALID "invalid_request". */
bool settings_configure(struct settings *settings, const struct agent_configure *configure,
                        struct err *err) MUST_CHECK;

/* The acting user for a request that names asked (may be empty); errors of user_load. */
bool settings_user(const struct settings *settings, struct view asked, struct user *out,
                   struct err *err) MUST_CHECK;

/* Where relative paths begin: the template's, /app when there is one, else the image's, else "/".
 */
const char *settings_work_dir(const struct settings *settings);

/* The environment of one command: the container's, the user's, configure's and at last its own.
 * The caller frees out, also after a failure. */
bool settings_environment(const struct settings *settings, const struct user *user,
                          const struct json_pairs *own, struct environment *out,
                          struct err *err) MUST_CHECK;

#endif
