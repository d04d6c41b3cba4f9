#include "sandbox-service/agent/tools/input.h"

#include "sandbox-service/agent/open.h"

#include <errno.h>
#include <zlib.h>

enum {
    CHUNK = 64 * 1024,
    DRAIN_MAX = 1024 * 1024, /* tar fills up its last record, and none is longer */
    GZIP_WINDOW = 15 + 16,   /* zlib: the largest window, with gzip's head and tail */
    GZIP_FIRST_BYTE = 0x1f,
    GZIP_SECOND_BYTE = 0x8b,
};

struct input {
    int fd; /* borrowed */
    bool is_packed;
    bool ended; /* there is no more to read */
    bool in_member;
    bool inflater_open;
    z_stream inflater;
    uint64_t taken;
    uint64_t given;
    unsigned char raw[CHUNK];
    struct view waiting; /* of raw */
    unsigned char plain[CHUNK];
};

static bool malformed(struct err *err, const char *why)
{
    return err_set_reason(err, ERR_INVALID, "archive_malformed", "%s", why);
}

/* Adds to what waits, which lies at the beginning of raw. */
static bool read_more(struct input *input, struct err *err)
{
    size_t used = input->waiting.len;
    ssize_t got;
    do {
        got = read(input->fd, input->raw + used, sizeof input->raw - used);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return open_failed(err, errno, "while reading the archive");
    }
    input->ended = got == 0;
    input->taken += (uint64_t)got;
    input->waiting = (struct view){(const char *)input->raw, used + (size_t)got};
    return true;
}

static bool fill(struct input *input, struct err *err)
{
    return input->waiting.len > 0 || input->ended || read_more(input, err);
}

static bool look_at_format(struct input *input, enum input_format format, struct err *err)
{
    while (input->waiting.len < 2 && !input->ended) {
        if (!read_more(input, err)) {
            return false;
        }
    }
    bool looks_packed = input->waiting.len >= 2 && input->raw[0] == GZIP_FIRST_BYTE &&
                        input->raw[1] == GZIP_SECOND_BYTE;
    input->is_packed = format == INPUT_TAR_GZ || (format == INPUT_AUTO && looks_packed);
    if (input->is_packed && !looks_packed) {
        return malformed(err, "this is not gzip");
    }
    return true;
}

struct input *input_new(int fd, enum input_format format, struct err *err)
{
    struct input *input = calloc(1, sizeof *input);
    if (input == NULL) {
        (void)err_set(err, ERR_INTERNAL, "reading an archive: out of memory");
        return NULL;
    }
    input->fd = fd;
    if (!look_at_format(input, format, err)) {
        goto fail;
    }
    if (input->is_packed) {
        if (inflateInit2(&input->inflater, GZIP_WINDOW) != Z_OK) {
            (void)err_set(err, ERR_INTERNAL, "inflateInit2: out of memory");
            goto fail;
        }
        input->inflater_open = true;
        input->in_member = true;
    }
    return input;
fail:
    input_free(input);
    return NULL;
}

void input_free(struct input *input)
{
    if (input != NULL && input->inflater_open) {
        (void)inflateEnd(&input->inflater);
    }
    free(input);
}

void input_release(struct input **input)
{
    input_free(*input);
}

uint64_t input_taken(const struct input *input)
{
    return input->taken;
}

uint64_t input_given(const struct input *input)
{
    return input->given;
}

/* Behind one gzip member: zeros, another one, or the end. */
static bool enter_next_member(struct input *input, struct err *err)
{
    while (fill(input, err)) {
        while (input->waiting.len > 0 && input->waiting.ptr[0] == '\0') {
            input->waiting = view_from(input->waiting, 1);
        }
        if (input->waiting.len > 0) {
            if ((unsigned char)input->waiting.ptr[0] != GZIP_FIRST_BYTE ||
                inflateReset(&input->inflater) != Z_OK) {
                return malformed(err, "something else follows the gzip data");
            }
            input->in_member = true;
            return true;
        }
        if (input->ended) {
            return true;
        }
    }
    return false;
}

/* Inflates what waits; *out may stay empty. */
static bool inflate_some(struct input *input, struct view *out, struct err *err)
{
    if (!fill(input, err)) {
        return false;
    }
    if (input->waiting.len == 0) {
        return malformed(err, "the gzip data is cut off");
    }
    size_t offset = (size_t)(input->waiting.ptr - (const char *)input->raw);
    input->inflater.next_in = input->raw + offset;
    input->inflater.avail_in = (uInt)input->waiting.len;
    input->inflater.next_out = input->plain;
    input->inflater.avail_out = CHUNK;
    int result = inflate(&input->inflater, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) {
        return err_set(err, ERR_INTERNAL, "inflate: out of memory");
    }
    if (result != Z_OK && result != Z_STREAM_END) {
        return malformed(err, "the gzip data is damaged");
    }
    input->waiting = view_from(input->waiting, input->waiting.len - input->inflater.avail_in);
    input->in_member = result != Z_STREAM_END;
    *out = (struct view){(const char *)input->plain, CHUNK - input->inflater.avail_out};
    return true;
}

static bool read_packed(struct input *input, struct view *out, struct err *err)
{
    while (out->len == 0) {
        if (!input->in_member) {
            if (!enter_next_member(input, err)) {
                return false;
            }
            if (!input->in_member) {
                return true;
            }
        }
        if (!inflate_some(input, out, err)) {
            return false;
        }
    }
    return true;
}

static bool read_plain(struct input *input, struct view *out, struct err *err)
{
    if (!fill(input, err)) {
        return false;
    }
    *out = input->waiting;
    input->waiting = (struct view){0};
    return true;
}

bool input_read(struct input *input, struct view *out, struct err *err)
{
    *out = (struct view){0};
    if (!(input->is_packed ? read_packed : read_plain)(input, out, err)) {
        return false;
    }
    input->given += out->len;
    return true;
}

bool input_drain(struct input *input, struct err *err)
{
    uint64_t limit = input->given + DRAIN_MAX;
    struct view bytes;
    do {
        if (!input_read(input, &bytes, err)) {
            return false;
        }
        if (input->given > limit) {
            return malformed(err, "too much follows the archive");
        }
    } while (bytes.len > 0);
    return true;
}
