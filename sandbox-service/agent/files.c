#include "sandbox-service/agent/files.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/path.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

enum {
    LINKS_MAX = 16, /* dangling links that lead to each other */
    TEMP_RANDOM = 8,
    TEMP_NAME_SIZE = 40,
    NEW_FILE_MODE = 0644,
    NEW_FOLDER_MODE = 0755,
    KEPT_MODE_BITS = 0777, /* set-uid and set-gid are lost, as with any write */
    FD_LINK_SIZE = 64,
};

/* A path as the folder it lies in and its last name; points into the text it was cut from. */
struct place {
    char folder[PATH_SIZE];
    const char *name;
};

bool files_read(const char *path, const struct user *user, struct str *out, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    AUTO(close_fd) int fd = open_regular(path, O_RDONLY, NULL, err);
    bool succeeded = fd >= 0 && open_read_all(fd, out, err);
    acting_end(&acting);
    return succeeded;
}

static bool split(const char *path, struct place *out, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash[1] == '\0' || strcmp(slash, "/.") == 0 ||
        strcmp(slash, "/..") == 0) {
        (void)open_failed(err, EISDIR, path);
        return false;
    }
    size_t folder_len = slash == path ? 1 : (size_t)(slash - path);
    memcpy(out->folder, path, folder_len);
    out->folder[folder_len] = '\0';
    out->name = slash + 1;
    return true;
}

/* Like mkdir -p; false with errno. */
static bool make_folders(const char *folder)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s", folder);
    for (char *end = path; end != NULL;) {
        end = strchr(end + 1, '/');
        if (end != NULL) {
            *end = '\0';
        }
        if (mkdir(path, NEW_FOLDER_MODE) != 0 && errno != EEXIST) {
            return false;
        }
        if (end != NULL) {
            *end = '/';
        }
    }
    return true;
}

static int open_folder(const char *path, bool make)
{
    int fd = open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT && make && make_folders(path)) {
        fd = open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
    }
    return fd;
}

static bool write_all(int fd, struct view content, struct err *err)
{
    while (content.len > 0) {
        ssize_t wrote = write(fd, content.ptr, content.len);
        if (wrote < 0) {
            return open_failed(err, errno, "while writing");
        }
        content = view_from(content, (size_t)wrote);
    }
    return true;
}

/* What replace made of it. */
enum outcome {
    REPLACED,
    NOT_ALLOWED, /* no new names in this folder; nothing has changed */
    FAILED,      /* err says why; nothing has changed */
};

static bool is_refusal(int error_number)
{
    return error_number == EACCES || error_number == EPERM || error_number == EROFS;
}

static bool temp_name(char out[TEMP_NAME_SIZE], struct err *err)
{
    unsigned char random[TEMP_RANDOM];
    char hex[ENCODE_HEX_SIZE(TEMP_RANDOM)];
    if (!secret_random(random, sizeof random, err)) {
        return false;
    }
    encode_hex(random, sizeof random, hex);
    (void)snprintf(out, TEMP_NAME_SIZE, ".insien-%s.tmp", hex);
    return true;
}

/* Writes a new file beside name and moves it there. A move replaces a link, it never follows it. */
static enum outcome replace(int folder, const char *name, mode_t mode, struct view content,
                            struct err *err)
{
    char temp[TEMP_NAME_SIZE];
    if (!temp_name(temp, err)) {
        return FAILED;
    }
    AUTO(close_fd) int fd = open_at(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0) {
        int error_number = errno;
        open_failed(err, error_number, name);
        return is_refusal(error_number) ? NOT_ALLOWED : FAILED;
    }
    if (!write_all(fd, content, err)) {
        (void)unlinkat(folder, temp, 0);
        return FAILED;
    }
    /* The mode once more: creation went through the umask. */
    if (fchmod(fd, mode) != 0 || renameat(folder, temp, folder, name) != 0) {
        int error_number = errno;
        open_failed(err, error_number, name);
        (void)unlinkat(folder, temp, 0);
        return is_refusal(error_number) ? NOT_ALLOWED : FAILED;
    }
    return REPLACED;
}

