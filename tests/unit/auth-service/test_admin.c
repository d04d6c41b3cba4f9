/* insien-admin as a program, against a real PostgreSQL. */
#include "tests/support/folder.h"
#include "tests/support/process.h"
#include "tests/unit/audit/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 128, OUTPUT_SIZE = 4096, WHOLE = 0, BROKEN = 1, NOT_CHECKED = 2 };

struct run {
    int status;
    char output[OUTPUT_SIZE];
};

static void run(const char *url, const char *const arguments[4], struct run *out)
{
    char folder[FOLDER_PATH_SIZE];
    char log[PATH_SIZE];
    const char *const argv[] = {ADMIN_PROGRAM, arguments[0], arguments[1],
                                arguments[2],  arguments[3], NULL};
    folder_make(folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    assert_int_equal(setenv("DATABASE_URL", url, 1), 0);
    int status = process_wait(process_start(argv, NULL, log));
    assert_true(WIFEXITED(status));
    out->status = WEXITSTATUS(status);
    FILE *file = fopen(log, "re");
    assert_non_null(file);
    out->output[fread(out->output, 1, OUTPUT_SIZE - 1, file)] = '\0';
    (void)fclose(file);
    folder_remove(folder);
}

static void expect(const struct run *got, int status, const char *words)
{
    if (got->status != status || strstr(got->output, words) == NULL) {
        fail_msg("%d: %s", got->status, got->output);
    }
}

static void verify(const struct trail *trail, struct run *out)
{
    run(postgres_url(trail->postgres), (const char *const[4]){"audit", "verify"}, out);
}

static void a_whole_trail_is_told_with_its_last_seal(void **state)
{
    struct trail *trail = *state;
    struct run got;
    char last[TRAIL_TEXT_SIZE];
    char words[TRAIL_TEXT_SIZE];
    verify(trail, &got);
    expect(&got, WHOLE, "0 rows verified, last seal 0 000000");
    trail_act(trail, "one");
    trail_act(trail, "two");
    trail_drain(trail);
    trail_ask(trail, "SELECT hash FROM audit_seal(1)", last);
    postgres_run(trail->postgres, "DELETE FROM audit_personal WHERE audit_id = 1");
    (void)snprintf(words, sizeof words,
                   "1 rows verified, last seal 1 %.64s\n1 of them without their personal part\n"
                   "1 newer rows have no seal yet\n",
                   last);
    verify(trail, &got);
    expect(&got, WHOLE, words);
}

static void a_broken_trail_is_told_and_in_the_exit_status(void **state)
{
    struct trail *trail = *state;
    struct run got;
    trail_act(trail, "one");
    trail_drain(trail);
    postgres_run(trail->postgres, "SELECT audit_seal(1); ALTER TABLE audit_log DISABLE TRIGGER ALL;"
                                  "UPDATE audit_log SET target = 'none'");
    verify(trail, &got);
    expect(&got, BROKEN, "BROKEN: row 1 is not what was sealed, or its seal was changed\n");
}

static void an_anchor_is_held_against_the_chain(void **state)
{
    const struct trail *trail = *state;
    struct run got;
    run(postgres_url(trail->postgres),
        (const char *const[4]){
            "audit", "verify", "--anchor",
            "1:00000000000000000000000000000000000000000000000000000000000000ff"},
        &got);
    expect(&got, BROKEN, "BROKEN: the chain ends before the anchor");
}

static void what_can_not_be_checked_is_no_verdict(void **state)
{
    const struct trail *trail = *state;
    static const char *const mistakes[][4] = {
        {NULL},
        {"audit"},
        {"verify", "audit"},
        {"audit", "verify", "--anchor"},
        {"audit", "verify", "--anchor", "1"},
        {"audit", "verify", "more"},
    };
    struct run got;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        run(postgres_url(trail->postgres), mistakes[i], &got);
        expect(&got, NOT_CHECKED, "insien-admin: ");
    }
    run("host=/nowhere password=hidden-word", (const char *const[4]){"audit", "verify"}, &got);
    expect(&got, NOT_CHECKED, "can't connect to the database");
    assert_null(strstr(got.output, "hidden-word"));
    run("postgresql://u:hidden-word@[/x", (const char *const[4]){"audit", "verify"}, &got);
    expect(&got, NOT_CHECKED, "the database URL is no connection string");
    assert_null(strstr(got.output, "hidden-word"));
    postgres_run(trail->postgres, "DROP TABLE audit_seals CASCADE");
    verify(trail, &got);
    expect(&got, NOT_CHECKED, "audit_seals");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, trail_open, trail_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_trail_is_told_with_its_last_seal),
        TEST(a_broken_trail_is_told_and_in_the_exit_status),
        TEST(an_anchor_is_held_against_the_chain),
        TEST(what_can_not_be_checked_is_no_verdict),
    };
    return cmocka_run_group_tests(tests, trail_set_up, trail_tear_down);
}
