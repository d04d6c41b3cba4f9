#include "sandbox-service/templates/archive.h"

#include <stdio.h>

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
