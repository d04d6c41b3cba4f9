/* common/http/client.c */
#include "common/base/clock.h"
#include "common/http/client.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"
#include "tests/unit/http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static bool may_connect; /* what the callers of http_address_fn are told */

enum { CONNECTIONS = 2, RESPONSE_MAX = 4096, AMPLE_MS = 60000 };

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    struct loop *loop;
    struct server *server;
    struct http_client *client; /* over the server's unix socket */
};

struct answer {
    struct fixture *fixture;
    struct http_call *call;
    bool done;
    int calls;
    int status;
    char body[RESPONSE_MAX + 1];
    char pieces[64]; /* streamed, with | behind each */
    size_t streamed;
    bool stop;   /* on_data ends it */
    bool cancel; /* on_data cancels it */
    struct err err;
};

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        assert_null(reply);
        answer->err = *err;
        return;
    }
    answer->status = reply->status;
    assert_true(view_copy(reply->body, answer->body, sizeof answer->body));
}

static bool on_data(struct view data, void *arg)
{
    struct answer *answer = arg;
    answer->streamed += data.len;
    size_t len = strlen(answer->pieces);
    (void)snprintf(answer->pieces + len, sizeof answer->pieces - len, "%.*s|", (int)data.len,
                   data.ptr);
    if (answer->cancel) {
        http_call_cancel(answer->call);
        answer->done = true;
    }
    return !answer->stop;
}

static void begin_with(struct fixture *fixture, struct http_call_options options, const char *path,
                       struct answer *answer)
{
    char url[128];
    struct err err = {0};
    (void)snprintf(url, sizeof url, "http://docker%s", path);
    options.url = url;
    options.method = options.method == NULL ? "GET" : options.method;
    options.response_max = RESPONSE_MAX;
    answer->fixture = fixture;
    answer->call = http_call_begin(fixture->client, &options, on_reply, answer, &err);
    if (answer->call == NULL) {
        fail_msg("%s", err.message);
    }
    assert_false(answer->done);
}

static struct answer ask_with(struct fixture *fixture, struct http_call_options options,
                              const char *path)
{
    struct answer answer = {0};
    begin_with(fixture, options, path, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.calls, 1);
    return answer;
}

static struct answer ask(struct fixture *fixture, const char *path)
{
    return ask_with(fixture, (struct http_call_options){.timeout_ms = AMPLE_MS}, path);
}

static void status_and_body_arrive(void **state)
{
    struct answer answer = ask(*state, "/ok");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"ok\":true}");
}

static void any_status_is_a_reply(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *body;
    } cases[] = {
        {"/missing", 404, "none"},
        {"/broken", 500, "oops"},
        {"/empty", 204, ""},
        {"/redirect", 302, ""}, /* not followed */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = ask(*state, cases[i].path);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer.body, cases[i].body);
    }
}

