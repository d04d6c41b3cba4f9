/* sandbox-service/admin/facts.h: what a host and its engine are, as far as it matters to how well
 * sandboxes are kept in. */
#ifndef SANDBOX_ADMIN_FACTS_H
#define SANDBOX_ADMIN_FACTS_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    FACTS_TEXT_SIZE = 128,
    FACTS_LIST_SIZE = 512,
    FACTS_UNKNOWN = -1,
};

struct engine_facts {
    bool is_reachable;
    char problem[FACTS_LIST_SIZE]; /* why it is not */
    char version[FACTS_TEXT_SIZE];
    char runc[FACTS_TEXT_SIZE]; /* "" when it does not say */
    char storage[FACTS_TEXT_SIZE];
    char file_system[FACTS_TEXT_SIZE]; /* under the storage */
    char root_dir[FACTS_TEXT_SIZE];    /* of its data; "" when it does not say */
    char cgroup_version[FACTS_TEXT_SIZE];
    char runtimes[FACTS_LIST_SIZE]; /* names, each behind a blank */
    bool live_restore;
    bool userns;
    bool seccomp;
    bool apparmor;
    bool selinux;
    bool memory_limit;
    bool swap_limit;
    bool cpu_limit;
    bool pids_limit;
};

/* Numbers are FACTS_UNKNOWN where the kernel has no such setting. */
struct host_facts {
    int64_t ptrace_scope;
    int64_t kptr_restrict;
    int64_t dmesg_restrict;
    int64_t bpf_disabled;
    int64_t perf_paranoid;
    int64_t userns_max;
    int64_t inotify_instances;
    int64_t terminals;
    bool has_core_pipe; /* crashes are handed to a program of the host */
    bool has_swap;
    bool has_lxcfs;
    bool has_iptables;
    bool has_nft;
    bool has_loop;
    bool has_mkfs;
    bool has_project_quota; /* where the engine keeps its data */
    bool has_kvm;
    char vulnerabilities[FACTS_LIST_SIZE]; /* of the processor, unmitigated; each behind a blank */
};

struct facts {
    struct engine_facts engine;
    struct host_facts host;
};

/* Of GET /info; adds to what out has. ERR_UNAVAILABLE for what is no such thing. */
bool facts_read_info(struct view body, struct engine_facts *out, struct err *err) MUST_CHECK;
/* Of GET /version: the version of runc. */
bool facts_read_version(struct view body, struct engine_facts *out, struct err *err) MUST_CHECK;

/* root: "" but for tests: what stands before every path. */
void facts_read_host(const char *root, struct host_facts *out);
/* How dir is mounted, by the table of mounts of that root. */
void facts_read_mount(const char *root, const char *dir, struct host_facts *out);

#endif
