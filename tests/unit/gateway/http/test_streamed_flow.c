/* Answers whose body is sent piece by piece: readers that are slow or leave, and back pressure. */
#include "common/base/clock.h"
#include "tests/unit/gateway/http/giver.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_BYTES = 8 * 1024 * 1024 };

static void run_out(struct giver *giver)
{
    for (int i = 0; i < 20000 && giver->exchange != NULL; i++) {
        fixture_settle(&giver->scene.fixture);
        client_receive(&giver->scene.client);
    }
    assert_null(giver->exchange);
}

static void a_slow_reader_holds_the_source_back(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver.length = ANSWER_BYTES;
    giver.left = ANSWER_BYTES;
    giver.sent_it = true;
    (void)send(giver.scene.client.fd, GET_CUSTOM, strlen(GET_CUSTOM), MSG_NOSIGNAL);
    fixture_settle(&giver.scene.fixture);
    giver_fill(&giver);
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.drained, 0);
    assert_true(http_stream_backlog(giver.exchange) > HTTP_BACKLOG_MAX);
    assert_true(http_stream_backlog(giver.exchange) <= HTTP_BACKLOG_MAX + GIVER_PIECE_BYTES);
    run_out(&giver);
    assert_true(giver.drained > 4);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_int_equal(reply.body.len, ANSWER_BYTES);
    for (size_t i = 0; i < ANSWER_BYTES; i += GIVER_PIECE_BYTES) {
        assert_int_equal(reply.body.ptr[i], 'a' + (ANSWER_BYTES - i) / GIVER_PIECE_BYTES % 26);
    }
    client_send(&giver.scene.client, VIEW(GET_NONE));
    assert_view(client_next(&giver.scene.client, false).body, "none");
    giver_close(&giver);
}

static void an_end_behind_a_backlog_waits_for_it(void **state)
{
    (void)state;
    struct giver giver;
    struct http_limits limits = fixture_short_limits;
    limits.stream_stall_ms = 20000;
    giver_open(&giver, &limits);
    giver.length = HTTP_BACKLOG_MAX;
    (void)send(giver.scene.client.fd, GET_CUSTOM GET_NONE, strlen(GET_CUSTOM GET_NONE),
               MSG_NOSIGNAL);
    fixture_settle(&giver.scene.fixture);
    giver.left = HTTP_BACKLOG_MAX;
    giver_fill(&giver);
    http_respond_end(TAKE(giver.exchange));
    fixture_run(&giver.scene.fixture, 150); /* longer than the stall of ordinary answers */
    assert_int_equal(client_next(&giver.scene.client, false).body.len, HTTP_BACKLOG_MAX);
    assert_view(client_next(&giver.scene.client, false).body, "none");
    assert_int_equal(giver.drained, 0);
    giver_close(&giver);
}

static void a_client_that_does_not_read_is_given_up_late(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &fixture_short_limits);
    giver_connect_tcp(&giver);
    (void)send(giver.scene.client.fd, GET_CUSTOM, strlen(GET_CUSTOM), MSG_NOSIGNAL);
    while (giver.exchange == NULL) {
        fixture_run(&giver.scene.fixture, 1);
    }
    giver.left = ANSWER_BYTES;
    int64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < 50 && http_stream_backlog(giver.exchange) <= HTTP_BACKLOG_MAX; i++) {
        giver_fill(&giver);
        fixture_settle(&giver.scene.fixture);
        giver.left = ANSWER_BYTES;
    }
    while (giver.gone == 0) {
        fixture_run(&giver.scene.fixture, 10);
    }
    assert_true(clock_monotonic_ms() - begun_ms >= 2 * fixture_short_limits.write_stall_ms);
    client_wait_end(&giver.scene.client);
    giver_close(&giver);
}

