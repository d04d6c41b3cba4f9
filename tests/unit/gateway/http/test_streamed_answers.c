/* Answers whose body is sent piece by piece. */
#include "tests/unit/gateway/http/fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PIECE_BYTES = 64 * 1024,
    ANSWER_BYTES = 8 * 1024 * 1024,
};

#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET "GET /custom HTTP/1.1\r\nHost: a\r\n\r\n"

/* What the handler does and what it heard. */
struct giver {
    struct scene scene;
    struct http_exchange *exchange; /* NULL: gone or answered */
    struct http_response response;
    int64_t length;
    bool inside; /* a function of the server is on the stack */
    int gone;
    int drained;
    size_t left; /* still to send on on_drained; then the answer ends */
    bool sent_it;
};

static void on_gone(void *arg)
{
    struct giver *giver = arg;
    assert_false(giver->inside);
    giver->exchange = NULL;
    giver->gone++;
}

static void fill(struct giver *giver)
{
    static char piece[PIECE_BYTES];
    bool has_room = true;
    giver->inside = true;
    while (has_room && giver->left > 0) {
        memset(piece, 'a' + (int)(giver->left / PIECE_BYTES % 26), sizeof piece);
        has_room = http_send_piece(giver->exchange, (struct view){piece, sizeof piece});
        giver->left -= sizeof piece;
    }
    giver->inside = false;
    if (giver->left == 0 && has_room && giver->sent_it) {
        http_respond_end(TAKE(giver->exchange));
    }
}

static void on_drained(void *arg)
{
    struct giver *giver = arg;
    assert_false(giver->inside);
    assert_true(http_stream_backlog(giver->exchange) <= HTTP_BACKLOG_MAX / 4);
    giver->drained++;
    fill(giver);
}

static void give(struct http_exchange *exchange, void *arg)
{
    struct giver *giver = arg;
    giver->exchange = exchange;
    http_on_gone(exchange, on_gone, giver);
    giver->inside = true;
    http_respond_begin(exchange, &giver->response, giver->length, on_drained, giver);
    giver->inside = false;
}

static void open_giver(struct giver *giver, const struct http_limits *limits)
{
    *giver = (struct giver){.response = {.status = 200, .content_type = "text/plain"},
                            .length = HTTP_LENGTH_UNKNOWN};
    scene_open(&giver->scene, limits);
    giver->scene.fixture.on_custom = give;
    giver->scene.fixture.custom_arg = giver;
}

static void close_giver(struct giver *giver)
{
    scene_close(&giver->scene);
}

static bool send_text(struct giver *giver, const char *text)
{
    return http_send_piece(giver->exchange, view_of(text));
}

static void end_answer(struct giver *giver)
{
    http_respond_end(TAKE(giver->exchange));
    fixture_settle(&giver->scene.fixture);
    client_receive(&giver->scene.client);
}

/* What the client has received behind the head of the first answer. */
static struct view body_of(struct client *client, struct reply *reply)
{
    *reply = client_next(client, true);
    return view_from(str_view(&client->received), client->read);
}

static void an_answer_of_unknown_length_is_chunked(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    struct view body = body_of(&giver.scene.client, &reply);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Transfer-Encoding"), "chunked");
    assert_view(reply_header(&reply, "Content-Type"), "text/plain");
    assert_int_equal(reply_header(&reply, "Content-Length").len, 0);
    assert_true(reply_header(&reply, "X-Request-Id").len > 0);
    assert_int_equal(reply_header(&reply, "Connection").len, 0);
    assert_int_equal(body.len, 0); /* the head does not wait for the first piece */
    assert_true(send_text(&giver, "abc"));
    assert_true(send_text(&giver, "")); /* not the end */
    assert_true(send_text(&giver, "0123456789abcdefg"));
    end_answer(&giver);
    assert_view(view_from(str_view(&giver.scene.client.received), giver.scene.client.read),
                "3\r\nabc\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n");
    assert_int_equal(giver.gone, 0);
    giver.scene.client.read = giver.scene.client.received.len;
    client_send(&giver.scene.client, VIEW(NONE));
    assert_view(client_next(&giver.scene.client, false).body, "none");
    close_giver(&giver);
}

static void an_answer_of_known_length_is_not_chunked(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    giver.length = 6;
    client_send(&giver.scene.client, VIEW(GET NONE));
    assert_true(send_text(&giver, "abc"));
    assert_true(send_text(&giver, "def"));
    end_answer(&giver);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_view(reply.body, "abcdef");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    assert_view(client_next(&giver.scene.client, false).body, "none");
    close_giver(&giver);
}

