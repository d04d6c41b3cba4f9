/* What the server makes of request bodies. Each case of the tables is sent whole and byte by byte.
 */
#include "gateway/http/body.h"
#include "tests/unit/gateway/http/fixture.h"

#include <string.h>

enum { BULK_BYTES = 10 * 1024 * 1024 };

struct chunk_case {
    const char *name;
    struct view body;
    int status;
    const char *answer; /* the answer's body is or holds it */
};

#define CHUNKED "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"

static void check_chunks(const struct chunk_case *c, bool by_byte)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, &http_default_limits);
    client_open(&client, &fixture);
    if (by_byte) {
        client_trickle(&client, VIEW(CHUNKED));
        client_trickle(&client, c->body);
    } else {
        AUTO(str_free) struct str whole = STR_INIT(SCRATCH_MAX);
        str_append_view(&whole, VIEW(CHUNKED));
        str_append_view(&whole, c->body);
        client_send(&client, str_view(&whole));
    }
    struct reply reply = client_next(&client, false);
    if (reply.status != c->status || !view_has(reply.body, c->answer)) {
        fail_msg("%s (%s): %d %.*s", c->name, by_byte ? "by byte" : "whole", reply.status,
                 (int)reply.body.len, reply.body.ptr);
    }
    assert_int_equal(fixture.gone, reply.status == 200 ? 0 : 1);
    if (reply.status == 200) {
        client_send(&client, VIEW(NONE));
        reply = client_next(&client, false);
        assert_view(reply.body, "none");
    } else {
        client_wait_end(&client);
        assert_int_equal(fixture.requests, 1);
    }
    client_close(&client);
    fixture_close(&fixture);
}

