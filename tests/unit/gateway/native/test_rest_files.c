/* Files over REST, with an agent of the test's own. */
#include "tests/unit/gateway/native/rest_stage.h"

#include "common/contracts/agent.h"
#include "gateway/cache/sandbox_cache.h"
#include "tests/support/turn.h"

#include <inttypes.h>
#include <stdio.h>

enum { BIG = 1024 * 1024, FORM_MAX = 2 * BIG, GIGABYTE = 1024 * 1024 * 1024 };

#define FILES REST_SANDBOX "/files?path=/x/a+b.txt"

/* downloadResponse of a file of that size. */
static void say_downloaded(struct rest_stage *stage, int64_t size, size_t offset, size_t length)
{
    char members[512];
    (void)snprintf(members, sizeof members,
                   "\"type\":\"downloadResponse\",\"streamId\":%u,\"path\":\"/x/a b.txt\","
                   "\"size\":%" PRId64 ",\"offset\":%zu,\"length\":%zu,"
                   "\"modifiedAt\":\"1994-11-06T08:49:37.000Z\",\"etag\":\"1-2-3\","
                   "\"mode\":\"0644\"",
                   stage->stream_id, size, offset, length);
    rest_answer(stage, members);
}

static struct view make_big(void)
{
    static char bytes[BIG];
    for (size_t i = 0; i < BIG; i++) {
        bytes[i] = (char)(i * 31 >> 3U);
    }
    return (struct view){bytes, BIG};
}

static void answer_upload(struct rest_stage *stage)
{
    rest_answer(stage, stage->step == 0
                           ? "\"type\":\"uploadResponse\",\"path\":\"/x/a b.txt\",\"size\":7"
                           : "\"type\":\"uploadResponse\",\"path\":\"/x/a b.txt\",\"size\":7,"
                             "\"created\":true");
}

static void a_body_becomes_a_file(void **state)
{
    struct rest_stage *stage = *state;
    struct view big = make_big();
    stage->on_fin = answer_upload;
    struct reply reply =
        rest_ask(stage, "PUT " FILES "&mode=0600&sync=true&parents=false&user=root", "", big);
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "{\"path\":\"/x/a b.txt\",\"size\":7}");
    assert_true(view_equal(str_view(&stage->taken), big));
    assert_asked(stage, "\"type\":\"upload\",\"path\":\"/x/a b.txt\",\"user\":\"root\","
                        "\"mode\":\"0600\",\"size\":1048576,\"sync\":true,\"parents\":false");
    assert_int_equal(stage->resets, 0);
}

static void a_new_file_is_said_to_be_created(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_fin = answer_upload;
    stage->step = 1;
    struct reply reply = rest_ask(stage, "PUT " FILES, "", VIEW("hello"));
    assert_int_equal(reply.status, 201);
}