static void an_answer_that_is_shorter_than_it_said_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    open_giver(&giver, &http_default_limits);
    giver.length = 6;
    client_send(&giver.scene.client, VIEW(GET NONE));
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    assert_view(body_of(&giver.scene.client, &reply), "abc");
    assert_true(giver.scene.client.ended);
    close_giver(&giver);
}

static void an_answer_that_is_longer_than_it_said_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    open_giver(&giver, &http_default_limits);
    giver.length = 4;
    client_send(&giver.scene.client, VIEW(GET NONE));
    giver.inside = true;
    assert_true(send_text(&giver, "abc"));
    assert_true(send_text(&giver, "de"));
    giver.inside = false;
    client_wait_end(&giver.scene.client);
    assert_int_equal(giver.gone, 1);
    assert_view(body_of(&giver.scene.client, &reply), "abc");
    close_giver(&giver);
}

static void an_abort_shows_that_the_answer_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    assert_true(send_text(&giver, "abc"));
    http_respond_abort(TAKE(giver.exchange));
    client_wait_end(&giver.scene.client);
    assert_view(body_of(&giver.scene.client, &reply), "3\r\nabc\r\n");
    assert_int_equal(giver.gone, 0);
    close_giver(&giver);
}

static void to_http_1_0_the_answer_ends_with_the_connection(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client,
                VIEW("GET /custom HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    assert_true(send_text(&giver, "abc"));
    assert_true(send_text(&giver, "def"));
    end_answer(&giver);
    assert_true(giver.scene.client.ended);
    assert_view(body_of(&giver.scene.client, &reply), "abcdef");
    assert_view(reply_header(&reply, "Connection"), "close");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    close_giver(&giver);
}

/* Takes the place of the scene's client. */
static void connect_tcp(struct giver *giver)
{
    struct err err = {0};
    struct fixture *fixture = &giver->scene.fixture;
    struct http_listener *tcp = http_listen_tcp(fixture->server, "127.0.0.1", 0, fixture, &err);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_non_null(tcp);
    address.sin_port = htons(http_listener_port(tcp));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    client_close(&giver->scene.client);
    client_adopt(&giver->scene.client, fixture, fd);
    fixture_settle(fixture);
}

static void to_http_1_0_a_cut_is_a_reset(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW("GET /custom HTTP/1.0\r\n\r\n"));
    assert_true(send_text(&giver, "abc"));
    http_respond_abort(TAKE(giver.exchange));
    client_wait_end(&giver.scene.client);
    assert_true(giver.scene.client.was_reset);
    close_giver(&giver);
}

static void an_answer_without_body_drops_the_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        int status;
        int64_t length;
        const char *coding;
    } cases[] = {
        {"HEAD", VIEW("HEAD /custom HTTP/1.1\r\nHost: a\r\n\r\n" NONE), 200, HTTP_LENGTH_UNKNOWN,
         "chunked"},
        {"HEAD, length", VIEW("HEAD /custom HTTP/1.1\r\nHost: a\r\n\r\n" NONE), 200, 6, ""},
        {"204", VIEW(GET NONE), 204, HTTP_LENGTH_UNKNOWN, ""},
        {"304", VIEW(GET NONE), 304, 6, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct giver giver;
        open_giver(&giver, &http_default_limits);
        giver.response.status = cases[i].status;
        giver.length = cases[i].length;
        client_send(&giver.scene.client, cases[i].request);
        assert_true(send_text(&giver, "abcdef"));
        end_answer(&giver);
        struct reply reply = client_next(&giver.scene.client, true);
        assert_int_equal(reply.status, cases[i].status);
        struct view coding = reply_header(&reply, "Transfer-Encoding");
        assert_true(view_equal(coding, view_of(cases[i].coding)));
        assert_view(client_next(&giver.scene.client, false).body, "none");
        close_giver(&giver);
    }
}

static void run_out(struct giver *giver)
{
    for (int i = 0; i < 2000 && giver->exchange != NULL; i++) {
        fixture_settle(&giver->scene.fixture);
        client_receive(&giver->scene.client);
    }
    assert_null(giver->exchange);
}

