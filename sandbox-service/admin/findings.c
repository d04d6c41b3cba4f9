#include "sandbox-service/admin/findings.h"

#include "sandbox-service/docker/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INOTIFY_WANTED = 1024, TERMINALS_WANTED = 8192 };

static const char engine_wanted[] = "20.10.0";

static enum severity say(char *detail, enum severity severity, const char *text)
{
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "%s", text);
    return severity;
}

static enum severity need(char *detail, bool is_there, enum severity otherwise, const char *yes,
                          const char *no)
{
    return is_there ? say(detail, SEVERITY_OK, yes) : say(detail, otherwise, no);
}

static enum severity look_engine(const struct facts *facts, char *detail)
{
    const struct engine_facts *engine = &facts->engine;
    if (!engine->is_reachable) {
        (void)snprintf(detail, FINDING_DETAIL_SIZE, "the engine does not answer: %.256s",
                       engine->problem);
        return SEVERITY_BAD;
    }
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "version %s", engine->version);
    return version_is_before(engine->version, engine_wanted) ? SEVERITY_BAD : SEVERITY_OK;
}

static enum severity look_runc(const struct facts *facts, char *detail)
{
    const char *version = facts->engine.runc;
    const struct runc_flaw *flaw = runc_find_flaw(version);
    if (version[0] == '\0') {
        return say(detail, SEVERITY_NOTE, "the engine does not tell the version of runc");
    }
    if (flaw == NULL) {
        (void)snprintf(detail, FINDING_DETAIL_SIZE, "version %s", version);
        return SEVERITY_OK;
    }
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "version %s; %s has not the flaw %s", version,
                   flaw->mended, flaw->id);
    return flaw->is_way_out && !runc_may_be_mended(version) ? SEVERITY_BAD : SEVERITY_WARNING;
}

static enum severity look_userns(const struct facts *facts, char *detail)
{
    return need(detail, facts->engine.userns, SEVERITY_WARNING, "root inside is nobody outside",
                "root inside a container is root of the host");
}

static enum severity look_seccomp(const struct facts *facts, char *detail)
{
    return need(detail, facts->engine.seccomp, SEVERITY_BAD, "system calls are filtered",
                "the engine can't filter system calls");
}

static enum severity look_mandatory(const struct facts *facts, char *detail)
{
    bool is_there = facts->engine.apparmor || facts->engine.selinux;
    return need(detail, is_there, SEVERITY_NOTE, "AppArmor or SELinux is on",
                "neither AppArmor nor SELinux is on");
}

static enum severity look_limits(const struct facts *facts, char *detail)
{
    const struct engine_facts *engine = &facts->engine;
    (void)snprintf(detail, FINDING_DETAIL_SIZE,
                   "can be limited: memory %s, processors %s, processes %s",
                   engine->memory_limit ? "yes" : "NO", engine->cpu_limit ? "yes" : "NO",
                   engine->pids_limit ? "yes" : "NO");
    bool has_all = engine->memory_limit && engine->cpu_limit && engine->pids_limit;
    return has_all ? SEVERITY_OK : SEVERITY_BAD;
}

static enum severity look_swap(const struct facts *facts, char *detail)
{
    if (!facts->host.has_swap) {
        return say(detail, SEVERITY_OK, "there is none");
    }
    return need(detail, facts->engine.swap_limit, SEVERITY_WARNING,
                "there is some, and it is limited",
                "there is some, and what a sandbox takes of it can't be limited");
}

static enum severity look_live_restore(const struct facts *facts, char *detail)
{
    return need(detail, facts->engine.live_restore, SEVERITY_WARNING,
                "sandboxes outlive a restart of the engine",
                "a restart of the engine ends every sandbox");
}

static enum severity look_disk(const struct facts *facts, char *detail)
{
    const struct engine_facts *engine = &facts->engine;
    bool is_limited = strcmp(engine->storage, "btrfs") == 0 ||
                      strcmp(engine->storage, "zfs") == 0 ||
                      (strcmp(engine->storage, "overlay2") == 0 &&
                       strcmp(engine->file_system, "xfs") == 0 && facts->host.has_project_quota);
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "%s on %s, %s a quota for each container",
                   engine->storage,
                   engine->file_system[0] == '\0' ? "an unknown file system" : engine->file_system,
                   is_limited ? "with" : "without");
    return is_limited ? SEVERITY_OK : SEVERITY_WARNING;
}

