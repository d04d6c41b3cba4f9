/* sandbox-service/sandbox/welcome.h: what an agent is told of its sandbox. */
#ifndef SANDBOX_SANDBOX_WELCOME_H
#define SANDBOX_SANDBOX_WELCOME_H

#include "common/base/str.h"
#include "common/contracts/sandbox.h"

/* As the row has it. All borrowed. */
struct welcome_source {
    const char *sandbox_id;
    int64_t generation; /* that the agent presented last */
    const char *env;    /* a JSON object */
    const char *profile;
    const char *work_dir;
    bool work_dir_chosen; /* by the template */
    const char *start;    /* of the template, as JSON; "": none */
    const char *user;
    bool user_chosen; /* by the template */
};

/* Starts as zero. */
struct welcome {
    struct sandbox_agent_welcome words; /* point into the rest and the source */
    char *token;                        /* owned: of the next generation */
    struct json_doc *env;               /* owned */
};
/* The caller clears out in any case; source stays until then. */
bool welcome_make(struct welcome *out, const char *secret, const struct welcome_source *source,
                  struct err *err) MUST_CHECK;
void welcome_clear(struct welcome *welcome);

/* The same as the JSON of sandbox_agent_welcome, appended to out. */
bool welcome_write(const char *secret, const struct welcome_source *source, struct str *out,
                   struct err *err) MUST_CHECK;

#endif
