#include "sandbox-service/agent/usage.h"

#include "common/base/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PATH_TEXT_SIZE = 32,
    STAT_TEXT_SIZE = 1024,
    MS_PER_S = 1000,
    /* Fields behind the name, from 0. */
    FIELD_USER_TICKS = 11,
    FIELD_SYSTEM_TICKS = 12,
    FIELD_RESIDENT_PAGES = 21,
    FIELDS = 22,
};

bool usage_parse(const char *stat_text, int64_t page_bytes, int64_t ticks_per_s, struct usage *out)
{
    int64_t fields[FIELDS] = {0};
    /* The name is the process's own choice and may hold anything. */
    const char *at = strrchr(stat_text, ')');
    if (at == NULL || ticks_per_s <= 0) {
        return false;
    }
    at++;
    for (int i = 0; i < FIELDS; i++) {
        at += strspn(at, " ");
        size_t len = strcspn(at, " ");
        if (len == 0) {
            return false;
        }
        fields[i] = strtoll(at, NULL, 10); /* the first one is a letter: 0 */
        at += len;
    }
    out->cpu_ms = (fields[FIELD_USER_TICKS] + fields[FIELD_SYSTEM_TICKS]) * MS_PER_S / ticks_per_s;
    out->memory_bytes = fields[FIELD_RESIDENT_PAGES] * page_bytes;
    return true;
}

bool usage_read(pid_t pid, struct usage *out)
{
    char path[PATH_TEXT_SIZE];
    char text[STAT_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%" PRIdMAX "/stat", (intmax_t)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close_fd(&fd);
    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    return usage_parse(text, sysconf(_SC_PAGESIZE), sysconf(_SC_CLK_TCK), out);
}
