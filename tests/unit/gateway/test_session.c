/* gateway/hub/session.c with an agent of the test's own at the other end of a socket pair. */
#include "common/contracts/agent.h"
#include "common/event/loop.h"
#include "common/json/scan.h"
#include "common/ws/socket.h"
#include "gateway/hub/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SANDBOX_ID "11111111-1111-4111-8111-111111111111"
#define HELLO "{\"type\":\"hello\",\"protocol\":1,\"version\":\"test\"}"

enum { WAIT_MS = 30000 };

struct fixture {
    struct loop *loop;
    struct timer patience;
    struct session *session;
    struct ws_socket *agent; /* the other end */
    bool agent_closed;
    int agent_close_code;
    int ready;
    int closed;
    int lost_calls;
    int replies;
    char received[8][256]; /* what the agent got */
    int received_count;
    char reply_text[256];
    struct err reply_err;
    const char *answer; /* the members behind the id of what the agent says to a request */
    int stop_after_received;
};

static void on_patience(void *arg)
{
    (void)arg;
    fail_msg("nothing happened within %d ms", WAIT_MS);
}

static void say(struct fixture *fixture, const char *text)
{
    const struct view part = view_of(text);
    struct err err = {0};
    assert_true(ws_send(fixture->agent, WS_TEXT, &part, 1, &err));
}

static void on_agent_message(enum ws_opcode opcode, struct view text, void *arg)
{
    struct fixture *fixture = arg;
    struct json_envelope envelope;
    struct err err = {0};
    char answer[256];
    assert_int_equal(opcode, WS_TEXT);
    assert_true(json_scan_envelope(text, &envelope, &err));
    assert_true(
        view_copy(text, fixture->received[fixture->received_count++], sizeof fixture->received[0]));
    if (fixture->answer != NULL) {
        (void)snprintf(answer, sizeof answer, "{\"id\":\"%.*s\",%s}", (int)envelope.id.len,
                       envelope.id.ptr, fixture->answer);
        say(fixture, answer);
    }
    if (fixture->received_count == fixture->stop_after_received) {
        loop_stop(fixture->loop);
    }
}

static void on_agent_closed(int code, void *arg)
{
    struct fixture *fixture = arg;
    fixture->agent_closed = true;
    fixture->agent_close_code = code;
    ws_socket_free(fixture->agent);
    fixture->agent = NULL;
}

static void on_ready(struct session *session, void *arg)
{
    (void)session;
    struct fixture *fixture = arg;
    fixture->ready++;
    loop_stop(fixture->loop);
}

static void on_closed(struct session *session, struct session_lost *lost, void *arg)
{
    (void)session;
    struct fixture *fixture = arg;
    fixture->closed++;
    fixture->session = NULL;
    while (!list_is_empty(&lost->calls)) {
        struct hub_call *call = LIST_ENTRY(lost->calls.next, struct hub_call, node);
        fixture->lost_calls++;
        hub_call_free(call);
    }
    loop_stop(fixture->loop);
}

static struct bufferevent *wrap(struct fixture *fixture, int fd)
{
    struct bufferevent *bev =
        bufferevent_socket_new(loop_base(fixture->loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    return bev;
}

static int open_fixture(void **state)
{
    static const struct ws_events events = {.on_message = on_agent_message,
                                            .on_closed = on_agent_closed};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    int fds[2];
    fixture->loop = loop_new(&err);
    assert_true(timer_open(&fixture->patience, fixture->loop, on_patience, fixture, &err));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    struct str configure = STR_INIT(1024);
    str_append_string(&configure, "{\"id\":\"configure\",\"type\":\"configure\"}");
    const struct session_owner owner = {on_ready, on_closed, fixture, NULL};
    fixture->session =
        session_new(fixture->loop, SANDBOX_ID, wrap(fixture, fds[0]), &configure, &owner, &err);
    fixture->agent = ws_socket_new(fixture->loop, WS_CLIENT, wrap(fixture, fds[1]),
                                   &ws_default_limits, &events, fixture, &err);
    assert_non_null(fixture->session);
    assert_non_null(fixture->agent);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->session != NULL) {
        session_end(fixture->session);
    }
    ws_socket_free(fixture->agent);
    timer_close(&fixture->patience);
    loop_free(fixture->loop);
    free(fixture);
    return 0;
}

static void run(struct fixture *fixture)
{
    timer_arm(&fixture->patience, WAIT_MS);
    loop_run(fixture->loop);
    timer_disarm(&fixture->patience);
}

static void become_ready(struct fixture *fixture)
{
    fixture->answer = "\"type\":\"configureResponse\"";
    say(fixture, HELLO);
    run(fixture);
    assert_int_equal(fixture->ready, 1);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->replies++;
    if (err != NULL) {
        fixture->reply_err = *err;
    } else {
        assert_true(view_copy(reply->text, fixture->reply_text, sizeof fixture->reply_text));
    }
    loop_stop(fixture->loop);
}

static struct hub_call *call(struct fixture *fixture, int64_t timeout_ms)
{
    const struct session_request message = {.before = VIEW("{"),
                                            .after = VIEW(",\"type\":\"read\",\"path\":\"x\"}")};
    struct err err = {0};
    struct hub_call *made =
        session_call(fixture->session, &message, timeout_ms, on_reply, fixture, &err);
    assert_non_null(made);
    return made;
}

static void an_agent_that_says_hello_is_configured_and_ready(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    assert_true(session_is_ready(fixture->session));
    assert_string_equal(fixture->received[0], "{\"id\":\"configure\",\"type\":\"configure\"}");
}

static void an_agent_that_does_not_say_hello_is_refused(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, "{\"type\":\"hallo\",\"protocol\":1,\"version\":\"x\"}");
    run(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->ready, 0);
}