static bool is_in_proc(int fd)
{
    struct statfs file_system;
    return fstatfs(fd, &file_system) != 0 || file_system.f_type == PROC_SUPER_MAGIC;
}

static bool rewrite(int fd, const char *path, struct view content, struct err *err)
{
    if (is_in_proc(fd)) {
        return open_failed(err, EACCES, path);
    }
    if (ftruncate(fd, 0) != 0) {
        return open_failed(err, errno, path);
    }
    return write_all(fd, content, err);
}

/* Where an open file lies, links resolved. False when it has no name any more. */
static bool place_of_open(int fd, const struct stat *status, struct place *place, char *path,
                          size_t path_size, int *folder)
{
    char link[FD_LINK_SIZE];
    struct err ignored;
    struct stat named;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, path_size - 1);
    if (len <= 0 || path[0] != '/') {
        return false;
    }
    path[len] = '\0';
    if (!split(path, place, &ignored)) {
        return false;
    }
    *folder = open_folder(place->folder, false);
    return *folder >= 0 && fstatat(*folder, place->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == status->st_ino && named.st_dev == status->st_dev;
}

static bool write_existing(int fd, const struct stat *status, const struct user *user,
                           const char *path, struct view content, struct err *err)
{
    char real_path[PATH_SIZE];
    struct place place;
    AUTO(close_fd) int folder = -1;
    if (status->st_uid == user->uid && status->st_gid == user->gid && status->st_nlink == 1 &&
        place_of_open(fd, status, &place, real_path, sizeof real_path, &folder)) {
        enum outcome outcome =
            replace(folder, place.name, status->st_mode & KEPT_MODE_BITS, content, err);
        if (outcome != NOT_ALLOWED) {
            return outcome == REPLACED;
        }
    }
    return rewrite(fd, path, content, err);
}

/* When place is a link that leads nowhere, puts what it names into path and returns true. */
static bool follow_link(int folder, const struct place *place, char path[PATH_SIZE])
{
    char target[PATH_SIZE];
    ssize_t len = readlinkat(folder, place->name, target, sizeof target - 1);
    if (len <= 0) {
        return false;
    }
    target[len] = '\0';
    char resolved[PATH_SIZE];
    const char *folder_path = target[0] == '/' ? "" : place->folder;
    int written = snprintf(resolved, sizeof resolved, "%s%s%s", folder_path,
                           target[0] == '/' ? "" : "/", target);
    if (written < 0 || (size_t)written >= sizeof resolved) {
        return false;
    }
    memcpy(path, resolved, sizeof resolved);
    return true;
}

static bool write_new(const char *path, struct view content, struct err *err)
{
    char current[PATH_SIZE];
    (void)snprintf(current, sizeof current, "%s", path);
    for (int links = 0; links < LINKS_MAX; links++) {
        struct place place;
        if (!split(current, &place, err)) {
            return false;
        }
        AUTO(close_fd) int folder = open_folder(place.folder, links == 0);
        if (folder < 0) {
            return open_failed(err, errno, path);
        }
        if (!follow_link(folder, &place, current)) {
            return replace(folder, place.name, NEW_FILE_MODE, content, err) == REPLACED;
        }
    }
    return open_failed(err, ELOOP, path);
}

static bool write_as_acting(const char *path, const struct user *user, struct view content,
                            struct err *err)
{
    struct stat status;
    struct err opening;
    AUTO(close_fd) int fd = open_regular(path, O_WRONLY, &status, &opening);
    if (fd >= 0) {
        return write_existing(fd, &status, user, path, content, err);
    }
    if (opening.code == ERR_NOT_FOUND) {
        return write_new(path, content, err);
    }
    *err = opening;
    return false;
}

bool files_write(const char *path, const struct user *user, struct view content, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    bool succeeded = write_as_acting(path, user, content, err);
    acting_end(&acting);
    return succeeded;
}
