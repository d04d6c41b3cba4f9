#include "sandbox-service/agent/tools/unpack.h"

#include "sandbox-service/agent/tools/extraction.h"
#include "sandbox-service/agent/tools/member.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

enum {
    PERMISSION_BITS = 0777,
    NANOSECONDS_MAX = 999 * 1000 * 1000,
    END_SIZE = 512, /* at least one block of zeros */
};

struct unpacking {
    const struct unpack_options *options; /* borrowed */
    struct input *input;                  /* owned */
    struct archive *archive;              /* owned; reads input */
    struct extraction extraction;
    struct unpack_result result;
    struct err input_err; /* of on_read */
};

static bool too_large(struct err *err, const char *why)
{
    return err_set_reason(err, ERR_LIMIT, "archive_too_large", "%s", why);
}

/* bytes: what came out of the input, or what becomes of that. */
static bool check_growth(const struct unpacking *unpacking, uint64_t bytes, struct err *err)
{
    uint64_t allowed = UNPACK_RATIO_FREE_BYTES + input_taken(unpacking->input) * UNPACK_RATIO_MAX;
    return bytes <= allowed || too_large(err, "the archive grows too much");
}

static la_ssize_t on_read(struct archive *archive, void *arg, const void **bytes)
{
    struct unpacking *unpacking = arg;
    struct view piece;
    if (!input_read(unpacking->input, &piece, &unpacking->input_err) ||
        !check_growth(unpacking, input_given(unpacking->input), &unpacking->input_err)) {
        archive_set_error(archive, EIO, "reading failed");
        return ARCHIVE_FATAL;
    }
    *bytes = piece.ptr;
    return (la_ssize_t)piece.len;
}

/* Why the library failed. Its own words may quote the archive's bytes, so they are not passed on.
 */
static bool archive_failed(struct unpacking *unpacking, struct err *err)
{
    if (unpacking->input_err.code != ERR_NONE) {
        *err = unpacking->input_err;
        return false;
    }
    return err_set_reason(err, ERR_INVALID, "archive_malformed",
                          "this is no tar archive, or it is damaged or cut off");
}

static bool check_size(const struct unpacking *unpacking, uint64_t bytes, struct err *err)
{
    if (bytes > unpacking->options->bytes_max) {
        return too_large(err, "the archive holds more bytes than allowed");
    }
    return check_growth(unpacking, bytes, err);
}

/* The hole up to offset, and then the bytes. */
static bool take_block(struct unpacking *unpacking, struct extraction_file *file, uint64_t *size,
                       bool *ended, struct err *err)
{
    const void *bytes;
    size_t len;
    la_int64_t offset;
    int result = archive_read_data_block(unpacking->archive, &bytes, &len, &offset);
    *ended = result == ARCHIVE_EOF;
    if (*ended) {
        return true;
    }
    if (result != ARCHIVE_OK || offset < 0 || (uint64_t)offset < *size ||
        (uint64_t)offset > unpacking->options->bytes_max) {
        return archive_failed(unpacking, err);
    }
    *size = (uint64_t)offset + len;
    return check_size(unpacking, unpacking->result.bytes + *size, err) &&
           extraction_write(file, bytes, len, (uint64_t)offset, err);
}

static bool take_data(struct unpacking *unpacking, struct archive_entry *entry,
                      const struct extraction_member *member, struct extraction_file *file,
                      struct err *err)
{
    uint64_t whole = (uint64_t)archive_entry_size(entry);
    uint64_t size = 0;
    bool ended = false;
    while (!ended) {
        if (!take_block(unpacking, file, &size, &ended, err)) {
            return false;
        }
    }
    if (size > whole) {
        return archive_failed(unpacking, err);
    }
    if (!check_size(unpacking, unpacking->result.bytes + whole, err)) {
        return false;
    }
    unpacking->result.bytes += whole;
    return extraction_end_file(file, member, whole, err);
}

static bool take_file(struct unpacking *unpacking, struct archive_entry *entry,
                      const struct extraction_member *member, struct err *err)
{
    la_int64_t size = archive_entry_size(entry);
    struct extraction_file file;
    if (size < 0) {
        return archive_failed(unpacking, err);
    }
    /* Holes count too, and are known only now: a file of one byte may claim to be as large as the
     * disk. */
    uint64_t room = unpacking->options->bytes_max - unpacking->result.bytes;
    if ((uint64_t)size > room) {
        return too_large(err, "the archive holds more bytes than allowed");
    }
    bool taken = extraction_begin_file(&unpacking->extraction, member, &file, err) &&
                 take_data(unpacking, entry, member, &file, err);
    extraction_drop_file(&file);
    return taken;
}

static bool take_symlink(struct unpacking *unpacking, struct archive_entry *entry,
                         const struct extraction_member *member, struct err *err)
{
    const char *target = archive_entry_symlink(entry);
    if (target == NULL) {
        return archive_failed(unpacking, err);
    }
    return member_check_target(member->name, view_of(target), err) &&
           extraction_add_symlink(&unpacking->extraction, member, target, err);
}