static void a_file_may_be_empty_or_of_unknown_length(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_fin = answer_upload;
    assert_int_equal(rest_ask(stage, "PUT " FILES, "", VIEW("")).status, 200);
    assert_asked(stage, "\"size\":0");
    rest_send(stage, "PUT " FILES, "Transfer-Encoding: chunked\r\n", VIEW(""));
    client_send(&stage->client, VIEW("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
    assert_int_equal(client_next(&stage->client, false).status, 200);
    assert_int_equal(stage->fins, 2);
    assert_view(str_view(&stage->taken), "abcde");
}

static bool a_window_is_taken(void *arg)
{
    const struct rest_stage *stage = arg;
    return stage->taken.len >= STREAM_WINDOW_INITIAL;
}

static void a_body_waits_for_credit(void **state)
{
    struct rest_stage *stage = *state;
    struct view big = make_big();
    stage->grants = false;
    stage->on_fin = answer_upload;
    rest_send(stage, "PUT " FILES, "", big);
    turn_until_true(stage->http.loop, a_window_is_taken, stage);
    turn_for(stage->http.loop, 20);
    assert_int_equal(stage->taken.len, STREAM_WINDOW_INITIAL);
    assert_int_equal(stage->fins, 0);
    agent_send_window(&stage->agent, stage->stream_id, BIG);
    assert_int_equal(client_next(&stage->client, false).status, 200);
    assert_true(view_equal(str_view(&stage->taken), big));
}

static void fail_upload(struct rest_stage *stage, struct view text)
{
    (void)text;
    rest_answer(stage, "\"type\":\"error\",\"error\":\"The disk is full.\",\"code\":\"no_space\"");
}

static void an_upload_that_fails_is_answered_before_its_end(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_request = fail_upload;
    rest_send(stage, "PUT " FILES, "Content-Length: 100\r\n", VIEW(""));
    client_send(&stage->client, VIEW("abc"));
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 409);
    assert_true(view_has(reply.body, "\"code\":\"no_space\""));
}

static void a_client_that_leaves_takes_its_upload_back(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " FILES, "Content-Length: 100\r\n", VIEW(""));
    client_send(&stage->client, VIEW("abc"));
    rest_wait_requests(stage, 1);
    client_close(&stage->client);
    rest_wait_resets(stage, 1);
    assert_int_equal(stage->fins, 0);
}

static void an_upload_that_is_reset_is_answered(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " FILES, "Content-Length: 100\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    agent_send(&stage->agent, stage->stream_id, STREAM_RESET, VIEW("no_space"));
    assert_int_equal(client_next(&stage->client, false).status, 409);
}

static void a_lost_agent_is_told(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " FILES, "Content-Length: 100\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    agent_vanish(&stage->agent);
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 503);
    assert_true(view_has(reply.body, "\"code\":\"agent_lost\""));
}

static void wrong_parameters_are_refused(void **state)
{
    struct rest_stage *stage = *state;
    static const char *const lines[] = {
        "PUT " REST_SANDBOX "/files",
        "PUT " FILES "&mode=9",
        "PUT " FILES "&sync=perhaps",
        "GET " REST_SANDBOX "/files?path=",
        "GET " REST_SANDBOX "/entries",
        "GET " REST_SANDBOX "/entries?path=a&depth=33",
        "DELETE " REST_SANDBOX "/entries",
        "GET " REST_SANDBOX "/watch",
        "GET " REST_SANDBOX "/archive?path=a&format=zip",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reply reply = rest_ask(stage, lines[i], "", VIEW(""));
        if (reply.status != 400 || !view_has(reply.body, "\"details\":")) {
            fail_msg("%s: %d", lines[i], reply.status);
        }
    }
    assert_int_equal(stage->requests, 0);
}

static void an_ended_sandbox_has_no_files(void **state)
{
    struct rest_stage *stage = *state;
    stage->agent.sandbox_ended = true;
    sandbox_cache_forget(stage->agent.gateway.sandboxes, STAGE_SANDBOX_ID);
    struct reply reply = rest_ask(stage, "GET " FILES, "", VIEW(""));
    assert_int_equal(reply.status, 409);
    assert_true(view_has(reply.body, "\"code\":\"sandbox_ended\""));
}

/* Ten bytes, as far as the request asks for them. */
static void serve_ten(struct rest_stage *stage, struct view text)
{
    static const char digits[] = "0123456789";
    size_t offset = view_has(text, "\"offset\":4") ? 4 : 0;
    size_t length = view_has(text, "\"length\":0") ? 0 : offset == 4 ? 3 : 10;
    say_downloaded(stage, 10, offset, length);
    if (length > 0) {
        agent_send(&stage->agent, stage->stream_id, STREAM_DATA,
                   (struct view){digits + offset, length});
    }
    agent_send(&stage->agent, stage->stream_id, STREAM_FIN, VIEW(""));
}

