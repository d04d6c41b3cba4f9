/* common/ipc/client.c and server.c with each other, on one loop. */
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELD_MAX = IPC_EXCHANGES_MAX, OWNER = 12345, REPLIES = 400, AMPLE_MS = 60000 };

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char path[FOLDER_PATH_SIZE + 16];
    char url[FOLDER_PATH_SIZE + 32];
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
    struct ipc_exchange *held[HELD_MAX]; /* requests of "hold" that wait for an answer */
    int held_count;
    int64_t remaining_ms;
    struct trace trace;
};

struct answer {
    bool done;
    int calls;
    char body[64];
    size_t body_len;
    struct err err;
};

static void on_echo(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct fixture *fixture = arg;
    fixture->remaining_ms = ipc_exchange_remaining_ms(exchange);
    fixture->trace = request->trace;
    ipc_reply_ok(exchange, request->body);
}

static void on_fail(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    (void)arg;
    struct err err;
    err_set_reason(&err, ERR_NOT_FOUND, "sandbox_not_found", "there is none");
    ipc_reply_error(exchange, &err);
}

static void on_hold(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct fixture *fixture = arg;
    assert_true(fixture->held_count < HELD_MAX);
    fixture->held[fixture->held_count++] = exchange;
}

static void on_too_long(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    (void)arg;
    char *body = malloc(IPC_MESSAGE_MAX);
    assert_non_null(body);
    memset(body, ' ', IPC_MESSAGE_MAX);
    body[0] = '{';
    body[IPC_MESSAGE_MAX - 1] = '}';
    ipc_reply_ok(exchange, (struct view){body, IPC_MESSAGE_MAX});
    free(body);
}

static void on_close(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct fixture *fixture = arg;
    ipc_server_close(fixture->server);
    fixture->server = NULL;
    ipc_reply_ok(exchange, VIEW("{}"));
}

static void on_last(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct fixture *fixture = arg;
    ipc_reply_ok(exchange, VIEW("{\"last\":1}"));
    ipc_server_close(fixture->server);
    fixture->server = NULL;
}

static const struct ipc_method methods[] = {
    {"echo", on_echo},         {"fail", on_fail},   {"hold", on_hold},
    {"too_long", on_too_long}, {"close", on_close}, {"last", on_last},
};

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        assert_null(body);
        answer->err = *err;
        return;
    }
    answer->body_len = body->len;
    (void)snprintf(answer->body, sizeof answer->body, "%.*s", (int)body->len, body->ptr);
}

static const struct trace trace = {"r-7",
                                   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};

static struct ipc_call *begin(struct fixture *fixture, const char *method, const char *body,
                              int64_t timeout_ms, struct answer *answer)
{
    const struct ipc_call_options options = {
        .method = method, .trace = &trace, .timeout_ms = timeout_ms};
    struct err err = {0};
    *answer = (struct answer){0};
    struct ipc_call *call =
        ipc_call_begin(fixture->client, &options, view_of(body), on_reply, answer, &err);
    if (call == NULL) {
        fail_msg("%s", err.message);
    }
    assert_false(answer->done);
    return call;
}

