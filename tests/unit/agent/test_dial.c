/* Real listeners on the loopback, at ports that the kernel chooses. */
#include "sandbox-service/agent/dial.h"
#include "tests/support/turn.h"
#include "tests/unit/agent/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MUCH = 2 * 1024 * 1024, PIECE = 32 * 1024, FILLERS = 4 };

struct fixture {
    struct peer peer;
    struct dials *dials;
    int listener;
    int accepted;
    uint16_t port;
};

static const char opened[] = "{\"id\":\"q\",\"type\":\"dialResponse\",\"streamId\":7}\n";

static int listen_on(int family, int backlog, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    const struct sockaddr *address =
        family == AF_INET ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6;
    socklen_t len = family == AF_INET ? sizeof in : sizeof in6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, address, len) != 0) {
        close_fd(&fd);
        return -1;
    }
    assert_int_equal(listen(fd, backlog), 0);
    struct sockaddr_in6 bound = {0};
    len = sizeof bound;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    *port = ntohs(bound.sin6_port); /* at the same place in both */
    return fd;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    fixture = (struct fixture){.accepted = -1};
    peer_open(&fixture.peer);
    fixture.dials = dials_new(fixture.peer.loop, fixture.peer.streams, &err);
    assert_non_null(fixture.dials);
    fixture.listener = listen_on(AF_INET, 1, &fixture.port);
    assert_true(fixture.listener >= 0);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    peer_close_streams(&fixture->peer);
    dials_free(fixture->dials);
    peer_close(&fixture->peer);
    close_fd(&fixture->listener);
    close_fd(&fixture->accepted);
    return 0;
}

static void dial(struct fixture *fixture)
{
    const struct agent_dial request = {.port = fixture->port, .stream_id = PEER_STREAM};
    dial_begin(fixture->dials, &fixture->peer.reply, &request);
}

static void dial_and_accept(struct fixture *fixture)
{
    dial(fixture);
    peer_wait_answers(&fixture->peer, 1);
    assert_string_equal(fixture->peer.texts.data, opened);
    fixture->accepted = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fixture->accepted >= 0);
}

static bool stream_is_open(struct fixture *fixture)
{
    static const struct stream_events none = {.on_closed = NULL};
    struct err err;
    struct stream *stream =
        stream_open(fixture->peer.streams, &fixture->peer.reply, PEER_STREAM, &none, NULL, &err);
    if (stream != NULL) {
        stream_close(stream);
    }
    return stream == NULL;
}

static void bytes_go_both_ways(void **state)
{
    struct fixture *fixture = *state;
    char buffer[8] = "";
    dial_and_accept(fixture);
    peer_send(&fixture->peer, STREAM_DATA, VIEW("hello"));
    assert_int_equal(read(fixture->accepted, buffer, sizeof buffer), 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(write(fixture->accepted, "welcome", 7), 7);
    peer_wait_data(&fixture->peer, 7);
    assert_memory_equal(fixture->peer.data.data, "welcome", 7);
}

/* Connections to the listener that nobody uses, more than its backlog. */
static void fill_backlog(const struct fixture *fixture, int fillers[FILLERS])
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(fixture->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (const struct sockaddr *)&address, sizeof address);
    }
}

/* All that was accepted, the dialled connection among it. */
struct accepts {
    int listener;
    int fds[FILLERS + 1];
    size_t count;
    char heard[8];
};

