#include "sandbox-service/agent/tools/extraction.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/tools/beneath.h"

#include <errno.h>
#include <stdio.h>

enum {
    NEW_FILE_MODE = 0600,
    NEW_FOLDER_MODE = 0755,
    TEMP_RANDOM = 8,
};

static bool failed(struct err *err, const char *name)
{
    int error_number = errno;
    if (error_number == ELOOP || error_number == EXDEV) {
        return err_set_reason(err, ERR_INVALID, "archive_unsafe", "a link is in the way of %s",
                              name);
    }
    return open_failed(err, error_number, name);
}

/* Like mkdir -p. */
static bool make_root(struct extraction *extraction, struct err *err)
{
    char *path = extraction->folder;
    size_t len = strlen(path);
    for (size_t end = 1; end <= len; end++) {
        bool ends_name = path[end - 1] != '/' && (path[end] == '/' || path[end] == '\0');
        if (!ends_name) {
            continue;
        }
        char cut = path[end];
        path[end] = '\0';
        bool exists = mkdir(path, NEW_FOLDER_MODE) != 0;
        int error_number = errno;
        path[end] = cut;
        if (exists && error_number != EEXIST && error_number != EISDIR) {
            return open_failed(err, error_number, path);
        }
        extraction->kept_len = exists ? end : extraction->kept_len;
    }
    return true;
}

bool extraction_open(struct extraction *extraction, const char *folder, struct err *err)
{
    extraction->root = -1;
    if (!made_init(&extraction->made, err)) {
        return false;
    }
    if (folder[0] == '\0' || !view_copy(view_of(folder), extraction->folder, PATH_SIZE)) {
        return open_failed(err, ENAMETOOLONG, folder);
    }
    extraction->kept_len = strlen(folder);
    extraction->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (extraction->root < 0 && errno == ENOENT) {
        extraction->kept_len = 0;
        if (!make_root(extraction, err)) {
            return false;
        }
        extraction->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return extraction->root >= 0 || open_failed(err, errno, folder);
}

void extraction_close(struct extraction *extraction)
{
    close_fd(&extraction->root);
    extraction->root = -1;
    made_free(&extraction->made);
}

/* Makes the folder, or finds that there is one. */
static bool make_folder(struct extraction *extraction, const char *path, struct made_item *item,
                        struct err *err)
{
    const char *name;
    AUTO(close_fd) int parent = beneath_open_parent(extraction->root, path, &name);
    if (parent < 0) {
        return failed(err, path);
    }
    if (mkdirat(parent, name, NEW_FOLDER_MODE) == 0) {
        item->is_new = true;
        return true;
    }
    if (errno != EEXIST) {
        return failed(err, path);
    }
    AUTO(close_fd) int there = beneath_open(parent, name, O_PATH);
    return there >= 0 || failed(err, path);
}

/* Makes each missing folder on the way to path. */
static bool make_way(struct extraction *extraction, const char *path, struct err *err)
{
    char way[PATH_SIZE];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        if (!view_copy((struct view){path, (size_t)(slash - path)}, way, sizeof way)) {
            return open_failed(err, ENAMETOOLONG, path);
        }
        AUTO(close_fd) int there = beneath_open(extraction->root, way, O_PATH);
        if (there >= 0) {
            continue;
        }
        if (errno != ENOENT) {
            return failed(err, way);
        }
        struct made_item *item = made_add_folder(&extraction->made, way, err);
        if (item == NULL || !make_folder(extraction, way, item, err)) {
            return false;
        }
    }
    return true;
}

static int open_parent(struct extraction *extraction, const char *path, const char **name,
                       struct err *err)
{
    int parent = beneath_open_parent(extraction->root, path, name);
    if (parent < 0 && errno == ENOENT) {
        if (!make_way(extraction, path, err)) {
            return -1;
        }
        parent = beneath_open_parent(extraction->root, path, name);
    }
    if (parent < 0) {
        failed(err, path);
    }
    return parent;
}

