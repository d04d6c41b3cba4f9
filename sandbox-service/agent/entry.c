#include "sandbox-service/agent/entry.h"

#include "sandbox-service/agent/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

static bool load_target(struct entry *entry, int folder, const char *name)
{
    char target[PATH_SIZE];
    ssize_t len = readlinkat(folder, name, target, sizeof target - 1);
    if (len < 0) {
        return false;
    }
    target[len] = '\0';
    entry->target = strdup(target);
    return entry->target != NULL;
}

bool entry_load(struct entry *entry, int folder, const char *name, const char *path)
{
    struct stat status;
    *entry = (struct entry){0};
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0) {
        return false;
    }
    entry->mode = status.st_mode;
    entry->uid = status.st_uid;
    entry->gid = status.st_gid;
    entry->size = status.st_size;
    entry->modified_at = status.st_mtim;
    entry->path = strdup(path);
    if (entry->path == NULL || (S_ISLNK(status.st_mode) && !load_target(entry, folder, name))) {
        int error_number = errno;
        entry_free(entry);
        errno = error_number;
        return false;
    }
    return true;
}

void entry_free(struct entry *entry)
{
    free(entry->path);
    free(entry->target);
    *entry = (struct entry){0};
}

static const char *type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    default:
        return "other";
    }
}

/* "/" is called so itself; a slash at the end is no name. */
static struct view name_of(const char *path)
{
    struct view name = view_of(path);
    while (name.len > 1 && name.ptr[name.len - 1] == '/') {
        name.len--;
    }
    for (size_t i = name.len; i > 1; i--) {
        if (name.ptr[i - 2] == '/') {
            return view_from(name, i - 1);
        }
    }
    return name;
}

void entry_format_mode(mode_t mode, char out[FILE_MODE_SIZE])
{
    (void)snprintf(out, FILE_MODE_SIZE, "%04o", (unsigned)mode & FILE_MODE_BITS);
}

void entry_format_time(const struct timespec *time, char out[CLOCK_ISO_SIZE])
{
    clock_format_iso((int64_t)time->tv_sec * MS_PER_S + time->tv_nsec / NS_PER_MS, out);
}

void entry_write(struct json_writer *writer, const char *name, const struct entry *entry,
                 struct names *names)
{
    char mode[FILE_MODE_SIZE];
    char modified_at[CLOCK_ISO_SIZE];
    entry_format_mode(entry->mode, mode);
    entry_format_time(&entry->modified_at, modified_at);
    json_begin_object(writer, name);
    json_string(writer, "path", view_of(entry->path));
    json_string(writer, "name", name_of(entry->path));
    json_string(writer, "type", view_of(type_of(entry->mode)));
    json_int(writer, "size", entry->size);
    json_string(writer, "mode", view_of(mode));
    json_string(writer, "owner", view_of(names_of_user(names, entry->uid)));
    json_string(writer, "group", view_of(names_of_group(names, entry->gid)));
    json_int(writer, "uid", entry->uid);
    json_int(writer, "gid", entry->gid);
    json_string(writer, "modifiedAt", view_of(modified_at));
    if (entry->target != NULL) {
        json_string(writer, "target", view_of(entry->target));
    }
    json_end_object(writer);
}