static void a_file_is_answered_with_what_it_is(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_request = serve_ten;
    struct reply reply = rest_ask(stage, "GET " FILES, "", VIEW(""));
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "0123456789");
    assert_true(view_has(reply_header(&reply, "Content-Type"), "text/plain"));
    assert_true(view_has(reply_header(&reply, "ETag"), "\"1-2-3\""));
    assert_true(view_has(reply_header(&reply, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_true(view_has(reply_header(&reply, "Accept-Ranges"), "bytes"));
    assert_true(view_has(reply_header(&reply, "Content-Disposition"), "a%20b.txt"));
    assert_true(view_has(reply_header(&reply, "X-Content-Type-Options"), "nosniff"));
    assert_int_equal(stage->requests, 1);
}

static void conditions_and_ranges_hold(void **state)
{
    struct rest_stage *stage = *state;
    static const struct {
        const char *line;
        const char *headers;
        int status;
        const char *body;
        const char *part; /* of the head */
    } cases[] = {
        {"GET ", "Range: bytes=4-6\r\n", 206, "456", "Content-Range: bytes 4-6/10\r\n"},
        {"GET ", "Range: bytes=10-\r\n", 416, NULL, "Content-Range: bytes */10\r\n"},
        {"GET ", "Range: bytes=0-1,3-4\r\n", 200, "0123456789", "Content-Length: 10\r\n"},
        {"GET ", "Range: bytes=4-6\r\nIf-Range: \"1-2-3\"\r\n", 206, "456", "bytes 4-6/10"},
        {"GET ", "Range: bytes=4-6\r\nIf-Range: \"1-2-4\"\r\n", 200, "0123456789", "200 OK"},
        {"GET ", "If-None-Match: \"1-2-3\"\r\n", 304, "", "ETag: \"1-2-3\"\r\n"},
        {"GET ", "If-None-Match: \"other\"\r\n", 200, "0123456789", "200 OK"},
        {"GET ", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, "", "304 "},
        {"HEAD ", "", 200, "", "Content-Length: 10\r\n"},
        {"HEAD ", "Range: bytes=4-6\r\n", 200, "", "Content-Length: 10\r\n"},
    };
    stage->on_request = serve_ten;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[256];
        (void)snprintf(line, sizeof line, "%s" FILES, cases[i].line);
        struct reply reply = rest_ask(stage, line, cases[i].headers, VIEW(""));
        if (reply.status != cases[i].status || !view_has(reply.head, cases[i].part) ||
            (cases[i].body != NULL && !view_equal(reply.body, view_of(cases[i].body)))) {
            fail_msg("%s%s: %d %.*s", cases[i].line, cases[i].headers, reply.status,
                     (int)reply.head.len, reply.head.ptr);
        }
    }
}

static void a_missing_file_is_404(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "GET " FILES, "", VIEW(""));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"error\",\"error\":\"No.\",\"code\":\"file_not_found\"");
    assert_int_equal(client_next(&stage->client, false).status, 404);
}

static void a_file_that_changes_cuts_its_answer(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "GET " FILES, "", VIEW(""));
    rest_wait_requests(stage, 1);
    say_downloaded(stage, 10, 0, 10);
    agent_send(&stage->agent, stage->stream_id, STREAM_DATA, VIEW("012"));
    rest_wait_for(stage, "\r\n\r\n012");
    agent_send(&stage->agent, stage->stream_id, STREAM_RESET, VIEW("file_changed"));
    rest_wait_end(stage);
    assert_false(view_has(str_view(&stage->client.received), "0123"));
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

static void a_client_that_does_not_read_holds_the_agent(void **state)
{
    struct rest_stage *stage = *state;
    static const char piece[STREAM_PAYLOAD_MAX];
    struct held held = {.stage = stage};
    size_t sent = 0;
    rest_send(stage, "GET " FILES, "", VIEW(""));
    rest_wait_requests(stage, 1);
    say_downloaded(stage, GIGABYTE, 0, GIGABYTE);
    /* As much as is granted, until nothing is granted any more. */
    for (int quiet = 0; quiet < 20;) {
        if (sent + sizeof piece <= STREAM_WINDOW_INITIAL + stage->granted) {
            agent_send(&stage->agent, stage->stream_id, STREAM_DATA,
                       (struct view){piece, sizeof piece});
            sent += sizeof piece;
            quiet = 0;
        } else {
            quiet++;
        }
        turn_for(stage->http.loop, 2);
        assert_true(sent < 64 * (size_t)BIG);
    }
    assert_true(sent <= 16 * (size_t)BIG); /* what the kernel's buffers take, too */
    held.granted = stage->granted;
    turn_until_true(stage->http.loop, reading_grants, &held);
}

