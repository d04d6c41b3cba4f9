/* sandbox-service/docker/version.c: versions, and what is known against those of runc. */
#include "sandbox-service/docker/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void versions_are_compared_by_number(void **state)
{
    (void)state;
    assert_true(version_is_before("1.1.5+ds1", "1.1.12"));
    assert_true(version_is_before("1.0.0-rc95", "1.1.12"));
    assert_false(version_is_before("1.1.12", "1.1.12"));
    assert_false(version_is_before("1.2", "1.1.12"));
    assert_false(version_is_before("2", "1.1.12"));
    assert_true(version_is_before("", "1.1.12"));
    assert_true(version_is_before("v1.1.5-0-gabcdef", "1.1.12"));
}

static void flaws_are_known_by_series(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        const char *mended; /* NULL: there is none */
    } cases[] = {
        {"1.0.0-rc95", "1.1.12"},
        {"1.1.5+ds1-1+deb12u1", "1.1.12"},
        {"1.1.11", "1.1.12"},
        {"v1.1.12-0-g51d5e94", "1.2.8"},
        {"1.2.7", "1.2.8"},
        {"1.2.8", NULL},
        {"1.3.0", "1.3.3"},
        {"1.3.2", "1.3.3"},
        {"1.3.3", NULL},
        {"1.4.0", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct runc_flaw *flaw = runc_find_flaw(cases[i].version);
        if (cases[i].mended == NULL) {
            assert_null(flaw);
        } else {
            assert_non_null(flaw);
            assert_string_equal(flaw->mended, cases[i].mended);
        }
    }
    assert_true(runc_find_flaw("1.1.5")->is_way_out);
    assert_false(runc_find_flaw("1.1.12")->is_way_out);
    assert_true(runc_may_be_mended("1.1.5+ds1-1+deb12u1"));
    assert_false(runc_may_be_mended("1.1.5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_compared_by_number),
        cmocka_unit_test(flaws_are_known_by_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
