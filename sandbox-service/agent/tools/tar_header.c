#include "sandbox-service/agent/tools/tar_header.h"

#include <stdio.h>

enum {
    PERMISSION_BITS = 07777,
    NAME_SIZE = 100,
    BITS_OF_OCTAL = 3,
    BITS_OF_BYTE = 8,
    BASE_256 = 0x80, /* the first byte of a number that octal digits can't hold */
};

/* As it lies in the archive; names that fill their field have no NUL. */
struct header {
    char name[NAME_SIZE];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char modified[12];
    char checksum[8];
    char kind;
    char target[NAME_SIZE];
    char magic[8];
    char rest[247];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK_SIZE, "a header is one block");

/* Octal digits and a NUL; a number that does not fit, or is negative, in bytes. */
static void put_number(char *field, size_t size, int64_t value)
{
    size_t digits = size - 1;
    if (value >= 0 && (value >> (digits * BITS_OF_OCTAL)) == 0) {
        field[digits] = '\0';
        for (size_t i = digits; i > 0; i--) {
            field[i - 1] = (char)('0' + (value & 7));
            value >>= BITS_OF_OCTAL;
        }
        return;
    }
    for (size_t i = size; i > 0; i--) {
        field[i - 1] = (char)(value & 0xff);
        value >>= BITS_OF_BYTE;
    }
    field[0] = (char)((unsigned char)field[0] | BASE_256);
}

static void append_header(struct str *out, struct header *header)
{
    unsigned sum = 0;
    memset(header->checksum, ' ', sizeof header->checksum);
    memcpy(header->magic, "ustar  ", sizeof header->magic);
    for (size_t i = 0; i < sizeof *header; i++) {
        sum += ((const unsigned char *)header)[i];
    }
    (void)snprintf(header->checksum, sizeof header->checksum, "%06o", sum);
    str_append(out, header, sizeof *header);
}

/* A name, or the beginning of one that has a member of its own before this one. */
static void put_name(struct str *out, char field[NAME_SIZE], const char *name, char kind)
{
    size_t len = strlen(name);
    if (len > NAME_SIZE) {
        static const char zeros[TAR_BLOCK_SIZE];
        struct header longer = {.name = "././@LongLink", .kind = kind};
        put_number(longer.mode, sizeof longer.mode, 0);
        put_number(longer.uid, sizeof longer.uid, 0);
        put_number(longer.gid, sizeof longer.gid, 0);
        put_number(longer.size, sizeof longer.size, (int64_t)len + 1);
        put_number(longer.modified, sizeof longer.modified, 0);
        append_header(out, &longer);
        str_append(out, name, len + 1);
        str_append(out, zeros, tar_padding(len + 1));
    }
    memcpy(field, name, len < NAME_SIZE ? len : NAME_SIZE);
}

static char kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? '5' : S_ISLNK(mode) ? '2' : '0';
}

void tar_header_append(struct str *out, const char *path, const char *target,
                       const struct stat *status)
{
    struct header header = {.kind = kind_of(status->st_mode)};
    int64_t size = S_ISREG(status->st_mode) ? status->st_size : 0;
    if (target != NULL) {
        put_name(out, header.target, target, 'K');
    }
    put_name(out, header.name, path, 'L');
    put_number(header.mode, sizeof header.mode, status->st_mode & PERMISSION_BITS);
    put_number(header.uid, sizeof header.uid, status->st_uid);
    put_number(header.gid, sizeof header.gid, status->st_gid);
    put_number(header.size, sizeof header.size, size);
    put_number(header.modified, sizeof header.modified, status->st_mtim.tv_sec);
    append_header(out, &header);
}

size_t tar_padding(uint64_t size)
{
    return (size_t)(-size % TAR_BLOCK_SIZE);
}
