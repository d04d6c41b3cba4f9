#include "common/base/config.h"
#include "common/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_32 "b41d9a07c2e84f63a5d0917be63f28cd"

struct settings {
    char name[16];
    int64_t port;
    int64_t unset;
    bool flag;
    char secret[64];
    char signing_key[80];
    char url[64];
};
static const struct config_item items[] = {
    {"TEST_NAME", CONFIG_TEXT, CONFIG_CHARS(struct settings, name), .fallback = "default"},
    {"TEST_PORT", CONFIG_INT, offsetof(struct settings, port), .fallback = "3000", .min = 1,
     .max = 65535},
    {"TEST_UNSET", CONFIG_INT, offsetof(struct settings, unset), .max = 10},
    {"TEST_FLAG", CONFIG_BOOL, offsetof(struct settings, flag), .fallback = NULL},
    {"TEST_SECRET", CONFIG_SECRET, CONFIG_CHARS(struct settings, secret), .required = true},
    {"TEST_KEY", CONFIG_SECRET, CONFIG_CHARS(struct settings, signing_key), .is_signing_key = true},
    {"TEST_URL", CONFIG_SECRET, CONFIG_CHARS(struct settings, url), .is_url = true},
};

static char secret_path[] = "/tmp/config-test-XXXXXX";

static bool read_settings(struct settings *settings, struct err *err)
{
    *settings = (struct settings){0};
    return config_read(items, sizeof items / sizeof items[0], settings, err);
}

static int set_good(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    return setenv("TEST_SECRET", "hush", 1) != 0 || setenv("TEST_KEY", KEY_32, 1) != 0;
}

static int unset_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        (void)unsetenv(items[i].name);
    }
    (void)unsetenv("TEST_SECRET_FILE");
    return 0;
}

static void unset_variables_have_their_fallback(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    (void)setenv("TEST_NAME", "", 1);
    assert_true(read_settings(&settings, &err));
    assert_string_equal(settings.name, "default");
    assert_int_equal(settings.port, 3000);
    assert_int_equal(settings.unset, 0);
    assert_false(settings.flag);
    assert_string_equal(settings.secret, "hush");
    assert_string_equal(settings.signing_key, KEY_32);
}

static void set_variables_are_read(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    (void)setenv("TEST_NAME", "fifteen letters", 1);
    (void)setenv("TEST_PORT", "65535", 1);
    (void)setenv("TEST_FLAG", "true", 1);
    assert_true(read_settings(&settings, &err));
    assert_string_equal(settings.name, "fifteen letters");
    assert_int_equal(settings.port, 65535);
    assert_true(settings.flag);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *value;
    } cases[] = {
        {"TEST_NAME", "sixteen letters!"},
        {"TEST_PORT", "0"},
        {"TEST_PORT", "65536"},
        {"TEST_PORT", "80x"},
        {"TEST_PORT", "99999999999999999999"},
        {"TEST_UNSET", "11"},
        {"TEST_FLAG", "yes"},
        {"TEST_SECRET", ""},
        {"TEST_KEY", "too short"},
        {"TEST_KEY", "your-super-secret-jwt-key-change-this-in-production"},
        {"TEST_KEY", "a-ChangeMe-with-something-behind-it-8472"},
        {"TEST_KEY", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"TEST_KEY", "0123456789abcdef0123456789abcdef"},
        {"TEST_KEY", "sfdjsfdjdsfjsjfdsfjdsjffsdjfjsddsfjdsfj"},
        {"TEST_KEY", "abcdefghijklmnopqrstuvwxyz98765432100123"},
        {"TEST_KEY", "b41d9a07c2e84f63a5d0917be63f28c"},
        {"TEST_URL", "postgresql://insien:password@db/insien"},
        {"TEST_URL", "redis://:Redis@10.0.0.1:6379"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings settings;
        struct err err = {0};
        print_message("%s=%s\n", cases[i].variable, cases[i].value);
        (void)unset_all(NULL);
        (void)set_good(NULL);
        (void)setenv(cases[i].variable, cases[i].value, 1);
        assert_false(read_settings(&settings, &err));
        assert_string_equal(err.message, "1 settings are wrong");
    }
}

