/* auth-service/api_keys/material.c */
#include "auth-service/api_keys/material.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY "isk_0000000000000000000000000000000000000000000000000000000000000000"

static void a_new_key_has_the_shape_and_is_never_the_same(void **state)
{
    (void)state;
    char first[API_KEY_SIZE];
    char second[API_KEY_SIZE];
    char normal[API_KEY_SIZE];
    struct err err = {0};
    assert_true(api_key_make(first, &err) && api_key_make(second, &err));
    assert_true(api_key_normalise(view_of(first), normal));
    assert_string_equal(first, normal);
    assert_string_not_equal(first, second);
}

static void the_digest_is_sha_256(void **state)
{
    (void)state;
    char digest[API_KEY_HASH_HEX_SIZE];
    struct err err = {0};
    assert_true(api_key_digest(KEY, digest, &err));
    assert_string_equal(digest, "94baa2423821e4e937c17653d1cdbc4a790cc2257cff3693609f4a62d694fdb1");
}

static void bcrypt_proves_its_key_and_no_other(void **state)
{
    (void)state;
    char hash[API_KEY_BCRYPT_SIZE];
    char again[API_KEY_BCRYPT_SIZE];
    char other[API_KEY_SIZE] = KEY;
    struct err err = {0};
    other[API_KEY_LEN - 1] = '1';
    assert_true(api_key_bcrypt(KEY, hash, &err) && api_key_bcrypt(KEY, again, &err));
    assert_memory_equal(hash, "$2b$10$", 7);
    assert_string_not_equal(hash, again);
    assert_true(api_key_matches(KEY, hash));
    assert_true(api_key_matches(KEY, again));
    assert_false(api_key_matches(other, hash));
}

/* Made by another bcrypt over base64(SHA-256(KEY)), so that rows outlive this implementation. */
static void a_hash_of_another_implementation_is_understood(void **state)
{
    (void)state;
    assert_true(
        api_key_matches(KEY, "$2b$10$0O3igV53Zsov62wdsl0RiexQshHqN6Hw5okXQxDe2NXLlE5r/DBxa"));
}

static void what_is_no_hash_matches_nothing(void **state)
{
    (void)state;
    static const char *const hashes[] = {"", "*0", "$2b$10$", "x"};
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        assert_false(api_key_matches(KEY, hashes[i]));
    }
}

static void the_hmac_depends_on_the_secret_and_the_key(void **state)
{
    (void)state;
    uint8_t first[API_KEY_HASH_LEN];
    uint8_t second[API_KEY_HASH_LEN];
    struct err err = {0};
    assert_true(api_key_hmac(VIEW("secret"), KEY, first, &err));
    assert_true(api_key_hmac(VIEW("other"), KEY, second, &err));
    assert_memory_not_equal(first, second, sizeof first);
    assert_true(api_key_hmac(VIEW("secret"), KEY, second, &err));
    assert_memory_equal(first, second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_key_has_the_shape_and_is_never_the_same),
        cmocka_unit_test(the_digest_is_sha_256),
        cmocka_unit_test(bcrypt_proves_its_key_and_no_other),
        cmocka_unit_test(a_hash_of_another_implementation_is_understood),
        cmocka_unit_test(what_is_no_hash_matches_nothing),
        cmocka_unit_test(the_hmac_depends_on_the_secret_and_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
