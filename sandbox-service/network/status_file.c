#include "sandbox-service/network/status_file.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void status_file_path(const char *run_dir, const char *name, char out[STATUS_PATH_SIZE])
{
    (void)snprintf(out, STATUS_PATH_SIZE, "%s/%s", run_dir, name);
}

void status_file_write(const char *run_dir, const char *name, const char *text)
{
    char path[STATUS_PATH_SIZE];
    char part[STATUS_PATH_SIZE + sizeof ".part"];
    size_t len = strlen(text);
    status_file_path(run_dir, name, path);
    (void)snprintf(part, sizeof part, "%s.part", path);
    AUTO(close_fd) int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || fchmod(fd, 0644) != 0 || write(fd, text, len) != (ssize_t)len ||
        rename(part, path) != 0) {
        log_warn("network.status_not_written", LOG_STR("path", path));
    }
}
