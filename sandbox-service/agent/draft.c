#include "sandbox-service/agent/draft.h"

#include "sandbox-service/agent/open.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

enum {
    LINKS_MAX = 16, /* dangling links that lead to each other */
    NEW_FILE_MODE = 0644,
    STAGED_MODE = 0600,
    KEPT_MODE_BITS = 0777, /* set-uid and set-gid are lost, as with any write */
    FD_LINK_SIZE = 64,
    POUR_PIECE = 64 * 1024,
    POUR_PIECES = 4, /* at once */
};

static bool is_refusal(int error_number)
{
    return error_number == EACCES || error_number == EPERM || error_number == EROFS;
}

static bool is_in_proc(int fd)
{
    struct statfs file_system;
    return fstatfs(fd, &file_system) != 0 || file_system.f_type == PROC_SUPER_MAGIC;
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

/* A new file in folder; false with errno. */
static bool make_temp(struct draft *draft, int folder, mode_t mode, struct err *err)
{
    if (!place_temp_name(draft->temp, err)) {
        errno = EIO;
        return false;
    }
    draft->fd = open_at(folder, draft->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (draft->fd < 0) {
        int error_number = errno;
        draft->temp[0] = '\0';
        open_failed(err, error_number, draft->name);
        errno = error_number;
    }
    return draft->fd >= 0;
}

/* Where an open file lies, links resolved. False when it has no name any more. */
static bool find_place(int fd, const struct stat *status, struct draft *draft)
{
    char link[FD_LINK_SIZE];
    char path[PATH_SIZE];
    struct place place;
    struct err ignored;
    struct stat named;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || path[0] != '/') {
        return false;
    }
    path[len] = '\0';
    if (!place_split(path, &place, &ignored) ||
        !view_copy(view_of(place.name), draft->name, sizeof draft->name)) {
        return false;
    }
    draft->folder = place_open_folder(place.folder, false);
    return draft->folder >= 0 &&
           fstatat(draft->folder, draft->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == status->st_ino && named.st_dev == status->st_dev;
}

static bool open_existing(struct draft *draft, const char *path, const struct user *user,
                          const struct stat *status, struct err *err)
{
    if (!draft->has_mode) {
        draft->mode = status->st_mode & KEPT_MODE_BITS;
    }
    if (is_in_proc(draft->target)) {
        return open_failed(err, EACCES, path);
    }
    draft->existed = true;
    if (status->st_uid != user->uid || status->st_gid != user->gid || status->st_nlink != 1 ||
        !find_place(draft->target, status, draft)) {
        return true;
    }
    if (!make_temp(draft, draft->folder, draft->mode, err)) {
        return is_refusal(errno); /* no new names here, but the file can be written */
    }
    /* A program that is open for writing can't be started. */
    close_fd(&draft->target);
    draft->target = -1;
    return true;
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

static bool open_new(struct draft *draft, const char *path, bool parents, struct err *err)
{
    char current[PATH_SIZE];
    (void)snprintf(current, sizeof current, "%s", path);
    for (int links = 0; links < LINKS_MAX; links++) {
        struct place place;
        if (!place_split(current, &place, err)) {
            return false;
        }
        AUTO(close_fd) int folder = place_open_folder(place.folder, parents && links == 0);
        if (folder < 0) {
            return open_failed(err, errno, path);
        }
        if (!follow_link(folder, &place, current)) {
            if (!view_copy(view_of(place.name), draft->name, sizeof draft->name)) {
                return open_failed(err, ENAMETOOLONG, path);
            }
            draft->folder = take_fd(&folder);
            return make_temp(draft, draft->folder, draft->mode, err);
        }
    }
    return open_failed(err, ELOOP, path);
}

bool draft_open(struct draft *draft, const char *path, const struct user *user,
                const struct draft_options *options, struct err *err)
{
    struct stat status;
    struct err opening;
    *draft = (struct draft){
        .fd = -1,
        .folder = -1,
        .mode = options->has_mode ? options->mode : NEW_FILE_MODE,
        .has_mode = options->has_mode,
    };
    bool opened = false;
    draft->target = open_regular(path, O_WRONLY, &status, &opening);
    if (draft->target >= 0) {
        opened = open_existing(draft, path, user, &status, err);
    } else if (opening.code == ERR_NOT_FOUND) {
        opened = open_new(draft, path, options->parents, err);
    } else {
        *err = opening;
    }
    if (!opened) {
        draft_close(draft);
    }
    return opened;
}

bool draft_stage(struct draft *draft, struct err *err)
{
    static const char *const folders[] = {"/tmp", "/var/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && draft->fd < 0; i++) {
        AUTO(close_fd) int folder = place_open_folder(folders[i], false);
        if (folder >= 0 && make_temp(draft, folder, STAGED_MODE, err)) {
            (void)unlinkat(folder, draft->temp, 0);
            draft->temp[0] = '\0';
        }
    }
    return draft->fd >= 0 || err_set_reason(err, ERR_DENIED, "permission_denied",
                                            "there is no folder in which a file could be made");
}

bool draft_write(const struct draft *draft, struct view bytes, struct err *err)
{
    return write_all(draft->fd, bytes, err);
}

/* The mode first: when that is refused, nothing has changed. */
static enum draft_end begin_pouring(struct draft *draft, struct err *err)
{
    if (draft->has_mode && fchmod(draft->target, draft->mode) != 0) {
        open_failed(err, errno, "setting the mode");
        return DRAFT_FAILED;
    }
    if (ftruncate(draft->target, 0) != 0) {
        open_failed(err, errno, "emptying the file");
        return DRAFT_FAILED;
    }
    return DRAFT_POUR;
}

static bool reopen_target(struct draft *draft)
{
    struct stat status;
    draft->target = open_at(draft->folder, draft->name, O_WRONLY | O_NOFOLLOW, 0);
    return draft->target >= 0 && fstat(draft->target, &status) == 0 && S_ISREG(status.st_mode);
}

enum draft_end draft_finish(struct draft *draft, struct err *err)
{
    if (draft->temp[0] == '\0') {
        return begin_pouring(draft, err);
    }
    /* The mode once more: creation went through the umask. A move replaces a link, it never follows
     * it. */
    if (fchmod(draft->fd, draft->mode) == 0 &&
        renameat(draft->folder, draft->temp, draft->folder, draft->name) == 0) {
        draft->temp[0] = '\0';
        return DRAFT_DONE;
    }
    int error_number = errno;
    /* Such as a file that is a mount of its own. */
    if (draft->existed && (is_refusal(error_number) || error_number == EBUSY) &&
        reopen_target(draft)) {
        return begin_pouring(draft, err);
    }
    open_failed(err, error_number, draft->name);
    return DRAFT_FAILED;
}

enum draft_end draft_pour(struct draft *draft, struct err *err)
{
    char piece[POUR_PIECE];
    for (int i = 0; i < POUR_PIECES; i++) {
        ssize_t got = pread(draft->fd, piece, sizeof piece, draft->poured);
        if (got < 0) {
            open_failed(err, errno, "while reading");
            return DRAFT_FAILED;
        }
        if (got == 0) {
            return DRAFT_DONE;
        }
        if (!write_all(draft->target, (struct view){piece, (size_t)got}, err)) {
            return DRAFT_FAILED;
        }
        draft->poured += got;
    }
    return DRAFT_POUR;
}

bool draft_rewrite(const struct draft *draft, struct view content, struct err *err)
{
    if (draft->has_mode && fchmod(draft->target, draft->mode) != 0) {
        return open_failed(err, errno, "setting the mode");
    }
    if (ftruncate(draft->target, 0) != 0) {
        return open_failed(err, errno, "emptying the file");
    }
    return write_all(draft->target, content, err);
}

void draft_close(struct draft *draft)
{
    if (draft->temp[0] != '\0') {
        (void)unlinkat(draft->folder, draft->temp, 0);
        draft->temp[0] = '\0';
    }
    close_fd(&draft->fd);
    close_fd(&draft->folder);
    close_fd(&draft->target);
    draft->fd = draft->folder = draft->target = -1;
}
