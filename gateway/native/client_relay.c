#include "gateway/native/client_relay.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/contracts/agent.h"
#include "common/contracts/auth.h"
#include "common/contracts/stream.h"
#include "common/json/scan.h"
#include "common/json/write.h"
#include "gateway/audit/recorder.h"
#include "gateway/http/server.h"
#include "gateway/hub/stream.h"
#include "gateway/limits/answer.h"
#include "gateway/native/errors.h"
#include "gateway/native/pending.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MEBIBYTE = 1024 * 1024,
    STREAM_STALL_MAX_MS = 10 * 60 * 1000,
    QUICK_MS = 60 * 1000,
    TREE_MS = 10 * 60 * 1000, /* whole folders may be copied and removed */
    ERROR_MESSAGE_MAX = 4096,
    STREAM_MEMBER_SIZE = 32,
    NUMBER_SIZE = 16, /* of digits that any deadline has */
};

#define ID_MEMBER_SIZE (CLIENT_ID_MAX + sizeof "\"id\":\"\"")

/* One request that the agent has. */
struct client_request {
    struct list node;
    struct client_relay *relay; /* borrowed */
    struct hub_call *call;
    struct audit_act *act; /* owned until it is answered; NULL: it is not recorded */
    bool repeatable;
    char id[CLIENT_ID_MAX + 1];
};

enum opens { OPENS_NOTHING, OPENS_STREAM, OPENS_IF_ASKED };

/* What a client may ask of the agent. Commands have no deadline here: the agent keeps timeoutMs,
 * and its own connection is watched. */
