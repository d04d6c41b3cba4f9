/* Children of the test itself. */
#include "sandbox-service/agent/reap.h"

#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
    MANY = 600, /* more than are waited for in one turn of the loop */
    EXIT_CODE = 7,
};

struct fixture {
    struct loop *loop;
    struct reaper reaper;
    int pipe[2];
    struct event *readable;
    int wanted;
    int ended;
    int ended_before_other_work; /* -1: that had no turn yet */
    bool done;
    struct reap_end last;
};

static void on_end(const struct reap_end *end, void *arg)
{
    struct fixture *fixture = arg;
    fixture->last = *end;
    if (fixture->ended++ == 0) {
        assert_int_equal(write(fixture->pipe[1], "x", 1), 1);
    }
    fixture->done = fixture->ended == fixture->wanted;
}

static void on_other_work(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *fixture = arg;
    char byte;
    (void)what;
    assert_int_equal(read(fd, &byte, 1), 1);
    fixture->ended_before_other_work = fixture->ended;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    fixture = (struct fixture){.ended_before_other_work = -1};
    fixture.loop = loop_new(&err);
    assert_non_null(fixture.loop);
    assert_int_equal(pipe(fixture.pipe), 0);
    fixture.readable = event_new(loop_base(fixture.loop), fixture.pipe[0], EV_READ | EV_PERSIST,
                                 on_other_work, &fixture);
    assert_non_null(fixture.readable);
    assert_int_equal(event_add(fixture.readable, NULL), 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    reaper_close(&fixture->reaper);
    event_free(fixture->readable);
    (void)close(fixture->pipe[0]);
    (void)close(fixture->pipe[1]);
    loop_free(fixture->loop);
    return 0;
}

/* A child that has ended and was not waited for. */
static pid_t ended_child(void)
{
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(EXIT_CODE);
    }
    assert_true(pid > 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return pid;
}

static void reap_all(struct fixture *fixture, int wanted)
{
    struct err err;
    fixture->wanted = wanted;
    assert_true(reaper_open(&fixture->reaper, fixture->loop, on_end, fixture, &err));
    turn_until(fixture->loop, &fixture->done);
}

static void child_that_ended_before_is_told(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid = ended_child();
    reap_all(fixture, 1);
    assert_int_equal(fixture->last.pid, pid);
    assert_int_equal(fixture->last.exit_code, EXIT_CODE);
    assert_int_equal(fixture->last.signal_number, 0);
}

static void many_ends_let_other_work_have_its_turn(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < MANY; i++) {
        (void)ended_child();
    }
    reap_all(fixture, MANY);
    assert_true(fixture->ended_before_other_work > 0);
    assert_true(fixture->ended_before_other_work < MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(child_that_ended_before_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_ends_let_other_work_have_its_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
