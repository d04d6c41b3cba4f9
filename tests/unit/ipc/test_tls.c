/* common/ipc/tls.c, and client.c and server.c over it, with certificates of authorities of the
 * test's own. */
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/authority.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = FOLDER_PATH_SIZE + 32, HOUR_S = 3600, REFUSED_MS = 400, BIG = 300 * 1024 };

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char elsewhere[PATH_SIZE]; /* the files of another authority */
    struct authority *authority;
    struct authority *other;
    char url[64];
    int port;
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
};

/* The paths that a struct ipc_tls borrows. */
struct files {
    char ca[2 * PATH_SIZE];
    char certificate[2 * PATH_SIZE];
    char key[2 * PATH_SIZE];
    struct ipc_tls tls;
};

struct answer {
    bool done;
    size_t len;
    struct err err;
};

static void on_echo(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)arg;
    ipc_reply_ok(exchange, request->body);
}

static const struct ipc_method methods[] = {{"echo", on_echo}};

static const struct ipc_tls *files_of(struct files *files, const char *ca_folder,
                                      const char *folder, const char *name, const char *peer_role)
{
    (void)snprintf(files->ca, sizeof files->ca, "%s/ca.pem", ca_folder);
    (void)snprintf(files->certificate, sizeof files->certificate, "%s/%s.pem", folder, name);
    (void)snprintf(files->key, sizeof files->key, "%s/%s.key", folder, name);
    files->tls = (struct ipc_tls){files->ca, files->certificate, files->key, peer_role};
    return &files->tls;
}

static void open_server(struct fixture *fixture, const char *name)
{
    struct files files;
    struct err err = {0};
    fixture->server =
        ipc_server_open_tls(fixture->loop, fixture->url, (uid_t)-1,
                            files_of(&files, fixture->folder, fixture->folder, name, "gateway"),
                            methods, 1, NULL, &err);
    if (fixture->server == NULL) {
        fail_msg("%s", err.message);
    }
}

/* folder: whose authority the client trusts and has its certificate of. */
static void open_client(struct fixture *fixture, const char *folder, const char *name)
{
    struct files files;
    struct err err = {0};
    fixture->client =
        ipc_client_open_tls(fixture->loop, fixture->url, "auth-service",
                            files_of(&files, fixture->folder, folder, name, "auth"), &err);
    if (fixture->client == NULL) {
        fail_msg("%s", err.message);
    }
}

static bool is_connected(void *arg)
{
    const struct fixture *fixture = arg;
    return ipc_client_is_connected(fixture->client);
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    } else {
        answer->len = body->len;
    }
}

static struct answer ask(struct fixture *fixture, struct view body)
{
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = TURN_PATIENCE_MS};
    struct answer answer = {0};
    struct err err = {0};
    assert_non_null(ipc_call_begin(fixture->client, &options, body, on_reply, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    return answer;
}

/* Neither connected, nor is a call that waits given to whoever is there. */
static void expect_refused(struct fixture *fixture)
{
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = REFUSED_MS};
    struct answer answer = {0};
    struct err err = {0};
    assert_non_null(ipc_call_begin(fixture->client, &options, VIEW("{}"), on_reply, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    assert_int_not_equal(answer.err.code, ERR_NONE);
    assert_false(ipc_client_is_connected(fixture->client));
}

static void right_certificates_are_accepted_and_carry_long_messages(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "gateway");
    assert_int_equal(ask(fixture, VIEW("{}")).len, 2);
    char *body = malloc(BIG);
    assert_non_null(body);
    memset(body, ' ', BIG);
    body[0] = '{';
    body[BIG - 1] = '}';
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(fixture, (struct view){body, BIG}).len, BIG);
    }
    free(body);
}

static void count_reply(const struct view *body, const struct err *err, void *arg)
{
    assert_null(err);
    assert_int_equal(body->len, 2);
    (*(int *)arg)++;
}

static void many_calls_at_once_are_answered(void **state)
{
    enum { ROUNDS = 20, CALLS = 500 };
    struct fixture *fixture = *state;
    const struct ipc_call_options options = {.method = "echo", .timeout_ms = TURN_PATIENCE_MS};
    struct err err = {0};
    int replies = 0;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "gateway");
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < CALLS; i++) {
            assert_non_null(
                ipc_call_begin(fixture->client, &options, VIEW("{}"), count_reply, &replies, &err));
        }
        turn_until_count(fixture->loop, &replies, round * CALLS);
    }
}