static enum severity look_runtime(const struct facts *facts, char *detail)
{
    const struct engine_facts *engine = &facts->engine;
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "registered:%.256s", engine->runtimes);
    return strstr(engine->runtimes, " runsc") != NULL ? SEVERITY_OK : SEVERITY_NOTE;
}

static enum severity look_firewall(const struct facts *facts, char *detail)
{
    return need(detail, facts->host.has_iptables, SEVERITY_BAD, "iptables is there",
                "there is no iptables");
}

static enum severity look_allow_lists(const struct facts *facts, char *detail)
{
    return need(detail, facts->host.has_nft, SEVERITY_NOTE, "nftables are there",
                "there are no nftables");
}

static enum severity look_volumes(const struct facts *facts, char *detail)
{
    return need(detail, facts->host.has_loop && facts->host.has_mkfs, SEVERITY_NOTE,
                "there are loop devices and mkfs.ext4",
                facts->host.has_loop ? "there is no mkfs.ext4" : "there are no loop devices");
}

static enum severity look_core(const struct facts *facts, char *detail)
{
    return need(detail, !facts->host.has_core_pipe, SEVERITY_WARNING,
                "crashes inside start nothing outside",
                "crashes inside are handed to a program outside, which runs as root");
}

static enum severity look_processor(const struct facts *facts, char *detail)
{
    const char *list = facts->host.vulnerabilities;
    if (list[0] == '\0') {
        return say(detail, SEVERITY_OK, "no flaw that the kernel knows is open");
    }
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "open:%.256s", list);
    return SEVERITY_WARNING;
}

/* A setting that has to be at least so much. */
static enum severity at_least(char *detail, const char *name, int64_t value, int64_t wanted,
                              enum severity otherwise)
{
    if (value == FACTS_UNKNOWN) {
        (void)snprintf(detail, FINDING_DETAIL_SIZE, "this kernel has no %s", name);
        return SEVERITY_NOTE;
    }
    (void)snprintf(detail, FINDING_DETAIL_SIZE, "%s is %" PRId64 "%s%" PRId64, name, value,
                   value < wanted ? "; wanted: " : ", of ", wanted);
    return value < wanted ? otherwise : SEVERITY_OK;
}

static enum severity look_pointers(const struct facts *facts, char *detail)
{
    return at_least(detail, "kernel.kptr_restrict", facts->host.kptr_restrict, 1, SEVERITY_WARNING);
}

static enum severity look_messages(const struct facts *facts, char *detail)
{
    return at_least(detail, "kernel.dmesg_restrict", facts->host.dmesg_restrict, 1,
                    SEVERITY_WARNING);
}

static enum severity look_bpf(const struct facts *facts, char *detail)
{
    return at_least(detail, "kernel.unprivileged_bpf_disabled", facts->host.bpf_disabled, 1,
                    SEVERITY_WARNING);
}

static enum severity look_inotify(const struct facts *facts, char *detail)
{
    return at_least(detail, "fs.inotify.max_user_instances", facts->host.inotify_instances,
                    INOTIFY_WANTED, SEVERITY_WARNING);
}

static enum severity look_terminals(const struct facts *facts, char *detail)
{
    return at_least(detail, "kernel.pty.max", facts->host.terminals, TERMINALS_WANTED,
                    SEVERITY_WARNING);
}

static enum severity look_truth(const struct facts *facts, char *detail)
{
    return need(detail, facts->host.has_lxcfs, SEVERITY_NOTE, "lxcfs is there",
                "there is no lxcfs");
}

