#include "gateway/ports/tunnel.h"

#include "common/base/clock.h"
#include "common/event/loop.h"
#include "gateway/http/outflow.h"
#include "gateway/hub/stream.h"
#include "gateway/hub/waker.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* What waits for the client is at most what the agent was granted; more is granted when half of
     * it is through. */
    OUT_LOW = STREAM_WINDOW_INITIAL / 2,
    IDLE_LOOK_MS = TUNNEL_IDLE_MS / 10,
};

struct tunnel {
    struct list node; /* the owner's */
    struct loop_corpse corpse;
    struct loop *loop;       /* borrowed */
    struct hub *hub;         /* borrowed */
    struct waker_wait wait;  /* for a sandbox that rests */
    struct bufferevent *bev; /* owned; NULL once it is over */
    struct outflow outflow;
    struct hub_stream *stream; /* NULL once that is over */
    struct timer idle;
    int64_t active_ms;      /* when the last byte went either way */
    size_t ungranted;       /* bytes of the agent that were taken and not granted again */
    bool is_connected;      /* inside */
    bool client_has_ended;  /* its direction; what it sent may still wait here */
    bool sandbox_has_ended; /* the same of the other direction */
    bool end_told_sandbox;  /* fin */
    bool end_told_client;   /* shutdown */
    tunnel_closed_fn *on_closed;
    void *arg;
    uint16_t port;
    char sandbox_id[ID_SIZE];
};

static void free_tunnel(void *object)
{
    free(object);
}

