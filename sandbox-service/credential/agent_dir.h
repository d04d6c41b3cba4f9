/* sandbox-service/credential/agent_dir.h: the directory that a sandbox and its gateway share.
 *
 * agents/<id32>/ is seen read-only inside the container: the gateway puts its socket there, and the
 * first token lies there until it has been used. It belongs to the gateway's user, and to the group
 * that root of the container is in outside; nobody else may enter. locks/<id32> is for the gateways
 * alone: who holds its flock listens. */
#ifndef SANDBOX_CREDENTIAL_AGENT_DIR_H
#define SANDBOX_CREDENTIAL_AGENT_DIR_H

#include "common/base/err.h"
#include "common/base/id.h"

#include <sys/types.h>

enum { AGENT_DIR_PATH_SIZE = 320 };

struct agent_dirs {
    const char *run_dir; /* borrowed */
    int agents_fd;       /* owned; -1 when not open */
    int locks_fd;        /* owned; -1 when not open */
    uid_t service_uid;   /* the gateway's */
    gid_t service_gid;
    gid_t root_gid; /* of the containers' root; set when the engine is known */
};

/* Makes what is missing of run_dir, agents/ and locks/, and removes what a dead process left half
 * done. */
bool agent_dirs_open(struct agent_dirs *dirs, const char *run_dir, uid_t service_uid,
                     gid_t service_gid, struct err *err) MUST_CHECK;
void agent_dirs_close(struct agent_dirs *dirs);

/* The whole path of a sandbox's directory. */
void agent_dir_path(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                    char out[AGENT_DIR_PATH_SIZE]);
/* Makes lock and directory; the latter appears at once with the token in it. */
bool agent_dir_make(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                    const char *token, struct err *err) MUST_CHECK;
/* Puts another token into a directory that is there, in place of one that may still lie in it. */
bool agent_dir_renew(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                     const char *token, struct err *err) MUST_CHECK;
/* Removes both; what is not there is removed already. */
bool agent_dir_remove(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                      struct err *err) MUST_CHECK;

typedef void agent_dir_fn(const char sandbox_id[ID_SIZE], void *arg);
/* Each sandbox that has a directory or a lock; one that has both comes twice. */
bool agent_dirs_each(const struct agent_dirs *dirs, agent_dir_fn *visit, void *arg,
                     struct err *err) MUST_CHECK;

#endif
