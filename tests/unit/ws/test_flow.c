/* Sending, back-pressure, and the timers of a quiet connection. */
#include "tests/unit/ws/peer.h"

#include "common/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SOFT = 256 << 10,
    TWICE_SOFT = 512 << 10,
    MEBIBYTE = 1 << 20,
    TWO_MEBIBYTES = 2 << 20,
    THREE_MEBIBYTES = 3 << 20,
    FOUR_MEBIBYTES = 4 << 20,
    MANY_MEBIBYTES = 64 << 20,
    SILENCE_MS = 1500,
};

static const struct ws_limits brisk = {
    .message_max = FOUR_MEBIBYTES,
    .fragments_max = 16,
    .backlog_max = MEBIBYTE,
    .backlog_hard_max = FOUR_MEBIBYTES,
    .stall_max_ms = 1500,
    .ping_every_ms = 200,
    .silence_max_ms = SILENCE_MS,
    .pings_per_s_max = 20,
};
static const struct ws_limits pressing = {
    .message_max = FOUR_MEBIBYTES,
    .fragments_max = 16,
    .backlog_max = MEBIBYTE,
    .backlog_hard_max = MANY_MEBIBYTES,
    .stall_max_ms = 60000,
    .back_pressure = true,
    .pings_per_s_max = 20,
};

/* As toward a client that has streams. */
static const struct ws_limits streaming = {
    .message_max = FOUR_MEBIBYTES,
    .fragments_max = 16,
    .backlog_soft = SOFT,
    .backlog_max = MEBIBYTE,
    .backlog_hard_max = MANY_MEBIBYTES,
    .stall_max_ms = 500,
    .stream_stall_max_ms = 2500,
    .ping_every_ms = 200,
    .silence_max_ms = SILENCE_MS,
    .pings_per_s_max = 20,
};

/* The same marks for who is not to be closed, however long the test takes. */
static struct ws_limits without_deadlines(const struct ws_limits *limits)
{
    struct ws_limits patient = *limits;
    patient.stall_max_ms = 60000;
    patient.stream_stall_max_ms = limits->stream_stall_max_ms > 0 ? 60000 : 0;
    patient.ping_every_ms = 0;
    patient.silence_max_ms = 0;
    return patient;
}

static bool send_as(struct peer *peer, enum ws_opcode opcode, size_t len, struct err *err)
{
    char *bytes = malloc(len + 1);
    assert_non_null(bytes);
    memset(bytes, 'b', len);
    const struct view part = {bytes, len};
    bool sent = ws_send(peer->socket, opcode, &part, 1, err);
    free(bytes);
    return sent;
}

/* Of what has come, if anything has. */
static void take_some(const struct peer *peer)
{
    char bytes[32768];
    ssize_t taken = read(peer->fd, bytes, sizeof bytes);
    assert_true(taken >= 0 || errno == EAGAIN);
}

static bool send_bytes(struct peer *peer, size_t len, struct err *err)
{
    return send_as(peer, WS_BINARY, len, err);
}

static void parts_make_one_message(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    const struct view parts[] = {VIEW("one, "), {NULL, 0}, VIEW("two, "), VIEW("three")};
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    assert_true(ws_send(peer.socket, WS_TEXT, parts, 4, &err));
    assert_true(ws_send(peer.socket, WS_BINARY, NULL, 0, &err));
    peer_expect(&peer, FIN | OP_TEXT, VIEW("one, two, three"));
    peer_expect(&peer, FIN | OP_BINARY, VIEW(""));
    peer_close(&peer);
}

/* How much of it is there already. */
static size_t take(const struct peer *peer, char *bytes, size_t size)
{
    ssize_t got = read(peer->fd, bytes, size);
    assert_true(got > 0 || errno == EAGAIN);
    return got > 0 ? (size_t)got : 0;
}

static void a_client_masks_with_keys_that_differ(void **state)
{
    (void)state;
    enum { SENT = 100, FRAME = 2 + 4 + 4 };
    struct peer peer;
    struct err err;
    const struct view zeros = {"\0\0\0\0", 4}; /* masked, they show the key */
    peer_open(&peer, WS_CLIENT, &ws_default_limits);
    for (int i = 0; i < SENT; i++) {
        assert_true(ws_send(peer.socket, WS_BINARY, &zeros, 1, &err));
    }
    char bytes[SENT * FRAME];
    size_t len = 0;
    PEER_RUN_UNTIL(&peer, (len += take(&peer, bytes + len, sizeof bytes - len)) == sizeof bytes);
    int repeated = 0;
    for (size_t i = FRAME; i < sizeof bytes; i += FRAME) {
        assert_memory_equal(bytes + i + 2, bytes + i + 6, 4);
        repeated += memcmp(bytes + i + 2, bytes + i + 2 - FRAME, 4) == 0 ? 1 : 0;
    }
    assert_in_range(repeated, 0, 1);
    peer_close(&peer);
}

