#include "sandbox-service/agent/watch_tree.h"

#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>

enum { FD_LINK_SIZE = 64 };

static const uint32_t events = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM |
                               IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK;

static struct view key_of(const int *number)
{
    return (struct view){(const char *)number, sizeof *number};
}

static bool is_too_many(const struct watch_tree *tree, int error_number, struct err *err)
{
    if (tree->count < WATCH_FOLDERS_MAX && error_number != ENOSPC) {
        return false;
    }
    err_set_reason(err, ERR_LIMIT, "too_many_folders", "more than %zu folders can't be watched",
                   tree->count);
    return true;
}

/* By the descriptor: what the name leads to meanwhile does not matter. -1 with errno. */
static int watch_open_file(const struct watch_tree *tree, int fd)
{
    char link[FD_LINK_SIZE];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return inotify_add_watch(tree->inotify, link, events);
}

static void free_watched(struct watched *watched)
{
    list_remove(&watched->sibling);
    list_remove(&watched->unscanned);
    free(watched->name);
    free(watched);
}

static struct watched *new_watched(struct watch_tree *tree, struct watched *parent,
                                   const char *name, int number, struct err *err)
{
    struct watched *watched = calloc(1, sizeof *watched);
    char *copy = strdup(name);
    if (watched == NULL || copy == NULL) {
        free(watched);
        free(copy);
        err_set(err, ERR_INTERNAL, "watch: out of memory");
        return NULL;
    }
    watched->number = number;
    watched->parent = parent;
    watched->name = copy;
    list_init(&watched->children);
    if (parent != NULL) {
        list_append(&parent->children, &watched->sibling);
    }
    map_insert(&tree->by_number, &watched->by_number, key_of(&watched->number));
    tree->count++;
    return watched;
}

static bool open_root(struct watch_tree *tree, const char *path, bool *is_folder, struct err *err)
{
    struct stat status;
    AUTO(close_fd) int fd = open_at(AT_FDCWD, path, O_PATH, 0);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return open_failed(err, errno, path);
    }
    *is_folder = S_ISDIR(status.st_mode);
    if (!*is_folder && !S_ISREG(status.st_mode)) {
        return open_failed(err, ENXIO, path);
    }
    if (open_is_our_own(fd)) {
        return open_failed(err, EACCES, path);
    }
    int number = watch_open_file(tree, fd);
    if (number < 0) {
        return is_too_many(tree, errno, err) ? false : open_failed(err, errno, path);
    }
    tree->device = status.st_dev;
    tree->inode = status.st_ino;
    tree->root = new_watched(tree, NULL, "", number, err);
    return tree->root != NULL;
}

bool watch_tree_open(struct watch_tree *tree, const char *path, bool *is_folder, struct err *err)
{
    *tree = (struct watch_tree){.inotify = -1, .path = path};
    list_init(&tree->unscanned);
    if (!map_init(&tree->by_number, err)) {
        return false;
    }
    tree->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool opened =
        tree->inotify >= 0 ? open_root(tree, path, is_folder, err) : open_failed(err, errno, path);
    if (!opened) {
        watch_tree_close(tree);
    }
    return opened;
}

/* From the leaves up, without a stack of its own. told: the kernel is to forget it too. */
static void free_all_below(struct watch_tree *tree, struct watched *top, bool told)
{
    struct watched *at = top;
    for (;;) {
        if (!list_is_empty(&at->children)) {
            at = LIST_ENTRY(at->children.next, struct watched, sibling);
            continue;
        }
        struct watched *parent = at->parent;
        bool is_top = at == top;
        if (told) {
            (void)inotify_rm_watch(tree->inotify, at->number);
        }
        map_remove(&tree->by_number, &at->by_number);
        tree->count--;
        free_watched(at);
        if (is_top) {
            return;
        }
        at = parent;
    }
}

void watch_tree_close(struct watch_tree *tree)
{
    if (tree->path == NULL) {
        return;
    }
    watch_tree_end_folder(tree);
    if (tree->root != NULL) {
        free_all_below(tree, tree->root, false);
    }
    map_free(&tree->by_number);
    close_fd(&tree->inotify);
    *tree = (struct watch_tree){.inotify = -1};
}

struct watched *watch_tree_find(const struct watch_tree *tree, int number)
{
    struct map_node *node = map_find(&tree->by_number, key_of(&number));
    return node == NULL ? NULL : MAP_ENTRY(node, struct watched, by_number);
}

