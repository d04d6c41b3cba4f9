/* Processes, archives and search over REST, with an agent of the test's own. */
#include "tests/unit/gateway/native/rest_stage.h"

#include "gateway/native/request.h"
#include "tests/support/turn.h"

#include <stdio.h>

enum { SENT_MAX = 64 * 1024 * 1024 };

#define EXEC "POST " REST_SANDBOX "/exec"
#define JSON_TYPE "Content-Type: application/json\r\n"
#define SSE JSON_TYPE "Accept: text/event-stream\r\n"
#define NDJSON JSON_TYPE "Accept: application/x-ndjson\r\n"
#define STARTED                                                                                    \
    "\"type\":\"execResponse\",\"streamId\":1,\"pid\":7,\"offsets\":{\"stdout\":0,\"stderr\":0}"

static void say_exit(struct rest_stage *stage, const char *members)
{
    agent_say(&stage->agent, "{\"type\":\"exit\",\"streamId\":%u,\"pid\":7,%s}", stage->stream_id,
              members);
}

static void send_output(struct rest_stage *stage, enum stream_kind kind, const char *text)
{
    agent_send(&stage->agent, stage->stream_id, kind, view_of(text));
}

/* An exec that runs. */
static void start(struct rest_stage *stage, const char *headers, const char *body)
{
    rest_send(stage, EXEC, headers, view_of(body));
    rest_wait_requests(stage, 1);
    rest_answer(stage, STARTED);
    rest_wait_for(stage, "\"type\":\"start\"");
}

static void output_comes_as_server_sent_events(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, SSE, "{\"cmd\":\"ls\",\"stream\":false,\"streamId\":9,\"once\":\"x\"}");
    assert_asked(stage, "\"stream\":true");
    assert_false(view_has(str_view(&stage->asked), "\"once\""));
    assert_false(view_has(str_view(&stage->asked), "\"streamId\":9"));
    assert_received(stage, "Content-Type: text/event-stream\r\n");
    assert_received(stage, "event: start\nid: 7:0:0\ndata: {\"type\":\"start\",\"pid\":7,"
                           "\"offsets\":{\"stdout\":0,\"stderr\":0}}\n\n");
    send_output(stage, STREAM_STDOUT, "a\n\xc3");
    send_output(stage, STREAM_STDERR, "e");
    send_output(stage, STREAM_STDOUT, "\xa9");
    rest_wait_for(stage, "event: stdout\nid: 7:2:0\n"
                         "data: {\"type\":\"stdout\",\"data\":\"a\\n\",\"offset\":0}\n\n");
    rest_wait_for(stage, "event: stderr\nid: 7:2:1\n"
                         "data: {\"type\":\"stderr\",\"data\":\"e\",\"offset\":0}\n\n");
    rest_wait_for(stage, "event: stdout\nid: 7:4:1\n"
                         "data: {\"type\":\"stdout\",\"data\":\"\xc3\xa9\",\"offset\":2}\n\n");
    send_output(stage, STREAM_STDOUT, "\xe2\x82");
    say_exit(stage, "\"exitCode\":3,\n\"signal\":null,\"reason\":\"exited\"");
    rest_wait_for(stage, "{\"type\":\"stdout\",\"data\":\"\xef\xbf\xbd\",\"offset\":4}\n\n");
    rest_wait_for(stage, "event: exit\nid: 7:6:1\ndata: {\"type\":\"exit\",\"pid\":7,"
                         "\"exitCode\":3,\"signal\":null,\"reason\":\"exited\"}\n\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
    assert_int_equal(stage->resets, 0);
}

static void output_comes_as_lines(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\",\"outputEncoding\":\"base64\"}");
    assert_received(stage, "Content-Type: application/x-ndjson\r\n");
    send_output(stage, STREAM_STDOUT, "\xff");
    agent_say(&stage->agent,
              "{\"type\":\"gap\",\"streamId\":%u,\"kind\":\"stdout\",\"from\":1,\"to\":10}",
              stage->stream_id);
    send_output(stage, STREAM_STDOUT, "b");
    say_exit(stage, "\"exitCode\":0");
    rest_wait_for(stage, "{\"type\":\"stdout\",\"data\":\"/w==\",\"offset\":0}\n");
    rest_wait_for(stage, "{\"type\":\"gap\",\"kind\":\"stdout\",\"from\":1,\"to\":10}\n");
    rest_wait_for(stage, "{\"type\":\"stdout\",\"data\":\"Yg==\",\"offset\":10}\n");
    rest_wait_for(stage, "{\"type\":\"exit\",\"pid\":7,\"exitCode\":0}\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
}

