#include "sandbox-service/agent/attach.h"

#include "common/base/log.h"
#include "sandbox-service/agent/exit_text.h"

#include <stdlib.h>

struct attachment {
    struct stream *stream;        /* NULL once it is closed */
    struct process_reader reader; /* its process is NULL until joined */
    struct process_writer writer;
    uint64_t from[PROCESS_OUTPUTS]; /* what was asked for */
    struct attachment **holder;     /* see attach_hold */
};

const struct attach_from attach_beginning[PROCESS_OUTPUTS] = {{.asked = true}, {.asked = true}};

/* How a kind of output is called, and the frames it travels in. */
static const struct {
    struct view name;
    enum stream_kind kind;
} pipe_kinds[] = {{VIEW("stdout"), STREAM_STDOUT}, {VIEW("stderr"), STREAM_STDERR}},
  terminal_kinds[] = {{VIEW("data"), STREAM_DATA}};

static const struct process *process_of(const struct attachment *attachment)
{
    return attachment->reader.process;
}

static size_t kind_count(const struct attachment *attachment)
{
    return process_has_terminal(process_of(attachment)) ? 1 : PROCESS_OUTPUTS;
}

static struct view kind_name(const struct attachment *attachment, size_t kind)
{
    return kind_count(attachment) == 1 ? terminal_kinds[0].name : pipe_kinds[kind].name;
}

static enum stream_kind frame_kind(const struct attachment *attachment, size_t kind)
{
    return kind_count(attachment) == 1 ? terminal_kinds[0].kind : pipe_kinds[kind].kind;
}

/* The stream is closed, or about to be closed by the caller. */
static void free_attachment(struct attachment *attachment)
{
    if (attachment->holder != NULL) {
        *attachment->holder = NULL;
    }
    process_writer_close(&attachment->writer);
    process_reader_close(&attachment->reader);
    free(attachment);
}

static void send_gap(const struct attachment *attachment, size_t kind, uint64_t from, uint64_t to)
{
    struct str out;
    struct json_writer writer = stream_text_begin(attachment->stream, &out, "gap");
    json_string(&writer, "kind", kind_name(attachment, kind));
    json_int(&writer, "from", (int64_t)from);
    json_int(&writer, "to", (int64_t)to);
    reply_end(stream_reply(attachment->stream), &writer);
}

static void fail(struct attachment *attachment, const char *code)
{
    stream_reset(attachment->stream, code);
    free_attachment(attachment);
}

/* Sends what there is, as far as there is credit; ends behind the last byte of what has ended. */
static void pump(struct attachment *attachment)
{
    unsigned kind = 0;
    struct view bytes;
    struct spool_reader *spool = &attachment->reader.spool;
    size_t room = stream_room(attachment->stream);
    while (room > 0 && spool_read(spool, room, &kind, &bytes)) {
        stream_send(attachment->stream, frame_kind(attachment, kind), bytes);
        process_reader_advance(&attachment->reader, kind, bytes.len);
        room = stream_room(attachment->stream);
    }
    const struct process_exit *exit = process_exit_of(process_of(attachment));
    if (exit != NULL && !spool_read(spool, SPOOL_READ_MAX, &kind, &bytes)) {
        exit_send(attachment->stream, process_pid(process_of(attachment)), exit);
        stream_close(attachment->stream);
        free_attachment(attachment);
    }
}

static void on_more(void *arg)
{
    struct attachment *attachment = arg;
    const char *failure = process_failure_of(process_of(attachment));
    if (failure != NULL) {
        fail(attachment, failure);
    } else {
        pump(attachment);
    }
}

static void on_room(void *arg)
{
    pump(arg);
}

static void on_taken(size_t bytes, void *arg)
{
    const struct attachment *attachment = arg;
    stream_used(attachment->stream, bytes);
}

