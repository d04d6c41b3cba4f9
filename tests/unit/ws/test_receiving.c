#include "tests/unit/ws/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { SMALL_MESSAGE_MAX = 1000, SMALL_FRAGMENTS_MAX = 5, BIG_MESSAGE = 16 * 1024 * 1024 };

static const struct ws_limits small_limits = {
    .message_max = SMALL_MESSAGE_MAX,
    .fragments_max = SMALL_FRAGMENTS_MAX,
    .backlog_max = 4096,
    .backlog_hard_max = 65536,
    .stall_max_ms = 10000,
    .pings_per_s_max = 3,
};

static void expect_message(struct peer *peer, size_t number, enum ws_opcode opcode,
                           struct view text)
{
    PEER_RUN_UNTIL(peer, peer->messages >= number);
    assert_int_equal(peer->messages, number);
    assert_int_equal(peer->last_opcode, opcode);
    assert_int_equal(peer->last.len, text.len);
    if (text.len > 0) {
        assert_memory_equal(peer->last.data, text.ptr, text.len);
    }
}

static void messages_are_delivered_in_order(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_send(&peer, FIN | OP_TEXT, VIEW("h\xc3\xa9llo"));
    expect_message(&peer, 1, WS_TEXT, VIEW("h\xc3\xa9llo"));
    peer_send(&peer, FIN | OP_BINARY, VIEW("\0\xff"));
    expect_message(&peer, 2, WS_BINARY, VIEW("\0\xff"));
    peer_send(&peer, FIN | OP_TEXT, VIEW(""));
    expect_message(&peer, 3, WS_TEXT, VIEW(""));
    peer_close(&peer);
}

static void a_client_takes_unmasked_frames(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_CLIENT, &small_limits);
    peer_send(&peer, FIN | OP_TEXT, VIEW("from the server"));
    expect_message(&peer, 1, WS_TEXT, VIEW("from the server"));
    peer_close(&peer);
}

static void bytes_that_wait_are_frames(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(1024);
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("early"));
    peer_open_with_input(&peer, WS_SERVER, &small_limits, str_view(&bytes));
    expect_message(&peer, 1, WS_TEXT, VIEW("early"));
    str_free(&bytes);
    peer_close(&peer);
}

static void fragments_are_joined_with_control_frames_between(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_send(&peer, OP_TEXT, VIEW("one \xf0\x9f"));
    peer_send(&peer, FIN | OP_PING, VIEW("are you there"));
    peer_send(&peer, OP_CONTINUATION, VIEW(""));
    peer_send(&peer, FIN | OP_PONG, VIEW("nobody asked"));
    peer_send(&peer, FIN | OP_CONTINUATION, VIEW("\x98\x80 two"));
    peer_expect(&peer, FIN | OP_PONG, VIEW("are you there"));
    expect_message(&peer, 1, WS_TEXT, VIEW("one \xf0\x9f\x98\x80 two"));
    peer_close(&peer);
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(8192);
    char text[300];
    memset(text, 'x', sizeof text);
    peer_append_frame(&bytes, true, OP_TEXT, VIEW("a\xe2"));
    peer_append_frame(&bytes, true, FIN | OP_PING, VIEW("p"));
    peer_append_frame(&bytes, true, FIN | OP_CONTINUATION, VIEW("\x82\xac"));
    peer_append_frame(&bytes, true, FIN | OP_BINARY, (struct view){text, sizeof text});
    peer_open(&peer, WS_SERVER, &small_limits);
    for (size_t i = 0; i < bytes.len; i++) {
        peer_write(&peer, (struct view){bytes.data + i, 1});
        (void)event_base_loop(loop_base(peer.loop), EVLOOP_NONBLOCK);
    }
    peer_expect(&peer, FIN | OP_PONG, VIEW("p"));
    expect_message(&peer, 2, WS_BINARY, (struct view){text, sizeof text});
    str_free(&bytes);
    peer_close(&peer);
}

static void a_message_of_the_greatest_size_arrives_whole(void **state)
{
    (void)state;
    struct peer peer;
    char *bytes = malloc(BIG_MESSAGE);
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG_MESSAGE; i++) {
        bytes[i] = (char)(i * 31 + i / 4096);
    }
    peer_open(&peer, WS_SERVER, &ws_default_limits);
    peer_send(&peer, FIN | OP_BINARY, (struct view){bytes, BIG_MESSAGE});
    expect_message(&peer, 1, WS_BINARY, (struct view){bytes, BIG_MESSAGE});
    free(bytes);
    peer_close(&peer);
}

