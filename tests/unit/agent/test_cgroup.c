/* sandbox-service/agent/cgroup.c, on files such as the kernel shows. */
#include "sandbox-service/agent/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 128 };

static const struct group_file {
    const char *name;
    const char *text;
} second_version[] =
    {
        {"memory.current", "5000000\n"},
        {"memory.max", "max\n"},
        {"memory.peak", "7000000\n"},
        {"memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n"},
        {"memory.stat", "anon 1\nfile 2\nactive_file 9\ninactive_file 1000000\n"},
        {"cpu.stat",
         "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnr_periods 9\nnr_throttled 3\n"
         "throttled_usec 40000\n"},
        {"cpu.max", "150000 100000\n"},
        {"pids.current", "4\n"},
        {"pids.max", "256\n"},
        {"pids.events", "max 17\n"},
},
  first_version[] = {
      {"memory/memory.usage_in_bytes", "5000000\n"},
      {"memory/memory.limit_in_bytes", "9223372036854771712\n"},
      {"memory/memory.max_usage_in_bytes", "7000000\n"},
      {"memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
      {"memory/memory.stat",
       "cache 1\ninactive_file 3\ntotal_cache 1\ntotal_inactive_file 1000000\n"},
      {"cpuacct/cpuacct.usage", "2500000123\n"},
      {"cpu/cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 40000000\n"},
      {"cpu/cpu.cfs_quota_us", "150000\n"},
      {"cpu/cpu.cfs_period_us", "100000\n"},
      {"pids/pids.current", "4\n"},
      {"pids/pids.max", "256\n"},
      {"pids/pids.events", "max 17\n"},
};
enum {
    SECOND_COUNT = sizeof second_version / sizeof second_version[0],
    FIRST_COUNT = sizeof first_version / sizeof first_version[0],
};

static const char *const folders[] = {"memory", "cpuacct", "cpu", "pids"};
enum { FOLDERS = sizeof folders / sizeof folders[0] };

static void write_files(const char *root, const struct group_file *files, size_t count)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < FOLDERS; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        (void)mkdir(path, 0700);
    }
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, files[i].name);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(files[i].text, file) >= 0);
        assert_int_equal(fclose(file), 0);
    }
}

static void remove_files(const char *root, const struct group_file *files, size_t count)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, files[i].name);
        (void)unlink(path);
    }
    for (size_t i = 0; i < FOLDERS; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        (void)rmdir(path);
    }
    assert_int_equal(rmdir(root), 0);
}

static void expect_all(const struct group_file *files, size_t count)
{
    char root[] = "/tmp/test_cgroup.XXXXXX";
    struct cgroup_usage usage;
    assert_non_null(mkdtemp(root));
    write_files(root, files, count);
    cgroup_read(root, &usage);
    int64_t cpu_us = cgroup_cpu_us(root);
    remove_files(root, files, count);
    assert_int_equal(usage.memory_bytes, 4000000);
    assert_int_equal(usage.memory_limit_bytes, -1);
    assert_int_equal(usage.memory_peak_bytes, 7000000);
    assert_int_equal(usage.oom_kills, 1);
    assert_int_equal(usage.cpu_us, 2500000);
    assert_int_equal(cpu_us, 2500000);
    assert_int_equal(usage.cpu_limit_milli, 1500);
    assert_int_equal(usage.cpu_throttled_us, 40000);
    assert_int_equal(usage.pids, 4);
    assert_int_equal(usage.pids_limit, 256);
    assert_int_equal(usage.pids_refused, 17);
}

static void the_second_version_is_understood(void **state)
{
    (void)state;
    expect_all(second_version, SECOND_COUNT);
}

static void the_first_version_is_understood(void **state)
{
    (void)state;
    expect_all(first_version, FIRST_COUNT);
}

static void what_is_not_there_is_not_known(void **state)
{
    (void)state;
    struct cgroup_usage usage;
    cgroup_read("/nowhere", &usage);
    assert_int_equal(usage.memory_bytes, -1);
    assert_int_equal(usage.cpu_us, -1);
    assert_int_equal(usage.cpu_limit_milli, -1);
    assert_int_equal(usage.pids_refused, -1);
    assert_int_equal(cgroup_cpu_us("/nowhere"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_version_is_understood),
        cmocka_unit_test(the_first_version_is_understood),
        cmocka_unit_test(what_is_not_there_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
