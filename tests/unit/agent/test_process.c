/* Real programs of this machine. Starting them as anybody takes root; without it there is nothing
 * to test here. */
#include "sandbox-service/agent/process.h"

#include "common/base/clock.h"
#include "tests/support/turn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGS_MAX = 8, TEXT_SIZE = 8192, MARK_SIZE = 64 };

/* What a command came to; copied, as the result does not last. */
struct outcome {
    bool done;
    struct process_result result;
    char text[PROCESS_OUTPUTS][TEXT_SIZE];
};

struct fixture {
    struct loop *loop;
    struct processes *processes;
};

static const struct user root = {.name = "root", .home = "/", .shell = "/bin/sh"};
static const struct user nobody = {
    .uid = USER_NOBODY, .gid = USER_NOBODY, .name = "nobody", .home = "/", .shell = "/bin/sh"};
static char path_variable[] = "PATH=/usr/bin:/bin";
static char *const environment[] = {path_variable, NULL};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    if (geteuid() != 0) {
        return -1;
    }
    fixture.loop = loop_new(&err);
    assert_non_null(fixture.loop);
    fixture.processes = processes_new(fixture.loop, &err);
    assert_non_null(fixture.processes);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    processes_free(fixture->processes);
    loop_free(fixture->loop);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return 0;
}

static void on_done(const struct process_result *result, void *arg)
{
    struct outcome *outcome = arg;
    assert_false(outcome->done);
    outcome->done = true;
    outcome->result = *result;
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        size_t len = result->output[i].len < TEXT_SIZE ? result->output[i].len : TEXT_SIZE - 1;
        if (len > 0) {
            memcpy(outcome->text[i], result->output[i].ptr, len);
        }
        outcome->text[i][len] = '\0';
    }
}

static struct process_start start_of(char *const *argv, struct outcome *outcome)
{
    return (struct process_start){
        .spawn = {.argv = argv, .envp = environment, .cwd = "/", .user = &nobody},
        .output_max = TEXT_SIZE - 1,
        .done = on_done,
        .arg = outcome,
    };
}

static char shell[] = "/bin/sh";
static char dash_c[] = "-c";

/* Runs a script with what else start says, to its result. */
static void run(struct fixture *fixture, const char *script, struct process_start start,
                struct outcome *outcome)
{
    char text[512];
    char *const argv[] = {shell, dash_c, text, NULL};
    struct err err;
    (void)snprintf(text, sizeof text, "%s", script);
    start.spawn.argv = argv;
    *outcome = (struct outcome){.done = false};
    assert_non_null(process_begin(fixture->processes, &start, &err));
    assert_false(outcome->done);
    turn_until(fixture->loop, &outcome->done);
}

static void output_and_exit_code_are_told(void **state)
{
    struct outcome outcome;
    run(*state, "echo out; echo err >&2; exit 3", start_of(NULL, &outcome), &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "out\n");
    assert_string_equal(outcome.text[PROCESS_STDERR], "err\n");
    assert_int_equal(outcome.result.exit.exit_code, 3);
    assert_int_equal(outcome.result.exit.signal_number, 0);
    assert_string_equal(outcome.result.exit.reason, "exited");
    assert_false(outcome.result.truncated || outcome.result.exit.output_open);
}

static void a_signal_is_told(void **state)
{
    struct outcome outcome;
    run(*state, "kill -TERM $$", start_of(NULL, &outcome), &outcome);
    assert_int_equal(outcome.result.exit.exit_code, -1);
    assert_int_equal(outcome.result.exit.signal_number, SIGTERM);
    assert_string_equal(outcome.result.exit.reason, "signaled");
}

static void a_timeout_kills_the_whole_group(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.timeout_ms = 200;
    run(*state, "sleep 60 & echo $!; sleep 60", start, &outcome);
    assert_string_equal(outcome.result.exit.reason, "timeout");
    assert_int_equal(outcome.result.exit.signal_number, SIGKILL);
    /* Its output reached its end, so the sleeper that held it is gone too. */
    assert_false(outcome.result.exit.output_open);
}

static void output_over_the_bound_is_dropped(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.output_max = 5;
    run(*state, "printf 0123456789; printf abc >&2", start, &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "01234");
    assert_string_equal(outcome.text[PROCESS_STDERR], "abc");
    assert_true(outcome.result.truncated);
}

static void stdin_is_written_and_closed(void **state)
{
    static char text[300 * 1024];
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    memset(text, 'x', sizeof text);
    start.has_stdin = true;
    start.stdin_text = (struct view){text, sizeof text};
    run(*state, "wc -c", start, &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "307200\n");
    run(*state, "exec 0<&-; exit 0", start, &outcome);
    assert_int_equal(outcome.result.exit.exit_code, 0);
    start.stdin_text = (struct view){0};
    run(*state, "wc -c", start, &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "0\n");
    run(*state, "wc -c", start_of(NULL, &outcome), &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "0\n");
}