static void ends_at_any_moment_leave_nothing(void **state)
{
    struct fixture *fixture = *state;
    for (int delay_ms = 0; delay_ms < 20; delay_ms++) {
        open_server(fixture, "auth");
        open_client(fixture, fixture->folder, "gateway");
        turn_for(fixture->loop, delay_ms);
        if (delay_ms % 2 == 0) {
            ipc_server_close(fixture->server);
            turn_for(fixture->loop, delay_ms % 3);
            ipc_client_close(fixture->client);
        } else {
            ipc_client_close(fixture->client);
            turn_for(fixture->loop, delay_ms % 3);
            ipc_server_close(fixture->server);
        }
        fixture->server = NULL;
        fixture->client = NULL;
        turn_for(fixture->loop, 1);
    }
}

static void client_comes_back_to_a_server_that_came_back(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "gateway");
    turn_until_true(fixture->loop, is_connected, fixture);
    ipc_server_close(fixture->server);
    turn_for(fixture->loop, 50);
    open_server(fixture, "auth");
    assert_int_equal(ask(fixture, VIEW("{}")).len, 2);
}

static void client_of_another_authority_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->elsewhere, "gateway");
    expect_refused(fixture);
}

static void client_of_another_role_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "sandbox");
    expect_refused(fixture);
}

static void client_whose_certificate_has_expired_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "expired");
    expect_refused(fixture);
}

static void server_of_another_role_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "sandbox");
    open_client(fixture, fixture->folder, "gateway");
    expect_refused(fixture);
}

static void server_whose_certificate_has_expired_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "expired_auth");
    open_client(fixture, fixture->folder, "gateway");
    expect_refused(fixture);
}

static void others_are_served_while_one_is_refused(void **state)
{
    struct fixture *fixture = *state;
    open_server(fixture, "auth");
    open_client(fixture, fixture->folder, "sandbox");
    struct ipc_client *stranger = fixture->client;
    expect_refused(fixture);
    open_client(fixture, fixture->folder, "gateway");
    assert_int_equal(ask(fixture, VIEW("{}")).len, 2);
    ipc_client_close(stranger);
}

static int connect_raw(const struct fixture *fixture)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)fixture->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static bool is_hung_up_on(void *arg)
{
    char byte;
    ssize_t got = recv(*(int *)arg, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

static void who_speaks_no_tls_is_hung_up_on(void **state)
{
    struct fixture *fixture = *state;
    static const char frame[] = {[11] = 1, [14] = 0};
    open_server(fixture, "auth");
    int fd = connect_raw(fixture);
    assert_int_equal(send(fd, frame, sizeof frame, 0), sizeof frame);
    turn_until_true(fixture->loop, is_hung_up_on, &fd);
    (void)close(fd);
}

/* However many connect and say nothing, those with a certificate come in after a while. */
static void silent_strangers_are_few_and_go(void **state)
{
    struct fixture *fixture = *state;
    int fds[2 * IPC_STRANGERS_MAX];
    open_server(fixture, "auth");
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        fds[i] = connect_raw(fixture);
    }
    open_client(fixture, fixture->folder, "gateway");
    turn_until_true(fixture->loop, is_connected, fixture);
    assert_int_equal(ask(fixture, VIEW("{}")).len, 2);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        (void)close(fds[i]);
    }
}

/* Its connection is one that the other side does not accept: the queue there is full. */
static void client_can_be_closed_while_it_dials(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)fixture->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[4];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
    open_client(fixture, fixture->folder, "gateway");
    turn_for(fixture->loop, 50);
    ipc_client_close(fixture->client);
    fixture->client = NULL;
    turn_for(fixture->loop, 1);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        (void)close(fds[i]);
    }
    (void)close(listener);
}

