#include "gateway/config.h"

#include "gateway/cache/activity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

static void a_certificate_and_its_key_need_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *certificate;
        const char *key;
        bool good;
    } cases[] = {
        {"neither", "", "", true},
        {"both", "/certificate.pem", "/key.pem", true},
        {"only the certificate", "/certificate.pem", "", false},
        {"only the key", "", "/key.pem", false},
    };
    assert_int_equal(setenv("REDIS_URL", "redis://localhost", 1), 0);
    assert_int_equal(setenv("FILE_URL_SECRET", "b41d9a07c2e84f63a5d0917be63f28cd", 1), 0);
    assert_int_equal(setenv("PREVIEW_SECRET", "8f1c0a6e5b7d42939e0f6a1d7c3b5e24", 1), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gateway_config config;
        struct err err = {0};
        assert_int_equal(setenv("TLS_CERT_FILE", cases[i].certificate, 1), 0);
        assert_int_equal(setenv("TLS_KEY_FILE", cases[i].key, 1), 0);
        if (gateway_config_read(&config, &err) != cases[i].good) {
            fail_msg("%s: %s", cases[i].name, err.message);
        }
    }
}

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static bool reads_with(const char *name, const char *value, struct gateway_config *config)
{
    struct err err = {0};
    set("TLS_CERT_FILE", "");
    set("TLS_KEY_FILE", "");
    set("REDIS_URL", "redis://localhost");
    set("FILE_URL_SECRET", "b41d9a07c2e84f63a5d0917be63f28cd");
    set("PREVIEW_SECRET", "8f1c0a6e5b7d42939e0f6a1d7c3b5e24");
    set(name, value);
    bool ok = gateway_config_read(config, &err);
    assert_int_equal(ok ? ERR_NONE : ERR_INVALID, err.code);
    assert_int_equal(unsetenv(name), 0);
    return ok;
}

static void what_is_activity_is_read_and_checked(void **state)
{
    (void)state;
    struct gateway_config config;
    assert_true(reads_with("LOG_LEVEL", "info", &config));
    assert_int_equal(config.activity_kinds, ACTIVITY_ALL);
    assert_true(reads_with("SANDBOX_ACTIVITY", "commands,streams", &config));
    assert_int_equal(config.activity_kinds, ACTIVITY_COMMANDS | ACTIVITY_STREAMS);
    assert_false(reads_with("SANDBOX_ACTIVITY", "anything", &config));
}

static void limits_and_networks_are_checked_at_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        bool good;
    } cases[] = {
        {"RATE_LIMITS", "free=6/1,address=20/2", true},
        {"RATE_LIMITS", "free=6", false},
        {"RATE_LIMITS", "gold=6/1", false},
        {"TRUSTED_PROXIES", "10.0.0.0/8,2001:db8::1", true},
        {"TRUSTED_PROXIES", "10.0.0.0/33", false},
        {"RATE_LIMIT_EXEMPT", "localhost", false},
    };
    struct gateway_config config;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (reads_with(cases[i].name, cases[i].value, &config) != cases[i].good) {
            fail_msg("%s=%s", cases[i].name, cases[i].value);
        }
    }
    assert_true(reads_with("RATE_LIMITS", "free=6/1", &config));
    assert_int_equal(config.limit_policy.rates[LIMIT_FREE].per_minute, 6);
    assert_int_equal(config.limit_policy.rates[LIMIT_ADDRESS].burst, 60);
}

static void host_ports_are_a_range_or_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "30000",
        "30000-",
        "-30999",
        "30999-30000",
        "1023-30000",
        "0-0",
        "30000-65536",
        "30000-30999-31000",
        "30000 - 30999",
        "a-b",
        "999999999999999999999-30000",
    };
    struct gateway_config config;
    assert_true(reads_with("HOST_PORT_RANGE", "", &config));
    assert_int_equal(config.host_port_first, 30000);
    assert_int_equal(config.host_port_last, 30999);
    assert_true(reads_with("HOST_PORT_RANGE", "1024-65535", &config));
    assert_int_equal(config.host_port_first, 1024);
    assert_int_equal(config.host_port_last, 65535);
    assert_true(reads_with("HOST_PORT_RANGE", "none", &config));
    assert_int_equal(config.host_port_first, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (reads_with("HOST_PORT_RANGE", wrong[i], &config)) {
            fail_msg("%s", wrong[i]);
        }
    }
}

static void previews_are_where_the_gateway_is_unless_told_otherwise(void **state)
{
    (void)state;
    struct gateway_config config;
    assert_true(reads_with("PORT", "4000", &config));
    assert_int_equal(config.preview_port, 4000);
    assert_string_equal(config.preview_domain, "localhost");
    assert_string_equal(config.preview_scheme, "http");
    assert_true(reads_with("PREVIEW_PORT", "443", &config));
    assert_int_equal(config.preview_port, 443);
    assert_true(reads_with("PREVIEW_SCHEME", "https", &config));
    assert_string_equal(config.preview_scheme, "https");
    assert_false(reads_with("PREVIEW_SCHEME", "ftp", &config));
}

static void domain_of_previews_must_be_a_host_name(void **state)
{
    (void)state;
    static const char *const right[] = {"localhost", "previews.example.com", "a-b.c1"};
    static const char *const wrong[] = {".",   "a..b", "a.",    "-a",   "A.example",
                                        "a b", "a/b",  "a_b.c", "a:80", "a.-b"};
    struct gateway_config config;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        if (!reads_with("PREVIEW_DOMAIN", right[i], &config)) {
            fail_msg("%s", right[i]);
        }
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (reads_with("PREVIEW_DOMAIN", wrong[i], &config)) {
            fail_msg("%s", wrong[i]);
        }
    }
}

static void allowed_origins_are_origins(void **state)
{
    (void)state;
    struct gateway_config config;
    assert_true(reads_with("ALLOWED_ORIGINS", "https://a.example, http://localhost:8080", &config));
    assert_false(reads_with("ALLOWED_ORIGINS", "https://a.example/", &config));
    assert_false(reads_with("ALLOWED_ORIGINS", "*", &config));
}

static void secret_of_previews_must_be_there_and_long(void **state)
{
    (void)state;
    struct gateway_config config;
    assert_false(reads_with("PREVIEW_SECRET", "short", &config));
    assert_false(reads_with("PREVIEW_SECRET", "", &config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_activity_is_read_and_checked),
        cmocka_unit_test(limits_and_networks_are_checked_at_the_start),
        cmocka_unit_test(host_ports_are_a_range_or_none),
        cmocka_unit_test(previews_are_where_the_gateway_is_unless_told_otherwise),
        cmocka_unit_test(domain_of_previews_must_be_a_host_name),
        cmocka_unit_test(secret_of_previews_must_be_there_and_long),
        cmocka_unit_test(allowed_origins_are_origins),
        cmocka_unit_test(a_certificate_and_its_key_need_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
