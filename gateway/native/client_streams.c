/* The streams of one client's WebSocket: its ids for the hub's streams, and credit both ways.
 *
 * The agent is granted no more than the client has granted, and little at a time, and nothing while
 * the client is behind with reading: so a client that grants much and reads nothing makes the
 * gateway hold BACKLOG_SOFT and STREAM_WINDOW_INITIAL of each stream, not what it granted. Events
 * of a watch have no credit: beyond BACKLOG_SOFT they are dropped, and the client is told so. */
#include "common/contracts/stream.h"
#include "common/json/scan.h"
#include "gateway/audit/recorder.h"
#include "gateway/http/outflow.h"
#include "gateway/hub/stream.h"
#include "gateway/native/client_relay.h"

#include <stdio.h>
#include <stdlib.h>

enum { PID_SIZE = 24, TEXT_MEMBER_SIZE = 32, EXIT_TEXT_SIZE = 256, OVERFLOW_TEXT_SIZE = 96 };

struct client_stream {
    struct list node;
    struct map_node by_id;
    struct client_relay *relay; /* borrowed */
    struct hub_stream *stream;  /* NULL while it is opened */
    uint32_t id;                /* the client's */
    enum client_stream_kind kind;
    struct audit_act *act; /* owned until it is answered; NULL: it is not recorded */
    bool answered;
    bool has_dropped; /* events of a watch, since the client was behind */
    bool repeatable;
    char request_id[CLIENT_ID_MAX + 1];
    char pid[PID_SIZE];            /* of an answered process, as JSON */
    struct stream_credit to_agent; /* what the client may send */
    struct stream_credit granted;  /* what it granted, and was not sent */
    struct stream_credit passed;   /* that part of it which the agent knows of */
};

static struct view key_of(const uint32_t *id)
{
    return (struct view){(const char *)id, sizeof *id};
}

