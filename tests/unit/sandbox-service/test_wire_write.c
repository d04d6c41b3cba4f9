/* sandbox-service/docker/wire_write.c: what a container is given, and above all what not. */
#include "sandbox-service/docker/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const command[] = {"/.insien/agent", NULL};

static struct container_spec example(void)
{
    return (struct container_spec){
        .name = "insien-x",
        .image = "insien/base:latest",
        .command = command,
        .env = "INSIEN_SANDBOX_ID=x",
        .hostname = "localhost",
        .sandbox_id = "x",
        .node = "node-1",
        .instance = "insien",
        .agent_volume = "insien-agent-0",
        .run_dir = "/run/insien/agents/x",
        .seccomp = "{\"defaultAction\":\"SCMP_ACT_ERRNO\"}",
        .memory_bytes = INT64_C(512) * 1024 * 1024,
        .cpu_milli = 1500,
        .pids = 256,
        .open_files = 16384,
        .file_bytes = INT64_C(16) * 1024 * 1024,
        .is_tenant_root_possible = true,
        .is_agent = true,
    };
}

static char *write_spec(const struct container_spec *spec)
{
    struct err err = {0};
    char *body = wire_write_create(spec, &err);
    assert_non_null(body);
    return body;
}

static void contains(const char *body, const char *part)
{
    if (strstr(body, part) == NULL) {
        fail_msg("no %s in %s", part, body);
    }
}

static void lacks(const char *body, const char *part)
{
    if (strstr(body, part) != NULL) {
        fail_msg("%s in %s", part, body);
    }
}

static void limits_are_there(void **state)
{
    (void)state;
    const struct container_spec spec = example();
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"Healthcheck\":{\"Test\":[\"NONE\"]}");
    contains(body, "\"Memory\":536870912,\"MemorySwap\":536870912");
    contains(body, "\"CpuPeriod\":100000,\"CpuQuota\":150000,\"CpuShares\":1536");
    contains(body, "\"PidsLimit\":256");
    contains(body, "{\"Name\":\"nofile\",\"Soft\":16384,\"Hard\":16384}");
    contains(body, "{\"Name\":\"core\",\"Soft\":0,\"Hard\":0}");
    contains(body, "{\"Name\":\"fsize\",\"Soft\":16777216,\"Hard\":16777216}");
}

static void files_have_no_bound_unless_one_is_asked_for(void **state)
{
    (void)state;
    struct container_spec spec = example();
    spec.file_bytes = 0;
    AUTO(free_string) char *body = write_spec(&spec);
    lacks(body, "fsize");
}

static void limits_that_only_some_engines_hold_are_there_when_asked_for(void **state)
{
    (void)state;
    struct container_spec spec = example();
    AUTO(free_string) char *plain = write_spec(&spec);
    lacks(plain, "StorageOpt");
    lacks(plain, "CpusetCpus");
    lacks(plain, "lxcfs");
    spec.disk_bytes = INT64_C(2048) * 1024 * 1024;
    spec.cpus = "0,3";
    spec.lxcfs_dir = "/var/lib/lxcfs";
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"StorageOpt\":{\"size\":\"2147483648\"}");
    contains(body, "\"CpusetCpus\":\"0,3\"");
    contains(body, "{\"Type\":\"bind\",\"Source\":\"/var/lib/lxcfs/proc/meminfo\",\"Target\":"
                   "\"/proc/meminfo\",\"ReadOnly\":true}");
}

static void runtime_is_named_when_one_is_asked_for(void **state)
{
    (void)state;
    struct container_spec spec = example();
    AUTO(free_string) char *without = write_spec(&spec);
    lacks(without, "Runtime");
    spec.runtime = "runsc";
    AUTO(free_string) char *with = write_spec(&spec);
    contains(with, "\"Runtime\":\"runsc\"");
}

static void volumes_and_secret_files_are_mounted(void **state)
{
    (void)state;
    static const struct container_mount mounts[] = {{"/v/a/data", "/data", false},
                                                    {"/v/b/data", "/models", true}};
    struct container_spec spec = example();
    AUTO(free_string) char *without = write_spec(&spec);
    lacks(without, "/run/secrets");
    spec.mounts = mounts;
    spec.mount_count = 2;
    spec.has_secret_files = true;
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "{\"Type\":\"bind\",\"Source\":\"/v/a/data\",\"Target\":\"/data\","
                   "\"ReadOnly\":false}");
    contains(body, "{\"Type\":\"bind\",\"Source\":\"/v/b/data\",\"Target\":\"/models\","
                   "\"ReadOnly\":true}");
    contains(body, "{\"Type\":\"tmpfs\",\"Source\":\"\",\"Target\":\"/run/secrets\",");
}

static void limits_of_one_that_runs_are_those_that_can_change(void **state)
{
    (void)state;
    struct container_spec spec = example();
    struct err err = {0};
    spec.cpus = "0,3";
    AUTO(free_string) char *body = wire_write_update(&spec, &err);
    assert_non_null(body);
    assert_string_equal(body, "{\"Memory\":536870912,\"MemorySwap\":536870912,\"CpuPeriod\":100000,"
                              "\"CpuQuota\":150000,\"CpuShares\":1536,\"PidsLimit\":256,"
                              "\"CpusetCpus\":\"0,3\"}");
}

static void sudo_profile_keeps_nine_capabilities(void **state)
{
    (void)state;
    const struct container_spec spec = example();
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"CapDrop\":[\"ALL\"],\"CapAdd\":[\"SETUID\",\"SETGID\",\"SETPCAP\",\"CHOWN\","
                   "\"DAC_OVERRIDE\",\"FOWNER\",\"KILL\",\"FSETID\",\"AUDIT_WRITE\"]");
    contains(body, "\"SecurityOpt\":[\"seccomp={\\\"defaultAction\\\":\\\"SCMP_ACT_ERRNO\\\"}\"]");
    lacks(body, "no-new-privileges");
}

