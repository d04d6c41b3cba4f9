#include "common/base/clock.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/place.h"
#include "sandbox-service/agent/trees.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIECE = 64 * 1024,
    KEPT_MODE_BITS = 01777,
    UNFINISHED_FOLDER_MODE = 0700,
    UNFINISHED_FILE_MODE = 0600,
};

enum phase {
    PHASE_COPY,   /* under a name of our own, beside where it will be */
    PHASE_REMOVE, /* of a move: what was copied */
    PHASE_CLEAN,  /* it failed: the unfinished copy */
};

/* A folder that is being made: its mode comes when all is in it. */
struct made_folder {
    int fd;
    mode_t mode;
};

struct copying {
    struct chore chore;
    struct trees *all;
    struct reply reply;
    struct user user;
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    bool overwrite, recursive, is_move;
    enum phase phase;
    struct walk walk;
    int from_folder;
    char from_name[PATH_COMPONENT_MAX + 1];
    int folder; /* where it will be, as name */
    char name[PATH_COMPONENT_MAX + 1];
    char temp[PLACE_TEMP_SIZE];
    struct made_folder made[WALK_DEPTH_MAX]; /* those that are entered */
    size_t depth;
    dev_t root_device; /* of made[0]: met in the source, it is a copy into itself */
    ino_t root_inode;
    int in, out;    /* the file that is being copied */
    mode_t mode;    /* of it */
    struct err err; /* why it is cleaned up */
};

static void close_file(struct copying *copying)
{
    close_fd(&copying->in);
    close_fd(&copying->out);
    copying->in = copying->out = -1;
}

static void close_made(struct copying *copying)
{
    close_file(copying);
    while (copying->depth > 0) {
        close_fd(&copying->made[--copying->depth].fd);
    }
}

static void free_copying(void *object)
{
    struct copying *copying = object;
    close_made(copying);
    walk_close(&copying->walk);
    close_fd(&copying->from_folder);
    close_fd(&copying->folder);
    trees_leave(copying->all);
    free(copying);
}

/* Where the thing of a step goes: a folder, and the name in it. */
static int destination(const struct copying *copying, const struct walk_step *step,
                       const char **name)
{
    *name = step->depth == 0 ? copying->temp : step->name;
    return step->depth == 0 ? copying->folder : copying->made[step->depth - 1].fd;
}

/* Whether a folder of the source may be copied. */
static bool check_folder(const struct copying *copying, const struct walk_step *step,
                         const struct stat *status, struct err *err)
{
    if (!copying->recursive) {
        return open_failed(err, EISDIR, copying->from);
    }
    if (copying->depth > 0 && status->st_dev == copying->root_device &&
        status->st_ino == copying->root_inode) {
        return err_set_reason(err, ERR_INVALID, "invalid_path",
                              "a directory can't be copied into itself");
    }
    return !open_is_our_own(step->fd) || open_failed(err, EACCES, step->name);
}

static bool enter_folder(struct copying *copying, const struct walk_step *step, struct err *err)
{
    const char *name = NULL;
    int folder = destination(copying, step, &name);
    struct stat status;
    struct stat made;
    if (fstat(step->fd, &status) != 0) {
        return open_failed(err, errno, step->name);
    }
    if (!check_folder(copying, step, &status, err)) {
        return false;
    }
    if (mkdirat(folder, name, UNFINISHED_FOLDER_MODE) != 0) {
        return open_failed(err, errno, copying->to);
    }
    AUTO(close_fd)
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &made) != 0) {
        return open_failed(err, errno, copying->to);
    }
    if (copying->depth == 0) {
        copying->root_device = made.st_dev;
        copying->root_inode = made.st_ino;
    }
    copying->made[copying->depth++] =
        (struct made_folder){take_fd(&fd), status.st_mode & KEPT_MODE_BITS};
    return true;
}

static bool leave_folder(struct copying *copying, struct err *err)
{
    struct made_folder *made = &copying->made[--copying->depth];
    bool succeeded = fchmod(made->fd, made->mode) == 0 || open_failed(err, errno, copying->to);
    close_fd(&made->fd);
    return succeeded;
}

static bool begin_file(struct copying *copying, const struct walk_step *step, struct err *err)
{
    const char *name = NULL;
    int folder = destination(copying, step, &name);
    struct stat status;
    copying->in =
        openat(step->folder, step->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (copying->in < 0 || fstat(copying->in, &status) != 0) {
        return open_failed(err, errno, step->name);
    }
    if (!S_ISREG(status.st_mode)) {
        return open_failed(err, ENXIO, step->name);
    }
    if (open_is_our_own(copying->in)) {
        return open_failed(err, EACCES, step->name);
    }
    copying->mode = status.st_mode & KEPT_MODE_BITS;
    copying->out = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          UNFINISHED_FILE_MODE);
    return copying->out >= 0 || open_failed(err, errno, copying->to);
}

