#include "sandbox-service/agent/oom.h"

#include "common/base/cleanup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_SIZE = 1024 };

/* Of the second and the first version of control groups; both have a line "oom_kill N". */
static const char *const paths[] = {"/sys/fs/cgroup/memory.events",
                                    "/sys/fs/cgroup/memory/memory.oom_control"};

void oom_open(struct oom_counter *counter)
{
    counter->fd = -1;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && counter->fd < 0; i++) {
        counter->fd = open(paths[i], O_RDONLY | O_CLOEXEC);
    }
}

void oom_close(struct oom_counter *counter)
{
    close_fd(&counter->fd);
    counter->fd = -1;
}

int64_t oom_kills(const struct oom_counter *counter)
{
    static const char name[] = "\noom_kill ";
    char text[FILE_SIZE];
    ssize_t len = counter->fd < 0 ? -1 : pread(counter->fd, text, sizeof text - 1, 0);
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoll(line + sizeof name - 1, NULL, 10);
}
