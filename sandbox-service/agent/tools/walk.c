#include "sandbox-service/agent/tools/walk.h"

#include "common/base/str.h"
#include "sandbox-service/agent/open.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

enum {
    WALK_PATH_MAX = 64 * 1024,
    OPEN_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
};

struct walker {
    const struct walk_events *events; /* borrowed */
    void *arg;
    struct str path;   /* of the entry at hand */
    size_t names_left; /* of WALK_NAMES_MAX */
    dev_t device;      /* where it began */
    int depth;
};

/* The names in one folder, sorted; they point into text. */
struct names {
    struct str text;    /* one after the other, each with its NUL */
    const char **items; /* owned */
    size_t count;
};

static void close_folder(DIR **stream)
{
    if (*stream != NULL) {
        (void)closedir(*stream);
    }
}

static void free_names(struct names *names)
{
    str_free(&names->text);
    free(names->items);
}

static int by_bytes(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool too_large(struct err *err)
{
    return err_set_reason(err, ERR_LIMIT, "folder_too_large",
                          "too many files in one folder, or folders in each other too deep");
}

static bool index_names(struct names *names, struct err *err)
{
    names->items = calloc(names->count + 1, sizeof *names->items);
    if (names->items == NULL) {
        return err_set(err, ERR_INTERNAL, "walking: out of memory");
    }
    const char *name = names->text.data;
    for (size_t i = 0; i < names->count; i++) {
        names->items[i] = name;
        name += strlen(name) + 1;
    }
    qsort(names->items, names->count, sizeof *names->items, by_bytes);
    return true;
}

static bool read_names(struct walker *walker, DIR *stream, struct names *names, struct err *err)
{
    names->text = STR_INIT(walker->names_left);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream); /* NOLINT(concurrency-mt-unsafe) */
        if (entry == NULL) {
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            str_append(&names->text, entry->d_name, strlen(entry->d_name) + 1);
            names->count++;
        }
    }
    if (errno != 0) {
        return open_failed(err, errno, "while reading a folder");
    }
    return !names->text.failed ? index_names(names, err) : too_large(err);
}

/* What the kernel makes up would be read without an end. */
static bool is_made_up(const struct walker *walker, int fd)
{
    struct stat status;
    struct statfs file_system;
    if (fstat(fd, &status) != 0 || status.st_dev == walker->device ||
        fstatfs(fd, &file_system) != 0) {
        return false;
    }
    return file_system.f_type == PROC_SUPER_MAGIC || file_system.f_type == SYSFS_MAGIC ||
           file_system.f_type == CGROUP2_SUPER_MAGIC || file_system.f_type == CGROUP_SUPER_MAGIC ||
           file_system.f_type == DEVPTS_SUPER_MAGIC;
}

static bool walk_folder(struct walker *walker, int folder, const char *name, struct err *err);

static bool unreadable(struct walker *walker, int error_number, struct err *err)
{
    if (error_number == ENOENT) {
        return true;
    }
    open_failed(err, error_number, walker->path.data);
    return walker->events->on_unreadable(walker->path.data, walker->arg, err);
}

static bool visit_here(struct walker *walker, int folder, const char *name, struct err *err)
{
    struct walk_entry entry = {.path = walker->path.data, .name = name, .folder = folder};
    if (fstatat(folder, name, &entry.status, AT_SYMLINK_NOFOLLOW) != 0) {
        return unreadable(walker, errno, err);
    }
    if (!walker->events->on_entry(&entry, walker->arg, err)) {
        return false;
    }
    return !S_ISDIR(entry.status.st_mode) || walk_folder(walker, folder, name, err);
}

static bool visit(struct walker *walker, int folder, const char *name, struct err *err)
{
    size_t len = walker->path.len;
    str_append_string(&walker->path, len == 0 ? "" : "/");
    str_append_string(&walker->path, name);
    if (walker->path.failed) {
        return too_large(err);
    }
    bool succeeded = visit_here(walker, folder, name, err);
    walker->path.len = len;
    walker->path.data[len] = '\0';
    return succeeded;
}

static bool visit_all(struct walker *walker, DIR *stream, struct err *err)
{
    AUTO(free_names) struct names names = {0};
    if (!read_names(walker, stream, &names, err)) {
        return false;
    }
    size_t held = names.text.len;
    walker->names_left -= held;
    bool succeeded = true;
    for (size_t i = 0; succeeded && i < names.count; i++) {
        succeeded = visit(walker, dirfd(stream), names.items[i], err);
    }
    walker->names_left += held;
    return succeeded;
}

static bool walk_folder(struct walker *walker, int folder, const char *name, struct err *err)
{
    if (walker->depth >= WALK_DEPTH_MAX) {
        return too_large(err);
    }
    /* Where the walk begins may be a link, as in any path that is named. */
    AUTO(close_fd)
    int fd = openat(folder, name, walker->depth == 0 ? OPEN_FLAGS & ~O_NOFOLLOW : OPEN_FLAGS);
    if (fd < 0) {
        return walker->depth == 0 ? open_failed(err, errno, name) : unreadable(walker, errno, err);
    }
    struct stat status;
    if (walker->depth == 0 && fstat(fd, &status) == 0) {
        walker->device = status.st_dev;
    }
    if (is_made_up(walker, fd)) {
        return true;
    }
    AUTO(close_folder) DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        return err_set(err, ERR_INTERNAL, "walking: out of memory");
    }
    (void)take_fd(&fd);
    walker->depth++;
    bool succeeded = visit_all(walker, stream, err);
    walker->depth--;
    return succeeded;
}

bool walk(const char *folder, const struct walk_events *events, void *arg, struct err *err)
{
    struct walker walker = {
        .events = events,
        .arg = arg,
        .path = STR_INIT(WALK_PATH_MAX),
        .names_left = WALK_NAMES_MAX,
    };
    bool succeeded = walk_folder(&walker, AT_FDCWD, folder, err);
    str_free(&walker.path);
    return succeeded;
}
