#include "gateway/http/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TRUSTED "10.0.0.0/8, 2001:db8::/32"

enum { LINES_MAX = 3 };

static struct forwarded read_all(const char *trusted, const char *peer,
                                 const struct http_header *headers, size_t header_count)
{
    struct address_list list;
    struct address address;
    struct forwarded forwarded;
    struct err err = {0};
    assert_true(address_list_parse(&list, trusted, &err));
    assert_true(address_parse(view_of(peer), &address));
    forwarded_read(&list, &address, headers, header_count, &forwarded);
    address_list_free(&list);
    return forwarded;
}

/* lines: of X-Forwarded-For, in their order. */
static void assert_client(const char *name, const char *peer, const char *const lines[LINES_MAX],
                          const char *client)
{
    struct http_header headers[LINES_MAX + 1] = {{VIEW("Accept"), VIEW("10.9.9.9")}};
    size_t count = 1;
    for (size_t i = 0; i < LINES_MAX && lines[i] != NULL; i++) {
        headers[count++] = (struct http_header){VIEW("x-forwarded-for"), view_of(lines[i])};
    }
    struct forwarded forwarded = read_all(TRUSTED, peer, headers, count);
    char found[ADDRESS_TEXT_SIZE];
    address_format(&forwarded.client, found);
    if (strcmp(found, client) != 0) {
        fail_msg("%s: %s", name, found);
    }
}

static void client_is_the_rightmost_hop_that_is_not_trusted(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *peer;
        const char *lines[LINES_MAX];
        const char *client;
    } cases[] = {
        {"nobody says", "10.0.0.1", {NULL}, "10.0.0.1"},
        {"one proxy", "10.0.0.1", {"1.2.3.4"}, "1.2.3.4"},
        {"what the client made up is to the left", "10.0.0.1", {"9.9.9.9, 1.2.3.4"}, "1.2.3.4"},
        {"two proxies", "10.0.0.1", {"9.9.9.9, 1.2.3.4, 10.0.0.2"}, "1.2.3.4"},
        {"a client that claims to be a proxy", "10.0.0.1", {"10.0.0.9,1.2.3.4"}, "1.2.3.4"},
        {"lines are one list", "10.0.0.1", {"9.9.9.9", "1.2.3.4", "10.0.0.2"}, "1.2.3.4"},
        {"proxies alone", "10.0.0.1", {"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
        {"a stranger says nothing", "1.1.1.1", {"1.2.3.4"}, "1.1.1.1"},
        {"a stranger behind no proxy of ours", "11.0.0.1", {"10.0.0.1"}, "11.0.0.1"},
        {"IPv6", "2001:db8::1", {"2a00::1, 2001:db8::2"}, "2a00::1"},
        {"IPv4 in IPv6", "::ffff:10.0.0.1", {"1.2.3.4"}, "1.2.3.4"},
        {"no blanks", "10.0.0.1", {"1.2.3.4,10.0.0.2"}, "1.2.3.4"},
        {"many blanks", "10.0.0.1", {" \t1.2.3.4 ,\t 10.0.0.2 "}, "1.2.3.4"},
        {"nonsense to the left of the client", "10.0.0.1", {"unknown, ,x, 1.2.3.4"}, "1.2.3.4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_client(cases[i].name, cases[i].peer, cases[i].lines, cases[i].client);
    }
}

static void hops_may_have_ports(void **state)
{
    (void)state;
    static const char *const hops[][2] = {
        {"1.2.3.4:5678", "1.2.3.4"}, {"[2a00::1]", "2a00::1"},     {"[2a00::1]:443", "2a00::1"},
        {"2a00::1", "2a00::1"},      {"1.2.3.4:65535", "1.2.3.4"}, {"::", "::"},
    };
    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++) {
        const char *const lines[LINES_MAX] = {hops[i][0]};
        assert_client(hops[i][0], "10.0.0.1", lines, hops[i][1]);
    }
}

static void nonsense_leaves_the_peer(void **state)
{
    (void)state;
    static const char *const hops[] = {
        "",
        "unknown",
        "1.2.3.4,",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.4:",
        "1.2.3.4:a",
        "1.2.3.4:123456",
        ":80",
        "[",
        "[]",
        "[1.2.3.4]",
        "[2a00::1",
        "[2a00::1]x",
        "[2a00::1]:",
        "[2a00::1]:x",
        "2a00::1]",
        "2a00::1%eth0",
        "\"1.2.3.4\"",
        "1.2.3.4 5",
        "01.2.3.4",
        "1.2.3.4/32",
        "for=1.2.3.4",
        "_hidden",
        "1.2.3.4, , 10.0.0.2",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++) {
        const char *const lines[LINES_MAX] = {hops[i]};
        assert_client(hops[i], "10.0.0.1", lines, "10.0.0.1");
    }
}

static void endless_chain_leaves_the_peer(void **state)
{
    (void)state;
    struct http_header headers[FORWARDED_HOPS_MAX + 1];
    headers[0] = (struct http_header){VIEW("X-Forwarded-For"), VIEW("1.2.3.4")};
    for (size_t i = 1; i <= FORWARDED_HOPS_MAX; i++) {
        headers[i] = (struct http_header){VIEW("X-Forwarded-For"), VIEW("10.0.0.2")};
    }
    char found[ADDRESS_TEXT_SIZE];
    struct forwarded forwarded = read_all(TRUSTED, "10.0.0.1", headers, FORWARDED_HOPS_MAX);
    address_format(&forwarded.client, found);
    assert_string_equal(found, "10.0.0.1");
    forwarded = read_all(TRUSTED, "10.0.0.1", headers, FORWARDED_HOPS_MAX - 1);
    address_format(&forwarded.client, found);
    assert_string_equal(found, "1.2.3.4");
}

static void scheme_and_host_are_those_of_the_nearest_proxy(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("X-Forwarded-Proto"), VIEW("http, HTTPS")},
        {VIEW("X-Forwarded-Host"), VIEW("evil.example, api.example:8443")},
    };
    struct forwarded forwarded = read_all(TRUSTED, "10.0.0.1", headers, 2);
    assert_int_equal(forwarded.scheme, FORWARDED_HTTPS);
    assert_true(view_equal(forwarded.host, VIEW("api.example:8443")));
    forwarded = read_all(TRUSTED, "1.1.1.1", headers, 2);
    assert_int_equal(forwarded.scheme, FORWARDED_SCHEME_UNKNOWN);
    assert_int_equal(forwarded.host.len, 0);
    forwarded = read_all("", "10.0.0.1", headers, 2);
    assert_int_equal(forwarded.scheme, FORWARDED_SCHEME_UNKNOWN);
}

static void scheme_and_host_that_are_none_are_not_believed(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("X-Forwarded-Proto"), VIEW("https, wss")},
        {VIEW("X-Forwarded-Host"), VIEW("api.example, a b")},
    };
    struct forwarded forwarded = read_all(TRUSTED, "10.0.0.1", headers, 2);
    assert_int_equal(forwarded.scheme, FORWARDED_SCHEME_UNKNOWN);
    assert_int_equal(forwarded.host.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_is_the_rightmost_hop_that_is_not_trusted),
        cmocka_unit_test(hops_may_have_ports),
        cmocka_unit_test(nonsense_leaves_the_peer),
        cmocka_unit_test(endless_chain_leaves_the_peer),
        cmocka_unit_test(scheme_and_host_are_those_of_the_nearest_proxy),
        cmocka_unit_test(scheme_and_host_that_are_none_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