static void sizes_around_the_length_codings_arrive(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, THREE_MEBIBYTES};
    for (size_t role = 0; role < 2; role++) {
        struct peer peer;
        struct err err;
        peer_open(&peer, role == 0 ? WS_SERVER : WS_CLIENT, &ws_default_limits);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            assert_true(send_bytes(&peer, sizes[i], &err));
            struct peer_frame frame = peer_next(&peer);
            assert_int_equal(frame.first, FIN | OP_BINARY);
            assert_int_equal(frame.payload.len, sizes[i]);
            for (size_t at = 0; at < sizes[i]; at += 1000) {
                assert_int_equal(frame.payload.ptr[at], 'b');
            }
        }
        peer_close(&peer);
    }
}

static void the_owner_hears_that_the_backlog_shrank(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    const struct ws_limits limits = without_deadlines(&brisk);
    peer_open(&peer, WS_SERVER, &limits);
    assert_true(send_bytes(&peer, 1000, &err));
    assert_int_equal(peer_next(&peer).payload.len, 1000);
    assert_int_equal(peer.drained, 0);
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    peer_run_for(&peer, 50);
    assert_int_equal(peer.drained, 0);
    assert_int_equal(peer_next(&peer).payload.len, THREE_MEBIBYTES);
    assert_int_equal(peer.drained, 1);
    peer_close(&peer);
}

static void the_owner_hears_it_at_the_soft_mark_when_there_is_one(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    const struct ws_limits limits = without_deadlines(&streaming);
    peer_open(&peer, WS_SERVER, &limits);
    assert_true(send_bytes(&peer, TWICE_SOFT, &err));
    assert_int_equal(peer_next(&peer).payload.len, TWICE_SOFT);
    PEER_RUN_UNTIL(&peer, peer.drained > 0);
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    while (ws_backlog(peer.socket) > SOFT) {
        assert_int_equal(peer.drained, 1);
        peer_run_for(&peer, 1);
        for (int i = 0; i < 4; i++) {
            take_some(&peer);
        }
    }
    PEER_RUN_UNTIL(&peer, peer.drained > 1);
    assert_int_equal(peer.drained, 2);
    peer_close(&peer);
}

/* How long a peer is kept that neither reads nor says anything. */
struct patience {
    int64_t elapsed_ms;
    int64_t turned_ms; /* of these, what the loop had: none while this process gets no processor */
};

static struct patience patience_with(enum ws_opcode opcode)
{
    enum { STEP_MS = 50 };
    struct peer peer;
    struct err err;
    struct patience patience = {0};
    peer_open(&peer, WS_SERVER, &streaming);
    int64_t began_ms = clock_monotonic_ms();
    assert_true(send_as(&peer, opcode, THREE_MEBIBYTES, &err));
    while (ws_backlog(peer.socket) > MEBIBYTE && peer.closed == 0 &&
           clock_monotonic_ms() - began_ms < PEER_WAIT_MS) {
        peer_run_for(&peer, STEP_MS);
        patience.turned_ms += STEP_MS;
    }
    patience.elapsed_ms = clock_monotonic_ms() - began_ms;
    assert_int_equal(peer.closed_code, WS_CLOSE_POLICY);
    peer_close(&peer);
    return patience;
}

static void a_peer_that_does_not_take_streams_is_kept_longer(void **state)
{
    (void)state;
    struct patience with_texts = patience_with(WS_TEXT);
    assert_true(with_texts.elapsed_ms >= streaming.stall_max_ms);
    assert_true(with_texts.turned_ms < streaming.stream_stall_max_ms);
    assert_true(patience_with(WS_BINARY).elapsed_ms >= streaming.stream_stall_max_ms);
}

