/* sandbox-service/network/resolver.c, with sandboxes and servers at addresses of the loopback
 * network. There is no table of the kernel's for them, so that nothing can be opened. */
#include "sandbox-service/network/resolver.h"

#include "common/base/clock.h"
#include "sandbox-service/network/dns_message.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BOX_ID "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define LATE_ID "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
enum { OURS = 0x7f000001, BOX = 0x7f000002, STRANGER = 0x7f000003, SERVER = 0x7f000004 };
enum { LATE = 0x7f000005, MANY = 0x7f000100 };
enum { QUIET_MS = 100, TYPE_AAAA = 28, CUT = 0x02, ADDITIONAL_AT = 11 };

struct fixture {
    struct loop *loop;
    struct rules open;
    struct egress_rules rules;
    struct egress *egress;
    struct resolver *resolver;
    struct egress_call call;
    uint32_t server;
    uint16_t port;
    uint16_t server_port;
    int box;       /* the sandbox's socket */
    int server_fd; /* the host's name server */
    bool admitted;
};

static int bind_at(uint32_t address, uint16_t *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t size = sizeof name;
    name.sin_addr.s_addr = htonl(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

static void on_admitted(const struct err *err, void *arg)
{
    bool *admitted = arg;
    assert_non_null(err);
    *admitted = true;
}

static void admit(struct fixture *fixture, const char *id, uint32_t address)
{
    static const struct view items[] = {VIEW("*.example.com")};
    const struct json_strings entries = {items, 1};
    struct err err = {0};
    struct policy *policy = policy_read(&entries, &err);
    assert_non_null(policy);
    fixture->admitted = false;
    assert_true(egress_admit(fixture->egress, &fixture->call, id, address, policy, EGRESS_NEW,
                             on_admitted, &fixture->admitted, &err));
    turn_until(fixture->loop, &fixture->admitted);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    uint16_t ignored;
    assert_non_null(fixture);
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    rules_name(&fixture->open, "no-such");
    egress_rules_name(&fixture->rules, &fixture->open);
    assert_true(cidr_parse(VIEW("10.200.0.0/20"), &fixture->open.subnet));
    assert_true(cidr_parse(VIEW("10.200.16.0/20"), &fixture->rules.subnet));
    fixture->egress = egress_open(fixture->loop, &fixture->rules, &err);
    assert_non_null(fixture->egress);
    (void)close(bind_at(OURS, &fixture->port));
    fixture->box = bind_at(BOX, &ignored);
    fixture->server_fd = bind_at(SERVER, &fixture->server_port);
    fixture->server = SERVER;
    const struct resolver_options options = {.loop = fixture->loop,
                                             .egress = fixture->egress,
                                             .address = OURS,
                                             .port = fixture->port,
                                             .servers = &fixture->server,
                                             .server_count = 1,
                                             .server_port = fixture->server_port};
    fixture->resolver = resolver_open(&options, &err);
    assert_non_null(fixture->resolver);
    admit(fixture, BOX_ID, BOX);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    egress_close(fixture->egress);
    resolver_close(fixture->resolver);
    (void)close(fixture->box);
    (void)close(fixture->server_fd);
    loop_free(fixture->loop);
    free(fixture);
    return 0;
}

static void send_from(const struct fixture *fixture, int fd, const char *name, uint8_t type)
{
    uint8_t packet[DNS_MESSAGE_MAX];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(fixture->port)};
    to.sin_addr.s_addr = htonl(OURS);
    size_t len = dns_write_query(7, name, false, packet);
    assert_true(len > 0);
    packet[len - 3] = type;
    assert_int_equal(sendto(fd, packet, len, 0, (const struct sockaddr *)&to, sizeof to), len);
}

struct awaited {
    int fd;
    struct view packet;
    char bytes[DNS_PACKET_MAX];
    struct sockaddr_in from;
};

static bool has_come(void *arg)
{
    struct awaited *awaited = arg;
    socklen_t size = sizeof awaited->from;
    ssize_t len = recvfrom(awaited->fd, awaited->bytes, sizeof awaited->bytes, 0,
                           (struct sockaddr *)&awaited->from, &size);
    awaited->packet = (struct view){awaited->bytes, len < 0 ? 0 : (size_t)len};
    return len >= 0;
}

static struct dns_answer await_answer(const struct fixture *fixture, const char *name)
{
    struct awaited awaited = {.fd = fixture->box};
    struct dns_answer answer;
    turn_until_true(fixture->loop, has_come, &awaited);
    assert_true(dns_read_answer(awaited.packet, 7, name, &answer));
    return answer;
}

/* What the host's server is asked, answered with one address. */
static void serve(const struct fixture *fixture, uint32_t address)
{
    struct awaited awaited = {.fd = fixture->server_fd};
    struct dns_query query;
    const struct dns_answer answer = {.count = 1, .addresses = {address}, .ttl_s = 60};
    uint8_t packet[DNS_MESSAGE_MAX];
    turn_until_true(fixture->loop, has_come, &awaited);
    assert_true(dns_read_query(awaited.packet, &query));
    size_t len = dns_write_answer(&query, &answer, packet);
    assert_int_equal(sendto(fixture->server_fd, packet, len, 0,
                            (const struct sockaddr *)&awaited.from, sizeof awaited.from),
                     len);
}

static void name_that_is_not_allowed_is_refused_counted_and_asked_of_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct awaited awaited = {.fd = fixture->server_fd};
    send_from(fixture, fixture->box, "secret.evil.net", DNS_TYPE_A);
    assert_int_equal(await_answer(fixture, "secret.evil.net").code, DNS_REFUSED);
    const struct egress_box *box = egress_box_of(fixture->egress, BOX_ID);
    assert_int_equal(box->denials.count, 1);
    assert_string_equal(box->denials.names[0].name, "secret.evil.net");
    assert_false(has_come(&awaited));
}

