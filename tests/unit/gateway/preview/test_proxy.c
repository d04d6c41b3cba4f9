/* gateway/preview/proxy.h: requests to programs and their answers, byte for byte. */
#include "gateway/preview/proxy.h"

#include "gateway/preview/upstream.h"
#include "tests/unit/gateway/preview/stage.h"

#include <stdio.h>
#include <stdlib.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define HOST "Host: " HOST_PUBLIC "\r\ntraceparent: 00-" TRACE "-b7ad6b7169203331-01\r\n"
#define FORWARDED                                                                                  \
    "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: " HOST_PUBLIC                                 \
    "\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"

enum { BIG = 4 * 1024 * 1024, PIECE = 64 * 1024 };

/* Sends a GET and waits until the program has it. */
static struct dialled *begin_get(struct client *client, struct stage *stage, size_t dial_count)
{
    visit(client, stage, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    struct dialled *dialled = wait_for_dial(stage, dial_count);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    return dialled;
}

static void an_answer_passes_as_the_program_wrote_it(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    assert_view(str_view(&dialled->heard), "GET /a HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_says(stage, dialled,
                 "HTTP/1.1 201 Made\r\nServer: theirs\r\nDate: then\r\nX: 1\r\nX: 2\r\n"
                 "Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 201);
    assert_view(reply.body, "hello");
    assert_true(view_has(reply.head, "Server: theirs\r\n"));
    assert_true(view_has(reply.head, "X: 1\r\nX: 2\r\n"));
    assert_view(reply_header(&reply, "Date"), "then");
    assert_false(view_has(reply.head, "Content-Security-Policy"));
    assert_false(view_has(reply.head, "Content-Type"));
    client_close(&client);
}

static void what_is_no_trace_is_replaced(void **state)
{
    static const struct {
        const char *name;
        const char *headers;
    } cases[] = {
        {"none", ""},
        {"a state alone", "tracestate: a=1\r\n"},
        {"no traceparent", "traceparent: 00-" TRACE "-0000000000000000-01\r\ntracestate: a=1\r\n"},
        {"two", "traceparent: 00-" TRACE "-b7ad6b7169203331-01\r\n"
                "traceparent: 00-" TRACE "-b7ad6b7169203332-01\r\n"},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n%s\r\n",
                       cases[i].headers);
        visit(&client, stage, text);
        struct dialled *dialled = wait_for_dial(stage, i + 1);
        wait_for_heard(stage, dialled, "\r\n\r\n");
        if (!view_has(str_view(&dialled->heard), "\r\ntraceparent: 00-") ||
            view_has(str_view(&dialled->heard), "tracestate") ||
            view_has(str_view(&dialled->heard), TRACE)) {
            fail_msg("%s", cases[i].name);
        }
        client_close(&client);
    }
}

static void an_answer_that_comes_whole_is_sent_with_its_length(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    struct reply reply = client_next(&client, false);
    assert_view(reply.body, "hello");
    assert_view(reply_header(&reply, "Content-Length"), "5");
    client_send(&client, VIEW("GET /b HTTP/1.1\r\n" HOST "\r\n"));
    wait_for_heard(stage, dialled, "GET /b HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_says(stage, dialled, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_int_equal(client_next(&client, false).status, 204);
    client_close(&client);
}

static void chunks_that_come_together_pass_in_order(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
    wait_until_received(&client, "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
    client_close(&client);
}

static void an_answer_that_breaks_before_it_is_sent_is_a_clear_page(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 502);
    assert_true(view_has(reply.body, "bad_answer"));
    client_close(&client);
}

static void a_connection_is_used_again(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    assert_view(client_next(&client, false).body, "1");
    client_send(&client, VIEW("GET /b HTTP/1.1\r\n" HOST "\r\n"));
    wait_for_heard(stage, dialled, "GET /b HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_says(stage, dialled,
                 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n2");
    assert_view(client_next(&client, false).body, "2");
    assert_int_equal(stage->dial_count, 1);
    wait_for_flag(stage, &dialled->reset);
    client_send(&client, VIEW("GET /c HTTP/1.1\r\n" HOST "\r\n"));
    dialled = wait_for_dial(stage, 2);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3excess");
    assert_view(client_next(&client, false).body, "3");
    wait_for_flag(stage, &dialled->reset);
    client_close(&client);
}

static void so_many_connections_stay_and_no_more(void **state)
{
    struct stage *stage = *state;
    static struct client clients[UPSTREAM_IDLE_PER_PORT_MAX + 1];
    size_t closed = 0;
    for (size_t i = 0; i <= UPSTREAM_IDLE_PER_PORT_MAX; i++) {
        (void)begin_get(&clients[i], stage, i + 1);
    }
    for (size_t i = 0; i <= UPSTREAM_IDLE_PER_PORT_MAX; i++) {
        program_says(stage, &stage->dials[i], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_int_equal(client_next(&clients[i], false).status, 200);
    }
    wait_for_flag(stage, &stage->dials[UPSTREAM_IDLE_PER_PORT_MAX].reset);
    for (size_t i = 0; i <= UPSTREAM_IDLE_PER_PORT_MAX; i++) {
        closed += stage->dials[i].reset ? 1 : 0;
        client_close(&clients[i]);
    }
    assert_int_equal(closed, 1);
}

static void a_stale_connection_is_replaced_once(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    (void)client_next(&client, false);
    client_send(&client, VIEW("GET /b HTTP/1.1\r\n" HOST "\r\n"));
    wait_for_heard(stage, dialled, "GET /b HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_closes(stage, dialled);
    dialled = wait_for_dial(stage, 2);
    wait_for_heard(stage, dialled, "GET /b HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_closes(stage, dialled);
    assert_int_equal(client_next(&client, false).status, 502);
    assert_int_equal(stage->dial_count, 2);
    client_close(&client);
}

static void an_idle_connection_that_speaks_or_ends_is_dropped(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    (void)client_next(&client, false);
    program_says(stage, dialled, "HTTP/1.1 408 Too slow\r\n\r\n");
    wait_for_flag(stage, &dialled->reset);
    client_close(&client);
    dialled = begin_get(&client, stage, 2);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    (void)client_next(&client, false);
    program_closes(stage, dialled);
    wait_for_flag(stage, &dialled->reset);
    client_close(&client);
    (void)begin_get(&client, stage, 3);
    client_close(&client);
}

static void a_head_as_large_as_may_be_passes_whole(void **state)
{
    struct stage *stage = *state;
    struct client client;
    char line[640];
    struct dialled *dialled = begin_get(&client, stage, 1);
    memset(line, 'x', sizeof line);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    for (int i = 0; i < 97; i++) {
        memcpy(line, "Set-Cookie: a=", sizeof "Set-Cookie: a=" - 1);
        program_says_bytes(stage, dialled, (struct view){line, sizeof line});
        program_says(stage, dialled, "\r\n");
    }
    program_says(stage, dialled, "Last: 1\r\n\r\nok");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Last"), "1");
    assert_view(reply.body, "ok");
    client_close(&client);
}

static void what_is_not_http_is_a_clear_page(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled, "SSH-2.0-OpenSSH_9.2\r\n");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 502);
    assert_true(view_has(reply.body, "bad_answer"));
    wait_for_flag(stage, &dialled->reset);
    client_close(&client);
}

static void an_answer_that_is_cut_short_is_seen_to_be(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct client client;
        struct dialled *dialled = begin_get(&client, stage, i + 1);
        program_says(stage, dialled, answers[i]);
        wait_until_received(&client, "hello");
        program_closes(stage, dialled);
        client_wait_end(&client);
        assert_false(view_has(str_view(&client.received), "\r\n0\r\n\r\n"));
        client_close(&client);
    }
}

static void an_answer_until_the_end_is_whole_at_the_end(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled, "HTTP/1.0 200 OK\r\n\r\nhel");
    wait_until_received(&client, "hel");
    program_says(stage, dialled, "lo");
    program_closes(stage, dialled);
    wait_until_received(&client, "\r\n0\r\n\r\n");
    assert_true(view_has(str_view(&client.received), "Transfer-Encoding: chunked\r\n"));
    client_close(&client);
}

static void each_event_of_a_stream_passes_at_once(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    program_says(stage, dialled,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n");
    wait_until_received(&client, "data: 1\n");
    program_says(stage, dialled, "8\r\ndata: 2\n\r\n");
    wait_until_received(&client, "data: 2\n");
    leave(&client);
    wait_for_flag(stage, &dialled->reset);
}

static void head_has_the_length_and_no_body(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "HEAD / HTTP/1.1\r\n" HOST "\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    struct reply reply = client_next(&client, true);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Content-Length"), "500");
    client_send(&client, VIEW("GET /n HTTP/1.1\r\n" HOST "\r\n"));
    wait_for_heard(stage, dialled, "GET /n HTTP/1.1\r\n" HOST FORWARDED "\r\n");
    program_says(stage, dialled, "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n");
    reply = client_next(&client, true);
    assert_int_equal(reply.status, 304);
    assert_view(reply_header(&reply, "ETag"), "x");
    client_close(&client);
}

static void bodies_are_framed_anew(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    client_send(&client, VIEW("5;ext=1\r\nhello\r\n"));
    wait_for_heard(stage, dialled, FORWARDED "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client_send(&client, VIEW("0\r\nTrailer: dropped\r\n\r\n"));
    wait_for_heard(stage, dialled, "5\r\nhello\r\n0\r\n\r\n");
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_view(client_next(&client, false).body, "ok");
    client_send(&client, VIEW("POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"));
    dialled = wait_for_dial(stage, 2);
    wait_for_heard(stage, dialled, FORWARDED "Content-Length: 5\r\n\r\nhello");
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_view(client_next(&client, false).body, "ok");
    client_close(&client);
}

static void a_body_is_asked_for_once_the_port_has_accepted(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage,
          "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_until_received(&client, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(&client, VIEW("ok"));
    wait_for_heard(stage, dialled, "Content-Length: 2\r\n\r\nok");
    assert_false(view_has(str_view(&dialled->heard), "Expect"));
    program_says(stage, dialled, "HTTP/1.1 204 No Content\r\n\r\n");
    wait_until_received(&client, "HTTP/1.1 204 ");
    client_close(&client);
}

static void an_answer_before_the_bodys_end_is_passed_on(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "POST / HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nhello");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\nhello");
    program_says(stage, dialled, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 403);
    assert_view(reply.body, "no");
    wait_for_flag(stage, &dialled->reset);
    client_close(&client);
}

static void a_program_that_does_not_read_pauses_the_client(void **state)
{
    struct stage *stage = *state;
    struct client client;
    char head[256];
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BIG);
    stage->withhold_credit = true;
    visit(&client, stage, head);
    struct dialled *dialled = wait_for_dial(stage, 1);
    char *bytes = calloc(1, BIG);
    assert_non_null(bytes);
    size_t sent = 0;
    /* Until the program has its credit and the sockets are full. */
    for (int still = 0;
         still < 50 || (still < 10000 && dialled->heard.len < STREAM_WINDOW_INITIAL);) {
        ssize_t step = send(client.fd, bytes, BIG - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += step > 0 ? (size_t)step : 0;
        still = step > 0 ? 0 : still + 1;
        fixture_run(&stage->http, 2);
    }
    assert_int_equal(dialled->heard.len, STREAM_WINDOW_INITIAL);
    stage->withhold_credit = false;
    agent_send_window(&stage->agent, dialled->id, STREAM_WINDOW_INITIAL);
    client_send(&client, (struct view){bytes, BIG - sent});
    free(bytes);
    for (int i = 0; i < 30000 && dialled->heard.len < BIG; i++) {
        fixture_run(&stage->http, 1);
    }
    struct view heard = str_view(&dialled->heard);
    const char *end = memmem(heard.ptr, heard.len, "\r\n\r\n", 4);
    assert_non_null(end);
    for (int i = 0;
         i < 30000 && str_view(&dialled->heard).len < BIG + (size_t)(end - heard.ptr) + 4; i++) {
        fixture_run(&stage->http, 1);
    }
    assert_int_equal(dialled->heard.len, BIG + (size_t)(end - heard.ptr) + 4);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(client_next(&client, false).status, 200);
    client_close(&client);
}

static size_t total_said(struct stage *stage, struct dialled *dialled, size_t said, size_t total)
{
    static const char piece[PIECE];
    while (said < total && said < STREAM_WINDOW_INITIAL + dialled->granted) {
        size_t room = STREAM_WINDOW_INITIAL + dialled->granted - said;
        size_t len = room < PIECE ? room : PIECE;
        len = len < total - said ? len : total - said;
        program_says_bytes(stage, dialled, (struct view){piece, len});
        said += len;
    }
    return said;
}

static void a_client_that_does_not_read_pauses_the_program(void **state)
{
    struct stage *stage = *state;
    struct client client;
    char head[256];
    int small = 16 * 1024;
    struct dialled *dialled = begin_get(&client, stage, 1);
    (void)setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG * 3);
    program_says(stage, dialled, head);
    size_t begun = strlen(head);
    size_t total = begun + (size_t)BIG * 3;
    size_t said = begun;
    for (int still = 0; still < 20;) {
        size_t before = said;
        said = total_said(stage, dialled, said, total);
        still = said == before ? still + 1 : 0;
        fixture_run(&stage->http, 2);
    }
    /* What the kernel holds, the backlog, and one window. */
    assert_true(said < total);
    while (said < total) {
        client_receive(&client);
        said = total_said(stage, dialled, said, total);
        fixture_run(&stage->http, 1);
    }
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.body.len, BIG * 3);
    client_close(&client);
}

