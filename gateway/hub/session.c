#include "gateway/hub/session.h"

#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "common/event/loop.h"
#include "common/json/scan.h"
#include "common/ws/socket.h"
#include "gateway/cache/activity.h"
#include "gateway/http/wire.h"
#include "gateway/hub/streams.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SETUP_TIMEOUT_MS = 10 * 1000, /* from the upgrade to a configured agent */
    /* Not yet taken by the agent; with one message more still under the socket's hard limit, at
     * which the agent itself, and every call to it, would be lost. */
    BACKLOG_MAX = 32 * 1024 * 1024,
    CALLS_ROOM = HUB_CALLS_MAX - HUB_CALLS_MAX / 4, /* at which those who wait for room go on */
};

#define CONFIGURE_ID "configure"

enum session_state {
    SESSION_HELLO,     /* waiting for the agent's first word */
    SESSION_CONFIGURE, /* configure is sent */
    SESSION_READY,
    SESSION_CLOSING,
};

struct session {
    struct map_node by_sandbox; /* in the hub's map while it is the sandbox's current one */
    struct list node;           /* in the hub's list of all */
    struct loop_corpse corpse;
    struct loop *loop; /* borrowed */
    char sandbox_id[ID_SIZE];
    enum session_state state;
    struct ws_socket *socket; /* owned */
    struct timer setup_timer;
    struct str configure; /* owned; empty once it is sent */
    struct session_owner owner;
    uint64_t next_call;
    int64_t running; /* commands, as its agent said last */
    bool rests;      /* the sandbox */
    bool had_frames; /* since session_take_activity, in either direction */
    struct list calls;
    struct map calls_by_id;
    size_t quiet_calls; /* of them */
    struct hub_streams streams;
    struct list rooms;
};

static void free_session(void *object)
{
    struct session *session = object;
    ws_socket_free(session->socket);
    timer_close(&session->setup_timer);
    str_free(&session->configure);
    map_free(&session->calls_by_id);
    hub_streams_end(&session->streams);
    free(session);
}

static void give_room(struct session *session)
{
    struct list *node;
    while ((node = list_pop(&session->rooms)) != NULL) {
        struct hub_room *room = LIST_ENTRY(node, struct hub_room, node);
        room->on_room(room->arg);
    }
}

static void forget_call(struct hub_call *call)
{
    struct session *session = call->session;
    if (session != NULL) {
        map_remove(&session->calls_by_id, &call->by_id);
        session->quiet_calls -= call->is_quiet ? 1 : 0;
        call->session = NULL;
        if (session->calls_by_id.count < CALLS_ROOM && session_has_room(session)) {
            give_room(session);
        }
    }
    list_remove(&call->node);
    if (call->deadline != NULL) {
        event_free(call->deadline);
        call->deadline = NULL;
    }
}

void hub_call_free(struct hub_call *call)
{
    forget_call(call);
    free(call);
}

/* The only way out: hands over what is unanswered and frees the session when the turn ends. */
static void finish(struct session *session)
{
    struct session_lost lost;
    list_init(&lost.calls);
    list_init(&lost.streams);
    for (LIST_EACH(node, &session->calls)) {
        struct hub_call *call = LIST_ENTRY(node, struct hub_call, node);
        forget_call(call);
        list_append(&lost.calls, &call->node);
    }
    hub_streams_lose(&session->streams, &lost.streams);
    give_room(session);
    session->owner.on_closed(session, &lost, session->owner.arg);
    ws_socket_free(session->socket);
    session->socket = NULL;
    timer_disarm(&session->setup_timer);
    loop_free_later(session->loop, &session->corpse, free_session, session);
}

static void on_setup_timeout(void *arg)
{
    struct session *session = arg;
    log_warn("agent.setup_timeout", LOG_STR("sandbox_id", session->sandbox_id));
    session_end(session);
}

static void refuse(struct session *session, const char *what)
{
    log_warn("agent.protocol_error", LOG_STR("sandbox_id", session->sandbox_id),
             LOG_STR("error", what));
    session_close(session, WS_CLOSE_PROTOCOL, what);
}

static void send_configure(struct session *session, struct view text)
{
    struct err err = {0};
    struct agent_hello hello;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &agent_hello_schema, &hello, NULL, &err);
    if (doc == NULL || !view_equal(hello.type, VIEW("hello"))) {
        refuse(session, "expected hello");
        return;
    }
    log_info("agent.hello", LOG_STR("sandbox_id", session->sandbox_id),
             LOG_INT("protocol", hello.protocol), LOG_VIEW("version", hello.version));
    session->streams.small_windows = hello.small_windows;
    const struct view message = str_view(&session->configure);
    if (!ws_send(session->socket, WS_TEXT, &message, 1, &err)) {
        session_end(session);
        return;
    }
    str_free(&session->configure);
    session->state = SESSION_CONFIGURE;
}