static void texts_that_were_taken_do_not_count_any_more(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    struct ws_limits limits = streaming;
    limits.ping_every_ms = 0;
    limits.silence_max_ms = 0;
    peer_open(&peer, WS_SERVER, &limits);
    for (int i = 0; i < 4; i++) { /* together more than what stalls */
        assert_true(send_as(&peer, WS_TEXT, MEBIBYTE / 2, &err));
        assert_int_equal(peer_next(&peer).payload.len, MEBIBYTE / 2);
    }
    int64_t began_ms = clock_monotonic_ms();
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_true(clock_monotonic_ms() - began_ms >= streaming.stream_stall_max_ms);
    peer_close(&peer);
}

static void pause_at_the_first(struct peer *peer)
{
    if (peer->messages == 1) {
        ws_pause(peer->socket);
    }
}

static void a_message_in_which_the_owner_pauses_comes_again(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer.on_message = pause_at_the_first;
    peer_send(&peer, FIN | OP_TEXT, VIEW("one"));
    peer_send(&peer, FIN | OP_TEXT, VIEW("two"));
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    peer_run_for(&peer, 20);
    assert_int_equal(peer.messages, 1);
    ws_resume(peer.socket);
    assert_int_equal(peer.messages, 1); /* from the loop only */
    PEER_RUN_UNTIL(&peer, peer.messages == 3);
    assert_true(view_equal(str_view(&peer.last), VIEW("two")));
    peer_close(&peer);
}

static void remember_the_second(struct peer *peer)
{
    if (peer->messages == 2) {
        assert_true(view_equal(str_view(&peer->last), VIEW("one")));
    }
    pause_at_the_first(peer);
}

static void what_comes_again_is_the_same_message(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer.on_message = remember_the_second;
    peer_send(&peer, FIN | OP_TEXT, VIEW("one"));
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    ws_resume(peer.socket);
    PEER_RUN_UNTIL(&peer, peer.messages == 2);
    peer_send(&peer, FIN | OP_TEXT, VIEW("two"));
    PEER_RUN_UNTIL(&peer, peer.messages == 3);
    peer_close(&peer);
}

static void a_paused_peer_is_not_silent(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &brisk);
    ws_pause(peer.socket);
    peer_send(&peer, FIN | OP_TEXT, VIEW("late"));
    peer_run_for(&peer, SILENCE_MS + 500);
    assert_int_equal(peer.closed, 0);
    assert_int_equal(peer.messages, 0);
    ws_resume(peer.socket);
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    peer_close(&peer);
}

static void a_paused_socket_can_be_closed(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer.on_message = pause_at_the_first;
    peer_send(&peer, FIN | OP_TEXT, VIEW("one"));
    peer_send(&peer, FIN | OP_TEXT, VIEW("two"));
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    ws_close(peer.socket, WS_CLOSE_RESTART, NULL);
    ws_resume(peer.socket);
    peer_expect_close(&peer, WS_CLOSE_RESTART);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xf4"));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.messages, 1);
    peer_close(&peer);
}

static void a_message_over_the_hard_limit_closes(void **state)
{
    (void)state;
    struct peer peer;
    struct err err = {0};
    peer_open(&peer, WS_SERVER, &brisk);
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    assert_in_range(ws_backlog(peer.socket), THREE_MEBIBYTES, THREE_MEBIBYTES + 100);
    assert_false(send_bytes(&peer, TWO_MEBIBYTES, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(peer.closed, 0);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_POLICY);
    peer_close(&peer);
}

static void a_peer_that_takes_nothing_is_closed(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    peer_open(&peer, WS_SERVER, &brisk);
    int64_t began_ms = clock_monotonic_ms();
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    while (peer.closed == 0) { /* it talks, but does not read */
        peer_send(&peer, FIN | OP_PONG, VIEW(""));
        peer_run_for(&peer, 100);
    }
    assert_int_equal(peer.closed_code, WS_CLOSE_POLICY);
    assert_true(clock_monotonic_ms() - began_ms >= 1500);
    peer_close(&peer);
}

static void a_peer_that_takes_slowly_is_not_closed(void **state)
{
    (void)state;
    struct peer peer;
    struct err err;
    struct ws_limits limits = without_deadlines(&brisk);
    limits.stall_max_ms = 2500;
    peer_open(&peer, WS_SERVER, &limits);
    assert_true(send_bytes(&peer, THREE_MEBIBYTES, &err));
    int64_t began_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() - began_ms < 4000) {
        peer_send(&peer, FIN | OP_PONG, VIEW(""));
        peer_run_for(&peer, 50);
        take_some(&peer);
    }
    assert_int_equal(peer.closed, 0);
    peer_close(&peer);
}

