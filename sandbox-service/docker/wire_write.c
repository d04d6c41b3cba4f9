#include "sandbox-service/docker/wire.h"

#include "common/contracts/agent.h"
#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    BODY_MAX = 256 * 1024,
    UPDATE_MAX = 1024,
    /* The agent raises its tenants' processes above this, so that they die first. Not negative:
     * runc 1.1 can't start such a container with a bind mount where the engine remaps users. */
    OOM_SCORE = 0,
    CPU_PERIOD_US = 100000,
    SIGNALS_PENDING_MAX = 4096,
    SHM_BYTES = 64 * 1024 * 1024,
    SECCOMP_OPTION_MAX = 128 * 1024,
    SECRET_FILES_BYTES = 2 * (SECRETS_BYTES_MAX + SECRETS_PER_SANDBOX_MAX * 4096),
    SECRET_FILES_MODE = 0755,
};

/* Each of the agent's is needed; see what a process that becomes many users must do. */
static const char *const agent_capabilities[] = {"SETUID",       "SETGID", "SETPCAP", "CHOWN",
                                                 "DAC_OVERRIDE", "FOWNER", "KILL",    NULL};
/* SETFCAP stays out: packages then fall back to set-uid programs, which work. */
static const char *const sudo_capabilities[] = {"FSETID", "AUDIT_WRITE", NULL};

/* The engine's own list, and all of the agent's entry: a tenant's root could otherwise make the
 * first process the first to be killed when memory ends. */
static const char *const read_only_paths[] = {"/proc/bus",           "/proc/irq", "/proc/sys",
                                              "/proc/sysrq-trigger", "/proc/1",   NULL};
/* The engine's own list, and the block devices and file systems of the machine: they tell the
 * names, the sizes and the traffic of everybody's volumes. */
static const char *const masked_paths[] = {"/proc/acpi",
                                           "/proc/asound",
                                           "/proc/fs",
                                           "/proc/interrupts",
                                           "/proc/kcore",
                                           "/proc/keys",
                                           "/proc/latency_stats",
                                           "/proc/partitions",
                                           "/proc/sched_debug",
                                           "/proc/scsi",
                                           "/proc/timer_list",
                                           "/proc/timer_stats",
                                           "/sys/devices/virtual/block",
                                           "/sys/devices/virtual/powercap",
                                           "/sys/firmware",
                                           "/sys/fs/ext4",
                                           NULL};

static void put(struct json_writer *json, const char *name, const char *value)
{
    json_string(json, name, view_of(value == NULL ? "" : value));
}

static void put_items(struct json_writer *json, const char *const *items)
{
    for (; items != NULL && *items != NULL; items++) {
        put(json, NULL, *items);
    }
}

/* An image's own is run by the engine, as root, whatever its tenants may be. */
static void put_no_health_check(struct json_writer *json)
{
    json_begin_object(json, "Healthcheck");
    json_begin_array(json, "Test");
    put(json, NULL, "NONE");
    json_end_array(json);
    json_end_object(json);
}

static void put_labels(struct json_writer *json, const struct container_spec *spec)
{
    const struct {
        const char *name, *value;
    } labels[] = {{LABEL_SANDBOX, spec->sandbox_id},
                  {LABEL_NODE, spec->node},
                  {LABEL_INSTANCE, spec->instance}};
    json_begin_object(json, "Labels");
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        if (labels[i].value != NULL) {
            put(json, labels[i].name, labels[i].value);
        }
    }
    json_end_object(json);
}

static void put_capabilities(struct json_writer *json, const struct container_spec *spec)
{
    json_begin_array(json, "CapDrop");
    put(json, NULL, "ALL");
    json_end_array(json);
    json_begin_array(json, "CapAdd");
    put_items(json, spec->is_agent ? agent_capabilities : NULL);
    put_items(json, spec->is_tenant_root_possible ? sudo_capabilities : NULL);
    json_end_array(json);
}

static void put_security(struct json_writer *json, const struct container_spec *spec)
{
    struct str option = STR_INIT(SECCOMP_OPTION_MAX);
    json_begin_array(json, "SecurityOpt");
    if (spec->seccomp != NULL) {
        str_append_string(&option, "seccomp=");
        str_append_string(&option, spec->seccomp);
        json_string(json, NULL, str_view(&option));
        json->out->failed |= option.failed;
    }
    if (!spec->is_tenant_root_possible) {
        put(json, NULL, "no-new-privileges");
    }
    json_end_array(json);
    str_free(&option);
}

static void put_limit(struct json_writer *json, const char *name, int64_t value)
{
    json_begin_object(json, NULL);
    put(json, "Name", name);
    json_int(json, "Soft", value);
    json_int(json, "Hard", value);
    json_end_object(json);
}

