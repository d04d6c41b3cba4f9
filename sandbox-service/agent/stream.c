#include "sandbox-service/agent/stream.h"

#include "common/event/loop.h"

#include <assert.h>
#include <stdlib.h>

struct streams {
    struct loop *loop; /* borrowed */
    struct streams_link link;
    struct list open;   /* those that wait longest for room first */
    struct map by_id;   /* of the same */
    struct timer drain; /* gives room from the loop, not from inside a send */
};

struct stream {
    struct list node;
    struct map_node by_id;
    struct loop_corpse corpse;
    struct streams *all;
    struct reply reply; /* its epoch is the stream's */
    uint32_t id;
    struct stream_credit credit; /* what we may send */
    struct stream_intake intake; /* what we are sent */
    bool ended;                  /* a fin came */
    bool closed;
    const struct stream_events *events; /* borrowed */
    void *arg;
};

static struct view key_of(const uint32_t *id)
{
    return (struct view){(const char *)id, sizeof *id};
}

static void free_stream(void *object)
{
    free(object);
}

static void unlink_stream(struct stream *stream)
{
    stream->closed = true;
    list_remove(&stream->node);
    map_remove(&stream->all->by_id, &stream->by_id);
    loop_free_later(stream->all->loop, &stream->corpse, free_stream, stream);
}

/* The owner hears of it. */
static void lose(struct stream *stream)
{
    unlink_stream(stream);
    stream->events->on_closed(stream->arg);
}

static void send_frame(const struct streams *streams, uint64_t epoch, uint32_t id,
                       enum stream_kind kind, struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    stream_header_write(id, kind, header);
    streams->link.send(streams->link.arg, epoch, (struct view){header, sizeof header}, payload);
}

static void give_room(struct stream *stream)
{
    if (stream->events->on_room != NULL && stream_room(stream) > 0) {
        stream->events->on_room(stream->arg);
    }
}

/* A stream that was served goes to the end of the line. */
static void on_drain(void *arg)
{
    struct streams *streams = arg;
    struct list waiting;
    struct list *node;
    list_init(&waiting);
    while ((node = list_pop(&streams->open)) != NULL) {
        list_append(&waiting, node);
    }
    while ((node = list_pop(&waiting)) != NULL) {
        list_append(&streams->open, node);
        give_room(LIST_ENTRY(node, struct stream, node));
    }
}

struct streams *streams_new(struct loop *loop, const struct streams_link *link, struct err *err)
{
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL) {
        err_set(err, ERR_INTERNAL, "streams: out of memory");
        return NULL;
    }
    streams->loop = loop;
    streams->link = *link;
    list_init(&streams->open);
    if (!map_init(&streams->by_id, err) ||
        !timer_open(&streams->drain, loop, on_drain, streams, err)) {
        streams_free(streams);
        return NULL;
    }
    return streams;
}

void streams_free(struct streams *streams)
{
    if (streams == NULL) {
        return;
    }
    streams_on_lost(streams);
    timer_close(&streams->drain);
    map_free(&streams->by_id);
    free(streams);
}

void streams_on_lost(struct streams *streams)
{
    struct list *node;
    while ((node = list_pop(&streams->open)) != NULL) {
        lose(LIST_ENTRY(node, struct stream, node));
    }
}

void streams_on_drained(struct streams *streams)
{
    timer_arm(&streams->drain, 0);
}

static bool take_bytes(struct stream *stream, struct view bytes)
{
    if (!stream_credit_use(&stream->intake.credit, bytes.len)) {
        return false;
    }
    if (stream->ended || stream->events->on_bytes == NULL) {
        stream_used(stream, bytes.len); /* nobody is there to read them */
    } else if (bytes.len > 0) {
        stream->events->on_bytes(bytes, stream->arg);
    }
    return true;
}