/* Frames of a client in the order they are sent; {0} ends them. */
struct sent {
    uint8_t first;
    struct view payload;
};
static const struct breach_case {
    const char *name;
    int code;
    struct sent frames[SMALL_FRAGMENTS_MAX + 2];
} breach_cases[] = {
    {"invalid UTF-8", 1007, {{FIN | OP_TEXT, VIEW("ab\xff")}}},
    {"overlong UTF-8", 1007, {{FIN | OP_TEXT, VIEW("\xc0\x80")}}},
    {"a surrogate", 1007, {{FIN | OP_TEXT, VIEW("\xed\xa0\x80")}}},
    {"above U+10FFFF", 1007, {{FIN | OP_TEXT, VIEW("\xf4\x90\x80\x80")}}},
    {"a character cut at the end", 1007, {{FIN | OP_TEXT, VIEW("ok \xe2\x82")}}},
    {"invalid UTF-8 in a first fragment", 1007, {{OP_TEXT, VIEW("\xce\xff.")}}},
    {"a character cut and not continued",
     1007,
     {{OP_TEXT, VIEW("\xe2\x82")}, {OP_CONTINUATION, VIEW("a")}}},
    {"a continuation of nothing", 1002, {{FIN | OP_CONTINUATION, VIEW("a")}}},
    {"a continuation after a whole message",
     1002,
     {{FIN | OP_TEXT, VIEW("a")}, {OP_CONTINUATION, VIEW("b")}}},
    {"a message inside a message", 1002, {{OP_TEXT, VIEW("a")}, {FIN | OP_BINARY, VIEW("b")}}},
    {"an unknown opcode", 1002, {{FIN | 3, VIEW("a")}}},
    {"a reserved bit", 1002, {{FIN | 0x40 | OP_TEXT, VIEW("a")}}},
    {"too many fragments",
     1008,
     {{OP_BINARY, VIEW("a")},
      {OP_CONTINUATION, VIEW("")},
      {OP_CONTINUATION, VIEW("")},
      {OP_CONTINUATION, VIEW("")},
      {OP_CONTINUATION, VIEW("")},
      {FIN | OP_CONTINUATION, VIEW("a")}}},
    {"too many pings",
     1008,
     {{FIN | OP_PING, VIEW("")},
      {FIN | OP_PING, VIEW("")},
      {FIN | OP_PING, VIEW("")},
      {FIN | OP_PING, VIEW("")}}},
};

static void breaches_close_with_their_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof breach_cases / sizeof breach_cases[0]; i++) {
        const struct breach_case *breach = &breach_cases[i];
        struct peer peer;
        print_message("%s\n", breach->name);
        peer_open(&peer, WS_SERVER, &small_limits);
        for (const struct sent *frame = breach->frames; frame->payload.ptr != NULL; frame++) {
            peer_send(&peer, frame->first, frame->payload);
        }
        struct peer_frame answer = peer_next(&peer);
        while (answer.first == (FIN | OP_PONG)) {
            answer = peer_next(&peer);
        }
        assert_int_equal(answer.first, FIN | OP_CLOSE);
        assert_int_equal((uint8_t)answer.payload.ptr[0] * 256 + (uint8_t)answer.payload.ptr[1],
                         breach->code);
        (void)shutdown(peer.fd, SHUT_WR);
        PEER_RUN_UNTIL(&peer, peer.closed > 0);
        assert_int_equal(peer.closed_code, breach->code);
        assert_int_equal(peer.closed, 1);
        peer_close(&peer);
    }
}

static void an_unmasked_frame_of_a_client_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_write(&peer, VIEW("\x81\x01x"));
    peer_expect_close(&peer, WS_CLOSE_PROTOCOL);
    assert_int_equal(peer.messages, 0);
    peer_close(&peer);
}

static void a_masked_frame_of_a_server_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_CLIENT, &small_limits);
    peer_write(&peer, VIEW("\x81\x81\0\0\0\0x"));
    peer_expect_close(&peer, WS_CLOSE_PROTOCOL);
    peer_close(&peer);
}

static void the_header_alone_of_a_message_too_big_is_refused(void **state)
{
    (void)state;
    struct peer peer;
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_write(&peer, VIEW("\x82\xff\0\0\1\0\0\0\0\0mask"));
    peer_expect_close(&peer, WS_CLOSE_TOO_BIG);
    peer_close(&peer);
}

static void fragments_are_too_big_together(void **state)
{
    (void)state;
    struct peer peer;
    char half[SMALL_MESSAGE_MAX / 2] = {0};
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_send(&peer, OP_BINARY, (struct view){half, sizeof half});
    peer_send(&peer, OP_CONTINUATION, (struct view){half, sizeof half});
    peer_send(&peer, FIN | OP_CONTINUATION, VIEW("1"));
    peer_expect_close(&peer, WS_CLOSE_TOO_BIG);
    assert_int_equal(peer.messages, 0);
    peer_close(&peer);
}

static void nothing_is_delivered_after_a_breach(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes = STR_INIT(1024);
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("good"));
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("\xff"));
    peer_append_frame(&bytes, true, FIN | OP_TEXT, VIEW("not seen"));
    peer_open(&peer, WS_SERVER, &small_limits);
    peer_write(&peer, str_view(&bytes));
    peer_expect_close(&peer, WS_CLOSE_BAD_UTF8);
    peer_send(&peer, FIN | OP_TEXT, VIEW("not seen either"));
    PEER_RUN_UNTIL(&peer, peer.closed > 0);
    assert_int_equal(peer.messages, 1);
    str_free(&bytes);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_delivered_in_order),
        cmocka_unit_test(a_client_takes_unmasked_frames),
        cmocka_unit_test(bytes_that_wait_are_frames),
        cmocka_unit_test(fragments_are_joined_with_control_frames_between),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(a_message_of_the_greatest_size_arrives_whole),
        cmocka_unit_test(breaches_close_with_their_code),
        cmocka_unit_test(an_unmasked_frame_of_a_client_is_refused),
        cmocka_unit_test(a_masked_frame_of_a_server_is_refused),
        cmocka_unit_test(the_header_alone_of_a_message_too_big_is_refused),
        cmocka_unit_test(fragments_are_too_big_together),
        cmocka_unit_test(nothing_is_delivered_after_a_breach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