static void what_is_left_running_does_not_keep_the_result(void **state)
{
    struct outcome outcome;
    int64_t began_ms = clock_monotonic_ms();
    run(*state, "echo now; (sleep 60; echo late) &", start_of(NULL, &outcome), &outcome);
    int64_t took_ms = clock_monotonic_ms() - began_ms;
    assert_string_equal(outcome.text[PROCESS_STDOUT], "now\n");
    assert_true(outcome.result.exit.output_open);
    /* The wait for more output comes behind the end, and is no part of the duration. */
    assert_true(outcome.result.exit.duration_ms + PROCESS_QUIET_MS - 50 <= took_ms);
}

static void strict_eof_waits_for_what_is_left(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.strict_eof = true;
    run(*state, "echo now; (sleep 1.5; echo late) &", start, &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "now\nlate\n");
    assert_false(outcome.result.exit.output_open);
    start.timeout_ms = 1500;
    run(*state, "echo now; (sleep 60; echo late) &", start, &outcome);
    assert_string_equal(outcome.result.exit.reason, "timeout");
    assert_int_equal(outcome.result.exit.exit_code, 0);
}

static bool file_exists(void *arg)
{
    return access(arg, F_OK) == 0;
}

/* A path where there is no file yet. */
static void name_mark(char path[MARK_SIZE])
{
    (void)snprintf(path, MARK_SIZE, "/tmp/insien-test-mark-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static void left_over_writers_do_not_die_of_writing(void **state)
{
    struct fixture *fixture = *state;
    struct outcome outcome;
    char allowed[MARK_SIZE];
    char proof[MARK_SIZE];
    char script[256];
    name_mark(allowed);
    name_mark(proof);
    struct process_start start = start_of(NULL, &outcome);
    start.spawn.user = &root;
    (void)snprintf(script, sizeof script,
                   "(until [ -e %s ]; do sleep 0.05; done;"
                   " head -c 300000 /dev/zero && touch %s) & exit 0",
                   allowed, proof);
    run(fixture, script, start, &outcome);
    assert_true(outcome.result.exit.output_open);
    int fd = open(allowed, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    turn_until_true(fixture->loop, file_exists, proof);
    assert_int_equal(unlink(allowed), 0);
    assert_int_equal(unlink(proof), 0);
}

static void nobody_waits_for_a_command_in_the_background(void **state)
{
    struct fixture *fixture = *state;
    char proof[MARK_SIZE];
    char script[128];
    struct err err;
    name_mark(proof);
    (void)snprintf(script, sizeof script, "head -c 300000 /dev/zero; touch %s", proof);
    char *const argv[] = {shell, dash_c, script, NULL};
    struct process_start start = start_of(argv, NULL);
    start.spawn.user = &root;
    start.done = NULL;
    assert_non_null(process_begin(fixture->processes, &start, &err));
    turn_until_true(fixture->loop, file_exists, proof);
    assert_int_equal(unlink(proof), 0);
}

static bool is_reaped(void *arg)
{
    return kill(*(const pid_t *)arg, 0) != 0;
}

static void a_held_result_waits(void **state)
{
    struct fixture *fixture = *state;
    struct outcome outcome = {.done = false};
    char *const argv[] = {shell, NULL};
    struct process_start start = start_of(argv, &outcome);
    struct err err;
    processes_hold(fixture->processes, true);
    struct process *process = process_begin(fixture->processes, &start, &err);
    assert_non_null(process);
    pid_t pid = process_pid(process);
    turn_until_true(fixture->loop, is_reaped, &pid);
    turn_for(fixture->loop, 20);
    assert_false(outcome.done);
    processes_hold(fixture->processes, false);
    turn_until(fixture->loop, &outcome.done);
    assert_int_equal(outcome.result.exit.exit_code, 0);
}

static void what_can_not_run_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *command;
        const char *cwd;
        const char *reason;
    } cases[] = {
        {"no-such-command", "/", "command_not_found"},
        {"/no/such/command", "/", "command_not_found"},
        {"passwd", "/etc", "permission_denied"},
        {"/etc/passwd", "/", "permission_denied"},
        {"/etc", "/", "permission_denied"},
        {"true", "/no/such/folder", "cwd_not_found"},
        {"true", "/etc/passwd", "cwd_not_found"},
        {"true", "/root", "permission_denied"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[64];
        char *const argv[] = {command, NULL};
        struct process_start start = start_of(argv, NULL);
        struct err err;
        char etc_first[] = "PATH=/etc:/nowhere";
        char *const etc_environment[] = {etc_first, NULL};
        (void)snprintf(command, sizeof command, "%s", cases[i].command);
        start.spawn.cwd = cases[i].cwd;
        if (strcmp(cases[i].cwd, "/etc") == 0) {
            start.spawn.envp = etc_environment;
        }
        assert_null(process_begin(fixture->processes, &start, &err));
        assert_string_equal(err.reason, cases[i].reason);
    }
}

static void an_optional_cwd_gives_way(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.spawn.cwd = "/no/such/folder";
    start.spawn.cwd_optional = true;
    run(*state, "pwd", start, &outcome);
    assert_string_equal(outcome.text[PROCESS_STDOUT], "/\n");
}

static void too_long_arguments_are_told(void **state)
{
    struct fixture *fixture = *state;
    static char long_argument[200 * 1024];
    static char echo[] = "/bin/echo";
    memset(long_argument, 'x', sizeof long_argument - 1);
    char *const argv[] = {echo, long_argument, NULL};
    struct process_start start = start_of(argv, NULL);
    struct err err;
    assert_null(process_begin(fixture->processes, &start, &err));
    assert_string_equal(err.reason, "argument_list_too_long");
}

static void a_locked_command_has_no_privileges(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.spawn.locked = true;
    run(*state, "grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status", start, &outcome);
    const char *text = outcome.text[PROCESS_STDOUT];
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "%s:\t0000000000000000\n", sets[i]);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "NoNewPrivs:\t1\n"));
    assert_non_null(strstr(text, "Uid:\t65534\t65534\t65534\t65534\n"));
    assert_non_null(strstr(text, "Gid:\t65534\t65534\t65534\t65534\n"));
    assert_non_null(strstr(text, "Groups:\t \n"));
}

