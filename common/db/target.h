/* common/db/target.h: where a PostgreSQL server is, in the form that connecting can't block on. */
#ifndef COMMON_DB_TARGET_H
#define COMMON_DB_TARGET_H

#include "common/base/err.h"

#include <stdint.h>

enum { PG_TARGET_KEYWORDS_MAX = 64 };

/* For PQconnectStartParams: NULL-terminated, both arrays of the same length. */
struct pg_target {
    char *keywords[PG_TARGET_KEYWORDS_MAX + 1]; /* owned */
    char *values[PG_TARGET_KEYWORDS_MAX + 1];   /* owned */
    int count;
};

/* Reads a connection string (either form) and looks host names up, so that it may block: call it
 * before the loop runs. The caller frees the target with pg_target_free. */
struct pg_target *pg_target_new(const char *url, int64_t statement_timeout_ms,
                                struct err *err) MUST_CHECK;
void pg_target_free(struct pg_target *target);

/* Whether url is a connection string, without looking anything up. */
bool pg_url_check(const char *url, struct err *err) MUST_CHECK;

#endif
