/* Listeners, limits on connections, running out of descriptors, draining. */
#include "tests/unit/gateway/http/fixture.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>

enum { CLIENTS_MAX = 40 };

#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
#define SWITCH                                                                                     \
    "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

struct crowd {
    struct fixture fixture;
    struct http_listener *tcp;
    struct client clients[CLIENTS_MAX];
    size_t client_count;
};

static void open_crowd(struct crowd *crowd, size_t connections_max, size_t per_address_max,
                       const char *exempt)
{
    struct http_limits limits = http_default_limits;
    struct err err = {0};
    limits.connections_max = connections_max;
    limits.connections_per_address_max = per_address_max;
    limits.exempt_cidrs = exempt;
    crowd->client_count = 0;
    fixture_open(&crowd->fixture, &limits);
    crowd->tcp = http_listen_tcp(crowd->fixture.server, "127.0.0.1", 0, &crowd->fixture, &err);
    assert_non_null(crowd->tcp);
}

static void close_crowd(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->client_count; i++) {
        client_close(&crowd->clients[i]);
    }
    fixture_close(&crowd->fixture);
}

static int connect_tcp(const struct crowd *crowd, const char *from)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, from, &address.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    address.sin_port = htons(http_listener_port(crowd->tcp));
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &address.sin_addr), 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static struct client *add_client(struct crowd *crowd, const char *from)
{
    assert_true(crowd->client_count < CLIENTS_MAX);
    struct client *client = &crowd->clients[crowd->client_count++];
    client_adopt(client, &crowd->fixture, connect_tcp(crowd, from));
    fixture_settle(&crowd->fixture);
    return client;
}

static int status_of(struct client *client, const char *request)
{
    client_send(client, view_of(request));
    return client_next(client, false).status;
}

static void tcp_connections_are_served(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 10, "");
    assert_true(http_listener_port(crowd.tcp) > 0);
    struct client *client = add_client(&crowd, "127.0.0.2");
    client_send(client, VIEW(HOLD));
    client_receive(client);
    assert_string_equal(http_exchange_peer(crowd.fixture.held), "127.0.0.2");
    fixture_release(&crowd.fixture, "held");
    assert_view(client_next(client, false).body, "held");
    close_crowd(&crowd);
}

static void both_families_are_served_by_one_listener(void **state)
{
    (void)state;
    struct crowd crowd;
    struct err err = {0};
    open_crowd(&crowd, 10, 10, "");
    struct http_listener *both =
        http_listen_tcp(crowd.fixture.server, "::", 0, &crowd.fixture, &err);
    assert_non_null(both);
    crowd.tcp = both;
    struct client *client = add_client(&crowd, "127.0.0.1");
    client_send(client, VIEW(HOLD));
    assert_string_equal(http_exchange_peer(crowd.fixture.held), "127.0.0.1");
    fixture_release(&crowd.fixture, "held");
    close_crowd(&crowd);
}

static void an_address_in_use_is_an_error(void **state)
{
    (void)state;
    struct crowd crowd;
    struct err err = {0};
    open_crowd(&crowd, 10, 10, "");
    assert_null(http_listen_tcp(crowd.fixture.server, "127.0.0.1", http_listener_port(crowd.tcp),
                                NULL, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    close_crowd(&crowd);
}

static void accepted_sockets_have_their_options(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int level, option, value;
    } cases[] = {
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
        {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
        {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 6},
        {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 60000},
    };
    struct crowd crowd;
    open_crowd(&crowd, 10, 10, "");
    client_send(add_client(&crowd, "127.0.0.1"), VIEW(SWITCH));
    fixture_settle(&crowd.fixture);
    assert_non_null(crowd.fixture.switched);
    int fd = bufferevent_getfd(crowd.fixture.switched);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int value = -1;
        socklen_t len = sizeof value;
        assert_int_equal(getsockopt(fd, cases[i].level, cases[i].option, &value, &len), 0);
        if (value != cases[i].value) {
            fail_msg("%s is %d", cases[i].name, value);
        }
    }
    close_crowd(&crowd);
}

static void an_address_over_its_limit_is_told_so(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 2, "");
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    struct client *third = add_client(&crowd, "127.0.0.1");
    struct reply reply = client_next(third, false);
    assert_int_equal(reply.status, 429);
    assert_view(reply_header(&reply, "Retry-After"), "1");
    client_send(third, VIEW(NONE));
    client_close(third);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.3"), NONE), 200);
    /* One leaves: there is room again. */
    client_close(&crowd.clients[0]);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    close_crowd(&crowd);
}

