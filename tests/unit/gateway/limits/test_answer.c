#include "gateway/limits/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_header(const struct http_header *header, const char *name, const char *value)
{
    assert_int_equal(header->name.len, strlen(name));
    assert_memory_equal(header->name.ptr, name, header->name.len);
    assert_int_equal(header->value.len, strlen(value));
    assert_memory_equal(header->value.ptr, value, header->value.len);
}

static void headers_say_what_is_left(void **state)
{
    (void)state;
    const struct limit_verdict verdict = {
        .policy = "user", .rate = {60, 10}, .remaining = 7, .full_ms = 2001};
    struct limit_headers headers;
    limit_headers_write(&verdict, &headers);
    assert_header(&headers.headers[0], "RateLimit-Limit", "10");
    assert_header(&headers.headers[1], "RateLimit-Remaining", "7");
    assert_header(&headers.headers[2], "RateLimit-Reset", "3");
    assert_header(&headers.headers[3], "RateLimit-Policy", "\"user\";q=10;w=10");
    assert_header(&headers.headers[4], "RateLimit", "\"user\";r=7;t=3");
}

static void largest_numbers_fit(void **state)
{
    (void)state;
    const struct limit_verdict verdict = {.policy = "preview",
                                          .rate = {1, LIMIT_RATE_MAX},
                                          .remaining = LIMIT_RATE_MAX,
                                          .full_ms = INT64_MAX - 1000};
    struct limit_headers headers;
    limit_headers_write(&verdict, &headers);
    assert_header(&headers.headers[3], "RateLimit-Policy", "\"preview\";q=1000000;w=60000000");
    assert_header(&headers.headers[2], "RateLimit-Reset", "9223372036854775");
}

static void refusal_says_when_to_come_again(void **state)
{
    (void)state;
    struct limit_verdict verdict = {.policy = "user", .rate = {60, 10}, .retry_ms = 1001};
    struct err err = {0};
    assert_int_equal(limit_retry_after_s(&verdict), 2);
    assert_false(limit_error(LIMIT_REFUSED, &verdict, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.reason, "rate_limited");
    assert_string_equal(err.message, "Too many requests: come again in 2 seconds.");
    verdict.retry_ms = 0;
    assert_int_equal(limit_retry_after_s(&verdict), 1);
}

static void without_the_limit_it_is_unavailable(void **state)
{
    (void)state;
    const struct limit_verdict verdict = {0};
    struct err err = {0};
    assert_false(limit_error(LIMIT_UNAVAILABLE, &verdict, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "rate_limit_unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_say_what_is_left),
        cmocka_unit_test(largest_numbers_fit),
        cmocka_unit_test(refusal_says_when_to_come_again),
        cmocka_unit_test(without_the_limit_it_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
