#include "sandbox-service/admin/facts.h"

#include "common/json/read.h"
#include "common/json/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_TEXT_SIZE = 512, NAME_PART_MAX = 64 };

struct info {
    struct view version;
    struct view storage;
    struct view root_dir;
    struct view cgroup_version;
    struct view storage_status;
    struct view security;
    struct view runtimes;
    bool live_restore;
    bool memory_limit;
    bool swap_limit;
    bool cpu_limit;
    bool pids_limit;
};

static const struct json_field info_fields[] = {
    JSON_STRING(struct info, version, "ServerVersion", .required = true),
    JSON_STRING(struct info, storage, "Driver"),
    JSON_STRING(struct info, root_dir, "DockerRootDir"),
    JSON_STRING(struct info, cgroup_version, "CgroupVersion"),
    JSON_ARRAY(struct info, storage_status, "DriverStatus", .nullable = true),
    JSON_ARRAY(struct info, security, "SecurityOptions", .nullable = true),
    JSON_OBJECT(struct info, runtimes, "Runtimes", .nullable = true),
    JSON_BOOL(struct info, live_restore, "LiveRestoreEnabled"),
    JSON_BOOL(struct info, memory_limit, "MemoryLimit"),
    JSON_BOOL(struct info, swap_limit, "SwapLimit"),
    JSON_BOOL(struct info, cpu_limit, "CpuCfsQuota"),
    JSON_BOOL(struct info, pids_limit, "PidsLimit"),
};

/* What is too long is cut: it is for people. */
static void keep(struct view text, char *out, size_t size)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    if (len > 0) {
        memcpy(out, text.ptr, len);
    }
    out[len] = '\0';
}

static void add_word(char list[FACTS_LIST_SIZE], struct view word)
{
    size_t len = strlen(list);
    size_t cut = word.len < NAME_PART_MAX ? word.len : NAME_PART_MAX;
    (void)snprintf(list + len, FACTS_LIST_SIZE - len, " %.*s", (int)cut, word.ptr);
}

/* "name=seccomp,profile=default", with its quotes. */
static void on_security(struct view item, void *arg)
{
    struct engine_facts *out = arg;
    static const struct {
        struct view start;
        size_t offset;
    } options[] = {
        {VIEW("\"name=seccomp"), offsetof(struct engine_facts, seccomp)},
        {VIEW("\"name=userns"), offsetof(struct engine_facts, userns)},
        {VIEW("\"name=rootless"), offsetof(struct engine_facts, userns)},
        {VIEW("\"name=apparmor"), offsetof(struct engine_facts, apparmor)},
        {VIEW("\"name=selinux"), offsetof(struct engine_facts, selinux)},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (view_starts_with(item, options[i].start)) {
            *(bool *)((char *)out + options[i].offset) = true;
        }
    }
}

/* ["Backing Filesystem","extfs"] */
static void on_storage_status(struct view item, void *arg)
{
    static const struct view name = VIEW("[\"Backing Filesystem\",");
    struct engine_facts *out = arg;
    if (!view_starts_with(item, name)) {
        return;
    }
    struct view rest = view_from(item, name.len);
    (void)view_cut(&rest, '"');
    keep(view_cut(&rest, '"'), out->file_system, sizeof out->file_system);
}

static void on_runtime(const struct json_member *member, void *arg)
{
    struct engine_facts *out = arg;
    add_word(out->runtimes, member->name);
}

static bool scan_lists(const struct info *info, struct engine_facts *out, struct err *err)
{
    return (info->security.len == 0 || json_scan_items(info->security, on_security, out, err)) &&
           (info->storage_status.len == 0 ||
            json_scan_items(info->storage_status, on_storage_status, out, err)) &&
           (info->runtimes.len == 0 || json_scan(info->runtimes, on_runtime, out, err));
}

bool facts_read_info(struct view body, struct engine_facts *out, struct err *err)
{
    struct info info;
    struct err why = {0};
    const struct json_schema schema = JSON_SCHEMA(info_fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(body, &schema, &info, NULL, &why);
    if (doc == NULL || !scan_lists(&info, out, &why)) {
        return err_set(err, ERR_UNAVAILABLE, "the engine's info can't be read: %s", why.message);
    }
    keep(info.version, out->version, sizeof out->version);
    keep(info.storage, out->storage, sizeof out->storage);
    keep(info.root_dir, out->root_dir, sizeof out->root_dir);
    keep(info.cgroup_version, out->cgroup_version, sizeof out->cgroup_version);
    out->live_restore = info.live_restore;
    out->memory_limit = info.memory_limit;
    out->swap_limit = info.swap_limit;
    out->cpu_limit = info.cpu_limit;
    out->pids_limit = info.pids_limit;
    return true;
}

static void on_component(struct view item, void *arg)
{
    struct component {
        struct view name;
        struct view version;
    } component;
    static const struct json_field fields[] = {
        JSON_STRING(struct component, name, "Name"),
        JSON_STRING(struct component, version, "Version"),
    };
    struct engine_facts *out = arg;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &schema, &component, NULL, &ignored);
    if (doc != NULL && view_equal(component.name, VIEW("runc"))) {
        keep(component.version, out->runc, sizeof out->runc);
    }
}

