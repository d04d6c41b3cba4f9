/* insien-admin user role, as a program, against a real PostgreSQL. */
#include "tests/support/folder.h"
#include "tests/support/process.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { PATH_SIZE = 128, OUTPUT_SIZE = 4096, NOT_DONE = 2 };

static void expect(struct accounts *accounts, const char *who, const char *role, int status,
                   const char *words)
{
    char folder[FOLDER_PATH_SIZE];
    char log[PATH_SIZE];
    char output[OUTPUT_SIZE];
    const char *const argv[] = {ADMIN_PROGRAM, "user", "role", who, role, NULL};
    folder_make(folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    assert_int_equal(setenv("DATABASE_URL", postgres_url(accounts->postgres), 1), 0);
    int exit_status = process_wait(process_start(argv, NULL, log));
    FILE *file = fopen(log, "re");
    assert_non_null(file);
    output[fread(output, 1, sizeof output - 1, file)] = '\0';
    (void)fclose(file);
    folder_remove(folder);
    if (!WIFEXITED(exit_status) || WEXITSTATUS(exit_status) != status ||
        strstr(output, words) == NULL) {
        fail_msg("%d: %s", exit_status, output);
    }
}

static int prepare(void **state)
{
    struct accounts *accounts = *state;
    struct user user;
    postgres_run(accounts->postgres, "DELETE FROM users");
    accounts_user(accounts, "ops@example.org", &user);
    postgres_run(accounts->postgres, "UPDATE users SET email = 'ops@example.org'");
    return 0;
}

static void a_role_is_given_and_taken_and_recorded_once_each(void **state)
{
    struct accounts *accounts = *state;
    expect(accounts, "OPS@example.org", "admin", EXIT_SUCCESS,
           "(ops@example.org; local ops@example.org) has now the role admin\n");
    postgres_expect(accounts->postgres,
                    "SELECT role || ' ' || (access_changed_at IS NOT NULL)"
                    " FROM users",
                    "admin true");
    expect(accounts, "ops@example.org", "admin", EXIT_SUCCESS, "had already the role admin\n");
    expect(accounts, "ops@example.org", "user", EXIT_SUCCESS, "has now the role user\n");
    postgres_expect(accounts->postgres,
                    "SELECT string_agg(concat_ws(' ', action, result, service, target_kind,"
                    " target = (SELECT id::text FROM users), detail), '; ' ORDER BY id)"
                    " FROM audit_log",
                    "user.role_set ok insien-admin user t {\"role\": \"admin\"}; "
                    "user.role_set ok insien-admin user t {\"role\": \"user\"}");
    postgres_expect(accounts->postgres, "SELECT count(*) FROM audit_personal", "2");
}

static void an_address_of_several_is_no_name(void **state)
{
    struct accounts *accounts = *state;
    postgres_run(accounts->postgres,
                 "INSERT INTO users (id, email) VALUES"
                 " ('11111111-1111-4111-8111-111111111111', 'ops@example.org')");
    expect(accounts, "ops@example.org", "admin", NOT_DONE, "several users have the address");
    postgres_expect(accounts->postgres, "SELECT count(*) FROM users WHERE role = 'admin'", "0");
    expect(accounts, "11111111-1111-4111-8111-111111111111", "admin", EXIT_SUCCESS,
           "has now the role admin\n");
    postgres_expect(accounts->postgres, "SELECT id FROM users WHERE role = 'admin'",
                    "11111111-1111-4111-8111-111111111111");
}

static void what_is_not_done_leaves_nothing(void **state)
{
    struct accounts *accounts = *state;
    expect(accounts, "nobody@example.org", "admin", NOT_DONE,
           "there is no user nobody@example.org");
    expect(accounts, "ops@example.org", "root", NOT_DONE, "usage: ");
    expect(accounts, "ops@example.org", NULL, NOT_DONE, "usage: ");
    postgres_run(accounts->postgres, "ALTER TABLE audit_log RENAME TO elsewhere");
    expect(accounts, "ops@example.org", "admin", NOT_DONE, "the audit trail takes no record");
    postgres_run(accounts->postgres, "ALTER TABLE elsewhere RENAME TO audit_log");
    postgres_expect(accounts->postgres, "SELECT role FROM users", "user");
    postgres_run(accounts->postgres, "SELECT user_delete(id) FROM users");
    postgres_run(accounts->postgres, "UPDATE users SET email = 'ops@example.org'");
    expect(accounts, "ops@example.org", "admin", NOT_DONE, "there is no user");
}

#define TEST(name) cmocka_unit_test_setup(name, prepare)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_role_is_given_and_taken_and_recorded_once_each),
        TEST(an_address_of_several_is_no_name),
        TEST(what_is_not_done_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, accounts_set_up, accounts_tear_down);
}
