#include "sandbox-service/agent/group.h"

#include "common/base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_TEXT_SIZE = 32, STAT_TEXT_SIZE = 512 };

/* The group of a process; 0 when it can't be known. */
static pid_t group_of(pid_t pid)
{
    char path[PATH_TEXT_SIZE];
    char text[STAT_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%" PRIdMAX "/stat", (intmax_t)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close_fd(&fd);
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    /* "pid (name) state parent group ...": the name may hold anything. */
    char *at = strrchr(text, ')');
    if (at == NULL || strlen(at) < sizeof ") S ") {
        return 0;
    }
    at += sizeof ") S " - 1;
    (void)strtol(at, &at, 10);
    return (pid_t)strtol(at, NULL, 10);
}

void group_kill_others(pid_t leader)
{
    DIR *folder = opendir("/proc");
    if (folder == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        bool is_number = isdigit((unsigned char)entry->d_name[0]) != 0;
        pid_t pid = is_number ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 1 && pid != leader && group_of(pid) == leader) {
            (void)kill(pid, SIGKILL);
        }
    }
    (void)closedir(folder);
}

void group_kill_everybody(void)
{
    if (getpid() == 1) {
        (void)kill(-1, SIGKILL); /* or there is nobody */
    }
}