static void body_and_headers_are_sent(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer x", "X-Other: 1", NULL};
    const struct http_call_options options = {
        .method = "POST", .headers = headers, .body = VIEW("{\"a\":1}"), .timeout_ms = AMPLE_MS};
    struct answer answer = ask_with(*state, options, "/echo");
    assert_non_null(strstr(answer.body, "POST /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(answer.body, "Authorization: Bearer x\r\n"));
    assert_non_null(strstr(answer.body, "X-Other: 1\r\n"));
    assert_non_null(strstr(answer.body, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(answer.body, "Content-Length: 7\r\n"));
    assert_non_null(strstr(answer.body, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(answer.body, "Expect"));
}

static void put_sends_bytes_of_its_own_type(void **state)
{
    const struct http_call_options options = {.method = "PUT",
                                              .content_type = "application/x-tar",
                                              .body = VIEW("a\0b"),
                                              .body_is_borrowed = true,
                                              .timeout_ms = AMPLE_MS};
    struct fixture *fixture = *state;
    struct answer answer = {0};
    begin_with(fixture, options, "/ok", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.status, 200);
}

static void post_without_a_body_says_so(void **state)
{
    const struct http_call_options options = {.method = "POST", .timeout_ms = AMPLE_MS};
    struct answer answer = ask_with(*state, options, "/echo");
    assert_non_null(strstr(answer.body, "Content-Length: 0\r\n"));
    assert_null(strstr(answer.body, "Content-Type"));
}

static void delete_and_get_have_no_body(void **state)
{
    const struct http_call_options options = {.method = "DELETE", .timeout_ms = AMPLE_MS};
    struct answer answer = ask_with(*state, options, "/echo");
    assert_non_null(strstr(answer.body, "DELETE /echo HTTP/1.1\r\n"));
    assert_null(strstr(answer.body, "Content-Length"));
}

static void silence_ends_with_the_deadline(void **state)
{
    int64_t start_ms = clock_monotonic_ms();
    const struct http_call_options options = {.timeout_ms = 100};
    struct answer answer = ask_with(*state, options, "/silent");
    assert_int_equal(answer.err.code, ERR_TIMEOUT);
    assert_true(clock_monotonic_ms() - start_ms >= 90);
}

static void broken_answers_are_unavailable(void **state)
{
    static const char *const paths[] = {"/hangup", "/cut", "/nonsense"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(ask(*state, paths[i]).err.code, ERR_UNAVAILABLE);
    }
}

static void answer_over_the_limit_is_refused(void **state)
{
    struct answer answer = ask(*state, "/large");
    assert_int_equal(answer.err.code, ERR_LIMIT);
    assert_string_equal(answer.err.reason, "response_too_large");
}

static void a_good_head_is_a_reply_where_that_is_enough(void **state)
{
    static const struct {
        const char *path;
        const char *body;
        int64_t timeout_ms;
    } cases[] = {
        {"/ok", "{\"ok\":true}", AMPLE_MS}, {"/cut", "only this", AMPLE_MS}, {"/held", "he", 2000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct http_call_options options = {.head_is_enough = true,
                                                  .timeout_ms = cases[i].timeout_ms};
        struct answer answer = ask_with(*state, options, cases[i].path);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, cases[i].body);
    }
}

static void where_the_head_is_enough_a_long_body_is_left(void **state)
{
    const struct http_call_options options = {.head_is_enough = true, .timeout_ms = AMPLE_MS};
    assert_int_equal(ask_with(*state, options, "/large").status, 200);
}

static void another_head_is_not_enough(void **state)
{
    const struct http_call_options options = {.head_is_enough = true, .timeout_ms = AMPLE_MS};
    assert_int_equal(ask_with(*state, options, "/refused").err.code, ERR_UNAVAILABLE);
    assert_int_equal(ask_with(*state, options, "/hangup").err.code, ERR_UNAVAILABLE);
}

static void stream_arrives_in_pieces(void **state)
{
    const struct http_call_options options = {.on_data = on_data, .timeout_ms = AMPLE_MS};
    struct answer answer = ask_with(*state, options, "/pieces");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.pieces, "first|second|");
    assert_string_equal(answer.body, "");
}

static void stream_has_no_limit_of_its_length(void **state)
{
    const struct http_call_options options = {.on_data = on_data};
    assert_int_equal(ask_with(*state, options, "/large").streamed, 100000);
}

static void error_body_of_a_stream_is_collected(void **state)
{
    const struct http_call_options options = {.on_data = on_data, .timeout_ms = AMPLE_MS};
    struct answer answer = ask_with(*state, options, "/missing");
    assert_int_equal(answer.status, 404);
    assert_string_equal(answer.body, "none");
    assert_string_equal(answer.pieces, "");
}

static void reader_may_end_its_stream(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {.stop = true};
    begin_with(fixture, (struct http_call_options){.on_data = on_data}, "/pieces", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_string_equal(answer.pieces, "first|");
}

static void reader_may_cancel_its_stream(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {.cancel = true};
    begin_with(fixture, (struct http_call_options){.on_data = on_data}, "/pieces", &answer);
    turn_until(fixture->loop, &answer.done);
    turn_for(fixture->loop, 60);
    assert_int_equal(answer.calls, 0);
    assert_string_equal(answer.pieces, "first|");
}

static bool has_request(void *arg)
{
    const struct fixture *fixture = arg;
    return server_requests(fixture->server) > 0;
}

static void cancelled_calls_are_not_heard_of(void **state)
{
    struct fixture *fixture = *state;
    struct answer at_once = {0};
    struct answer running = {0};
    const struct http_call_options options = {.timeout_ms = AMPLE_MS};
    begin_with(fixture, options, "/ok", &at_once);
    http_call_cancel(at_once.call);
    begin_with(fixture, options, "/slow", &running);
    turn_until_true(fixture->loop, has_request, fixture);
    http_call_cancel(running.call);
    turn_for(fixture->loop, 60);
    assert_int_equal(at_once.calls + running.calls, 0);
    assert_int_equal(ask(fixture, "/ok").status, 200);
}

static void connection_is_kept_and_used_again(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(fixture, "/ok").status, 200);
    }
    assert_int_equal(server_accepted(fixture->server), 1);
    assert_int_equal(server_requests(fixture->server), 5);
}

static void calls_over_the_connection_limit_wait(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 7 };
    struct answer answers[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        begin_with(fixture, (struct http_call_options){.timeout_ms = AMPLE_MS}, "/slow",
                   &answers[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        turn_until(fixture->loop, &answers[i].done);
        assert_string_equal(answers[i].body, "slow");
        assert_in_range(server_open_now(fixture->server), 1, CONNECTIONS);
    }
    assert_int_equal(server_accepted(fixture->server), CONNECTIONS);
}

static void waiting_for_a_connection_counts_against_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct answer busy[CONNECTIONS] = {0};
    struct answer waiting = {0};
    for (int i = 0; i < CONNECTIONS; i++) {
        begin_with(fixture, (struct http_call_options){0}, "/silent", &busy[i]);
    }
    begin_with(fixture, (struct http_call_options){.timeout_ms = 80}, "/ok", &waiting);
    turn_until(fixture->loop, &waiting.done);
    assert_int_equal(waiting.err.code, ERR_TIMEOUT);
}

static bool server_has_closed(void *arg)
{
    const struct fixture *fixture = arg;
    return server_open_now(fixture->server) == 0;
}

static void kept_connection_that_closed_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(ask(fixture, "/last").body, "last");
    turn_until_true(fixture->loop, server_has_closed, fixture);
    assert_int_equal(ask(fixture, "/ok").status, 200);
    assert_int_equal(server_accepted(fixture->server), 2);
}

static void nobody_there_is_unavailable(void **state)
{
    struct fixture *fixture = *state;
    char path[FOLDER_PATH_SIZE + 16];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/none", fixture->folder);
    http_client_close(fixture->client);
    fixture->client = http_client_open(fixture->loop, path, CONNECTIONS, &err);
    assert_non_null(fixture->client);
    assert_int_equal(ask(fixture, "/ok").err.code, ERR_UNAVAILABLE);
}

static void other_schemes_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {0};
    struct err err = {0};
    const struct http_call_options options = {
        .method = "GET", .url = "file:///etc/passwd", .response_max = 100};
    answer.call = http_call_begin(fixture->client, &options, on_reply, &answer, &err);
    if (answer.call != NULL) {
        turn_until(fixture->loop, &answer.done);
        err = answer.err;
    }
    assert_int_not_equal(err.code, ERR_NONE);
}

