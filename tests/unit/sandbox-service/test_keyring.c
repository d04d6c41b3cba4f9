/* sandbox-service/secrets/keyring.c */
#include "sandbox-service/secrets/keyring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_A_BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define KEY_C "0f0e0d0c0b0a09080706050403020100f0e0d0c0b0a090807060504030201000"
#define USER "11111111-1111-4111-8111-111111111111"
#define OTHER_USER "22222222-2222-4222-8222-222222222222"

enum { SEALED_MAX = 256 };

static const struct keyring_place place = {USER, VIEW("token")};

/* A value and its sealed form. */
struct sealed {
    uint8_t bytes[SEALED_MAX];
    size_t len;
};

static struct keyring keys(const char *current, const char *older)
{
    struct keyring keyring;
    struct err err = {0};
    assert_true(keyring_read(&keyring, current, older, &err));
    return keyring;
}

static struct sealed seal(const struct keyring *keyring, struct view plain)
{
    struct sealed sealed = {.len = plain.len + KEYRING_OVERHEAD};
    struct err err = {0};
    assert_true(sealed.len <= SEALED_MAX);
    assert_true(keyring_seal(keyring, &place, plain, sealed.bytes, &err));
    return sealed;
}

static bool opens(const struct keyring *keyring, const char *key_id,
                  const struct keyring_place *where, const struct sealed *sealed, struct view plain)
{
    uint8_t out[SEALED_MAX] = {0};
    struct err err = {0};
    const struct view bytes = {(const char *)sealed->bytes, sealed->len};
    if (!keyring_unseal(keyring, key_id, where, bytes, out, &err)) {
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        assert_string_equal(err.reason, "secret_unreadable");
        return false;
    }
    return view_equal((struct view){(const char *)out, sealed->len - KEYRING_OVERHEAD}, plain);
}

static void what_is_sealed_opens_again(void **state)
{
    (void)state;
    static const struct view values[] = {VIEW(""), VIEW("x"), VIEW("a\0b"),
                                         VIEW("sixteen bytes ..")};
    struct keyring keyring = keys(KEY_A, "");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct sealed sealed = seal(&keyring, values[i]);
        assert_true(opens(&keyring, keyring_current(&keyring), &place, &sealed, values[i]));
    }
}

static void no_two_sealings_are_alike(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY_A, "");
    struct sealed first = seal(&keyring, VIEW("value"));
    struct sealed second = seal(&keyring, VIEW("value"));
    assert_memory_not_equal(first.bytes, second.bytes, first.len);
    assert_memory_not_equal(first.bytes, second.bytes, 12); /* the nonce */
}

static void value_opens_in_its_place_alone(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY_A, "");
    const char *key_id = keyring_current(&keyring);
    struct sealed sealed = seal(&keyring, VIEW("value"));
    const struct keyring_place of_another = {OTHER_USER, VIEW("token")};
    const struct keyring_place other_name = {USER, VIEW("tokem")};
    assert_false(opens(&keyring, key_id, &of_another, &sealed, VIEW("value")));
    assert_false(opens(&keyring, key_id, &other_name, &sealed, VIEW("value")));
}

static void changed_value_does_not_open(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY_A, "");
    const struct sealed sealed = seal(&keyring, VIEW("value"));
    for (size_t i = 0; i < sealed.len; i++) {
        struct sealed changed = sealed;
        changed.bytes[i] ^= 1;
        assert_false(opens(&keyring, keyring_current(&keyring), &place, &changed, VIEW("value")));
    }
    for (size_t len = 0; len < sealed.len; len++) {
        struct sealed cut = sealed;
        cut.len = len;
        assert_false(opens(&keyring, keyring_current(&keyring), &place, &cut, VIEW("")));
    }
}

static void former_key_opens_and_does_not_seal(void **state)
{
    (void)state;
    struct keyring before = keys(KEY_A, "");
    struct sealed sealed = seal(&before, VIEW("value"));
    struct keyring now = keys(KEY_B, KEY_C "," KEY_A);
    assert_string_not_equal(keyring_current(&now), keyring_current(&before));
    assert_true(opens(&now, keyring_current(&before), &place, &sealed, VIEW("value")));
    assert_false(opens(&now, keyring_current(&now), &place, &sealed, VIEW("value")));
    struct keyring later = keys(KEY_B, "");
    assert_false(opens(&later, keyring_current(&before), &place, &sealed, VIEW("value")));
}

static void key_is_the_same_in_hex_and_base64(void **state)
{
    (void)state;
    struct keyring hex = keys(KEY_A, "");
    struct keyring base64 = keys(KEY_A_BASE64, KEY_A);
    assert_string_equal(keyring_current(&hex), keyring_current(&base64));
    assert_int_equal(base64.count, 1);
    assert_int_equal(strlen(keyring_current(&hex)), KEYRING_KEY_ID_SIZE - 1);
}

static void without_a_key_nothing_is_sealed(void **state)
{
    (void)state;
    struct keyring keyring = keys("", "");
    uint8_t out[SEALED_MAX];
    struct err err = {0};
    assert_string_equal(keyring_current(&keyring), "");
    assert_false(keyring_seal(&keyring, &place, VIEW("x"), out, &err));
    assert_string_equal(err.reason, "secrets_not_configured");
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *current;
        const char *older;
    } cases[] = {
        {"short", ""},    {KEY_A "0", ""},
        {"g" KEY_A, ""},  {"AAECAwQFBgcICQoLDA0ODw==", ""}, /* 16 bytes */
        {KEY_A, "short"}, {KEY_A, KEY_B ",,"},
        {"", KEY_A},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keyring keyring;
        struct err err = {0};
        assert_false(keyring_read(&keyring, cases[i].current, cases[i].older, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(keyring.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_again),
        cmocka_unit_test(no_two_sealings_are_alike),
        cmocka_unit_test(value_opens_in_its_place_alone),
        cmocka_unit_test(changed_value_does_not_open),
        cmocka_unit_test(former_key_opens_and_does_not_seal),
        cmocka_unit_test(key_is_the_same_in_hex_and_base64),
        cmocka_unit_test(without_a_key_nothing_is_sealed),
        cmocka_unit_test(what_is_no_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