static void become_ready(struct session *session, const struct json_envelope *envelope)
{
    if (!view_equal(envelope->id, VIEW(CONFIGURE_ID)) ||
        !view_equal(envelope->type, VIEW("configureResponse"))) {
        refuse(session, "expected configureResponse");
        return;
    }
    timer_disarm(&session->setup_timer);
    session->state = SESSION_READY;
    session->owner.on_ready(session, session->owner.arg);
}

static void note_running(struct session *session, struct view text)
{
    struct err err = {0};
    struct agent_running running;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &agent_running_schema, &running, NULL, &err);
    if (doc == NULL) {
        refuse(session, "expected running");
        return;
    }
    session->running = running.count;
}

static void deliver(struct session *session, struct view text, const struct json_envelope *envelope)
{
    if (envelope->id.len == 0 && view_equal(envelope->type, VIEW(AGENT_RUNNING))) {
        note_running(session, text);
        return;
    }
    if (envelope->id.len == 0) {
        hub_streams_on_text(&session->streams, text, envelope);
        return;
    }
    struct map_node *node = map_find(&session->calls_by_id, envelope->id);
    if (node == NULL) { /* Cancelled or timed out: nobody waits any more. */
        if (envelope->stream_id != 0 && !view_equal(envelope->type, VIEW("error"))) {
            hub_streams_on_stray(&session->streams, envelope->stream_id);
        }
        return;
    }
    struct hub_call *call = MAP_ENTRY(node, struct hub_call, by_id);
    const struct hub_reply reply = {text, envelope->id_member, envelope->type,
                                    envelope->stream_member};
    forget_call(call);
    call->done(&reply, NULL, call->arg);
    free(call);
}

static void on_frame(struct session *session, struct view message)
{
    struct err err = {0};
    if (session->state != SESSION_READY) {
        refuse(session, "a stream frame comes too early");
    } else if (!hub_streams_on_frame(&session->streams, message, &err)) {
        refuse(session, err.message);
    } else {
        session->had_frames = true;
    }
}

static void on_message(enum ws_opcode opcode, struct view text, void *arg)
{
    struct session *session = arg;
    struct json_envelope envelope;
    struct err err = {0};
    if (opcode == WS_BINARY) {
        on_frame(session, text);
        return;
    }
    if (!json_scan_envelope(text, &envelope, &err)) {
        refuse(session, err.message);
        return;
    }
    switch (session->state) {
    case SESSION_HELLO:
        send_configure(session, text);
        break;
    case SESSION_CONFIGURE:
        become_ready(session, &envelope);
        break;
    case SESSION_READY:
        deliver(session, text, &envelope);
        break;
    case SESSION_CLOSING:
        break;
    }
}

static void on_drained(void *arg)
{
    struct session *session = arg;
    give_room(session);
    hub_streams_on_drained(&session->streams);
}

static void on_closed(int code, void *arg)
{
    struct session *session = arg;
    log_info("agent.closed", LOG_STR("sandbox_id", session->sandbox_id), LOG_INT("code", code));
    session->state = SESSION_CLOSING;
    finish(session);
}

struct session *session_new(struct loop *loop, const char sandbox_id[ID_SIZE],
                            struct bufferevent *bev, struct str *configure,
                            const struct session_owner *owner, struct err *err)
{
    static const struct ws_events events = {on_message, on_closed, on_drained};
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        bufferevent_free(bev);
        err_set(err, ERR_INTERNAL, "agent session: out of memory");
        return NULL;
    }
    session->loop = loop;
    session->owner = *owner;
    session->configure = *configure;
    *configure = STR_INIT(configure->ceiling);
    memcpy(session->sandbox_id, sandbox_id, ID_SIZE);
    list_init(&session->calls);
    list_init(&session->rooms);
    session->socket =
        ws_socket_new(loop, WS_SERVER, bev, &ws_default_limits, &events, session, err);
    if (session->socket == NULL || !map_init(&session->calls_by_id, err) ||
        !hub_streams_begin(&session->streams, loop, session, err) ||
        !timer_open(&session->setup_timer, loop, on_setup_timeout, session, err)) {
        free_session(session);
        return NULL;
    }
    if (!wire_is_tls(bev)) { /* it may have come by the public listener */
        ws_read_directly(session->socket);
    }
    timer_arm(&session->setup_timer, SETUP_TIMEOUT_MS);
    return session;
}

void hub_call_make_quiet(struct hub_call *call)
{
    if (!call->is_quiet && call->session != NULL) {
        call->is_quiet = true;
        call->session->quiet_calls++;
    }
}

bool session_rests(const struct session *session)
{
    return session->rests;
}

void session_set_rest(struct session *session, bool rests)
{
    session->rests = rests;
    if (session->state != SESSION_CLOSING) {
        ws_set_liveness(session->socket, !rests);
    }
}

void session_want(struct session *session)
{
    if (session->rests && session->owner.on_wanted != NULL) {
        session->owner.on_wanted(session, session->owner.arg);
    }
}

unsigned session_take_activity(struct session *session)
{
    unsigned kinds = session->had_frames ? ACTIVITY_STREAMS : 0U;
    session->had_frames = false;
    kinds |= session->running > 0 ? ACTIVITY_COMMANDS : 0U;
    return kinds | (session->calls_by_id.count > session->quiet_calls ? ACTIVITY_REQUESTS : 0U);
}

