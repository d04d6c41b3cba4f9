#include "tests/support/postgres.h"

#include "tests/support/folder.h"
#include "tests/support/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POSTGRES_PROGRAMS "/usr/lib/postgresql/*/bin/"
#define POSTGRES_USER "postgres" /* it refuses to run as root */

enum { PATH_SIZE = 256, READY_TRIES = 1500, READY_PAUSE_MS = 10 };

struct postgres {
    char folder[FOLDER_PATH_SIZE];
    char data[PATH_SIZE];
    char log[PATH_SIZE];
    char url[PATH_SIZE];
    char service_url[PATH_SIZE]; /* what was asked for last */
    pid_t pid;
};

/* The newest installed one. */
static void find_program(const char *name, char out[PATH_SIZE])
{
    char pattern[PATH_SIZE];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, POSTGRES_PROGRAMS "%s", name);
    if (glob(pattern, 0, NULL, &found) != 0) {
        fail_msg("there is no %s; install the package postgresql", pattern);
    }
    (void)snprintf(out, PATH_SIZE, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static void give_to_postgres(const char *path)
{
    if (geteuid() == 0) {
        const struct passwd *entry = getpwnam(POSTGRES_USER);
        assert_non_null(entry);
        assert_int_equal(chown(path, entry->pw_uid, entry->pw_gid), 0);
    }
}

static void make_cluster(const struct postgres *postgres)
{
    char program[PATH_SIZE];
    find_program("initdb", program);
    const char *const argv[] = {
        program, "--no-sync",        "-A", "trust",        "-U", "insien", "-E",
        "UTF8",  "--locale=C.UTF-8", "-D", postgres->data, NULL};
    int status = process_wait(process_start(argv, POSTGRES_USER, postgres->log));
    if (status != 0) {
        fail_msg("initdb failed: see %s", postgres->log);
    }
}

static void wait_until_ready(const struct postgres *postgres)
{
    const struct timespec pause = {.tv_nsec = READY_PAUSE_MS * 1000000L};
    for (int i = 0; i < READY_TRIES; i++) {
        if (PQping(postgres->url) == PQPING_OK) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("PostgreSQL did not start: see %s", postgres->log);
}

void postgres_start_again(struct postgres *postgres)
{
    char program[PATH_SIZE];
    find_program("postgres", program);
    const char *const argv[] = {program,
                                "-D",
                                postgres->data,
                                "-k",
                                postgres->folder,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "max_connections=20",
                                "-c",
                                "shared_buffers=16MB",
                                NULL};
    postgres->pid = process_start(argv, POSTGRES_USER, postgres->log);
    wait_until_ready(postgres);
}

struct postgres *postgres_start(void)
{
    struct postgres *postgres = calloc(1, sizeof *postgres);
    assert_non_null(postgres);
    folder_make(postgres->folder);
    give_to_postgres(postgres->folder);
    (void)snprintf(postgres->data, sizeof postgres->data, "%s/data", postgres->folder);
    (void)snprintf(postgres->log, sizeof postgres->log, "%s/log", postgres->folder);
    (void)snprintf(postgres->url, sizeof postgres->url, "postgresql://insien@/postgres?host=%s",
                   postgres->folder);
    make_cluster(postgres);
    postgres_start_again(postgres);
    postgres_run(postgres, "CREATE ROLE postgres_auth LOGIN; CREATE ROLE postgres_sandbox LOGIN");
    return postgres;
}

void postgres_stop(struct postgres *postgres, int signal_number)
{
    process_end(postgres->pid, signal_number);
    postgres->pid = 0;
}

void postgres_remove(struct postgres *postgres)
{
    if (postgres->pid != 0) {
        postgres_stop(postgres, SIGQUIT);
    }
    folder_remove(postgres->folder);
    free(postgres);
}

const char *postgres_url(const struct postgres *postgres)
{
    return postgres->url;
}

const char *postgres_service_url(struct postgres *postgres, const char *service)
{
    (void)snprintf(postgres->service_url, sizeof postgres->service_url,
                   "postgresql://postgres_%s@/postgres?host=%s", service, postgres->folder);
    return postgres->service_url;
}

const char *postgres_folder(const struct postgres *postgres)
{
    return postgres->folder;
}

void postgres_run(const struct postgres *postgres, const char *sql)
{
    PGconn *pg = PQconnectdb(postgres->url);
    PGresult *result = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    PQclear(result);
    PQfinish(pg);
}

void postgres_expect(const struct postgres *postgres, const char *sql, const char *expected)
{
    PGconn *pg = PQconnectdb(postgres_url(postgres));
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    assert_string_equal(PQgetvalue(result, 0, 0), expected);
    PQclear(result);
    PQfinish(pg);
}

void postgres_migrate(const struct postgres *postgres)
{
    char folder[FOLDER_PATH_SIZE];
    char log[FOLDER_PATH_SIZE + 8];
    const char *const argv[] = {MIGRATE_PROGRAM, NULL};
    folder_make(folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    assert_int_equal(setenv("DATABASE_URL", postgres_url(postgres), 1), 0);
    assert_int_equal(setenv("MIGRATIONS_DIR", MIGRATIONS_FOLDER, 1), 0);
    assert_int_equal(process_wait(process_start(argv, NULL, log)), 0);
    folder_remove(folder);
}