/* One piece of the file that is being copied. */
static bool copy_piece(struct copying *copying, struct err *err)
{
    char piece[PIECE];
    ssize_t got = read(copying->in, piece, sizeof piece);
    if (got < 0) {
        return open_failed(err, errno, "while reading");
    }
    for (ssize_t at = 0; at < got;) {
        ssize_t wrote = write(copying->out, piece + at, (size_t)(got - at));
        if (wrote < 0) {
            return open_failed(err, errno, copying->to);
        }
        at += wrote;
    }
    if (got == 0) {
        if (fchmod(copying->out, copying->mode) != 0) {
            return open_failed(err, errno, copying->to);
        }
        close_file(copying);
    }
    return true;
}

static bool copy_link(const struct copying *copying, const struct walk_step *step, struct err *err)
{
    const char *name = NULL;
    int folder = destination(copying, step, &name);
    char target[PATH_SIZE];
    ssize_t len = readlinkat(step->folder, step->name, target, sizeof target - 1);
    if (len < 0) {
        return open_failed(err, errno, step->name);
    }
    target[len] = '\0';
    return symlinkat(target, folder, name) == 0 || open_failed(err, errno, copying->to);
}

static bool copy_item(struct copying *copying, const struct walk_step *step, struct err *err)
{
    const char *name = NULL;
    int folder = destination(copying, step, &name);
    struct stat status;
    if (fstatat(step->folder, step->name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return open_failed(err, errno, step->name);
    }
    switch (status.st_mode & S_IFMT) {
    case S_IFREG:
        return begin_file(copying, step, err);
    case S_IFLNK:
        return copy_link(copying, step, err);
    case S_IFIFO:
    case S_IFSOCK:
        return mknodat(folder, name, status.st_mode & (S_IFMT | KEPT_MODE_BITS), 0) == 0 ||
               open_failed(err, errno, copying->to);
    default:
        return open_failed(err, ENXIO, step->name);
    }
}

/* Without overwrite it takes a name that is free, in the same step. */
static bool move_to(int from_folder, const char *from, int folder, const char *name, bool overwrite)
{
    struct stat status;
    if (overwrite) {
        return renameat(from_folder, from, folder, name) == 0;
    }
    if (renameat2(from_folder, from, folder, name, RENAME_NOREPLACE) == 0) {
        return true;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return false;
    }
    /* A file system that can't do it in one step. */
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return false;
    }
    return renameat(from_folder, from, folder, name) == 0;
}

/* Puts the whole copy where it belongs. */
static enum tree_progress place(struct copying *copying, struct err *err)
{
    if (!move_to(copying->folder, copying->temp, copying->folder, copying->name,
                 copying->overwrite)) {
        open_failed(err, errno, copying->to);
        return TREE_FAILED;
    }
    if (!copying->is_move) {
        return TREE_DONE;
    }
    walk_close(&copying->walk);
    walk_open(&copying->walk, take_fd(&copying->from_folder), copying->from_name, true);
    copying->phase = PHASE_REMOVE;
    return TREE_MORE;
}

/* A piece of a file, or the next thing of the source. */
static enum tree_progress copy_next(struct copying *copying, struct err *err)
{
    struct walk_step step;
    bool copied = false;
    if (copying->in >= 0) {
        return copy_piece(copying, err) ? TREE_MORE : TREE_FAILED;
    }
    switch (walk_next(&copying->walk, &step, err)) {
    case WALK_ENTER:
        copied = enter_folder(copying, &step, err);
        break;
    case WALK_ITEM:
        copied = copy_item(copying, &step, err);
        break;
    case WALK_LEAVE:
        copied = leave_folder(copying, err);
        break;
    case WALK_END:
        return place(copying, err);
    case WALK_FAILED:
        break;
    }
    return copied ? TREE_MORE : TREE_FAILED;
}

static enum tree_progress copy_slice(struct copying *copying, struct err *err)
{
    int64_t end_ms = clock_monotonic_ms() + TREE_SLICE_MS;
    enum tree_progress progress = TREE_MORE;
    for (int i = 0; i < TREE_SLICE && clock_monotonic_ms() < end_ms; i++) {
        progress = copy_next(copying, err);
        if (progress != TREE_MORE || copying->phase != PHASE_COPY) {
            break;
        }
    }
    return progress;
}

static enum tree_progress slice(struct copying *copying, struct err *err)
{
    struct acting acting;
    enum tree_progress progress = TREE_FAILED;
    if (acting_begin(&acting, &copying->user, err)) {
        progress = copying->phase == PHASE_COPY
                       ? copy_slice(copying, err)
                       : tree_remove_slice(&copying->walk, copying->phase == PHASE_CLEAN, err);
        acting_end(&acting);
    }
    return progress;
}

/* Nothing of an unfinished copy stays; the answer comes behind that. */
static bool begin_cleaning(struct copying *copying)
{
    int folder = fcntl(copying->folder, F_DUPFD_CLOEXEC, 0);
    if (folder < 0) {
        return false;
    }
    close_made(copying);
    walk_close(&copying->walk);
    walk_open(&copying->walk, folder, copying->temp, true);
    copying->phase = PHASE_CLEAN;
    return true;
}

