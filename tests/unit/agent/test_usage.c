#include "sandbox-service/agent/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void usage_is_read_from_the_text(void **state)
{
    (void)state;
    struct usage usage;
    assert_true(usage_parse("7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 5 6 20 0 1 0 99 "
                            "8192 25 18446744073709551615 1\n",
                            4096, 100, &usage));
    assert_int_equal(usage.cpu_ms, 420);
    assert_int_equal(usage.memory_bytes, 25 * 4096);
}

static void broken_text_is_refused(void **state)
{
    (void)state;
    struct usage usage;
    assert_false(usage_parse("", 4096, 100, &usage));
    assert_false(usage_parse("7 (a", 4096, 100, &usage));
    assert_false(usage_parse("7 (a)", 4096, 100, &usage));
    assert_false(usage_parse("7 (a) S 1 2 3", 4096, 100, &usage));
    assert_false(
        usage_parse("7 (a) S 1 7 7 0 -1 4 1 0 0 0 1 3 5 6 20 0 1 0 9 8 2 1", 4096, 0, &usage));
}

static void this_process_uses_memory(void **state)
{
    (void)state;
    struct usage usage;
    assert_true(usage_read(getpid(), &usage));
    assert_true(usage.memory_bytes > 100000);
    assert_false(usage_read(0x7ffffff0, &usage));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read_from_the_text),
        cmocka_unit_test(broken_text_is_refused),
        cmocka_unit_test(this_process_uses_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
