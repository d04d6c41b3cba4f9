/* sandbox-service/events/target.c */
#include "sandbox-service/events/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

static const struct cidr loopback[] = {{0x7f000000, 8}};
static const struct target_policy strict = {NULL, 0};
static const struct target_policy lenient = {loopback, 1};

static bool is_allowed(const struct target_policy *policy, const char *text, bool is_plain)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return target_address_is_allowed(policy, (const struct sockaddr *)&v4, is_plain);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return target_address_is_allowed(policy, (const struct sockaddr *)&v6, is_plain);
}

static void public_addresses_are_allowed(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "1.1.1.1",         "9.255.255.255", "11.0.0.0",       "100.63.255.255", "100.128.0.0",
        "126.255.255.255", "128.0.0.0",     "169.253.0.1",    "172.15.255.255", "172.32.0.0",
        "192.167.0.1",     "192.169.0.0",   "198.17.255.255", "198.20.0.0",     "223.255.255.255",
        "2606:4700::1111", "2a00::1",       "2001:4860::8888"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (!is_allowed(&strict, addresses[i], false)) {
            fail_msg("%s", addresses[i]);
        }
        assert_false(is_allowed(&strict, addresses[i], true));
    }
}

static void others_are_not(void **state)
{
    (void)state;
    static const char *const addresses[] = {"0.0.0.0",
                                            "10.0.0.1",
                                            "100.64.0.1",
                                            "100.127.255.255",
                                            "127.0.0.1",
                                            "127.255.255.255",
                                            "169.254.169.254",
                                            "172.16.0.1",
                                            "172.31.255.255",
                                            "192.0.0.8",
                                            "192.0.2.1",
                                            "192.88.99.1",
                                            "192.168.1.1",
                                            "198.18.0.1",
                                            "198.19.255.255",
                                            "198.51.100.1",
                                            "203.0.113.1",
                                            "224.0.0.1",
                                            "240.0.0.1",
                                            "255.255.255.255",
                                            "::",
                                            "::1",
                                            "::ffff:127.0.0.1",
                                            "::ffff:8.8.8.8",
                                            "64:ff9b::a00:1",
                                            "fe80::1",
                                            "fc00::1",
                                            "fd00:ec2::254",
                                            "ff02::1",
                                            "2001::1",
                                            "2001:1ff:ffff::1",
                                            "2001:db8::1",
                                            "2002:7f00:1::",
                                            "3fff::1",
                                            "3fff:fff:ffff::1",
                                            "100::1",
                                            "4000::1"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (is_allowed(&strict, addresses[i], false) || is_allowed(&strict, addresses[i], true)) {
            fail_msg("%s", addresses[i]);
        }
    }
}

static void what_the_operator_names_is_allowed_over_both(void **state)
{
    (void)state;
    assert_true(is_allowed(&lenient, "127.0.0.1", false));
    assert_true(is_allowed(&lenient, "127.0.0.1", true));
    assert_false(is_allowed(&lenient, "10.0.0.1", false));
    assert_false(is_allowed(&lenient, "1.1.1.1", true));
    assert_true(is_allowed(&lenient, "1.1.1.1", false));
}

static void a_family_of_no_network_is_refused(void **state)
{
    (void)state;
    const struct sockaddr unix_address = {.sa_family = AF_UNIX};
    assert_false(target_address_is_allowed(&lenient, &unix_address, false));
}

static void urls_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_good; /* without ranges */
        bool is_good_with;
    } cases[] = {
        {"https://example.org/hook?a=b", true, true},
        {"HTTPS://example.org:8443", true, true},
        {"https://1.1.1.1/", true, true},
        {"https://[2606:4700::1111]/", true, true},
        {"http://example.org/", false, true},
        {"http://127.0.0.1:9/", false, true},
        {"https://127.0.0.1/", false, true},
        {"https://10.0.0.1/", false, false},
        {"http://10.0.0.1/", false, false},
        {"https://[::1]/", false, false},
        {"https://user@example.org/", false, false},
        {"https://user:password@example.org/", false, false},
        {"https://example.org/#part", false, false},
        {"https://exam ple.org/", false, false},
        {"https://ex\xc3\xa4mple.org/", false, false},
        {"ftp://example.org/", false, false},
        {"file:///etc/passwd", false, false},
        {"unix:/run/docker.sock", false, false},
        {"example.org", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        if (target_url_check(&strict, view_of(cases[i].url), &err) != cases[i].is_good ||
            target_url_check(&lenient, view_of(cases[i].url), &err) != cases[i].is_good_with) {
            fail_msg("%s", cases[i].url);
        }
        assert_true(cases[i].is_good || strcmp(err.reason, "invalid_webhook_url") == 0);
    }
}

static void plain_is_seen_in_any_case(void **state)
{
    (void)state;
    assert_true(target_is_plain(VIEW("HtTp://a/")));
    assert_false(target_is_plain(VIEW("https://a/")));
    assert_false(target_is_plain(VIEW("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses_are_allowed),
        cmocka_unit_test(others_are_not),
        cmocka_unit_test(what_the_operator_names_is_allowed_over_both),
        cmocka_unit_test(a_family_of_no_network_is_refused),
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(plain_is_seen_in_any_case),
    };
    return cmocka_run_group_tests_name("event_target", tests, NULL, NULL);
}