static void without_files_there_is_no_tls(void **state)
{
    struct fixture *fixture = *state;
    struct files files;
    struct err err = {0};
    assert_null(ipc_client_open(fixture->loop, fixture->url, "auth-service", &err));
    assert_non_null(strstr(err.message, "IPC_CA_FILE"));
    assert_null(ipc_server_open(fixture->loop, fixture->url, (uid_t)-1, methods, 1, fixture, &err));
    assert_null(ipc_client_open_tls(
        fixture->loop, fixture->url, "auth-service",
        files_of(&files, fixture->folder, fixture->folder, "nobody", "auth"), &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void key_of_another_certificate_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct files files;
    struct err err = {0};
    struct ipc_tls tls = *files_of(&files, fixture->folder, fixture->folder, "gateway", "auth");
    tls.key_file = tls.ca_file;
    assert_null(ipc_client_open_tls(fixture->loop, fixture->url, "auth-service", &tls, &err));
    assert_non_null(strstr(err.message, "ca.pem"));
}

static void addresses_that_leave_the_machine_need_tls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool ok;
        bool needed;
    } cases[] = {
        {"ipc:///run/insien/auth-1.sock", true, false},
        {"tls+tcp://auth.example.org:7001", true, true},
        {"tls+tcp://127.0.0.1:7001", true, true},
        {"tcp://127.0.0.1:7001", true, false},
        {"tcp://127.5.0.1:7001", true, false},
        {"tcp://[::1]:7001", true, false},
        {"tcp://10.0.0.1:7001", false, false},
        {"tcp://0.0.0.0:7001", false, false},
        {"tcp://:7001", false, false},
        {"tcp://*:7001", false, false},
        {"tcp://127.example.org:7001", false, false},
        {"tcp://localhost:7001", false, false},
        {"tcp://[::]:7001", false, false},
        {"tcp://[2001:db8::1]:7001", false, false},
        {"ws://127.0.0.1:7001", false, false},
        {"ipc://relative", false, false},
        {"abstract://insien", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        bool needed = false;
        assert_int_equal(ipc_tls_is_needed(cases[i].url, &needed, &err), cases[i].ok);
        assert_int_equal(needed, cases[i].needed);
    }
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    assert_non_null(fixture);
    folder_make(fixture->folder);
    (void)snprintf(fixture->elsewhere, sizeof fixture->elsewhere, "%s/other", fixture->folder);
    assert_int_equal(mkdir(fixture->elsewhere, 0700), 0);
    fixture->authority = authority_new(fixture->folder);
    fixture->other = authority_new(fixture->elsewhere);
    authority_issue(fixture->authority, "auth", "auth.insien.internal", HOUR_S);
    authority_issue(fixture->authority, "sandbox", "sandbox.insien.internal", HOUR_S);
    authority_issue(fixture->authority, "gateway", "gateway.insien.internal", HOUR_S);
    authority_issue(fixture->authority, "expired", "gateway.insien.internal", -HOUR_S);
    authority_issue(fixture->authority, "expired_auth", "auth.insien.internal", -HOUR_S);
    authority_issue(fixture->other, "gateway", "gateway.insien.internal", HOUR_S);
    fixture->port = free_port();
    (void)snprintf(fixture->url, sizeof fixture->url, "tls+tcp://127.0.0.1:%d", fixture->port);
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    loop_free(fixture->loop);
    authority_free(fixture->authority);
    authority_free(fixture->other);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(right_certificates_are_accepted_and_carry_long_messages),
        TEST(many_calls_at_once_are_answered),
        TEST(ends_at_any_moment_leave_nothing),
        TEST(client_comes_back_to_a_server_that_came_back),
        TEST(client_of_another_authority_is_refused),
        TEST(client_of_another_role_is_refused),
        TEST(client_whose_certificate_has_expired_is_refused),
        TEST(server_of_another_role_is_refused),
        TEST(server_whose_certificate_has_expired_is_refused),
        TEST(others_are_served_while_one_is_refused),
        TEST(who_speaks_no_tls_is_hung_up_on),
        TEST(silent_strangers_are_few_and_go),
        TEST(client_can_be_closed_while_it_dials),
        TEST(without_files_there_is_no_tls),
        TEST(key_of_another_certificate_is_told),
        cmocka_unit_test(addresses_that_leave_the_machine_need_tls),
    };
    return cmocka_run_group_tests_name("ipc_tls", tests, NULL, NULL);
}
