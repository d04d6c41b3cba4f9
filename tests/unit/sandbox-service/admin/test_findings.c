#include "sandbox-service/admin/findings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of a host that has everything. */
static const struct facts good = {
    .engine = {.is_reachable = true,
               .version = "24.0.7",
               .runc = "1.2.8",
               .storage = "btrfs",
               .file_system = "btrfs",
               .cgroup_version = "2",
               .runtimes = " runc runsc",
               .live_restore = true,
               .userns = true,
               .seccomp = true,
               .apparmor = true,
               .memory_limit = true,
               .swap_limit = true,
               .cpu_limit = true,
               .pids_limit = true},
    .host = {.ptrace_scope = 1,
             .kptr_restrict = 1,
             .dmesg_restrict = 1,
             .bpf_disabled = 2,
             .perf_paranoid = 3,
             .userns_max = 1000,
             .inotify_instances = 65536,
             .terminals = 65536,
             .has_lxcfs = true,
             .has_iptables = true,
             .has_nft = true,
             .has_loop = true,
             .has_mkfs = true},
};

struct wanted {
    const char *name;
    enum severity severity;
    bool is_found;
};

static void look_for(const struct finding *finding, void *arg)
{
    struct wanted *wanted = arg;
    if (strcmp(finding->name, wanted->name) == 0) {
        wanted->is_found = true;
        wanted->severity = finding->severity;
        assert_true(finding->detail[0] != '\0');
    }
}

static enum severity severity_of(const struct facts *facts, const char *name)
{
    struct wanted wanted = {.name = name};
    (void)findings_each(facts, look_for, &wanted);
    assert_true(wanted.is_found);
    return wanted.severity;
}

static void ignore(const struct finding *finding, void *arg)
{
    (void)arg;
    if (finding->severity != SEVERITY_OK) {
        fail_msg("%s: %s", finding->name, finding->detail);
    }
}

static void a_good_host_has_nothing_to_be_told(void **state)
{
    (void)state;
    assert_int_equal(findings_each(&good, ignore, NULL), SEVERITY_OK);
}

static void what_lacks_is_told(void **state)
{
    (void)state;
    struct facts facts = good;
    facts.engine.userns = false;
    facts.engine.seccomp = false;
    facts.engine.pids_limit = false;
    facts.engine.live_restore = false;
    facts.host.has_iptables = false;
    facts.host.has_nft = false;
    facts.host.has_mkfs = false;
    facts.host.has_core_pipe = true;
    facts.host.kptr_restrict = 0;
    facts.host.dmesg_restrict = FACTS_UNKNOWN;
    assert_int_equal(severity_of(&facts, "user-namespaces"), SEVERITY_WARNING);
    assert_int_equal(severity_of(&facts, "seccomp"), SEVERITY_BAD);
    assert_int_equal(severity_of(&facts, "limits"), SEVERITY_BAD);
    assert_int_equal(severity_of(&facts, "live-restore"), SEVERITY_WARNING);
    assert_int_equal(severity_of(&facts, "firewall"), SEVERITY_BAD);
    assert_int_equal(severity_of(&facts, "allow-lists"), SEVERITY_NOTE);
    assert_int_equal(severity_of(&facts, "volumes"), SEVERITY_NOTE);
    assert_int_equal(severity_of(&facts, "core-pattern"), SEVERITY_WARNING);
    assert_int_equal(severity_of(&facts, "kernel-pointers"), SEVERITY_WARNING);
    assert_int_equal(severity_of(&facts, "kernel-messages"), SEVERITY_NOTE);
}

static void an_old_runc_is_bad_unless_it_may_be_mended(void **state)
{
    (void)state;
    struct facts facts = good;
    memcpy(facts.engine.runc, "1.1.5", sizeof "1.1.5");
    assert_int_equal(severity_of(&facts, "runc"), SEVERITY_BAD);
    memcpy(facts.engine.runc, "1.1.5+ds1", sizeof "1.1.5+ds1");
    assert_int_equal(severity_of(&facts, "runc"), SEVERITY_WARNING);
    memcpy(facts.engine.runc, "1.1.15", sizeof "1.1.15");
    assert_int_equal(severity_of(&facts, "runc"), SEVERITY_WARNING);
    facts.engine.runc[0] = '\0';
    assert_int_equal(severity_of(&facts, "runc"), SEVERITY_NOTE);
}

static void without_an_engine_that_is_told_first(void **state)
{
    (void)state;
    struct facts facts = good;
    facts.engine.is_reachable = false;
    facts.engine.seccomp = false;
    assert_int_equal(severity_of(&facts, "engine"), SEVERITY_BAD);
    struct wanted wanted = {.name = "seccomp"};
    (void)findings_each(&facts, look_for, &wanted);
    assert_false(wanted.is_found);
}

static void swap_counts_when_there_is_some(void **state)
{
    (void)state;
    struct facts facts = good;
    facts.engine.swap_limit = false;
    assert_int_equal(severity_of(&facts, "swap"), SEVERITY_OK);
    facts.host.has_swap = true;
    assert_int_equal(severity_of(&facts, "swap"), SEVERITY_WARNING);
}

static void a_quota_takes_xfs_mounted_for_it(void **state)
{
    (void)state;
    struct facts facts = good;
    memcpy(facts.engine.storage, "overlay2", sizeof "overlay2");
    memcpy(facts.engine.file_system, "xfs", sizeof "xfs");
    assert_int_equal(severity_of(&facts, "disk-quota"), SEVERITY_WARNING);
    facts.host.has_project_quota = true;
    assert_int_equal(severity_of(&facts, "disk-quota"), SEVERITY_OK);
}

static void a_finding_is_written_for_people(void **state)
{
    (void)state;
    const struct finding finding = {.name = "bpf",
                                    .severity = SEVERITY_WARNING,
                                    .detail = "is 0",
                                    .why = "So it goes.",
                                    .remedy = "Set it."};
    AUTO(str_free) struct str out = STR_INIT(FINDINGS_TEXT_MAX);
    finding_write(&finding, &out);
    assert_string_equal(out.data, "WARNING  bpf              is 0\n"
                                  "                          So it goes.\n"
                                  "                          Do: Set it.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_host_has_nothing_to_be_told),
        cmocka_unit_test(what_lacks_is_told),
        cmocka_unit_test(an_old_runc_is_bad_unless_it_may_be_mended),
        cmocka_unit_test(without_an_engine_that_is_told_first),
        cmocka_unit_test(swap_counts_when_there_is_some),
        cmocka_unit_test(a_quota_takes_xfs_mounted_for_it),
        cmocka_unit_test(a_finding_is_written_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