struct watched *watch_tree_child(const struct watched *parent, const char *name)
{
    for (struct list *node = parent->children.next; node != &parent->children; node = node->next) {
        struct watched *child = LIST_ENTRY(node, struct watched, sibling);
        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

/* Written from the end of out on; returns where it begins, NULL when it is too long. */
static char *write_below(const struct watched *watched, const char *name, char out[PATH_SIZE])
{
    char *start = out + PATH_SIZE - 1;
    const char *part = name;
    *start = '\0';
    for (;;) {
        size_t len = strlen(part);
        bool needs_slash = len > 0 && *start != '\0';
        if ((size_t)(start - out) < len + (needs_slash ? 1 : 0)) {
            return NULL;
        }
        if (needs_slash) {
            *--start = '/';
        }
        start -= len;
        memcpy(start, part, len);
        if (watched->parent == NULL) {
            return start;
        }
        part = watched->name;
        watched = watched->parent;
    }
}

bool watch_tree_path(const struct watch_tree *tree, const struct watched *watched, const char *name,
                     char out[PATH_SIZE])
{
    char below[PATH_SIZE];
    const char *start = write_below(watched, name, below);
    if (start == NULL) {
        return false;
    }
    size_t root_len = strlen(tree->path);
    while (root_len > 0 && tree->path[root_len - 1] == '/' && (root_len > 1 || *start != '\0')) {
        root_len--;
    }
    int len = snprintf(out, PATH_SIZE, "%.*s%s%s", (int)root_len, tree->path,
                       *start == '\0' ? "" : "/", start);
    return len >= 0 && len < PATH_SIZE;
}

/* It is not kept open: the kernel tells of the end of a folder only when nobody has it open. */
static int open_root_again(const struct watch_tree *tree)
{
    struct stat status;
    int fd = open_at(AT_FDCWD, tree->path, O_PATH | O_DIRECTORY, 0);
    if (fd >= 0 && (fstat(fd, &status) != 0 || status.st_dev != tree->device ||
                    status.st_ino != tree->inode)) {
        close_fd(&fd);
        errno = ENOENT;
        fd = -1;
    }
    return fd;
}

static int open_below(const struct watch_tree *tree, const struct watched *watched,
                      const char *name, int flags)
{
    char below[PATH_SIZE];
    const char *start = write_below(watched, name, below);
    if (start == NULL) {
        errno = ENAMETOOLONG;
        return -1;
    }
    AUTO(close_fd) int root = open_root_again(tree);
    return root < 0 ? -1 : open_beneath(root, *start == '\0' ? "." : start, flags);
}

bool watch_tree_add(struct watch_tree *tree, struct watched *parent, const char *name, bool is_news,
                    struct err *err)
{
    if (is_too_many(tree, 0, err)) {
        return false;
    }
    AUTO(close_fd) int fd = open_below(tree, parent, name, O_PATH | O_DIRECTORY);
    if (fd < 0 || open_is_our_own(fd)) {
        return true;
    }
    int number = watch_open_file(tree, fd);
    if (number < 0) {
        return !is_too_many(tree, errno, err);
    }
    if (watch_tree_find(tree, number) != NULL) {
        return true;
    }
    struct watched *watched = new_watched(tree, parent, name, number, err);
    if (watched == NULL) {
        return false;
    }
    watched->is_news = is_news;
    list_append(&tree->unscanned, &watched->unscanned);
    return true;
}

void watch_tree_drop(struct watch_tree *tree, struct watched *watched)
{
    assert(watched != tree->root);
    free_all_below(tree, watched, true);
}

bool watch_tree_move(struct watch_tree *tree, struct watched *watched, struct watched *parent,
                     const char *name)
{
    char *copy = strdup(name);
    if (copy == NULL) {
        watch_tree_drop(tree, watched);
        return false;
    }
    free(watched->name);
    watched->name = copy;
    watched->parent = parent;
    list_remove(&watched->sibling);
    list_append(&parent->children, &watched->sibling);
    return true;
}

bool watch_tree_is_unscanned(const struct watch_tree *tree)
{
    return tree->scanned != NULL || !list_is_empty(&tree->unscanned);
}

bool watch_tree_open_next(struct watch_tree *tree)
{
    struct list *node;
    while (tree->folder == NULL && (node = list_pop(&tree->unscanned)) != NULL) {
        tree->scanned = LIST_ENTRY(node, struct watched, unscanned);
        int fd = open_below(tree, tree->scanned, "", O_RDONLY | O_DIRECTORY);
        tree->folder = fd < 0 ? NULL : fdopendir(fd);
        if (tree->folder == NULL) {
            close_fd(&fd);
            tree->scanned = NULL;
        }
    }
    return tree->folder != NULL;
}

void watch_tree_end_folder(struct watch_tree *tree)
{
    if (tree->folder != NULL) {
        (void)closedir(TAKE(tree->folder));
    }
    tree->scanned = NULL;
}

bool watch_tree_is_folder(const struct watch_tree *tree, const struct dirent *item)
{
    struct stat status;
    if (item->d_type != DT_UNKNOWN) {
        return item->d_type == DT_DIR;
    }
    return fstatat(dirfd(tree->folder), item->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}
