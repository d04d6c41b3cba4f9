#include "sandbox-service/agent/tools/beneath.h"

#include "common/base/view.h"
#include "sandbox-service/agent/path.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *or_itself(const char *path)
{
    return path[0] == '\0' ? "." : path;
}

int beneath_open(int folder, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_DIRECTORY | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, folder, or_itself(path), &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
        return beneath_open_stepwise(folder, path, flags);
    }
    return (int)fd;
}

/* Of a link the kernel says ENOTDIR here, as of a file. */
static int open_one(int folder, const char *name, int flags)
{
    struct stat status;
    int fd = openat(folder, name, flags | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOTDIR) {
        bool is_link =
            fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
        errno = is_link ? ELOOP : ENOTDIR;
    }
    return fd;
}

int beneath_open_stepwise(int folder, const char *path, int flags)
{
    AUTO(close_fd) int held = -1;
    struct view rest = view_of(or_itself(path));
    for (;;) {
        char name[PATH_COMPONENT_MAX + 1];
        struct view component = view_cut(&rest, '/');
        int at = held >= 0 ? held : folder;
        if (!view_copy(component, name, sizeof name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (strcmp(name, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        if (rest.len == 0) {
            return open_one(at, name, flags);
        }
        int next = open_one(at, name, O_PATH);
        if (next < 0) {
            return -1;
        }
        close_fd(&held);
        held = next;
    }
}

int beneath_open_parent(int folder, const char *path, const char **name)
{
    char parent[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    struct view above = {path, slash == NULL ? 0 : (size_t)(slash - path)};
    *name = slash == NULL ? path : slash + 1;
    if (!view_copy(above, parent, sizeof parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return beneath_open(folder, parent, O_PATH);
}