#define PART(name, data)                                                                           \
    "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" name "\"\r\n\r\n" data "\r\n"

static void serve_form(struct rest_stage *stage, struct view text)
{
    if (view_has(text, "/bad")) {
        rest_answer(stage, "\"type\":\"error\",\"error\":\"No.\",\"code\":\"is_a_directory\"");
    }
}

static void a_form_becomes_files(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_request = serve_form;
    stage->on_fin = answer_upload;
    struct reply reply = rest_ask(stage, "POST " REST_SANDBOX "/files?path=/x/&user=root",
                                  "Content-Type: multipart/form-data; boundary=B\r\n",
                                  VIEW(PART("a b.txt", "one") PART("bad", "two")
                                           PART("../c", "three") PART("d/e", "four") "--B--\r\n"));
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "{\"files\":[{\"path\":\"/x/a b.txt\",\"size\":7},"
                                     "{\"path\":\"/x/bad\",\"error\":\"No.\","
                                     "\"code\":\"is_a_directory\"},{\"path\":\"../c\","));
    assert_true(view_has(reply.body, "\"code\":\"invalid_path\"},{\"path\":\"/x/a b.txt\","
                                     "\"size\":7}],\"failed\":2}"));
    assert_asked(stage, "\"path\":\"/x/d/e\",\"user\":\"root\"");
    assert_int_equal(stage->requests, 3);
    assert_true(view_has(str_view(&stage->taken), "one"));
    assert_true(view_has(str_view(&stage->taken), "four"));
}

static void a_name_that_is_too_long_fails_alone(void **state)
{
    struct rest_stage *stage = *state;
    struct str body = STR_INIT(FORM_MAX);
    stage->on_fin = answer_upload;
    str_append_string(&body, "--B\r\nContent-Disposition: form-data; name=\"");
    for (int i = 0; i < PATH_BYTES_MAX; i++) {
        str_append_char(&body, 'n');
    }
    str_append_string(&body, "\"\r\n\r\nx\r\n" PART("a", "one") "--B--");
    struct reply reply =
        rest_ask(stage, "POST " REST_SANDBOX "/files?path=/x",
                 "Content-Type: multipart/form-data; boundary=B\r\n", str_view(&body));
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"code\":\"invalid_path\"},{\"path\":\"/x/a b.txt\","));
    assert_int_equal(stage->requests, 1);
    str_free(&body);
}

static void a_big_form_waits_for_credit(void **state)
{
    struct rest_stage *stage = *state;
    struct view big = make_big();
    struct str body = STR_INIT(FORM_MAX);
    stage->on_fin = answer_upload;
    str_append_string(&body, "--B\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n");
    str_append_view(&body, big);
    str_append_string(&body, "\r\n--B--\r\n");
    struct reply reply =
        rest_ask(stage, "POST " REST_SANDBOX "/files",
                 "Content-Type: multipart/form-data; boundary=B\r\n", str_view(&body));
    assert_int_equal(reply.status, 200);
    assert_asked(stage, "\"path\":\"f\"");
    assert_true(view_equal(str_view(&stage->taken), big));
    str_free(&body);
}

static void a_form_that_is_cut_is_refused(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_fin = answer_upload;
    struct reply reply = rest_ask(stage, "POST " REST_SANDBOX "/files?path=/x",
                                  "Content-Type: multipart/form-data; boundary=B\r\n",
                                  VIEW(PART("a", "one") "--B\r\nContent"));
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"malformed_form\""));
    reply = rest_ask(stage, "POST " REST_SANDBOX "/files?path=/x",
                     "Content-Type: application/json\r\n", VIEW("{}"));
    assert_int_equal(reply.status, 415);
}

/* The path and query of the URL in an answer. */
static void read_url(const struct reply *reply, char *out, size_t size)
{
    const char *start = memmem(reply->body.ptr, reply->body.len, "/files/", 7);
    assert_non_null(start);
    const char *end = memchr(start, '"', reply->body.len - (size_t)(start - reply->body.ptr));
    assert_non_null(end);
    assert_true(view_copy((struct view){start, (size_t)(end - start)}, out, size));
}