static void a_terminal_has_one_kind_of_output(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, EXEC, NDJSON, VIEW("{\"cmd\":\"sh\",\"pty\":{\"cols\":80,\"rows\":24}}"));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"pty\":{\"cols\":80,\"rows\":24}");
    rest_answer(stage, "\"type\":\"execResponse\",\"pid\":7,\"offsets\":{\"data\":0}");
    send_output(stage, STREAM_DATA, "$ ");
    say_exit(stage, "\"exitCode\":0");
    rest_wait_for(stage, "{\"type\":\"data\",\"data\":\"$ \",\"offset\":0}\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
}

static void a_lost_agent_is_the_end_that_is_told(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    agent_vanish(&stage->agent);
    rest_wait_for(stage, "{\"type\":\"exit\",\"pid\":7,\"exitCode\":null,\"signal\":null,"
                         "\"reason\":\"agent_lost\",\"durationMs\":null}\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
}

static void a_sandbox_that_ends_is_told(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    stage->agent.sandbox_ended = true;
    agent_vanish(&stage->agent);
    rest_wait_for(stage, "\"reason\":\"sandbox_gone\"");
}

static void a_stream_that_breaks_is_no_end(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    agent_send(&stage->agent, stage->stream_id, STREAM_RESET, VIEW(""));
    rest_wait_end(stage);
    assert_false(view_has(str_view(&stage->client.received), "\r\n0\r\n\r\n"));
}

static void a_program_that_is_not_there_is_an_error(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, EXEC, SSE, VIEW("{\"cmd\":\"nothing\"}"));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"error\",\"error\":\"No.\",\"code\":\"command_not_found\"");
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"command_not_found\""));
}

static bool leaving_shows_in_sending(void *arg)
{
    struct rest_stage *stage = arg;
    if (stage->resets == 0) {
        send_output(stage, STREAM_STDOUT, "x");
    }
    return stage->resets > 0;
}

static void a_client_that_leaves_only_detaches(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    client_close(&stage->client);
    turn_until_true(stage->http.loop, leaving_shows_in_sending, stage);
    assert_int_equal(stage->resets, 1);
    assert_int_equal(stage->requests, 1);
}

static void a_revoked_key_ends_its_streams(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    requests_revoke(stage->agent.gateway.requests, "33333333-3333-4333-8333-333333333333");
    send_output(stage, STREAM_STDOUT, "x");
    rest_wait_for(stage, "\"data\":\"x\"");
    requests_revoke(stage->agent.gateway.requests, "22222222-2222-4222-8222-222222222222");
    rest_wait_end(stage);
    assert_false(view_has(str_view(&stage->client.received), "\r\n0\r\n\r\n"));
    rest_wait_resets(stage, 1);
}

static void a_key_that_expires_ends_its_streams(void **state)
{
    struct rest_stage *stage = *state;
    start(stage, NDJSON, "{\"cmd\":\"ls\"}");
    requests_end_expired(stage->agent.gateway.requests, 4102444799999);
    send_output(stage, STREAM_STDOUT, "x");
    rest_wait_for(stage, "\"data\":\"x\"");
    requests_end_expired(stage->agent.gateway.requests, 4102444800000);
    rest_wait_end(stage);
    rest_wait_resets(stage, 1);
}

static void note_key(const char api_key_id[ID_SIZE], void *arg)
{
    bool *noted = arg;
    *noted = *noted || api_key_id[0] != '\0';
}

static bool key_is_known(void *arg)
{
    bool noted = false;
    requests_each_key(arg, note_key, &noted);
    return noted;
}

static void a_key_revoked_before_its_body_is_whole_begins_nothing(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, EXEC, NDJSON "Content-Length: 11\r\n", VIEW(""));
    turn_until_true(stage->http.loop, key_is_known, stage->agent.gateway.requests);
    requests_revoke(stage->agent.gateway.requests, "22222222-2222-4222-8222-222222222222");
    client_send(&stage->client, VIEW("{\"cmd\":\"x\"}"));
    assert_int_equal(client_next(&stage->client, false).status, 401);
    turn_for(stage->http.loop, 50);
    assert_int_equal(stage->requests, 0);
}

static void a_key_revoked_during_an_upload_is_refused(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " REST_SANDBOX "/files?path=x", "Content-Length: 9\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    requests_revoke(stage->agent.gateway.requests, "11111111-1111-4111-8111-111111111111");
    assert_int_equal(client_next(&stage->client, false).status, 401);
    rest_wait_resets(stage, 1);
}

