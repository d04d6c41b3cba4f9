/* Pipelining, time limits, ends and upgrades of single connections. */
#include "tests/unit/gateway/http/fixture.h"

#include "common/base/clock.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MANY = 600, LONGER_THAN_LIMITS_MS = 500 };

#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "GET /head HTTP/1.1\r\nHost: a\r\n\r\n"

/* More than the kernel takes at once. */
static void release_big(struct scene *scene)
{
    static char body[BIG_BODY];
    memset(body, 'x', sizeof body - 1);
    fixture_release(&scene->fixture, body);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD NONE HEAD));
    /* The second waits, unread, for the answer of the first. */
    assert_int_equal(scene.fixture.requests, 1);
    assert_int_equal(scene.client.received.len, 0);
    fixture_release(&scene.fixture, "held");
    assert_view(client_next(&scene.client, false).body, "held");
    assert_view(client_next(&scene.client, false).body, "none");
    assert_true(view_has(client_next(&scene.client, false).body, "GET /head"));
    scene_close(&scene);
}

static void many_pipelined_requests_are_all_answered(void **state)
{
    (void)state;
    struct scene scene;
    AUTO(str_free) struct str requests = STR_INIT(SCRATCH_MAX);
    scene_open(&scene, &http_default_limits);
    for (int i = 0; i < MANY; i++) {
        str_append_string(&requests, NONE);
    }
    client_send(&scene.client, str_view(&requests));
    for (int i = 0; i < MANY; i++) {
        assert_view(client_next(&scene.client, false).body, "none");
    }
    scene_close(&scene);
}

static void pipelined_requests_behind_a_held_one_are_not_read_without_bound(void **state)
{
    (void)state;
    struct scene scene;
    char filler[64 * 1024];
    size_t taken = 0;
    ssize_t sent;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD));
    memset(filler, 'a', sizeof filler);
    /* What the kernel's buffers and the server's bound take, and then no more. */
    do {
        fixture_settle(&scene.fixture);
        sent = send(scene.client.fd, filler, sizeof filler, MSG_NOSIGNAL);
        taken += sent > 0 ? (size_t)sent : 0;
    } while (sent > 0);
    assert_true(taken < 1000000);
    scene_close(&scene);
}

static void a_request_behind_the_last_is_not_answered(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" NONE));
    assert_int_equal(client_next(&scene.client, false).status, 200);
    client_wait_end(&scene.client);
    assert_int_equal(scene.fixture.requests, 1);
    scene_close(&scene);
}

/* Until the server takes no more. */
static int send_all_it_takes(struct scene *scene)
{
    static const char part[SCRATCH_MAX];
    for (size_t sent = 0; sent < BIG_BODY;) {
        ssize_t done = send(scene->client.fd, part, sizeof part, MSG_NOSIGNAL);
        if (done < 0) {
            return errno;
        }
        sent += (size_t)done;
        fixture_settle(&scene->fixture);
    }
    return 0;
}

static void a_client_that_sends_on_behind_its_refusal_can_still_read_it(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client,
                VIEW("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n"));
    assert_int_equal(send_all_it_takes(&scene), EAGAIN);
    assert_int_equal(client_next(&scene.client, false).status, 200);
    client_wait_end(&scene.client);
    scene_close(&scene);
}

static void head_is_answered_like_get_without_the_body(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n" NONE));
    struct reply reply = client_next(&scene.client, true);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Content-Length"), "4");
    assert_view(client_next(&scene.client, false).body, "none");
    scene_close(&scene);
}

static void a_silent_connection_is_closed_without_an_answer(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_wait_end(&scene.client);
    assert_int_equal(scene.client.received.len, 0);
    scene_close(&scene);
}

static void a_slow_head_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_send(&scene.client, VIEW("GET / HTTP/1.1\r\nHo"));
    struct reply reply = client_next(&scene.client, false);
    assert_int_equal(reply.status, 408);
    assert_view(reply_header(&reply, "Connection"), "close");
    client_wait_end(&scene.client);
    scene_close(&scene);
}

