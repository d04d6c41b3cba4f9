/* sandbox-service/agent/starter.c: what it starts is real. Takes root, as starting programs does.
 */
#include "sandbox-service/agent/starter.h"

#include "tests/support/turn.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30 * 1000, SOON_MS = 200 };

struct fixture {
    struct loop *loop;
    struct settings settings;
    struct processes *processes;
    struct starter *starter;
    bool answered;
    size_t answers;
    char answer[256];
    char mark[64]; /* a file that a probe may look for */
};

static void on_answer(void *arg, uint64_t epoch, struct view text)
{
    struct fixture *fixture = arg;
    assert_int_equal(epoch, 1);
    fixture->answered = true;
    fixture->answers++;
    assert_true(view_copy(text, fixture->answer, sizeof fixture->answer));
}

static void ask(struct fixture *fixture)
{
    const struct reply reply = {.send = on_answer, .arg = fixture, .epoch = 1, .id = "r"};
    starter_answer(fixture->starter, &reply);
}

static void begin(struct fixture *fixture, const char *command, const char *probe, int port,
                  int64_t timeout_ms)
{
    const struct agent_start start = {.command = view_of(command),
                                      .probe = view_of(probe),
                                      .port = port,
                                      .timeout_ms = timeout_ms};
    starter_begin(fixture->starter, &start);
}

static void expect(struct fixture *fixture, const char *part)
{
    turn_until(fixture->loop, &fixture->answered);
    if (strstr(fixture->answer, part) == NULL) {
        fail_msg("%s has no %s", fixture->answer, part);
    }
}

static const char ready[] = "{\"id\":\"r\",\"type\":\"readyResponse\"}";

static void nothing_to_start_is_ready(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture);
    assert_true(fixture->answered);
    assert_string_equal(fixture->answer, ready);
}

static void what_has_no_probe_is_ready_as_it_runs(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "exec sleep 600", "", 0, PATIENCE_MS);
    ask(fixture);
    assert_true(fixture->answered);
    assert_string_equal(fixture->answer, ready);
    assert_int_equal(processes_running(fixture->processes), 0);
    const struct agent_named named = {.tag = VIEW(STARTER_TAG)};
    struct err err = {0};
    assert_non_null(process_find(fixture->processes, &named, &err));
}

static void probe_is_tried_until_it_succeeds(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    char probe[128];
    (void)snprintf(command, sizeof command, "sleep 0.3; : >%s; exec sleep 600", fixture->mark);
    (void)snprintf(probe, sizeof probe, "test -e %s || exit 3", fixture->mark);
    begin(fixture, command, probe, 0, PATIENCE_MS);
    ask(fixture);
    ask(fixture);
    assert_false(fixture->answered);
    expect(fixture, ready);
    assert_int_equal(fixture->answers, 2);
}

/* A socket that does not listen yet, and its port. */
static int bind_somewhere(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
                getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void start_listening(void *arg)
{
    assert_int_equal(listen(*(int *)arg, 1), 0);
}

static void port_serves_when_it_takes_a_connection(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    struct err err = {0};
    struct timer timer;
    int fd = bind_somewhere(&port);
    assert_true(timer_open(&timer, fixture->loop, start_listening, &fd, &err));
    timer_arm(&timer, SOON_MS);
    begin(fixture, "exec sleep 600", "", port, PATIENCE_MS);
    ask(fixture);
    assert_false(fixture->answered);
    expect(fixture, ready);
    assert_false(timer_is_armed(&timer));
    timer_close(&timer);
    assert_int_equal(close(fd), 0);
}

static void bad_end_is_told(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "exit 7", "false", 0, PATIENCE_MS);
    ask(fixture);
    expect(fixture, "\"code\":\"start_failed\"");
    expect(fixture, "ended with 7");
    fixture->answered = false;
    ask(fixture);
    assert_true(fixture->answered);
}

static void probe_that_is_no_command_is_told(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "exec sleep 600", "if", 0, PATIENCE_MS);
    ask(fixture);
    expect(fixture, "\"code\":\"start_failed\"");
    expect(fixture, "the probe ended");
}

static void patience_ends(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "exec sleep 600", "false", 0, SOON_MS);
    ask(fixture);
    expect(fixture, "\"code\":\"start_timeout\"");
}

static void what_cant_begin_has_failed(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "", "", 0, PATIENCE_MS);
    ask(fixture);
    expect(fixture, "\"code\":\"start_failed\"");
    begin(fixture, "true", "", 0, PATIENCE_MS); /* once is enough */
    fixture->answered = false;
    ask(fixture);
    expect(fixture, "\"code\":\"start_failed\"");
}

static void only_so_many_may_wait(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "exec sleep 600", "false", 0, PATIENCE_MS);
    for (int i = 0; i < STARTER_WAITERS_MAX; i++) {
        ask(fixture);
    }
    assert_false(fixture->answered);
    ask(fixture);
    expect(fixture, "\"code\":\"busy\"");
}

static int set_up(void **state)
{
    static struct fixture fixture;
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const entries[] = {path, NULL};
    struct err err = {0};
    fixture = (struct fixture){.loop = loop_new(&err)};
    assert_non_null(fixture.loop);
    (void)snprintf(fixture.mark, sizeof fixture.mark, "/dev/shm/insien-starter-%d", (int)getpid());
    assert_true(settings_open(&fixture.settings, entries, &err));
    const struct agent_configure configure = {
        .profile = VIEW("sudo"), .work_dir = VIEW("/tmp"), .user = VIEW("root")};
    assert_true(settings_configure(&fixture.settings, &configure, &err));
    fixture.processes = processes_new(fixture.loop, &err);
    assert_non_null(fixture.processes);
    fixture.starter = starter_new(fixture.loop, &fixture.settings, fixture.processes, &err);
    assert_non_null(fixture.starter);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    starter_free(fixture->starter);
    processes_free(fixture->processes);
    settings_close(&fixture->settings);
    loop_free(fixture->loop);
    (void)unlink(fixture->mark);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_to_start_is_ready),
        TEST(what_has_no_probe_is_ready_as_it_runs),
        TEST(probe_is_tried_until_it_succeeds),
        TEST(port_serves_when_it_takes_a_connection),
        TEST(bad_end_is_told),
        TEST(probe_that_is_no_command_is_told),
        TEST(patience_ends),
        TEST(what_cant_begin_has_failed),
        TEST(only_so_many_may_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
