/* sandbox-service/agent/about.h: what is told of a process that was started: its name and words. */
#ifndef SANDBOX_AGENT_ABOUT_H
#define SANDBOX_AGENT_ABOUT_H

#include "common/base/str.h"
#include "common/contracts/agent.h"

enum {
    ABOUT_TEXT_MAX = 1024, /* bytes kept of the command and of its directory; the rest is cut */
    ABOUT_ARGS_MAX = 2048, /* bytes kept of all arguments, as JSON; the rest is left out */
};

struct about_spec {
    struct view tag;
    struct view session;
    struct view cmd;
    const struct json_strings *args; /* NULL: none */
    struct view cwd;
    struct view user;
};

struct about {
    struct str text; /* what the views point to */
    struct view tag; /* may be empty */
    struct view session;
    struct view cmd;
    struct view args; /* a JSON array */
    struct view cwd;
    struct view user;
};

/* Copies. The caller frees out with about_free, also after a failure. */
bool about_make(struct about *out, const struct about_spec *spec, struct err *err) MUST_CHECK;
void about_free(struct about *about);

#endif