void session_close(struct session *session, int code, const char *reason)
{
    if (session->state != SESSION_CLOSING) {
        session->state = SESSION_CLOSING;
        ws_close(session->socket, code, reason);
    }
}

void session_end(struct session *session)
{
    session->state = SESSION_CLOSING;
    finish(session);
}

const char *session_sandbox_id(const struct session *session)
{
    return session->sandbox_id;
}

bool session_is_ready(const struct session *session)
{
    return session->state == SESSION_READY;
}

struct map_node *session_map_node(struct session *session)
{
    return &session->by_sandbox;
}

struct list *session_list_node(struct session *session)
{
    return &session->node;
}

struct session *session_of_map_node(struct map_node *node)
{
    return MAP_ENTRY(node, struct session, by_sandbox);
}

struct session *session_of_list_node(struct list *node)
{
    return LIST_ENTRY(node, struct session, node);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct hub_call *call = arg;
    struct err err = {0};
    err_set_reason(&err, ERR_TIMEOUT, "agent_timeout", "the agent did not answer in time");
    forget_call(call);
    call->done(NULL, &err, call->arg);
    free(call);
}

static bool arm_deadline(struct hub_call *call, int64_t timeout_ms, struct err *err)
{
    if (timeout_ms == 0) {
        return true;
    }
    const struct timeval delay = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    call->deadline = evtimer_new(loop_base(call->session->loop), on_deadline, call);
    return (call->deadline != NULL && evtimer_add(call->deadline, &delay) == 0) ||
           err_set(err, ERR_INTERNAL, "hub call: out of memory");
}

enum { ID_MEMBER_SIZE = sizeof(((struct hub_call *)NULL)->id) + sizeof "\"id\":\"\"" };

/* What a caller may send must never break the connection, which others use too. */
static bool has_room(const struct session *session, const struct session_request *request,
                     struct err *err)
{
    size_t length = request->before.len + ID_MEMBER_SIZE + request->between.len +
                    request->stream_member.len + request->after.len;
    if (session->calls_by_id.count >= HUB_CALLS_MAX || ws_backlog(session->socket) > BACKLOG_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too many requests wait for this sandbox");
    }
    return length <= AGENT_MESSAGE_MAX ||
           err_set_reason(err, ERR_INVALID, "message_too_big",
                          "The message is longer than the agent takes.");
}

static bool send_call(const struct hub_call *call, const struct session_request *request,
                      struct err *err)
{
    char id_member[ID_MEMBER_SIZE];
    int length = snprintf(id_member, sizeof id_member, "\"id\":\"%s\"", call->id);
    const struct view parts[] = {request->before,
                                 {id_member, (size_t)length},
                                 request->between,
                                 request->stream_member,
                                 request->after};
    if (ws_send(call->session->socket, WS_TEXT, parts, sizeof parts / sizeof parts[0], err)) {
        return true;
    }
    if (err->code == ERR_UNAVAILABLE) {
        err_set_reason(err, ERR_UNAVAILABLE, "agent_lost", "the agent's connection closes");
    }
    return false;
}

struct hub_call *session_call(struct session *session, const struct session_request *request,
                              int64_t timeout_ms, hub_reply_fn *done, void *arg, struct err *err)
{
    if (!has_room(session, request, err)) {
        return NULL;
    }
    struct hub_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        err_set(err, ERR_INTERNAL, "hub call: out of memory");
        return NULL;
    }
    call->done = done;
    call->arg = arg;
    call->session = session;
    (void)snprintf(call->id, sizeof call->id, "%" PRIu64, ++session->next_call);
    map_insert(&session->calls_by_id, &call->by_id, view_of(call->id));
    list_append(&session->calls, &call->node);
    if (!arm_deadline(call, timeout_ms, err) || !send_call(call, request, err)) {
        hub_call_free(call);
        return NULL;
    }
    return call;
}

struct hub_streams *session_streams(struct session *session)
{
    return &session->streams;
}

void session_send_frame(struct session *session, uint32_t stream_id, enum stream_kind kind,
                        struct view payload)
{
    char header[STREAM_HEADER_SIZE];
    struct err ignored;
    stream_header_write(stream_id, kind, header);
    const struct view parts[] = {{header, sizeof header}, payload};
    session->had_frames = true;
    if (!ws_send(session->socket, WS_BINARY, parts, sizeof parts / sizeof parts[0], &ignored)) {
        log_debug("agent.unsent", LOG_STR("sandbox_id", session->sandbox_id));
    }
}

bool session_has_room(const struct session *session)
{
    return session->state == SESSION_READY &&
           ws_backlog(session->socket) <= ws_default_limits.backlog_max;
}

bool session_takes_calls(const struct session *session)
{
    return session->calls_by_id.count < HUB_CALLS_MAX && session_has_room(session);
}

struct list *session_rooms(struct session *session)
{
    return &session->rooms;
}
