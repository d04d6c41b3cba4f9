/* migrations/database.h: which migrations a database has, and how it gets one. Blocking. */
#ifndef MIGRATIONS_DATABASE_H
#define MIGRATIONS_DATABASE_H

#include "migrations/files.h"

struct database;

/* Waits up to 30 s for a server that starts up, and as long for another run of this program to
 * end. The caller closes it with database_close, which also lets the next run go on. */
struct database *database_open(const char *url, struct err *err) MUST_CHECK;
void database_close(struct database *database);

/* How many of the migrations the database has. Fails when what it has is not the beginning of
 * what there is: a file that changed, is missing or has another name. */
bool database_compare(struct database *database, const struct migrations *migrations, int *applied,
                      struct err *err) MUST_CHECK;

/* Runs grants.sql, all or nothing; without a text does nothing. */
bool database_grant(struct database *database, const struct migration *grants,
                    struct err *err) MUST_CHECK;

/* Runs one migration and records it, both or neither. */
bool database_apply(struct database *database, const struct migration *migration,
                    struct err *err) MUST_CHECK;

#endif