static void the_head_of_events_is_no_stream(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "HEAD " REST_SANDBOX "/processes/7/output?follow=true", "", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"attachResponse\",\"pid\":7,\"running\":true,"
                       "\"offsets\":{\"stdout\":1,\"stderr\":1}");
    assert_int_equal(client_next(&stage->client, true).status, 200);
    rest_wait_resets(stage, 1);
}

static void repeats_are_known_by_their_key(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, EXEC, JSON_TYPE "Idempotency-Key: abc\r\n", VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"once\":\"11111111-1111-4111-8111-111111111111/idem/"
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
    rest_answer(stage, "\"type\":\"execResponse\",\"stdout\":\"\",\"exitCode\":0");
    struct reply reply = client_next(&stage->client, false);
    assert_view(reply.body, "{\"stdout\":\"\",\"exitCode\":0}");
    reply = rest_ask(stage, EXEC, JSON_TYPE "Idempotency-Key: a b\r\n", VIEW("{\"cmd\":\"ls\"}"));
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"invalid_idempotency_key\""));
}

static void answer_any(struct rest_stage *stage, struct view text)
{
    (void)text;
    rest_answer(stage, "\"type\":\"anyResponse\",\"pid\":7");
}

static void what_is_asked_of_a_process_is_passed_on(void **state)
{
    struct rest_stage *stage = *state;
    static const struct {
        const char *line;
        const char *body;
        int status;
        const char *asked;
    } cases[] = {
        {"/7/signal", "{\"signal\":\"SIGINT\"}", 200,
         "\"type\":\"signal\",\"pid\":7,\"signal\":\"SIGINT\",\"group\":true"},
        {"/a.b/signal", "{\"signal\":9,\"group\":false,\"pid\":1,\"tag\":\"x\"}", 200,
         "\"type\":\"signal\",\"tag\":\"a.b\",\"signal\":9,\"group\":false"},
        {"/7/stdin", "{\"data\":\"x\",\"eof\":true}", 200,
         "\"type\":\"input\",\"pid\":7,\"data\":\"x\",\"eof\":true"},
        {"/7/resize", "{\"cols\":80,\"rows\":24}", 200,
         "\"type\":\"resize\",\"pid\":7,\"cols\":80,\"rows\":24"},
        {"/7/signal", "{}", 400, NULL},
        {"/7/signal", "{\"signal\":65}", 400, NULL},
        {"/7/signal", "{\"signal\":", 400, NULL},
        {"/7/resize", "{\"cols\":0,\"rows\":24}", 400, NULL},
        {"/0/resize", "{\"cols\":80,\"rows\":24}", 404, NULL},
        {"/a%20b/resize", "{\"cols\":80,\"rows\":24}", 404, NULL},
    };
    stage->on_request = answer_any;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[256];
        (void)snprintf(line, sizeof line, "POST " REST_SANDBOX "/processes%s", cases[i].line);
        str_clear(&stage->asked);
        struct reply reply = rest_ask(stage, line, JSON_TYPE, view_of(cases[i].body));
        if (reply.status != cases[i].status) {
            fail_msg("%s %s: %d", cases[i].line, cases[i].body, reply.status);
        }
        if (cases[i].asked != NULL) {
            assert_asked(stage, cases[i].asked);
        }
    }
    struct reply reply = rest_ask(stage, "GET " REST_SANDBOX "/processes", "", VIEW(""));
    assert_view(reply.body, "{\"pid\":7}");
    assert_asked(stage, "\"type\":\"ps\"}");
}

#define OUTPUT "GET " REST_SANDBOX "/processes/7/output"

static void kept_output_ends_where_it_ended(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, OUTPUT "?offset=1", "", VIEW(""));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"type\":\"attach\",\"pid\":7,\"offset\":-1");
    rest_answer(stage, "\"type\":\"attachResponse\",\"pid\":7,\"running\":true,"
                       "\"offsets\":{\"stdout\":3,\"stderr\":1}");
    rest_wait_requests(stage, 2);
    assert_asked(stage, "\"type\":\"attach\",\"pid\":7,\"offset\":1");
    rest_answer(stage, "\"type\":\"attachResponse\",\"pid\":7,\"running\":true,"
                       "\"offsets\":{\"stdout\":1,\"stderr\":1}");
    send_output(stage, STREAM_STDOUT, "bc");
    rest_wait_for(stage, "{\"type\":\"stdout\",\"data\":\"bc\",\"offset\":1}\n");
    rest_wait_for(stage, "{\"type\":\"end\",\"pid\":7,\"offsets\":{\"stdout\":3,\"stderr\":1}}\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
    rest_wait_resets(stage, 2);
}

