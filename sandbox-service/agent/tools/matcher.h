/* sandbox-service/agent/tools/matcher.h: finds a literal or a regular expression in the lines of a
 * text. Bytes are compared; letters without regard to case are those of ASCII. */
#ifndef SANDBOX_AGENT_TOOLS_MATCHER_H
#define SANDBOX_AGENT_TOOLS_MATCHER_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <regex.h>

enum { MATCHER_PATTERN_MAX = 1024 };

struct matcher {
    char pattern[MATCHER_PATTERN_MAX + 1];
    bool is_regex;
    bool ignores_case;
    regex_t regex; /* compiled when is_regex */
};

/* A POSIX extended regular expression if is_regex. ERR_INVALID "invalid_regex", or
 * "validation_failed" for a pattern that is empty, too long or of several lines. */
bool matcher_init(struct matcher *matcher, struct view pattern, bool is_regex, bool ignores_case,
                  struct err *err) MUST_CHECK;
/* Only after a successful init. */
void matcher_free(struct matcher *matcher);

/* The first match in one line. False: none. */
bool matcher_find(const struct matcher *matcher, struct view line, struct view *match) MUST_CHECK;

#endif