static bool handle(struct stream *stream, const struct stream_frame *frame)
{
    switch (frame->kind) {
    case STREAM_DATA:
        return take_bytes(stream, frame->payload);
    case STREAM_WINDOW:
        if (!stream_credit_add(&stream->credit, frame->window)) {
            return false;
        }
        give_room(stream);
        return true;
    case STREAM_FIN:
        if (!stream->ended) {
            stream->ended = true;
            if (stream->events->on_fin != NULL) {
                stream->events->on_fin(stream->arg);
            }
        }
        return true;
    case STREAM_RESET:
        lose(stream);
        return true;
    case STREAM_STDOUT:
    case STREAM_STDERR:
        break;
    }
    return false;
}

bool streams_on_message(struct streams *streams, uint64_t epoch, struct view message)
{
    struct stream_frame frame;
    struct err ignored;
    if (!stream_frame_read(message, &frame, &ignored)) {
        return false;
    }
    struct map_node *node = map_find(&streams->by_id, key_of(&frame.id));
    if (node != NULL) {
        return handle(MAP_ENTRY(node, struct stream, by_id), &frame);
    }
    if (frame.kind != STREAM_RESET && frame.kind != STREAM_WINDOW) {
        send_frame(streams, epoch, frame.id, STREAM_RESET, VIEW("stream_not_open"));
    }
    return true;
}

struct stream *stream_open(struct streams *streams, const struct reply *reply, uint32_t id,
                           const struct stream_events *events, void *arg, struct err *err)
{
    if (map_find(&streams->by_id, key_of(&id)) != NULL) {
        err_set_reason(err, ERR_CONFLICT, "stream_in_use", "The stream id %u is in use.", id);
        return NULL;
    }
    if (streams->by_id.count >= STREAMS_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d streams are open already", STREAMS_MAX);
        return NULL;
    }
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        err_set(err, ERR_INTERNAL, "stream: out of memory");
        return NULL;
    }
    stream->all = streams;
    stream->reply = *reply;
    stream->reply.id[0] = '\0';
    stream->id = id;
    stream->credit = stream_credit_of_agent(id);
    stream->intake = stream_intake_begin();
    stream->events = events;
    stream->arg = arg;
    list_append(&streams->open, &stream->node);
    map_insert(&streams->by_id, &stream->by_id, key_of(&stream->id));
    return stream;
}

uint32_t stream_id(const struct stream *stream)
{
    return stream->id;
}

const struct reply *stream_reply(const struct stream *stream)
{
    return &stream->reply;
}

size_t stream_room(const struct stream *stream)
{
    const struct streams_link *link = &stream->all->link;
    return stream->credit.left > 0 && link->has_room(link->arg) ? stream->credit.left : 0;
}

void stream_send(struct stream *stream, enum stream_kind kind, struct view bytes)
{
    bool within = stream_credit_use(&stream->credit, bytes.len);
    assert(within && !stream->closed);
    while (bytes.len > 0) {
        size_t len = bytes.len < STREAM_PAYLOAD_MAX ? bytes.len : STREAM_PAYLOAD_MAX;
        send_frame(stream->all, stream->reply.epoch, stream->id, kind,
                   (struct view){bytes.ptr, len});
        bytes = view_from(bytes, len);
    }
}

void stream_send_fin(struct stream *stream)
{
    send_frame(stream->all, stream->reply.epoch, stream->id, STREAM_FIN, (struct view){0});
}

static void send_grant(const struct stream *stream, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    send_frame(stream->all, stream->reply.epoch, stream->id, STREAM_WINDOW,
               (struct view){window, sizeof window});
}

void stream_widen(struct stream *stream, uint32_t bytes)
{
    if (stream_intake_widen(&stream->intake, bytes)) {
        send_grant(stream, bytes);
    }
}

void stream_used(struct stream *stream, size_t bytes)
{
    uint32_t grant = stream_intake_take(&stream->intake, bytes);
    if (grant > 0 && !stream->ended) {
        send_grant(stream, grant);
    }
}

void stream_close(struct stream *stream)
{
    assert(!stream->closed);
    unlink_stream(stream);
}

void stream_reset(struct stream *stream, const char *code)
{
    send_frame(stream->all, stream->reply.epoch, stream->id, STREAM_RESET, view_of(code));
    stream_close(stream);
}
