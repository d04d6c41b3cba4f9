#include "common/base/encode.h"
#include "common/ws/handshake.h"
#include "common/ws/sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void accept_value_is_the_one_of_the_rfc(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_SIZE];
    ws_accept_of(VIEW("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void new_keys_are_valid_and_differ(void **state)
{
    (void)state;
    struct err err;
    char first[WS_KEY_SIZE];
    char second[WS_KEY_SIZE];
    assert_true(ws_key_new(first, &err));
    assert_true(ws_key_new(second, &err));
    assert_true(ws_key_is_valid(view_of(first)));
    assert_string_not_equal(first, second);
}

static void keys_of_another_size_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "",
        "dGhlIHNhbXBsZSBub25j",             /* 15 bytes */
        "dGhlIHNhbXBsZSBub25jZXM=",         /* 17 bytes */
        "dGhlIHNhbXBsZSBub25jZQ=",          /* padding cut */
        "dGhlIHNhbXBsZSBub25jZR==",         /* bits behind the last byte */
        "dGhlIHNhbXBsZSBub25jZ!==",         /* no base64 */
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIQ==", /* two */
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_false(ws_key_is_valid(view_of(keys[i])));
    }
}

/* The vectors of RFC 3174, and the lengths around a block's end. */
static void sha1_matches_known_digests(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *digest;
    } cases[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t digest[SHA1_SIZE];
        char hex[ENCODE_HEX_SIZE(SHA1_SIZE)];
        sha1_of(view_of(cases[i].text), digest);
        encode_hex(digest, sizeof digest, hex);
        assert_string_equal(hex, cases[i].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_value_is_the_one_of_the_rfc),
        cmocka_unit_test(new_keys_are_valid_and_differ),
        cmocka_unit_test(keys_of_another_size_are_refused),
        cmocka_unit_test(sha1_matches_known_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