/* The server's end of the client's TCP connection, among this process's descriptors. */
static int server_end_of(const struct client *client)
{
    struct sockaddr_in wanted = {0};
    struct sockaddr_in found = {0};
    socklen_t len = sizeof wanted;
    assert_int_equal(getsockname(client->fd, (struct sockaddr *)&wanted, &len), 0);
    for (int fd = 3; fd < 256; fd++) {
        len = sizeof found;
        if (getpeername(fd, (struct sockaddr *)&found, &len) == 0 && len == sizeof found &&
            found.sin_family == AF_INET && found.sin_port == wanted.sin_port) {
            return fd;
        }
    }
    fail_msg("no descriptor");
    return -1;
}

static unsigned patience_of(int fd)
{
    unsigned timeout_ms = 0;
    socklen_t len = sizeof timeout_ms;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &len), 0);
    return timeout_ms;
}

static void tcp_is_as_patient_as_the_stream_while_it_lasts(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver_connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    int fd = server_end_of(&giver.scene.client);
    assert_int_equal(patience_of(fd), 10 * 60 * 1000);
    giver_end(&giver);
    assert_int_equal(patience_of(fd), 60 * 1000);
    giver_close(&giver);
}

static void note_drained(void *arg)
{
    bool *drained = arg;
    *drained = true;
}

static void a_draining_server_lets_the_answer_end(void **state)
{
    (void)state;
    struct giver giver;
    bool drained = false;
    giver_open(&giver, &http_default_limits);
    giver_connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM GET_NONE));
    http_server_drain(giver.scene.fixture.server, note_drained, &drained);
    fixture_settle(&giver.scene.fixture);
    assert_false(drained);
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    client_wait_end(&giver.scene.client);
    assert_true(view_has(str_view(&giver.scene.client.received), "3\r\nabc\r\n0\r\n\r\n"));
    assert_false(giver.scene.client.was_reset);
    assert_int_equal(giver.scene.fixture.requests, 1);
    client_close(&giver.scene.client);
    assert_true(drained);
    giver_close(&giver);
}

static void an_answer_with_nothing_to_say_waits(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &fixture_short_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    fixture_run(&giver.scene.fixture, 800);
    assert_int_equal(giver.gone, 0);
    assert_true(giver_send(&giver, "late"));
    giver_end(&giver);
    assert_true(view_has(str_view(&giver.scene.client.received), "late"));
    giver_close(&giver);
}

static void a_client_that_leaves_is_told_once_and_later(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    close_fd(&giver.scene.client.fd);
    giver.inside = true;
    for (int i = 0; i < 4; i++) {
        assert_true(giver_send(&giver, "for nobody"));
    }
    giver.inside = false;
    assert_int_equal(giver.gone, 0);
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.gone, 1);
    giver_close(&giver);
}

static void an_answer_ends_between_the_break_and_its_news(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    close_fd(&giver.scene.client.fd);
    assert_true(giver_send(&giver, "for nobody"));
    http_respond_end(TAKE(giver.exchange));
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.gone, 0);
    giver_close(&giver);
}

static void a_handler_that_does_not_listen_may_go_on(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    http_on_gone(giver.exchange, NULL, NULL);
    client_close(&giver.scene.client);
    assert_true(giver_send(&giver, "for nobody"));
    assert_int_equal(http_stream_backlog(giver.exchange), 0);
    http_respond_end(TAKE(giver.exchange));
    fixture_close(&giver.scene.fixture);
}

static void a_half_closed_client_gets_the_whole_answer(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    assert_int_equal(shutdown(giver.scene.client.fd, SHUT_WR), 0);
    fixture_settle(&giver.scene.fixture);
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    assert_true(view_has(str_view(&giver.scene.client.received), "3\r\nabc\r\n0\r\n\r\n"));
    client_wait_end(&giver.scene.client);
    assert_int_equal(giver.gone, 0);
    giver_close(&giver);
}

static void a_server_that_ends_tells_the_handler(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    assert_true(giver_send(&giver, "abc"));
    fixture_close(&giver.scene.fixture);
    assert_int_equal(giver.gone, 1);
    close_fd(&giver.scene.client.fd);
    str_free(&giver.scene.client.received);
}

