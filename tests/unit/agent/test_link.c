/* The link against a gateway of a few lines, on a real socket. */
#include "sandbox-service/agent/link.h"

#include "common/contracts/agent.h"
#include "common/ws/handshake.h"
#include "common/ws/socket.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_TEXT_SIZE = 100, MESSAGE_SIZE = 256, REQUEST_SIZE = 4096, TICK_MS = 10 };

static const char sandbox_id[ID_SIZE] = "00000000-0000-4000-8000-000000000001";

struct fixture {
    struct loop *loop;
    struct link *link;
    char folder[FOLDER_PATH_SIZE];
    /* The gateway. */
    int listener;
    struct event *listener_event;
    struct bufferevent *bev;
    struct ws_socket *socket;
    const char *accepted_token;
    char request[REQUEST_SIZE]; /* the latest */
    int refusals;
    bool said_hello;
    char received[MESSAGE_SIZE];
    bool has_received;
    size_t received_bytes;
    struct bufferevent *socket_bev; /* the socket's */
    /* The agent. */
    char got[MESSAGE_SIZE];
    bool has_got;
    bool has_drained;
    bool has_lost;
};

static void path_in(const struct fixture *fixture, const char *name, char out[PATH_TEXT_SIZE])
{
    (void)snprintf(out, PATH_TEXT_SIZE, "%s/%s", fixture->folder, name);
}