static void a_call_gets_the_answer_with_its_id(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    fixture->answer = "\"type\":\"readResponse\",\"content\":\"y\"";
    (void)call(fixture, 0);
    run(fixture);
    assert_int_equal(fixture->replies, 1);
    assert_string_equal(fixture->received[1], "{\"id\":\"1\",\"type\":\"read\",\"path\":\"x\"}");
    assert_string_equal(fixture->reply_text,
                        "{\"id\":\"1\",\"type\":\"readResponse\",\"content\":\"y\"}");
}

static void a_call_without_an_answer_times_out(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    fixture->answer = NULL;
    (void)call(fixture, 20);
    run(fixture);
    assert_int_equal(fixture->replies, 1);
    assert_int_equal(fixture->reply_err.code, ERR_TIMEOUT);
}

static void a_cancelled_call_hears_nothing(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    hub_call_cancel(call(fixture, 0));
    fixture->answer = "\"type\":\"readResponse\",\"content\":\"y\"";
    (void)call(fixture, 0);
    run(fixture);
    assert_int_equal(fixture->replies, 1);
    assert_string_equal(fixture->reply_text,
                        "{\"id\":\"2\",\"type\":\"readResponse\",\"content\":\"y\"}");
}

static void unanswered_calls_are_handed_over_when_the_agent_goes(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    fixture->answer = NULL;
    (void)call(fixture, 0);
    (void)call(fixture, 60000);
    fixture->stop_after_received = fixture->received_count + 2;
    run(fixture);
    ws_socket_free(fixture->agent);
    fixture->agent = NULL;
    run(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->lost_calls, 2);
    assert_int_equal(fixture->replies, 0);
}

static void an_answer_to_an_unknown_id_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    say(fixture, "{\"id\":\"77\",\"type\":\"readResponse\",\"content\":\"stray\"}");
    fixture->answer = "\"type\":\"readResponse\",\"content\":\"y\"";
    (void)call(fixture, 0);
    run(fixture);
    assert_int_equal(fixture->replies, 1);
    assert_int_equal(fixture->closed, 0);
}

static void an_agent_that_talks_nonsense_is_closed(void **state)
{
    struct fixture *fixture = *state;
    become_ready(fixture);
    fixture->answer = NULL;
    (void)call(fixture, 0);
    say(fixture, "{\"id\":\"1\",");
    run(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->lost_calls, 1);
}

static void a_stream_frame_before_the_agent_is_configured_is_a_breach(void **state)
{
    struct fixture *fixture = *state;
    const struct view frame = {"\0\0\0\1\5\0\0\0", 8};
    struct err err = {0};
    assert_true(ws_send(fixture->agent, WS_BINARY, &frame, 1, &err));
    run(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->ready, 0);
}

static struct hub_call *call_of_length(struct fixture *fixture, size_t length, struct err *err)
{
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, ' ', length);
    const struct session_request message = {.before = VIEW("{"), .after = {text, length}};
    struct hub_call *made = session_call(fixture->session, &message, 0, on_reply, fixture, err);
    free(text);
    return made;
}

static void a_message_that_the_agent_would_not_take_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    become_ready(fixture);
    assert_null(call_of_length(fixture, AGENT_MESSAGE_MAX - 2, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.reason, "message_too_big");
    assert_true(session_is_ready(fixture->session));
}

static void a_caller_can_not_fill_the_connection_until_it_breaks(void **state)
{
    enum { CALLS_MAX = 8 };
    struct fixture *fixture = *state;
    struct err err = {0};
    int made = 0;
    become_ready(fixture);
    while (made < CALLS_MAX && call_of_length(fixture, AGENT_MESSAGE_MAX - 64, &err) != NULL) {
        made++;
    }
    assert_in_range(made, 1, CALLS_MAX - 1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.reason, "busy");
    assert_true(session_is_ready(fixture->session));
    assert_int_equal(fixture->closed, 0);
    assert_int_equal(fixture->replies, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_agent_that_says_hello_is_configured_and_ready),
        TEST(an_agent_that_does_not_say_hello_is_refused),
        TEST(a_call_gets_the_answer_with_its_id),
        TEST(a_call_without_an_answer_times_out),
        TEST(a_cancelled_call_hears_nothing),
        TEST(unanswered_calls_are_handed_over_when_the_agent_goes),
        TEST(an_answer_to_an_unknown_id_is_dropped),
        TEST(an_agent_that_talks_nonsense_is_closed),
        TEST(a_stream_frame_before_the_agent_is_configured_is_a_breach),
        TEST(a_message_that_the_agent_would_not_take_is_refused),
        TEST(a_caller_can_not_fill_the_connection_until_it_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
