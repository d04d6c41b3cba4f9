/* common/db/target.c */
#include "common/db/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char *value_of(const struct pg_target *target, const char *keyword)
{
    for (int i = 0; target != NULL && i < target->count; i++) {
        if (strcmp(target->keywords[i], keyword) == 0) {
            return target->values[i];
        }
    }
    return NULL;
}

static struct pg_target *read_url(const char *url)
{
    struct err err = {0};
    struct pg_target *target = pg_target_new(url, 1500, &err);
    if (target == NULL) {
        fail_msg("%s: %s", url, err.message);
    }
    return target;
}

static void socket_folder_stays_as_it_is(void **state)
{
    (void)state;
    struct pg_target *target = read_url("postgresql://u@/name?host=/run/pg");
    assert_string_equal(value_of(target, "host"), "/run/pg");
    assert_string_equal(value_of(target, "hostaddr"), "");
    assert_string_equal(value_of(target, "dbname"), "name");
    pg_target_free(target);
}

static void host_name_is_looked_up_at_once(void **state)
{
    (void)state;
    struct pg_target *target = read_url("postgresql://u:p@127.0.0.1:5555/name");
    assert_string_equal(value_of(target, "hostaddr"), "127.0.0.1");
    assert_string_equal(value_of(target, "host"), "127.0.0.1");
    assert_string_equal(value_of(target, "port"), "5555");
    assert_string_equal(value_of(target, "password"), "p");
    pg_target_free(target);
}

static void each_of_several_hosts_keeps_its_port(void **state)
{
    (void)state;
    struct pg_target *target = read_url("postgresql://u@127.0.0.1:1,127.0.0.2:2/name");
    assert_string_equal(value_of(target, "hostaddr"), "127.0.0.1,127.0.0.2");
    assert_string_equal(value_of(target, "port"), "1,2");
    pg_target_free(target);
}

static void unknown_host_is_told(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(pg_target_new("postgresql://u@nothing.invalid/name", 1500, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.message, "nothing.invalid"));
}

static void statement_timeout_joins_the_options_of_the_url(void **state)
{
    (void)state;
    struct pg_target *target = read_url("host=/run/pg options='-c jit=off'");
    assert_non_null(strstr(value_of(target, "options"), "-c statement_timeout=1500"));
    assert_non_null(strstr(value_of(target, "options"), "-c jit=off"));
    pg_target_free(target);
}

static void what_the_url_says_wins_over_our_default(void **state)
{
    (void)state;
    struct pg_target *target = read_url("host=/run/pg keepalives_idle=99");
    assert_string_equal(value_of(target, "keepalives_idle"), "99");
    assert_string_equal(value_of(target, "gssencmode"), "disable");
    pg_target_free(target);
}

static void nonsense_is_refused_without_showing_it(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(pg_target_new("postgresql://u:hidden-word@[/name", 1500, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(strstr(err.message, "hidden-word"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socket_folder_stays_as_it_is),
        cmocka_unit_test(host_name_is_looked_up_at_once),
        cmocka_unit_test(each_of_several_hosts_keeps_its_port),
        cmocka_unit_test(unknown_host_is_told),
        cmocka_unit_test(statement_timeout_joins_the_options_of_the_url),
        cmocka_unit_test(what_the_url_says_wins_over_our_default),
        cmocka_unit_test(nonsense_is_refused_without_showing_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
