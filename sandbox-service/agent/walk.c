#include "sandbox-service/agent/walk.h"

#include "sandbox-service/agent/open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { FRAMES_MIN = 8 };

void walk_open(struct walk *walk, int folder, const char *name, bool consuming)
{
    *walk = (struct walk){.folder = folder, .consuming = consuming};
    (void)snprintf(walk->name, sizeof walk->name, "%s", name);
}

void walk_close(struct walk *walk)
{
    while (walk->depth > 0) {
        close_fd(&walk->frames[--walk->depth].fd);
    }
    free(walk->frames);
    close_fd(&walk->folder);
    *walk = (struct walk){.folder = -1};
}

static bool grow(struct walk *walk, struct err *err)
{
    if (walk->depth < walk->capacity) {
        return true;
    }
    if (walk->depth >= WALK_DEPTH_MAX) {
        return err_set_reason(err, ERR_LIMIT, "too_deep", "folders in more than %d folders",
                              WALK_DEPTH_MAX);
    }
    size_t capacity = walk->capacity == 0 ? FRAMES_MIN : 2 * walk->capacity;
    struct walk_frame *frames = realloc(walk->frames, capacity * sizeof *frames);
    if (frames == NULL) {
        return err_set(err, ERR_INTERNAL, "walk: out of memory");
    }
    walk->frames = frames;
    walk->capacity = capacity;
    return true;
}

static int parent_of(const struct walk *walk)
{
    return walk->depth == 0 ? walk->folder : walk->frames[walk->depth - 1].fd;
}

static enum walk_event fail(struct err *err, int error_number, const char *name)
{
    open_failed(err, error_number, name);
    return WALK_FAILED;
}

static enum walk_event enter(struct walk *walk, const char *name, struct walk_step *step,
                             struct err *err)
{
    int parent = parent_of(walk);
    if (!grow(walk, err)) {
        return WALK_FAILED;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, errno, name);
    }
    struct walk_frame *frame = &walk->frames[walk->depth];
    frame->fd = fd;
    frame->next = 0;
    (void)snprintf(frame->name, sizeof frame->name, "%s", name);
    *step = (struct walk_step){parent, frame->name, fd, walk->depth};
    walk->depth++;
    walk->at = walk->len = 0;
    return WALK_ENTER;
}

/* The frame stays as it is for the caller to look at; its memory is used again by the next enter.
 */
static enum walk_event leave(struct walk *walk, struct walk_step *step, struct err *err)
{
    struct walk_frame *frame = &walk->frames[--walk->depth];
    close_fd(&frame->fd);
    *step = (struct walk_step){parent_of(walk), frame->name, -1, walk->depth};
    walk->at = walk->len = 0;
    if (walk->depth > 0) {
        const struct walk_frame *above = frame - 1;
        if (lseek(above->fd, walk->consuming ? 0 : above->next, SEEK_SET) < 0) {
            return fail(err, errno, above->name);
        }
    }
    return WALK_LEAVE;
}

static enum walk_event tell(struct walk *walk, const char *name, unsigned char type,
                            struct walk_step *step, struct err *err)
{
    struct stat status;
    bool is_folder = type == DT_DIR;
    if (type == DT_UNKNOWN) {
        if (fstatat(parent_of(walk), name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            return fail(err, errno, name);
        }
        is_folder = S_ISDIR(status.st_mode);
    }
    if (is_folder) {
        return enter(walk, name, step, err);
    }
    *step = (struct walk_step){parent_of(walk), name, -1, walk->depth};
    return WALK_ITEM;
}

/* NULL: there is no more (err untouched), or it failed. */
static const struct dirent64 *next_item(struct walk *walk, bool *failed, struct err *err)
{
    struct walk_frame *frame = &walk->frames[walk->depth - 1];
    if (walk->at >= walk->len) {
        long len = syscall(SYS_getdents64, frame->fd, walk->buffer, sizeof walk->buffer);
        *failed = len < 0 && errno != ENOENT; /* ENOENT: the folder itself was removed */
        if (*failed) {
            open_failed(err, errno, frame->name);
        }
        walk->at = 0;
        walk->len = len > 0 ? (size_t)len : 0;
        if (walk->len == 0) {
            return NULL;
        }
    }
    const struct dirent64 *item = (const void *)(walk->buffer + walk->at);
    walk->at += item->d_reclen;
    frame->next = item->d_off;
    return item;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum walk_event walk_next(struct walk *walk, struct walk_step *step, struct err *err)
{
    if (!walk->begun) {
        walk->begun = true;
        return tell(walk, walk->name, DT_UNKNOWN, step, err);
    }
    while (walk->depth > 0) {
        bool failed = false;
        const struct dirent64 *item = next_item(walk, &failed, err);
        if (failed) {
            return WALK_FAILED;
        }
        if (item == NULL) {
            return leave(walk, step, err);
        }
        if (is_dots(item->d_name)) {
            continue;
        }
        /* Entering a folder gives the buffer to another. */
        (void)snprintf(walk->item, sizeof walk->item, "%s", item->d_name);
        enum walk_event event = tell(walk, walk->item, item->d_type, step, err);
        if (event != WALK_FAILED || err->code != ERR_NOT_FOUND) {
            return event;
        }
    }
    return WALK_END;
}