static const struct check {
    const char *name;
    bool needs_engine;
    enum severity (*look)(const struct facts *facts, char *detail);
    const char *why;
    const char *remedy;
} checks[] = {
    {"engine", false, look_engine, "Without an engine there are no sandboxes.",
     "Start Docker (20.10 or later), and see that DOCKER_HOST names its socket."},
    {"runc", true, look_runc,
     "Older versions have known flaws by which a container takes over the host.",
     "Update runc; of a distribution's version see in its changelog that the flaw is mended."},
    {"user-namespaces", true, look_userns,
     "Whoever gets out of a sandbox through a flaw of the kernel or of runc is root of the host.",
     "Set \"userns-remap\": \"default\" in /etc/docker/daemon.json and restart the engine (images "
     "have to be made again)."},
    {"seccomp", true, look_seccomp, "Every system call of the kernel is within reach of strangers.",
     "Use a kernel with CONFIG_SECCOMP_FILTER and an engine built with seccomp."},
    {"mandatory-access", true, look_mandatory,
     "One layer less stands between a mistake elsewhere and the host.",
     "Use a kernel with AppArmor (Debian's has it on) or SELinux."},
    {"limits", true, look_limits, "One sandbox can take everything from all others.",
     "Turn on the memory, cpu and pids controllers of the control groups."},
    {"swap", true, look_swap, "A sandbox over its memory slows the whole host instead of ending.",
     "Turn swap off, or boot with swapaccount=1."},
    {"live-restore", true, look_live_restore, "An update of the engine is an outage for everybody.",
     "Set \"live-restore\": true in /etc/docker/daemon.json and send dockerd a SIGHUP."},
    {"disk-quota", true, look_disk,
     "What a sandbox writes is measured now and then instead; files without a name are not seen, "
     "so "
     "who means to can fill the disk.",
     "Keep the engine's data on btrfs, or on xfs mounted with pquota."},
    {"runtimes", true, look_runtime,
     "All sandboxes share the host's kernel; gVisor would stand in between where that is wanted.",
     "Install runsc and register it under \"runtimes\" in /etc/docker/daemon.json."},
    {"firewall", false, look_firewall,
     "What keeps sandboxes with a network from the host and its neighbours can't be set up.",
     "Install iptables."},
    {"allow-lists", false, look_allow_lists,
     "Sandboxes that may reach some names and addresses and nothing else can't be made.",
     "Install nftables."},
    {"volumes", false, look_volumes, "Volumes can't be given a size that holds, so there are none.",
     "Use a kernel with loop devices (modprobe loop), and install e2fsprogs."},
    {"core-pattern", false, look_core,
     "A tenant chooses what that program reads; flaws in such programs gave root before.",
     "sysctl kernel.core_pattern=core"},
    {"processor", false, look_processor, "A sandbox may read memory that is not its own.",
     "Update the microcode and the kernel, and boot without mitigations=off."},
    {"kernel-pointers", false, look_pointers, "Addresses in the kernel make its flaws usable.",
     "sysctl kernel.kptr_restrict=1"},
    {"kernel-messages", false, look_messages,
     "What the kernel says of other sandboxes and of itself can be read.",
     "sysctl kernel.dmesg_restrict=1"},
    {"bpf", false, look_bpf, "Flaws in the checker of BPF programs are within reach.",
     "sysctl kernel.unprivileged_bpf_disabled=1"},
    {"inotify", false, look_inotify, "One sandbox can use up what all share.",
     "sysctl fs.inotify.max_user_instances=65536"},
    {"terminals", false, look_terminals, "One sandbox can use up what all share.",
     "sysctl kernel.pty.max=65536"},
    {"truth-inside", false, look_truth,
     "Programs inside see the host's memory and processors and plan for those.", "Install lxcfs."},
};

enum severity findings_each(const struct facts *facts, finding_fn *on_finding, void *arg)
{
    enum severity worst = SEVERITY_OK;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        const struct check *check = &checks[i];
        struct finding finding = {.name = check->name, .why = check->why, .remedy = check->remedy};
        if (check->needs_engine && !facts->engine.is_reachable) {
            continue;
        }
        finding.severity = check->look(facts, finding.detail);
        worst = finding.severity > worst ? finding.severity : worst;
        on_finding(&finding, arg);
    }
    return worst;
}

void finding_write(const struct finding *finding, struct str *out)
{
    static const char *const words[] = {"ok", "note", "WARNING", "BAD"};
    str_appendf(out, "%-8s %-16s %s\n", words[finding->severity], finding->name, finding->detail);
    if (finding->severity != SEVERITY_OK) {
        str_appendf(out, "%25s %s\n%25s Do: %s\n", "", finding->why, "", finding->remedy);
    }
}