static void answer_with_two_mebibytes(struct peer *peer)
{
    struct err err;
    assert_true(send_bytes(peer, TWO_MEBIBYTES, &err));
}

static void a_peer_that_does_not_take_answers_is_not_read(void **state)
{
    (void)state;
    enum { ASKED = 20 };
    struct peer peer;
    peer_open(&peer, WS_SERVER, &pressing);
    peer.on_message = answer_with_two_mebibytes;
    for (int i = 0; i < ASKED; i++) {
        peer_send(&peer, FIN | OP_TEXT, VIEW("more"));
    }
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    peer_run_for(&peer, 100);
    assert_int_equal(peer.messages, 1);
    for (int i = 0; i < ASKED; i++) {
        struct peer_frame frame = peer_next(&peer);
        assert_int_equal(frame.payload.len, TWO_MEBIBYTES);
        assert_in_range(ws_backlog(peer.socket), 0, THREE_MEBIBYTES + 100);
    }
    assert_int_equal(peer.messages, ASKED);
    peer_close(&peer);
}

static void a_close_ends_back_pressure(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &pressing);
    peer.on_message = answer_with_two_mebibytes;
    peer_send(&peer, FIN | OP_TEXT, VIEW("more"));
    peer_send(&peer, FIN | OP_TEXT, VIEW("more"));
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    peer_run_for(&peer, 50);
    assert_int_equal(peer.messages, 1);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    ws_close(peer.socket, WS_CLOSE_RESTART, NULL);
    assert_int_equal(peer_next(&peer).payload.len, TWO_MEBIBYTES);
    peer_expect_close(&peer, WS_CLOSE_RESTART);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.messages, 1);
    peer_close(&peer);
}

static void pings_keep_a_quiet_connection(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &brisk);
    int64_t began_ms = clock_monotonic_ms();
    for (int i = 0; i < 8; i++) {
        peer_expect(&peer, FIN | OP_PING, VIEW(""));
        peer_send(&peer, FIN | OP_PONG, VIEW(""));
    }
    assert_true(clock_monotonic_ms() - began_ms >= 1200);
    assert_int_equal(peer.closed, 0);
    peer_close(&peer);
}

static void silence_ends_a_connection(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &brisk);
    int64_t began_ms = clock_monotonic_ms();
    struct peer_frame frame = peer_next(&peer);
    while (frame.first == (FIN | OP_PING)) {
        frame = peer_next(&peer);
    }
    assert_int_equal(frame.first, FIN | OP_CLOSE);
    assert_true(clock_monotonic_ms() - began_ms >= SILENCE_MS - 50);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_IDLE);
    peer_close(&peer);
}

static void a_frozen_peer_is_left_alone(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &brisk);
    ws_set_liveness(peer.socket, false);
    peer_run_for(&peer, SILENCE_MS + 500);
    assert_int_equal(peer.closed, 0);
    char byte;
    assert_int_equal(read(peer.fd, &byte, 1), -1);
    ws_set_liveness(peer.socket, true);
    peer_expect(&peer, FIN | OP_PING, VIEW(""));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_IDLE);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_one_message),
        cmocka_unit_test(a_client_masks_with_keys_that_differ),
        cmocka_unit_test(sizes_around_the_length_codings_arrive),
        cmocka_unit_test(the_owner_hears_that_the_backlog_shrank),
        cmocka_unit_test(the_owner_hears_it_at_the_soft_mark_when_there_is_one),
        cmocka_unit_test(a_peer_that_does_not_take_streams_is_kept_longer),
        cmocka_unit_test(texts_that_were_taken_do_not_count_any_more),
        cmocka_unit_test(a_message_in_which_the_owner_pauses_comes_again),
        cmocka_unit_test(what_comes_again_is_the_same_message),
        cmocka_unit_test(a_paused_peer_is_not_silent),
        cmocka_unit_test(a_paused_socket_can_be_closed),
        cmocka_unit_test(a_message_over_the_hard_limit_closes),
        cmocka_unit_test(a_peer_that_takes_nothing_is_closed),
        cmocka_unit_test(a_peer_that_takes_slowly_is_not_closed),
        cmocka_unit_test(a_peer_that_does_not_take_answers_is_not_read),
        cmocka_unit_test(a_close_ends_back_pressure),
        cmocka_unit_test(pings_keep_a_quiet_connection),
        cmocka_unit_test(silence_ends_a_connection),
        cmocka_unit_test(a_frozen_peer_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