static void ask_without_key(struct rest_stage *stage, const char *method, const char *target,
                            int status)
{
    char text[1024];
    rest_send(stage, "OPTIONS *", "", VIEW("")); /* only for the connection */
    (void)client_next(&stage->client, false);
    (void)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                   method, target);
    client_send(&stage->client, view_of(text));
    struct reply reply = client_next(&stage->client, false);
    if (reply.status != status) {
        fail_msg("%s %s: %d", method, target, reply.status);
    }
}

static void a_signed_url_needs_no_key(void **state)
{
    struct rest_stage *stage = *state;
    char url[512];
    stage->on_request = serve_ten;
    struct reply reply =
        rest_ask(stage, "POST " REST_SANDBOX "/files/url", "Content-Type: application/json\r\n",
                 VIEW("{\"path\":\"/x/a b.txt\",\"op\":\"download\",\"ttlS\":60}"));
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"expiresAt\":\"20"));
    assert_true(view_has(reply_header(&reply, "Cache-Control"), "no-store"));
    read_url(&reply, url, sizeof url);
    ask_without_key(stage, "GET", url, 200);
    ask_without_key(stage, "PUT", url, 403);
    url[strlen(url) - 3] ^= 1;
    ask_without_key(stage, "GET", url, 403);
    ask_without_key(stage, "GET", "/files/" STAGE_SANDBOX_ID, 403);
    ask_without_key(stage, "DELETE", url, 405);
}

static void a_signed_url_uploads(void **state)
{
    struct rest_stage *stage = *state;
    char url[512];
    stage->on_fin = answer_upload;
    struct reply reply =
        rest_ask(stage, "POST " REST_SANDBOX "/files/url", "Content-Type: application/json\r\n",
                 VIEW("{\"path\":\"/x\",\"op\":\"upload\",\"user\":\"root\"}"));
    read_url(&reply, url, sizeof url);
    ask_without_key(stage, "PUT", url, 200);
    assert_asked(stage, "\"path\":\"/x\",\"user\":\"root\"");
    ask_without_key(stage, "GET", url, 403);
}

static void a_signed_url_ends_with_its_sandbox(void **state)
{
    struct rest_stage *stage = *state;
    char url[512];
    struct reply reply =
        rest_ask(stage, "POST " REST_SANDBOX "/files/url", "Content-Type: application/json\r\n",
                 VIEW("{\"path\":\"/x\",\"op\":\"upload\"}"));
    read_url(&reply, url, sizeof url);
    stage->agent.sandbox_ended = true;
    sandbox_cache_forget(stage->agent.gateway.sandboxes, STAGE_SANDBOX_ID);
    ask_without_key(stage, "PUT", url, 409);
}

static void answer_path(struct rest_stage *stage, struct view text)
{
    (void)text;
    rest_answer(stage, "\"type\":\"anyResponse\",\"path\":\"/x\",\"entries\":[]");
}