static void other_types_of_an_allowed_name_are_empty_and_asked_of_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct awaited at_server = {.fd = fixture->server_fd};
    struct awaited at_box = {.fd = fixture->box};
    send_from(fixture, fixture->box, "www.example.com", TYPE_AAAA);
    turn_until_true(fixture->loop, has_come, &at_box);
    assert_int_equal(at_box.packet.ptr[3] & 0x0f, DNS_OK);
    assert_int_equal(at_box.packet.ptr[7], 0);
    assert_false(has_come(&at_server));
}

static void who_is_not_known_gets_no_answer(void **state)
{
    struct fixture *fixture = *state;
    uint16_t ignored;
    int stranger = bind_at(STRANGER, &ignored);
    struct awaited awaited = {.fd = stranger};
    send_from(fixture, stranger, "www.example.com", DNS_TYPE_A);
    turn_for(fixture->loop, QUIET_MS);
    assert_false(has_come(&awaited));
    (void)close(stranger);
}

static void name_that_leads_to_a_closed_address_has_none(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    serve(fixture, 0xa9fea9fe); /* 169.254.169.254 */
    struct dns_answer answer = await_answer(fixture, "www.example.com");
    assert_int_equal(answer.code, DNS_OK);
    assert_int_equal(answer.count, 0);
}

static void address_that_could_not_be_opened_is_not_told(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    serve(fixture, 0x08080808);
    struct dns_answer answer = await_answer(fixture, "www.example.com");
    assert_int_equal(answer.code, DNS_SERVER_FAILURE);
    assert_int_equal(answer.count, 0);
    assert_int_equal(egress_box_of(fixture->egress, BOX_ID)->questions, 0);
}

/* What the host's server is asked, answered as cut and without an address. Returns whether a size
 * was told. */
static bool serve_cut(const struct fixture *fixture)
{
    struct awaited awaited = {.fd = fixture->server_fd};
    struct dns_query query;
    const struct dns_answer answer = {.code = DNS_OK};
    uint8_t packet[DNS_MESSAGE_MAX];
    turn_until_true(fixture->loop, has_come, &awaited);
    assert_true(dns_read_query(awaited.packet, &query));
    size_t len = dns_write_answer(&query, &answer, packet);
    packet[2] |= CUT;
    assert_int_equal(sendto(fixture->server_fd, packet, len, 0,
                            (const struct sockaddr *)&awaited.from, sizeof awaited.from),
                     len);
    return awaited.packet.ptr[ADDITIONAL_AT] == 1;
}