static struct client_stream *find(const struct client_relay *relay, uint32_t id)
{
    struct map_node *node = map_find(&relay->streams_by_id, key_of(&id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct client_stream, by_id);
}

static void send_frame(struct client_relay *relay, uint32_t id, enum stream_kind kind,
                       struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    stream_header_write(id, kind, header);
    const struct view parts[] = {{header, sizeof header}, payload};
    client_relay_send(relay, WS_BINARY, parts, sizeof parts / sizeof parts[0]);
}

/* The only way out. The hub's stream is over, or closed before. */
static void finish(struct client_stream *stream)
{
    struct client_relay *relay = stream->relay;
    bool answered = stream->answered;
    if (stream->repeatable) {
        client_relay_settle(relay, stream->request_id);
    }
    list_remove(&stream->node);
    map_remove(&relay->streams_by_id, &stream->by_id);
    free(stream);
    if (!answered) {
        client_relay_count_answer(relay);
    }
}

static void fail_unanswered(struct client_stream *stream, const struct err *err)
{
    recorder_end(TAKE(stream->act), err);
    client_relay_send_error(stream->relay, view_of(stream->request_id), err);
    finish(stream);
}

/* on_drained comes when it is behind, and then is not. */
static bool keeps_up(const struct client_relay *relay)
{
    size_t most = outflow_is_tight() ? CLIENT_BACKLOG_LOW : CLIENT_BACKLOG_SOFT;
    return ws_backlog(relay->socket) <= most;
}

/* Lets the agent send what the client has granted, as far as the client keeps up. */
static void pass_grants(struct client_stream *stream)
{
    uint32_t room = STREAM_WINDOW_INITIAL;
    room -= stream->passed.left < room ? stream->passed.left : room;
    uint32_t owed = stream->granted.left - stream->passed.left;
    uint32_t bytes = owed < room ? owed : room;
    if (!keeps_up(stream->relay)) {
        return;
    }
    if (bytes > 0 && stream_credit_add(&stream->passed, bytes)) {
        hub_stream_grant(stream->stream, bytes);
    }
    hub_stream_keeps_up(stream->stream);
}

static void on_pid(const struct json_member *member, void *arg)
{
    struct client_stream *stream = arg;
    if (view_equal(member->name, VIEW("pid"))) {
        (void)view_copy(member->value, stream->pid, sizeof stream->pid);
    }
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct client_stream *stream = arg;
    struct client_relay *relay = stream->relay;
    struct err ignored;
    if (err != NULL) {
        fail_unanswered(stream, err);
        return;
    }
    client_record_end(TAKE(stream->act), reply, NULL);
    client_relay_send_reply(relay, reply, stream->request_id, stream->id);
    if (view_equal(reply->type, VIEW("error"))) {
        finish(stream);
        return;
    }
    if (stream->kind == CLIENT_STREAM_PROCESS &&
        !json_scan(reply->text, on_pid, stream, &ignored)) {
        stream->pid[0] = '\0';
    }
    stream->answered = true;
    client_relay_count_answer(relay);
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct client_stream *stream = arg;
    /* The hub saw to it that the agent keeps to what was passed on. */
    if (!stream_credit_use(&stream->passed, bytes.len) ||
        !stream_credit_use(&stream->granted, bytes.len)) {
        return;
    }
    send_frame(stream->relay, stream->id, kind, bytes);
    pass_grants(stream);
}

static void on_window(uint32_t bytes, void *arg)
{
    struct client_stream *stream = arg;
    char window[STREAM_WINDOW_SIZE];
    if (bytes > 0 && stream_credit_add(&stream->to_agent, bytes)) {
        stream_window_write(bytes, window);
        send_frame(stream->relay, stream->id, STREAM_WINDOW, (struct view){window, sizeof window});
    }
}

static void on_fin(void *arg)
{
    struct client_stream *stream = arg;
    send_frame(stream->relay, stream->id, STREAM_FIN, (struct view){0});
}

static void on_text(const struct hub_stream_text *text, void *arg)
{
    struct client_stream *stream = arg;
    char member[TEXT_MEMBER_SIZE];
    /* No credit holds them back, and a tenant makes as many as it likes. */
    if (stream->kind == CLIENT_STREAM_WATCH &&
        ws_backlog(stream->relay->socket) > CLIENT_BACKLOG_SOFT) {
        stream->has_dropped = true;
        return;
    }
    int length = snprintf(member, sizeof member, "\"streamId\":%u", stream->id);
    size_t before = (size_t)(text->stream_member.ptr - text->text.ptr);
    const struct view parts[] = {{text->text.ptr, before},
                                 {member, (size_t)length},
                                 view_from(text->text, before + text->stream_member.len)};
    client_relay_send(stream->relay, WS_TEXT, parts, sizeof parts / sizeof parts[0]);
}

/* What the lost agent can't say any more. */
static void send_exit(const struct client_stream *stream, const char *reason)
{
    char text[EXIT_TEXT_SIZE];
    int length = snprintf(text, sizeof text,
                          "{\"type\":\"exit\",\"streamId\":%u,\"pid\":%s,\"exitCode\":null,"
                          "\"signal\":null,\"reason\":\"%s\",\"durationMs\":null}",
                          stream->id, stream->pid[0] == '\0' ? "null" : stream->pid, reason);
    const struct view message = {text, (size_t)length};
    client_relay_send(stream->relay, WS_TEXT, &message, 1);
}

/* The agent is gone. */
static void fail(struct client_stream *stream, const struct err *err)
{
    if (!stream->answered) {
        fail_unanswered(stream, err);
        return;
    }
    if (stream->kind == CLIENT_STREAM_PROCESS) {
        send_exit(stream, err->reason);
    } else {
        send_frame(stream->relay, stream->id, STREAM_RESET, view_of(err->reason));
    }
    finish(stream);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct client_stream *stream = arg;
    struct err failure = {0};
    if (err != NULL) {
        fail(stream, err);
    } else if (!stream->answered) {
        err_set_reason(&failure, ERR_CONFLICT, code == NULL || code[0] == '\0' ? "reset" : code,
                       "The stream was reset before the request was answered.");
        fail_unanswered(stream, &failure);
    } else {
        if (code != NULL) {
            send_frame(stream->relay, stream->id, STREAM_RESET, view_of(code));
        }
        finish(stream);
    }
}

static const struct hub_stream_events events = {on_reply, on_bytes, on_window,
                                                on_fin,   on_text,  on_closed};

static bool check(const struct client_relay *relay, const struct json_envelope *envelope,
                  struct err *err)
{
    if (envelope->stream_id == 0) {
        return err_set_reason(err, ERR_INVALID, "invalid_message",
                              "This request opens a stream: it has a \"streamId\", an integer from "
                              "1 to %d.",
                              STREAM_ID_MAX);
    }
    if (find(relay, envelope->stream_id) != NULL) {
        return err_set_reason(err, ERR_CONFLICT, "stream_in_use",
                              "The stream %u of this socket is open.", envelope->stream_id);
    }
    return relay->streams_by_id.count < CLIENT_STREAMS_MAX ||
           err_set_reason(err, ERR_LIMIT, "busy", "%d streams of this socket are open.",
                          CLIENT_STREAMS_MAX);
}

bool client_stream_open(struct client_relay *relay, enum client_stream_kind kind,
                        struct view before, struct view text, const struct json_envelope *envelope,
                        struct err *err)
{
    if (!check(relay, envelope, err)) {
        return false;
    }
    struct client_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        return err_set(err, ERR_INTERNAL, "client stream: out of memory");
    }
    stream->relay = relay;
    stream->id = envelope->stream_id;
    stream->kind = kind;
    stream->repeatable = client_relay_is_repeatable(relay, envelope);
    stream->to_agent = stream_credit_begin();
    stream->granted = stream_credit_begin();
    stream->passed = stream_credit_begin();
    (void)view_copy(envelope->id, stream->request_id, sizeof stream->request_id);
    struct hub_stream_message message =
        hub_stream_message_around(text, envelope->id_member, envelope->stream_member);
    message.before = before;
    stream->stream =
        hub_stream_forward(relay->hub, relay->sandbox_id, &message, 0, &events, stream, err);
    if (stream->stream == NULL) {
        free(stream);
        return false;
    }
    stream->act = TAKE(relay->act);
    list_append(&relay->streams, &stream->node);
    map_insert(&relay->streams_by_id, &stream->by_id, key_of(&stream->id));
    relay->unanswered++;
    return true;
}

