/* sandbox-service/network/policy.c */
#include "sandbox-service/network/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

static struct policy_entry entry(const char *text)
{
    struct policy_entry out;
    const char *problem = "";
    if (!policy_entry_read(view_of(text), &out, &problem)) {
        fail_msg("%s %s", text, problem);
    }
    return out;
}

static bool has(const char *text, const char *name)
{
    struct policy_entry one = entry(text);
    return policy_entry_has_name(&one, view_of(name));
}

static void domain_without_ports_is_the_web(void **state)
{
    (void)state;
    struct policy_entry one = entry("PyPI.org.");
    assert_false(one.is_range);
    assert_false(one.is_udp);
    assert_string_equal(one.domain, "pypi.org");
    assert_int_equal(one.port_count, 2);
    assert_int_equal(one.ports[0].first, 80);
    assert_int_equal(one.ports[1].first, 443);
}

static void range_has_spans_and_a_protocol(void **state)
{
    (void)state;
    struct policy_entry one = entry("203.0.112.0/24:53,8000-8010/udp");
    assert_true(one.is_range);
    assert_true(one.is_udp);
    assert_int_equal(one.range.bits, 24);
    assert_int_equal(one.port_count, 2);
    assert_int_equal(one.ports[1].first, 8000);
    assert_int_equal(one.ports[1].last, 8010);
    assert_int_equal(entry("1.1.1.1").range.bits, 32);
}

static void name_is_itself_and_a_wildcard_all_below(void **state)
{
    (void)state;
    assert_true(has("example.com", "example.com"));
    assert_false(has("example.com", "www.example.com"));
    assert_false(has("example.com", "badexample.com"));
    assert_true(has("*.example.com", "www.example.com"));
    assert_true(has("*.example.com", "a.b.example.com"));
    assert_false(has("*.example.com", "example.com"));
    assert_false(has("*.example.com", ".example.com"));
    assert_false(has("*.example.com", "badexample.com"));
    assert_false(has("*.example.com", "example.com.evil.net"));
    assert_false(has("1.1.1.1", "1.1.1.1"));
}

static void what_can_not_be_held_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "*",
        "com",
        "*.com",
        "a..b.com",
        "-a.com",
        "a-.com",
        "a b.com",
        "*.*.com",
        "a*.b.com",
        "[::1]",
        "::1",
        "1.2.3",
        "1.2.3.4.5",
        "10.0.0.1",
        "192.168.1.0/24",
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0/0",
        "8.0.0.0/7",
        "8.8.8.1/24",
        "a.com:",
        "a.com:0",
        "a.com:65536",
        "a.com:1-2",
        "a.com:,",
        "1.1.1.1:9-8",
        "1.1.1.1/udp",
        "a.com/udp",
        "a.com:x",
        "1.1.1.1:1,2,3,4,5,6,7,8,9",
        "a.com:443:80",
        "https://a.com",
        "a.com/x",
        "a.com:443/sctp",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *problem = "";
        struct policy_entry out;
        if (policy_entry_read(view_of(wrong[i]), &out, &problem)) {
            fail_msg("\"%s\" was taken", wrong[i]);
        }
        assert_int_equal(strncmp(problem, "must ", 5), 0);
    }
}

static void policy_names_the_entry_that_is_wrong(void **state)
{
    (void)state;
    const struct view items[] = {VIEW("a.com"), VIEW("localhost")};
    const struct json_strings good = {items, 1};
    const struct json_strings bad = {items, 2};
    struct err err = {0};
    struct policy *policy = policy_read(&good, &err);
    assert_non_null(policy);
    assert_true(policy_has_name(policy, VIEW("a.com")));
    assert_false(policy_has_name(policy, VIEW("b.com")));
    free(policy);
    assert_null(policy_read(&bad, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.message, "allow[1] must "));
}

static void empty_policy_lets_nothing_through(void **state)
{
    (void)state;
    const struct json_strings none = {0};
    struct err err = {0};
    struct policy *policy = policy_read(&none, &err);
    assert_non_null(policy);
    assert_false(policy_has_name(policy, VIEW("a.com")));
    free(policy);
}

static void policy_reads_back_from_its_text(void **state)
{
    (void)state;
    const struct view items[] = {VIEW("*.a.com:443"), VIEW("203.0.113.0/24:53/udp")};
    const struct json_strings entries = {items, 2};
    struct str text = STR_INIT(POLICY_TEXT_MAX);
    struct err err = {0};
    assert_true(policy_write(&entries, &text, &err));
    assert_string_equal(text.data, "[\"*.a.com:443\",\"203.0.113.0/24:53/udp\"]");
    struct policy *policy = policy_read_text(str_view(&text), &err);
    assert_non_null(policy);
    assert_int_equal(policy->count, 2);
    assert_true(policy_has_name(policy, VIEW("b.a.com")));
    assert_true(policy->entries[1].is_udp);
    free(policy);
    str_free(&text);
    assert_null(policy_read_text(VIEW("[\"localhost\"]"), &err));
    assert_null(policy_read_text(VIEW("{}"), &err));
}

static bool keeps(const char *first, const char *second, const char *last)
{
    const struct view had[] = {view_of(last)};
    const struct view items[] = {view_of(first), view_of(second)};
    const struct json_strings before = {had, 1};
    const struct json_strings after = {items, 2};
    struct err err = {0};
    struct policy *policy = policy_read(&after, &err);
    struct policy *other = policy_read(&before, &err);
    assert_non_null(policy);
    assert_non_null(other);
    bool has = policy_has_names_of(policy, other);
    free(policy);
    free(other);
    return has;
}

static void longer_list_has_the_names_of_the_shorter(void **state)
{
    (void)state;
    assert_true(keeps("a.com", "b.com", "a.com"));
    assert_true(keeps("a.com:80", "a.com:443", "a.com"));
    assert_true(keeps("*.a.com", "b.com", "x.a.com"));
    assert_true(keeps("*.a.com", "b.com", "*.x.a.com"));
    assert_true(keeps("a.com", "b.com", "8.8.8.8"));
    assert_false(keeps("a.com", "b.com", "c.com"));
    assert_false(keeps("a.com:443", "b.com", "a.com"));
    assert_false(keeps("a.com:53/udp", "b.com", "a.com:53"));
    assert_false(keeps("*.a.com", "b.com", "a.com"));
    assert_false(keeps("a.com", "x.a.com", "*.a.com"));
    assert_false(keeps("8.8.8.8", "b.com", "a.com"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domain_without_ports_is_the_web),
        cmocka_unit_test(range_has_spans_and_a_protocol),
        cmocka_unit_test(name_is_itself_and_a_wildcard_all_below),
        cmocka_unit_test(what_can_not_be_held_is_refused),
        cmocka_unit_test(policy_names_the_entry_that_is_wrong),
        cmocka_unit_test(policy_reads_back_from_its_text),
        cmocka_unit_test(empty_policy_lets_nothing_through),
        cmocka_unit_test(longer_list_has_the_names_of_the_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