/* A proxy's work: what comes in goes out, each way as slow as the other. */
struct echo {
    struct scene scene;
    struct http_exchange *exchange;
    size_t backlog_max;
    int pauses;
};

static void on_echo_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct echo *echo = arg;
    if (!http_send_piece(exchange, bytes)) {
        http_body_pause(exchange);
        echo->pauses++;
    }
    size_t backlog = http_stream_backlog(exchange);
    echo->backlog_max = backlog > echo->backlog_max ? backlog : echo->backlog_max;
}

static void on_echo_end(struct http_exchange *exchange, void *arg)
{
    struct echo *echo = arg;
    echo->exchange = NULL;
    http_respond_end(exchange);
}

static void on_echo_drained(void *arg)
{
    struct echo *echo = arg;
    http_body_resume(echo->exchange);
}

static void echo_back(struct http_exchange *exchange, void *arg)
{
    static const struct http_body_events events = {on_echo_piece, on_echo_end};
    struct echo *echo = arg;
    const struct http_response response = {.status = 200};
    echo->exchange = exchange;
    http_stream_body(exchange, ANSWER_BYTES, &events, echo);
    http_respond_begin(exchange, &response, http_exchange_body_length(exchange), on_echo_drained,
                       echo);
}

static void bodies_stream_both_ways_at_once(void **state)
{
    (void)state;
    struct echo echo = {0};
    AUTO(free_string) char *body = malloc(ANSWER_BYTES);
    assert_non_null(body);
    for (size_t i = 0; i < ANSWER_BYTES; i++) {
        body[i] = (char)(i * 31 + i / 253);
    }
    scene_open(&echo.scene, &http_default_limits);
    echo.scene.fixture.on_custom = echo_back;
    echo.scene.fixture.custom_arg = &echo;
    client_send(&echo.scene.client,
                VIEW("PUT /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n"));
    /* Half of it without reading, so that the pauses show. */
    size_t sent = 0;
    for (int idle = 0; idle < 4 && sent < ANSWER_BYTES / 2;) {
        ssize_t len = send(echo.scene.client.fd, body + sent, ANSWER_BYTES / 2 - sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = len > 0 ? 0 : idle + 1;
        sent += len > 0 ? (size_t)len : 0;
        fixture_settle(&echo.scene.fixture);
    }
    assert_true(sent < ANSWER_BYTES / 2);
    client_send(&echo.scene.client, (struct view){body + sent, ANSWER_BYTES - sent});
    struct reply reply = client_next(&echo.scene.client, false);
    assert_int_equal(reply.body.len, ANSWER_BYTES);
    assert_memory_equal(reply.body.ptr, body, ANSWER_BYTES);
    assert_true(echo.pauses > 0);
    assert_true(echo.backlog_max < 2 * (size_t)HTTP_BACKLOG_MAX);
    client_send(&echo.scene.client, VIEW(GET_NONE));
    assert_view(client_next(&echo.scene.client, false).body, "none");
    scene_close(&echo.scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_holds_the_source_back),
        cmocka_unit_test(an_end_behind_a_backlog_waits_for_it),
        cmocka_unit_test(a_client_that_does_not_read_is_given_up_late),
        cmocka_unit_test(tcp_is_as_patient_as_the_stream_while_it_lasts),
        cmocka_unit_test(a_draining_server_lets_the_answer_end),
        cmocka_unit_test(an_answer_with_nothing_to_say_waits),
        cmocka_unit_test(a_client_that_leaves_is_told_once_and_later),
        cmocka_unit_test(an_answer_ends_between_the_break_and_its_news),
        cmocka_unit_test(a_handler_that_does_not_listen_may_go_on),
        cmocka_unit_test(a_half_closed_client_gets_the_whole_answer),
        cmocka_unit_test(a_server_that_ends_tells_the_handler),
        cmocka_unit_test(bodies_stream_both_ways_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
