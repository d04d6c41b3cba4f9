/* auth-service/jwt/clerk.c: from settings to sources and policy. */
#include "auth-service/jwt/clerk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

/* pk_test_ and base64 of clerk.sandbox.test$ */
#define PUBLISHABLE "pk_test_Y2xlcmsuc2FuZGJveC50ZXN0JA"

struct row {
    const char *name;
    const char *publishable_key;
    const char *secret_key;
    const char *jwks_url;
    const char *jwt_key;
    const char *issuer;
    /* what comes of it; NULL: refused */
    const char *expected_url;
    const char *expected_issuer;
    bool with_secret;
};

static const struct row rows[] = {
    {.name = "a publishable key names host and issuer",
     .publishable_key = PUBLISHABLE,
     .expected_url = "https://clerk.sandbox.test/.well-known/jwks.json",
     .expected_issuer = "https://clerk.sandbox.test"},
    {.name = "a secret key asks the Backend API",
     .publishable_key = PUBLISHABLE,
     .secret_key = "sk_test_1",
     .expected_url = "https://api.clerk.com/v1/jwks",
     .expected_issuer = "https://clerk.sandbox.test",
     .with_secret = true},
    {.name = "an address of the key set goes before both, without the secret",
     .publishable_key = PUBLISHABLE,
     .secret_key = "sk_test_1",
     .jwks_url = "https://keys.example/set",
     .issuer = "https://issuer.example",
     .expected_url = "https://keys.example/set",
     .expected_issuer = "https://issuer.example"},
    {.name = "the Backend API's address gets the secret",
     .secret_key = "sk_test_1",
     .jwks_url = "https://api.clerk.com/v1/jwks",
     .issuer = "https://issuer.example",
     .expected_url = "https://api.clerk.com/v1/jwks",
     .expected_issuer = "https://issuer.example",
     .with_secret = true},
    {.name = "a well-known address names the issuer",
     .jwks_url = "https://clerk.example.com/.well-known/jwks.json",
     .expected_url = "https://clerk.example.com/.well-known/jwks.json",
     .expected_issuer = "https://clerk.example.com"},
    {.name = "a PEM needs no address",
     .jwt_key = "PEM",
     .jwks_url = "https://keys.example/set",
     .issuer = "https://issuer.example",
     .expected_url = "",
     .expected_issuer = "https://issuer.example"},
    {.name = "loopback may be plain",
     .jwks_url = "http://127.0.0.1:4302/.well-known/jwks.json",
     .issuer = "https://issuer.example",
     .expected_url = "http://127.0.0.1:4302/.well-known/jwks.json",
     .expected_issuer = "https://issuer.example"},
    {.name = "a PEM without an issuer", .jwt_key = "PEM"},
    {.name = "a secret key without an issuer", .secret_key = "sk_test_1"},
    {.name = "a plain address",
     .jwks_url = "http://keys.example/set",
     .issuer = "https://issuer.example"},
    {.name = "a bad publishable key", .publishable_key = "pk_test_!!!!"},
};

static void fill(struct clerk_settings *settings, const struct row *row)
{
    const struct {
        const char *text;
        char *out;
        size_t size;
    } members[] = {
        {row->publishable_key, settings->publishable_key, sizeof settings->publishable_key},
        {row->secret_key, settings->secret_key, sizeof settings->secret_key},
        {row->jwks_url, settings->jwks_url, sizeof settings->jwks_url},
        {row->jwt_key, settings->jwt_key, sizeof settings->jwt_key},
        {row->issuer, settings->issuer, sizeof settings->issuer},
        {"https://api.clerk.com", settings->api_url, sizeof settings->api_url},
    };
    *settings = (struct clerk_settings){0};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (members[i].text != NULL) {
            (void)snprintf(members[i].out, members[i].size, "%s", members[i].text);
        }
    }
}

static void settings_lead_to_sources_and_issuer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct clerk_settings settings;
        struct token_issuer clerk;
        struct err err = {0};
        fill(&settings, row);
        bool resolved = clerk_resolve(&settings, &clerk, &err);
        if (resolved != (row->expected_url != NULL)) {
            fail_msg("%s: %s", row->name, err.message);
        }
        if (!resolved) {
            assert_int_equal(err.code, ERR_INVALID);
            continue;
        }
        assert_non_null(row->expected_url);
        assert_string_equal(clerk.jwks_url, row->expected_url);
        assert_string_equal(clerk.policy.issuer, row->expected_issuer);
        assert_int_equal(clerk.jwks_needs_secret, row->with_secret);
        assert_true(clerk.configured);
    }
}

static void nothing_set_is_no_mistake(void **state)
{
    (void)state;
    struct clerk_settings settings = {.issuer = "https://issuer.example"};
    struct token_issuer clerk;
    struct err err = {0};
    assert_true(clerk_resolve(&settings, &clerk, &err));
    assert_false(clerk.configured);
}

static void parties_are_a_list_with_commas(void **state)
{
    (void)state;
    struct clerk_settings settings = {.jwt_key = "PEM",
                                      .issuer = "https://issuer.example",
                                      .authorized_parties =
                                          " https://a.example,https://b.example, "};
    struct token_issuer clerk;
    struct err err = {0};
    assert_true(clerk_resolve(&settings, &clerk, &err));
    assert_int_equal(clerk.policy.authorized_party_count, 2);
    assert_true(view_equal(clerk.policy.authorized_parties[0], VIEW("https://a.example")));
    assert_true(view_equal(clerk.policy.authorized_parties[1], VIEW("https://b.example")));

    char *out = settings.authorized_parties;
    for (int i = 0; i <= TOKEN_PARTIES_MAX; i++) {
        memcpy(out, "x,", 3);
        out += 2;
    }
    assert_false(clerk_resolve(&settings, &clerk, &err));
}

static void keys_come_over_tls_or_from_this_machine(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool allowed;
    } urls[] = {
        {"https://clerk.example.com/x", true},
        {"http://127.0.0.1/x", true},
        {"http://127.0.0.1:80", true},
        {"http://localhost:4302/x", true},
        {"http://[::1]:4302/x", true},
        {"http://127.0.0.1.evil.example/x", false},
        {"http://127.0.0.1:80@evil.example/x", false},
        {"http://localhost@evil.example/x", false},
        {"http://clerk.example.com/x", false},
        {"ftp://127.0.0.1/x", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        if (issuer_url_is_allowed(urls[i].url) != urls[i].allowed) {
            fail_msg("%s", urls[i].url);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_lead_to_sources_and_issuer),
        cmocka_unit_test(nothing_set_is_no_mistake),
        cmocka_unit_test(parties_are_a_list_with_commas),
        cmocka_unit_test(keys_come_over_tls_or_from_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
