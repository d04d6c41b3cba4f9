/* HTTP and WebSocket over TLS: large bodies both ways, and how sessions end. */
#include "common/ws/socket.h"
#include "tests/unit/gateway/http/tls_stage.h"

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
        tls_stage_open(&stage, &fixture_short_limits);
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

static void web_sockets_are_upgraded_and_closed(void **state)
{
    (void)state;
    static const struct ws_events events = {.on_message = on_message, .on_closed = on_closed};
    struct tls_stage stage;
    struct tls_peer peer;
    struct ws_end end = {0};
    struct err err = {0};
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    /* The first frame ("hi", masked by zeros) comes with the head. */
    tls_peer_send(&peer, VIEW("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\n\r\n\x81\x82\0\0\0\0hi"));
    tls_peer_wait_for(&peer, "101 Switching Protocols");
    end.socket = ws_socket_new(stage.fixture.loop, WS_SERVER, TAKE(stage.fixture.switched),
                               &ws_default_limits, &events, &end, &err);
    assert_non_null(end.socket);
    fixture_settle(&stage.fixture);
    tls_peer_wait_for(&peer, "\x81\x02hi");
    tls_peer_send(&peer, VIEW("\x81\x85\0\0\0\0again"));
    tls_peer_wait_for(&peer, "\x81\x05"
                             "again");
    AUTO(free_string) char *large = malloc(UPLOAD_BYTES);
    assert_non_null(large);
    memset(large, 'w', UPLOAD_BYTES);
    const struct view part = {large, UPLOAD_BYTES};
    assert_true(ws_send(end.socket, WS_TEXT, &part, 1, &err));
    while (peer.received.len < UPLOAD_BYTES) {
        assert_true(tls_peer_receive(&peer));
    }
    tls_peer_send(&peer, VIEW("\x88\x82\0\0\0\0\x03\xe8"));
    tls_peer_wait_for(&peer, "\x88\x02\x03\xe8");
    tls_peer_wait_end(&peer);
    fixture_run(&stage.fixture, 20);
    assert_int_equal(end.closed, 1000);
    ws_socket_free(end.socket);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
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
    };
    return cmocka_run_group_tests(tests, tls_make_folder, tls_remove_folder);
}
