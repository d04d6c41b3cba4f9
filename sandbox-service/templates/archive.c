#include "sandbox-service/templates/archive.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers are octal digits and a NUL. */
struct header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char modified[12];
    char checksum[8];
    char kind;
    char link[100];
    char magic[6];
    char version[2];
    char owner[32];
    char group[32];
    char device_major[8];
    char device_minor[8];
    char prefix[155];
    char unused[12];
};
_Static_assert(sizeof(struct header) == ARCHIVE_BLOCK, "a header is one block");

static const char zeros[2 * ARCHIVE_BLOCK];

/* The sum of all bytes, those of the sum itself taken for blanks. */
static void set_checksum(struct header *header)
{
    unsigned sum = 0;
    memset(header->checksum, ' ', sizeof header->checksum);
    const unsigned char *bytes = (const unsigned char *)header;
    for (size_t i = 0; i < sizeof *header; i++) {
        sum += bytes[i];
    }
    (void)snprintf(header->checksum, sizeof header->checksum, "%06o", sum);
    header->checksum[7] = ' ';
}

bool archive_add_file(struct str *out, const char *name, struct view content, struct err *err)
{
    struct header header = {.kind = '0', .magic = "ustar", .version = {'0', '0'}};
    if (!view_copy(view_of(name), header.name, sizeof header.name)) {
        return err_set(err, ERR_INTERNAL, "archive: the name is too long");
    }
    (void)snprintf(header.mode, sizeof header.mode, "%07o", 0644U);
    (void)snprintf(header.uid, sizeof header.uid, "%07o", 0U);
    (void)snprintf(header.gid, sizeof header.gid, "%07o", 0U);
    int len = snprintf(header.size, sizeof header.size, "%011zo", content.len);
    if (len < 0 || (size_t)len >= sizeof header.size) {
        return err_set(err, ERR_INTERNAL, "archive: the file is too large");
    }
    (void)snprintf(header.modified, sizeof header.modified, "%011o", 0U);
    set_checksum(&header);
    str_append(out, &header, sizeof header);
    str_append_view(out, content);
    size_t rest = content.len % ARCHIVE_BLOCK;
    if (rest > 0) {
        str_append(out, zeros, ARCHIVE_BLOCK - rest);
    }
    return true;
}

void archive_end(struct str *out)
{
    str_append(out, zeros, sizeof zeros);
}

static bool refuse(const char *problem, struct err *err)
{
    return err_set_reason(err, ERR_INVALID, "invalid_folder", "the folder's archive: %s", problem);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\0';
}

/* Octal digits between blanks. */
static bool read_number(const char *digits, size_t size, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    while (i < size && is_blank(digits[i])) {
        i++;
    }
    for (; i < size && digits[i] >= '0' && digits[i] <= '7'; i++) {
        *out = *out * 8 + (uint64_t)(digits[i] - '0'); /* 12 digits at most */
    }
    while (i < size && is_blank(digits[i])) {
        i++;
    }
    return i == size;
}

static bool has_checksum(const struct header *header)
{
    struct header copy = *header;
    uint64_t told;
    set_checksum(&copy);
    uint64_t sum = strtoul(copy.checksum, NULL, 8);
    return read_number(header->checksum, sizeof header->checksum, &told) && told == sum;
}

/* Of a header that goes before another one, in the form of POSIX: what it says of that one's size
 * goes before what stands there. */
static bool changes_size(struct view records)
{
    static const struct view words[] = {VIEW(" size="), VIEW("GNU.sparse")};
    for (size_t i = 0; records.len > 0 && i < sizeof words / sizeof words[0]; i++) {
        if (memmem(records.ptr, records.len, words[i].ptr, words[i].len) != NULL) {
            return true;
        }
    }
    return false;
}

/* Whether an entry is what it seems; content: of it. */
static bool check_entry(const struct header *header, struct view content, struct err *err)
{
    switch (header->kind) {
    case '0': /* a file */
    case '7':
    case 'L': /* GNU: the next one's name */
    case 'K':
        return true;
    case '1': /* links, devices, folders: nothing behind them */
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
        return content.len == 0 || refuse("an entry that is no file has content", err);
    case 'x': /* POSIX: more of the next one, or of all */
    case 'g':
        return !changes_size(content) || refuse("sparse files are not taken", err);
    default:
        return refuse("sparse files, and entries of other kinds, are not taken", err);
    }
}

bool archive_check(struct view archive, struct err *err)
{
    struct header header;
    uint64_t size;
    while (archive.len > 0) {
        if (archive.len < ARCHIVE_BLOCK) {
            return refuse("it ends within a block", err);
        }
        if (memcmp(archive.ptr, zeros, ARCHIVE_BLOCK) == 0) {
            return true; /* nobody reads further */
        }
        memcpy(&header, archive.ptr, sizeof header);
        archive = view_from(archive, ARCHIVE_BLOCK);
        if (!has_checksum(&header) || !read_number(header.size, sizeof header.size, &size)) {
            return refuse("it is no tar, or compressed", err);
        }
        if (size > archive.len) {
            return refuse("it ends within a file", err);
        }
        if (!check_entry(&header, (struct view){archive.ptr, (size_t)size}, err)) {
            return false;
        }
        size_t padded = ((size_t)size + ARCHIVE_BLOCK - 1) / ARCHIVE_BLOCK * ARCHIVE_BLOCK;
        archive = view_from(archive, padded < archive.len ? padded : archive.len);
    }
    return true;
}