bool extraction_add_folder(struct extraction *extraction, const struct extraction_member *member,
                           struct err *err)
{
    /* The way first, so that each folder comes before what is in it. */
    if (!make_way(extraction, member->name, err)) {
        return false;
    }
    struct made_item *item = made_add_member(&extraction->made, member->name, MADE_FOLDER, err);
    if (item == NULL) {
        return false;
    }
    /* When it was made on the way to another member, it is new and stays so. */
    if (!item->is_new && !make_folder(extraction, member->name, item, err)) {
        return false;
    }
    item->has_meta = item->is_new;
    item->mode = member->mode;
    item->modified = member->modified;
    return true;
}

static bool temp_name(char out[EXTRACTION_TEMP_SIZE], struct err *err)
{
    unsigned char random[TEMP_RANDOM];
    char hex[ENCODE_HEX_SIZE(TEMP_RANDOM)];
    if (!secret_random(random, sizeof random, err)) {
        return false;
    }
    encode_hex(random, sizeof random, hex);
    (void)snprintf(out, EXTRACTION_TEMP_SIZE, ".insien-%s.tmp", hex);
    return true;
}

/* Gives what was made under another name its own. */
static bool settle(int parent, const char *temp, const char *name, struct made_item *item,
                   struct err *err)
{
    struct stat status;
    bool exists = fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && S_ISDIR(status.st_mode)) {
        return open_failed(err, EISDIR, item->name);
    }
    if (renameat(parent, temp, parent, name) != 0) {
        return failed(err, item->name);
    }
    item->is_new = !exists;
    return true;
}

/* A member that is made in one call, under the name temp in the folder parent. */
typedef bool make_fn(struct extraction *extraction, int parent, const char *temp,
                     const char *target);

static bool make_symlink(struct extraction *extraction, int parent, const char *temp,
                         const char *target)
{
    (void)extraction;
    return symlinkat(target, parent, temp) == 0;
}

static bool make_hardlink(struct extraction *extraction, int parent, const char *temp,
                          const char *target)
{
    const char *name;
    AUTO(close_fd) int from = beneath_open_parent(extraction->root, target, &name);
    return from >= 0 && linkat(from, name, parent, temp, 0) == 0;
}

static bool add_link(struct extraction *extraction, const struct extraction_member *member,
                     make_fn *make, const char *target, struct err *err)
{
    const char *name;
    char temp[EXTRACTION_TEMP_SIZE];
    AUTO(close_fd) int parent = open_parent(extraction, member->name, &name, err);
    if (parent < 0 || !temp_name(temp, err)) {
        return false;
    }
    struct made_item *item = made_add_member(&extraction->made, member->name, MADE_LINK, err);
    if (item == NULL) {
        return false;
    }
    if (!make(extraction, parent, temp, target)) {
        return failed(err, member->name);
    }
    bool settled = settle(parent, temp, name, item, err);
    /* Also after success: a link that takes the place of another to the same file stays. */
    (void)unlinkat(parent, temp, 0);
    return settled;
}

bool extraction_add_symlink(struct extraction *extraction, const struct extraction_member *member,
                            const char *target, struct err *err)
{
    return add_link(extraction, member, make_symlink, target, err);
}

bool extraction_add_hardlink(struct extraction *extraction, const struct extraction_member *member,
                             const char *target, struct err *err)
{
    const struct made_item *file = made_find(&extraction->made, target);
    if (file == NULL || file->kind != MADE_FILE) {
        return err_set_reason(err, ERR_INVALID, "archive_unsafe",
                              "a link to something that is no file of this archive: %s", target);
    }
    return add_link(extraction, member, make_hardlink, target, err);
}

