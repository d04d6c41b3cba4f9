/* sandbox-service/sandbox/tiers.c */
#include "sandbox-service/sandbox/tiers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void tiers_are_written_as_the_database_reads_them(void **state)
{
    (void)state;
    static const struct tier_limits tiers[TIER_COUNT] = {
        [TIER_FREE] = {2, 512, 1000, 256, 2048, 2, 2, 2048, 4096},
        [TIER_PRO] = {10, 1024, 2000, 1024, 10240, 24, 10, 20480, 40960},
        [TIER_ENTERPRISE] = {50, 2048, 4000, 4096, 20480, 168, 50, 204800, 409600}};
    struct str text = STR_INIT(4096);
    struct err err = {0};
    assert_true(tiers_write(tiers, &text, &err));
    assert_string_equal(
        text.data, "{\"free\":{\"sandboxes\":2,\"memoryMB\":512,\"cpuMilli\":1000,\"pids\":256,"
                   "\"diskMB\":2048,\"lifetimeHours\":2,\"volumes\":2,\"volumeMB\":2048,"
                   "\"snapshotMB\":4096},\"pro\":{"
                   "\"sandboxes\":10,\"memoryMB\":"
                   "1024,\"cpuMilli\":2000,"
                   "\"pids\":1024,\"diskMB\":10240,\"lifetimeHours\":24,\"volumes\":10,"
                   "\"volumeMB\":20480,\"snapshotMB\":40960},\"enterprise\":{"
                   "\"sandboxes\":50,\"memoryMB\":2048,"
                   "\"cpuMilli\":4000,\"pids\":4096,\"diskMB\":20480,\"lifetimeHours\":168,"
                   "\"volumes\":50,\"volumeMB\":204800,\"snapshotMB\":409600}}");
    str_free(&text);
}

static void tiers_are_found_by_name(void **state)
{
    (void)state;
    enum tier tier = TIER_COUNT;
    assert_true(tier_find(VIEW("enterprise"), &tier));
    assert_int_equal(tier, TIER_ENTERPRISE);
    assert_false(tier_find(VIEW("Pro"), &tier));
    assert_false(tier_find(VIEW(""), &tier));
}

static void shares_follow_the_processors(void **state)
{
    (void)state;
    assert_int_equal(tier_cpu_shares(1000), 1024);
    assert_int_equal(tier_cpu_shares(500), 512);
    assert_int_equal(tier_cpu_shares(1), 2);
}

static void open_files_follow_the_processes_within_bounds(void **state)
{
    (void)state;
    enum { CEILING = 100000 };
    assert_int_equal(tier_open_files(16, CEILING), 4096);
    assert_int_equal(tier_open_files(256, CEILING), 16384);
    assert_int_equal(tier_open_files(4096, CEILING), CEILING);
    assert_int_equal(tier_open_files(16, 1024), 1024);
}

static void a_file_is_as_large_as_a_disk_or_a_volume_at_most(void **state)
{
    (void)state;
    enum { MB = 1024 * 1024 };
    assert_int_equal(tier_file_bytes(16, 0), 16 * MB);
    assert_int_equal(tier_file_bytes(16, 64), 64 * MB);
    assert_int_equal(tier_file_bytes(64, 16), 64 * MB);
    assert_int_equal(tier_file_bytes(0, 16), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_are_written_as_the_database_reads_them),
        cmocka_unit_test(tiers_are_found_by_name),
        cmocka_unit_test(shares_follow_the_processors),
        cmocka_unit_test(open_files_follow_the_processes_within_bounds),
        cmocka_unit_test(a_file_is_as_large_as_a_disk_or_a_volume_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
