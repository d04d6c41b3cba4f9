#include "common/base/crash_point.h"

#include "tests/support/folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef INSIEN_CRASH_POINTS

static void act(void)
{
    CRASH_POINT("act.after_first");
    CRASH_POINT("act.after_second");
}

static void arm(const char *folder, const char *name)
{
    char path[FOLDER_PATH_SIZE + 16];
    (void)snprintf(path, sizeof path, "%s/crash-point", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(name, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A process that acts. */
static pid_t start(const char *folder)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        crash_points_open(folder);
        act();
        _exit(0);
    }
    return pid;
}

/* 0: none did. */
static int signal_that_ended_it(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int signal_that_ended(const char *folder)
{
    return signal_that_ended_it(start(folder));
}

static void an_armed_point_ends_one_process(void **state)
{
    (void)state;
    char folder[FOLDER_PATH_SIZE];
    folder_make(folder);
    assert_int_equal(signal_that_ended(folder), 0);
    arm(folder, "act.after_second\n");
    assert_int_equal(signal_that_ended(folder), SIGKILL);
    assert_int_equal(signal_that_ended(folder), 0);
    arm(folder, "act.after_third");
    assert_int_equal(signal_that_ended(folder), 0);
    folder_remove(folder);
}

static void of_several_each_ends_one(void **state)
{
    (void)state;
    char folder[FOLDER_PATH_SIZE];
    char path[FOLDER_PATH_SIZE + 16];
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/crash-point", folder);
    arm(folder, "act.after_second\nact.after_third\nact.after_first\n");
    assert_int_equal(signal_that_ended(folder), SIGKILL);
    assert_int_equal(signal_that_ended(folder), SIGKILL);
    assert_int_equal(signal_that_ended(folder), 0);
    assert_int_equal(access(path, F_OK), 0);
    arm(folder, "act.after_first\n");
    assert_int_equal(signal_that_ended(folder), SIGKILL);
    assert_int_equal(access(path, F_OK), -1);
    folder_remove(folder);
}

static void processes_that_come_by_at_once_take_one_each(void **state)
{
    (void)state;
    enum { PROCESSES = 8, ROUNDS = 20 };
    char folder[FOLDER_PATH_SIZE];
    char path[FOLDER_PATH_SIZE + 16];
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/crash-point", folder);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pids[PROCESSES];
        int killed = 0;
        arm(folder, "act.after_first\nact.after_second\n");
        for (int i = 0; i < PROCESSES; i++) {
            pids[i] = start(folder);
        }
        for (int i = 0; i < PROCESSES; i++) {
            killed += signal_that_ended_it(pids[i]) == SIGKILL ? 1 : 0;
        }
        assert_int_equal(killed, 2);
        assert_int_equal(access(path, F_OK), -1);
    }
    folder_remove(folder);
}

static void the_points_are_listed(void **state)
{
    (void)state;
    char program[] = "program";
    char option[] = "--crash-points";
    char *const asked[] = {program, option, NULL};
    char *const plain[] = {program, NULL};
    char text[256] = "";
    int ends[2];
    assert_false(crash_points_are_asked_for(1, plain));
    assert_int_equal(pipe(ends), 0);
    int kept = dup(STDOUT_FILENO);
    (void)fflush(stdout);
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    bool is_told = crash_points_are_asked_for(2, asked);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    (void)close(kept);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_true(is_told);
    assert_non_null(strstr(text, "act.after_first\n"));
    assert_non_null(strstr(text, "act.after_second\n"));
}

#else

static void nothing_is_left_of_a_point(void **state)
{
    (void)state;
    CRASH_POINT("act.after_first");
    assert_false(crash_points_are_asked_for(0, NULL));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef INSIEN_CRASH_POINTS
        cmocka_unit_test(an_armed_point_ends_one_process),
        cmocka_unit_test(of_several_each_ends_one),
        cmocka_unit_test(processes_that_come_by_at_once_take_one_each),
        cmocka_unit_test(the_points_are_listed),
#else
        cmocka_unit_test(nothing_is_left_of_a_point),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
