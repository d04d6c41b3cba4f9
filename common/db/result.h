/* common/db/result.h: what an answer of PostgreSQL means to us. */
#ifndef COMMON_DB_RESULT_H
#define COMMON_DB_RESULT_H

#include "common/base/err.h"

#include <libpq-fe.h>

/* True when the statement succeeded; otherwise err says why, by the SQLSTATE. result may be NULL:
 * the connection gave none. */
bool pg_result_check(const PGresult *result, struct err *err) MUST_CHECK;

#endif
