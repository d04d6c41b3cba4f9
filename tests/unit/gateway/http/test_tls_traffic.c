/* HTTP and WebSocket over TLS: large bodies both ways, and how sessions end. */
#include "common/ws/socket.h"
#include "gateway/http/wire.h"
#include "tests/unit/gateway/http/tls_stage.h"

#define GET_SWITCH                                                                                 \
    "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define CLOSE_FRAME "\x88\x82\0\0\0\0\x03\xe8"

enum {
    UPLOAD_BYTES = 4 * 1024 * 1024,
    PART_BYTES = 256 * 1024,
};

static void large_bodies_go_both_ways(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    AUTO(free_string) char *body = malloc(UPLOAD_BYTES);
    assert_non_null(body);
    memset(body, 'u', UPLOAD_BYTES);
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer, VIEW("POST /bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
    tls_peer_send(&peer, (struct view){body, UPLOAD_BYTES});
    tls_peer_wait_for(&peer, "\r\n\r\n4194304");
    str_clear(&peer.received);
    tls_peer_send(&peer, VIEW("GET /big HTTP/1.1\r\nHost: a\r\n\r\n" GET_NONE));
    tls_peer_wait_for(&peer, "\r\n\r\nnone");
    assert_true(peer.received.len > BIG_BODY);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static struct http_exchange *echoed;

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    (void)arg;
    if (!http_send_piece(exchange, bytes)) {
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    http_respond_end(exchange);
}

static void on_drained(void *arg)
{
    (void)arg;
    http_body_resume(echoed);
}

static void echo(struct http_exchange *exchange, void *arg)
{
    static const struct http_body_events events = {on_piece, on_end};
    const struct http_response response = {.status = 200};
    (void)arg;
    echoed = exchange;
    http_stream_body(exchange, UPLOAD_BYTES, &events, NULL);
    http_respond_begin(exchange, &response, http_exchange_body_length(exchange), on_drained, NULL);
}

static void bodies_stream_both_ways_at_once(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    AUTO(free_string) char *body = malloc(UPLOAD_BYTES);
    assert_non_null(body);
    for (size_t i = 0; i < UPLOAD_BYTES; i++) {
        body[i] = (char)(i * 31 + i / 253);
    }
    tls_stage_open(&stage, &http_default_limits);
    stage.fixture.on_custom = echo;
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer,
                  VIEW("PUT /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
    for (size_t at = 0; at < UPLOAD_BYTES; at += PART_BYTES) {
        tls_peer_send(&peer, (struct view){body + at, PART_BYTES});
        assert_true(tls_peer_receive(&peer));
    }
    const char *begin = strstr(peer.received.data, "\r\n\r\n");
    assert_non_null(begin);
    size_t whole = (size_t)(begin + 4 - peer.received.data) + UPLOAD_BYTES;
    while (peer.received.len < whole) {
        assert_true(tls_peer_receive(&peer));
    }
    assert_memory_equal(peer.received.data + whole - UPLOAD_BYTES, body, UPLOAD_BYTES);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void a_client_that_ends_its_side_gets_its_answer(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer, VIEW(GET_HOLD));
    assert_int_equal(SSL_shutdown(peer.ssl), 0);
    fixture_settle(&stage.fixture);
    assert_int_equal(stage.fixture.gone, 0);
    fixture_release(&stage.fixture, "held");
    tls_peer_wait_for(&peer, "held");
    tls_peer_wait_end(&peer);
    assert_true((SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void a_large_answer_outlives_the_clients_end_of_its_side(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer, VIEW("GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(SSL_shutdown(peer.ssl), 0);
    tls_peer_wait_end(&peer);
    assert_true(peer.received.len > BIG_BODY);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void a_client_that_vanishes_is_told(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer, VIEW(GET_HOLD));
    tls_peer_close(&peer);
    assert_int_equal(stage.fixture.gone, 1);
    tls_stage_close(&stage);
}

static void the_last_answer_is_followed_by_the_end_of_the_session(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
    } cases[] = {
        {"all was read", VIEW("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")},
        {"a body was not",
         VIEW("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nsome")},
        {"idle for too long", VIEW(GET_NONE)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_stage stage;
        struct tls_peer peer;
        struct http_limits limits = fixture_short_limits;
        limits.head_timeout_ms = TLS_WAIT_MS; /* the handshake is part of it */
        tls_stage_open(&stage, &limits);
        tls_peer_open_any(&peer, &stage);
        tls_peer_send(&peer, cases[i].request);
        tls_peer_wait_end(&peer);
        assert_true(view_has(str_view(&peer.received), "\r\n\r\nnone"));
        assert_true((SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
        tls_peer_close(&peer);
        tls_stage_close(&stage);
    }
}

struct ws_end {
    struct ws_socket *socket;
    int closed;
};

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct ws_end *end = arg;
    struct err err = {0};
    assert_true(ws_send(end->socket, opcode, &message, 1, &err));
}

static void on_closed(int code, void *arg)
{
    struct ws_end *end = arg;
    end->closed = code;
}

static struct ws_socket *upgrade(struct tls_stage *stage, struct tls_peer *peer, struct view first,
                                 struct ws_end *end)
{
    static const struct ws_events events = {.on_message = on_message, .on_closed = on_closed};
    struct err err = {0};
    tls_stage_open(stage, &http_default_limits);
    tls_peer_open_any(peer, stage);
    tls_peer_send(peer, first);
    tls_peer_wait_for(peer, "101 Switching Protocols");
    end->socket = ws_socket_new(stage->fixture.loop, WS_SERVER, TAKE(stage->fixture.switched),
                                &ws_default_limits, &events, end, &err);
    assert_non_null(end->socket);
    ws_set_say_end(end->socket, wire_say_end);
    return end->socket;
}

static void send_large(struct ws_socket *socket)
{
    struct err err = {0};
    AUTO(free_string) char *large = malloc(UPLOAD_BYTES);
    assert_non_null(large);
    memset(large, 'w', UPLOAD_BYTES);
    const struct view part = {large, UPLOAD_BYTES};
    assert_true(ws_send(socket, WS_TEXT, &part, 1, &err));
}

/* Until both sides are done; the peer's copy of what came stays. */
static void end_both(struct tls_stage *stage, struct tls_peer *peer, const struct ws_end *end)
{
    bool has_ended = false;
    while (end->closed == 0) {
        if (!has_ended && !tls_peer_receive(peer)) {
            has_ended = true;
            (void)SSL_shutdown(peer->ssl);
        }
        fixture_run(&stage->fixture, 5);
    }
    assert_int_equal(end->closed, 1000);
    ws_socket_free(end->socket);
    tls_peer_wait_end(peer);
    assert_true((SSL_get_shutdown(peer->ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
    tls_peer_close(peer);
    tls_stage_close(stage);
}

static void web_sockets_are_upgraded_and_closed(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    struct ws_end end = {0};
    /* The first frame ("hi", masked by zeros) comes with the head. */
    struct ws_socket *socket = upgrade(&stage, &peer, VIEW(GET_SWITCH "\x81\x82\0\0\0\0hi"), &end);
    fixture_settle(&stage.fixture);
    tls_peer_wait_for(&peer, "\x81\x02hi");
    tls_peer_send(&peer, VIEW("\x81\x85\0\0\0\0again"));
    tls_peer_wait_for(&peer, "\x81\x05"
                             "again");
    send_large(socket);
    while (peer.received.len < UPLOAD_BYTES) {
        assert_true(tls_peer_receive(&peer));
    }
    tls_peer_send(&peer, VIEW(CLOSE_FRAME));
    tls_peer_wait_for(&peer, "\x88\x02\x03\xe8");
    end_both(&stage, &peer, &end);
}

static void what_waits_on_a_web_socket_outlives_the_clients_end_of_its_side(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    struct ws_end end = {0};
    struct ws_socket *socket = upgrade(&stage, &peer, VIEW(GET_SWITCH), &end);
    send_large(socket);
    fixture_settle(&stage.fixture);
    tls_peer_send(&peer, VIEW(CLOSE_FRAME));
    assert_int_equal(SSL_shutdown(peer.ssl), 0);
    fixture_settle(&stage.fixture);
    assert_true(ws_backlog(socket) > 0);
    tls_peer_wait_for(&peer, "\x88\x02\x03\xe8");
    assert_true(peer.received.len > UPLOAD_BYTES);
    end_both(&stage, &peer, &end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_bodies_go_both_ways),
        cmocka_unit_test(bodies_stream_both_ways_at_once),
        cmocka_unit_test(a_client_that_ends_its_side_gets_its_answer),
        cmocka_unit_test(a_large_answer_outlives_the_clients_end_of_its_side),
        cmocka_unit_test(a_client_that_vanishes_is_told),
        cmocka_unit_test(the_last_answer_is_followed_by_the_end_of_the_session),
        cmocka_unit_test(web_sockets_are_upgraded_and_closed),
        cmocka_unit_test(what_waits_on_a_web_socket_outlives_the_clients_end_of_its_side),
    };
    return cmocka_run_group_tests(tests, tls_make_folder, tls_remove_folder);
}