static struct answer ask(struct fixture *fixture, const char *method, const char *body)
{
    struct answer answer;
    (void)begin(fixture, method, body, AMPLE_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static void open_server(struct fixture *fixture, uid_t owner)
{
    struct err err = {0};
    fixture->server = ipc_server_open(fixture->loop, fixture->url, owner, methods,
                                      sizeof methods / sizeof methods[0], fixture, &err);
    if (fixture->server == NULL) {
        fail_msg("%s", err.message);
    }
}

static bool path_is_free(void *arg)
{
    const struct fixture *fixture = arg;
    return access(fixture->path, F_OK) != 0;
}

static void close_server(struct fixture *fixture)
{
    ipc_server_close(fixture->server);
    fixture->server = NULL;
    turn_until_true(fixture->loop, path_is_free, fixture);
}

static bool all_held(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->held_count == HELD_MAX;
}

static bool one_held(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->held_count > 0;
}

static bool is_connected(void *arg)
{
    const struct fixture *fixture = arg;
    return ipc_client_is_connected(fixture->client);
}

static bool is_alone(void *arg)
{
    return !is_connected(arg);
}

static void body_trace_and_deadline_cross(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = ask(fixture, "echo", "{\"a\":[1,2]}");
    assert_string_equal(answer.body, "{\"a\":[1,2]}");
    assert_string_equal(fixture->trace.request_id, trace.request_id);
    assert_string_equal(fixture->trace.parent, trace.parent);
    assert_in_range(fixture->remaining_ms, AMPLE_MS / 2, AMPLE_MS);
}

static void error_keeps_code_reason_and_message(void **state)
{
    struct answer answer = ask(*state, "fail", "{}");
    assert_int_equal(answer.err.code, ERR_NOT_FOUND);
    assert_string_equal(answer.err.reason, "sandbox_not_found");
    assert_string_equal(answer.err.message, "there is none");
}

static void unknown_method_is_told(void **state)
{
    struct answer answer = ask(*state, "nothing.like_that", "{}");
    assert_string_equal(answer.err.reason, "unknown_method");
}

static void call_without_an_answer_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    assert_string_equal(ask(fixture, "echo", "{}").body, "{}");
    (void)begin(fixture, "hold", "{}", 500, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_TIMEOUT);
    assert_int_equal(fixture->held_count, 1);
    ipc_reply_ok(fixture->held[0], VIEW("{}")); /* late */
    turn_for(fixture->loop, 30);
    assert_int_equal(answer.calls, 1);
}

static void many_calls_get_their_own_answers(void **state)
{
    struct fixture *fixture = *state;
    static struct answer answers[REPLIES];
    char bodies[REPLIES][32];
    for (int i = 0; i < REPLIES; i++) {
        (void)snprintf(bodies[i], sizeof bodies[i], "{\"n\":%d}", i);
        (void)begin(fixture, "echo", bodies[i], AMPLE_MS, &answers[i]);
    }
    for (int i = 0; i < REPLIES; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_string_equal(answers[i].body, bodies[i]);
    }
}

static void slow_requests_do_not_hold_up_quick_ones(void **state)
{
    struct fixture *fixture = *state;
    static struct answer answers[HELD_MAX];
    for (int i = 0; i < HELD_MAX - 1; i++) {
        (void)begin(fixture, "hold", "{}", AMPLE_MS, &answers[i]);
    }
    assert_string_equal(ask(fixture, "echo", "{\"quick\":1}").body, "{\"quick\":1}");
    /* With every exchange in use the next request waits, and is served when one is free. */
    struct answer last;
    (void)begin(fixture, "hold", "{}", AMPLE_MS, &answers[HELD_MAX - 1]);
    turn_until_true(fixture->loop, all_held, fixture);
    (void)begin(fixture, "echo", "{\"last\":1}", AMPLE_MS, &last);
    turn_for(fixture->loop, 50);
    assert_false(last.done);
    for (int i = 0; i < HELD_MAX; i++) {
        ipc_reply_ok(fixture->held[i], VIEW("{}"));
    }
    turn_until(fixture->loop, &last.done);
    for (int i = 0; i < HELD_MAX; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_string_equal(answers[i].body, "{}");
    }
}

static void cancelled_call_is_not_heard_of(void **state)
{
    struct fixture *fixture = *state;
    struct answer at_once;
    struct answer held;
    struct answer answered;
    ipc_call_cancel(begin(fixture, "echo", "{}", AMPLE_MS, &at_once));
    struct ipc_call *call = begin(fixture, "hold", "{}", AMPLE_MS, &held);
    turn_until_true(fixture->loop, one_held, fixture);
    ipc_call_cancel(call);
    ipc_reply_ok(fixture->held[0], VIEW("{}"));
    /* The answer may be in the mailbox already. */
    call = begin(fixture, "echo", "{}", AMPLE_MS, &answered);
    (void)usleep(20000);
    ipc_call_cancel(call);
    turn_for(fixture->loop, 50);
    assert_int_equal(at_once.calls + held.calls + answered.calls, 0);
    assert_string_equal(ask(fixture, "echo", "{}").body, "{}");
}

static void oversized_request_is_refused_by_the_sender(void **state)
{
    struct fixture *fixture = *state;
    char *body = malloc(IPC_MESSAGE_MAX);
    assert_non_null(body);
    memset(body, ' ', IPC_MESSAGE_MAX);
    body[0] = '{';
    body[IPC_MESSAGE_MAX - 1] = '}';
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = AMPLE_MS};
    struct answer answer = {0};
    struct err err = {0};
    assert_null(ipc_call_begin(fixture->client, &options, (struct view){body, IPC_MESSAGE_MAX},
                               on_reply, &answer, &err));
    free(body);
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_string_equal(ask(fixture, "echo", "{}").body, "{}");
}