static void an_exempt_address_has_no_limit_of_its_own(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 1, "10.0.0.0/8, 127.0.0.0/30");
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.3"), NONE), 200);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.3"), NONE), 200);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.4"), NONE), 200);
    assert_int_equal(client_next(add_client(&crowd, "127.0.0.4"), false).status, 429);
    close_crowd(&crowd);
}

static void a_bad_exemption_is_an_error(void **state)
{
    (void)state;
    struct err err = {0};
    struct http_limits limits = http_default_limits;
    struct loop *loop = loop_new(&err);
    limits.exempt_cidrs = "127.0.0.0/33";
    assert_null(http_server_new(loop, &limits, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    loop_free(loop);
}

static void a_full_server_says_so(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 2, 10, "");
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    struct client *third = add_client(&crowd, "127.0.0.1");
    struct reply reply = client_next(third, false);
    assert_int_equal(reply.status, 503);
    assert_view(reply_header(&reply, "Retry-After"), "1");
    client_close(third);
    /* Those it has, and unix sockets, go on. */
    assert_int_equal(status_of(&crowd.clients[0], NONE), 200);
    struct client agent;
    client_open(&agent, &crowd.fixture);
    assert_int_equal(status_of(&agent, NONE), 200);
    client_close(&agent);
    close_crowd(&crowd);
}

static void a_flooded_server_stops_accepting_and_comes_back(void **state)
{
    (void)state;
    enum { FLOOD = 80, REFUSED_AT_A_TIME = 64 };
    struct crowd crowd;
    struct client flood[FLOOD];
    size_t answered = 0;
    open_crowd(&crowd, 1, 10, "");
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    for (size_t i = 0; i < FLOOD; i++) {
        client_adopt(&flood[i], &crowd.fixture, connect_tcp(&crowd, "127.0.0.1"));
    }
    fixture_settle(&crowd.fixture);
    for (size_t i = 0; i < FLOOD; i++) {
        client_receive(&flood[i]);
        answered += flood[i].received.len > 0;
    }
    assert_int_equal(answered, REFUSED_AT_A_TIME);
    for (size_t i = 0; i < FLOOD; i++) {
        client_close(&flood[i]);
    }
    client_close(&crowd.clients[0]);
    fixture_settle(&crowd.fixture);
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    close_crowd(&crowd);
}

static void an_upgraded_connection_counts_while_its_place_is_held(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 1, "");
    crowd.fixture.take_place = true;
    client_send(add_client(&crowd, "127.0.0.1"), VIEW(SWITCH));
    assert_int_equal(client_next(add_client(&crowd, "127.0.0.1"), false).status, 429);
    http_place_free(TAKE(crowd.fixture.place));
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    close_crowd(&crowd);
}

static void an_upgraded_connection_without_a_place_does_not_count(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 1, "");
    client_send(add_client(&crowd, "127.0.0.1"), VIEW(SWITCH));
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    close_crowd(&crowd);
}

static void a_unix_listener_takes_few_at_a_time(void **state)
{
    (void)state;
    struct fixture fixture;
    struct client clients[HTTP_UNIX_CONNECTIONS_MAX + 1];
    fixture_open(&fixture, &http_default_limits);
    for (size_t i = 0; i <= HTTP_UNIX_CONNECTIONS_MAX; i++) {
        client_open(&clients[i], &fixture);
        client_send(&clients[i], VIEW(NONE));
    }
    assert_int_equal(fixture.requests, HTTP_UNIX_CONNECTIONS_MAX);
    client_close(&clients[0]);
    assert_int_equal(fixture.requests, HTTP_UNIX_CONNECTIONS_MAX + 1);
    for (size_t i = 1; i <= HTTP_UNIX_CONNECTIONS_MAX; i++) {
        client_close(&clients[i]);
    }
    fixture_close(&fixture);
}