static void a_trickling_head_does_not_win_time(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    int64_t begun_ms = clock_monotonic_ms();
    client_send(&scene.client, VIEW("GET / HTTP/1.1\r\nX: "));
    while (!scene.client.ended && scene.client.received.len == 0) {
        client_send(&scene.client, VIEW("a"));
        fixture_run(&scene.fixture, 10);
        client_receive(&scene.client);
        assert_true(clock_monotonic_ms() - begun_ms < http_default_limits.head_timeout_ms);
    }
    assert_int_equal(client_next(&scene.client, false).status, 408);
    scene_close(&scene);
}

static void an_idle_connection_is_closed_after_its_time(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_send(&scene.client, VIEW(NONE));
    assert_int_equal(client_next(&scene.client, false).status, 200);
    int64_t begun_ms = clock_monotonic_ms();
    client_wait_end(&scene.client);
    int64_t waited_ms = clock_monotonic_ms() - begun_ms;
    assert_true(waited_ms >= fixture_short_limits.idle_timeout_ms - 10);
    assert_int_equal(scene.client.read, scene.client.received.len);
    scene_close(&scene);
}

static void a_handler_may_take_its_time(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_send(&scene.client, VIEW(HOLD));
    fixture_run(&scene.fixture, LONGER_THAN_LIMITS_MS);
    fixture_release(&scene.fixture, "held");
    assert_view(client_next(&scene.client, false).body, "held");
    scene_close(&scene);
}

static void a_large_answer_arrives_whole(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW("GET /big HTTP/1.1\r\nHost: a\r\n\r\n" NONE));
    struct reply reply = client_next(&scene.client, false);
    assert_int_equal(reply.body.len, BIG_BODY);
    assert_int_equal(reply.body.ptr[BIG_BODY - 1], 'x');
    assert_view(client_next(&scene.client, false).body, "none");
    scene_close(&scene);
}

/* Whether the server has, without reading what it sent. */
static bool has_hung_up(const struct client *client)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) > 0;
}

static void an_answer_that_is_not_read_ends_in_a_reset(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    (void)send(scene.client.fd, HOLD, sizeof HOLD - 1, MSG_NOSIGNAL);
    fixture_settle(&scene.fixture);
    release_big(&scene);
    while (!has_hung_up(&scene.client)) {
        fixture_run(&scene.fixture, 10);
    }
    client_wait_end(&scene.client);
    assert_true(scene.client.received.len < BIG_BODY);
    scene_close(&scene);
}

static void an_answer_that_is_read_slowly_is_not_a_stall(void **state)
{
    (void)state;
    struct scene scene;
    struct http_limits limits = fixture_short_limits;
    limits.write_stall_ms = 500; /* less than the answer takes, more than from read to read */
    scene_open(&scene, &limits);
    client_send(&scene.client, VIEW(HOLD));
    release_big(&scene);
    char buffer[128 * 1024];
    for (int i = 0; i < 8; i++) {
        fixture_run(&scene.fixture, 80);
        ssize_t len = recv(scene.client.fd, buffer, sizeof buffer, 0);
        assert_true(len > 0);
        str_append(&scene.client.received, buffer, (size_t)len);
    }
    assert_int_equal(client_next(&scene.client, false).body.len, BIG_BODY - 1);
    scene_close(&scene);
}

static void a_client_that_half_closes_gets_all_its_answers(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD NONE "GET /ha"));
    assert_int_equal(shutdown(scene.client.fd, SHUT_WR), 0);
    fixture_settle(&scene.fixture);
    assert_int_equal(scene.fixture.gone, 0);
    fixture_release(&scene.fixture, "held");
    assert_view(client_next(&scene.client, false).body, "held");
    assert_view(client_next(&scene.client, false).body, "none");
    client_wait_end(&scene.client);
    assert_int_equal(scene.client.read, scene.client.received.len);
    scene_close(&scene);
}