/* Those that can be changed while the container runs. */
static void put_resources(struct json_writer *json, const struct container_spec *spec)
{
    json_int(json, "Memory", spec->memory_bytes);
    json_int(json, "MemorySwap", spec->memory_bytes); /* memory and swap together: no swap */
    /* Not NanoCpus: the engine refuses more of those than it has processors. */
    json_int(json, "CpuPeriod", CPU_PERIOD_US);
    json_int(json, "CpuQuota", spec->cpu_milli * CPU_PERIOD_US / 1000);
    json_int(json, "CpuShares", spec->cpu_milli * 1024 / 1000);
    json_int(json, "PidsLimit", spec->pids);
    if (spec->cpus != NULL) {
        put(json, "CpusetCpus", spec->cpus);
    }
}

static void put_limits(struct json_writer *json, const struct container_spec *spec)
{
    put_resources(json, spec);
    json_int(json, "OomScoreAdj", OOM_SCORE);
    json_int(json, "ShmSize", SHM_BYTES);
    json_begin_array(json, "Ulimits");
    put_limit(json, "nofile", spec->open_files);
    put_limit(json, "core", 0);
    if (spec->file_bytes > 0) {
        put_limit(json, "fsize", spec->file_bytes);
    }
    /* These two are counted for the whole machine where users are remapped. */
    put_limit(json, "sigpending", SIGNALS_PENDING_MAX);
    put_limit(json, "msgqueue", 0);
    json_end_array(json);
}

static void begin_mount(struct json_writer *json, const char *type, const char *source,
                        const char *target, bool read_only)
{
    json_begin_object(json, NULL);
    put(json, "Type", type);
    put(json, "Source", source);
    put(json, "Target", target);
    json_bool(json, "ReadOnly", read_only);
}

/* What of /proc is about the machine, as lxcfs tells it of the reader's control group. */
static void put_lxcfs(struct json_writer *json, const char *dir)
{
    static const char *const names[] = {"cpuinfo", "diskstats", "meminfo",
                                        "stat",    "swaps",     "uptime"};
    char source[WIRE_PATH_SIZE];
    char target[WIRE_NAME_SIZE];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(source, sizeof source, "%s/proc/%s", dir, names[i]);
        (void)snprintf(target, sizeof target, "/proc/%s", names[i]);
        begin_mount(json, "bind", source, target, true);
        json_end_object(json);
    }
}

/* In memory, so that they are in no snapshot and on no disk; twice as much as they may be, since a
 * new one is there before the old one goes. */
static void put_secret_files(struct json_writer *json)
{
    begin_mount(json, "tmpfs", "", SECRET_FILES_DIR, false);
    json_begin_object(json, "TmpfsOptions");
    json_int(json, "SizeBytes", SECRET_FILES_BYTES);
    json_int(json, "Mode", SECRET_FILES_MODE);
    json_end_object(json);
    json_end_object(json);
}

static void put_mounts(struct json_writer *json, const struct container_spec *spec)
{
    json_begin_array(json, "Mounts");
    if (spec->agent_volume != NULL) {
        begin_mount(json, "volume", spec->agent_volume, AGENT_DIR, !spec->agent_volume_writable);
        json_begin_object(json, "VolumeOptions");
        json_bool(json, "NoCopy", true);
        json_end_object(json);
        json_end_object(json);
    }
    if (spec->run_dir != NULL) {
        begin_mount(json, "bind", spec->run_dir, AGENT_RUN_DIR, true);
        json_end_object(json);
    }
    if (spec->lxcfs_dir != NULL) {
        put_lxcfs(json, spec->lxcfs_dir);
    }
    for (size_t i = 0; i < spec->mount_count; i++) {
        const struct container_mount *mount = &spec->mounts[i];
        begin_mount(json, "bind", mount->source, mount->target, mount->read_only);
        json_end_object(json);
    }
    if (spec->has_secret_files) {
        put_secret_files(json);
    }
    json_end_array(json);
}

static void put_storage(struct json_writer *json, const struct container_spec *spec)
{
    char size[32];
    if (spec->disk_bytes == 0) {
        return;
    }
    (void)snprintf(size, sizeof size, "%" PRId64, spec->disk_bytes);
    json_begin_object(json, "StorageOpt");
    put(json, "size", size);
    json_end_object(json);
}

/* A host name that resolves: sudo asks for its own. */
static void put_hosts(struct json_writer *json, const struct container_spec *spec)
{
    char line[WIRE_NAME_SIZE];
    json_begin_array(json, "ExtraHosts");
    if (spec->network != NULL && spec->hostname != NULL) {
        (void)snprintf(line, sizeof line, "%s:127.0.0.1", spec->hostname);
        put(json, NULL, line);
    }
    json_end_array(json);
}

