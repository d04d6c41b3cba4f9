#include "gateway/preview/splice.h"

#include "common/event/loop.h"
#include "gateway/http/outflow.h"
#include "gateway/http/server.h"
#include "gateway/preview/upstream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

struct splice {
    struct list node;
    struct bufferevent *bev; /* owned */
    struct outflow outflow;
    struct http_place *place;  /* owned */
    struct upstream *upstream; /* owned */
    struct timer idle;
    struct exposed_grant grant;
    size_t owed;        /* bytes of the program that wait for the client, or were just taken */
    bool client_ended;  /* it sends no more */
    bool program_ended; /* the same; what it said may still wait for the client */
    void (*on_end)(void *owner, void *arg);
    void *owner;
    void *arg;
};

struct splice *splice_of_node(struct list *node)
{
    return LIST_ENTRY(node, struct splice, node);
}

const struct exposed_grant *splice_grant(const struct splice *splice)
{
    return &splice->grant;
}

void *splice_owner(const struct splice *splice)
{
    return splice->owner;
}

void splice_close(struct splice *splice)
{
    list_remove(&splice->node);
    timer_close(&splice->idle);
    upstream_close(splice->upstream);
    outflow_end(&splice->outflow);
    bufferevent_free(splice->bev);
    http_place_free(splice->place);
    free(splice);
}

static void end(struct splice *splice)
{
    void (*on_end)(void *, void *) = splice->on_end;
    void *owner = splice->owner;
    void *arg = splice->arg;
    splice_close(splice);
    on_end(owner, arg);
}

static void on_idle(void *arg)
{
    end(arg);
}

/* Sends on what the client sent, as far as the program takes it; reads no more while some is left.
 */
static void push(struct splice *splice)
{
    struct evbuffer *input = bufferevent_get_input(splice->bev);
    struct evbuffer_iovec piece;
    size_t room;
    while (evbuffer_get_length(input) > 0 && (room = upstream_room(splice->upstream)) > 0 &&
           evbuffer_peek(input, 1, NULL, &piece, 1) > 0) {
        size_t len = piece.iov_len < room ? piece.iov_len : room;
        upstream_send(splice->upstream, (struct view){piece.iov_base, len});
        (void)evbuffer_drain(input, len);
        timer_arm_common(&splice->idle, SPLICE_IDLE_MS);
    }
    if (evbuffer_get_length(input) > 0) {
        (void)bufferevent_disable(splice->bev, EV_READ);
    } else if (splice->client_ended) {
        upstream_send_end(splice->upstream);
    } else {
        (void)bufferevent_enable(splice->bev, EV_READ);
    }
}

/* Gives credit for what the client took. False: that was the last, and the splice is over. */
static bool settle(struct splice *splice)
{
    size_t waiting = evbuffer_get_length(bufferevent_get_output(splice->bev));
    if (splice->program_ended && waiting == 0) {
        end(splice);
        return false;
    }
    if (waiting <= SPLICE_BACKLOG_MAX) {
        upstream_grant(splice->upstream, splice->owed);
        splice->owed = 0;
    }
    return true;
}

static void on_client_bytes(struct bufferevent *bev, void *arg)
{
    (void)bev;
    push(arg);
}

static void on_client_took(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct splice *splice = arg;
    timer_arm_common(&splice->idle, SPLICE_IDLE_MS);
    (void)settle(splice);
}

static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct splice *splice = arg;
    if ((what & BEV_EVENT_EOF) == 0) {
        end(splice);
        return;
    }
    splice->client_ended = true;
    if (evbuffer_get_length(bufferevent_get_output(splice->bev)) > 0) {
        (void)bufferevent_enable(splice->bev, EV_WRITE); /* over TLS libevent has stopped it */
    }
    push(splice);
}

static bool write_out(struct splice *splice, struct view bytes)
{
    splice->owed += bytes.len;
    timer_arm_common(&splice->idle, SPLICE_IDLE_MS);
    return bytes.len == 0 || bufferevent_write(splice->bev, bytes.ptr, bytes.len) == 0;
}

static void on_program_bytes(struct view bytes, void *arg)
{
    struct splice *splice = arg;
    if (!write_out(splice, bytes)) {
        end(splice);
    } else {
        (void)settle(splice);
    }
}

static void on_program_room(void *arg)
{
    push(arg);
}

/* What it said before still goes to the client. */
static void on_program_end(const struct err *err, void *arg)
{
    struct splice *splice = arg;
    if (err != NULL) {
        end(splice);
        return;
    }
    splice->program_ended = true;
    (void)settle(splice);
}

static const struct upstream_events events = {
    .on_bytes = on_program_bytes,
    .on_room = on_program_room,
    .on_end = on_program_end,
};

bool splice_begin(const struct splice_options *options, struct list *list)
{
    struct err err = {0};
    struct splice *splice = calloc(1, sizeof *splice);
    if (splice == NULL) {
        upstream_close(options->upstream);
        bufferevent_free(options->bev);
        http_place_free(options->place);
        return false;
    }
    splice->bev = options->bev;
    splice->place = options->place;
    splice->upstream = options->upstream;
    splice->grant = options->grant;
    splice->on_end = options->on_end;
    splice->owner = options->owner;
    splice->arg = options->arg;
    list_append(list, &splice->node);
    upstream_bind(splice->upstream, &events, splice);
    bufferevent_setcb(splice->bev, on_client_bytes, on_client_took, on_client_event, splice);
    bufferevent_setwatermark(splice->bev, EV_WRITE, SPLICE_BACKLOG_MAX / 2, 0);
    if (!timer_open(&splice->idle, options->loop, on_idle, splice, &err) ||
        !outflow_begin(&splice->outflow, splice->bev) || !write_out(splice, options->rest) ||
        bufferevent_enable(splice->bev, EV_WRITE) != 0) {
        splice_close(splice);
        return false;
    }
    timer_arm_common(&splice->idle, SPLICE_IDLE_MS);
    push(splice); /* and with it begins to read */
    return true;
}
