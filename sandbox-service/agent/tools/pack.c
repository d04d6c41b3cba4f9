#include "sandbox-service/agent/tools/pack.h"

#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/tools/output.h"
#include "sandbox-service/agent/tools/tar_header.h"
#include "sandbox-service/agent/tools/walk.h"

#include <errno.h>

enum {
    CHUNK = 64 * 1024,
    HEADER_MAX = 256 * 1024, /* of one member with both its names */
};

struct packing {
    struct output *output; /* owned */
    struct str header;
    char chunk[CHUNK];
};

static bool write_header(struct packing *packing, const struct walk_entry *entry,
                         const char *target, const struct stat *status, struct err *err)
{
    char slash[] = {S_ISDIR(status->st_mode) ? '/' : '\0', '\0'};
    AUTO(free_string) char *path = NULL;
    if (asprintf(&path, "%s%s", entry->path, slash) < 0) {
        path = NULL;
        return err_set(err, ERR_INTERNAL, "packing: out of memory");
    }
    str_clear(&packing->header);
    tar_header_append(&packing->header, path, target, status);
    return str_check(&packing->header, "an archive member", err) &&
           output_write(packing->output, packing->header.data, packing->header.len, err);
}

static bool write_zeros(struct packing *packing, size_t len, struct err *err)
{
    static const char zeros[TAR_END_SIZE];
    return output_write(packing->output, zeros, len, err);
}

/* As many bytes as the header has promised. */
static bool write_content(struct packing *packing, int fd, const struct stat *status,
                          const char *path, struct err *err)
{
    uint64_t left = (uint64_t)status->st_size;
    while (left > 0) {
        ssize_t got = read(fd, packing->chunk, left < CHUNK ? (size_t)left : CHUNK);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return open_failed(err, errno, path);
        }
        if (got == 0) {
            return err_set_reason(err, ERR_CONFLICT, "file_changed",
                                  "became shorter while it was read: %s", path);
        }
        if (!output_write(packing->output, packing->chunk, (size_t)got, err)) {
            return false;
        }
        left -= (uint64_t)got;
    }
    return write_zeros(packing, tar_padding((uint64_t)status->st_size), err);
}

static bool pack_file(struct packing *packing, const struct walk_entry *entry, struct err *err)
{
    struct stat status;
    AUTO(close_fd) int fd = open_at(entry->folder, entry->name, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0) {
        return errno == ENOENT || open_failed(err, errno, entry->path);
    }
    if (fstat(fd, &status) != 0) {
        return open_failed(err, errno, entry->path);
    }
    if (!S_ISREG(status.st_mode)) {
        return true;
    }
    return write_header(packing, entry, NULL, &status, err) &&
           write_content(packing, fd, &status, entry->path, err);
}

static bool pack_link(struct packing *packing, const struct walk_entry *entry, struct err *err)
{
    char target[PATH_SIZE];
    ssize_t len = readlinkat(entry->folder, entry->name, target, sizeof target);
    if (len < 0) {
        return errno == ENOENT || errno == EINVAL || open_failed(err, errno, entry->path);
    }
    if (len == sizeof target) {
        return open_failed(err, ENAMETOOLONG, entry->path);
    }
    target[len] = '\0';
    return write_header(packing, entry, target, &entry->status, err);
}

static bool on_entry(const struct walk_entry *entry, void *arg, struct err *err)
{
    struct packing *packing = arg;
    switch (entry->status.st_mode & S_IFMT) {
    case S_IFREG:
        return pack_file(packing, entry, err);
    case S_IFLNK:
        return pack_link(packing, entry, err);
    case S_IFDIR:
        return write_header(packing, entry, NULL, &entry->status, err);
    default:
        return true;
    }
}

/* An archive that lacks what it should hold must not look whole. */
static bool on_unreadable(const char *path, void *arg, struct err *err)
{
    (void)path;
    (void)arg;
    (void)err;
    return false;
}

bool pack(const char *folder, bool gzip, FILE *out, struct err *err)
{
    static const struct walk_events events = {on_entry, on_unreadable};
    struct packing *packing = calloc(1, sizeof *packing);
    if (packing == NULL) {
        return err_set(err, ERR_INTERNAL, "packing: out of memory");
    }
    packing->header = STR_INIT(HEADER_MAX);
    packing->output = output_new(out, gzip, err);
    bool succeeded = packing->output != NULL && walk(folder, &events, packing, err) &&
                     write_zeros(packing, TAR_END_SIZE, err) && output_finish(packing->output, err);
    output_free(packing->output);
    str_free(&packing->header);
    free(packing);
    return succeeded;
}
