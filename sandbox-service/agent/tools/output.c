#include "sandbox-service/agent/tools/output.h"

#include "sandbox-service/agent/open.h"

#include <errno.h>
#include <limits.h>
#include <zlib.h>

enum {
    CHUNK = 64 * 1024,
    GZIP_WINDOW = 15 + 16, /* zlib: the largest window, with gzip's head and tail */
    MEMORY_LEVEL = 8,      /* zlib's default */
};

struct output {
    FILE *file; /* borrowed */
    bool packs;
    z_stream deflater; /* open when packs */
    unsigned char packed[CHUNK];
};

struct output *output_new(FILE *file, bool pack, struct err *err)
{
    struct output *output = calloc(1, sizeof *output);
    if (output == NULL) {
        (void)err_set(err, ERR_INTERNAL, "packing: out of memory");
        return NULL;
    }
    output->file = file;
    /* Without a head of our own, zlib writes one without a time and a name. */
    if (pack && deflateInit2(&output->deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW,
                             MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        (void)err_set(err, ERR_INTERNAL, "deflateInit2: out of memory");
        free(output);
        return NULL;
    }
    output->packs = pack;
    return output;
}

void output_free(struct output *output)
{
    if (output != NULL && output->packs) {
        (void)deflateEnd(&output->deflater);
    }
    free(output);
}

static bool put(struct output *output, const void *bytes, size_t len, struct err *err)
{
    return fwrite(bytes, 1, len, output->file) == len ||
           open_failed(err, errno, "while writing the archive");
}

/* Takes all of the input; the end, when it is asked for, is written too. */
static bool pack_input(struct output *output, int flush, struct err *err)
{
    do {
        output->deflater.next_out = output->packed;
        output->deflater.avail_out = CHUNK;
        if (deflate(&output->deflater, flush) == Z_STREAM_ERROR) {
            return err_set(err, ERR_INTERNAL, "deflate failed");
        }
        if (!put(output, output->packed, CHUNK - output->deflater.avail_out, err)) {
            return false;
        }
    } while (output->deflater.avail_out == 0);
    return true;
}

bool output_write(struct output *output, const void *bytes, size_t len, struct err *err)
{
    if (!output->packs) {
        return put(output, bytes, len, err);
    }
    const unsigned char *rest = bytes;
    while (len > 0) {
        size_t some = len < INT_MAX ? len : INT_MAX;
        output->deflater.next_in = rest;
        output->deflater.avail_in = (uInt)some;
        if (!pack_input(output, Z_NO_FLUSH, err)) {
            return false;
        }
        rest += some;
        len -= some;
    }
    return true;
}

bool output_finish(struct output *output, struct err *err)
{
    if (output->packs) {
        output->deflater.next_in = NULL;
        output->deflater.avail_in = 0;
        if (!pack_input(output, Z_FINISH, err)) {
            return false;
        }
    }
    return fflush(output->file) == 0 || open_failed(err, errno, "while writing the archive");
}
