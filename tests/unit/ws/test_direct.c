/* Long messages, read past the bufferevent (ws_read_directly). */
#include "tests/unit/ws/peer.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    LONG = 64 * 1024 + 8, /* a stream's frame */
    SHORT = 5000,         /* libevent leaves some of it */
    SMALL = 10,
    CUT = 4099,
};

static const size_t lengths[] = {LONG, SMALL, SHORT, LONG, 0, LONG + 70000, SMALL};
enum { LENGTH_COUNT = sizeof lengths / sizeof lengths[0] };

/* Of the message that is the number-th, at an offset. */
static char byte_of(size_t number, size_t at)
{
    return (char)(number * 7 + at * 31 + at / 4096);
}

static struct view make_message(char *bytes, size_t number)
{
    size_t len = lengths[number];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = byte_of(number, i);
    }
    return (struct view){bytes, len};
}

static void check_message(struct peer *peer)
{
    size_t number = peer->messages - 1;
    assert_true(number < LENGTH_COUNT);
    assert_int_equal(peer->last.len, lengths[number]);
    for (size_t i = 0; i < lengths[number]; i++) {
        assert_int_equal(peer->last.data[i], byte_of(number, i));
    }
}

static void open_direct(struct peer *peer, enum ws_role role)
{
    peer_open(peer, role, &ws_default_limits);
    ws_read_directly(peer->socket);
    peer->on_message = check_message;
    (void)event_base_loop(loop_base(peer->loop), EVLOOP_NONBLOCK);
}

static void append_all(const struct peer *peer, struct str *out)
{
    char *bytes = malloc(LONG + 70000);
    assert_non_null(bytes);
    *out = STR_INIT(1024UL * 1024);
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        peer_append_frame(out, peer->role == WS_SERVER, FIN | OP_BINARY, make_message(bytes, i));
    }
    free(bytes);
}

static void a_long_message_takes_one_turn_of_the_loop(void **state)
{
    (void)state;
    static const enum ws_role roles[] = {WS_SERVER, WS_CLIENT};
    static char bytes[LONG];
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        struct peer peer;
        open_direct(&peer, roles[i]);
        peer_send(&peer, FIN | OP_BINARY, make_message(bytes, 0));
        assert_int_equal(peer.messages, 0);
        (void)event_base_loop(loop_base(peer.loop), EVLOOP_ONCE);
        assert_int_equal(peer.messages, 1);
        peer_close(&peer);
    }
}

static void messages_of_all_lengths_follow_each_other(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes;
    open_direct(&peer, WS_SERVER);
    append_all(&peer, &bytes);
    peer_write(&peer, str_view(&bytes));
    PEER_RUN_UNTIL(&peer, peer.messages == LENGTH_COUNT);
    str_free(&bytes);
    peer_close(&peer);
}

static void they_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes;
    open_direct(&peer, WS_SERVER);
    append_all(&peer, &bytes);
    struct view left = str_view(&bytes);
    while (left.len > 0) {
        size_t len = left.len < CUT ? left.len : CUT;
        peer_write(&peer, (struct view){left.ptr, len});
        (void)event_base_loop(loop_base(peer.loop), EVLOOP_NONBLOCK);
        left = view_from(left, len);
    }
    PEER_RUN_UNTIL(&peer, peer.messages == LENGTH_COUNT);
    str_free(&bytes);
    peer_close(&peer);
}

static void pause_after(struct peer *peer)
{
    check_message(peer);
    ws_pause(peer->socket);
}

static void a_pause_holds_what_follows_a_long_message(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes;
    open_direct(&peer, WS_CLIENT);
    append_all(&peer, &bytes);
    peer.on_message = pause_after;
    size_t first = LONG + 10;
    peer_write(&peer, (struct view){bytes.data, first + 100});
    PEER_RUN_UNTIL(&peer, peer.messages == 1);
    peer.on_message = NULL;
    peer_run_for(&peer, 20);
    assert_int_equal(peer.messages, 1);
    ws_resume(peer.socket); /* the same again, and what follows */
    peer_write(&peer, view_from(str_view(&bytes), first + 100));
    PEER_RUN_UNTIL(&peer, peer.messages == LENGTH_COUNT + 1);
    str_free(&bytes);
    peer_close(&peer);
}

static void free_socket(struct peer *peer)
{
    ws_socket_free(peer->socket);
    peer->socket = NULL;
}

static void the_socket_may_go_in_a_long_message(void **state)
{
    (void)state;
    struct peer peer;
    struct str bytes;
    open_direct(&peer, WS_SERVER);
    append_all(&peer, &bytes);
    peer.on_message = free_socket;
    peer_write(&peer, (struct view){bytes.data, LONG + 1000});
    PEER_RUN_UNTIL(&peer, peer.socket == NULL);
    assert_int_equal(peer.messages, 1);
    str_free(&bytes);
    peer_close(&peer);
}

static void a_long_text_must_be_utf_8_to_its_end(void **state)
{
    (void)state;
    static char text[LONG];
    struct peer peer;
    memset(text, 'x', sizeof text);
    text[LONG - 1] = '\xff';
    open_direct(&peer, WS_SERVER);
    peer_send(&peer, FIN | OP_TEXT, (struct view){text, sizeof text});
    peer_expect_close(&peer, WS_CLOSE_BAD_UTF8);
    assert_int_equal(peer.messages, 0);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_message_takes_one_turn_of_the_loop),
        cmocka_unit_test(messages_of_all_lengths_follow_each_other),
        cmocka_unit_test(they_may_be_cut_anywhere),
        cmocka_unit_test(a_pause_holds_what_follows_a_long_message),
        cmocka_unit_test(the_socket_may_go_in_a_long_message),
        cmocka_unit_test(a_long_text_must_be_utf_8_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
