/* gateway/ports/host_ports.c and listener.c: what is listened on, and when. */
#include "gateway/ports/listener.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/port_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUIET_MS = 100 };

static void agent_that_comes_has_its_ports_opened(void **state)
{
    struct port_stage *fixture = *state;
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_listening, fixture);
}

static void closed_port_is_left_and_its_connections_are_reset(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    port_stage_expose_nothing(fixture);
    host_ports_check(fixture->ports, STAGE_SANDBOX_ID);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_not_listening, fixture);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, ECONNRESET);
}

static void expect_reset(struct port_stage *fixture)
{
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, ECONNRESET);
    (void)close(fixture->fd);
    fixture->failure = 0;
    fixture->dials = 0;
}

static void port_exposed_anew_resets_what_came_before(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    port_stage_expose_as(fixture, PORT_TOKEN, '7');
    host_ports_check(fixture->ports, STAGE_SANDBOX_ID);
    expect_reset(fixture);
    port_stage_connect_client(fixture);
}

static void port_that_is_public_no_more_resets_what_came_before(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_expose_as(fixture, PORT_PUBLIC, '4');
    port_stage_connect_client(fixture);
    port_stage_expose_as(fixture, PORT_TOKEN, '4');
    host_ports_check(fixture->ports, STAGE_SANDBOX_ID);
    expect_reset(fixture);
    port_stage_connect_client(fixture);
    port_stage_expose_as(fixture, PORT_PUBLIC, '4');
    port_stage_wait_for_port(fixture);
    assert_false(port_stage_has_ended(fixture));
    port_stage_expose_as(fixture, PORT_TOKEN, '4');
    port_stage_wait_for_port(fixture);
    expect_reset(fixture);
    fixture->fd = -1;
}

static void news_that_anything_may_have_changed_are_followed(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_wait_for_port(fixture);
    port_stage_expose_nothing(fixture);
    host_ports_check_all(fixture->ports);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_not_listening, fixture);
}

static void agent_that_goes_takes_its_ports_along_and_brings_them_back(void **state)
{
    struct port_stage *fixture = *state;
    struct err err = {0};
    port_stage_connect_client(fixture);
    agent_vanish(&fixture->stage);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_not_listening, fixture);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->failure, ECONNRESET);
    assert_null(host_ports_wait_begin(fixture->ports, STAGE_SANDBOX_ID, PORT_STAGE_CONTAINER_PORT,
                                      port_stage_on_wait_done, fixture, &err));
    assert_string_equal(err.reason, "agent_lost");
    host_ports_observer.on_ready(STAGE_SANDBOX_ID, fixture->ports);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_listening, fixture);
}

static void agent_that_goes_ends_the_waits(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_begin_wait(fixture);
    host_ports_observer.on_gone(STAGE_SANDBOX_ID, fixture->ports);
    turn_until(fixture->stage.gateway.loop, &fixture->done);
    assert_string_equal(fixture->err.reason, "agent_lost");
}

static void taken_port_is_told_and_had_once_it_is_free(void **state)
{
    struct port_stage *fixture = *state;
    int others = port_stage_listen_on(&fixture->host_port);
    port_stage_wait_for_port(fixture);
    assert_string_equal(fixture->err.reason, "host_port_taken");
    (void)close(others);
    assert_false(port_stage_is_listening(fixture));
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_listening, fixture);
}

static void wait_for_a_port_that_is_not_exposed_says_so(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_expose_nothing(fixture);
    port_stage_wait_for_port(fixture);
    assert_string_equal(fixture->err.reason, "port_not_found");
}

static void wait_fails_with_the_question(void **state)
{
    struct port_stage *fixture = *state;
    (void)snprintf(fixture->answer, sizeof fixture->answer, "{}");
    port_stage_wait_for_port(fixture);
    assert_int_equal(fixture->err.code, ERR_INTERNAL);
    port_stage_expose(fixture);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_listening, fixture);
}

static void cancelled_wait_calls_nobody(void **state)
{
    struct port_stage *fixture = *state;
    struct err err = {0};
    struct host_ports_wait *wait =
        host_ports_wait_begin(fixture->ports, STAGE_SANDBOX_ID, PORT_STAGE_CONTAINER_PORT,
                              port_stage_on_wait_done, fixture, &err);
    assert_non_null(wait);
    host_ports_wait_cancel(wait);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_false(fixture->done);
}

static void without_a_range_nothing_is_asked(void **state)
{
    struct port_stage *fixture = *state;
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_listening, fixture);
    host_ports_observer.on_gone(STAGE_SANDBOX_ID, fixture->ports);
    turn_until_true(fixture->stage.gateway.loop, port_stage_is_not_listening, fixture);
    fixture->asked = 0;
    fixture->stage.config.host_port_first = 0;
    host_ports_observer.on_ready(STAGE_SANDBOX_ID, fixture->ports);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_int_equal(fixture->asked, 0);
    assert_false(port_stage_is_listening(fixture));
}