/* Also without a network: it can be given one later, and this not. */
static void put_name_server(struct json_writer *json, const struct container_spec *spec)
{
    json_begin_array(json, "Dns");
    if (spec->name_server != NULL) {
        put(json, NULL, spec->name_server);
    }
    json_end_array(json);
}

static void put_address(struct json_writer *json, const struct container_spec *spec)
{
    if (spec->network == NULL || spec->address == NULL) {
        return;
    }
    json_begin_object(json, "NetworkingConfig");
    json_begin_object(json, "EndpointsConfig");
    json_begin_object(json, spec->network);
    json_begin_object(json, "IPAMConfig");
    put(json, "IPv4Address", spec->address);
    json_end_object(json);
    json_end_object(json);
    json_end_object(json);
    json_end_object(json);
}

static void put_masked_paths(struct json_writer *json, const struct container_spec *spec)
{
    json_begin_array(json, "MaskedPaths");
    put_items(json, masked_paths);
    if (spec->lxcfs_dir == NULL) { /* else it is the sandbox's own */
        put(json, NULL, "/proc/diskstats");
    }
    json_end_array(json);
}

static void put_host_config(struct json_writer *json, const struct container_spec *spec)
{
    json_begin_object(json, "HostConfig");
    put(json, "NetworkMode", spec->network == NULL ? "none" : spec->network);
    put(json, "IpcMode", "private");
    if (spec->runtime != NULL) {
        put(json, "Runtime", spec->runtime);
    }
    put_limits(json, spec);
    put_storage(json, spec);
    put_capabilities(json, spec);
    put_security(json, spec);
    put_mounts(json, spec);
    put_hosts(json, spec);
    put_name_server(json, spec);
    json_begin_array(json, "ReadonlyPaths");
    put_items(json, read_only_paths);
    json_end_array(json);
    put_masked_paths(json, spec);
    json_bool(json, "ReadonlyRootfs", spec->read_only_root);
    json_bool(json, "Init", false);
    json_bool(json, "AutoRemove", false);
    json_begin_object(json, "LogConfig");
    put(json, "Type", "none");
    json_end_object(json);
    json_begin_object(json, "RestartPolicy");
    put(json, "Name", "no");
    json_end_object(json);
    json_end_object(json);
}

char *wire_write_create(const struct container_spec *spec, struct err *err)
{
    struct str body = STR_INIT(BODY_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    put(&json, "Image", spec->image);
    put(&json, "User", "0:0");
    put(&json, "WorkingDir", "/");
    put(&json, "Hostname", spec->hostname);
    json_begin_array(&json, "Entrypoint");
    put_items(&json, spec->command);
    json_end_array(&json);
    json_begin_array(&json, "Cmd");
    json_end_array(&json);
    json_begin_array(&json, "Env");
    if (spec->env != NULL) {
        put(&json, NULL, spec->env);
    }
    json_end_array(&json);
    put_no_health_check(&json);
    put_labels(&json, spec);
    put_host_config(&json, spec);
    put_address(&json, spec);
    json_end_object(&json);
    if (!str_check(&body, "the container's description", err)) {
        str_free(&body);
        return NULL;
    }
    return body.data;
}

char *wire_write_update(const struct container_spec *spec, struct err *err)
{
    struct str body = STR_INIT(UPDATE_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    put_resources(&json, spec);
    json_end_object(&json);
    if (!str_check(&body, "the container's limits", err)) {
        str_free(&body);
        return NULL;
    }
    return body.data;
}

char *wire_write_network(const char *name, const char *instance, const struct wire_network *network,
                         struct err *err)
{
    struct str body = STR_INIT(BODY_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    put(&json, "Name", name);
    put(&json, "Driver", "bridge");
    json_bool(&json, "CheckDuplicate", true);
    json_bool(&json, "EnableIPv6", network->ipv6);
    json_begin_object(&json, "IPAM");
    json_begin_array(&json, "Config");
    json_begin_object(&json, NULL);
    put(&json, "Subnet", network->subnet);
    put(&json, "Gateway", network->gateway);
    json_end_object(&json);
    json_end_array(&json);
    json_end_object(&json);
    json_begin_object(&json, "Options");
    put(&json, "com.docker.network.bridge.name", network->bridge);
    put(&json, "com.docker.network.bridge.enable_icc", network->icc_off ? "false" : "true");
    json_end_object(&json);
    json_begin_object(&json, "Labels");
    put(&json, LABEL_INSTANCE, instance);
    json_end_object(&json);
    json_end_object(&json);
    if (!str_check(&body, "the network's description", err)) {
        str_free(&body);
        return NULL;
    }
    return body.data;
}