static void running_out_of_descriptors_is_told_and_survived(void **state)
{
    (void)state;
    struct crowd crowd;
    struct rlimit before;
    open_crowd(&crowd, 1000, 1000, "");
    /* Connected, and in the backlog, before the server may not open any more. */
    int waiting[3];
    for (size_t i = 0; i < 3; i++) {
        waiting[i] = connect_tcp(&crowd, "127.0.0.1");
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    const struct rlimit none_left = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(close(next), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_left), 0);
    fixture_settle(&crowd.fixture);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < 3; i++) {
        struct client *client = &crowd.clients[crowd.client_count++];
        client_adopt(client, &crowd.fixture, waiting[i]);
        assert_int_equal(client_next(client, false).status, 503);
    }
    assert_int_equal(status_of(add_client(&crowd, "127.0.0.1"), NONE), 200);
    close_crowd(&crowd);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static void draining_finishes_what_is_in_hand(void **state)
{
    (void)state;
    struct crowd crowd;
    bool drained = false;
    open_crowd(&crowd, 10, 10, "");
    struct client *idle = add_client(&crowd, "127.0.0.1");
    struct client *busy = add_client(&crowd, "127.0.0.1");
    assert_int_equal(status_of(idle, NONE), 200);
    client_send(busy, VIEW(HOLD));
    http_server_drain(crowd.fixture.server, on_drained, &drained);
    client_wait_end(idle);
    assert_false(drained);
    fixture_release(&crowd.fixture, "held");
    struct reply reply = client_next(busy, false);
    assert_view(reply.body, "held");
    assert_view(reply_header(&reply, "Connection"), "close");
    client_wait_end(busy);
    fixture_settle(&crowd.fixture);
    assert_true(drained);
    close_crowd(&crowd);
}

static void draining_an_empty_server_is_told_later(void **state)
{
    (void)state;
    struct crowd crowd;
    bool drained = false;
    open_crowd(&crowd, 10, 10, "");
    http_server_drain(crowd.fixture.server, on_drained, &drained);
    assert_false(drained);
    fixture_settle(&crowd.fixture);
    assert_true(drained);
    close_crowd(&crowd);
}

static void a_closed_listener_answers_what_is_in_hand_and_nothing_else(void **state)
{
    (void)state;
    struct crowd crowd;
    open_crowd(&crowd, 10, 10, "");
    struct client *busy = add_client(&crowd, "127.0.0.1");
    struct client *half = add_client(&crowd, "127.0.0.1");
    client_send(busy, VIEW(HOLD NONE));
    client_send(half, VIEW("GET / HTTP"));
    http_listener_close(crowd.tcp);
    client_wait_end(half);
    assert_int_equal(half->received.len, 0);
    fixture_release(&crowd.fixture, "held");
    assert_view(client_next(busy, false).body, "held");
    client_wait_end(busy);
    assert_int_equal(crowd.fixture.requests, 1);
    close_crowd(&crowd);
}

static void freeing_the_server_tells_the_handlers(void **state)
{
    (void)state;
    struct fixture fixture;
    struct client client;
    struct err err = {0};
    fixture_open(&fixture, &http_default_limits);
    client_open(&client, &fixture);
    client_send(&client, VIEW(HOLD));
    http_server_free(TAKE(fixture.server));
    assert_int_equal(fixture.gone, 1);
    fixture.server = http_server_new(fixture.loop, &http_default_limits, NULL, &err);
    assert_non_null(fixture.server);
    client_close(&client);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_connections_are_served),
        cmocka_unit_test(both_families_are_served_by_one_listener),
        cmocka_unit_test(an_address_in_use_is_an_error),
        cmocka_unit_test(accepted_sockets_have_their_options),
        cmocka_unit_test(an_address_over_its_limit_is_told_so),
        cmocka_unit_test(an_exempt_address_has_no_limit_of_its_own),
        cmocka_unit_test(a_bad_exemption_is_an_error),
        cmocka_unit_test(a_full_server_says_so),
        cmocka_unit_test(a_flooded_server_stops_accepting_and_comes_back),
        cmocka_unit_test(an_upgraded_connection_counts_while_its_place_is_held),
        cmocka_unit_test(an_upgraded_connection_without_a_place_does_not_count),
        cmocka_unit_test(a_unix_listener_takes_few_at_a_time),
        cmocka_unit_test(running_out_of_descriptors_is_told_and_survived),
        cmocka_unit_test(draining_finishes_what_is_in_hand),
        cmocka_unit_test(draining_an_empty_server_is_told_later),
        cmocka_unit_test(a_closed_listener_answers_what_is_in_hand_and_nothing_else),
        cmocka_unit_test(freeing_the_server_tells_the_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
