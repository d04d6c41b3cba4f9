#include "gateway/hub/stream.h"

#include "common/base/str.h"
#include "common/contracts/agent.h"
#include "common/json/scan.h"
#include "gateway/http/outflow.h"
#include "gateway/hub/session.h"
#include "gateway/hub/streams.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GRANT_FROM = STREAM_WINDOW_INITIAL / 4, /* smaller ones wait while the agent has that much */
    STREAM_MEMBER_SIZE = 32,
};

/* What ends a stream when all goes well. */
enum ending {
    ENDING_UNKNOWN, /* not answered yet */
    ENDING_ANSWER,
    ENDING_EXIT, /* the text "exit" */
    ENDING_FIN,  /* the agent's */
    ENDING_BOTH_FINS,
    ENDING_RESET,
};

static const struct {
    struct view answer;
    enum ending ending;
} endings[] = {
    {VIEW("execResponse"), ENDING_EXIT},      {VIEW("attachResponse"), ENDING_EXIT},
    {VIEW("uploadResponse"), ENDING_ANSWER},  {VIEW("downloadResponse"), ENDING_FIN},
    {VIEW("dialResponse"), ENDING_BOTH_FINS}, {VIEW("watchResponse"), ENDING_RESET},
};

struct hub_stream {
    struct list node;
    struct map_node by_id;
    struct loop_corpse corpse;
    struct loop *loop;           /* borrowed */
    struct hub_streams *streams; /* borrowed; NULL once its session is lost */
    struct hub_call *call;       /* until it is answered */
    uint32_t id;
    enum ending ending;
    struct stream_credit credit;  /* what we may send */
    struct stream_credit granted; /* what the agent may send */
    uint32_t ungranted;           /* what it may send besides, and was not told yet */
    uint32_t withheld;            /* of what its owner has granted, while the outflow is tight */
    uint32_t expected;            /* of what the agent may send: beyond STREAM_WINDOW_SMALL */
    bool fin_sent;
    bool fin_received;
    bool over; /* at the agent */
    bool closed;
    const struct hub_stream_events *events; /* borrowed */
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

/* Behind each change of what the agent may send. A small window is everybody's. */
static void note_expected(struct hub_stream *stream)
{
    uint32_t is = stream->granted.left > STREAM_WINDOW_SMALL && !stream->fin_received
                      ? stream->granted.left - STREAM_WINDOW_SMALL
                      : 0;
    is = stream->closed ? 0 : is;
    outflow_expect(stream->expected, is);
    stream->expected = is;
}

/* The only way out; no event comes any more. */
static void unlink_stream(struct hub_stream *stream)
{
    stream->closed = true;
    note_expected(stream);
    list_remove(&stream->node);
    if (stream->streams != NULL) {
        map_remove(&stream->streams->by_id, &stream->by_id);
        stream->streams = NULL;
    }
    if (stream->call != NULL) {
        hub_call_cancel(stream->call);
        stream->call = NULL;
    }
    loop_free_later(stream->loop, &stream->corpse, free_stream, stream);
}

static void finish(struct hub_stream *stream, const char *code, const struct err *err)
{
    unlink_stream(stream);
    stream->events->on_closed(code, err, stream->arg);
}

static void send_frame(const struct hub_stream *stream, enum stream_kind kind, struct view payload)
{
    if (stream->streams != NULL) {
        session_send_frame(stream->streams->session, stream->id, kind, payload);
    }
}

static void on_settle(void *arg)
{
    struct hub_streams *streams = arg;
    while (!list_is_empty(&streams->over)) {
        finish(LIST_ENTRY(streams->over.next, struct hub_stream, node), NULL, NULL);
    }
}

bool hub_streams_begin(struct hub_streams *streams, struct loop *loop, struct session *session,
                       struct err *err)
{
    streams->loop = loop;
    streams->session = session;
    list_init(&streams->open);
    list_init(&streams->over);
    return map_init(&streams->by_id, err) &&
           timer_open(&streams->settle, loop, on_settle, streams, err);
}

void hub_streams_end(struct hub_streams *streams)
{
    timer_close(&streams->settle);
    map_free(&streams->by_id);
}

static struct hub_stream *find(const struct hub_streams *streams, uint32_t id)
{
    struct map_node *node = map_find(&streams->by_id, key_of(&id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct hub_stream, by_id);
}

static uint32_t next_id(struct hub_streams *streams)
{
    uint32_t base = streams->small_windows && outflow_is_tight() ? STREAM_ID_SMALL : 0;
    do {
        streams->last_id = streams->last_id == STREAM_ID_SMALL - 1 ? 1 : streams->last_id + 1;
    } while (find(streams, base + streams->last_id) != NULL);
    return base + streams->last_id;
}

static enum ending ending_of(struct view answer)
{
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        if (view_equal(answer, endings[i].answer)) {
            return endings[i].ending;
        }
    }
    return ENDING_RESET;
}

static void on_answer(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct hub_stream *stream = arg;
    stream->call = NULL;
    if (err != NULL && err->code == ERR_TIMEOUT) {
        send_frame(stream, STREAM_RESET, VIEW("agent_timeout")); /* It may be opened late. */
    }
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        unlink_stream(stream);
        stream->events->on_reply(reply, err, stream->arg);
        return;
    }
    stream->ending = ending_of(reply->type);
    stream->over = stream->ending == ENDING_ANSWER;
    stream->events->on_reply(reply, NULL, stream->arg);
    if (stream->over && !stream->closed) {
        finish(stream, NULL, NULL);
    }
}