static void write_token(const struct fixture *fixture, const char *token)
{
    char path[PATH_TEXT_SIZE];
    path_in(fixture, AGENT_TOKEN_NAME, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(token, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void on_gateway_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct fixture *fixture = arg;
    assert_int_equal(opcode, WS_TEXT);
    if (view_starts_with(message, VIEW("{\"type\":\"hello\",\"protocol\":1,"))) {
        fixture->said_hello = true;
        return;
    }
    fixture->received_bytes += message.len;
    fixture->has_received = view_copy(message, fixture->received, sizeof fixture->received);
}

static void on_gateway_closed(int code, void *arg)
{
    (void)code;
    struct fixture *fixture = arg;
    ws_socket_free(fixture->socket);
    fixture->socket = NULL;
}

static const struct ws_events gateway_events = {.on_message = on_gateway_message,
                                                .on_closed = on_gateway_closed};

static void accept_upgrade(struct fixture *fixture, const char *key)
{
    struct err err;
    char accept[WS_ACCEPT_SIZE];
    struct bufferevent *bev = TAKE(fixture->bev);
    fixture->socket_bev = bev;
    ws_accept_of((struct view){key, strcspn(key, "\r")}, accept);
    (void)evbuffer_add_printf(bufferevent_get_output(bev),
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                              accept);
    fixture->socket = ws_socket_new(fixture->loop, WS_SERVER, bev, &ws_default_limits,
                                    &gateway_events, fixture, &err);
    assert_non_null(fixture->socket);
}

static void on_request_readable(struct bufferevent *bev, void *arg)
{
    struct fixture *fixture = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    ssize_t len = evbuffer_copyout(input, fixture->request, sizeof fixture->request - 1);
    assert_true(len > 0);
    fixture->request[len] = '\0';
    const char *end = strstr(fixture->request, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    (void)evbuffer_drain(input, (size_t)(end - fixture->request) + 4);
    char expected[MESSAGE_SIZE];
    static const char key_field[] = "\r\nSec-WebSocket-Key: ";
    (void)snprintf(expected, sizeof expected, "\r\nAuthorization: Bearer %s\r\n",
                   fixture->accepted_token);
    const char *key = strstr(fixture->request, key_field);
    assert_non_null(key);
    if (strstr(fixture->request, expected) != NULL) {
        accept_upgrade(fixture, key + sizeof key_field - 1);
        return;
    }
    fixture->refusals++;
    (void)evbuffer_add_printf(bufferevent_get_output(bev), "HTTP/1.1 401 Unauthorized\r\n\r\n");
}

static void on_request_event(struct bufferevent *bev, short what, void *arg)
{
    (void)what;
    struct fixture *fixture = arg;
    bufferevent_free(bev);
    fixture->bev = NULL;
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct fixture *fixture = arg;
    int connection = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(connection >= 0);
    assert_null(fixture->bev);
    fixture->bev =
        bufferevent_socket_new(loop_base(fixture->loop), connection, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(fixture->bev);
    bufferevent_setcb(fixture->bev, on_request_readable, NULL, on_request_event, fixture);
    assert_int_equal(bufferevent_enable(fixture->bev, EV_READ | EV_WRITE), 0);
}

static void open_gateway(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_TEXT_SIZE];
    path_in(fixture, AGENT_SOCKET_NAME, path);
    (void)unlink(path);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fixture->listener >= 0);
    assert_int_equal(bind(fixture->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
    fixture->listener_event = event_new(loop_base(fixture->loop), fixture->listener,
                                        EV_READ | EV_PERSIST, on_connection, fixture);
    assert_non_null(fixture->listener_event);
    assert_int_equal(event_add(fixture->listener_event, NULL), 0);
}

/* As if killed: the socket's name stays. */
static void kill_gateway(struct fixture *fixture)
{
    if (fixture->listener_event != NULL) {
        event_free(fixture->listener_event);
        fixture->listener_event = NULL;
        assert_int_equal(close(fixture->listener), 0);
    }
    if (fixture->bev != NULL) {
        bufferevent_free(fixture->bev);
        fixture->bev = NULL;
    }
    ws_socket_free(fixture->socket);
    fixture->socket = NULL;
    fixture->said_hello = false;
}

static void on_text(struct view text, void *arg)
{
    struct fixture *fixture = arg;
    assert_true(view_copy(text, fixture->got, sizeof fixture->got));
    fixture->has_got = true;
}

static void on_drained(void *arg)
{
    struct fixture *fixture = arg;
    fixture->has_drained = true;
}

/* "bad" breaks the protocol. */
static bool on_binary(struct view message, void *arg)
{
    on_text(message, arg);
    return !view_equal(message, VIEW("bad"));
}

static void on_lost(void *arg)
{
    struct fixture *fixture = arg;
    fixture->has_lost = true;
}

static const struct link_events link_events = {on_text, on_binary, on_drained, on_lost};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    fixture = (struct fixture){.loop = loop_new(&err), .accepted_token = "first"};
    assert_non_null(fixture.loop);
    folder_make(fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    link_free(fixture->link);
    kill_gateway(fixture);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    return 0;
}

static void start_link(struct fixture *fixture)
{
    struct err err;
    fixture->link =
        link_new(fixture->loop, fixture->folder, sandbox_id, &link_events, fixture, &err);
    assert_non_null(fixture->link);
}

static void send_from_gateway(struct fixture *fixture, const char *text)
{
    struct err err;
    const struct view view = view_of(text);
    assert_true(ws_send(fixture->socket, WS_TEXT, &view, 1, &err));
}

static void it_says_hello_and_talks(void **state)
{
    struct fixture *fixture = *state;
    write_token(fixture, "first\n");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    assert_non_null(strstr(fixture->request, "GET /agent/00000000-0000-4000-8000-000000000001 "));
    send_from_gateway(fixture, "question");
    turn_until(fixture->loop, &fixture->has_got);
    assert_string_equal(fixture->got, "question");
    link_send(fixture->link, link_epoch(fixture->link), VIEW("answer"));
    turn_until(fixture->loop, &fixture->has_received);
    assert_string_equal(fixture->received, "answer");
}

/* The loop's own time: it stands still while this process gets no processor. */
struct ticks {
    struct timer timer;
    int count;
};

static void on_tick(void *arg)
{
    struct ticks *ticks = arg;
    ticks->count++;
    timer_arm(&ticks->timer, TICK_MS);
}

static void a_new_socket_is_found_at_once(void **state)
{
    struct fixture *fixture = *state;
    write_token(fixture, "first");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    kill_gateway(fixture);
    /* Long enough for the delays to have grown: the next is about 1600 ms. */
    turn_for(fixture->loop, 1700);
    struct ticks ticks = {.count = 0};
    struct err err;
    assert_true(timer_open(&ticks.timer, fixture->loop, on_tick, &ticks, &err));
    timer_arm(&ticks.timer, TICK_MS);
    open_gateway(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    timer_close(&ticks.timer);
    assert_true(ticks.count * TICK_MS < 500);
}

static void an_answer_to_a_dead_connection_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    write_token(fixture, "first");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    uint64_t old_epoch = link_epoch(fixture->link);
    kill_gateway(fixture);
    open_gateway(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    link_send(fixture->link, old_epoch, VIEW("old"));
    link_send(fixture->link, link_epoch(fixture->link), VIEW("new"));
    turn_until(fixture->loop, &fixture->has_received);
    assert_string_equal(fixture->received, "new");
}

static void the_newest_token_is_shown(void **state)
{
    struct fixture *fixture = *state;
    write_token(fixture, "first");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    assert_false(link_set_token(fixture->link, VIEW("no token")));
    assert_true(link_set_token(fixture->link, VIEW("second")));
    fixture->accepted_token = "second";
    kill_gateway(fixture);
    open_gateway(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    assert_int_equal(fixture->refusals, 0);
}

static bool was_refused_thrice(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->refusals >= 3;
}

static void a_refused_agent_looks_for_another_token(void **state)
{
    struct fixture *fixture = *state;
    write_token(fixture, "stale");
    open_gateway(fixture);
    start_link(fixture);
    turn_until_true(fixture->loop, was_refused_thrice, fixture);
    assert_false(fixture->said_hello);
    write_token(fixture, "first");
    turn_until(fixture->loop, &fixture->said_hello);
}

static void breach_in_a_binary_message_ends_the_connection(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    const struct view good = VIEW("good");
    const struct view bad = VIEW("bad");
    write_token(fixture, "first");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    fixture->said_hello = false;
    assert_true(ws_send(fixture->socket, WS_BINARY, &good, 1, &err));
    turn_until(fixture->loop, &fixture->has_got);
    assert_string_equal(fixture->got, "good");
    assert_true(ws_send(fixture->socket, WS_BINARY, &bad, 1, &err));
    /* It closes and comes again. */
    turn_until(fixture->loop, &fixture->said_hello);
    assert_true(fixture->has_lost);
}

static void congestion_is_told_and_its_end(void **state)
{
    enum { PIECE = 1024 * 1024, PIECES = 8 };
    struct fixture *fixture = *state;
    AUTO(free_string) char *piece = malloc(PIECE);
    assert_non_null(piece);
    memset(piece, 'p', PIECE);
    write_token(fixture, "first");
    open_gateway(fixture);
    start_link(fixture);
    turn_until(fixture->loop, &fixture->said_hello);
    assert_int_equal(bufferevent_disable(fixture->socket_bev, EV_READ), 0);
    for (int i = 0; i < PIECES; i++) {
        link_send(fixture->link, link_epoch(fixture->link), (struct view){piece, PIECE});
    }
    assert_true(link_is_congested(fixture->link));
    turn_for(fixture->loop, 50);
    assert_false(fixture->has_drained);
    assert_int_equal(bufferevent_enable(fixture->socket_bev, EV_READ), 0);
    turn_until(fixture->loop, &fixture->has_drained);
    assert_false(link_is_congested(fixture->link));
    link_send(fixture->link, link_epoch(fixture->link), VIEW("last"));
    turn_until(fixture->loop, &fixture->has_received);
    assert_int_equal(fixture->received_bytes, (size_t)PIECE * PIECES + strlen("last"));
}

#define LINK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(it_says_hello_and_talks),
        LINK_TEST(a_new_socket_is_found_at_once),
        LINK_TEST(an_answer_to_a_dead_connection_is_dropped),
        LINK_TEST(the_newest_token_is_shown),
        LINK_TEST(a_refused_agent_looks_for_another_token),
        LINK_TEST(breach_in_a_binary_message_ends_the_connection),
        LINK_TEST(congestion_is_told_and_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