static void a_client_that_leaves_ends_the_programs_connection(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = begin_get(&client, stage, 1);
    leave(&client);
    wait_for_flag(stage, &dialled->reset);
}

static void an_agent_that_is_lost_cuts_what_is_under_way(void **state)
{
    struct stage *stage = *state;
    struct client early;
    struct client late;
    struct dialled *dialled = begin_get(&late, stage, 1);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    wait_until_received(&late, "hello");
    (void)begin_get(&early, stage, 2);
    agent_vanish(&stage->agent);
    assert_int_equal(client_next(&early, false).status, 503);
    client_wait_end(&late);
    client_close(&early);
    client_close(&late);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(an_answer_passes_as_the_program_wrote_it),
        STAGED(what_is_no_trace_is_replaced),
        STAGED(an_answer_that_comes_whole_is_sent_with_its_length),
        STAGED(chunks_that_come_together_pass_in_order),
        STAGED(an_answer_that_breaks_before_it_is_sent_is_a_clear_page),
        STAGED(a_connection_is_used_again),
        STAGED(so_many_connections_stay_and_no_more),
        STAGED(a_stale_connection_is_replaced_once),
        STAGED(an_idle_connection_that_speaks_or_ends_is_dropped),
        STAGED(a_head_as_large_as_may_be_passes_whole),
        STAGED(what_is_not_http_is_a_clear_page),
        STAGED(an_answer_that_is_cut_short_is_seen_to_be),
        STAGED(an_answer_until_the_end_is_whole_at_the_end),
        STAGED(each_event_of_a_stream_passes_at_once),
        STAGED(head_has_the_length_and_no_body),
        STAGED(bodies_are_framed_anew),
        STAGED(a_body_is_asked_for_once_the_port_has_accepted),
        STAGED(an_answer_before_the_bodys_end_is_passed_on),
        STAGED(a_program_that_does_not_read_pauses_the_client),
        STAGED(a_client_that_does_not_read_pauses_the_program),
        STAGED(a_client_that_leaves_ends_the_programs_connection),
        STAGED(an_agent_that_is_lost_cuts_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
