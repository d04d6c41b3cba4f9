#include "gateway/limits/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define KEY "22222222-2222-4222-8222-222222222222"

static struct limit_request of_caller(const char *tier, const char *key, int64_t per_minute)
{
    struct limit_policy policy;
    struct limit_request request;
    struct err err = {0};
    assert_true(limit_policy_parse(&policy, "", &err));
    struct auth_key_limits limits = {.count = per_minute > 0 ? 1 : 0};
    limits.items[0].requests_per_minute = per_minute;
    (void)view_copy(view_of(key), limits.items[0].api_key_id, ID_SIZE);
    const struct limit_caller caller = {
        .tier = view_of(tier), .user_id = USER, .key_limits = key[0] == '\0' ? NULL : &limits};
    limit_request_of_caller(&policy, &caller, &request);
    return request;
}

static struct limit_request of_address(enum limit_kind kind, const char *text)
{
    struct limit_policy policy;
    struct limit_request request;
    struct address address;
    struct err err = {0};
    assert_true(limit_policy_parse(&policy, "", &err));
    assert_true(address_parse(view_of(text), &address));
    limit_request_of_address(&policy, kind, &address, &request);
    return request;
}

static void keys_of_a_user_share_the_limit_of_the_user(void **state)
{
    (void)state;
    struct limit_request request = of_caller("pro", KEY, 0);
    assert_int_equal(request.count, 1);
    assert_false(request.fails_closed);
    assert_string_equal(request.claims[0].name, "user:" USER);
    assert_string_equal(request.claims[0].policy, "user");
    assert_int_equal(request.claims[0].rate.per_minute, 600);
}

static void key_with_a_limit_counts_twice(void **state)
{
    (void)state;
    struct limit_request request = of_caller("pro", KEY, 100);
    assert_int_equal(request.count, 2);
    assert_string_equal(request.claims[0].name, "key:" KEY);
    assert_string_equal(request.claims[0].policy, "key");
    assert_int_equal(request.claims[0].rate.per_minute, 100);
    assert_string_equal(request.claims[1].name, "user:" USER);
    assert_int_equal(request.claims[1].rate.per_minute, 600);
}

static void a_key_counts_in_the_limits_of_those_above_it(void **state)
{
    (void)state;
    struct limit_policy policy;
    struct limit_request request;
    struct err err = {0};
    struct auth_key_limits limits;
    assert_true(limit_policy_parse(&policy, "", &err));
    assert_true(auth_key_limits_read(VIEW(KEY ":5," USER ":100," KEY ":600"), &limits, &err));
    const struct limit_caller caller = {
        .tier = VIEW("pro"), .user_id = USER, .key_limits = &limits};
    limit_request_of_caller(&policy, &caller, &request);
    assert_int_equal(request.count, 3); /* what the user has anyway is left out */
    assert_string_equal(request.claims[0].name, "key:" KEY);
    assert_int_equal(request.claims[0].rate.per_minute, 5);
    assert_int_equal(request.claims[0].rate.burst, 5);
    assert_string_equal(request.claims[1].name, "key:" USER);
    assert_int_equal(request.claims[1].rate.per_minute, 100);
    assert_int_equal(request.claims[1].rate.burst, 60);
    assert_string_equal(request.claims[2].name, "user:" USER);
}

static void session_has_the_limit_of_its_user(void **state)
{
    (void)state;
    struct limit_request request = of_caller("free", "", 5);
    assert_int_equal(request.count, 1);
    assert_string_equal(request.claims[0].name, "user:" USER);
}

static void addresses_of_one_host_are_one(void **state)
{
    (void)state;
    struct limit_request request = of_address(LIMIT_ADDRESS, "2001:db8::1");
    assert_string_equal(request.claims[0].name, "address:20010db8000000000000000000000000");
    assert_int_equal(request.claims[0].rate.burst, 60);
    request = of_address(LIMIT_ADDRESS, "2001:db8::ffff");
    assert_string_equal(request.claims[0].name, "address:20010db8000000000000000000000000");
    request = of_address(LIMIT_ADDRESS, "10.0.0.1");
    assert_string_equal(request.claims[0].name, "address:00000000000000000000ffff0a000001");
}

static void previews_have_a_limit_of_their_own(void **state)
{
    (void)state;
    struct limit_request request = of_address(LIMIT_PREVIEW, "10.0.0.1");
    assert_string_equal(request.claims[0].name, "preview:00000000000000000000ffff0a000001");
    assert_string_equal(request.claims[0].policy, "preview");
    assert_int_equal(request.claims[0].rate.burst, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_user_share_the_limit_of_the_user),
        cmocka_unit_test(key_with_a_limit_counts_twice),
        cmocka_unit_test(a_key_counts_in_the_limits_of_those_above_it),
        cmocka_unit_test(session_has_the_limit_of_its_user),
        cmocka_unit_test(addresses_of_one_host_are_one),
        cmocka_unit_test(previews_have_a_limit_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
