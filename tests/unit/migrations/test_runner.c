/* insien-migrate as a program, against a real PostgreSQL. */
#include "tests/support/folder.h"
#include "tests/support/postgres.h"
#include "tests/support/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 160, OUTPUT_SIZE = 4096 };

struct fixture {
    struct postgres *postgres;
    char folder[FOLDER_PATH_SIZE]; /* of SQL files */
    char log[PATH_SIZE];
    char output[OUTPUT_SIZE]; /* of the last run */
};

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const struct fixture *fixture, const char *name)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    assert_int_equal(unlink(path), 0);
}

static pid_t start(struct fixture *fixture, const char *folder)
{
    const char *const argv[] = {MIGRATE_PROGRAM, NULL};
    assert_int_equal(setenv("DATABASE_URL", postgres_url(fixture->postgres), 1), 0);
    assert_int_equal(setenv("MIGRATIONS_DIR", folder, 1), 0);
    return process_start(argv, NULL, fixture->log);
}

static bool finish(struct fixture *fixture, pid_t pid)
{
    int status = process_wait(pid);
    FILE *file = fopen(fixture->log, "re");
    assert_non_null(file);
    size_t len = fread(fixture->output, 1, OUTPUT_SIZE - 1, file);
    fixture->output[len] = '\0';
    (void)fclose(file);
    return status == 0;
}

static bool run(struct fixture *fixture, const char *folder)
{
    (void)unlink(fixture->log);
    return finish(fixture, start(fixture, folder));
}

static bool migrate(struct fixture *fixture)
{
    return run(fixture, fixture->folder);
}

static void assert_said(const struct fixture *fixture, const char *words)
{
    if (strstr(fixture->output, words) == NULL) {
        fail_msg("\"%s\" is not in: %s", words, fixture->output);
    }
}

static int count(const struct fixture *fixture, const char *sql)
{
    PGconn *pg = PQconnectdb(postgres_url(fixture->postgres));
    PGresult *result = PQexec(pg, sql);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    int value = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    PQfinish(pg);
    return value;
}

static void our_own_migrations_apply_once(void **state)
{
    struct fixture *fixture = *state;
    assert_true(run(fixture, MIGRATIONS_FOLDER));
    assert_said(fixture, "applied 0001_accounts.sql\n");
    assert_said(fixture, "applied 0002_sandboxes.sql\n");
    assert_int_equal(count(fixture, "SELECT count(*) FROM templates"), 9);
    assert_true(run(fixture, MIGRATIONS_FOLDER));
    assert_said(fixture, "0 were new");
    assert_null(strstr(fixture->output, "applied"));
}

static void new_file_applies_behind_the_old_ones(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id int);\n");
    assert_true(migrate(fixture));
    write_file(fixture, "0002_two.sql", "CREATE TABLE two (id int);\nINSERT INTO one VALUES (1);");
    assert_true(migrate(fixture));
    assert_said(fixture, "the database is at migration 2; 1 was new");
    assert_int_equal(count(fixture, "SELECT count(*) FROM one"), 1);
}

static void changed_old_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id int);\n");
    assert_true(migrate(fixture));
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id bigint);\n");
    write_file(fixture, "0002_two.sql", "CREATE TABLE two (id int);");
    assert_false(migrate(fixture));
    assert_said(fixture, "0001_one.sql was changed after it was applied");
    assert_int_equal(count(fixture, "SELECT count(*) FROM schema_migrations"), 1);
}

static void missing_old_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    write_file(fixture, "0002_two.sql", "SELECT 2;");
    assert_true(migrate(fixture));
    remove_file(fixture, "0002_two.sql");
    assert_false(migrate(fixture));
    assert_said(fixture, "0002_two.sql, but there is no such file");
}

static void renamed_old_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    assert_true(migrate(fixture));
    remove_file(fixture, "0001_one.sql");
    write_file(fixture, "0001_other.sql", "SELECT 1;");
    assert_false(migrate(fixture));
    assert_said(fixture, "is 0001_one.sql, but the file is 0001_other.sql");
}

static void gap_in_the_numbers_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    write_file(fixture, "0003_three.sql", "SELECT 3;");
    assert_false(migrate(fixture));
    assert_said(fixture, "without gaps");
}

static void number_used_twice_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    write_file(fixture, "0001_uno.sql", "SELECT 1;");
    assert_false(migrate(fixture));
    assert_said(fixture, "0001_uno.sql stands where number 2 is expected");
}

static void badly_named_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    write_file(fixture, "2-Two.sql", "SELECT 2;");
    assert_false(migrate(fixture));
    assert_said(fixture, "2-Two.sql is not named like a migration");
}

