#include "sandbox-service/agent/open.h"

#include "sandbox-service/agent/path.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum {
    READ_CHUNK = 64 * 1024,
    FD_LINK_SIZE = 64,
    OWN_PREFIX_SIZE = 32,
};

static const struct {
    int error_number;
    enum err_code code;
    const char *reason;
    const char *sentence;
} failures[] = {
    {ENOENT, ERR_NOT_FOUND, "file_not_found", "no such file"},
    {ENOTDIR, ERR_INVALID, "not_a_directory", "a part of the path is not a directory"},
    {EISDIR, ERR_INVALID, "is_a_directory", "this is a directory"},
    {EACCES, ERR_DENIED, "permission_denied", "permission denied"},
    {EPERM, ERR_DENIED, "permission_denied", "operation not permitted"},
    {EROFS, ERR_DENIED, "permission_denied", "the file system is read-only"},
    {ELOOP, ERR_INVALID, "not_a_file", "too many links, or a link that is not followed"},
    {ENXIO, ERR_INVALID, "not_a_file", "this is no regular file"},
    {ENODEV, ERR_INVALID, "not_a_file", "this is no regular file"},
    {EINVAL, ERR_INVALID, "not_a_file", "this file can't be used so"},
    {EIO, ERR_INVALID, "not_a_file", "this file can't be used so"},
    {EEXIST, ERR_CONFLICT, "file_exists", "there is something by this name"},
    {ENOTEMPTY, ERR_CONFLICT, "directory_not_empty", "the directory is not empty"},
    {EXDEV, ERR_INVALID, "cross_device", "these are two file systems"},
    {EBUSY, ERR_CONFLICT, "file_busy", "the system uses this"},
    {EMFILE, ERR_LIMIT, "busy", "too many files are open"},
    {ENFILE, ERR_LIMIT, "busy", "too many files are open"},
    {ENAMETOOLONG, ERR_INVALID, "invalid_path", "the path is too long"},
    {ENOSPC, ERR_LIMIT, "no_space", "no space left"},
    {EDQUOT, ERR_LIMIT, "no_space", "no space left"},
    {EFBIG, ERR_LIMIT, "no_space", "no space left"},
    {EAGAIN, ERR_CONFLICT, "file_busy", "somebody holds a lease on the file"},
    {ETXTBSY, ERR_CONFLICT, "file_busy", "the program is running"},
};

bool open_failed(struct err *err, int error_number, const char *path)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        if (failures[i].error_number == error_number) {
            return err_set_reason(err, failures[i].code, failures[i].reason, "%s: %s",
                                  failures[i].sentence, path);
        }
    }
    return err_set(err, ERR_INTERNAL, "errno %d: %s", error_number, path);
}

int open_at(int folder, const char *path, int flags, mode_t mode)
{
    /* O_PATH takes no other file flags. */
    int added = (flags & O_PATH) != 0 ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct open_how how = {
        .flags = (unsigned)(flags | added), .mode = mode, .resolve = RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd < 0 && errno == ENOSYS) {
        fd = openat(folder, path, flags | added, mode);
    }
    return (int)fd;
}

/* The same, name by name, for kernels without openat2. */
static int walk_beneath(int root, const char *path, int flags)
{
    char name[PATH_COMPONENT_MAX + 1];
    AUTO(close_fd) int folder = -1;
    struct view rest = view_of(path);
    for (;;) {
        struct view first = view_cut(&rest, '/');
        if (view_equal(first, VIEW("..")) || !view_copy(first, name, sizeof name)) {
            errno = EXDEV;
            return -1;
        }
        int parent = folder >= 0 ? folder : root;
        int wanted = rest.len == 0 ? flags : O_PATH | O_DIRECTORY;
        int fd = openat(parent, name, wanted | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || rest.len == 0) {
            return fd;
        }
        close_fd(&folder);
        folder = fd;
    }
}

int open_beneath(int root, const char *path, int flags)
{
    int added = (flags & O_PATH) != 0 ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    struct open_how how = {.flags = (unsigned)(flags | added),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd < 0 && errno == ENOSYS ? walk_beneath(root, path, flags | added) : (int)fd;
}

/* The kernel lets a process at its own memory, environment and descriptors in /proc whatever
 * rights it has put on; a tenant who names /proc/self to the agent means itself, not the agent. */
bool open_is_our_own(int fd)
{
    struct statfs file_system;
    char link[FD_LINK_SIZE];
    char path[PATH_MAX];
    char own[OWN_PREFIX_SIZE];
    if (fstatfs(fd, &file_system) != 0) {
        return true;
    }
    if (file_system.f_type != PROC_SUPER_MAGIC) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own_len = snprintf(own, sizeof own, "/proc/%d/", (int)getpid());
    ssize_t len = readlink(link, path, sizeof path);
    return len < own_len || strncmp(path, own, (size_t)own_len) == 0;
}

static bool check_regular(int fd, const char *path, struct stat *stat_out, struct err *err)
{
    if (fstat(fd, stat_out) != 0) {
        return open_failed(err, errno, path);
    }
    if (S_ISDIR(stat_out->st_mode)) {
        return open_failed(err, EISDIR, path);
    }
    if (!S_ISREG(stat_out->st_mode)) {
        return open_failed(err, ENXIO, path);
    }
    return !open_is_our_own(fd) || open_failed(err, EACCES, path);
}

int open_regular(const char *path, int flags, struct stat *stat_out, struct err *err)
{
    struct stat status;
    int fd = open_at(AT_FDCWD, path, flags, 0);
    if (fd < 0) {
        open_failed(err, errno, path);
        return -1;
    }
    if (!check_regular(fd, path, &status, err)) {
        (void)close(fd);
        return -1;
    }
    if (stat_out != NULL) {
        *stat_out = status;
    }
    return fd;
}

/* One byte over the ceiling is asked for, so that a file of just that size is told from a longer
 * one. */
bool open_read_all(int fd, struct str *out, struct err *err)
{
    for (;;) {
        char one_more;
        size_t room = out->ceiling - out->len;
        size_t chunk = room < READ_CHUNK ? room : READ_CHUNK;
        char *end = chunk == 0 ? &one_more : str_reserve(out, chunk);
        if (end == NULL) {
            return err_set(err, ERR_INTERNAL, "reading: out of memory");
        }
        ssize_t got = read(fd, end, chunk == 0 ? 1 : chunk);
        if (got < 0) {
            return open_failed(err, errno, "while reading");
        }
        if (got == 0) {
            return true;
        }
        if (chunk == 0) {
            return err_set_reason(err, ERR_LIMIT, "file_too_large",
                                  "the file has more than %zu bytes", out->ceiling);
        }
        str_advance(out, (size_t)got);
    }
}
