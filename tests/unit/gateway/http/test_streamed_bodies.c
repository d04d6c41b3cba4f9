/* Request bodies that the handler takes piece by piece. */
#include "common/base/clock.h"
#include "tests/unit/gateway/http/fixture.h"

#include <string.h>
#include <sys/socket.h>

enum {
    BODY_BYTES = 8 * 1024 * 1024,
    BODY_MAX = 2 * BODY_BYTES,
    COME_BYTES = 128 * 1024,     /* more than one read takes, and no more than a socket holds */
    HELD_BACK_MAX = 1024 * 1024, /* what kernel and server may hold of a paused body */
};

#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKED "POST /custom HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LENGTH(n) "POST /custom HTTP/1.1\r\nHost: a\r\nContent-Length: " n "\r\n\r\n"

/* What the handler does and what it saw. */
struct taker {
    struct scene scene;
    struct http_exchange *exchange; /* NULL: gone or answered */
    uint64_t max;
    bool pause_each;   /* in each piece */
    bool answer_first; /* at the first piece */
    bool begin_first;  /* an answer, at once */
    bool inside;       /* http_stream_body is on the stack */
    int pieces;
    int ends;
    int gone;
    int64_t length;
    struct str body;
};

static void answer(struct taker *taker)
{
    struct http_exchange *exchange = TAKE(taker->exchange);
    const struct http_response response = {.status = 200, .body = VIEW("taken")};
    http_respond(exchange, &response);
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct taker *taker = arg;
    assert_ptr_equal(exchange, taker->exchange);
    assert_false(taker->inside);
    assert_in_range(bytes.len, 1, HTTP_PIECE_MAX);
    assert_int_equal(taker->ends, 0);
    taker->pieces++;
    str_append_view(&taker->body, bytes);
    if (taker->answer_first) {
        answer(taker);
    } else if (taker->pause_each) {
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    struct taker *taker = arg;
    assert_ptr_equal(exchange, taker->exchange);
    assert_false(taker->inside);
    taker->ends++;
    if (taker->begin_first) {
        http_respond_end(TAKE(taker->exchange));
    } else {
        answer(taker);
    }
}

static void on_gone(void *arg)
{
    struct taker *taker = arg;
    taker->exchange = NULL;
    taker->gone++;
}

static void take(struct http_exchange *exchange, void *arg)
{
    static const struct http_body_events events = {on_piece, on_end};
    struct taker *taker = arg;
    taker->exchange = exchange;
    taker->ends = 0;
    taker->length = http_exchange_body_length(exchange);
    http_on_gone(exchange, on_gone, taker);
    taker->inside = true;
    http_stream_body(exchange, taker->max, &events, taker);
    if (taker->begin_first) {
        const struct http_response response = {.status = 200};
        http_respond_begin(exchange, &response, HTTP_LENGTH_UNKNOWN, NULL, NULL);
    }
    taker->inside = false;
}

static void open_taker(struct taker *taker, const struct http_limits *limits)
{
    *taker = (struct taker){.max = BODY_MAX, .body = STR_INIT(BODY_MAX)};
    scene_open(&taker->scene, limits);
    taker->scene.fixture.on_custom = take;
    taker->scene.fixture.custom_arg = taker;
}

static void close_taker(struct taker *taker)
{
    scene_close(&taker->scene);
    str_free(&taker->body);
}

static void resume_until_the_end(struct taker *taker)
{
    for (int i = 0; taker->exchange != NULL; i++) {
        assert_true(i < 1000);
        http_body_resume(taker->exchange);
        fixture_settle(&taker->scene.fixture);
    }
}

static void bodies_arrive_in_pieces_and_then_end(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        int64_t length;
        const char *body;
    } cases[] = {
        {"a length", VIEW(LENGTH("5") "abcde"), 5, "abcde"},
        {"no body", VIEW("GET /custom HTTP/1.1\r\nHost: a\r\n\r\n"), 0, ""},
        {"length 0", VIEW(LENGTH("0")), 0, ""},
        {"no chunk", VIEW(CHUNKED "0\r\n\r\n"), HTTP_LENGTH_UNKNOWN, ""},
        {"one chunk", VIEW(CHUNKED "3\r\nabc\r\n0\r\n\r\n"), HTTP_LENGTH_UNKNOWN, "abc"},
        {"chunks", VIEW(CHUNKED "1\r\na\r\n2;x=y\r\nbc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"),
         HTTP_LENGTH_UNKNOWN, "abcde"},
    };
    for (size_t i = 0; i < 4 * sizeof cases / sizeof cases[0]; i++) {
        struct taker taker;
        open_taker(&taker, &http_default_limits);
        taker.pause_each = i % 4 >= 2;
        if (i % 2 == 0) {
            client_send(&taker.scene.client, cases[i / 4].request);
        } else {
            client_trickle(&taker.scene.client, cases[i / 4].request);
        }
        resume_until_the_end(&taker);
        assert_view(client_next(&taker.scene.client, false).body, "taken");
        assert_int_equal(taker.length, cases[i / 4].length);
        assert_int_equal(taker.ends, 1);
        assert_int_equal(taker.gone, 0);
        assert_view(str_view(&taker.body), cases[i / 4].body);
        client_send(&taker.scene.client, VIEW(NONE));
        assert_view(client_next(&taker.scene.client, false).body, "none");
        close_taker(&taker);
    }
}