static void a_slow_reader_holds_the_source_back(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    giver.length = ANSWER_BYTES;
    giver.left = ANSWER_BYTES;
    giver.sent_it = true;
    (void)send(giver.scene.client.fd, GET, strlen(GET), MSG_NOSIGNAL);
    fixture_settle(&giver.scene.fixture);
    fill(&giver);
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.drained, 0);
    assert_true(http_stream_backlog(giver.exchange) > HTTP_BACKLOG_MAX);
    assert_true(http_stream_backlog(giver.exchange) <= HTTP_BACKLOG_MAX + PIECE_BYTES);
    run_out(&giver);
    assert_true(giver.drained > 4);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_int_equal(reply.body.len, ANSWER_BYTES);
    for (size_t i = 0; i < ANSWER_BYTES; i += PIECE_BYTES) {
        assert_int_equal(reply.body.ptr[i], 'a' + (ANSWER_BYTES - i) / PIECE_BYTES % 26);
    }
    client_send(&giver.scene.client, VIEW(NONE));
    assert_view(client_next(&giver.scene.client, false).body, "none");
    close_giver(&giver);
}

static void an_end_behind_a_backlog_waits_for_it(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &fixture_short_limits);
    giver.length = HTTP_BACKLOG_MAX;
    (void)send(giver.scene.client.fd, GET NONE, strlen(GET NONE), MSG_NOSIGNAL);
    fixture_settle(&giver.scene.fixture);
    giver.left = HTTP_BACKLOG_MAX;
    fill(&giver);
    http_respond_end(TAKE(giver.exchange));
    fixture_run(&giver.scene.fixture, 150); /* longer than the stall of ordinary answers */
    assert_int_equal(client_next(&giver.scene.client, false).body.len, HTTP_BACKLOG_MAX);
    assert_view(client_next(&giver.scene.client, false).body, "none");
    assert_int_equal(giver.drained, 0);
    close_giver(&giver);
}

static void a_client_that_does_not_read_is_given_up_late(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &fixture_short_limits);
    connect_tcp(&giver);
    (void)send(giver.scene.client.fd, GET, strlen(GET), MSG_NOSIGNAL);
    fixture_run(&giver.scene.fixture, 10);
    giver.left = ANSWER_BYTES;
    for (int i = 0; i < 50 && http_stream_backlog(giver.exchange) <= HTTP_BACKLOG_MAX; i++) {
        fill(&giver);
        fixture_settle(&giver.scene.fixture);
        giver.left = ANSWER_BYTES;
    }
    fixture_run(&giver.scene.fixture, 200); /* twice the stall of ordinary answers */
    assert_int_equal(giver.gone, 0);
    fixture_run(&giver.scene.fixture, 400);
    assert_int_equal(giver.gone, 1);
    client_receive(&giver.scene.client);
    assert_true(giver.scene.client.ended);
    close_giver(&giver);
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
    open_giver(&giver, &http_default_limits);
    connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW(GET));
    int fd = server_end_of(&giver.scene.client);
    assert_int_equal(patience_of(fd), 10 * 60 * 1000);
    end_answer(&giver);
    assert_int_equal(patience_of(fd), 60 * 1000);
    close_giver(&giver);
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
    open_giver(&giver, &http_default_limits);
    connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW(GET NONE));
    http_server_drain(giver.scene.fixture.server, note_drained, &drained);
    fixture_settle(&giver.scene.fixture);
    assert_false(drained);
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    client_wait_end(&giver.scene.client);
    assert_true(view_has(str_view(&giver.scene.client.received), "3\r\nabc\r\n0\r\n\r\n"));
    assert_false(giver.scene.client.was_reset);
    assert_int_equal(giver.scene.fixture.requests, 1);
    client_close(&giver.scene.client);
    assert_true(drained);
    close_giver(&giver);
}

static void an_answer_with_nothing_to_say_waits(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &fixture_short_limits);
    client_send(&giver.scene.client, VIEW(GET));
    fixture_run(&giver.scene.fixture, 800);
    assert_int_equal(giver.gone, 0);
    assert_true(send_text(&giver, "late"));
    end_answer(&giver);
    assert_true(view_has(str_view(&giver.scene.client.received), "late"));
    close_giver(&giver);
}

static void a_client_that_leaves_is_told_once_and_later(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    close_fd(&giver.scene.client.fd);
    giver.inside = true;
    for (int i = 0; i < 4; i++) {
        assert_true(send_text(&giver, "for nobody"));
    }
    giver.inside = false;
    assert_int_equal(giver.gone, 0);
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.gone, 1);
    close_giver(&giver);
}