bool facts_read_version(struct view body, struct engine_facts *out, struct err *err)
{
    struct versions {
        struct view components;
    } versions;
    static const struct json_field fields[] = {
        JSON_ARRAY(struct versions, components, "Components", .nullable = true),
    };
    struct err why = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(body, &schema, &versions, NULL, &why);
    if (doc == NULL || (versions.components.len > 0 &&
                        !json_scan_items(versions.components, on_component, out, &why))) {
        return err_set(err, ERR_UNAVAILABLE, "the engine's version can't be read: %s", why.message);
    }
    return true;
}

/* False when there is no such file. */
static bool read_text(const char *root, const char *path, char text[FILE_TEXT_SIZE])
{
    char whole[PATH_MAX];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof whole) {
        return false;
    }
    AUTO(close_fd) int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : read(fd, text, FILE_TEXT_SIZE - 1);
    if (len < 0) {
        return false;
    }
    text[len] = '\0';
    return true;
}

static int64_t read_setting(const char *root, const char *path)
{
    char text[FILE_TEXT_SIZE];
    return read_text(root, path, text) ? strtoll(text, NULL, 10) : FACTS_UNKNOWN;
}

static bool exists(const char *root, const char *path)
{
    char whole[PATH_MAX];
    struct stat found;
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return length >= 0 && (size_t)length < sizeof whole && stat(whole, &found) == 0;
}

static void read_vulnerabilities(const char *root, struct host_facts *out)
{
    static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
    char path[PATH_MAX];
    char text[FILE_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "%s%s", root, folder);
    DIR *entries = opendir(path);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.' && read_text(root, path, text) &&
            view_starts_with(view_of(text), VIEW("Vulnerable"))) {
            add_word(out->vulnerabilities, view_of(entry->d_name));
        }
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
}

void facts_read_host(const char *root, struct host_facts *out)
{
    static const struct {
        const char *path;
        size_t offset;
    } settings[] = {
        {"/proc/sys/kernel/yama/ptrace_scope", offsetof(struct host_facts, ptrace_scope)},
        {"/proc/sys/kernel/kptr_restrict", offsetof(struct host_facts, kptr_restrict)},
        {"/proc/sys/kernel/dmesg_restrict", offsetof(struct host_facts, dmesg_restrict)},
        {"/proc/sys/kernel/unprivileged_bpf_disabled", offsetof(struct host_facts, bpf_disabled)},
        {"/proc/sys/kernel/perf_event_paranoid", offsetof(struct host_facts, perf_paranoid)},
        {"/proc/sys/user/max_user_namespaces", offsetof(struct host_facts, userns_max)},
        {"/proc/sys/fs/inotify/max_user_instances", offsetof(struct host_facts, inotify_instances)},
        {"/proc/sys/kernel/pty/max", offsetof(struct host_facts, terminals)},
    };
    char text[FILE_TEXT_SIZE];
    *out = (struct host_facts){0};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        int64_t value = read_setting(root, settings[i].path);
        memcpy((char *)out + settings[i].offset, &value, sizeof value);
    }
    out->has_core_pipe = read_text(root, "/proc/sys/kernel/core_pattern", text) && text[0] == '|';
    /* The first line is a heading. */
    out->has_swap = read_text(root, "/proc/swaps", text) && strchr(text, '\n') != NULL &&
                    strchr(text, '\n')[1] != '\0';
    out->has_lxcfs = exists(root, "/var/lib/lxcfs/proc/meminfo");
    out->has_iptables = exists(root, "/usr/sbin/iptables") || exists(root, "/sbin/iptables");
    out->has_nft = exists(root, "/usr/sbin/nft") || exists(root, "/sbin/nft");
    out->has_loop = exists(root, "/dev/loop-control");
    out->has_mkfs = exists(root, "/usr/sbin/mkfs.ext4") || exists(root, "/sbin/mkfs.ext4");
    out->has_kvm = exists(root, "/dev/kvm");
    read_vulnerabilities(root, out);
}

static bool is_below(const char *dir, const char *mount)
{
    size_t len = strlen(mount);
    return strcmp(mount, "/") == 0 ||
           (strncmp(dir, mount, len) == 0 && (dir[len] == '/' || dir[len] == '\0'));
}

void facts_read_mount(const char *root, const char *dir, struct host_facts *out)
{
    char path[PATH_MAX];
    size_t longest = 0;
    const struct mntent *entry;
    (void)snprintf(path, sizeof path, "%s/proc/self/mounts", root);
    FILE *table = setmntent(path, "r");
    while (table != NULL && (entry = getmntent(table)) != NULL) {
        size_t len = strlen(entry->mnt_dir);
        if (len >= longest && is_below(dir, entry->mnt_dir)) { /* the latest covers the others */
            longest = len;
            out->has_project_quota =
                hasmntopt(entry, "prjquota") != NULL || hasmntopt(entry, "pquota") != NULL;
        }
    }
    if (table != NULL) {
        (void)endmntent(table);
    }
}
