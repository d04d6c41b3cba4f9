#include "sandbox-service/agent/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char insien[] = "INSIEN_SANDBOX_ID=1";
static char from_image[] = "IMAGE=i";
static char overridden[] = "HOME=/root";
static char nameless[] = "=x";
static char no_value[] = "novalue";
static char *const entries[] = {insien, from_image, overridden, nameless, no_value, NULL};

static const struct user someone = {.name = "user", .home = "/home/user", .shell = "/bin/bash"};

static struct agent_configure configure_of(const struct json_pairs *env)
{
    return (struct agent_configure){
        .env = *env, .profile = VIEW("sudo"), .work_dir = VIEW("/srv"), .user = VIEW("99")};
}

static void the_environment_comes_in_layers(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    AUTO(environment_free) struct environment env = {0};
    const struct json_pair sandbox_items[] = {{VIEW("S"), VIEW("1")}, {VIEW("LANG"), VIEW("de")}};
    const struct json_pair own_items[] = {{VIEW("S"), VIEW("2")}, {VIEW("PATH"), VIEW("/own")}};
    const struct json_pairs sandbox_env = {sandbox_items, 2};
    const struct json_pairs own = {own_items, 2};
    const struct agent_configure configure = configure_of(&sandbox_env);
    assert_true(settings_open(&settings, entries, &err));
    assert_true(settings_configure(&settings, &configure, &err));
    assert_true(settings_environment(&settings, &someone, &own, &env, &err));
    assert_null(environment_get(&env, "INSIEN_SANDBOX_ID"));
    assert_string_equal(environment_get(&env, "IMAGE"), "i");
    assert_string_equal(environment_get(&env, "HOME"), "/home/user");
    assert_string_equal(environment_get(&env, "USER"), "user");
    assert_string_equal(environment_get(&env, "LOGNAME"), "user");
    assert_string_equal(environment_get(&env, "SHELL"), "/bin/bash");
    assert_string_equal(environment_get(&env, "LANG"), "de");
    assert_string_equal(environment_get(&env, "S"), "2");
    assert_string_equal(environment_get(&env, "PATH"), "/own");
    settings_close(&settings);
}

static void path_and_language_have_defaults(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    AUTO(environment_free) struct environment env = {0};
    const struct json_pairs none = {0};
    assert_true(settings_open(&settings, entries, &err));
    assert_true(settings_environment(&settings, &someone, &none, &env, &err));
    assert_non_null(strstr(environment_get(&env, "PATH"), "/usr/bin"));
    assert_string_equal(environment_get(&env, "LANG"), "C.UTF-8");
    settings_close(&settings);
}

static void a_bad_configure_changes_nothing(void **state)
{
    (void)state;
    struct settings settings;
    struct err err;
    const struct json_pairs none = {0};
    struct agent_configure configure = configure_of(&none);
    assert_true(settings_open(&settings, entries, &err));
    configure.profile = VIEW("open");
    assert_false(settings_configure(&settings, &configure, &err));
    assert_false(settings.configured);
    configure.profile = VIEW("locked");
    assert_true(settings_configure(&settings, &configure, &err));
    assert_true(settings.configured && settings.locked);
    static char long_user[200];
    memset(long_user, 'u', sizeof long_user);
    configure.profile = VIEW("sudo");
    configure.user = (struct view){long_user, sizeof long_user};
    assert_false(settings_configure(&settings, &configure, &err));
    assert_true(settings.locked);
    assert_string_equal(settings.image_user, "99");
    settings_close(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_comes_in_layers),
        cmocka_unit_test(path_and_language_have_defaults),
        cmocka_unit_test(a_bad_configure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
