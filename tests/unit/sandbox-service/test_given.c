/* sandbox-service/secrets/given.c */
#include "sandbox-service/secrets/given.h"

#include "common/base/encode.h"
#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_KEY "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define USER "11111111-1111-4111-8111-111111111111"

enum { LINES_MAX = 64 * 1024, VALUE_MAX = 64 };

static struct keyring keys(const char *key)
{
    struct keyring keyring;
    struct err err = {0};
    assert_true(keyring_read(&keyring, key, "", &err));
    return keyring;
}

/* As the database writes it. */
static void add_line(struct str *lines, const struct keyring *keyring, const char *kind,
                     const char *target, const char *name, const char *value)
{
    uint8_t sealed[VALUE_MAX + KEYRING_OVERHEAD];
    char hex[ENCODE_HEX_SIZE(sizeof sealed)];
    struct err err = {0};
    const struct keyring_place place = {USER, view_of(name)};
    assert_true(strlen(value) <= VALUE_MAX);
    assert_true(keyring_seal(keyring, &place, view_of(value), sealed, &err));
    encode_hex(sealed, strlen(value) + KEYRING_OVERHEAD, hex);
    str_appendf(lines, "%s%s %s " USER " %s %s ", lines->len == 0 ? "" : "\n", kind, target, name,
                keyring_current(keyring));
    str_append_string(lines, hex);
}

static void expect_pair(const struct json_pair *pair, const char *name, const char *value)
{
    assert_true(view_equal(pair->name, view_of(name)));
    assert_true(view_equal(pair->value, view_of(value)));
}

static void each_secret_is_where_it_was_asked_for(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY);
    struct secrets_given given;
    struct err err = {0};
    AUTO(str_free) struct str lines = STR_INIT(LINES_MAX);
    add_line(&lines, &keyring, "env", "TOKEN", "token", "t-1");
    add_line(&lines, &keyring, "env", "NOTHING", "nothing", "");
    add_line(&lines, &keyring, "file", "id.pem", "key", "line\n");
    assert_true(secrets_given_read(&given, &keyring, str_view(&lines), &err));
    assert_int_equal(given.env_count, 2);
    assert_int_equal(given.file_count, 1);
    expect_pair(&given.env[0], "TOKEN", "t-1");
    expect_pair(&given.env[1], "NOTHING", "");
    expect_pair(&given.files[0], "id.pem", "line\n");
    secrets_given_end(&given);
    assert_null(given.values);
}

static void sandbox_without_secrets_is_given_none(void **state)
{
    (void)state;
    struct keyring keyring = keys("");
    struct secrets_given given;
    struct err err = {0};
    assert_true(secrets_given_read(&given, &keyring, VIEW(""), &err));
    assert_int_equal(given.env_count + given.file_count, 0);
    secrets_given_end(&given);
}

static void what_no_key_opens_is_left_out(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY);
    struct keyring other = keys(OTHER_KEY);
    struct secrets_given given;
    struct err err = {0};
    AUTO(str_free) struct str lines = STR_INIT(LINES_MAX);
    add_line(&lines, &other, "env", "LOST", "lost", "x");
    add_line(&lines, &keyring, "env", "KEPT", "kept", "y");
    assert_true(secrets_given_read(&given, &keyring, str_view(&lines), &err));
    assert_int_equal(given.env_count, 1);
    expect_pair(&given.env[0], "KEPT", "y");
    secrets_given_end(&given);
}

static void a_sandbox_that_begins_needs_all(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY);
    struct keyring other = keys(OTHER_KEY);
    struct err err = {0};
    AUTO(str_free) struct str lines = STR_INIT(LINES_MAX);
    add_line(&lines, &keyring, "env", "KEPT", "kept", "y");
    assert_true(secrets_given_check(&keyring, str_view(&lines), &err));
    add_line(&lines, &other, "env", "LOST", "lost", "x");
    add_line(&lines, &keyring, "file", "kept", "kept", "y");
    assert_false(secrets_given_check(&keyring, str_view(&lines), &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "secret_unreadable");
}

static void more_than_there_can_be_are_left_out(void **state)
{
    (void)state;
    struct keyring keyring = keys(KEY);
    struct secrets_given given;
    struct err err = {0};
    AUTO(str_free) struct str lines = STR_INIT(LINES_MAX);
    for (int i = 0; i <= SECRETS_PER_SANDBOX_MAX; i++) {
        add_line(&lines, &keyring, "file", "f", "f", "x");
    }
    assert_true(secrets_given_read(&given, &keyring, str_view(&lines), &err));
    assert_int_equal(given.file_count, SECRETS_PER_SANDBOX_MAX);
    secrets_given_end(&given);
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "env",
        "file A " USER " n 0123456789abcdef 00",
        "other A " USER " n 0123456789abcdef 00",
        "env A no-user n 0123456789abcdef 00",
        "env A " USER " n 0123456789abcdef0 00",
    };
    struct keyring keyring = keys(KEY);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct secrets_given given;
        struct err err = {0};
        assert_false(secrets_given_read(&given, &keyring, view_of(wrong[i]), &err));
        secrets_given_end(&given);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_secret_is_where_it_was_asked_for),
        cmocka_unit_test(sandbox_without_secrets_is_given_none),
        cmocka_unit_test(what_no_key_opens_is_left_out),
        cmocka_unit_test(a_sandbox_that_begins_needs_all),
        cmocka_unit_test(more_than_there_can_be_are_left_out),
        cmocka_unit_test(what_is_no_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
