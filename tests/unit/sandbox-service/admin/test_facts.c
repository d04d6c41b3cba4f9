#include "sandbox-service/admin/facts.h"

#include "tests/support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>

static void info_is_read(void **state)
{
    (void)state;
    struct engine_facts facts = {0};
    struct err err = {0};
    assert_true(facts_read_info(
        VIEW("{\"ServerVersion\":\"20.10.24\",\"Driver\":\"overlay2\",\"DriverStatus\":"
             "[[\"Backing Filesystem\",\"extfs\"],[\"Supports d_type\",\"true\"]],"
             "\"CgroupVersion\":\"1\",\"SecurityOptions\":[\"name=seccomp,profile=default\","
             "\"name=userns\"],\"Runtimes\":{\"runc\":{\"path\":\"runc\"},\"runsc\":{}},"
             "\"LiveRestoreEnabled\":true,\"MemoryLimit\":true,\"SwapLimit\":false,"
             "\"CpuCfsQuota\":true,\"PidsLimit\":true,\"Images\":3}"),
        &facts, &err));
    assert_string_equal(facts.version, "20.10.24");
    assert_string_equal(facts.storage, "overlay2");
    assert_string_equal(facts.file_system, "extfs");
    assert_string_equal(facts.runtimes, " runc runsc");
    assert_true(facts.seccomp && facts.userns && facts.live_restore && facts.pids_limit);
    assert_false(facts.apparmor || facts.selinux || facts.swap_limit);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct engine_facts facts = {0};
    struct err err = {0};
    assert_false(facts_read_info(VIEW("{}"), &facts, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_false(facts_read_version(VIEW("nonsense"), &facts, &err));
}

static void the_version_of_runc_is_read(void **state)
{
    (void)state;
    struct engine_facts facts = {0};
    struct err err = {0};
    assert_true(
        facts_read_version(VIEW("{\"Components\":[{\"Name\":\"Engine\",\"Version\":\"20.10.24\"},"
                                "{\"Name\":\"runc\",\"Version\":\"1.1.5+ds1\",\"Details\":{}}]}"),
                           &facts, &err));
    assert_string_equal(facts.runc, "1.1.5+ds1");
}

static void what_a_host_lacks_is_not_known(void **state)
{
    (void)state;
    struct host_facts facts;
    facts_read_host("/nowhere", &facts);
    assert_int_equal(facts.kptr_restrict, FACTS_UNKNOWN);
    assert_int_equal(facts.terminals, FACTS_UNKNOWN);
    assert_false(facts.has_swap || facts.has_core_pipe || facts.has_iptables);
    assert_string_equal(facts.vulnerabilities, "");
}

static void the_latest_mount_above_a_folder_counts(void **state)
{
    (void)state;
    char folder[FOLDER_PATH_SIZE];
    char path[FOLDER_PATH_SIZE + 32];
    struct host_facts facts = {0};
    folder_make(folder);
    (void)snprintf(path, sizeof path, "%s/proc", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/proc/self", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/proc/self/mounts", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("/dev/a / ext4 rw,prjquota 0 0\n"
                      "/dev/b /var/lib/docker xfs rw,noatime,prjquota 0 0\n"
                      "/dev/c /var/lib/docker-else xfs rw,noquota 0 0\n"
                      "/dev/d /srv xfs rw,noquota 0 0\n",
                      file) >= 0);
    assert_int_equal(fclose(file), 0);
    facts_read_mount(folder, "/var/lib/docker/100000.100000", &facts);
    assert_true(facts.has_project_quota);
    facts_read_mount(folder, "/srv/docker", &facts);
    assert_false(facts.has_project_quota);
    facts_read_mount(folder, "/opt", &facts);
    assert_true(facts.has_project_quota);
    folder_remove(folder);
    facts.has_project_quota = false;
    facts_read_mount(folder, "/opt", &facts);
    assert_false(facts.has_project_quota);
}

static void this_host_tells_something(void **state)
{
    (void)state;
    struct host_facts facts;
    facts_read_host("", &facts);
    assert_true(facts.terminals > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_is_read),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(the_version_of_runc_is_read),
        cmocka_unit_test(what_a_host_lacks_is_not_known),
        cmocka_unit_test(the_latest_mount_above_a_folder_counts),
        cmocka_unit_test(this_host_tells_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