static bool send_request(struct hub_stream *stream, const struct hub_stream_message *message,
                         int64_t timeout_ms, struct err *err)
{
    char member[STREAM_MEMBER_SIZE];
    int length = snprintf(member, sizeof member, "\"streamId\":%u", stream->id);
    const struct session_request request = {.before = message->before,
                                            .between = message->between,
                                            .stream_member = {member, (size_t)length},
                                            .after = message->after};
    stream->call =
        session_call(stream->streams->session, &request, timeout_ms, on_answer, stream, err);
    return stream->call != NULL;
}

struct hub_stream *hub_streams_open(struct hub_streams *streams,
                                    const struct hub_stream_message *message, int64_t timeout_ms,
                                    const struct hub_stream_events *events, void *arg,
                                    struct err *err)
{
    if (streams->by_id.count >= HUB_STREAMS_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d streams of this sandbox are open already",
                       HUB_STREAMS_MAX);
        return NULL;
    }
    struct hub_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        err_set(err, ERR_INTERNAL, "hub stream: out of memory");
        return NULL;
    }
    stream->loop = streams->loop;
    stream->streams = streams;
    stream->id = next_id(streams);
    stream->credit = stream_credit_begin();
    stream->granted = stream_credit_of_agent(stream->id);
    stream->withheld = STREAM_WINDOW_INITIAL - stream->granted.left;
    note_expected(stream);
    stream->events = events;
    stream->arg = arg;
    list_append(&streams->open, &stream->node);
    map_insert(&streams->by_id, &stream->by_id, key_of(&stream->id));
    if (!send_request(stream, message, timeout_ms, err)) {
        unlink_stream(stream);
        return NULL;
    }
    return stream;
}

/* Small grants wait for more, unless the agent is running out. */
static void send_grants(struct hub_stream *stream)
{
    char window[STREAM_WINDOW_SIZE];
    uint32_t bytes = stream->ungranted;
    bool can_wait = bytes < GRANT_FROM && stream->granted.left >= GRANT_FROM;
    if (bytes == 0 || can_wait || stream->fin_received ||
        !stream_credit_add(&stream->granted, bytes)) {
        return;
    }
    stream->ungranted = 0;
    note_expected(stream);
    stream_window_write(bytes, window);
    send_frame(stream, STREAM_WINDOW, (struct view){window, sizeof window});
}

static bool on_bytes(struct hub_stream *stream, const struct stream_frame *frame, struct err *err)
{
    if (stream->fin_received || !stream_credit_use(&stream->granted, frame->payload.len)) {
        return err_set(err, ERR_INVALID, "more stream bytes than were granted");
    }
    note_expected(stream);
    if (frame->payload.len > 0 && stream->events->on_bytes != NULL) {
        stream->events->on_bytes(frame->kind, frame->payload, stream->arg);
    }
    if (!stream->closed) {
        send_grants(stream);
    }
    return true;
}

static bool on_window(struct hub_stream *stream, uint32_t bytes, struct err *err)
{
    if (!stream_credit_add(&stream->credit, bytes)) {
        return err_set(err, ERR_INVALID, "a stream window leads too far");
    }
    if (stream->events->on_window != NULL) {
        stream->events->on_window(bytes, stream->arg);
    }
    return true;
}