static void good_secrets_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *value;
    } cases[] = {
        {"TEST_KEY", "mGZ9xkWqvV0C8q8dYQzOe3o3n5r0bqk1"},
        {"TEST_KEY", "4fd81a8b7c1c2f1e7a0a3d1de6b3a0f9c4c3f0b1d2e5968778695a4b3c2d1e0f"},
        {"TEST_URL", "postgresql://insien:9f86d081884c7d65@db/insien"},
        {"TEST_URL", "postgresql://password@db/insien"},
        {"TEST_URL", "unix:///run/insien/redis.sock"},
        {"TEST_URL", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings settings;
        struct err err = {0};
        (void)setenv(cases[i].variable, cases[i].value, 1);
        assert_true(read_settings(&settings, &err));
    }
}

static void all_mistakes_are_counted(void **state)
{
    (void)state;
    struct settings settings;
    struct err err = {0};
    (void)setenv("TEST_PORT", "x", 1);
    (void)setenv("TEST_FLAG", "x", 1);
    (void)unsetenv("TEST_SECRET");
    assert_false(read_settings(&settings, &err));
    assert_string_equal(err.message, "3 settings are wrong");
}

static void write_file(const char *text, size_t len)
{
    int fd = open(secret_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    (void)close(fd);
}

static void a_secret_may_come_from_a_file(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    (void)unsetenv("TEST_SECRET");
    (void)setenv("TEST_SECRET_FILE", secret_path, 1);
    write_file("from a file\n", 12);
    assert_true(read_settings(&settings, &err));
    assert_string_equal(settings.secret, "from a file");
}

/* As root hands over what the service's own user can't open. */
static void a_secret_may_come_from_a_descriptor(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    char path[32];
    write_file("from a descriptor\n", 18);
    int fd = open(secret_path, O_RDONLY); /* NOLINT(android-cloexec-open): as it is inherited */
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", fd);
    (void)unsetenv("TEST_SECRET");
    (void)setenv("TEST_SECRET_FILE", path, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(read_settings(&settings, &err));
        assert_string_equal(settings.secret, "from a descriptor");
    }
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    assert_false(read_settings(&settings, &err));
}

static void secrets_leave_the_environment(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    (void)setenv("TEST_NAME", "stays", 1);
    assert_true(read_settings(&settings, &err));
    const char *before = getenv("TEST_SECRET");
    config_forget_environment(items, sizeof items / sizeof items[0]);
    assert_null(getenv("TEST_SECRET"));
    assert_null(getenv("TEST_KEY"));
    assert_string_equal(getenv("TEST_NAME"), "stays");
    assert_string_equal(before, ""); /* what /proc/PID/environ shows is this memory */
    assert_string_equal(settings.secret, "hush");
}

static void a_file_that_cannot_be_read_is_a_mistake(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    (void)setenv("TEST_SECRET_FILE", "/nonexistent/secret", 1);
    assert_false(read_settings(&settings, &err));
}

static void files_are_read_whole_or_not(void **state)
{
    (void)state;
    struct err err = {0};
    char buffer[8];
    write_file("1234567", 7);
    assert_true(config_read_file(secret_path, buffer, sizeof buffer, &err));
    assert_string_equal(buffer, "1234567");
    write_file("12345678", 8);
    assert_false(config_read_file(secret_path, buffer, sizeof buffer, &err));
    write_file("12\0"
               "34",
               5); /* what follows the NUL would be lost without a word */
    assert_false(config_read_file(secret_path, buffer, sizeof buffer, &err));
    write_file("", 0);
    assert_true(config_read_file(secret_path, buffer, sizeof buffer, &err));
    assert_string_equal(buffer, "");
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(secret_path);
    return fd < 0 || close(fd) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(secret_path);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_good, unset_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(unset_variables_have_their_fallback),
        CASE(set_variables_are_read),
        CASE(wrong_values_are_refused),
        CASE(good_secrets_are_taken),
        CASE(a_secret_may_come_from_a_descriptor),
        CASE(secrets_leave_the_environment),
        CASE(all_mistakes_are_counted),
        CASE(a_secret_may_come_from_a_file),
        CASE(a_file_that_cannot_be_read_is_a_mistake),
        CASE(files_are_read_whole_or_not),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