static void an_answer_ends_between_the_break_and_its_news(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    close_fd(&giver.scene.client.fd);
    assert_true(send_text(&giver, "for nobody"));
    http_respond_end(TAKE(giver.exchange));
    fixture_settle(&giver.scene.fixture);
    assert_int_equal(giver.gone, 0);
    close_giver(&giver);
}

static void a_handler_that_does_not_listen_may_go_on(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    http_on_gone(giver.exchange, NULL, NULL);
    client_close(&giver.scene.client);
    assert_true(send_text(&giver, "for nobody"));
    assert_int_equal(http_stream_backlog(giver.exchange), 0);
    http_respond_end(TAKE(giver.exchange));
    fixture_close(&giver.scene.fixture);
}

static void a_half_closed_client_gets_the_whole_answer(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    assert_int_equal(shutdown(giver.scene.client.fd, SHUT_WR), 0);
    fixture_settle(&giver.scene.fixture);
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    assert_true(view_has(str_view(&giver.scene.client.received), "3\r\nabc\r\n0\r\n\r\n"));
    client_wait_end(&giver.scene.client);
    assert_int_equal(giver.gone, 0);
    close_giver(&giver);
}

static void an_answer_before_a_body_that_nobody_reads_closes(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client,
                VIEW("POST /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"));
    struct reply reply = client_next(&giver.scene.client, true);
    assert_view(reply_header(&reply, "Connection"), "close");
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    client_send(&giver.scene.client, VIEW("the rest"));
    client_wait_end(&giver.scene.client);
    assert_false(giver.scene.client.was_reset);
    close_giver(&giver);
}

static void framing_is_never_the_handlers(void **state)
{
    (void)state;
    static const struct http_header headers[] = {
        {VIEW("transfer-encoding"), VIEW("chunked")},
        {VIEW("Content-Length"), VIEW("7")},
        {VIEW("CONNECTION"), VIEW("keep-alive")},
        {VIEW("X-Mine"), VIEW("yes")},
        {VIEW("X-Bad"), VIEW("a\r\nb")},
    };
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    giver.length = 3;
    giver.response.headers = headers;
    giver.response.header_count = 5;
    client_send(&giver.scene.client, VIEW(GET));
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_view(reply.body, "abc");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    assert_int_equal(reply_header(&reply, "Connection").len, 0);
    assert_int_equal(reply_header(&reply, "X-Bad").len, 0);
    assert_view(reply_header(&reply, "X-Mine"), "yes");
    close_giver(&giver);
}

static void a_bare_answer_has_only_what_is_given(void **state)
{
    (void)state;
    static const struct http_header headers[] = {{VIEW("X-Theirs"), VIEW("1")}};
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    giver.response =
        (struct http_response){.status = 206, .bare = true, .headers = headers, .header_count = 1};
    giver.length = 3;
    client_send(&giver.scene.client, VIEW(GET));
    assert_true(send_text(&giver, "abc"));
    end_answer(&giver);
    assert_view(str_view(&giver.scene.client.received),
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nX-Theirs: 1\r\n\r\nabc");
    close_giver(&giver);
}

static void a_server_that_ends_tells_the_handler(void **state)
{
    (void)state;
    struct giver giver;
    open_giver(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET));
    assert_true(send_text(&giver, "abc"));
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
    client_send(&echo.scene.client, VIEW(NONE));
    assert_view(client_next(&echo.scene.client, false).body, "none");
    scene_close(&echo.scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_of_unknown_length_is_chunked),
        cmocka_unit_test(an_answer_of_known_length_is_not_chunked),
        cmocka_unit_test(an_answer_that_is_shorter_than_it_said_is_cut),
        cmocka_unit_test(an_answer_that_is_longer_than_it_said_is_cut),
        cmocka_unit_test(an_abort_shows_that_the_answer_is_cut),
        cmocka_unit_test(to_http_1_0_the_answer_ends_with_the_connection),
        cmocka_unit_test(to_http_1_0_a_cut_is_a_reset),
        cmocka_unit_test(an_answer_without_body_drops_the_pieces),
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
        cmocka_unit_test(an_answer_before_a_body_that_nobody_reads_closes),
        cmocka_unit_test(framing_is_never_the_handlers),
        cmocka_unit_test(a_bare_answer_has_only_what_is_given),
        cmocka_unit_test(a_server_that_ends_tells_the_handler),
        cmocka_unit_test(bodies_stream_both_ways_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
