/* sandbox-service/network/rules.c */
#include "sandbox-service/network/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TEXT_MAX = 16 * 1024 };

static const char blocked[][CIDR_TEXT_SIZE] = {"203.0.113.0/24"};

static struct rules example(void)
{
    struct rules rules = {.blocked = blocked, .blocked_count = 1};
    rules_name(&rules, "insien");
    assert_true(cidr_parse(VIEW("198.51.100.0/24"), &rules.subnet));
    rules_add_resolvers(&rules, VIEW("nameserver 10.0.0.2\n"));
    return rules;
}

/* Where a line stands in the text; fails when it is not there. */
static size_t place_of(const char *text, const char *line)
{
    const char *found = strstr(text, line);
    if (found == NULL) {
        fail_msg("no line \"%s\" in:\n%s", line, text);
    }
    return (size_t)(found - text);
}

static char *write_rules(const struct rules *rules)
{
    struct str text = STR_INIT(TEXT_MAX);
    struct err err = {0};
    assert_true(rules_write(rules, &text, &err));
    return text.data;
}

static void names_fit_into_what_the_kernel_takes(void **state)
{
    (void)state;
    struct rules a = {0};
    struct rules b = {0};
    rules_name(&a, "abcdefghijklmnopqrst");
    rules_name(&b, "abcdefghijklmnopqrsu");
    assert_string_equal(a.chain, "INSIEN-abcdefghijklmnopqrst");
    assert_true(strlen(a.bridge) < BRIDGE_SIZE);
    assert_string_not_equal(a.bridge, b.bridge);
    rules_name(&a, "insien");
    assert_string_equal(a.bridge, "ins-insien");
}

static void names_are_asked_for_before_private_ranges_close(void **state)
{
    (void)state;
    const struct rules rules = example();
    AUTO(free_string) char *text = write_rules(&rules);
    size_t resolver =
        place_of(text, "-A INSIEN-insien -d 10.0.0.2/32 -p udp -m udp --dport 53 -j RETURN\n");
    assert_true(resolver < place_of(text, "-d 10.0.0.0/8 -j DROP"));
    assert_true(resolver < place_of(text, "--dst-type LOCAL -j DROP"));
}

static void answers_to_the_host_pass_before_the_host_closes(void **state)
{
    (void)state;
    const struct rules rules = example();
    AUTO(free_string) char *text = write_rules(&rules);
    assert_true(place_of(text, "--ctstate RELATED,ESTABLISHED -j ACCEPT") <
                place_of(text, "--dst-type LOCAL -j DROP"));
}

static void all_private_blocked_and_own_ranges_are_closed(void **state)
{
    (void)state;
    static const char *const ranges[] = {
        "-d 10.0.0.0/8 -j DROP\n",     "-d 172.16.0.0/12 -j DROP\n",
        "-d 192.168.0.0/16 -j DROP\n", "-d 169.254.0.0/16 -j DROP\n",
        "-d 100.64.0.0/10 -j DROP\n",  "-d 224.0.0.0/4 -j DROP\n",
        "-d 203.0.113.0/24 -j DROP\n", "-d 198.51.100.0/24 -j DROP\n",
    };
    const struct rules rules = example();
    AUTO(free_string) char *text = write_rules(&rules);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        (void)place_of(text, ranges[i]);
    }
    assert_int_equal(place_of(text, "*filter\n:INSIEN-insien - [0:0]\n"), 0);
    assert_string_equal(text + strlen(text) - strlen("COMMIT\n"), "COMMIT\n");
}

static void networks_of_the_host_are_closed_but_loopback_and_the_sandboxes_own(void **state)
{
    (void)state;
    struct rules rules = example();
    const size_t before = rules.connected_count;
    rules_add_connected(&rules, 0xc6336405, 0xffffff80); /* 198.51.100.5/25 in the own subnet */
    rules_add_connected(&rules, 0x7f000001, 0xff000000);
    rules_add_connected(&rules, 0x08080808, 0);
    assert_int_equal(rules.connected_count, before);
    rules_add_connected(&rules, 0x5db8d822, 0xfffff000); /* 93.184.216.34/20 */
    AUTO(free_string) char *text = write_rules(&rules);
    (void)place_of(text, "-d 93.184.208.0/20 -j DROP\n");
}

static void networks_that_are_closed_anyway_take_no_room(void **state)
{
    (void)state;
    struct rules rules = example();
    for (uint32_t i = 0; i < 2 * CONNECTED_MAX; i++) {
        rules_add_connected(&rules, 0xac100001 + (i << 8U), 0xffffff00); /* 172.16.i.1/24 */
    }
    rules_add_connected(&rules, 0x5db8d822, 0xfffff000); /* 93.184.216.34/20 */
    AUTO(free_string) char *text = write_rules(&rules);
    (void)place_of(text, "-d 93.184.208.0/20 -j DROP\n");
}

static void only_servers_that_are_not_on_loopback_count(void **state)
{
    (void)state;
    struct rules rules = {0};
    rules_add_resolvers(&rules, VIEW("# nameserver 1.1.1.1\nnameserver 127.0.0.53\n"
                                     "nameserver\t192.0.2.1 \nnameserver fe80::1\n"
                                     "nameserver 192.0.2.2; DROP\nsearch x\nnameserver 192.0.2.3"));
    assert_int_equal(rules.resolver_count, 2);
    assert_int_equal(rules.resolvers[0], 0xc0000201);
    assert_int_equal(rules.resolvers[1], 0xc0000203);
}

static void dropped_packets_are_counted_by_range(void **state)
{
    (void)state;
    const struct view listing =
        VIEW("Chain INSIEN-insien (2 references)\n"
             "    pkts      bytes target     prot opt in     out     source       destination\n"
             "       2      112 ACCEPT     0    --  *      *       0.0.0.0/0    0.0.0.0/0   LOCAL\n"
             "       0        0 RETURN     17   --  *      *       0.0.0.0/0    10.0.0.0/8\n"
             "       7      240 DROP       0    --  *      *       0.0.0.0/0    10.0.0.0/8\n"
             "       0        0 DROP       all  --  *      *       0.0.0.0/0    224.0.0.0/4");
    assert_int_equal(rules_count_drops(listing, "10.0.0.0/8"), 7);
    assert_int_equal(rules_count_drops(listing, "224.0.0.0/4"), 0);
    assert_int_equal(rules_count_drops(listing, "192.168.0.0/16"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_fit_into_what_the_kernel_takes),
        cmocka_unit_test(names_are_asked_for_before_private_ranges_close),
        cmocka_unit_test(answers_to_the_host_pass_before_the_host_closes),
        cmocka_unit_test(all_private_blocked_and_own_ranges_are_closed),
        cmocka_unit_test(networks_of_the_host_are_closed_but_loopback_and_the_sandboxes_own),
        cmocka_unit_test(networks_that_are_closed_anyway_take_no_room),
        cmocka_unit_test(only_servers_that_are_not_on_loopback_count),
        cmocka_unit_test(dropped_packets_are_counted_by_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