static void root_keeps_all_but_setpcap(void **state)
{
    struct outcome outcome;
    struct process_start start = start_of(NULL, &outcome);
    start.spawn.user = &root;
    run(*state,
        "grep -E '^(CapEff|CapInh|NoNewPrivs)' /proc/self/status; cat /proc/self/oom_score_adj",
        start, &outcome);
    const char *line = strstr(outcome.text[PROCESS_STDOUT], "CapEff:\t");
    assert_non_null(line);
    unsigned long long effective = strtoull(line + strlen("CapEff:\t"), NULL, 16);
    enum { SETPCAP = 8, CHOWN = 0 };
    assert_true((effective >> CHOWN & 1) == 1);
    assert_true((effective >> SETPCAP & 1) == 0);
    assert_non_null(strstr(outcome.text[PROCESS_STDOUT], "CapInh:\t0000000000000000\n"));
    assert_non_null(strstr(outcome.text[PROCESS_STDOUT], "NoNewPrivs:\t0\n500\n"));
}

static void a_command_begins_clean(void **state)
{
    struct outcome outcome;
    run(*state,
        "ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status;"
        "test \"$(ps -o sid= -p $$ | tr -d ' ')\" = $$ && echo leader;"
        "echo to /dev/stdout > /dev/stdout",
        start_of(NULL, &outcome), &outcome);
    assert_string_equal(outcome.text[PROCESS_STDERR], "");
    assert_string_equal(outcome.text[PROCESS_STDOUT],
                        "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader\n"
                        "to /dev/stdout\n");
}

static void a_hundred_run_side_by_side(void **state)
{
    enum { COMMANDS = 100 };
    struct fixture *fixture = *state;
    static struct outcome outcomes[COMMANDS];
    static char script[] = "sleep 0.2; echo $$";
    char *const argv[] = {shell, dash_c, script, NULL};
    memset(outcomes, 0, sizeof outcomes);
    for (int i = 0; i < COMMANDS; i++) {
        struct process_start start = start_of(argv, &outcomes[i]);
        struct err err;
        assert_non_null(process_begin(fixture->processes, &start, &err));
    }
    for (int i = 0; i < COMMANDS; i++) {
        turn_until(fixture->loop, &outcomes[i].done);
        assert_int_equal(outcomes[i].result.exit.exit_code, 0);
        assert_true(strlen(outcomes[i].text[PROCESS_STDOUT]) > 1);
    }
}

static void too_many_at_once_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static char sleeper[] = "/bin/sleep";
    static char forever[] = "1000";
    char *const argv[] = {sleeper, forever, NULL};
    struct process_start start = start_of(argv, NULL);
    struct err err = {0};
    start.done = NULL;
    for (int i = 0; i < PROCESSES_MAX; i++) {
        assert_non_null(process_begin(fixture->processes, &start, &err));
    }
    assert_null(process_begin(fixture->processes, &start, &err));
    assert_string_equal(err.reason, "busy");
}

#define PROCESS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(output_and_exit_code_are_told),
        PROCESS_TEST(a_signal_is_told),
        PROCESS_TEST(a_timeout_kills_the_whole_group),
        PROCESS_TEST(output_over_the_bound_is_dropped),
        PROCESS_TEST(stdin_is_written_and_closed),
        PROCESS_TEST(what_is_left_running_does_not_keep_the_result),
        PROCESS_TEST(strict_eof_waits_for_what_is_left),
        PROCESS_TEST(left_over_writers_do_not_die_of_writing),
        PROCESS_TEST(nobody_waits_for_a_command_in_the_background),
        PROCESS_TEST(a_held_result_waits),
        PROCESS_TEST(what_can_not_run_is_told),
        PROCESS_TEST(an_optional_cwd_gives_way),
        PROCESS_TEST(too_long_arguments_are_told),
        PROCESS_TEST(a_locked_command_has_no_privileges),
        PROCESS_TEST(root_keeps_all_but_setpcap),
        PROCESS_TEST(a_command_begins_clean),
        PROCESS_TEST(a_hundred_run_side_by_side),
        PROCESS_TEST(too_many_at_once_are_refused),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
