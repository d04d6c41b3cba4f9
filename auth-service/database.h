/* auth-service/database.h: the pool of connections that all stores of this program share. */
#ifndef AUTH_SERVICE_DATABASE_H
#define AUTH_SERVICE_DATABASE_H

#include "common/db/pg.h"

struct pg_pool *database_open(struct loop *loop, const char *url, size_t connections,
                              struct err *err) MUST_CHECK;

/* Asks the server for an answer, whatever it says. */
bool database_ping(struct pg_pool *pg, int64_t timeout_ms, pg_result_fn *done, void *arg,
                   struct err *err) MUST_CHECK;

#endif
