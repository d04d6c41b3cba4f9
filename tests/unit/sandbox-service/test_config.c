/* sandbox-service/config.c: what its table can't check. */
#include "sandbox-service/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

/* Any file that is there. */
#define SOME_FILE "/proc/self/exe"

static int set_what_is_needed(void **state)
{
    (void)state;
    static const char *const variables[][2] = {
        {"DATABASE_URL", "postgresql://insien@/insien"},
        {"AGENT_JWT_SECRET", "b41d9a07c2e84f63a5d0917be63f28cd"},
        {"AGENT_BUNDLE", SOME_FILE},
        {"SECCOMP_PROFILE", SOME_FILE},
    };
    (void)clearenv(); /* what a deployment around the test sets is not meant */
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        if (setenv(variables[i][0], variables[i][1], 1) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool reads(struct sandbox_config *config)
{
    struct err err = {0};
    *config = (struct sandbox_config){0};
    return sandbox_config_read(config, &err);
}

static bool accepts(const char *variable, const char *value)
{
    struct sandbox_config config;
    assert_int_equal(setenv(variable, value, 1), 0);
    bool ok = reads(&config);
    assert_int_equal(unsetenv(variable), 0);
    return ok;
}

static void little_must_be_set(void **state)
{
    (void)state;
    struct sandbox_config config;
    assert_true(reads(&config));
    assert_string_equal(config.instance, "insien");
    assert_string_equal(sandbox_config_docker_socket(&config), "/var/run/docker.sock");
    assert_int_equal(config.tiers[TIER_FREE].sandboxes, 2);
    assert_int_equal(config.tiers[TIER_FREE].disk_mb, 2048);
    assert_string_equal(config.cpuset, "on");
}

static void unusable_values_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"LOG_LEVEL", "loud"},
        {"INSIEN_INSTANCE", "Big"},
        {"INSIEN_INSTANCE", "-x"},
        {"INSIEN_INSTANCE", "a_b"},
        {"DOCKER_HOST", "tcp://127.0.0.1:2375"},
        {"SANDBOX_DEFAULT_NETWORK", "host"},
        {"SANDBOX_CPUSET", "yes"},
        {"LXCFS_DIR", "lxcfs"},
        {"TIER_FREE_DISK_MB", "15"},
        {"SANDBOX_SUBNET", "10.200.0.1/20"},
        {"SANDBOX_SUBNET", "10.200.0.0/30"},
        {"SANDBOX_SUBNET", "192.168.0.0/16"}, /* 192.169.0.0/16 is somebody's */
        {"SANDBOX_BLOCKED_CIDRS", "10.0.0.0/8,nonsense"},
        {"WEBHOOK_ALLOWED_CIDRS", "10.0.0.0/8,10.0.0.1/8"},
        {"EVENT_RETENTION_DAYS", "0"},
        {"WARM_POOLS", "base"},
        {"WARM_POOL_MAX", "-1"},
        {"AUDIT_PERSONAL_DAYS", "29"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (accepts(wrong[i][0], wrong[i][1])) {
            fail_msg("%s=%s was accepted", wrong[i][0], wrong[i][1]);
        }
    }
}

static void blocked_ranges_are_taken_apart(void **state)
{
    (void)state;
    struct sandbox_config config;
    assert_int_equal(setenv("SANDBOX_BLOCKED_CIDRS", "203.0.113.0/24,192.0.2.7", 1), 0);
    assert_true(reads(&config));
    assert_int_equal(unsetenv("SANDBOX_BLOCKED_CIDRS"), 0);
    assert_int_equal(config.blocked_count, 2);
    assert_string_equal(config.blocked[0], "203.0.113.0/24");
    assert_string_equal(config.blocked[1], "192.0.2.7/32");
}

static void ranges_of_webhooks_are_taken_apart(void **state)
{
    (void)state;
    struct sandbox_config config;
    assert_int_equal(setenv("WEBHOOK_ALLOWED_CIDRS", "127.0.0.0/8,10.1.2.3", 1), 0);
    assert_true(reads(&config));
    assert_int_equal(unsetenv("WEBHOOK_ALLOWED_CIDRS"), 0);
    assert_int_equal(config.webhook_allowed_count, 2);
    assert_true(cidr_contains(&config.webhook_allowed[0], 0x7f000001));
    assert_true(cidr_contains(&config.webhook_allowed[1], 0x0a010203));
    assert_false(cidr_contains(&config.webhook_allowed[1], 0x0a010204));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_must_be_set),
        cmocka_unit_test(unusable_values_are_refused),
        cmocka_unit_test(blocked_ranges_are_taken_apart),
        cmocka_unit_test(ranges_of_webhooks_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, set_what_is_needed, NULL);
}