/* A reset tells the client that it did not get all. */
static void break_connection(struct tunnel *tunnel)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(bufferevent_getfd(tunnel->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* The only way out. */
static void release(struct tunnel *tunnel)
{
    struct hub_stream *stream = tunnel->stream;
    tunnel->stream = NULL;
    hub_stream_close(stream);
    list_remove(&tunnel->wait.node);
    outflow_end(&tunnel->outflow);
    bufferevent_free(tunnel->bev);
    tunnel->bev = NULL;
    timer_close(&tunnel->idle);
    loop_free_later(tunnel->loop, &tunnel->corpse, free_tunnel, tunnel);
}

static void finish(struct tunnel *tunnel)
{
    tunnel->on_closed(tunnel, tunnel->arg);
    release(tunnel);
}

static void fail(struct tunnel *tunnel)
{
    break_connection(tunnel);
    finish(tunnel);
}

struct list *tunnel_list_node(struct tunnel *tunnel)
{
    return &tunnel->node;
}

struct tunnel *tunnel_of_list_node(struct list *node)
{
    return LIST_ENTRY(node, struct tunnel, node);
}

void tunnel_close(struct tunnel *tunnel)
{
    break_connection(tunnel);
    release(tunnel);
}

static void finish_if_through(struct tunnel *tunnel)
{
    if (tunnel->end_told_sandbox && tunnel->end_told_client) {
        finish(tunnel);
    }
}

/* Sends what the client sent, as far as the agent takes it. False: the tunnel is over. */
static bool send_in(struct tunnel *tunnel)
{
    struct evbuffer *in = bufferevent_get_input(tunnel->bev);
    while (tunnel->stream != NULL && evbuffer_get_length(in) > 0) {
        size_t len = evbuffer_get_length(in);
        size_t credit = hub_stream_credit(tunnel->stream);
        len = len < credit ? len : credit;
        len = len < STREAM_PAYLOAD_MAX ? len : STREAM_PAYLOAD_MAX;
        const char *bytes = len == 0 ? NULL : (const char *)evbuffer_pullup(in, (ssize_t)len);
        if (len == 0 ||
            (bytes != NULL && !hub_stream_send(tunnel->stream, (struct view){bytes, len}))) {
            return true; /* on_window comes */
        }
        if (bytes == NULL) {
            fail(tunnel); /* out of memory */
            return false;
        }
        (void)evbuffer_drain(in, len);
        tunnel->active_ms = clock_monotonic_ms();
    }
    return true;
}

/* The same with what belongs to it: the client is not read while something waits (a watermark would
 * have libevent call again and again), and its end goes behind the last byte. */
static bool push_in(struct tunnel *tunnel)
{
    if (tunnel->is_connected && !send_in(tunnel)) {
        return false;
    }
    if (evbuffer_get_length(bufferevent_get_input(tunnel->bev)) > 0) {
        (void)bufferevent_disable(tunnel->bev, EV_READ);
    } else if (!tunnel->client_has_ended) {
        (void)bufferevent_enable(tunnel->bev, EV_READ);
    } else if (tunnel->is_connected && tunnel->stream != NULL && !tunnel->end_told_sandbox) {
        tunnel->end_told_sandbox = true;
        hub_stream_send_fin(tunnel->stream);
    }
    return true;
}

static void on_client_bytes(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct tunnel *tunnel = arg;
    (void)push_in(tunnel);
}

/* Grants what the client has taken, and passes on the end of the direction behind the last byte. */
static void on_client_took(struct bufferevent *bev, void *arg)
{
    struct tunnel *tunnel = arg;
    size_t waiting = evbuffer_get_length(bufferevent_get_output(bev));
    tunnel->active_ms = clock_monotonic_ms();
    if (tunnel->stream != NULL && tunnel->ungranted > waiting) {
        hub_stream_grant(tunnel->stream, (uint32_t)(tunnel->ungranted - waiting));
        tunnel->ungranted = waiting;
    }
    if (waiting == 0 && tunnel->sandbox_has_ended && !tunnel->end_told_client) {
        tunnel->end_told_client = true;
        (void)shutdown(bufferevent_getfd(bev), SHUT_WR);
        finish_if_through(tunnel);
    }
}

static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct tunnel *tunnel = arg;
    if ((what & BEV_EVENT_EOF) == 0) {
        finish(tunnel); /* the client is gone */
        return;
    }
    tunnel->client_has_ended = true;
    if (push_in(tunnel)) {
        finish_if_through(tunnel);
    }
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct tunnel *tunnel = arg;
    if (err != NULL || !view_equal(reply->type, VIEW("dialResponse"))) {
        /* What answers an error is no stream any more; what answers anything else is closed. */
        if (err != NULL || view_equal(reply->type, VIEW("error"))) {
            tunnel->stream = NULL;
        }
        fail(tunnel);
        return;
    }
    tunnel->is_connected = true;
    (void)push_in(tunnel);
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    (void)kind;
    struct tunnel *tunnel = arg;
    tunnel->active_ms = clock_monotonic_ms();
    tunnel->ungranted += bytes.len;
    if (bufferevent_write(tunnel->bev, bytes.ptr, bytes.len) != 0) {
        fail(tunnel);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    (void)bytes;
    struct tunnel *tunnel = arg;
    if (push_in(tunnel)) {
        finish_if_through(tunnel);
    }
}

static void on_fin(void *arg)
{
    struct tunnel *tunnel = arg;
    tunnel->sandbox_has_ended = true;
    on_client_took(tunnel->bev, tunnel);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct tunnel *tunnel = arg;
    tunnel->stream = NULL;
    if (code != NULL || err != NULL) {
        fail(tunnel);
        return;
    }
    /* Both fins are through; what waits for the client still goes to it. */
    tunnel->end_told_sandbox = true;
    tunnel->sandbox_has_ended = true;
    on_client_took(tunnel->bev, tunnel);
}

static void on_idle_look(void *arg)
{
    struct tunnel *tunnel = arg;
    if (clock_monotonic_ms() - tunnel->active_ms >= TUNNEL_IDLE_MS) {
        fail(tunnel);
        return;
    }
    timer_arm_common(&tunnel->idle, IDLE_LOOK_MS);
}

static bool dial(struct tunnel *tunnel, struct err *err)
{
    static const struct hub_stream_events events = {.on_reply = on_reply,
                                                    .on_bytes = on_bytes,
                                                    .on_window = on_window,
                                                    .on_fin = on_fin,
                                                    .on_closed = on_closed};
    char text[64];
    int length =
        snprintf(text, sizeof text, ",\"type\":\"dial\",\"port\":%u}", (unsigned)tunnel->port);
    const struct hub_message message = {VIEW("{"), {text, (size_t)length}};
    tunnel->stream = hub_stream_open(tunnel->hub, tunnel->sandbox_id, &message,
                                     TUNNEL_DIAL_TIMEOUT_MS, &events, tunnel, err);
    return tunnel->stream != NULL;
}

static void on_awake(const struct err *err, void *arg)
{
    struct tunnel *tunnel = arg;
    struct err ignored = {0};
    if (err != NULL || !dial(tunnel, &ignored)) {
        fail(tunnel);
    }
}

static bool begin(struct tunnel *tunnel, struct err *err)
{
    if (hub_is_awake(tunnel->hub, tunnel->sandbox_id)) {
        return dial(tunnel, err);
    }
    tunnel->wait.done = on_awake;
    tunnel->wait.arg = tunnel;
    return hub_wake(tunnel->hub, tunnel->sandbox_id, &tunnel->wait, err);
}

struct tunnel *tunnel_open(int fd, const struct tunnel_options *options, struct err *err)
{
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (tunnel != NULL) {
        tunnel->loop = options->loop;
        tunnel->bev = bufferevent_socket_new(loop_base(options->loop), fd, BEV_OPT_CLOSE_ON_FREE);
    }
    if (tunnel == NULL || tunnel->bev == NULL) {
        err_set(err, ERR_INTERNAL, "tunnel: out of memory");
        (void)close(fd);
        free(tunnel);
        return NULL;
    }
    tunnel->on_closed = options->on_closed;
    tunnel->arg = options->arg;
    tunnel->hub = options->hub;
    tunnel->port = options->container_port;
    memcpy(tunnel->sandbox_id, options->sandbox_id, ID_SIZE);
    tunnel->active_ms = clock_monotonic_ms();
    bufferevent_setcb(tunnel->bev, on_client_bytes, on_client_took, on_client_event, tunnel);
    (void)bufferevent_set_max_single_read(tunnel->bev, TUNNEL_IN_MAX);
    bufferevent_setwatermark(tunnel->bev, EV_WRITE, OUT_LOW, 0);
    if (!outflow_begin(&tunnel->outflow, tunnel->bev)) {
        err_set(err, ERR_INTERNAL, "tunnel: out of memory");
        tunnel_close(tunnel);
        return NULL;
    }
    if (!timer_open(&tunnel->idle, options->loop, on_idle_look, tunnel, err) ||
        !begin(tunnel, err) || bufferevent_enable(tunnel->bev, EV_READ | EV_WRITE) != 0) {
        tunnel_close(tunnel);
        return NULL;
    }
    timer_arm_common(&tunnel->idle, IDLE_LOOK_MS);
    return tunnel;
}