static void entries_are_the_agents_business(void **state)
{
    struct rest_stage *stage = *state;
    static const struct {
        const char *line;
        const char *body; /* NULL: none */
        int status;
        const char *asked;
    } cases[] = {
        {"GET " REST_SANDBOX "/entries?path=/x&depth=3&limit=9", NULL, 200,
         "\"type\":\"list\",\"path\":\"/x\",\"depth\":3,\"limit\":9"},
        {"DELETE " REST_SANDBOX "/entries?path=/x&recursive=true", NULL, 200,
         "\"type\":\"remove\",\"path\":\"/x\",\"recursive\":true"},
        {"POST " REST_SANDBOX "/entries", "{\"op\":\"mkdir\",\"path\":\"/x\",\"mode\":\"0700\"}",
         200, "\"type\":\"mkdir\",\"path\":\"/x\",\"parents\":true,\"mode\":\"0700\""},
        {"POST " REST_SANDBOX "/entries", "{\"op\":\"rename\",\"path\":\"/x\",\"to\":\"/y\"}", 200,
         "\"type\":\"rename\",\"path\":\"/x\",\"to\":\"/y\",\"overwrite\":false"},
        {"POST " REST_SANDBOX "/entries",
         "{\"op\":\"copy\",\"path\":\"/x\",\"to\":\"/y\",\"recursive\":true,\"user\":\"root\"}",
         200, "\"type\":\"copy\",\"path\":\"/x\",\"user\":\"root\",\"to\":\"/y\""},
        {"POST " REST_SANDBOX "/entries", "{\"op\":\"rename\",\"path\":\"/x\"}", 400, NULL},
        {"POST " REST_SANDBOX "/entries", "{\"op\":\"chown\",\"path\":\"/x\"}", 400, NULL},
        {"POST " REST_SANDBOX "/entries", "{\"op\":\"mkdir\",\"path\":\"/x\",\"mode\":\"8\"}", 400,
         NULL},
    };
    stage->on_request = answer_path;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool has_body = cases[i].body != NULL;
        str_clear(&stage->asked);
        struct reply reply =
            rest_ask(stage, cases[i].line, has_body ? "Content-Type: application/json\r\n" : "",
                     view_of(has_body ? cases[i].body : ""));
        if (reply.status != cases[i].status) {
            fail_msg("%s: %d", cases[i].line, reply.status);
        }
        if (cases[i].asked != NULL) {
            assert_asked(stage, cases[i].asked);
            assert_view(reply.body, "{\"path\":\"/x\",\"entries\":[]}");
        }
    }
}

/* That nobody is there shows when something is sent. */
static bool leaving_shows_in_telling(void *arg)
{
    struct rest_stage *stage = arg;
    if (stage->resets == 0) {
        agent_say(&stage->agent,
                  "{\"type\":\"watchEvent\",\"streamId\":%u,\"event\":\"modify\",\"path\":\"/\"}",
                  stage->stream_id);
    }
    return stage->resets > 0;
}

static void what_changes_is_told(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "GET " REST_SANDBOX "/watch?path=/x&recursive=false",
              "Accept: text/event-stream\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    assert_asked(stage, "\"type\":\"watch\",\"path\":\"/x\",\"recursive\":false");
    rest_answer(stage, "\"type\":\"watchResponse\",\"path\":\"/x\"");
    rest_wait_for(stage, "event: watching\ndata: {\"type\":\"watching\",\"path\":\"/x\"}\n\n");
    agent_say(&stage->agent,
              "{\"type\":\"watchEvent\",\"streamId\":%u,\"event\":\"move\",\"path\":\"/x/b\","
              "\"from\":\"/x/a\\n\"}",
              stage->stream_id);
    rest_wait_for(stage, "event: move\ndata: {\"type\":\"move\",\"path\":\"/x/b\","
                         "\"from\":\"/x/a\\n\"}\n\n");
    client_close(&stage->client);
    turn_until_true(stage->http.loop, leaving_shows_in_telling, stage);
    assert_int_equal(stage->resets, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rest_stage_open, rest_stage_close)
    const struct CMUnitTest tests[] = {
        TEST(a_body_becomes_a_file),
        TEST(a_new_file_is_said_to_be_created),
        TEST(a_file_may_be_empty_or_of_unknown_length),
        TEST(a_body_waits_for_credit),
        TEST(an_upload_that_fails_is_answered_before_its_end),
        TEST(a_client_that_leaves_takes_its_upload_back),
        TEST(an_upload_that_is_reset_is_answered),
        TEST(a_lost_agent_is_told),
        TEST(wrong_parameters_are_refused),
        TEST(an_ended_sandbox_has_no_files),
        TEST(a_file_is_answered_with_what_it_is),
        TEST(conditions_and_ranges_hold),
        TEST(a_missing_file_is_404),
        TEST(a_file_that_changes_cuts_its_answer),
        TEST(a_client_that_does_not_read_holds_the_agent),
        TEST(a_form_becomes_files),
        TEST(a_name_that_is_too_long_fails_alone),
        TEST(a_big_form_waits_for_credit),
        TEST(a_form_that_is_cut_is_refused),
        TEST(a_signed_url_needs_no_key),
        TEST(a_signed_url_uploads),
        TEST(a_signed_url_ends_with_its_sandbox),
        TEST(entries_are_the_agents_business),
        TEST(what_changes_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