/* What nobody reads is taken and forgotten, as a pipe without a reader would. */
static void on_bytes(struct view bytes, void *arg)
{
    struct attachment *attachment = arg;
    struct process *process = attachment->reader.process;
    struct err err;
    if (process_takes_input(process)) {
        if (process_write(process, &attachment->writer, bytes, &err)) {
            return;
        }
        if (err.code != ERR_CONFLICT) {
            log_warn("attach.input_lost", LOG_ERR(&err));
            fail(attachment, err.reason);
            return;
        }
    }
    stream_used(attachment->stream, bytes.len);
}

static void on_fin(void *arg)
{
    struct process *process = ((struct attachment *)arg)->reader.process;
    struct err err;
    if (process_takes_input(process) && !process_close_stdin(process, &err)) {
        log_warn("attach.fin_lost", LOG_ERR(&err));
    }
}

/* Only the one who watched is gone. */
static void on_closed(void *arg)
{
    free_attachment(arg);
}

static const struct stream_events events = {on_bytes, on_fin, on_room, on_closed};

struct attachment *attach_open(struct streams *streams, const struct reply *reply, uint32_t id,
                               struct err *err)
{
    struct attachment *attachment = calloc(1, sizeof *attachment);
    if (attachment == NULL) {
        err_set(err, ERR_INTERNAL, "attach: out of memory");
        return NULL;
    }
    attachment->stream = stream_open(streams, reply, id, &events, attachment, err);
    if (attachment->stream == NULL) {
        free(attachment);
        return NULL;
    }
    return attachment;
}

void attach_cancel(struct attachment *attachment)
{
    if (attachment != NULL) {
        stream_close(attachment->stream);
        free_attachment(attachment);
    }
}

static uint64_t resolve(const struct attach_from *from, uint64_t begin, uint64_t end)
{
    if (!from->asked) {
        return begin;
    }
    return from->offset < 0 || (uint64_t)from->offset > end ? end : (uint64_t)from->offset;
}

void attach_join(struct attachment *attachment, struct process *process,
                 const struct attach_from from[PROCESS_OUTPUTS])
{
    const struct spool *spool = process_spool(process);
    for (int kind = 0; kind < PROCESS_OUTPUTS; kind++) {
        attachment->from[kind] = resolve(&from[kind], spool->begin[kind], spool->end[kind]);
    }
    process_reader_open(&attachment->reader, process, attachment->from, on_more, attachment);
    attachment->writer =
        (struct process_writer){.process = process, .on_taken = on_taken, .arg = attachment};
}

static uint64_t begin_of(const struct attachment *attachment, size_t kind)
{
    uint64_t kept = process_spool(process_of(attachment))->begin[kind];
    return attachment->from[kind] > kept ? attachment->from[kind] : kept;
}

void attach_write(const struct attachment *attachment, struct json_writer *writer)
{
    static const char *const names[] = {"stdout", "stderr"};
    const struct process *process = process_of(attachment);
    struct view tag = process_about(process)->tag;
    json_int(writer, "streamId", stream_id(attachment->stream));
    json_int(writer, "pid", process_pid(process));
    if (tag.len > 0) {
        json_string(writer, "tag", tag);
    }
    json_begin_object(writer, "offsets");
    for (size_t kind = 0; kind < kind_count(attachment); kind++) {
        json_int(writer, kind_count(attachment) == 1 ? "data" : names[kind],
                 (int64_t)begin_of(attachment, kind));
    }
    json_end_object(writer);
}

void attach_hold(struct attachment *attachment, struct attachment **holder)
{
    attachment->holder = holder;
    *holder = attachment;
}

void attach_go(struct attachment *attachment)
{
    if (attachment->holder != NULL) {
        *attachment->holder = NULL;
        attachment->holder = NULL;
    }
    for (size_t kind = 0; kind < kind_count(attachment); kind++) {
        uint64_t begin = begin_of(attachment, kind);
        if (attachment->from[kind] < begin) {
            send_gap(attachment, kind, attachment->from[kind], begin);
        }
    }
    pump(attachment);
}