static void a_request_behind_a_streamed_body_is_answered(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    client_send(&taker.scene.client,
                VIEW(LENGTH("3") "abc" NONE CHUNKED "1\r\nd\r\n0\r\n\r\n" NONE));
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_view(client_next(&taker.scene.client, false).body, "none");
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_view(client_next(&taker.scene.client, false).body, "none");
    assert_view(str_view(&taker.body), "abcd");
    close_taker(&taker);
}

static void append_pattern(struct str *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        str_append_char(out, (char)(i * 31 + i / 251));
    }
}

static void a_large_body_arrives_whole(void **state)
{
    (void)state;
    struct taker taker;
    AUTO(str_free) struct str body = STR_INIT(BODY_BYTES);
    open_taker(&taker, &http_default_limits);
    append_pattern(&body, BODY_BYTES);
    client_send(&taker.scene.client, VIEW(LENGTH("8388608")));
    client_send(&taker.scene.client, str_view(&body));
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_true(view_equal(str_view(&body), str_view(&taker.body)));
    close_taker(&taker);
}

static void a_turn_of_the_loop_takes_all_that_has_come(void **state)
{
    (void)state;
    struct taker taker;
    AUTO(str_free) struct str body = STR_INIT(BODY_BYTES);
    open_taker(&taker, &http_default_limits);
    append_pattern(&body, COME_BYTES);
    client_send(&taker.scene.client, VIEW(LENGTH("8388608")));
    fixture_settle(&taker.scene.fixture);
    assert_int_equal(send(taker.scene.client.fd, body.data, body.len, MSG_DONTWAIT), body.len);
    (void)event_base_loop(loop_base(taker.scene.fixture.loop), EVLOOP_ONCE);
    assert_true(view_equal(str_view(&body), str_view(&taker.body)));
    close_taker(&taker);
}

static void a_large_chunked_body_arrives_whole(void **state)
{
    (void)state;
    struct taker taker;
    AUTO(str_free) struct str body = STR_INIT(BODY_BYTES);
    AUTO(str_free) struct str wire = STR_INIT(BODY_MAX);
    open_taker(&taker, &http_default_limits);
    append_pattern(&body, 1000000);
    for (size_t at = 0, len = 1; at < body.len; at += len, len = len * 7 % 70001 + 1) {
        len = len < body.len - at ? len : body.len - at;
        str_appendf(&wire, "%zx\r\n", len);
        str_append(&wire, body.data + at, len);
        str_append_string(&wire, "\r\n");
    }
    str_append_string(&wire, "0\r\n\r\n");
    client_send(&taker.scene.client, VIEW(CHUNKED));
    client_send(&taker.scene.client, str_view(&wire));
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_true(view_equal(str_view(&body), str_view(&taker.body)));
    close_taker(&taker);
}