static void on_fin(struct hub_stream *stream)
{
    if (stream->fin_received) {
        return;
    }
    stream->fin_received = true;
    note_expected(stream);
    stream->over =
        stream->ending == ENDING_FIN || (stream->ending == ENDING_BOTH_FINS && stream->fin_sent);
    if (stream->events->on_fin != NULL) {
        stream->events->on_fin(stream->arg);
    }
    if (stream->over && !stream->closed) {
        finish(stream, NULL, NULL);
    }
}

static void on_reset(struct hub_stream *stream, struct view payload)
{
    char code[STREAM_CODE_SIZE];
    (void)view_copy(payload, code, sizeof code); /* stream_frame_read saw to it that it fits */
    stream->over = true;
    finish(stream, code, NULL);
}

bool hub_streams_on_frame(struct hub_streams *streams, struct view message, struct err *err)
{
    struct stream_frame frame;
    if (!stream_frame_read(message, &frame, err)) {
        return false;
    }
    struct hub_stream *stream = find(streams, frame.id);
    if (stream == NULL || stream->over) {
        if (stream == NULL && stream_kind_is_bytes(frame.kind)) {
            hub_streams_on_stray(streams, frame.id);
        }
        return true;
    }
    switch (frame.kind) {
    case STREAM_DATA:
    case STREAM_STDOUT:
    case STREAM_STDERR:
        return on_bytes(stream, &frame, err);
    case STREAM_WINDOW:
        return on_window(stream, frame.window, err);
    case STREAM_FIN:
        on_fin(stream);
        return true;
    case STREAM_RESET:
        on_reset(stream, frame.payload);
        return true;
    }
    return false;
}

void hub_streams_on_text(struct hub_streams *streams, struct view text,
                         const struct json_envelope *envelope)
{
    struct hub_stream *stream = find(streams, envelope->stream_id);
    if (stream == NULL || stream->over) {
        return;
    }
    const struct hub_stream_text said = {text, envelope->stream_member, envelope->type};
    stream->over = view_equal(envelope->type, VIEW("exit"));
    if (stream->events->on_text != NULL) {
        stream->events->on_text(&said, stream->arg);
    }
    if (stream->over && !stream->closed) {
        finish(stream, NULL, NULL);
    }
}

void hub_streams_on_stray(struct hub_streams *streams, uint32_t id)
{
    if (find(streams, id) == NULL) {
        session_send_frame(streams->session, id, STREAM_RESET, VIEW("stream_not_open"));
    }
}

/* A stream that was served goes to the end of the line. */
void hub_streams_on_drained(struct hub_streams *streams)
{
    struct list waiting;
    struct list *node;
    list_init(&waiting);
    list_append_all(&waiting, &streams->open);
    while ((node = list_pop(&waiting)) != NULL) {
        struct hub_stream *stream = LIST_ENTRY(node, struct hub_stream, node);
        list_append(&streams->open, node);
        if (stream->events->on_window != NULL && hub_stream_credit(stream) > 0) {
            stream->events->on_window(0, stream->arg);
        }
    }
}

void hub_streams_lose(struct hub_streams *streams, struct list *lost)
{
    timer_disarm(&streams->settle);
    list_append_all(lost, &streams->over);
    list_append_all(lost, &streams->open);
    for (LIST_EACH(node, lost)) {
        struct hub_stream *stream = LIST_ENTRY(node, struct hub_stream, node);
        map_remove(&streams->by_id, &stream->by_id);
        stream->streams = NULL;
    }
}

void hub_streams_fail(struct list *lost, const struct err *err)
{
    while (!list_is_empty(lost)) {
        struct hub_stream *stream = LIST_ENTRY(lost->next, struct hub_stream, node);
        finish(stream, NULL, stream->over ? NULL : err);
    }
}

struct hub_stream_message hub_stream_message_around(struct view text, struct view id_member,
                                                    struct view stream_member)
{
    bool id_is_first = id_member.ptr < stream_member.ptr;
    struct view first = id_is_first ? id_member : stream_member;
    struct view second = id_is_first ? stream_member : id_member;
    size_t first_at = (size_t)(first.ptr - text.ptr);
    size_t second_at = (size_t)(second.ptr - text.ptr);
    size_t first_end = first_at + first.len;
    return (struct hub_stream_message){
        .before = {text.ptr, first_at},
        .between = {text.ptr + first_end, second_at - first_end},
        .after = view_from(text, second_at + second.len),
    };
}

struct hub_stream *hub_stream_forward(struct hub *hub, const char sandbox_id[ID_SIZE],
                                      const struct hub_stream_message *message, int64_t timeout_ms,
                                      const struct hub_stream_events *events, void *arg,
                                      struct err *err)
{
    struct session *session = hub_session(hub, sandbox_id, err);
    return session == NULL
               ? NULL
               : hub_streams_open(session_streams(session), message, timeout_ms, events, arg, err);
}