static void take_bytes(struct client_stream *stream, struct view bytes)
{
    struct client_relay *relay = stream->relay;
    if (!hub_takes_bytes(relay->hub, relay->sandbox_id)) {
        client_relay_hold(relay);
    } else if (!stream_credit_use(&stream->to_agent, bytes.len)) {
        ws_close(relay->socket, WS_CLOSE_POLICY, "more stream bytes than were granted");
    } else if (!hub_stream_send(stream->stream, bytes)) {
        /* Behind its fin, or its agent is lost: how it ends is said soon. */
        return;
    }
}

static void take_reset(struct client_stream *stream)
{
    struct err err = {0};
    hub_stream_close(stream->stream);
    if (stream->answered) {
        finish(stream);
        return;
    }
    err_set_reason(&err, ERR_CONFLICT, "reset",
                   "The stream was reset before the request was answered.");
    fail_unanswered(stream, &err);
}

static void take_frame(struct client_stream *stream, const struct stream_frame *frame)
{
    switch (frame->kind) {
    case STREAM_DATA:
        take_bytes(stream, frame->payload);
        break;
    case STREAM_WINDOW:
        if (stream_credit_add(&stream->granted, frame->window)) {
            pass_grants(stream);
        } else {
            ws_close(stream->relay->socket, WS_CLOSE_POLICY, "a stream window leads too far");
        }
        break;
    case STREAM_FIN:
        hub_stream_send_fin(stream->stream);
        break;
    case STREAM_RESET:
        take_reset(stream);
        break;
    case STREAM_STDOUT:
    case STREAM_STDERR:
        break; /* refused before */
    }
}

void client_stream_take_frame(struct client_relay *relay, struct view message)
{
    struct stream_frame frame;
    struct err ignored;
    if (!stream_frame_read(message, &frame, &ignored) || frame.kind == STREAM_STDOUT ||
        frame.kind == STREAM_STDERR) {
        ws_close(relay->socket, WS_CLOSE_PROTOCOL, "a binary message is no stream frame");
        return;
    }
    struct client_stream *stream = find(relay, frame.id);
    if (stream != NULL) {
        take_frame(stream, &frame);
    } else if (frame.kind == STREAM_DATA || frame.kind == STREAM_FIN) {
        send_frame(relay, frame.id, STREAM_RESET, VIEW("stream_not_open"));
    }
}

bool client_stream_unwatch(struct client_relay *relay, uint32_t id)
{
    struct client_stream *stream = find(relay, id);
    if (stream == NULL || stream->kind != CLIENT_STREAM_WATCH) {
        return false;
    }
    take_reset(stream);
    return true;
}

static void tell_overflow(struct client_stream *stream)
{
    char text[OVERFLOW_TEXT_SIZE];
    if (!stream->has_dropped) {
        return;
    }
    stream->has_dropped = false;
    int length = snprintf(text, sizeof text,
                          "{\"type\":\"watchEvent\",\"streamId\":%u,\"event\":\"overflow\","
                          "\"path\":\"\"}",
                          stream->id);
    const struct view message = {text, (size_t)length};
    client_relay_send(stream->relay, WS_TEXT, &message, 1);
}

void client_streams_on_drained(struct client_relay *relay)
{
    for (LIST_EACH(node, &relay->streams)) {
        struct client_stream *stream = LIST_ENTRY(node, struct client_stream, node);
        tell_overflow(stream);
        pass_grants(stream);
    }
}

void client_streams_fail(struct client_relay *relay, const struct err *err)
{
    for (LIST_EACH(node, &relay->streams)) {
        struct client_stream *stream = LIST_ENTRY(node, struct client_stream, node);
        hub_stream_close(stream->stream);
        fail(stream, err);
    }
}

void client_streams_close(struct client_relay *relay)
{
    for (LIST_EACH(node, &relay->streams)) {
        struct client_stream *stream = LIST_ENTRY(node, struct client_stream, node);
        hub_stream_close(stream->stream);
        recorder_end_unknown(stream->act, "client_gone");
        list_remove(&stream->node);
        map_remove(&relay->streams_by_id, &stream->by_id);
        free(stream);
    }
}
