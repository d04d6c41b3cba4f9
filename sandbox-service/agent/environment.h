/* sandbox-service/agent/environment.h: a list of NAME=value, as execve takes it. */
#ifndef SANDBOX_AGENT_ENVIRONMENT_H
#define SANDBOX_AGENT_ENVIRONMENT_H

#include "common/base/err.h"
#include "common/json/read.h"

enum { ENVIRONMENT_ITEMS_MAX = 4096 };

/* Starts as zero. */
struct environment {
    char **items; /* owned, NULL-terminated once anything was set */
    size_t count;
    size_t capacity;
};

/* Copies both; an earlier value of the name is replaced. ERR_LIMIT over ENVIRONMENT_ITEMS_MAX. */
bool environment_set(struct environment *env, struct view name, struct view value,
                     struct err *err) MUST_CHECK;
bool environment_set_pairs(struct environment *env, const struct json_pairs *pairs,
                           struct err *err) MUST_CHECK;
bool environment_set_all(struct environment *env, const struct environment *other,
                         struct err *err) MUST_CHECK;
/* NULL when the name is not set; else valid until the next set. */
const char *environment_get(const struct environment *env, const char *name);
/* Frees what it holds; it may be used again. */
void environment_free(struct environment *env);

#endif
