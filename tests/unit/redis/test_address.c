/* common/redis/address.c */
#include "common/redis/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct redis_address read_url(const char *url)
{
    struct redis_address address;
    struct err err = {0};
    if (!redis_address_read(url, &address, &err)) {
        fail_msg("%s: %s", url, err.message);
    }
    return address;
}

static void unix_socket_is_a_path(void **state)
{
    (void)state;
    struct redis_address address = read_url("unix:///run/insien/redis.sock");
    assert_string_equal(address.unix_path, "/run/insien/redis.sock");
    assert_int_equal(address.db, 0);
}

static void database_of_a_unix_socket_is_in_the_query(void **state)
{
    (void)state;
    struct redis_address address = read_url("unix:///run/redis.sock?db=3");
    assert_string_equal(address.unix_path, "/run/redis.sock");
    assert_int_equal(address.db, 3);
}

static void unix_socket_may_want_credentials(void **state)
{
    (void)state;
    struct redis_address address = read_url("unix://me:p%40ss@/run/redis.sock?db=3");
    assert_string_equal(address.unix_path, "/run/redis.sock");
    assert_int_equal(address.db, 3);
    assert_string_equal(address.user, "me");
    assert_string_equal(address.password, "p@ss");
}

static void address_port_database_and_credentials_are_read(void **state)
{
    (void)state;
    struct redis_address address = read_url("redis://me:p%40ss:word@127.0.0.1:7000/2");
    assert_string_equal(address.unix_path, "");
    assert_int_equal(address.ip_count, 1);
    assert_string_equal(address.ips[0], "127.0.0.1");
    assert_int_equal(address.port, 7000);
    assert_int_equal(address.db, 2);
    assert_string_equal(address.user, "me");
    assert_string_equal(address.password, "p@ss:word");
}

static void password_needs_no_user(void **state)
{
    (void)state;
    struct redis_address address = read_url("redis://:secret@127.0.0.1");
    assert_string_equal(address.user, "");
    assert_string_equal(address.password, "secret");
    assert_int_equal(address.port, REDIS_PORT_DEFAULT);
}

static void ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    struct redis_address address = read_url("redis://[::1]:6380");
    assert_string_equal(address.ips[0], "::1");
    assert_int_equal(address.port, 6380);
}

static void nonsense_is_refused_without_showing_it(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "hidden-word",
        "http://hidden-word",
        "redis://",
        "redis://:6379",
        "redis://127.0.0.1:hidden-word",
        "redis://127.0.0.1:65536",
        "redis://127.0.0.1/hidden-word",
        "redis://:hidden-word%4@127.0.0.1",
        "redis://:hidden-word%00@127.0.0.1",
        "redis://[::1]x6379",
        "unix://relative-hidden-word",
        "unix://me:hidden-word/run/redis.sock",
        "unix://me:hidden-word%00@/run/redis.sock",
        "unix:///run/redis.sock?hidden-word=1",
        "unix:///run/redis.sock?db=",
        "unix:///run/redis.sock?",
        ("unix:///a-path-that-is-longer-than-a-socket-address-can-hold/"
         "0123456789012345678901234567890123456789012345678901234567890123456789"),
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct redis_address address;
        struct err err = {0};
        if (redis_address_read(urls[i], &address, &err)) {
            fail_msg("\"%s\" was read", urls[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(strstr(err.message, "hidden-word"));
    }
}

static void unknown_host_is_told(void **state)
{
    (void)state;
    struct redis_address address;
    struct err err = {0};
    assert_false(redis_address_read("redis://nothing.invalid", &address, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unix_socket_is_a_path),
        cmocka_unit_test(database_of_a_unix_socket_is_in_the_query),
        cmocka_unit_test(unix_socket_may_want_credentials),
        cmocka_unit_test(address_port_database_and_credentials_are_read),
        cmocka_unit_test(password_needs_no_user),
        cmocka_unit_test(ipv6_address_stands_in_brackets),
        cmocka_unit_test(nonsense_is_refused_without_showing_it),
        cmocka_unit_test(unknown_host_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
