#include "common/base/clock.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/entry.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/transfers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIECE = 64 * 1024,
    PIECES = 4, /* at once: the whole first window */
    UNSIZED_BLOCK = 4096,
};

struct download {
    struct transfers *all;
    struct stream *stream;
    int fd;
    struct str content; /* of a file that does not tell its size: all of it */
    bool has_content;
    int64_t size; /* of the whole file */
    int64_t at;
    int64_t end;
    struct chore send;
};

static void free_download(struct download *download)
{
    close_fd(&download->fd);
    str_free(&download->content);
    chore_stop(&download->send);
    transfers_leave(download->all);
    free(download);
}

/* What comes next, at most len bytes; 0: there is no more, -1 with errno. */
static ssize_t read_piece(const struct download *download, char *piece, size_t len)
{
    if (!download->has_content) {
        return pread(download->fd, piece, len, download->at);
    }
    memcpy(piece, download->content.data + download->at, len);
    return (ssize_t)len;
}

/* True: it is not through, and there is room for more. */
static bool send_some(struct download *download)
{
    char piece[PIECE];
    for (int i = 0; i < PIECES && download->at < download->end; i++) {
        size_t len = stream_room(download->stream);
        int64_t left = download->end - download->at;
        len = len < sizeof piece ? len : sizeof piece;
        len = left < (int64_t)len ? (size_t)left : len;
        if (len == 0) {
            return false;
        }
        ssize_t got = read_piece(download, piece, len);
        if (got <= 0) {
            stream_reset(download->stream, got == 0 ? "file_changed" : "read_failed");
            free_download(download);
            return false;
        }
        stream_send(download->stream, STREAM_DATA, (struct view){piece, (size_t)got});
        download->at += got;
    }
    if (download->at < download->end) {
        return stream_room(download->stream) > 0;
    }
    stream_send_fin(download->stream);
    stream_close(download->stream);
    free_download(download);
    return false;
}

static bool on_step(void *arg)
{
    return send_some(arg);
}

static void on_room(void *arg)
{
    struct download *download = arg;
    chore_start(download->all->chores, &download->send);
}

static void on_closed(void *arg)
{
    free_download(arg);
}

static const struct stream_events stream_events = {NULL, NULL, on_room, on_closed};

/* Files of the kernel say 0 or a page; a file without blocks may be such a one. */
static bool is_unsized(const struct stat *status)
{
    return status->st_size == 0 || (status->st_blocks == 0 && status->st_size <= UNSIZED_BLOCK);
}

static bool open_file(struct download *download, const struct transfer_file *file,
                      struct stat *status, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, file->user, err)) {
        return false;
    }
    download->fd = open_regular(file->path, O_RDONLY, status, err);
    bool opened = download->fd >= 0;
    if (opened && is_unsized(status)) {
        opened = open_read_all(download->fd, &download->content, err);
        download->has_content = true;
        status->st_size = (off_t)download->content.len;
    }
    acting_end(&acting);
    return opened;
}

static void set_range(struct download *download, const struct agent_download *request)
{
    download->at = request->offset < download->size ? request->offset : download->size;
    download->end = download->size;
    if (request->has_length && request->length < download->size - download->at) {
        download->end = download->at + request->length;
    }
}

static void answer(const struct download *download, const struct reply *reply, const char *path,
                   const struct stat *status)
{
    struct str out;
    char etag[64];
    char modified_at[CLOCK_ISO_SIZE];
    char mode[FILE_MODE_SIZE];
    entry_format_time(&status->st_mtim, modified_at);
    entry_format_mode(status->st_mode, mode);
    (void)snprintf(
        etag, sizeof etag, "%jx-%jx-%jx", (uintmax_t)status->st_ino, (uintmax_t)status->st_size,
        (uintmax_t)status->st_mtim.tv_sec * 1000000000U + (uintmax_t)status->st_mtim.tv_nsec);
    struct json_writer writer = reply_begin(reply, &out, "downloadResponse");
    json_int(&writer, "streamId", stream_id(download->stream));
    json_string(&writer, "path", view_of(path));
    json_int(&writer, "size", download->size);
    json_int(&writer, "offset", download->at);
    json_int(&writer, "length", download->end - download->at);
    json_string(&writer, "modifiedAt", view_of(modified_at));
    json_string(&writer, "etag", view_of(etag));
    json_string(&writer, "mode", view_of(mode));
    reply_end(reply, &writer);
}

static struct download *new_download(struct transfers *transfers, struct err *err)
{
    if (!transfers_enter(transfers, err)) {
        return NULL;
    }
    struct download *download = calloc(1, sizeof *download);
    if (download == NULL) {
        transfers_leave(transfers);
        err_set(err, ERR_INTERNAL, "download: out of memory");
        return NULL;
    }
    download->all = transfers;
    download->fd = -1;
    download->content = STR_INIT(DOWNLOAD_UNSIZED_MAX);
    download->send = (struct chore){.step = on_step, .arg = download};
    return download;
}

void download_begin(struct transfers *transfers, const struct reply *reply,
                    const struct transfer_file *file, const struct agent_download *request)
{
    struct err err;
    struct stat status;
    struct download *download = new_download(transfers, &err);
    if (download == NULL) {
        reply_error(reply, &err);
        return;
    }
    bool opened = open_file(download, file, &status, &err);
    if (opened) {
        download->stream = stream_open(transfers->streams, reply, (uint32_t)request->stream_id,
                                       &stream_events, download, &err);
    }
    if (download->stream == NULL) {
        reply_error(reply, &err);
        free_download(download);
        return;
    }
    download->size = (int64_t)status.st_size;
    set_range(download, request);
    answer(download, reply, file->path, &status);
    if (send_some(download)) {
        chore_start(transfers->chores, &download->send);
    }
}