static void empty_folder_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_false(migrate(fixture));
    assert_said(fixture, "holds 0 migrations");
}

static void failing_file_leaves_nothing_of_itself(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id int);");
    write_file(fixture, "0002_two.sql", "CREATE TABLE two (id int);\nSELECT 1 / 0;");
    assert_false(migrate(fixture));
    assert_said(fixture, "0002_two.sql");
    assert_said(fixture, "division by zero");
    assert_int_equal(count(fixture, "SELECT count(*) FROM schema_migrations"), 1);
    assert_int_equal(
        count(fixture, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'two'"),
        0);
}

static void file_that_commits_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id int);\nCOMMIT;");
    assert_false(migrate(fixture));
    assert_said(fixture, "ends the transaction");
}

static void two_runs_at_once_apply_each_file_once(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "CREATE TABLE one (id int);\nSELECT pg_sleep(0.3);");
    pid_t first = start(fixture, fixture->folder);
    pid_t second = start(fixture, fixture->folder);
    assert_true(finish(fixture, first));
    assert_true(finish(fixture, second));
    assert_said(fixture, "1 was new");
    assert_said(fixture, "0 were new");
}

static void server_that_starts_later_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "0001_one.sql", "SELECT 1;");
    postgres_stop(fixture->postgres, SIGINT);
    pid_t pid = start(fixture, fixture->folder);
    (void)usleep(400000);
    postgres_start_again(fixture->postgres);
    assert_true(finish(fixture, pid));
}

static void unknown_database_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    char url[256];
    const char *const argv[] = {MIGRATE_PROGRAM, NULL};
    (void)snprintf(url, sizeof url, "postgresql://insien@/nothing?host=%s",
                   postgres_folder(fixture->postgres));
    assert_int_equal(setenv("DATABASE_URL", url, 1), 0);
    assert_int_equal(setenv("MIGRATIONS_DIR", MIGRATIONS_FOLDER, 1), 0);
    assert_false(finish(fixture, process_start(argv, NULL, fixture->log)));
    assert_said(fixture, "database \"nothing\" does not exist");
}

static void url_that_is_none_is_told_without_its_password(void **state)
{
    struct fixture *fixture = *state;
    const char *const argv[] = {MIGRATE_PROGRAM, NULL};
    assert_int_equal(setenv("DATABASE_URL", "postgresql://insien:s3cret@[::1/insien", 1), 0);
    assert_int_equal(setenv("MIGRATIONS_DIR", MIGRATIONS_FOLDER, 1), 0);
    assert_false(finish(fixture, process_start(argv, NULL, fixture->log)));
    assert_said(fixture, "the database URL is no connection string");
    assert_null(strstr(fixture->output, "s3cret"));
}

static void missing_setting_is_named(void **state)
{
    struct fixture *fixture = *state;
    const char *const argv[] = {MIGRATE_PROGRAM, NULL};
    assert_int_equal(unsetenv("DATABASE_URL"), 0);
    assert_false(finish(fixture, process_start(argv, NULL, fixture->log)));
    assert_said(fixture, "DATABASE_URL");
}

static int open_fixture(void **state)
{
    struct fixture *fixture = *state;
    postgres_run(fixture->postgres, "DROP SCHEMA public CASCADE");
    postgres_run(fixture->postgres, "CREATE SCHEMA public");
    folder_make(fixture->folder);
    (void)snprintf(fixture->log, sizeof fixture->log, "%s/log", fixture->folder);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    folder_remove(fixture->folder);
    return 0;
}

static int start_server(void **state)
{
    static struct fixture fixture;
    fixture.postgres = postgres_start();
    *state = &fixture;
    return 0;
}

static int remove_server(void **state)
{
    struct fixture *fixture = *state;
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(our_own_migrations_apply_once),
        TEST(new_file_applies_behind_the_old_ones),
        TEST(changed_old_file_is_refused),
        TEST(missing_old_file_is_refused),
        TEST(renamed_old_file_is_refused),
        TEST(gap_in_the_numbers_is_refused),
        TEST(number_used_twice_is_refused),
        TEST(badly_named_file_is_refused),
        TEST(empty_folder_is_refused),
        TEST(failing_file_leaves_nothing_of_itself),
        TEST(file_that_commits_is_refused),
        TEST(two_runs_at_once_apply_each_file_once),
        TEST(server_that_starts_later_is_waited_for),
        TEST(unknown_database_is_told_at_once),
        TEST(url_that_is_none_is_told_without_its_password),
        TEST(missing_setting_is_named),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