bool extraction_begin_file(struct extraction *extraction, const struct extraction_member *member,
                           struct extraction_file *out, struct err *err)
{
    *out = (struct extraction_file){.fd = -1, .parent = -1};
    out->parent = open_parent(extraction, member->name, &out->name, err);
    if (out->parent < 0) {
        return false;
    }
    out->item = made_add_member(&extraction->made, member->name, MADE_FILE, err);
    if (out->item == NULL || !temp_name(out->temp, err)) {
        return false;
    }
    out->fd = openat(out->parent, out->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     NEW_FILE_MODE);
    return out->fd >= 0 || failed(err, member->name);
}

bool extraction_write(struct extraction_file *file, const void *bytes, size_t len, uint64_t offset,
                      struct err *err)
{
    const char *rest = bytes;
    while (len > 0) {
        ssize_t wrote = pwrite(file->fd, rest, len, (off_t)offset);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            return failed(err, file->item->name);
        }
        rest += wrote;
        len -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return true;
}

bool extraction_end_file(struct extraction_file *file, const struct extraction_member *member,
                         uint64_t size, struct err *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, member->modified};
    if (ftruncate(file->fd, (off_t)size) != 0 || fchmod(file->fd, member->mode) != 0 ||
        futimens(file->fd, times) != 0) {
        return failed(err, member->name);
    }
    /* Some file systems tell only now that a write failed. */
    if (close(take_fd(&file->fd)) != 0) {
        return failed(err, member->name);
    }
    if (!settle(file->parent, file->temp, file->name, file->item, err)) {
        return false;
    }
    file->temp[0] = '\0';
    return true;
}

void extraction_drop_file(struct extraction_file *file)
{
    if (file->parent >= 0 && file->temp[0] != '\0') {
        (void)unlinkat(file->parent, file->temp, 0);
    }
    close_fd(&file->fd);
    close_fd(&file->parent);
    *file = (struct extraction_file){.fd = -1, .parent = -1};
}

static bool finish_folder(struct extraction *extraction, const struct made_item *item,
                          struct err *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, item->modified};
    AUTO(close_fd) int fd = beneath_open(extraction->root, item->name, O_RDONLY);
    if (fd < 0 || futimens(fd, times) != 0 || fchmod(fd, item->mode) != 0) {
        return failed(err, item->name);
    }
    return true;
}

/* The latest first: what lies in a folder was made after it. */
bool extraction_finish(struct extraction *extraction, struct err *err)
{
    struct list *head = &extraction->made.in_order;
    for (struct list *node = head->previous; node != head; node = node->previous) {
        const struct made_item *item = LIST_ENTRY(node, struct made_item, in_order);
        if (item->has_meta && !finish_folder(extraction, item, err)) {
            return false;
        }
    }
    return true;
}

/* As it was before extraction_finish came to it, so that it can be emptied. */
static void reopen_folder(struct extraction *extraction, const struct made_item *item)
{
    AUTO(close_fd) int fd = beneath_open(extraction->root, item->name, O_RDONLY);
    (void)!(fd >= 0 && fchmod(fd, S_IRWXU) == 0);
}

static void undo_item(struct extraction *extraction, const struct made_item *item)
{
    const char *name;
    AUTO(close_fd) int parent = beneath_open_parent(extraction->root, item->name, &name);
    if (parent < 0) {
        return;
    }
    (void)unlinkat(parent, name, item->kind == MADE_FOLDER ? AT_REMOVEDIR : 0);
}

void extraction_undo(struct extraction *extraction)
{
    struct list *head = &extraction->made.in_order;
    for (LIST_EACH(node, head)) {
        const struct made_item *item = LIST_ENTRY(node, struct made_item, in_order);
        if (item->has_meta) {
            reopen_folder(extraction, item);
        }
    }
    for (struct list *node = head->previous; node != head; node = node->previous) {
        const struct made_item *item = LIST_ENTRY(node, struct made_item, in_order);
        if (item->is_new) {
            undo_item(extraction, item);
        }
    }
    char *path = extraction->folder;
    for (size_t end = strlen(path); end > extraction->kept_len; end--) {
        if (path[end] == '\0' || path[end] == '/') {
            path[end] = '\0';
            (void)rmdir(path);
        }
    }
}