/* Sends without waiting, until the kernel takes no more. */
static size_t push(struct taker *taker, struct view bytes)
{
    size_t pushed = 0;
    for (int idle = 0; idle < 4;) {
        ssize_t sent = send(taker->scene.client.fd, bytes.ptr + pushed, bytes.len - pushed,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = sent > 0 ? 0 : idle + 1;
        pushed += sent > 0 ? (size_t)sent : 0;
        fixture_settle(&taker->scene.fixture);
    }
    return pushed;
}

static void a_paused_body_holds_its_client_back(void **state)
{
    (void)state;
    struct taker taker;
    AUTO(str_free) struct str body = STR_INIT(BODY_BYTES);
    open_taker(&taker, &http_default_limits);
    append_pattern(&body, BODY_BYTES);
    taker.pause_each = true;
    client_send(&taker.scene.client, VIEW(LENGTH("8388608")));
    size_t pushed = push(&taker, str_view(&body));
    assert_int_equal(taker.pieces, 1);
    assert_true(pushed < HELD_BACK_MAX);
    taker.pause_each = false;
    http_body_resume(taker.exchange);
    assert_int_equal(taker.pieces, 1); /* never from inside */
    client_send(&taker.scene.client, view_from(str_view(&body), pushed));
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_true(view_equal(str_view(&body), str_view(&taker.body)));
    close_taker(&taker);
}

static void the_clock_of_a_paused_body_stands_still(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &fixture_short_limits);
    taker.pause_each = true;
    client_send(&taker.scene.client, VIEW(LENGTH("3") "a"));
    fixture_run(&taker.scene.fixture, 400);
    assert_non_null(taker.exchange);
    int64_t resumed_ms = clock_monotonic_ms();
    http_body_resume(taker.exchange);
    assert_int_equal(client_next(&taker.scene.client, false).status, 408);
    assert_true(clock_monotonic_ms() - resumed_ms >= fixture_short_limits.body_gap_ms / 2);
    assert_int_equal(taker.gone, 1);
    close_taker(&taker);
}

static void a_streamed_body_may_take_longer_than_a_whole_one(void **state)
{
    (void)state;
    struct taker taker;
    struct http_limits limits = fixture_short_limits;
    limits.body_gap_ms = 20000;
    open_taker(&taker, &limits);
    client_send(&taker.scene.client, VIEW(LENGTH("10")));
    int64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < 10; i++) {
        fixture_run(&taker.scene.fixture, 40);
        client_send(&taker.scene.client, VIEW("x"));
    }
    assert_true(clock_monotonic_ms() - begun_ms > limits.body_timeout_ms);
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    close_taker(&taker);
}

static void bad_bodies_are_refused_by_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        bool half_closes;
        int status;
    } cases[] = {
        {"length over the limit", VIEW(LENGTH("11")), false, 413},
        {"chunk over the limit", VIEW(CHUNKED "b\r\n"), false, 413},
        {"sum of chunks", VIEW(CHUNKED "a\r\n0123456789\r\n1\r\na"), false, 413},
        {"bad chunk", VIEW(CHUNKED "3\r\nabcd\r\n"), false, 400},
        {"bad size", VIEW(CHUNKED "x\r\n"), false, 400},
        {"ends early", VIEW(LENGTH("10") "abc"), true, 400},
        {"ends between chunks", VIEW(CHUNKED "3\r\nabc\r\n"), true, 400},
        {"comes no further", VIEW(LENGTH("10") "abc"), false, 408},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct taker taker;
        open_taker(&taker, &fixture_short_limits);
        taker.max = 10;
        client_send(&taker.scene.client, cases[i].request);
        if (cases[i].half_closes) {
            assert_int_equal(shutdown(taker.scene.client.fd, SHUT_WR), 0);
        }
        struct reply reply = client_next(&taker.scene.client, false);
        if (reply.status != cases[i].status || taker.gone != 1 || taker.ends != 0) {
            fail_msg("%s: %d", cases[i].name, reply.status);
        }
        client_wait_end(&taker.scene.client);
        close_taker(&taker);
    }
}

static void a_bad_body_behind_the_begin_of_an_answer_breaks_the_connection(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    taker.begin_first = true;
    client_send(&taker.scene.client, VIEW(CHUNKED "3\r\nabc\r\nx"));
    client_wait_end(&taker.scene.client);
    assert_int_equal(taker.gone, 1);
    assert_true(view_starts_with(str_view(&taker.scene.client.received), VIEW("HTTP/1.1 200 ")));
    assert_false(view_has(str_view(&taker.scene.client.received), " 400 "));
    close_taker(&taker);
}

