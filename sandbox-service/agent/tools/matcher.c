#include "sandbox-service/agent/tools/matcher.h"

enum { REASON_SIZE = 96 };

bool matcher_init(struct matcher *matcher, struct view pattern, bool is_regex, bool ignores_case,
                  struct err *err)
{
    char reason[REASON_SIZE];
    *matcher = (struct matcher){.is_regex = is_regex, .ignores_case = ignores_case};
    if (pattern.len == 0 || !view_copy(pattern, matcher->pattern, sizeof matcher->pattern) ||
        strpbrk(matcher->pattern, "\r\n") != NULL) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "text must be one line of 1 to %d bytes", MATCHER_PATTERN_MAX);
    }
    if (!is_regex) {
        return true;
    }
    int result =
        regcomp(&matcher->regex, matcher->pattern, REG_EXTENDED | (ignores_case ? REG_ICASE : 0));
    if (result != 0) {
        (void)regerror(result, NULL, reason, sizeof reason);
        return err_set_reason(err, ERR_INVALID, "invalid_regex", "text: %s", reason);
    }
    return true;
}

void matcher_free(struct matcher *matcher)
{
    if (matcher->is_regex) {
        regfree(&matcher->regex);
    }
}

static bool find_regex(const struct matcher *matcher, struct view line, struct view *match)
{
    regmatch_t found = {.rm_so = 0, .rm_eo = (regoff_t)line.len};
    if (regexec(&matcher->regex, line.ptr, 1, &found, REG_STARTEND) != 0) {
        return false;
    }
    *match = (struct view){line.ptr + found.rm_so, (size_t)(found.rm_eo - found.rm_so)};
    return true;
}

static bool find_nocase(struct view line, struct view wanted, struct view *match)
{
    for (; line.len >= wanted.len; line = view_from(line, 1)) {
        *match = (struct view){line.ptr, wanted.len};
        if (view_equal_nocase(*match, wanted)) {
            return true;
        }
    }
    return false;
}

bool matcher_find(const struct matcher *matcher, struct view line, struct view *match)
{
    struct view wanted = view_of(matcher->pattern);
    if (matcher->is_regex) {
        return find_regex(matcher, line, match);
    }
    if (matcher->ignores_case) {
        return find_nocase(line, wanted, match);
    }
    const char *found = memmem(line.ptr, line.len, wanted.ptr, wanted.len);
    *match = (struct view){found, wanted.len};
    return found != NULL;
}