static void url_leads_over_the_network(void **state)
{
    struct fixture *fixture = *state;
    char url[64];
    struct err err = {0};
    struct answer answer = {0};
    struct server *server = server_open(fixture->loop, NULL);
    struct http_client *client = http_client_open(fixture->loop, NULL, CONNECTIONS, &err);
    assert_non_null(client);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/ok", server_port(server));
    const struct http_call_options options = {
        .method = "GET", .url = url, .timeout_ms = AMPLE_MS, .response_max = RESPONSE_MAX};
    assert_non_null(http_call_begin(client, &options, on_reply, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.status, 200);
    http_client_close(client);
    server_close(server);
}

static void begin_next(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    assert_null(err);
    assert_int_equal(reply->status, 200);
    begin_with(answer->fixture, (struct http_call_options){.timeout_ms = AMPLE_MS}, "/ok", answer);
}

static void callback_may_begin_the_next_call(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer = {.fixture = fixture};
    struct err err;
    const struct http_call_options options = {
        .method = "GET", .url = "http://docker/ok", .timeout_ms = AMPLE_MS, .response_max = 100};
    assert_non_null(http_call_begin(fixture->client, &options, begin_next, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.status, 200);
}

static void close_client(const struct http_reply *reply, const struct err *err, void *arg)
{
    (void)reply;
    (void)err;
    struct answer *answer = arg;
    http_client_close(answer->fixture->client);
    answer->fixture->client = NULL;
    answer->done = true;
}

static void callback_may_close_the_client(void **state)
{
    struct fixture *fixture = *state;
    struct answer closing = {.fixture = fixture};
    struct answer others[4] = {0};
    struct err err;
    const struct http_call_options options = {
        .method = "GET", .url = "http://docker/ok", .timeout_ms = AMPLE_MS, .response_max = 100};
    begin_with(fixture, (struct http_call_options){.timeout_ms = AMPLE_MS}, "/silent", &others[0]);
    assert_non_null(http_call_begin(fixture->client, &options, close_client, &closing, &err));
    for (int i = 1; i < 4; i++) {
        begin_with(fixture, (struct http_call_options){.timeout_ms = AMPLE_MS}, "/ok", &others[i]);
    }
    turn_until(fixture->loop, &closing.done);
    turn_for(fixture->loop, 60);
    assert_int_equal(others[0].calls + others[3].calls, 0);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char path[FOLDER_PATH_SIZE + 16];
    struct err err = {0};
    assert_non_null(fixture);
    folder_make(fixture->folder);
    (void)snprintf(path, sizeof path, "%s/http", fixture->folder);
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->server = server_open(fixture->loop, path);
    fixture->client = http_client_open(fixture->loop, path, CONNECTIONS, &err);
    assert_non_null(fixture->client);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    http_client_close(fixture->client);
    server_close(fixture->server);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

static bool allow_address(const struct sockaddr *address, void *arg)
{
    struct answer *answer = arg;
    assert_int_equal(address->sa_family, AF_INET);
    answer->streamed++;
    return may_connect;
}

/* Both times over a connection of its own. */
static void addresses_are_asked_about_before_they_are_connected_to(void **state)
{
    struct fixture *fixture = *state;
    char url[64];
    struct err err = {0};
    struct server *server = server_open(fixture->loop, NULL);
    struct http_client *client = http_client_open(fixture->loop, NULL, CONNECTIONS, &err);
    assert_non_null(client);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/ok", server_port(server));
    const struct http_call_options options = {.method = "GET",
                                              .url = url,
                                              .timeout_ms = AMPLE_MS,
                                              .response_max = RESPONSE_MAX,
                                              .allow_address = allow_address};
    for (int i = 0; i < 3; i++) {
        struct answer answer = {0};
        may_connect = i < 2;
        assert_non_null(http_call_begin(client, &options, on_reply, &answer, &err));
        turn_until(fixture->loop, &answer.done);
        assert_int_equal(answer.streamed, 1);
        assert_int_equal(answer.status, may_connect ? 200 : 0);
        assert_string_equal(answer.err.reason == NULL ? "" : answer.err.reason,
                            may_connect ? "" : "address_refused");
        assert_int_equal(answer.err.code, may_connect ? ERR_NONE : ERR_DENIED);
    }
    assert_int_equal(server_accepted(server), 2);
    http_client_close(client);
    server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(status_and_body_arrive),
        TEST(any_status_is_a_reply),
        TEST(body_and_headers_are_sent),
        TEST(put_sends_bytes_of_its_own_type),
        TEST(post_without_a_body_says_so),
        TEST(delete_and_get_have_no_body),
        TEST(silence_ends_with_the_deadline),
        TEST(broken_answers_are_unavailable),
        TEST(answer_over_the_limit_is_refused),
        TEST(a_good_head_is_a_reply_where_that_is_enough),
        TEST(where_the_head_is_enough_a_long_body_is_left),
        TEST(another_head_is_not_enough),
        TEST(stream_arrives_in_pieces),
        TEST(stream_has_no_limit_of_its_length),
        TEST(error_body_of_a_stream_is_collected),
        TEST(reader_may_end_its_stream),
        TEST(reader_may_cancel_its_stream),
        TEST(cancelled_calls_are_not_heard_of),
        TEST(connection_is_kept_and_used_again),
        TEST(calls_over_the_connection_limit_wait),
        TEST(waiting_for_a_connection_counts_against_the_deadline),
        TEST(kept_connection_that_closed_is_replaced),
        TEST(nobody_there_is_unavailable),
        TEST(other_schemes_are_refused),
        TEST(url_leads_over_the_network),
        TEST(addresses_are_asked_about_before_they_are_connected_to),
        TEST(callback_may_begin_the_next_call),
        TEST(callback_may_close_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