static void stopped_it_listens_no_more_and_keeps_its_connections(void **state)
{
    struct port_stage *fixture = *state;
    port_stage_connect_client(fixture);
    host_ports_stop(fixture->ports);
    assert_false(port_stage_is_listening(fixture));
    host_ports_check(fixture->ports, STAGE_SANDBOX_ID);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_false(port_stage_is_listening(fixture));
    assert_int_equal(send(fixture->fd, "hello", 5, 0), 5);
    assert_int_equal(shutdown(fixture->fd, SHUT_WR), 0);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->received, 5);
}

static bool all_have_dialled(void *arg)
{
    const struct port_stage *fixture = arg;
    return fixture->dials == PORT_LISTENER_TUNNELS_MAX;
}

static bool one_more_has_dialled(void *arg)
{
    const struct port_stage *fixture = arg;
    return fixture->dials == PORT_LISTENER_TUNNELS_MAX + 1;
}

static void one_connection_too_many_waits_for_another_to_end(void **state)
{
    struct port_stage *fixture = *state;
    int fds[PORT_LISTENER_TUNNELS_MAX + 1];
    port_stage_wait_for_port(fixture);
    for (int i = 0; i <= PORT_LISTENER_TUNNELS_MAX; i++) {
        fds[i] = port_stage_try_connect(fixture);
        assert_true(fds[i] >= 0);
        turn_for(fixture->stage.gateway.loop, 1);
    }
    turn_until_true(fixture->stage.gateway.loop, all_have_dialled, fixture);
    turn_for(fixture->stage.gateway.loop, QUIET_MS);
    assert_int_equal(fixture->dials, PORT_LISTENER_TUNNELS_MAX);
    (void)close(fds[0]);
    turn_until_true(fixture->stage.gateway.loop, one_more_has_dialled, fixture);
    for (int i = 1; i <= PORT_LISTENER_TUNNELS_MAX; i++) {
        (void)close(fds[i]);
    }
}

static void connections_over_the_limit_of_all_are_closed(void **state)
{
    struct port_stage *fixture = *state;
    hub_observe(fixture->stage.gateway.hub, NULL, NULL);
    host_ports_free(fixture->ports);
    fixture->stage.config.connections_max = 1;
    port_stage_start_ports(fixture);
    port_stage_connect_client(fixture);
    int held = fixture->fd;
    fixture->fd = port_stage_try_connect(fixture);
    turn_until_true(fixture->stage.gateway.loop, port_stage_has_ended, fixture);
    assert_int_equal(fixture->dials, 1);
    (void)close(held);
}

static void address_that_is_none_is_refused(void **state)
{
    struct port_stage *fixture = *state;
    struct err err = {0};
    struct gateway_config config = fixture->stage.config;
    const struct host_ports_options options = {.loop = fixture->stage.gateway.loop,
                                               .config = &config,
                                               .exposed = fixture->exposed,
                                               .hub = fixture->stage.gateway.hub};
    (void)snprintf(config.host_port_address, sizeof config.host_port_address, "localhost");
    assert_null(host_ports_new(&options, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void freed_while_all_is_under_way_it_leaves_nothing(void **state)
{
    struct port_stage *fixture = *state;
    fixture->silent = true;
    port_stage_connect_client(fixture);
    assert_int_equal(send(fixture->fd, "hello", 5, 0), 5);
    host_ports_check(fixture->ports, STAGE_SANDBOX_ID);
    turn_for(fixture->stage.gateway.loop, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, port_stage_open, port_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(agent_that_comes_has_its_ports_opened),
        TEST(closed_port_is_left_and_its_connections_are_reset),
        TEST(port_exposed_anew_resets_what_came_before),
        TEST(port_that_is_public_no_more_resets_what_came_before),
        TEST(news_that_anything_may_have_changed_are_followed),
        TEST(agent_that_goes_takes_its_ports_along_and_brings_them_back),
        TEST(agent_that_goes_ends_the_waits),
        TEST(taken_port_is_told_and_had_once_it_is_free),
        TEST(wait_for_a_port_that_is_not_exposed_says_so),
        TEST(wait_fails_with_the_question),
        TEST(cancelled_wait_calls_nobody),
        TEST(without_a_range_nothing_is_asked),
        TEST(stopped_it_listens_no_more_and_keeps_its_connections),
        TEST(one_connection_too_many_waits_for_another_to_end),
        TEST(connections_over_the_limit_of_all_are_closed),
        TEST(address_that_is_none_is_refused),
        TEST(freed_while_all_is_under_way_it_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
