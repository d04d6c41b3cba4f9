/* auth-service/idempotency/seal.h */
#include "auth-service/idempotency/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRET VIEW("0123456789abcdef0123456789abcdef")
#define USER "11111111-1111-4111-8111-111111111111"
#define OTHER_USER "11111111-1111-4111-8111-111111111112"

enum { TEXT_MAX = 4096 };

static struct seal_key key_of(struct view secret, const char *user_id, const char *key)
{
    struct seal_key out;
    struct err err = {0};
    assert_true(seal_key_derive(secret, user_id, view_of(key), &out, &err));
    return out;
}

static bool opens(const struct seal_key *key, const char *place, struct view sealed)
{
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(TEXT_MAX);
    bool ok = seal_open(key, view_of(place), sealed, &out, &err);
    assert_int_equal(err.code, ok ? ERR_NONE : ERR_INTERNAL);
    assert_true(!ok || view_equal(str_view(&out), VIEW("an answer")));
    assert_true(ok || out.len == 0);
    return ok;
}

static void seal(const struct seal_key *key, const char *place, struct str *out)
{
    struct err err = {0};
    *out = STR_INIT(TEXT_MAX);
    assert_true(seal_write(key, view_of(place), VIEW("an answer"), out, &err));
}

static void what_was_sealed_opens_with_its_key_and_place_alone(void **state)
{
    (void)state;
    const struct seal_key key = key_of(SECRET, USER, "k");
    const struct seal_key others[] = {
        key_of(VIEW("0123456789abcdef0123456789abcdeF"), USER, "k"),
        key_of(SECRET, OTHER_USER, "k"),
        key_of(SECRET, USER, "l"),
        key_of(SECRET, USER, "kk"),
    };
    AUTO(str_free) struct str sealed;
    seal(&key, "place", &sealed);
    assert_true(opens(&key, "place", str_view(&sealed)));
    assert_false(opens(&key, "plac", str_view(&sealed)));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(opens(&others[i], "place", str_view(&sealed)));
        assert_string_not_equal(others[i].digest_hex, key.digest_hex);
    }
}

static void a_changed_byte_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    const struct seal_key key = key_of(SECRET, USER, "k");
    AUTO(str_free) struct str sealed;
    seal(&key, "place", &sealed);
    for (size_t i = 0; i < sealed.len; i++) {
        char before = sealed.data[i];
        sealed.data[i] = before == '0' ? '1' : '0';
        if (opens(&key, "place", str_view(&sealed))) {
            fail_msg("byte %zu", i);
        }
        sealed.data[i] = before;
    }
    assert_true(opens(&key, "place", str_view(&sealed)));
}

static void what_is_cut_or_no_hex_does_not_open(void **state)
{
    (void)state;
    const struct seal_key key = key_of(SECRET, USER, "k");
    AUTO(str_free) struct str sealed;
    seal(&key, "place", &sealed);
    for (size_t len = 0; len < sealed.len; len++) {
        assert_false(opens(&key, "place", (struct view){sealed.data, len}));
    }
    sealed.data[0] = 'x';
    assert_false(opens(&key, "place", str_view(&sealed)));
}

static void nothing_of_the_key_or_the_answer_is_to_be_seen(void **state)
{
    (void)state;
    const struct seal_key key = key_of(SECRET, USER, "k");
    AUTO(str_free) struct str first;
    AUTO(str_free) struct str second;
    seal(&key, "place", &first);
    seal(&key, "place", &second);
    assert_false(view_equal(str_view(&first), str_view(&second)));
    char hex[SEAL_DIGEST_HEX_SIZE];
    encode_hex(key.bytes, sizeof key.bytes, hex);
    assert_string_not_equal(hex, key.digest_hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_with_its_key_and_place_alone),
        cmocka_unit_test(a_changed_byte_is_noticed_wherever_it_is),
        cmocka_unit_test(what_is_cut_or_no_hex_does_not_open),
        cmocka_unit_test(nothing_of_the_key_or_the_answer_is_to_be_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
