#include "sandbox-service/agent/cgroup.h"

#include "common/base/cleanup.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_SIZE = 4096, /* memory.stat is the longest */
    MILLI = 1000,
};

/* The first version writes a limit that is none as the largest number of whole pages. */
static const int64_t no_limit_from = INT64_MAX / 2;

/* Where one number stands in one of the versions. */
struct source {
    const char *file;
    const char *key; /* of the line it stands on; NULL: it is all there is */
    int64_t divisor;
};

static const struct reading {
    size_t offset;
    struct source sources[2]; /* of the second and of the first version */
} readings[] = {
    {offsetof(struct cgroup_usage, memory_limit_bytes),
     {{"memory.max", NULL, 1}, {"memory/memory.limit_in_bytes", NULL, 1}}},
    {offsetof(struct cgroup_usage, memory_peak_bytes),
     {{"memory.peak", NULL, 1}, {"memory/memory.max_usage_in_bytes", NULL, 1}}},
    {offsetof(struct cgroup_usage, oom_kills),
     {{"memory.events", "oom_kill", 1}, {"memory/memory.oom_control", "oom_kill", 1}}},
    {offsetof(struct cgroup_usage, cpu_us),
     {{"cpu.stat", "usage_usec", 1}, {"cpuacct/cpuacct.usage", NULL, 1000}}},
    {offsetof(struct cgroup_usage, cpu_throttled_us),
     {{"cpu.stat", "throttled_usec", 1}, {"cpu/cpu.stat", "throttled_time", 1000}}},
    {offsetof(struct cgroup_usage, pids),
     {{"pids.current", NULL, 1}, {"pids/pids.current", NULL, 1}}},
    {offsetof(struct cgroup_usage, pids_limit),
     {{"pids.max", NULL, 1}, {"pids/pids.max", NULL, 1}}},
    {offsetof(struct cgroup_usage, pids_refused),
     {{"pids.events", "max", 1}, {"pids/pids.events", "max", 1}}},
};

static const struct source memory_now[2] = {{"memory.current", NULL, 1},
                                            {"memory/memory.usage_in_bytes", NULL, 1}};
static const struct source memory_to_spare[2] = {{"memory.stat", "inactive_file", 1},
                                                 {"memory/memory.stat", "total_inactive_file", 1}};

static bool read_text(const char *root, const char *file, char text[TEXT_SIZE])
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", root, file);
    if (length < 0 || (size_t)length >= sizeof path) {
        return false;
    }
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, TEXT_SIZE - 1);
    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    return true;
}

/* Behind the key at the beginning of a line; NULL when there is no such line. */
static const char *find_line(const char *text, const char *key)
{
    size_t len = strlen(key);
    while (strncmp(text, key, len) != 0 || text[len] != ' ') {
        text = strchr(text, '\n');
        if (text == NULL) {
            return NULL;
        }
        text++;
    }
    return text + len + 1;
}

/* -1 for words such as "max" and for what is below zero, which mean the same. */
static int64_t read_number(const char *text)
{
    if (!isdigit((unsigned char)*text)) {
        return -1;
    }
    unsigned long long value = strtoull(text, NULL, 10);
    return value >= (unsigned long long)no_limit_from ? -1 : (int64_t)value;
}

static int64_t read_source(const char *root, const struct source *source)
{
    char text[TEXT_SIZE];
    if (!read_text(root, source->file, text)) {
        return -1;
    }
    const char *at = source->key == NULL ? text : find_line(text, source->key);
    int64_t value = at == NULL ? -1 : read_number(at);
    return value < 0 ? -1 : value / source->divisor;
}

static int64_t read_either(const char *root, const struct source sources[2])
{
    int64_t value = read_source(root, &sources[0]);
    return value >= 0 ? value : read_source(root, &sources[1]);
}

static int64_t read_memory(const char *root)
{
    int64_t now = read_either(root, memory_now);
    int64_t spare = read_either(root, memory_to_spare);
    if (now < 0 || spare < 0) {
        return now;
    }
    return spare < now ? now - spare : 0;
}

/* "QUOTA PERIOD" in one file, or each in its own. */
static int64_t read_cpu_limit(const char *root)
{
    static const struct source quota_source = {"cpu/cpu.cfs_quota_us", NULL, 1};
    static const struct source period_source = {"cpu/cpu.cfs_period_us", NULL, 1};
    char text[TEXT_SIZE];
    int64_t quota;
    int64_t period;
    if (read_text(root, "cpu.max", text)) {
        const char *blank = strchr(text, ' ');
        quota = read_number(text);
        period = blank == NULL ? -1 : read_number(blank + 1);
    } else {
        quota = read_source(root, &quota_source);
        period = read_source(root, &period_source);
    }
    return quota < 0 || period <= 0 ? -1 : quota * MILLI / period;
}

void cgroup_read(const char *root, struct cgroup_usage *out)
{
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        int64_t value = read_either(root, readings[i].sources);
        memcpy((char *)out + readings[i].offset, &value, sizeof value);
    }
    out->memory_bytes = read_memory(root);
    out->cpu_limit_milli = read_cpu_limit(root);
}

int64_t cgroup_cpu_us(const char *root)
{
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        if (readings[i].offset == offsetof(struct cgroup_usage, cpu_us)) {
            return read_either(root, readings[i].sources);
        }
    }
    return -1;
}