static void output_is_followed_from_the_last_event(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, OUTPUT "?follow=true&format=sse", "Last-Event-ID: 7:10:20\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"offset\":10,\"stdoutOffset\":10,\"stderrOffset\":20");
    rest_answer(stage, "\"type\":\"attachResponse\",\"pid\":7,\"running\":false,"
                       "\"offsets\":{\"stdout\":10,\"stderr\":20}");
    say_exit(stage, "\"exitCode\":null,\"signal\":\"SIGKILL\"");
    rest_wait_for(stage, "event: exit\nid: 7:10:20\n");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
}

static void output_of_no_process_is_404(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, OUTPUT, "", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"error\",\"error\":\"No.\",\"code\":\"process_not_found\"");
    assert_int_equal(client_next(&stage->client, false).status, 404);
}

struct held {
    struct rest_stage *stage;
    size_t granted; /* while nobody read */
};

static bool reading_grants(void *arg)
{
    const struct held *held = arg;
    client_receive(&held->stage->client);
    return held->stage->granted > held->granted;
}

static void a_slow_reader_holds_its_process(void **state)
{
    struct rest_stage *stage = *state;
    static char piece[STREAM_PAYLOAD_MAX];
    struct held held = {.stage = stage};
    size_t sent = 0;
    memset(piece, 'y', sizeof piece);
    start(stage, NDJSON, "{\"cmd\":\"yes\"}");
    for (int quiet = 0; quiet < 20;) {
        if (sent + sizeof piece <= STREAM_WINDOW_INITIAL + stage->granted) {
            agent_send(&stage->agent, stage->stream_id, STREAM_STDOUT,
                       (struct view){piece, sizeof piece});
            sent += sizeof piece;
            quiet = 0;
        } else {
            quiet++;
        }
        turn_for(stage->http.loop, 2);
        assert_true(sent < SENT_MAX);
    }
    held.granted = stage->granted;
    turn_until_true(stage->http.loop, reading_grants, &held);
}

#define ARCHIVE REST_SANDBOX "/archive?path=/x/y"

static void a_folder_is_answered_as_an_archive(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "GET " ARCHIVE "&user=root", "", VIEW(""));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"cmd\":\"/.insien/tool\",\"args\":[\"pack\",\"/x/y\",\"tar.gz\"],"
                        "\"user\":\"root\"");
    assert_asked(stage, "\"stream\":true");
    rest_answer(stage, STARTED);
    send_output(stage, STREAM_STDOUT, "zzz");
    say_exit(stage, "\"exitCode\":0,\"reason\":\"exited\"");
    rest_wait_for(stage, "zzz");
    rest_wait_for(stage, "\r\n0\r\n\r\n");
    assert_received(stage, "Content-Type: application/gzip\r\n");
    assert_received(stage, "filename*=UTF-8''y.tar.gz\r\n");
}

static void an_archive_that_fails_is_an_error_or_is_cut(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "GET " ARCHIVE, "", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, STARTED);
    send_output(stage, STREAM_STDERR, "{\"error\":\"No.\",\"code\":\"file_not_found\"}\n");
    say_exit(stage, "\"exitCode\":1,\"reason\":\"exited\"");
    assert_int_equal(client_next(&stage->client, false).status, 404);
    rest_send(stage, "GET " ARCHIVE "&format=tar", "", VIEW(""));
    rest_wait_requests(stage, 2);
    rest_answer(stage, STARTED);
    send_output(stage, STREAM_STDOUT, "zzz");
    rest_wait_for(stage, "zzz");
    assert_received(stage, "Content-Type: application/x-tar\r\n");
    say_exit(stage, "\"exitCode\":1,\"reason\":\"exited\"");
    rest_wait_end(stage);
    assert_false(view_has(str_view(&stage->client.received), "\r\n0\r\n\r\n"));
}

static void finish_unpacking(struct rest_stage *stage)
{
    send_output(stage, STREAM_STDOUT, "{\"entries\":2,\"bytes\":5}\n");
    say_exit(stage, "\"exitCode\":0,\"reason\":\"exited\"");
}

static void answer_started(struct rest_stage *stage, struct view text)
{
    (void)text;
    rest_answer(stage, STARTED);
}