static void chunked_bodies_are_checked(void **state)
{
    (void)state;
#define DATA(text) "3\r\n" text "\r\n0\r\n\r\n"
    static const struct chunk_case cases[] = {
        {"one chunk", VIEW(DATA("abc")), 200, "abc"},
        {"two chunks", VIEW("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), 200, "abc"},
        {"hex in both cases", VIEW("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), 200,
         "01234567890123456789"},
        {"zeros before the size", VIEW("0000000000000003\r\nabc\r\n00\r\n\r\n"), 200, "abc"},
        {"17 digits", VIEW("00000000000000003\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"no digit", VIEW("\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"plus", VIEW("+3\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"minus", VIEW("-3\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"0x", VIEW("0x3\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"blank before", VIEW(" 3\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"blank behind", VIEW("3 \r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"blank before an extension", VIEW("3 ;a=b\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"wraps at 32 bits", VIEW("100000003\r\nabc\r\n0\r\n\r\n"), 413, "payload_too_large"},
        {"largest of 64 bits", VIEW("ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), 413,
         "payload_too_large"},
        {"over the limit", VIEW("41\r\n"), 413, "payload_too_large"},
        {"sum over the limit", VIEW("1\r\na\r\n40\r\n"), 413, "payload_too_large"},
        {"extension", VIEW("3;a=b;c=\"d;e\"\r\nabc\r\n0;f\r\n\r\n"), 200, "abc"},
        {"bare LF in an extension", VIEW("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"bare LF in a quoted extension", VIEW("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"bare CR in an extension", VIEW("3;a\rb\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"NUL in an extension", VIEW("3;a=\0\r\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"size line ended by a bare LF", VIEW("3\nabc\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"data longer than said", VIEW("3\r\nabcd\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"data shorter than said", VIEW("3\r\nab\r\n0\r\n\r\n"), 400, "bad_chunk"},
        {"data ended by a bare LF", VIEW("3\r\nabc\n0\r\n\r\n"), 400, "bad_chunk"},
        {"last chunk ended by a bare LF", VIEW("3\r\nabc\r\n0\n\r\n"), 400, "bad_chunk"},
        {"end ended by a bare CR", VIEW("3\r\nabc\r\n0\r\n\rx"), 400, "bad_chunk"},
        {"trailer", VIEW("3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n"), 200, "abc"},
        {"trailer without colon", VIEW("3\r\nabc\r\n0\r\nX\r\n\r\n"), 400, "bad_header"},
        {"trailer with a space", VIEW("3\r\nabc\r\n0\r\nX : y\r\n\r\n"), 400, "bad_header"},
        {"trailer folded", VIEW("3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"), 400, "bad_header"},
        {"trailer with NUL", VIEW("3\r\nabc\r\n0\r\nX: \0\r\n\r\n"), 400, "bad_header"},
        {"trailer ended by a bare LF", VIEW("3\r\nabc\r\n0\r\nX: y\n\r\n"), 400, "bad_header"},
        {"trailer of an empty name", VIEW("3\r\nabc\r\n0\r\n: y\r\n\r\n"), 400, "bad_header"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_chunks(&cases[i], false);
        check_chunks(&cases[i], true);
    }
}

static void append_filler(struct str *out, size_t len)
{
    char *end = str_reserve(out, len);
    assert_non_null(end);
    memset(end, 'a', len);
    str_advance(out, len);
}

static void chunk_extensions_and_trailers_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *before;
        size_t filler;
        size_t times;
        const char *after;
        int status;
        const char *answer;
    } cases[] = {
        {"extension of 256 bytes", "1;", 256, 1, "\r\na\r\n", 200, "a"},
        {"extension of 257 bytes", "1;", 257, 1, "\r\na\r\n", 400, "bad_chunk"},
        {"extensions of 4 KiB", "1;", 256, 16, "\r\na\r\n", 200, "a"},
        {"extensions over 4 KiB", "1;", 241, 17, "\r\na\r\n", 400, "bad_chunk"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str body = STR_INIT(SCRATCH_MAX);
        for (size_t n = 0; n < cases[i].times; n++) {
            str_append_string(&body, cases[i].before);
            append_filler(&body, cases[i].filler);
            str_append_string(&body, cases[i].after);
        }
        str_append_string(&body, "0\r\n\r\n");
        const struct chunk_case c = {cases[i].name, str_view(&body), cases[i].status,
                                     cases[i].answer};
        check_chunks(&c, false);
        check_chunks(&c, true);
    }
}

static void trailers_count_as_headers(void **state)
{
    (void)state;
    /* The head has two header lines of 39 bytes together. */
    static const struct {
        const char *name;
        size_t lines, line_len; /* without the CR LF */
        int status;
    } cases[] = {
        {"98 trailers", 98, 3, 200},
        {"99 trailers", 99, 3, 431},
        {"16 KiB in all", 2, 8100, 200},
        {"over 16 KiB in all", 2, 8175, 431},
        {"line over 8 KiB", 1, HTTP_LINE_MAX + 1, 431},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str body = STR_INIT(SCRATCH_MAX);
        str_append_string(&body, "1\r\na\r\n0\r\n");
        for (size_t n = 0; n < cases[i].lines; n++) {
            str_append_string(&body, "X:");
            append_filler(&body, cases[i].line_len - 2);
            str_append_string(&body, "\r\n");
        }
        str_append_string(&body, "\r\n");
        const struct chunk_case c = {cases[i].name, str_view(&body), cases[i].status,
                                     cases[i].status == 200 ? "a" : "headers_too_large"};
        check_chunks(&c, false);
        check_chunks(&c, true);
    }
}

static void a_length_over_the_limit_is_refused_without_reading(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n"));
    assert_int_equal(client_next(&scene.client, false).status, 413);
    assert_int_equal(scene.fixture.gone, 1);
    client_wait_end(&scene.client);
    scene_close(&scene);
}

static void a_large_body_arrives_whole(void **state)
{
    (void)state;
    struct scene scene;
    AUTO(str_free) struct str body = STR_INIT(BULK_BYTES);
    scene_open(&scene, &http_default_limits);
    append_filler(&body, BULK_BYTES);
    client_send(&scene.client,
                VIEW("POST /bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n"));
    client_send(&scene.client, str_view(&body));
    assert_view(client_next(&scene.client, false).body, "10485760");
    scene_close(&scene);
}

static void a_large_chunked_body_arrives_whole(void **state)
{
    (void)state;
    struct scene scene;
    AUTO(str_free) struct str body = STR_INIT(BULK_BYTES);
    scene_open(&scene, &http_default_limits);
    for (int i = 0; i < 16; i++) {
        str_append_string(&body, "10000\r\n");
        append_filler(&body, 65536);
        str_append_string(&body, "\r\n");
    }
    str_append_string(&body, "0\r\n\r\n");
    client_send(&scene.client,
                VIEW("POST /bulk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    client_send(&scene.client, str_view(&body));
    assert_view(client_next(&scene.client, false).body, "1048576");
    scene_close(&scene);
}

static void a_body_on_get_never_becomes_a_request(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        int answers; /* before the connection ends; the last request is NONE */
    } cases[] = {
        {"GET, in one piece",
         VIEW("GET /none HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" NONE NONE), 2},
        {"DELETE, in one piece",
         VIEW("DELETE /none HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" NONE NONE), 2},
        {"body comes later",
         VIEW("GET /none HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n" NONE), 1},
        {"chunked",
         VIEW("GET /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" NONE), 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        scene_open(&scene, &http_default_limits);
        client_send(&scene.client, cases[i].request);
        for (int n = 0; n < cases[i].answers; n++) {
            assert_int_equal(client_next(&scene.client, false).status, 200);
        }
        fixture_settle(&scene.fixture);
        assert_int_equal(scene.fixture.requests, cases[i].answers);
        scene_close(&scene);
    }
}

static void a_get_body_that_is_wanted_is_read(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" NONE));
    assert_view(client_next(&scene.client, false).body, "abc");
    assert_view(client_next(&scene.client, false).body, "none");
    scene_close(&scene);
}

static void continue_is_sent_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                                    "Expect: 100-Continue\r\n\r\n"));
    assert_int_equal(client_next(&scene.client, true).status, 100);
    client_send(&scene.client, VIEW("abc"));
    assert_view(client_next(&scene.client, false).body, "abc");
    scene_close(&scene);
}

static void continue_is_not_sent_when_the_body_is_not_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        int status;
    } cases[] = {
        {"too large",
         VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\nExpect: "
              "100-continue\r\n\r\n"),
         413},
        {"not read",
         VIEW(
             "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
         200},
        {"not understood",
         VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 101\r\n\r\n"), 417},
        {"already here",
         VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: "
              "100-continue\r\n\r\na"),
         200},
        {"asked by 1.0",
         VIEW("POST /none HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"), 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        scene_open(&scene, &http_default_limits);
        client_send(&scene.client, cases[i].request);
        assert_int_equal(client_next(&scene.client, false).status, cases[i].status);
        scene_close(&scene);
    }
}

static void an_answer_before_the_body_waits_for_the_client_to_see_it(void **state)
{
    (void)state;
    struct scene scene;
    AUTO(str_free) struct str body = STR_INIT(BULK_BYTES);
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
    struct reply reply = client_next(&scene.client, false);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Connection"), "close");
    /* Up to 64 KiB are taken off the client's hands. */
    append_filler(&body, 60000);
    client_send(&scene.client, str_view(&body));
    client_wait_end(&scene.client);
    assert_false(scene.client.was_reset);
    scene_close(&scene);
}

static void an_endless_body_is_not_drained_for_ever(void **state)
{
    (void)state;
    struct scene scene;
    AUTO(str_free) struct str body = STR_INIT(BULK_BYTES);
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
    append_filler(&body, 1000000);
    client_send(&scene.client, str_view(&body));
    assert_true(scene.client.ended);
    scene_close(&scene);
}

static void a_body_with_gaps_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_send(&scene.client,
                VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"));
    assert_int_equal(client_next(&scene.client, false).status, 408);
    assert_int_equal(scene.fixture.gone, 1);
    client_wait_end(&scene.client);
    scene_close(&scene);
}

static void a_body_below_the_lowest_rate_is_too_slow(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t now_ms, last_ms;
        uint64_t received;
        bool too_slow;
    } cases[] = {
        {"little, in its first seconds", 4900, 4800, 10, false},
        {"little, after them", 5000, 4900, 5119, true},
        {"just enough", 5000, 4900, 5120, false},
        {"a gap", 10000, 0, 1000000, true},
        {"nearly a gap", 9999, 0, 1000000, false},
        {"too long in all", 60000, 59999, 100000000, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct body body = {.last_ms = cases[i].last_ms, .received = cases[i].received};
        assert_int_equal(body_is_too_slow(&body, &http_default_limits, cases[i].now_ms),
                         cases[i].too_slow);
    }
}

static void a_body_cut_short_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"));
    assert_int_equal(shutdown(scene.client.fd, SHUT_WR), 0);
    assert_int_equal(client_next(&scene.client, false).status, 400);
    assert_int_equal(scene.fixture.gone, 1);
    scene_close(&scene);
}

static void a_client_that_leaves_in_its_body_is_told_to_the_handler(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"));
    close_fd(&scene.client.fd);
    scene.client.fd = -1;
    fixture_settle(&scene.fixture);
    assert_int_equal(scene.fixture.gone, 1);
    scene_close(&scene);
}

static void a_client_that_leaves_in_a_body_without_on_gone_leaks_nothing(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"));
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunked_bodies_are_checked),
        cmocka_unit_test(chunk_extensions_and_trailers_are_limited),
        cmocka_unit_test(trailers_count_as_headers),
        cmocka_unit_test(a_length_over_the_limit_is_refused_without_reading),
        cmocka_unit_test(a_large_body_arrives_whole),
        cmocka_unit_test(a_large_chunked_body_arrives_whole),
        cmocka_unit_test(a_body_on_get_never_becomes_a_request),
        cmocka_unit_test(a_get_body_that_is_wanted_is_read),
        cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
        cmocka_unit_test(continue_is_not_sent_when_the_body_is_not_wanted),
        cmocka_unit_test(an_answer_before_the_body_waits_for_the_client_to_see_it),
        cmocka_unit_test(an_endless_body_is_not_drained_for_ever),
        cmocka_unit_test(a_body_with_gaps_is_refused),
        cmocka_unit_test(a_body_below_the_lowest_rate_is_too_slow),
        cmocka_unit_test(a_body_cut_short_is_refused),
        cmocka_unit_test(a_client_that_leaves_in_its_body_is_told_to_the_handler),
        cmocka_unit_test(a_client_that_leaves_in_a_body_without_on_gone_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
