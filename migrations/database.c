#include "migrations/database.h"

#include "common/base/clock.h"
#include "common/db/target.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SERVER_WAIT_MS = 30000, SERVER_RETRY_MS = 200 };

/* Of one attempt, for a host that swallows packets; the URL may say otherwise. */
#define CONNECT_TIMEOUT_S "5"

/* "insien" as a number: which advisory lock is ours. */
#define LOCK_SQL "SELECT pg_advisory_lock(x'696e7369656e'::bigint)"

/* In this order, once a connection is there. */
static const char *const preparations[] = {
    "SET lock_timeout = '30s'",
    "SET client_min_messages = 'warning'",
    LOCK_SQL,
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " version integer PRIMARY KEY,"
    " name text NOT NULL,"
    " sha256 text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())",
};

struct database {
    PGconn *pg; /* owned */
};

/* Debian's messages end in a newline; a sentence of ours does not. */
static bool fail(PGconn *pg, const char *what, struct err *err)
{
    char message[ERR_MESSAGE_SIZE];
    (void)snprintf(message, sizeof message, "%s", PQerrorMessage(pg));
    for (char *c = message; *c != '\0'; c++) {
        if (*c == '\n') {
            *c = c[1] == '\0' ? '\0' : ' ';
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "%s: %s", what, message);
}

/* The result of one statement, for the caller to clear; NULL after a failure. */
static PGresult *run(struct database *database, const char *what, const char *sql, int count,
                     const char *const *values, struct err *err)
{
    PGresult *result = count == 0
                           ? PQexec(database->pg, sql)
                           : PQexecParams(database->pg, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail(database->pg, what, err);
        PQclear(result);
        return NULL;
    }
    return result;
}

static bool run_only(struct database *database, const char *what, const char *sql, struct err *err)
{
    PGresult *result = run(database, what, sql, 0, NULL, err);
    PQclear(result);
    return result != NULL;
}

static bool is_away(const char *const *keywords, const char *const *values)
{
    PGPing ping = PQpingParams(keywords, values, 1);
    return ping == PQPING_REJECT || ping == PQPING_NO_RESPONSE;
}

/* A server that is away or starting is waited for; one that answers, but not to us, will not change
 * its mind. It is asked first: a server can be up between an attempt and a question behind it. */
static bool connect_within(struct database *database, const char *url, int64_t deadline_ms,
                           struct err *err)
{
    static const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, url, NULL};
    while (is_away(keywords, values) && clock_monotonic_ms() < deadline_ms) {
        const struct timespec pause = {.tv_nsec = SERVER_RETRY_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    database->pg = PQconnectdbParams(keywords, values, 1);
    return PQstatus(database->pg) == CONNECTION_OK ||
           fail(database->pg, "can't connect to the database", err);
}

struct database *database_open(const char *url, struct err *err)
{
    struct database *database = calloc(1, sizeof *database);
    if (database == NULL) {
        err_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    bool ok = pg_url_check(url, err) &&
              connect_within(database, url, clock_monotonic_ms() + SERVER_WAIT_MS, err);
    for (size_t i = 0; ok && i < sizeof preparations / sizeof preparations[0]; i++) {
        ok = run_only(database, "preparing the database", preparations[i], err);
    }
    if (!ok) {
        database_close(database);
        return NULL;
    }
    return database;
}

void database_close(struct database *database)
{
    if (database != NULL) {
        PQfinish(database->pg); /* ends the session and with it the lock */
        free(database);
    }
}

static bool compare_one(long version, const char *name, const char *sha256,
                        const struct migrations *migrations, int position, struct err *err)
{
    if (position >= migrations->count || version != position + 1) {
        return err_set(err, ERR_CONFLICT,
                       "the database has migration %s, but there is no such file: this program is "
                       "older than the database; use the newer one",
                       name);
    }
    const struct migration *file = &migrations->items[position];
    if (strcmp(name, file->name) != 0) {
        return err_set(err, ERR_CONFLICT,
                       "migration %ld of the database is %s, but the file is %s: give the file its "
                       "name back and add a new one behind the last",
                       version, name, file->name);
    }
    if (strcmp(sha256, file->sha256) != 0) {
        return err_set(err, ERR_CONFLICT,
                       "%s was changed after it was applied: put its old text back and write what "
                       "is new into a new migration",
                       name);
    }
    return true;
}

bool database_compare(struct database *database, const struct migrations *migrations, int *applied,
                      struct err *err)
{
    PGresult *result =
        run(database, "reading schema_migrations",
            "SELECT version, name, sha256 FROM schema_migrations ORDER BY version", 0, NULL, err);
    bool ok = result != NULL;
    for (int row = 0; ok && row < PQntuples(result); row++) {
        ok = compare_one(strtol(PQgetvalue(result, row, 0), NULL, 10), PQgetvalue(result, row, 1),
                         PQgetvalue(result, row, 2), migrations, row, err);
    }
    *applied = ok ? PQntuples(result) : 0;
    PQclear(result);
    return ok;
}

static bool record(struct database *database, const struct migration *migration, struct err *err)
{
    char version[16];
    (void)snprintf(version, sizeof version, "%d", migration->version);
    const char *const values[] = {version, migration->name, migration->sha256};
    PGresult *result =
        run(database, "recording it",
            "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1::integer, $2, $3)", 3,
            values, err);
    PQclear(result);
    return result != NULL;
}

/* Inside a transaction, which is there afterwards too. */
static bool run_text(struct database *database, const struct migration *migration, struct err *err)
{
    if (!run_only(database, "running it", migration->text, err)) {
        return false;
    }
    return PQtransactionStatus(database->pg) == PQTRANS_INTRANS ||
           err_set(err, ERR_INVALID, "it ends the transaction it is run in; it must not");
}

/* Leaves no transaction behind. */
static bool run_whole(struct database *database, const struct migration *migration,
                      bool is_recorded, struct err *err)
{
    if (run_only(database, "beginning", "BEGIN", err) && run_text(database, migration, err) &&
        (!is_recorded || record(database, migration, err)) &&
        run_only(database, "committing", "COMMIT", err)) {
        return true;
    }
    PQclear(PQexec(database->pg, "ROLLBACK"));
    return err_wrap(err, "%s", migration->name);
}

bool database_apply(struct database *database, const struct migration *migration, struct err *err)
{
    return run_whole(database, migration, true, err);
}

bool database_grant(struct database *database, const struct migration *grants, struct err *err)
{
    return grants->text == NULL || run_whole(database, grants, false, err);
}