static void nearly_largest_body_crosses_both_ways(void **state)
{
    struct fixture *fixture = *state;
    enum { LEN = IPC_MESSAGE_MAX - 1024 };
    char *body = malloc(LEN + 1);
    assert_non_null(body);
    memset(body, 'x', LEN);
    memcpy(body, "{\"a\":\"", 6);
    body[LEN - 2] = '"';
    body[LEN - 1] = '}';
    body[LEN] = '\0';
    struct answer answer = ask(fixture, "echo", body);
    free(body);
    assert_int_equal(answer.body_len, LEN);
}

static void oversized_reply_is_an_error(void **state)
{
    assert_int_equal(ask(*state, "too_long", "{}").err.code, ERR_INTERNAL);
}

static void too_many_calls_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static struct answer answers[IPC_CALLS_MAX];
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = AMPLE_MS};
    struct err err = {0};
    for (int i = 0; i < IPC_CALLS_MAX; i++) {
        (void)begin(fixture, "echo", "{}", AMPLE_MS, &answers[i]);
    }
    assert_null(ipc_call_begin(fixture->client, &options, VIEW("{}"), on_reply, &answers[0], &err));
    assert_int_equal(err.code, ERR_LIMIT);
    for (int i = 0; i < IPC_CALLS_MAX; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_int_equal(answers[i].err.code, ERR_NONE);
    }
}

static void closed_server_ends_calls_and_its_exchanges_may_still_reply(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    (void)begin(fixture, "hold", "{}", AMPLE_MS, &answer);
    turn_until_true(fixture->loop, one_held, fixture);
    ipc_server_close(fixture->server);
    fixture->server = NULL;
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    ipc_reply_ok(fixture->held[0], VIEW("{}"));
}

static void handler_may_close_its_server(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(ask(fixture, "close", "{}").err.code, ERR_UNAVAILABLE);
}

static void reply_before_the_close_arrives(void **state)
{
    assert_string_equal(ask(*state, "last", "{}").body, "{\"last\":1}");
}

struct closer {
    struct fixture *fixture;
    bool done;
};

static void close_client(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)err;
    struct closer *closer = arg;
    ipc_client_close(closer->fixture->client);
    closer->fixture->client = NULL;
    closer->done = true;
}

static void callback_may_close_its_client(void **state)
{
    struct fixture *fixture = *state;
    struct closer closer = {.fixture = fixture};
    struct answer others[3];
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = AMPLE_MS};
    struct err err;
    (void)begin(fixture, "hold", "{}", AMPLE_MS, &others[0]);
    turn_until_true(fixture->loop, one_held, fixture);
    assert_non_null(
        ipc_call_begin(fixture->client, &options, VIEW("{}"), close_client, &closer, &err));
    (void)begin(fixture, "echo", "{}", AMPLE_MS, &others[1]);
    (void)begin(fixture, "echo", "{}", AMPLE_MS, &others[2]);
    turn_until(fixture->loop, &closer.done);
    int before = others[0].calls + others[1].calls + others[2].calls;
    turn_for(fixture->loop, 30);
    assert_int_equal(others[0].calls + others[1].calls + others[2].calls, before);
    ipc_reply_ok(fixture->held[0], VIEW("{}"));
}

static void server_that_comes_later_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    close_server(fixture);
    turn_until_true(fixture->loop, is_alone, fixture);
    (void)begin(fixture, "echo", "{}", AMPLE_MS, &answer);
    turn_for(fixture->loop, 50);
    open_server(fixture, (uid_t)-1);
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.body, "{}");
}

