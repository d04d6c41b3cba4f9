#include "tests/unit/ws/peer.h"

#include "common/base/clock.h"

#include <stdio.h>
#include <sys/socket.h>

static bool send_text(struct peer *peer, const char *text, struct err *err)
{
    const struct view part = view_of(text);
    return ws_send(peer->socket, WS_TEXT, &part, 1, err);
}

static void a_close_is_answered_with_its_code(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x0f\xa0see you"));
    peer_expect(&peer, FIN | OP_CLOSE, VIEW("\x0f\xa0"));
    (void)close(peer.fd);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, 4000);
    peer.fd = -1;
    peer_close(&peer);
}

static void a_close_without_code_is_answered_without_one(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_send(&peer, FIN | OP_CLOSE, VIEW(""));
    peer_expect(&peer, FIN | OP_CLOSE, VIEW(""));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_NO_CODE);
    peer_close(&peer);
}

static void the_answer_goes_out_though_the_peer_shut_its_side(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
    peer_expect(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_NORMAL);
    peer_close(&peer);
}

static void the_connection_ends_within_a_second_of_the_closing(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    peer_expect_close(&peer, WS_CLOSE_NORMAL);
    int64_t began_ms = clock_monotonic_ms();
    char byte;
    ssize_t got = -1;
    PEER_RUN_UNTIL(&peer, (got = read(peer.fd, &byte, 1)) == 0);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    /* Less than one whose peer does not answer is given. */
    assert_true(clock_monotonic_ms() - began_ms < 4500);
    assert_int_equal(got, 0);
    peer_close(&peer);
}

static void a_peer_that_closes_is_sent_what_waits_as_long_as_it_takes_it(void **state)
{
    (void)state;
    enum { LARGE = 3 * 1024 * 1024, LONG_MS = 6500 };
    static char large[LARGE];
    struct peer peer;
    struct err err;
    char bytes[16384];
    const struct view part = {large, sizeof large};
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    assert_true(ws_send(peer.socket, WS_BINARY, &part, 1, &err));
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    int64_t began_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() - began_ms < LONG_MS) {
        peer_run_for(&peer, 50);
        ssize_t got = read(peer.fd, bytes, sizeof bytes);
        assert_true(got > 0);
        str_append(&peer.received, bytes, (size_t)got);
    }
    assert_int_equal(peer.closed, 0);
    assert_int_equal(peer_next(&peer).payload.len, LARGE);
    peer_expect_close(&peer, WS_CLOSE_NORMAL);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_NORMAL);
    peer_close(&peer);
}

static void a_peer_that_closes_and_takes_nothing_is_not_waited_for(void **state)
{
    (void)state;
    enum { LARGE = 3 * 1024 * 1024 };
    static char large[LARGE];
    struct peer peer;
    struct err err;
    const struct view part = {large, sizeof large};
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    assert_true(ws_send(peer.socket, WS_BINARY, &part, 1, &err));
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_NORMAL);
    peer_close(&peer);
}

static void data_after_a_close_is_ignored(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(1024);
    peer_append_frame(&bytes, true, FIN | OP_CLOSE, VIEW("\x03\xe8"));
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("late"));
    peer_append_frame(&bytes, true, FIN | OP_PING, VIEW("late"));
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_write(&peer, str_view(&bytes));
    peer_expect_close(&peer, WS_CLOSE_NORMAL);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.messages, 0);
    assert_int_equal(peer.received.len, 0);
    str_free(&bytes);
    peer_close(&peer);
}

static void close_frames_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view payload;
        int code;
    } cases[] = {
        {"one byte", VIEW("\x03"), 1002},
        {"999", VIEW("\x03\xe7"), 1002},
        {"0", VIEW("\0\0"), 1002},
        {"1004", VIEW("\x03\xec"), 1002},
        {"1005", VIEW("\x03\xed"), 1002},
        {"1006", VIEW("\x03\xee"), 1002},
        {"1015", VIEW("\x03\xf7"), 1002},
        {"1016", VIEW("\x03\xf8"), 1002},
        {"2999", VIEW("\x0b\xb7"), 1002},
        {"5000", VIEW("\x13\x88"), 1002},
        {"65535", VIEW("\xff\xff"), 1002},
        {"bad reason", VIEW("\x03\xe8\xc0\xaf"), 1007},
        {"1003", VIEW("\x03\xeb"), 1003},
        {"1007", VIEW("\x03\xef"), 1007},
        {"1012", VIEW("\x03\xf4"), 1012},
        {"1013", VIEW("\x03\xf5"), 1013},
        {"1014", VIEW("\x03\xf6"), 1014},
        {"3000", VIEW("\x0b\xb8"), 3000},
        {"4999 and why", VIEW("\x13\x87ok"), 4999},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer;
        print_message("%s\n", cases[i].name);
        peer_open(&peer, WS_CLIENT, &ws_default_limits);
        peer_send(&peer, FIN | OP_CLOSE, cases[i].payload);
        peer_expect_close(&peer, cases[i].code);
        (void)shutdown(peer.fd, SHUT_WR);
        PEER_RUN_UNTIL(&peer, peer.closed > 0);
        assert_int_equal(peer.closed_code, cases[i].code);
        peer_close(&peer);
    }
}