static bool on_step(void *arg)
{
    struct copying *copying = arg;
    struct err err;
    enum tree_progress progress = slice(copying, &err);
    if (progress == TREE_MORE) {
        return true;
    }
    if (copying->phase == PHASE_CLEAN) {
        reply_error(&copying->reply, &copying->err);
    } else if (progress == TREE_DONE) {
        tree_answer(&copying->reply, copying->is_move ? "renameResponse" : "copyResponse",
                    copying->to);
    } else {
        copying->err = err;
        if (copying->phase == PHASE_COPY && begin_cleaning(copying)) {
            return true;
        }
        reply_error(&copying->reply, &err);
    }
    free_copying(copying);
    return false;
}

/* The two folders and names, and whether it may go there at all. */
static bool open_ends(struct copying *copying, struct err *err)
{
    struct stat status;
    copying->from_folder = tree_open_parent(copying->from, copying->from_name, err);
    copying->folder =
        copying->from_folder < 0 ? -1 : tree_open_parent(copying->to, copying->name, err);
    if (copying->folder < 0) {
        return false;
    }
    if (fstatat(copying->from_folder, copying->from_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return open_failed(err, errno, copying->from);
    }
    if (!copying->overwrite &&
        fstatat(copying->folder, copying->name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return open_failed(err, EEXIST, copying->to);
    }
    int folder = fcntl(copying->from_folder, F_DUPFD_CLOEXEC, 0);
    if (folder < 0) {
        return open_failed(err, errno, copying->from);
    }
    walk_open(&copying->walk, folder, copying->from_name, false);
    return place_temp_name(copying->temp, err);
}

static struct copying *new_copying(struct trees *trees, const struct reply *reply,
                                   const struct user *user, const struct tree_target *target,
                                   struct err *err)
{
    if (!trees_enter(trees, err)) {
        return NULL;
    }
    struct copying *copying = calloc(1, sizeof *copying);
    if (copying == NULL) {
        trees_leave(trees);
        err_set(err, ERR_INTERNAL, "copy: out of memory");
        return NULL;
    }
    copying->chore = (struct chore){.step = on_step, .drop = free_copying, .arg = copying};
    copying->all = trees;
    copying->reply = *reply;
    copying->user = *user;
    (void)snprintf(copying->from, sizeof copying->from, "%s", target->from);
    (void)snprintf(copying->to, sizeof copying->to, "%s", target->to);
    copying->overwrite = target->overwrite;
    copying->recursive = target->recursive;
    copying->in = copying->out = copying->folder = copying->from_folder = -1;
    copying->walk.folder = -1;
    return copying;
}

static bool begin_copy(struct trees *trees, const struct reply *reply, const struct user *user,
                       const struct tree_target *target, bool is_move, struct err *err)
{
    struct acting acting;
    struct copying *copying = new_copying(trees, reply, user, target, err);
    if (copying == NULL) {
        return false;
    }
    copying->is_move = is_move;
    copying->recursive |= is_move;
    bool opened = acting_begin(&acting, user, err);
    if (opened) {
        opened = open_ends(copying, err);
        acting_end(&acting);
    }
    if (!opened) {
        free_copying(copying);
        return false;
    }
    chore_start(trees->chores, &copying->chore);
    return true;
}

void tree_copy(struct trees *trees, const struct reply *reply, const struct user *user,
               const struct tree_target *target)
{
    struct err err;
    if (!begin_copy(trees, reply, user, target, false, &err)) {
        reply_error(reply, &err);
    }
}

enum renamed { RENAMED, RENAME_NEEDS_COPY, RENAME_FAILED };

static enum renamed rename_at_once(const struct user *user, const struct tree_target *target,
                                   struct err *err)
{
    char from_name[PATH_COMPONENT_MAX + 1];
    char name[PATH_COMPONENT_MAX + 1];
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return RENAME_FAILED;
    }
    enum renamed result = RENAME_FAILED;
    AUTO(close_fd) int from_folder = tree_open_parent(target->from, from_name, err);
    AUTO(close_fd) int folder = from_folder < 0 ? -1 : tree_open_parent(target->to, name, err);
    if (folder >= 0 && move_to(from_folder, from_name, folder, name, target->overwrite)) {
        result = RENAMED;
    } else if (folder >= 0 && errno == EXDEV) {
        result = RENAME_NEEDS_COPY;
    } else if (folder >= 0 && errno == EINVAL) {
        err_set_reason(err, ERR_INVALID, "invalid_path", "a directory can't be moved into itself");
    } else if (folder >= 0) {
        open_failed(err, errno, errno == ENOENT ? target->from : target->to);
    }
    acting_end(&acting);
    return result;
}

void tree_rename(struct trees *trees, const struct reply *reply, const struct user *user,
                 const struct tree_target *target)
{
    struct err err;
    switch (rename_at_once(user, target, &err)) {
    case RENAMED:
        tree_answer(reply, "renameResponse", target->to);
        return;
    case RENAME_NEEDS_COPY:
        if (begin_copy(trees, reply, user, target, true, &err)) {
            return;
        }
        break;
    case RENAME_FAILED:
        break;
    }
    reply_error(reply, &err);
}
