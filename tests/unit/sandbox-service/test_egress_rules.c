/* sandbox-service/network/egress_rules.c */
#include "sandbox-service/network/egress_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

enum { TEXT_MAX = 64 * 1024, BOX = 0x0ac91005 };

static const char blocked[][CIDR_TEXT_SIZE] = {"203.0.113.0/24"};

static struct rules open_rules(void)
{
    struct rules rules = {.blocked = blocked, .blocked_count = 1};
    rules_name(&rules, "insien");
    assert_true(cidr_parse(VIEW("10.200.0.0/20"), &rules.subnet));
    rules_add_resolvers(&rules, VIEW("nameserver 192.0.2.53\n"));
    rules_add_connected(&rules, 0xc6336407, 0xffffff00);
    return rules;
}

static struct egress_rules example(const struct rules *open)
{
    struct egress_rules rules = {.resolver = 0x0ac91001};
    egress_rules_name(&rules, open);
    assert_true(cidr_parse(VIEW("10.201.16.0/20"), &rules.subnet));
    rules.kbytes_per_s[TIER_FREE] = 2048;
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

static void names_are_made_from_the_open_bridge(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    assert_string_equal(rules.table, "insien_insien");
    assert_string_equal(rules.bridge, "inr-insien");
}

static void closed_is_what_the_open_bridge_closes_and_both_networks(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    assert_true(egress_is_closed(&rules, 0x0a000001));  /* 10.0.0.1 */
    assert_true(egress_is_closed(&rules, 0xa9fea9fe));  /* 169.254.169.254 */
    assert_true(egress_is_closed(&rules, 0xcb007109));  /* the operator's */
    assert_true(egress_is_closed(&rules, 0xc6336401));  /* the host's neighbours */
    assert_true(egress_is_closed(&rules, 0x0ac91002));  /* other sandboxes */
    assert_false(egress_is_closed(&rules, 0x08080808)); /* 8.8.8.8 */
}

static void nothing_is_forwarded_that_no_rule_names(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    struct str out = STR_INIT(TEXT_MAX);
    struct err err = {0};
    assert_true(egress_write_base(&rules, false, &out, &err));
    size_t closed = place_of(out.data, "forward iifname inr-insien ip daddr @closed jump denied\n");
    size_t boxes = place_of(out.data, "forward iifname inr-insien ip saddr vmap @boxes\n");
    size_t rest = place_of(out.data, "forward iifname inr-insien drop\n");
    assert_true(closed < boxes && boxes < rest);
    (void)place_of(out.data, "forward iifname inr-insien meta nfproto != ipv4 drop\n");
    assert_true(place_of(out.data, "forward iifname inr-insien ip hdrlength != 5 jump denied\n") <
                boxes);
    (void)place_of(out.data, "add element inet insien_insien closed { 169.254.0.0/16 }\n");
    (void)place_of(out.data, "add element inet insien_insien closed { 203.0.113.0/24 }\n");
    str_free(&out);
}

static void host_takes_names_and_nothing_else(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    struct str out = STR_INIT(TEXT_MAX);
    struct err err = {0};
    assert_true(egress_write_base(&rules, false, &out, &err));
    size_t ours = place_of(out.data, "input ip daddr 10.201.16.1 udp dport 53 accept\n");
    assert_true(ours < place_of(out.data, "input drop\n"));
    assert_true(place_of(out.data, "input udp dport 53 update @asking { ip saddr limit rate over "
                                   "100/second burst 500 packets } drop\n") < ours);
    assert_true(place_of(out.data, "input ip hdrlength != 5 drop\n") < ours);
    (void)place_of(out.data,
                   "names iifname ins-insien ip daddr 10.201.16.1 udp dport 53 dnat ip to "
                   "192.0.2.53\n");
    str_free(&out);
}

static void only_a_tier_with_a_rate_is_held_to_one(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    struct str out = STR_INIT(TEXT_MAX);
    struct err err = {0};
    assert_true(egress_write_base(&rules, false, &out, &err));
    (void)place_of(out.data, "from_free update @used_from_free { ip saddr limit rate over 2048 "
                             "kbytes/second } drop\n");
    (void)place_of(out.data, "to_free update @used_to_free { ip daddr limit rate over");
    assert_null(strstr(out.data, "from_pro update"));
    str_free(&out);
}

static struct policy *policy_of(const struct view *items, size_t count)
{
    const struct json_strings entries = {items, count};
    struct err err = {0};
    struct policy *policy = policy_read(&entries, &err);
    assert_non_null(policy);
    return policy;
}

static void policy_is_ranges_now_and_names_when_they_are_asked_for(void **state)
{
    (void)state;
    static const struct view items[] = {VIEW("8.8.0.0/16:53,100-200/udp"), VIEW("a.com:443")};
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    struct str out = STR_INIT(TEXT_MAX);
    struct policy *policy = policy_of(items, 2);
    egress_write_policy(&rules, BOX, policy, false, &out);
    size_t flushed = place_of(out.data, "flush set inet insien_insien names_0ac91005\n");
    (void)place_of(out.data, "flush set inet insien_insien held_0ac91005\n");
    size_t held = place_of(out.data, "@held_0ac91005 update @held_0ac91005");
    size_t names = place_of(out.data, "@names_0ac91005 update @held_0ac91005");
    size_t range =
        place_of(out.data, "box_0ac91005 ip daddr 8.8.0.0/16 udp dport 100-200 accept\n");
    size_t rest = place_of(out.data, "box_0ac91005 goto not_0ac91005\n");
    assert_true(flushed < held && held < names && names < range && range < rest);
    (void)place_of(out.data, "not_0ac91005 drop\n");
    (void)place_of(out.data, "boxes { 10.201.16.5 : goto box_0ac91005 }\n");
    assert_null(strstr(out.data, "443"));
    str_clear(&out);
    egress_write_grant(&rules, BOX, &policy->entries[1], 0x08080404, &out);
    (void)place_of(out.data, "add element inet insien_insien names_0ac91005 { 8.8.4.4 . tcp . 443 "
                             "timeout 600s }\n");
    free(policy);
    str_free(&out);
}

static void removal_leaves_nothing(void **state)
{
    (void)state;
    struct rules open = open_rules();
    struct egress_rules rules = example(&open);
    struct str out = STR_INIT(TEXT_MAX);
    egress_write_removal(&rules, BOX, &out);
    size_t element = place_of(out.data, "delete element inet insien_insien boxes");
    size_t chain = place_of(out.data, "delete chain inet insien_insien box_0ac91005\n");
    size_t set = place_of(out.data, "delete set inet insien_insien names_0ac91005\n");
    assert_true(element < chain && chain < set);
    (void)place_of(out.data, "delete set inet insien_insien held_0ac91005\n");
    (void)place_of(out.data, "delete set inet insien_insien tried_0ac91005\n");
    str_free(&out);
}

static void attempts_are_read_from_what_nft_prints(void **state)
{
    (void)state;
    struct view listing = VIEW("table inet insien_insien {\n\tset tried_0ac91005 {\n"
                               "\t\ttype ipv4_addr . inet_proto . inet_service\n"
                               "\t\tsize 128\n\t\tflags dynamic\n"
                               "\t\telements = { 8.8.8.8 . 17 . 53 counter packets 3 bytes 180,\n"
                               "\t\t\t     1.1.1.1 . tcp . 443 counter packets 1 bytes 60 }\n"
                               "\t}\n}\n");
    struct egress_attempt attempt;
    assert_true(egress_next_attempt(&listing, &attempt));
    assert_int_equal(attempt.address, 0x08080808);
    assert_int_equal(attempt.protocol, 17);
    assert_int_equal(attempt.port, 53);
    assert_int_equal(attempt.packets, 3);
    assert_true(egress_next_attempt(&listing, &attempt));
    assert_int_equal(attempt.protocol, 6);
    assert_int_equal(attempt.port, 443);
    assert_false(egress_next_attempt(&listing, &attempt));
}

static void sandboxes_are_read_from_what_nft_prints(void **state)
{
    (void)state;
    struct view listing = VIEW("table inet insien_insien {\n\tmap boxes {\n"
                               "\t\ttype ipv4_addr : verdict\n"
                               "\t\telements = { 10.201.16.5 : goto box_0ac91005,\n"
                               "\t\t\t     10.201.17.255 : goto box_0ac911ff }\n\t}\n}\n");
    struct view cut = VIEW("goto box_0a");
    uint32_t address = 0;
    assert_true(egress_next_box(&listing, &address));
    assert_int_equal(address, 0x0ac91005);
    assert_true(egress_next_box(&listing, &address));
    assert_int_equal(address, 0x0ac911ff);
    assert_false(egress_next_box(&listing, &address));
    assert_false(egress_next_box(&cut, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_made_from_the_open_bridge),
        cmocka_unit_test(closed_is_what_the_open_bridge_closes_and_both_networks),
        cmocka_unit_test(nothing_is_forwarded_that_no_rule_names),
        cmocka_unit_test(host_takes_names_and_nothing_else),
        cmocka_unit_test(only_a_tier_with_a_rate_is_held_to_one),
        cmocka_unit_test(policy_is_ranges_now_and_names_when_they_are_asked_for),
        cmocka_unit_test(removal_leaves_nothing),
        cmocka_unit_test(attempts_are_read_from_what_nft_prints),
        cmocka_unit_test(sandboxes_are_read_from_what_nft_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