static void socket_is_for_its_owner_alone(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_uid, geteuid());
    if (geteuid() == 0) {
        close_server(fixture);
        open_server(fixture, OWNER);
        assert_int_equal(stat(fixture->path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        assert_int_equal(status.st_uid, OWNER);
    }
}

static void leftover_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    assert_null(ipc_server_open(fixture->loop, fixture->url, (uid_t)-1, methods, 1, fixture, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    close_server(fixture);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd); /* its file stays, as after SIGKILL */
    turn_until_true(fixture->loop, is_alone, fixture);
    open_server(fixture, (uid_t)-1);
    assert_string_equal(ask(fixture, "echo", "{}").body, "{}");
}

/* A connection of a stranger to the server. */
static int connect_raw(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

struct raw {
    int fd;
    char reply[256];
    ssize_t len; /* 0: hung up */
};

static bool raw_heard(void *arg)
{
    struct raw *raw = arg;
    raw->len = recv(raw->fd, raw->reply, sizeof raw->reply, 0);
    return raw->len >= 0;
}

static void request_that_arrives_byte_by_byte_is_answered(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] =
        "{\"method\":\"echo\",\"requestId\":\"\",\"timeoutMs\":5000,\"body\":{\"a\":1}}";
    const char head[12] = {[3] = sizeof text - 1, [11] = 9};
    struct raw raw = {.fd = connect_raw(fixture)};
    for (size_t i = 0; i < sizeof head + sizeof text - 1; i++) {
        const char *byte = i < sizeof head ? &head[i] : &text[i - sizeof head];
        assert_int_equal(send(raw.fd, byte, 1, 0), 1);
        turn_for(fixture->loop, 1);
    }
    turn_until_true(fixture->loop, raw_heard, &raw);
    assert_true(raw.len > (ssize_t)sizeof head);
    assert_int_equal(raw.reply[11], 9);
    raw.reply[raw.len] = '\0';
    assert_string_equal(raw.reply + sizeof head, "{\"body\":{\"a\":1}}");
    (void)close(raw.fd);
}

static void who_sends_a_message_that_is_too_long_is_hung_up_on(void **state)
{
    struct fixture *fixture = *state;
    const char head[12] = {[0] = 1};
    struct raw raw = {.fd = connect_raw(fixture)};
    assert_int_equal(send(raw.fd, head, sizeof head, 0), sizeof head);
    turn_until_true(fixture->loop, raw_heard, &raw);
    assert_int_equal(raw.len, 0);
    (void)close(raw.fd);
    assert_string_equal(ask(fixture, "echo", "{}").body, "{}");
}

static void bad_url_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    assert_null(ipc_client_open(fixture->loop, "nothing", "peer", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    assert_non_null(fixture);
    folder_make(fixture->folder);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/s.sock", fixture->folder);
    (void)snprintf(fixture->url, sizeof fixture->url, "ipc://%s", fixture->path);
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    open_server(fixture, (uid_t)-1);
    fixture->client = ipc_client_open(fixture->loop, fixture->url, "peer", &err);
    assert_non_null(fixture->client);
    turn_until_true(fixture->loop, is_connected, fixture);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(body_trace_and_deadline_cross),
        TEST(error_keeps_code_reason_and_message),
        TEST(unknown_method_is_told),
        TEST(call_without_an_answer_times_out),
        TEST(many_calls_get_their_own_answers),
        TEST(slow_requests_do_not_hold_up_quick_ones),
        TEST(cancelled_call_is_not_heard_of),
        TEST(oversized_request_is_refused_by_the_sender),
        TEST(nearly_largest_body_crosses_both_ways),
        TEST(oversized_reply_is_an_error),
        TEST(too_many_calls_are_refused),
        TEST(server_that_comes_later_is_found),
        TEST(socket_is_for_its_owner_alone),
        TEST(leftover_socket_is_replaced_and_a_live_one_is_not),
        TEST(request_that_arrives_byte_by_byte_is_answered),
        TEST(who_sends_a_message_that_is_too_long_is_hung_up_on),
        TEST(bad_url_is_told),
        TEST(closed_server_ends_calls_and_its_exchanges_may_still_reply),
        TEST(handler_may_close_its_server),
        TEST(reply_before_the_close_arrives),
        TEST(callback_may_close_its_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