static void an_archive_is_unpacked(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_request = answer_started;
    stage->on_fin = finish_unpacking;
    struct reply reply = rest_ask(stage, "PUT " ARCHIVE, "", VIEW("archive"));
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "{\"path\":\"/x/y\",\"entries\":2,\"bytes\":5}");
    assert_view(str_view(&stage->taken), "archive");
    assert_asked(stage, "\"args\":[\"unpack\",\"/x/y\",\"auto\"]");
    assert_asked(stage, "\"stdinOpen\":true");
}

static void an_unsafe_archive_is_refused_before_its_end(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " ARCHIVE, "Content-Length: 100\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, STARTED);
    send_output(stage, STREAM_STDERR, "{\"error\":\"No.\",\"code\":\"archive_unsafe\"}\n");
    say_exit(stage, "\"exitCode\":1,\"reason\":\"exited\"");
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"archive_unsafe\""));
}

static void a_tool_that_is_left_alone_gets_its_end(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " ARCHIVE, "Content-Length: 100\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, STARTED);
    client_close(&stage->client);
    rest_wait_resets(stage, 1);
    assert_int_equal(stage->fins, 1);
}

static void serve_search(struct rest_stage *stage, struct view text)
{
    (void)text;
    rest_answer(stage, stage->step == 0
                           ? "\"type\":\"execResponse\",\"exitCode\":0,\"stdout\":"
                             "\"{\\\"path\\\":\\\"a\\\"}\\n{\\\"done\\\":true,"
                             "\\\"truncated\\\":false}\\n\",\"stderr\":\"\""
                           : "\"type\":\"execResponse\",\"exitCode\":1,\"stdout\":\"\","
                             "\"stderr\":\"{\\\"error\\\":\\\"No.\\\","
                             "\\\"code\\\":\\\"invalid_regex\\\"}\\n\"");
}

static void a_search_is_answered_as_a_list(void **state)
{
    struct rest_stage *stage = *state;
    static const char line[] = "POST " REST_SANDBOX "/search";
    stage->on_request = serve_search;
    struct reply reply = rest_ask(stage, line, JSON_TYPE,
                                  VIEW("{\"path\":\"-x\",\"text\":\"a\\\"b\",\"regex\":true}"));
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "{\"results\":[{\"path\":\"a\"}],\"truncated\":false}");
    assert_asked(stage, "\"args\":[\"search\",\"./-x\",\"{\\\"text\\\":\\\"a\\\\\\\"b\\\","
                        "\\\"regex\\\":true,\\\"maxResults\\\":1000}\"]");
    stage->step = 1;
    reply = rest_ask(stage, line, JSON_TYPE, VIEW("{\"path\":\"x\",\"text\":\"(\"}"));
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"invalid_regex\""));
    reply = rest_ask(stage, line, JSON_TYPE, VIEW("{\"path\":\"x\"}"));
    assert_int_equal(reply.status, 400);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rest_stage_open, rest_stage_close)
    const struct CMUnitTest tests[] = {
        TEST(output_comes_as_server_sent_events),
        TEST(output_comes_as_lines),
        TEST(a_terminal_has_one_kind_of_output),
        TEST(a_lost_agent_is_the_end_that_is_told),
        TEST(a_sandbox_that_ends_is_told),
        TEST(a_stream_that_breaks_is_no_end),
        TEST(a_program_that_is_not_there_is_an_error),
        TEST(a_client_that_leaves_only_detaches),
        TEST(a_revoked_key_ends_its_streams),
        TEST(a_key_that_expires_ends_its_streams),
        TEST(a_key_revoked_before_its_body_is_whole_begins_nothing),
        TEST(a_key_revoked_during_an_upload_is_refused),
        TEST(the_head_of_events_is_no_stream),
        TEST(repeats_are_known_by_their_key),
        TEST(what_is_asked_of_a_process_is_passed_on),
        TEST(kept_output_ends_where_it_ended),
        TEST(output_is_followed_from_the_last_event),
        TEST(output_of_no_process_is_404),
        TEST(a_slow_reader_holds_its_process),
        TEST(a_folder_is_answered_as_an_archive),
        TEST(an_archive_that_fails_is_an_error_or_is_cut),
        TEST(an_archive_is_unpacked),
        TEST(an_unsafe_archive_is_refused_before_its_end),
        TEST(a_tool_that_is_left_alone_gets_its_end),
        TEST(a_search_is_answered_as_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
