/* gateway/ports/tunnel.c, from a client's socket to the agent. */
#include "tests/support/turn.h"
#include "tests/unit/gateway/port_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUIET_MS = 100, BULK = 8 * 1024 * 1024 };

static void bytes_and_ends_go_both_ways(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    assert_int_equal(send(fixture->fd, "hello", 5, 0), 5);
    assert_int_equal(shutdown(fixture->fd, SHUT_WR), 0);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, 0);
    assert_int_equal(fixture->received, 5);
    assert_true(fixture->fin);
    assert_false(fixture->reset);
}

static void what_is_sent_before_the_connection_stands_is_not_lost(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_wait_for_port(fixture);
    fixture->fd = port_stage_try_connect(fixture);
    assert_int_equal(send(fixture->fd, "hello", 5, 0), 5);
    assert_int_equal(shutdown(fixture->fd, SHUT_WR), 0);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, 0);
    assert_int_equal(fixture->received, 5);
}

static void sandbox_may_end_first_and_still_be_written_to(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    fixture->mute = true;
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    agent_send(&fixture->stage, fixture->streams[0], STREAM_DATA, VIEW("bye"));
    agent_send(&fixture->stage, fixture->streams[0], STREAM_FIN, (struct view){0});
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->received, 3);
    assert_false(fixture->fin);
    assert_int_equal(send(fixture->fd, "late", 4, 0), 4);
    assert_int_equal(shutdown(fixture->fd, SHUT_WR), 0);
    turn_until(fixture->stage.gateway.loop, &fixture->fin);
    assert_int_equal(fixture->bytes, 4);
    assert_false(fixture->reset);
}

static void port_that_nothing_listens_on_resets_the_client(void **state)
{
    struct port_stage *fixture = *state;
    fixture->dial_error = "connection_refused";
    port_stage_connect_client(fixture);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, ECONNRESET);
}

static void connection_that_breaks_inside_resets_the_client(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    agent_send(&fixture->stage, fixture->streams[0], STREAM_RESET, VIEW("connection_reset"));
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, ECONNRESET);
}

static void client_that_breaks_off_resets_the_stream(void **state)
{
    struct port_stage *fixture = *state;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    port_stage_connect_client(fixture);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_int_equal(setsockopt(fixture->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    (void)close(fixture->fd);
    fixture->fd = -1;
    turn_until(fixture->stage.gateway.loop, &fixture->reset);
}

static bool agent_has_its_credit(void *arg)
{
    const struct port_stage *fixture = arg;
    return fixture->bytes >= STREAM_WINDOW_INITIAL;
}

/* As much as the kernel takes. */
static size_t send_all(const struct port_stage *fixture, size_t most)
{
    static const char zeros[64 * 1024];
    size_t sent = 0;
    ssize_t len = 0;
    while (sent < most &&
           (len = send(fixture->fd, zeros, sizeof zeros < most - sent ? sizeof zeros : most - sent,
                       MSG_NOSIGNAL)) > 0) {
        sent += (size_t)len;
    }
    return sent;
}

static void client_is_not_read_beyond_the_credit_of_the_sandbox(void **state)
{
    struct port_stage *fixture = *state;
    size_t sent = 0;
    port_stage_connect_client(fixture);
    fixture->mute = true;
    sent += send_all(fixture, BULK);
    turn_until_true(fixture->stage.gateway.loop, agent_has_its_credit, fixture);
    for (int i = 0; i < 10; i++) {
        turn_for(fixture->stage.gateway.loop, 10);
        sent += send_all(fixture, BULK - sent);
    }
    assert_int_equal(fixture->bytes, STREAM_WINDOW_INITIAL);
    /* With credit, and its echo taken, all comes through. */
    agent_send_window(&fixture->stage, fixture->streams[0], BULK);
    while (fixture->bytes < BULK) {
        turn_for(fixture->stage.gateway.loop, 1);
        sent += send_all(fixture, BULK - sent);
    }
    assert_int_equal(sent, BULK);
}

/* Sends what it may. */
static void agent_sends(struct port_stage *fixture, size_t *sent)
{
    static const char zeros[32 * 1024];
    while (fixture->credit > 0 && *sent < BULK) {
        size_t len = fixture->credit < sizeof zeros ? fixture->credit : sizeof zeros;
        len = len < BULK - *sent ? len : BULK - *sent;
        agent_send(&fixture->stage, fixture->streams[0], STREAM_DATA, (struct view){zeros, len});
        fixture->credit -= len;
        *sent += len;
    }
}

static void sandbox_is_not_let_send_what_the_client_does_not_take(void **state)
{
    struct port_stage *fixture = *state;
    const int small = 16 * 1024;
    const int large = 1024 * 1024;
    size_t sent = 0;
    size_t before = 1;
    port_stage_connect_client(fixture);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_int_equal(setsockopt(fixture->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    while (sent != before) {
        before = sent;
        agent_sends(fixture, &sent);
        turn_for(fixture->stage.gateway.loop, QUIET_MS);
    }
    assert_true(sent < BULK);
    assert_int_equal(setsockopt(fixture->fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof large), 0);
    while (fixture->received < BULK) {
        agent_sends(fixture, &sent);
        turn_for(fixture->stage.gateway.loop, 1);
        port_stage_take_bytes(fixture);
        assert_int_equal(fixture->failure, 0);
    }
    assert_int_equal(fixture->received, BULK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, port_stage_open, port_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_and_ends_go_both_ways),
        TEST(what_is_sent_before_the_connection_stands_is_not_lost),
        TEST(sandbox_may_end_first_and_still_be_written_to),
        TEST(port_that_nothing_listens_on_resets_the_client),
        TEST(connection_that_breaks_inside_resets_the_client),
        TEST(client_that_breaks_off_resets_the_stream),
        TEST(client_is_not_read_beyond_the_credit_of_the_sandbox),
        TEST(sandbox_is_not_let_send_what_the_client_does_not_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