static void answer_without_what_was_cut_of_it_is_none(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    for (int try = 1; try < RESOLVER_TRIES; try++) {
        assert_true(serve_cut(fixture));
    }
    assert_false(serve_cut(fixture)); /* it may be that the server does not know of sizes */
    assert_int_equal(await_answer(fixture, "www.example.com").code, DNS_SERVER_FAILURE);
}

struct asker {
    const struct egress_box *box;
    size_t questions;
};

static bool has_asked(void *arg)
{
    const struct asker *asker = arg;
    return asker->box->questions == asker->questions;
}

/* Many boxes with as many questions as each may have, and one more box. */
static void who_asks_little_is_not_kept_out_by_those_who_ask_much(void **state)
{
    enum { BOXES = RESOLVER_QUESTIONS_MAX / RESOLVER_QUESTIONS_OF_ONE_MAX };
    struct fixture *fixture = *state;
    char id[ID_SIZE];
    uint16_t ignored;
    for (unsigned i = 0; i < BOXES; i++) {
        (void)snprintf(id, sizeof id, "bbbbbbbb-bbbb-4bbb-8bbb-%012u", i);
        admit(fixture, id, MANY + i);
        int box = bind_at(MANY + i, &ignored);
        for (int question = 0; question < RESOLVER_QUESTIONS_OF_ONE_MAX; question++) {
            send_from(fixture, box, "www.example.com", DNS_TYPE_A);
        }
        struct asker asker = {egress_box_of(fixture->egress, id), RESOLVER_QUESTIONS_OF_ONE_MAX};
        turn_until_true(fixture->loop, has_asked, &asker);
        (void)close(box);
    }
    admit(fixture, LATE_ID, LATE);
    int late = bind_at(LATE, &ignored);
    send_from(fixture, late, "www.example.com", DNS_TYPE_A);
    struct asker asker = {egress_box_of(fixture->egress, LATE_ID), 1};
    turn_until_true(fixture->loop, has_asked, &asker);
    (void)close(late);
}

static void one_sandbox_has_so_many_questions_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < RESOLVER_QUESTIONS_OF_ONE_MAX + 4; i++) {
        send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    }
    turn_for(fixture->loop, QUIET_MS);
    assert_int_equal(egress_box_of(fixture->egress, BOX_ID)->questions,
                     RESOLVER_QUESTIONS_OF_ONE_MAX);
}

static void one_sandbox_asks_others_so_often(void **state)
{
    struct fixture *fixture = *state;
    struct awaited at_server = {.fd = fixture->server_fd};
    struct egress_box *box = egress_box_of(fixture->egress, BOX_ID);
    int64_t burst_ms = (int64_t)RESOLVER_BURST * RESOLVER_SPACING_MS;
    box->asked_to_ms = clock_monotonic_ms() + 2 * burst_ms;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    turn_for(fixture->loop, QUIET_MS);
    assert_int_equal(box->questions, 0);
    assert_false(has_come(&at_server));
    box->asked_to_ms = 0;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    turn_until_true(fixture->loop, has_come, &at_server);
    assert_true(box->asked_to_ms > 0);
}

static void sandbox_that_left_is_not_answered_any_more(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture, fixture->box, "www.example.com", DNS_TYPE_A);
    turn_for(fixture->loop, QUIET_MS);
    egress_dismiss(fixture->egress, BOX_ID);
    serve(fixture, 0x08080808);
    assert_int_equal(await_answer(fixture, "www.example.com").code, DNS_REFUSED);
    assert_null(egress_box_at(fixture->egress, BOX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            name_that_is_not_allowed_is_refused_counted_and_asked_of_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            other_types_of_an_allowed_name_are_empty_and_asked_of_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_not_known_gets_no_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(name_that_leads_to_a_closed_address_has_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(address_that_could_not_be_opened_is_not_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_sandbox_has_so_many_questions_at_a_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_sandbox_asks_others_so_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answer_without_what_was_cut_of_it_is_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_asks_little_is_not_kept_out_by_those_who_ask_much,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(sandbox_that_left_is_not_answered_any_more, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