static bool take_hardlink(struct unpacking *unpacking, struct archive_entry *entry,
                          const struct extraction_member *member, struct err *err)
{
    char target[PATH_SIZE];
    return member_clean_name(view_of(archive_entry_hardlink(entry)), target, err) &&
           extraction_add_hardlink(&unpacking->extraction, member, target, err);
}

static struct timespec modified_of(struct archive_entry *entry)
{
    long nanoseconds = archive_entry_mtime_nsec(entry);
    bool valid = nanoseconds >= 0 && nanoseconds <= NANOSECONDS_MAX;
    return archive_entry_mtime_is_set(entry)
               ? (struct timespec){archive_entry_mtime(entry), valid ? nanoseconds : 0}
               : (struct timespec){.tv_nsec = UTIME_NOW};
}

static bool take_kind(struct unpacking *unpacking, struct archive_entry *entry,
                      const struct extraction_member *member, struct err *err)
{
    if (archive_entry_hardlink(entry) != NULL) {
        return take_hardlink(unpacking, entry, member, err);
    }
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return take_file(unpacking, entry, member, err);
    case AE_IFDIR:
        return extraction_add_folder(&unpacking->extraction, member, err);
    case AE_IFLNK:
        return take_symlink(unpacking, entry, member, err);
    default:
        return err_set_reason(err, ERR_INVALID, "archive_unsafe",
                              "a member is neither file nor folder nor link: %s", member->name);
    }
}

/* On a folder these bits give nobody any rights; it does not get them. */
static bool check_mode(struct archive_entry *entry, const char *name, struct err *err)
{
    if (archive_entry_filetype(entry) != AE_IFDIR &&
        (archive_entry_mode(entry) & (S_ISUID | S_ISGID)) != 0) {
        return err_set_reason(err, ERR_INVALID, "archive_unsafe",
                              "a member would run with somebody else's rights: %s", name);
    }
    return true;
}

static bool take_member(struct unpacking *unpacking, struct archive_entry *entry, struct err *err)
{
    char name[PATH_SIZE];
    const char *path = archive_entry_pathname(entry);
    if (path == NULL) {
        return archive_failed(unpacking, err);
    }
    if (!member_clean_name(view_of(path), name, err) || !check_mode(entry, name, err)) {
        return false;
    }
    const struct extraction_member member = {
        .name = name,
        .mode = archive_entry_mode(entry) & PERMISSION_BITS,
        .modified = modified_of(entry),
    };
    if (name[0] == '\0') { /* the folder itself */
        return archive_entry_filetype(entry) == AE_IFDIR || archive_failed(unpacking, err);
    }
    unpacking->result.entries++;
    return take_kind(unpacking, entry, &member, err);
}

/* The end must be marked: an archive cut off between two members looks whole otherwise. */
static bool check_end(struct unpacking *unpacking, la_int64_t last_data_end, struct err *err)
{
    if (archive_filter_bytes(unpacking->archive, 0) - last_data_end < END_SIZE) {
        return archive_failed(unpacking, err);
    }
    return input_drain(unpacking->input, err);
}

static bool take_all(struct unpacking *unpacking, struct err *err)
{
    for (;;) {
        la_int64_t position = archive_filter_bytes(unpacking->archive, 0);
        struct archive_entry *entry;
        int result = archive_read_next_header(unpacking->archive, &entry);
        if (result == ARCHIVE_EOF) {
            return check_end(unpacking, position, err);
        }
        /* A warning: a name that does not fit this process's character set, and is taken as it is.
         */
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            return archive_failed(unpacking, err);
        }
        if (!take_member(unpacking, entry, err)) {
            return false;
        }
        if (archive_read_data_skip(unpacking->archive) != ARCHIVE_OK) {
            return archive_failed(unpacking, err);
        }
    }
}

static bool open_archive(struct unpacking *unpacking, int fd, struct err *err)
{
    unpacking->input = input_new(fd, unpacking->options->format, err);
    if (unpacking->input == NULL) {
        return false;
    }
    unpacking->archive = archive_read_new();
    if (unpacking->archive == NULL ||
        archive_read_support_format_tar(unpacking->archive) != ARCHIVE_OK) {
        return err_set(err, ERR_INTERNAL, "archive_read_new: out of memory");
    }
    if (archive_read_open(unpacking->archive, unpacking, NULL, on_read, NULL) != ARCHIVE_OK) {
        return archive_failed(unpacking, err);
    }
    return true;
}

bool unpack(int fd, const char *folder, const struct unpack_options *options,
            struct unpack_result *out, struct err *err)
{
    struct unpacking unpacking = {.options = options};
    bool succeeded = extraction_open(&unpacking.extraction, folder, err) &&
                     open_archive(&unpacking, fd, err) && take_all(&unpacking, err) &&
                     extraction_finish(&unpacking.extraction, err);
    if (!succeeded) {
        extraction_undo(&unpacking.extraction);
    }
    (void)archive_read_free(unpacking.archive);
    input_free(unpacking.input);
    extraction_close(&unpacking.extraction);
    *out = unpacking.result;
    return succeeded;
}
