#include "sandbox-service/agent/secret_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    NAME_SIZE = 256,
    FILE_MODE = 0400,
};

/* No secret is called so: a name does not begin with a tilde. */
static const char draft[] = "~new";

static bool fail(struct err *err, const char *what)
{
    return err_set(err, ERR_INTERNAL, "secret files: %s: %s", what, strerror(errno));
}

static bool write_all(int fd, struct view content)
{
    while (content.len > 0) {
        ssize_t written = write(fd, content.ptr, content.len);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        content = view_from(content, written < 0 ? 0 : (size_t)written);
    }
    return true;
}

/* Appears with its content and its owner, or not. */
static bool write_file(int folder, const char *name, struct view content, uid_t uid, gid_t gid,
                       struct err *err)
{
    (void)unlinkat(folder, draft, 0); /* of one that was cut short */
    AUTO(close_fd)
    int fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    return (fd >= 0 && write_all(fd, content) && fchown(fd, uid, gid) == 0 &&
            fchmod(fd, FILE_MODE) == 0 && renameat(folder, draft, folder, name) == 0) ||
           fail(err, name);
}

static bool is_named(const struct json_pairs *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        if (view_equal(files->items[i].name, view_of(name))) {
            return true;
        }
    }
    return false;
}

/* What else is there: secrets that are not the sandbox's any more. Folders are none of ours. */
static bool remove_others(int folder, const struct json_pairs *files, struct err *err)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        close_fd(&fd);
        return fail(err, "the folder");
    }
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !is_named(files, entry->d_name)) {
            (void)unlinkat(folder, entry->d_name, 0);
        }
    }
    (void)closedir(entries);
    return true;
}

/* A sandbox that was to have files when it began has memory for them there. */
static bool is_mounted(int folder)
{
    struct stat own;
    struct stat above;
    return fstat(folder, &own) == 0 && fstatat(folder, "..", &above, 0) == 0 &&
           own.st_dev != above.st_dev;
}

bool secret_files_write(const char *folder_path, const struct json_pairs *files, uid_t uid,
                        gid_t gid, struct err *err)
{
    AUTO(close_fd)
    int folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (files->count == 0 && (folder < 0 || !is_mounted(folder))) {
        return true; /* there is none, or it is the image's own */
    }
    if (folder < 0) {
        return fail(err, folder_path);
    }
    for (size_t i = 0; i < files->count; i++) {
        char name[NAME_SIZE];
        if (!view_copy(files->items[i].name, name, sizeof name)) {
            return err_set(err, ERR_INTERNAL, "secret files: a name is too long");
        }
        if (!write_file(folder, name, files->items[i].value, uid, gid, err)) {
            return false;
        }
    }
    return remove_others(folder, files, err);
}