static void a_half_closed_client_gets_its_answer(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    taker.pause_each = true;
    (void)send(taker.scene.client.fd, LENGTH("3") "abc", strlen(LENGTH("3") "abc"), MSG_NOSIGNAL);
    assert_int_equal(shutdown(taker.scene.client.fd, SHUT_WR), 0);
    fixture_settle(&taker.scene.fixture);
    assert_int_equal(taker.gone, 0);
    resume_until_the_end(&taker);
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    close_taker(&taker);
}

static void continue_is_sent_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    client_send(&taker.scene.client,
                VIEW("POST /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                     "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(client_next(&taker.scene.client, true).status, 100);
    client_send(&taker.scene.client, VIEW("abc"));
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    close_taker(&taker);
}

static void continue_is_not_sent_for_a_body_that_is_too_large(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    taker.max = 2;
    client_send(&taker.scene.client,
                VIEW("POST /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                     "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(client_next(&taker.scene.client, false).status, 413);
    close_taker(&taker);
}

static void an_answer_in_the_midst_ends_the_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        bool stays;
    } cases[] = {
        {"the rest is here", VIEW(LENGTH("3") "abc" NONE), true},
        {"the chunks are all here", VIEW(CHUNKED "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n" NONE), true},
        {"the rest never comes", VIEW(LENGTH("4000") "abc" NONE), false},
        {"the chunks go on", VIEW(CHUNKED "3\r\nabc\r\n40\r\n" NONE), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct taker taker;
        open_taker(&taker, &http_default_limits);
        taker.answer_first = true;
        client_send(&taker.scene.client, cases[i].request);
        assert_view(client_next(&taker.scene.client, false).body, "taken");
        assert_int_equal(taker.pieces, 1);
        assert_int_equal(taker.ends, 0);
        if (cases[i].stays) {
            assert_view(client_next(&taker.scene.client, false).body, "none");
        } else {
            client_wait_end(&taker.scene.client);
            assert_int_equal(taker.scene.client.read, taker.scene.client.received.len);
            assert_false(taker.scene.client.was_reset);
        }
        close_taker(&taker);
    }
}

static void an_answer_to_a_paused_body_drops_what_is_here(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    taker.pause_each = true;
    client_send(&taker.scene.client, VIEW(CHUNKED "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n" NONE));
    assert_int_equal(taker.pieces, 1);
    answer(&taker);
    assert_view(client_next(&taker.scene.client, false).body, "taken");
    assert_view(client_next(&taker.scene.client, false).body, "none");
    close_taker(&taker);
}

static void a_client_that_leaves_is_told_once(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    client_send(&taker.scene.client, VIEW(LENGTH("10") "abc"));
    client_close(&taker.scene.client);
    assert_int_equal(taker.gone, 1);
    fixture_close(&taker.scene.fixture);
    str_free(&taker.body);
}

static void a_server_that_ends_tells_the_handler(void **state)
{
    (void)state;
    struct taker taker;
    open_taker(&taker, &http_default_limits);
    taker.pause_each = true;
    client_send(&taker.scene.client, VIEW(LENGTH("10") "abc"));
    fixture_close(&taker.scene.fixture);
    assert_int_equal(taker.gone, 1);
    close_fd(&taker.scene.client.fd);
    str_free(&taker.scene.client.received);
    str_free(&taker.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_arrive_in_pieces_and_then_end),
        cmocka_unit_test(a_request_behind_a_streamed_body_is_answered),
        cmocka_unit_test(a_large_body_arrives_whole),
        cmocka_unit_test(a_turn_of_the_loop_takes_all_that_has_come),
        cmocka_unit_test(a_large_chunked_body_arrives_whole),
        cmocka_unit_test(a_paused_body_holds_its_client_back),
        cmocka_unit_test(the_clock_of_a_paused_body_stands_still),
        cmocka_unit_test(a_streamed_body_may_take_longer_than_a_whole_one),
        cmocka_unit_test(bad_bodies_are_refused_by_the_server),
        cmocka_unit_test(a_bad_body_behind_the_begin_of_an_answer_breaks_the_connection),
        cmocka_unit_test(a_half_closed_client_gets_its_answer),
        cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
        cmocka_unit_test(continue_is_not_sent_for_a_body_that_is_too_large),
        cmocka_unit_test(an_answer_in_the_midst_ends_the_pieces),
        cmocka_unit_test(an_answer_to_a_paused_body_drops_what_is_here),
        cmocka_unit_test(a_client_that_leaves_is_told_once),
        cmocka_unit_test(a_server_that_ends_tells_the_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