static const struct message_type {
    struct view type;
    unsigned scope; /* that the caller must have */
    int64_t timeout_ms;
    enum opens opens;
    enum client_stream_kind kind;
    enum recorded { RECORDED_NEVER, RECORDED_COMMAND, RECORDED_WRITE } recorded;
} message_types[] = {
    {VIEW("exec"), AUTH_EXEC, 0, OPENS_IF_ASKED, CLIENT_STREAM_PROCESS, RECORDED_COMMAND},
    {VIEW("attach"), AUTH_EXEC, 0, OPENS_STREAM, CLIENT_STREAM_PROCESS, RECORDED_NEVER},
    {VIEW("upload"), AUTH_FILES, 0, OPENS_STREAM, CLIENT_STREAM_OTHER, RECORDED_WRITE},
    {VIEW("download"), AUTH_FILES, 0, OPENS_STREAM, CLIENT_STREAM_OTHER, RECORDED_NEVER},
    {VIEW("dial"), AUTH_EXEC, 0, OPENS_STREAM, CLIENT_STREAM_OTHER, RECORDED_NEVER},
    {VIEW("watch"), AUTH_FILES, 0, OPENS_STREAM, CLIENT_STREAM_WATCH, RECORDED_NEVER},
    {VIEW("write"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_WRITE},
    {VIEW("read"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("input"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("closeStdin"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("resize"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("signal"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("ps"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("lookup"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("stats"), AUTH_SANDBOX_READ, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("closeSession"), AUTH_EXEC, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("list"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("stat"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_NEVER},
    {VIEW("mkdir"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_WRITE},
    {VIEW("rename"), AUTH_FILES, QUICK_MS, OPENS_NOTHING, 0, RECORDED_WRITE},
    {VIEW("copy"), AUTH_FILES, TREE_MS, OPENS_NOTHING, 0, RECORDED_WRITE},
    {VIEW("remove"), AUTH_FILES, TREE_MS, OPENS_NOTHING, 0, RECORDED_WRITE},
};

const struct ws_limits client_limits = {
    .message_max = 16UL * MEBIBYTE,
    .fragments_max = 16384,
    .backlog_soft = CLIENT_BACKLOG_LOW,
    .backlog_max = 4UL * MEBIBYTE,
    /* What may come at once on all its streams (64 MiB) fits beside it. */
    .backlog_hard_max = 96UL * MEBIBYTE,
    .stall_max_ms = 10000,
    .stream_stall_max_ms = STREAM_STALL_MAX_MS,
    .back_pressure = true,
    .ping_every_ms = 20000,
    .silence_max_ms = 60000,
    .pings_per_s_max = 20,
};

static void on_room(void *arg)
{
    struct client_relay *relay = arg;
    ws_resume(relay->socket);
}

bool client_relay_open(struct client_relay *relay, struct hub *hub, const char sandbox_id[ID_SIZE],
                       void (*on_answered)(void *arg), void *arg, struct err *err)
{
    relay->hub = hub;
    memcpy(relay->sandbox_id, sandbox_id, ID_SIZE);
    relay->room.on_room = on_room;
    relay->room.arg = relay;
    relay->on_answered = on_answered;
    relay->arg = arg;
    list_init(&relay->requests);
    list_init(&relay->streams);
    return map_init(&relay->streams_by_id, err);
}

static void on_decided(void *arg)
{
    struct client_relay *relay = arg;
    ws_resume(relay->socket);
}

void client_relay_count(struct client_relay *relay, struct limits *limits,
                        const struct limit_request *costs)
{
    client_admission_open(&relay->admission, limits, costs, on_decided, relay);
}

static void on_told(struct view text, void *arg)
{
    struct client_relay *relay = arg;
    relay->look = NULL;
    if (text.len > 0) {
        client_relay_send(relay, WS_TEXT, &text, 1);
    }
}

static struct pending_place place_of(const struct client_relay *relay)
{
    return (struct pending_place){relay->scope, relay->sandbox_id};
}

void client_relay_enter_scope(struct client_relay *relay, struct pending *pending,
                              const char user_id[ID_SIZE], const char session[ID_SIZE])
{
    struct err err = {0};
    (void)snprintf(relay->scope, sizeof relay->scope, "%s/%s", user_id, session);
    relay->pending = pending;
    if (pending == NULL) {
        return;
    }
    const struct pending_place place = place_of(relay);
    relay->look = pending_look_begin(pending, &place, on_told, relay, &err);
    if (relay->look == NULL) {
        log_debug("client.not_told", LOG_TRACE(&relay->trace),
                  LOG_STR("sandbox_id", relay->sandbox_id), LOG_ERR(&err));
    }
}

void client_relay_close(struct client_relay *relay)
{
    if (!list_is_linked(&relay->requests)) {
        return;
    }
    pending_look_cancel(TAKE(relay->look));
    client_admission_close(&relay->admission);
    hub_room_cancel(&relay->room);
    list_remove(&relay->held);
    client_streams_close(relay);
    for (LIST_EACH(node, &relay->requests)) {
        struct client_request *request = LIST_ENTRY(node, struct client_request, node);
        hub_call_cancel(request->call);
        recorder_end_unknown(request->act, "client_gone");
        list_remove(&request->node);
        free(request);
    }
    map_free(&relay->streams_by_id);
    relay->requests = (struct list){0};
}

void client_relay_hold(struct client_relay *relay)
{
    ws_pause(relay->socket);
    hub_room_wait(relay->hub, relay->sandbox_id, &relay->room);
}

void client_relay_send(struct client_relay *relay, enum ws_opcode opcode, const struct view *parts,
                       size_t part_count)
{
    struct err ignored = {0};
    if (!ws_send(relay->socket, opcode, parts, part_count, &ignored)) {
        log_debug("client.unsent", LOG_TRACE(&relay->trace),
                  LOG_STR("sandbox_id", relay->sandbox_id));
    }
}

/* retry_after_ms: 0 when there is nothing to wait for. */
static void send_error(struct client_relay *relay, struct view id, const struct err *err,
                       int64_t retry_after_ms)
{
    AUTO(str_free) struct str out = STR_INIT(ERROR_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_view_or_null(&writer, "id", id);
    json_string(&writer, "type", VIEW("error"));
    json_string(&writer, "error", view_of(errors_sentence(err)));
    json_string(&writer, "code", view_of(errors_code(err)));
    if (retry_after_ms > 0) {
        json_int(&writer, "retryAfterMs", retry_after_ms);
    }
    json_end_object(&writer);
    const struct view message = str_view(&out);
    if (out.failed) {
        log_debug("client.unsent", LOG_TRACE(&relay->trace),
                  LOG_STR("sandbox_id", relay->sandbox_id));
        return;
    }
    client_relay_send(relay, WS_TEXT, &message, 1);
}

void client_relay_send_error(struct client_relay *relay, struct view id, const struct err *err)
{
    send_error(relay, id, err, 0);
}

void client_relay_send_reply(struct client_relay *relay, const struct hub_reply *reply,
                             const char *id, uint32_t stream_id)
{
    char id_member[ID_MEMBER_SIZE];
    char stream_member[STREAM_MEMBER_SIZE];
    int id_len = snprintf(id_member, sizeof id_member, "\"id\":\"%s\"", id);
    size_t before = (size_t)(reply->id_member.ptr - reply->text.ptr);
    if (stream_id == 0 || reply->stream_member.len == 0) {
        const struct view parts[] = {
            {reply->text.ptr, before},
            {id_member, (size_t)id_len},
            view_from(reply->text, before + reply->id_member.len),
        };
        client_relay_send(relay, WS_TEXT, parts, sizeof parts / sizeof parts[0]);
        return;
    }
    int stream_len = snprintf(stream_member, sizeof stream_member, "\"streamId\":%u", stream_id);
    const struct hub_stream_message around =
        hub_stream_message_around(reply->text, reply->id_member, reply->stream_member);
    const struct view parts[] = {around.before,
                                 {id_member, (size_t)id_len},
                                 around.between,
                                 {stream_member, (size_t)stream_len},
                                 around.after};
    client_relay_send(relay, WS_TEXT, parts, sizeof parts / sizeof parts[0]);
}

void client_relay_count_answer(struct client_relay *relay)
{
    relay->unanswered--;
    relay->on_answered(relay->arg);
}

bool client_relay_is_repeatable(const struct client_relay *relay,
                                const struct json_envelope *envelope)
{
    return relay->scope[0] != '\0' && view_equal(envelope->type, VIEW("exec"));
}

void client_relay_settle(struct client_relay *relay, const char *id)
{
    if (relay->pending != NULL) {
        const struct pending_place place = place_of(relay);
        pending_settle(relay->pending, &place, view_of(id));
    }
}

/* It was answered. */
static void finish(struct client_request *request)
{
    struct client_relay *relay = request->relay;
    if (request->repeatable) {
        client_relay_settle(relay, request->id);
    }
    list_remove(&request->node);
    free(request);
    client_relay_count_answer(relay);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct client_request *request = arg;
    client_record_end(TAKE(request->act), reply, err);
    if (err != NULL) {
        client_relay_send_error(request->relay, view_of(request->id), err);
    } else {
        client_relay_send_reply(request->relay, reply, request->id, 0);
    }
    finish(request);
}

void client_relay_fail(struct client_relay *relay, const struct err *err)
{
    for (LIST_EACH(node, &relay->requests)) {
        struct client_request *request = LIST_ENTRY(node, struct client_request, node);
        hub_call_cancel(request->call);
        recorder_end(TAKE(request->act), err);
        client_relay_send_error(relay, view_of(request->id), err);
        finish(request);
    }
    client_streams_fail(relay, err);
}

static const struct message_type *find_type(struct view type, struct err *err)
{
    for (size_t i = 0; i < sizeof message_types / sizeof message_types[0]; i++) {
        if (view_equal(type, message_types[i].type)) {
            return &message_types[i];
        }
    }
    err_set_reason(err, ERR_INVALID, "unknown_type", "There is no such message type.");
    return NULL;
}

static bool call(struct client_relay *relay, const struct message_type *type, struct view before,
                 struct view text, const struct json_envelope *envelope, struct err *err)
{
    struct client_request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return err_set(err, ERR_INTERNAL, "client request: out of memory");
    }
    request->relay = relay;
    request->repeatable = client_relay_is_repeatable(relay, envelope);
    (void)view_copy(envelope->id, request->id, sizeof request->id);
    size_t id_end = (size_t)(envelope->id_member.ptr - text.ptr) + envelope->id_member.len;
    const struct hub_message message = {before, view_from(text, id_end)};
    request->call = hub_call_begin(relay->hub, relay->sandbox_id, &message, type->timeout_ms,
                                   on_reply, request, err);
    if (request->call == NULL) {
        free(request);
        return false;
    }
    request->act = TAKE(relay->act);
    list_append(&relay->requests, &request->node);
    relay->unanswered++;
    return true;
}

/* What goes to the agent before the id: what the client has there and, for an exec in a scope, the
 * word by which its repeats are known. Empty on failure. */
static struct view write_before(const struct client_relay *relay, struct view before,
                                const struct json_envelope *envelope, struct str *buffer,
                                struct err *err)
{
    if (!client_relay_is_repeatable(relay, envelope)) {
        return before;
    }
    str_append_view(buffer, before);
    str_append_string(buffer, "\"once\":\"");
    str_append_string(buffer, relay->scope);
    str_append_char(buffer, '/');
    str_append_view(buffer, envelope->id);
    str_append_string(buffer, "\",");
    return str_check(buffer, "client request", err) ? str_view(buffer) : (struct view){0};
}

/* When the agent ends the command, by the wall clock; 0: never. What is no timeout the agent
 * refuses. */
static int64_t deadline_of(const struct json_envelope *envelope)
{
    char text[NUMBER_SIZE];
    int64_t timeout_ms = EXEC_TIMEOUT_MS_DEFAULT;
    if (envelope->timeout.len > 0 && view_copy(envelope->timeout, text, sizeof text)) {
        timeout_ms = strtoll(text, NULL, 10);
    }
    return timeout_ms > 0 ? clock_wall_ms() + timeout_ms : 0;
}

/* Behind a request that went to the agent. */
static void record(struct client_relay *relay, const struct json_envelope *envelope, bool opens)
{
    if (relay->pending == NULL || !client_relay_is_repeatable(relay, envelope)) {
        return;
    }
    const struct pending_place place = place_of(relay);
    const struct pending_request request = {.id = envelope->id,
                                            .stream_id = opens ? envelope->stream_id : 0,
                                            .deadline_ms = deadline_of(envelope)};
    pending_record(relay->pending, &place, &request);
}

static bool pass_on(struct client_relay *relay, const struct message_type *type, bool opens,
                    struct view text, const struct json_envelope *envelope, struct err *err)
{
    AUTO(str_free) struct str buffer = STR_INIT(AGENT_MESSAGE_MAX);
    struct view before = {text.ptr, (size_t)(envelope->id_member.ptr - text.ptr)};
    if (opens && envelope->stream_id > 0 && envelope->stream_member.ptr < envelope->id_member.ptr) {
        before.len = (size_t)(envelope->stream_member.ptr - text.ptr);
    }
    before = write_before(relay, before, envelope, &buffer, err);
    if (before.len == 0) {
        return false;
    }
    return opens ? client_stream_open(relay, type->kind, before, text, envelope, err)
                 : call(relay, type, before, text, envelope, err);
}

static enum audit_action action_of(const struct message_type *type)
{
    static const enum audit_action actions[] = {[RECORDED_NEVER] = AUDIT_ACTION_COUNT,
                                                [RECORDED_COMMAND] = AUDIT_EXEC,
                                                [RECORDED_WRITE] = AUDIT_FILE_WRITTEN};
    return actions[type->recorded];
}

static bool forward(struct client_relay *relay, struct view text,
                    const struct json_envelope *envelope, struct err *err)
{
    const struct message_type *type = find_type(envelope->type, err);
    if (type == NULL) {
        return false;
    }
    if ((relay->scopes & type->scope) == 0) {
        errors_missing_scope(type->scope, err);
        return false;
    }
    if (envelope->has_once && view_equal(type->type, VIEW("exec"))) {
        return err_set_reason(err, ERR_INVALID, "invalid_message",
                              "\"once\" is not for clients: connect with ?session=<uuid>.");
    }
    if (relay->unanswered >= CLIENT_OUTSTANDING_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy",
                              "More than %d requests of this socket wait for their answer.",
                              CLIENT_OUTSTANDING_MAX);
    }
    bool opens =
        type->opens == OPENS_STREAM || (type->opens == OPENS_IF_ASKED && envelope->is_stream);
    if (!client_record_begin(relay, action_of(type), type->type, text, err) ||
        !pass_on(relay, type, opens, text, envelope, err)) {
        recorder_end(TAKE(relay->act), err);
        return false;
    }
    record(relay, envelope, opens);
    return true;
}

/* Ends a watch. The agent hears a reset; nothing of the watch is sent behind this answer. */
static bool unwatch(struct client_relay *relay, const struct json_envelope *envelope,
                    struct err *err)
{
    char answer[ID_MEMBER_SIZE + 64];
    if (!client_stream_unwatch(relay, envelope->stream_id)) {
        return err_set_reason(err, ERR_NOT_FOUND, "stream_not_open",
                              "No watch is open by this \"streamId\".");
    }
    int length = snprintf(answer, sizeof answer,
                          "{\"id\":\"%.*s\",\"type\":\"unwatchResponse\",\"streamId\":%u}",
                          (int)envelope->id.len, envelope->id.ptr, envelope->stream_id);
    const struct view message = {answer, (size_t)length};
    client_relay_send(relay, WS_TEXT, &message, 1);
    return true;
}

/* False: the message is answered, or comes again when it is known whether it may. */
static bool admit(struct client_relay *relay, struct view id)
{
    struct client_admission *admission = &relay->admission;
    struct err err = {0};
    enum limit_answer answer = client_admission_take(admission);
    if (answer == LIMIT_ADMITTED) {
        return true;
    }
    if (answer == LIMIT_WAITS) {
        ws_pause(relay->socket);
        return false;
    }
    (void)limit_error(answer, &admission->verdict, &err);
    send_error(relay, id, &err, admission->verdict.retry_ms);
    if (client_admission_is_flooded(admission)) {
        ws_close(relay->socket, WS_CLOSE_POLICY, "too many requests");
    }
    return false;
}

static bool read_envelope(struct view text, struct json_envelope *envelope, struct err *err)
{
    if (!json_scan_envelope(text, envelope, err)) {
        *envelope = (struct json_envelope){0};
        return err_set_reason(err, ERR_INVALID, "invalid_message", "A message is one JSON object.");
    }
    return envelope->id.len > 0 ||
           err_set_reason(err, ERR_INVALID, "invalid_message",
                          "A message has an \"id\": a string of 1 to %d plain characters.",
                          CLIENT_ID_MAX);
}

/* What a message asks for. refusal: why it does not get it; NULL: it does. False: it is answered
 * with err. */
static bool act_on(struct client_relay *relay, struct view text, const struct err *refusal,
                   const struct json_envelope *envelope, struct err *err)
{
    if (refusal != NULL) {
        *err = *refusal;
        return false;
    }
    return view_equal(envelope->type, VIEW("unwatch")) ? unwatch(relay, envelope, err)
                                                       : forward(relay, text, envelope, err);
}

static void take_text(struct client_relay *relay, struct view text)
{
    struct json_envelope envelope = {0};
    struct err err = {0};
    if (!hub_takes_calls(relay->hub, relay->sandbox_id)) {
        client_relay_hold(relay);
        return;
    }
    bool is_read = read_envelope(text, &envelope, &err);
    const struct err *refusal = TAKE(relay->refusal); /* of this message alone */
    if (!admit(relay, envelope.id)) {
        return;
    }
    if (!is_read || !act_on(relay, text, refusal, &envelope, &err)) {
        client_relay_send_error(relay, envelope.id, &err);
    }
}

void client_relay_take(struct client_relay *relay, enum ws_opcode opcode, struct view message)
{
    if (opcode == WS_TEXT) {
        take_text(relay, message);
    } else {
        relay->refusal = NULL; /* bytes of a stream wait inside */
        client_stream_take_frame(relay, message);
    }
}

void client_relay_on_drained(struct client_relay *relay)
{
    client_streams_on_drained(relay);
}

bool client_relay_read_session(const struct http_exchange *exchange, char out[ID_SIZE],
                               struct err *err)
{
    char text[ID_SIZE];
    struct view query = http_exchange_head(exchange)->query;
    out[0] = '\0';
    if (!http_query_has(query, "session")) {
        return true;
    }
    return (http_query_find(query, "session", text, sizeof text) && id_parse(view_of(text), out)) ||
           err_set_reason(err, ERR_INVALID, "invalid_session",
                          "The parameter \"session\" must be a UUID.");
}