static bool may_have_stream_id(struct view text)
{
    static const char name[] = "streamId";
    return text.len > 0 && memmem(text.ptr, text.len, name, sizeof name - 1) != NULL;
}

struct hub_stream *hub_stream_open(struct hub *hub, const char sandbox_id[ID_SIZE],
                                   const struct hub_message *message, int64_t timeout_ms,
                                   const struct hub_stream_events *events, void *arg,
                                   struct err *err)
{
    struct json_envelope envelope = {0};
    struct hub_stream_message around = {message->before, VIEW(","), message->after};
    AUTO(str_free) struct str text = STR_INIT(AGENT_MESSAGE_MAX);
    if (may_have_stream_id(message->before) || may_have_stream_id(message->after)) {
        str_append_view(&text, message->before);
        str_append_string(&text, "\"id\":\"\"");
        str_append_view(&text, message->after);
        if (!str_check(&text, "stream request", err) ||
            !json_scan_envelope(str_view(&text), &envelope, err)) {
            return NULL;
        }
    }
    if (envelope.stream_member.len > 0) {
        around =
            hub_stream_message_around(str_view(&text), envelope.id_member, envelope.stream_member);
    }
    return hub_stream_forward(hub, sandbox_id, &around, timeout_ms, events, arg, err);
}

uint32_t hub_stream_credit(const struct hub_stream *stream)
{
    bool takes_more = stream->streams != NULL && session_has_room(stream->streams->session);
    return takes_more && !stream->fin_sent ? stream->credit.left : 0;
}

bool hub_stream_send(struct hub_stream *stream, struct view bytes)
{
    assert(!stream->closed);
    if (bytes.len > hub_stream_credit(stream) || !stream_credit_use(&stream->credit, bytes.len)) {
        return false;
    }
    session_want(stream->streams->session);
    while (bytes.len > 0) {
        size_t len = bytes.len < STREAM_PAYLOAD_MAX ? bytes.len : STREAM_PAYLOAD_MAX;
        send_frame(stream, STREAM_DATA, (struct view){bytes.ptr, len});
        bytes = view_from(bytes, len);
    }
    return true;
}

void hub_stream_send_fin(struct hub_stream *stream)
{
    assert(!stream->closed);
    if (stream->fin_sent || stream->over) {
        return;
    }
    stream->fin_sent = true;
    send_frame(stream, STREAM_FIN, (struct view){0});
    if (stream->ending == ENDING_BOTH_FINS && stream->fin_received && stream->streams != NULL) {
        stream->over = true;
        list_remove(&stream->node);
        list_append(&stream->streams->over, &stream->node);
        timer_arm(&stream->streams->settle, 0);
    }
}

/* What goes round on a stream shrinks to STREAM_WINDOW_SMALL while the outflow is tight, and grows
 * back when its client takes something behind that. Returns what of bytes goes to the agent. */
static uint32_t withhold(struct hub_stream *stream, uint32_t bytes)
{
    uint32_t room = STREAM_WINDOW_INITIAL - STREAM_WINDOW_SMALL - stream->withheld;
    uint32_t kept = bytes < room ? bytes : room;
    if (!outflow_is_tight()) {
        bytes += stream->withheld;
        stream->withheld = 0;
        return bytes;
    }
    stream->withheld += kept;
    return bytes - kept;
}

void hub_stream_grant(struct hub_stream *stream, uint32_t bytes)
{
    assert(!stream->closed && bytes <= STREAM_CREDIT_MAX - stream->ungranted);
    stream->ungranted += withhold(stream, bytes);
    send_grants(stream);
}

void hub_stream_keeps_up(struct hub_stream *stream)
{
    uint32_t window = outflow_is_tight() ? STREAM_WINDOW_SMALL : STREAM_WINDOW_INITIAL;
    uint32_t left = stream->granted.left + stream->ungranted;
    uint32_t room = left < window ? window - left : 0;
    uint32_t bytes = stream->withheld < room ? stream->withheld : room;
    assert(!stream->closed);
    stream->withheld -= bytes;
    stream->ungranted += bytes;
    send_grants(stream);
}

void hub_stream_close(struct hub_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    assert(!stream->closed);
    if (!stream->over) {
        send_frame(stream, STREAM_RESET, (struct view){0});
    }
    unlink_stream(stream);
}