static void a_client_that_leaves_is_told_to_the_handler_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD));
    client_close(&scene.client);
    assert_int_equal(scene.fixture.gone, 1);
    assert_null(scene.fixture.held);
    fixture_close(&scene.fixture);
}

static void a_handler_that_does_not_listen_may_answer_a_client_that_left(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD));
    http_on_gone(scene.fixture.held, NULL, NULL);
    client_close(&scene.client);
    assert_int_equal(scene.fixture.gone, 0);
    assert_string_equal(http_exchange_peer(scene.fixture.held), "unix");
    fixture_release(&scene.fixture, "for nobody");
    fixture_close(&scene.fixture);
}

#define SWITCH                                                                                     \
    "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"

static void an_upgrade_hands_over_the_connection_and_what_is_behind(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(SWITCH "behind"));
    struct reply reply = client_next(&scene.client, true);
    assert_int_equal(reply.status, 101);
    assert_view(reply_header(&reply, "Upgrade"), "websocket");
    assert_view(reply_header(&reply, "Connection"), "Upgrade");
    struct bufferevent *bev = scene.fixture.switched;
    char behind[16];
    assert_int_equal(bufferevent_read(bev, behind, sizeof behind), 6);
    assert_memory_equal(behind, "behind", 6);
    /* Both ways it is an ordinary bufferevent now. */
    assert_int_equal(bufferevent_enable(bev, EV_READ), 0);
    assert_int_equal(bufferevent_write(bev, "out", 3), 0);
    client_send(&scene.client, VIEW("in"));
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(bev)), 2);
    assert_view(view_from(str_view(&scene.client.received), scene.client.read), "out");
    scene_close(&scene);
}

static void an_upgraded_connection_has_no_limits_of_http(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &fixture_short_limits);
    client_send(&scene.client, VIEW(SWITCH));
    fixture_run(&scene.fixture, LONGER_THAN_LIMITS_MS);
    client_receive(&scene.client);
    assert_false(scene.client.ended);
    scene_close(&scene);
}

static void an_upgrade_of_a_client_that_left_fails_and_leaves_the_exchange(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    client_send(&scene.client, VIEW(HOLD));
    http_on_gone(scene.fixture.held, NULL, NULL);
    client_close(&scene.client);
    assert_null(http_upgrade(scene.fixture.held, NULL, 0));
    fixture_release(&scene.fixture, "for nobody");
    fixture_close(&scene.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(many_pipelined_requests_are_all_answered),
        cmocka_unit_test(pipelined_requests_behind_a_held_one_are_not_read_without_bound),
        cmocka_unit_test(a_request_behind_the_last_is_not_answered),
        cmocka_unit_test(a_client_that_sends_on_behind_its_refusal_can_still_read_it),
        cmocka_unit_test(head_is_answered_like_get_without_the_body),
        cmocka_unit_test(a_silent_connection_is_closed_without_an_answer),
        cmocka_unit_test(a_slow_head_is_refused),
        cmocka_unit_test(a_trickling_head_does_not_win_time),
        cmocka_unit_test(an_idle_connection_is_closed_after_its_time),
        cmocka_unit_test(a_handler_may_take_its_time),
        cmocka_unit_test(a_large_answer_arrives_whole),
        cmocka_unit_test(an_answer_that_is_not_read_ends_in_a_reset),
        cmocka_unit_test(an_answer_that_is_read_slowly_is_not_a_stall),
        cmocka_unit_test(a_client_that_half_closes_gets_all_its_answers),
        cmocka_unit_test(a_client_that_leaves_is_told_to_the_handler_once),
        cmocka_unit_test(a_handler_that_does_not_listen_may_answer_a_client_that_left),
        cmocka_unit_test(an_upgrade_hands_over_the_connection_and_what_is_behind),
        cmocka_unit_test(an_upgraded_connection_has_no_limits_of_http),
        cmocka_unit_test(an_upgrade_of_a_client_that_left_fails_and_leaves_the_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