static void locked_profile_gains_no_privileges(void **state)
{
    (void)state;
    struct container_spec spec = example();
    spec.is_tenant_root_possible = false;
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"no-new-privileges\"");
    lacks(body, "AUDIT_WRITE");
    lacks(body, "FSETID");
}

static void helper_keeps_no_capability(void **state)
{
    (void)state;
    struct container_spec spec = example();
    spec.is_tenant_root_possible = false;
    spec.is_agent = false;
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"CapAdd\":[]");
}

static void mounts_are_read_only(void **state)
{
    (void)state;
    const struct container_spec spec = example();
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "{\"Type\":\"volume\",\"Source\":\"insien-agent-0\",\"Target\":\"/.insien\","
                   "\"ReadOnly\":true,\"VolumeOptions\":{\"NoCopy\":true}}");
    contains(body, "{\"Type\":\"bind\",\"Source\":\"/run/insien/agents/x\",\"Target\":"
                   "\"/.insien/run\",\"ReadOnly\":true}");
}

static void nothing_of_the_host_is_shared(void **state)
{
    (void)state;
    const struct container_spec spec = example();
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"NetworkMode\":\"none\"");
    contains(body, "\"IpcMode\":\"private\"");
    contains(body, "\"LogConfig\":{\"Type\":\"none\"}");
    contains(body, "\"Env\":[\"INSIEN_SANDBOX_ID=x\"]");
    contains(body, "\"MaskedPaths\":[\"/proc/acpi\"");
    contains(body, "\"/sys/devices/virtual/block\"");
    contains(body, "\"/proc/diskstats\"]");
    lacks(body, "Privileged");
    lacks(body, "PidMode");
    lacks(body, "UsernsMode");
    lacks(body, "docker.sock");
    lacks(body, "Binds");
    lacks(body, "Devices");
}

static void own_name_resolves_on_a_network(void **state)
{
    (void)state;
    struct container_spec spec = example();
    spec.network = "insien-insien";
    spec.hostname = "6f1c1c1e0d4c";
    AUTO(free_string) char *body = write_spec(&spec);
    contains(body, "\"NetworkMode\":\"insien-insien\"");
    contains(body, "\"ExtraHosts\":[\"6f1c1c1e0d4c:127.0.0.1\"]");
}

static void network_keeps_neighbours_apart(void **state)
{
    (void)state;
    struct err err = {0};
    const struct wire_network network = {
        .bridge = "ins-x", .subnet = "10.200.0.0/20", .gateway = "10.200.0.1", .icc_off = true};
    AUTO(free_string) char *body = wire_write_network("insien-x", "x", &network, &err);
    assert_non_null(body);
    contains(body, "\"EnableIPv6\":false");
    contains(body, "\"com.docker.network.bridge.enable_icc\":\"false\"");
    contains(body, "\"Subnet\":\"10.200.0.0/20\",\"Gateway\":\"10.200.0.1\"");
    contains(body, "\"Labels\":{\"insien.instance\":\"x\"}");
}

static void what_a_network_writes_it_also_reads(void **state)
{
    (void)state;
    struct err err = {0};
    struct wire_network again;
    const struct wire_network network = {
        .bridge = "ins-x", .subnet = "10.200.0.0/20", .gateway = "10.200.0.1", .icc_off = true};
    AUTO(free_string) char *body = wire_write_network("insien-x", "x", &network, &err);
    assert_non_null(body);
    assert_true(wire_read_network(view_of(body), &again, &err));
    assert_string_equal(again.bridge, network.bridge);
    assert_string_equal(again.subnet, network.subnet);
    assert_true(again.icc_off);
}

static void network_address_and_name_server_are_there_when_they_are_chosen(void **state)
{
    (void)state;
    struct container_spec spec = example();
    AUTO(free_string) char *without = write_spec(&spec);
    contains(without, "\"Dns\":[]");
    lacks(without, "NetworkingConfig");
    spec.network = "insien-x";
    spec.address = "10.200.16.5";
    spec.name_server = "10.200.16.1";
    AUTO(free_string) char *with = write_spec(&spec);
    contains(with, "\"Dns\":[\"10.200.16.1\"]");
    contains(with, "\"NetworkingConfig\":{\"EndpointsConfig\":{\"insien-x\":{\"IPAMConfig\":"
                   "{\"IPv4Address\":\"10.200.16.5\"}}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_there),
        cmocka_unit_test(files_have_no_bound_unless_one_is_asked_for),
        cmocka_unit_test(limits_that_only_some_engines_hold_are_there_when_asked_for),
        cmocka_unit_test(runtime_is_named_when_one_is_asked_for),
        cmocka_unit_test(volumes_and_secret_files_are_mounted),
        cmocka_unit_test(limits_of_one_that_runs_are_those_that_can_change),
        cmocka_unit_test(sudo_profile_keeps_nine_capabilities),
        cmocka_unit_test(locked_profile_gains_no_privileges),
        cmocka_unit_test(helper_keeps_no_capability),
        cmocka_unit_test(mounts_are_read_only),
        cmocka_unit_test(nothing_of_the_host_is_shared),
        cmocka_unit_test(own_name_resolves_on_a_network),
        cmocka_unit_test(network_keeps_neighbours_apart),
        cmocka_unit_test(what_a_network_writes_it_also_reads),
        cmocka_unit_test(network_address_and_name_server_are_there_when_they_are_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