/* Accepts what is there and reads what came; true when something did. */
static bool accept_and_hear(void *arg)
{
    struct accepts *accepts = arg;
    int fd;
    while (accepts->count <= FILLERS &&
           (fd = accept4(accepts->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        accepts->fds[accepts->count++] = fd;
    }
    for (size_t i = 0; i < accepts->count; i++) {
        if (read(accepts->fds[i], accepts->heard, sizeof accepts->heard - 1) > 0) {
            return true;
        }
    }
    return false;
}

static void what_was_sent_before_it_is_connected_arrives(void **state)
{
    struct fixture *fixture = *state;
    struct accepts accepts = {.listener = fixture->listener};
    int fillers[FILLERS];
    /* The backlog is full, so that connecting takes until somebody accepts. */
    fill_backlog(fixture, fillers);
    dial(fixture);
    turn_for(fixture->peer.loop, 20);
    assert_int_equal(fixture->peer.answers, 0);
    peer_send(&fixture->peer, STREAM_DATA, VIEW("early"));
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    turn_until_true(fixture->peer.loop, accept_and_hear, &accepts);
    assert_string_equal(accepts.heard, "early");
    assert_string_equal(fixture->peer.texts.data, opened);
    for (size_t i = 0; i < FILLERS; i++) {
        close_fd(&fillers[i]);
    }
    for (size_t i = 0; i < accepts.count; i++) {
        close_fd(&accepts.fds[i]);
    }
}

static void each_direction_ends_by_itself(void **state)
{
    struct fixture *fixture = *state;
    char buffer[8] = "";
    dial_and_accept(fixture);
    peer_send(&fixture->peer, STREAM_DATA, VIEW("last"));
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    assert_int_equal(read(fixture->accepted, buffer, sizeof buffer), 4);
    assert_int_equal(read(fixture->accepted, buffer, sizeof buffer), 0);
    assert_int_equal(write(fixture->accepted, "after", 5), 5);
    peer_wait_data(&fixture->peer, 5);
    assert_false(fixture->peer.fin);
    close_fd(&fixture->accepted);
    fixture->accepted = -1;
    peer_wait_fin(&fixture->peer);
    assert_false(stream_is_open(fixture));
    assert_false(fixture->peer.reset);
}

static void the_other_end_may_finish_first(void **state)
{
    struct fixture *fixture = *state;
    char buffer[8] = "";
    dial_and_accept(fixture);
    assert_int_equal(shutdown(fixture->accepted, SHUT_WR), 0);
    peer_wait_fin(&fixture->peer);
    assert_true(stream_is_open(fixture));
    peer_send(&fixture->peer, STREAM_DATA, VIEW("still"));
    assert_int_equal(read(fixture->accepted, buffer, sizeof buffer), 5);
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    assert_false(stream_is_open(fixture));
}

static void a_broken_connection_is_a_reset_behind_its_bytes(void **state)
{
    struct fixture *fixture = *state;
    const struct linger at_once = {.l_onoff = 1};
    dial_and_accept(fixture);
    assert_int_equal(write(fixture->accepted, "bytes", 5), 5);
    peer_wait_data(&fixture->peer, 5);
    assert_int_equal(setsockopt(fixture->accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
                     0);
    close_fd(&fixture->accepted);
    fixture->accepted = -1;
    peer_wait_reset(&fixture->peer, "connection_reset");
    assert_false(fixture->peer.fin);
    assert_false(stream_is_open(fixture));
}

static bool has_used_its_credit(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->peer.data.len >= STREAM_WINDOW_INITIAL;
}

static void much_is_read_no_faster_than_credit_comes(void **state)
{
    struct fixture *fixture = *state;
    static char block[PIECE];
    size_t wrote = 0;
    ssize_t step = 0;
    dial_and_accept(fixture);
    /* Until the kernel takes no more, or as much as is wanted. */
    while (wrote < MUCH && (step >= 0 || !has_used_its_credit(fixture))) {
        step = write(fixture->accepted, block, sizeof block);
        assert_true(step > 0 || errno == EAGAIN);
        wrote += step > 0 ? (size_t)step : 0;
        turn_for(fixture->peer.loop, 1);
    }
    turn_until_true(fixture->peer.loop, has_used_its_credit, fixture);
    turn_for(fixture->peer.loop, 20);
    assert_int_equal(fixture->peer.data.len, STREAM_WINDOW_INITIAL);
    peer_wait_data(&fixture->peer, wrote);
    assert_int_equal(fixture->peer.data.len, wrote);
}

static void a_slow_reader_is_granted_no_more_until_it_reads(void **state)
{
    struct fixture *fixture = *state;
    static char block[PIECE];
    size_t sent = 0, got = 0;
    dial_and_accept(fixture);
    /* As much as the kernel's buffers take, and then the window. */
    while (sent + PIECE <= STREAM_WINDOW_INITIAL + fixture->peer.granted) {
        assert_true(sent < 64 * (size_t)MUCH);
        peer_send(&fixture->peer, STREAM_DATA, (struct view){block, sizeof block});
        sent += sizeof block;
        turn_for(fixture->peer.loop, 0);
    }
    while (got < sent) {
        ssize_t step = read(fixture->accepted, block, sizeof block);
        got += step > 0 ? (size_t)step : 0;
        turn_for(fixture->peer.loop, step > 0 ? 0 : 1);
    }
    assert_int_equal(got, sent);
    assert_true(sent - fixture->peer.granted < STREAM_WINDOW_INITIAL / 4);
}

static void a_port_that_nobody_listens_on_is_refused(void **state)
{
    struct fixture *fixture = *state;
    close_fd(&fixture->listener);
    fixture->listener = -1;
    dial(fixture);
    peer_wait_answers(&fixture->peer, 1);
    peer_expect_error(&fixture->peer, "connection_refused");
    assert_false(stream_is_open(fixture));
}

static void a_listener_on_the_second_address_alone_is_found(void **state)
{
    struct fixture *fixture = *state;
    close_fd(&fixture->listener);
    fixture->listener = listen_on(AF_INET6, 1, &fixture->port);
    if (fixture->listener < 0) {
        skip(); /* this machine has no IPv6 */
    }
    dial_and_accept(fixture);
}

static void a_stream_that_is_in_use_is_refused(void **state)
{
    struct fixture *fixture = *state;
    dial_and_accept(fixture);
    dial(fixture);
    peer_expect_error(&fixture->peer, "stream_in_use");
}

static void a_reset_and_the_loss_of_the_connection_close_it(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    dial_and_accept(fixture);
    peer_send(&fixture->peer, STREAM_RESET, VIEW(""));
    assert_int_equal(read(fixture->accepted, &byte, 1), 0);
    close_fd(&fixture->accepted);
    peer_forget_texts(&fixture->peer);
    dial_and_accept(fixture);
    streams_on_lost(fixture->peer.streams);
    assert_int_equal(read(fixture->accepted, &byte, 1), 0);
}

#define DIAL_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIAL_TEST(bytes_go_both_ways),
        DIAL_TEST(what_was_sent_before_it_is_connected_arrives),
        DIAL_TEST(each_direction_ends_by_itself),
        DIAL_TEST(the_other_end_may_finish_first),
        DIAL_TEST(a_broken_connection_is_a_reset_behind_its_bytes),
        DIAL_TEST(much_is_read_no_faster_than_credit_comes),
        DIAL_TEST(a_slow_reader_is_granted_no_more_until_it_reads),
        DIAL_TEST(a_port_that_nobody_listens_on_is_refused),
        DIAL_TEST(a_listener_on_the_second_address_alone_is_found),
        DIAL_TEST(a_stream_that_is_in_use_is_refused),
        DIAL_TEST(a_reset_and_the_loss_of_the_connection_close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