static void our_close_waits_for_the_answer(void **state)
{
    (void)state;
    struct peer peer;
    struct err err = {0};
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    ws_close(peer.socket, WS_CLOSE_RESTART, "back soon");
    ws_close(peer.socket, WS_CLOSE_POLICY, "not sent");
    assert_false(send_text(&peer, "not sent", &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    peer_expect(&peer, FIN | OP_CLOSE,
                VIEW("\x03\xf4"
                     "back soon"));
    peer_send(&peer, FIN | OP_TEXT, VIEW("not delivered"));
    peer_send(&peer, FIN | OP_PING, VIEW("not answered"));
    peer_run_for(&peer, 100);
    assert_int_equal(peer.closed, 0);
    peer_send(&peer, FIN | OP_CLOSE, VIEW("\x03\xf4"));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_RESTART);
    assert_int_equal(peer.messages, 0);
    assert_int_equal(peer.received.len, 0);
    peer_close(&peer);
}

static void an_answer_that_does_not_come_is_waited_for_5_seconds(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    int64_t began_ms = clock_monotonic_ms();
    ws_close(peer.socket, WS_CLOSE_NORMAL, NULL);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_true(clock_monotonic_ms() - began_ms >= 4900);
    assert_int_equal(peer.closed_code, WS_CLOSE_NORMAL);
    peer_close(&peer);
}

static void a_long_reason_is_cut_at_a_character(void **state)
{
    (void)state;
    struct peer peer;
    char reason[200] = "";
    for (int i = 0; i < 99; i++) {
        memcpy(reason + (size_t)i * 2, "\xc3\xa9", 3);
    }
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    ws_close(peer.socket, WS_CLOSE_NORMAL, reason);
    struct peer_frame frame = peer_next(&peer);
    assert_int_equal(frame.payload.len, 2 + 122);
    peer_close(&peer);
}

static void an_end_without_a_word_is_1006(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_write(&peer, VIEW("\x81\x85mas"));
    assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.closed_code, WS_CLOSE_ABNORMAL);
    peer_run_for(&peer, 50);
    assert_int_equal(peer.closed, 1);
    peer_close(&peer);
}

static void free_socket(struct peer *peer)
{
    ws_socket_free(peer->socket);
    peer->socket = NULL;
}

static void a_socket_may_be_freed_in_on_message(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(1024);
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("first"));
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("second"));
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer.on_message = free_socket;
    peer_write(&peer, str_view(&bytes));
    PEER_RUN_UNTIL(&peer, peer.messages > 0);
    peer_run_for(&peer, 50);
    assert_int_equal(peer.messages, 1);
    assert_int_equal(peer.closed, 0);
    char byte;
    assert_int_equal(read(peer.fd, &byte, 1), 0);
    str_free(&bytes);
    peer_close(&peer);
}

static void close_socket(struct peer *peer)
{
    ws_close(peer->socket, WS_CLOSE_SANDBOX_GONE, "gone");
    assert_string_equal(peer->last.data, "first");
}

static void a_socket_may_be_closed_in_on_message(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(1024);
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("first"));
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("second"));
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer.on_message = close_socket;
    peer_write(&peer, str_view(&bytes));
    peer_expect_close(&peer, WS_CLOSE_SANDBOX_GONE);
    assert_int_equal(peer.messages, 1);
    str_free(&bytes);
    peer_close(&peer);
}

static struct ws_socket *socket_to_free;
static int freed_with;
static void free_when_closed(int code, void *arg)
{
    (void)arg;
    freed_with = code;
    ws_socket_free(socket_to_free);
}
static void ignore_message(enum ws_opcode opcode, struct view message, void *arg)
{
    (void)opcode;
    (void)message;
    (void)arg;
}

static void a_socket_may_be_freed_in_on_closed(void **state)
{
    (void)state;
    static const struct ws_events events = {ignore_message, free_when_closed, NULL};
    struct err err;
    int fds[2];
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    socket_to_free = ws_socket_new(
        loop, WS_SERVER, bufferevent_socket_new(loop_base(loop), fds[0], BEV_OPT_CLOSE_ON_FREE),
        &ws_default_limits, &events, NULL, &err);
    assert_non_null(socket_to_free);
    (void)close(fds[1]);
    while (freed_with == 0) {
        (void)event_base_loop(loop_base(loop), EVLOOP_ONCE);
    }
    assert_int_equal(freed_with, WS_CLOSE_ABNORMAL);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_is_answered_with_its_code),
        cmocka_unit_test(a_close_without_code_is_answered_without_one),
        cmocka_unit_test(the_answer_goes_out_though_the_peer_shut_its_side),
        cmocka_unit_test(the_connection_ends_within_a_second_of_the_closing),
        cmocka_unit_test(a_peer_that_closes_is_sent_what_waits_as_long_as_it_takes_it),
        cmocka_unit_test(a_peer_that_closes_and_takes_nothing_is_not_waited_for),
        cmocka_unit_test(data_after_a_close_is_ignored),
        cmocka_unit_test(close_frames_are_checked),
        cmocka_unit_test(our_close_waits_for_the_answer),
        cmocka_unit_test(an_answer_that_does_not_come_is_waited_for_5_seconds),
        cmocka_unit_test(a_long_reason_is_cut_at_a_character),
        cmocka_unit_test(an_end_without_a_word_is_1006),
        cmocka_unit_test(a_socket_may_be_freed_in_on_message),
        cmocka_unit_test(a_socket_may_be_closed_in_on_message),
        cmocka_unit_test(a_socket_may_be_freed_in_on_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
