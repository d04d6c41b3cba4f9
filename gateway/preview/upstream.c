#include "gateway/preview/upstream.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/event/loop.h"
#include "gateway/hub/stream.h"
#include "gateway/native/agent_errors.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct upstreams {
    struct loop *loop; /* borrowed */
    struct hub *hub;   /* borrowed */
    struct map places; /* of struct place */
};

/* A sandbox that has idle connections. */
struct place {
    struct map_node node;
    struct list idle; /* to any of its ports; the one used last at the end */
    size_t count;
    char sandbox_id[ID_SIZE];
};

struct upstream {
    struct list node;            /* of its place, while idle */
    struct upstreams *upstreams; /* borrowed */
    struct place *place;         /* borrowed; while idle */
    struct hub_stream *stream;   /* owned; NULL once it is over */
    bool ended;                  /* on_end was called */
    struct timer idle;
    const struct upstream_events *events; /* borrowed */
    void *arg;
    uint16_t port;
    char sandbox_id[ID_SIZE];
};

struct upstreams *upstreams_new(struct loop *loop, struct hub *hub, struct err *err)
{
    struct upstreams *upstreams = calloc(1, sizeof *upstreams);
    if (upstreams == NULL) {
        err_set(err, ERR_INTERNAL, "preview: out of memory");
        return NULL;
    }
    upstreams->loop = loop;
    upstreams->hub = hub;
    if (!map_init(&upstreams->places, err)) {
        free(upstreams);
        return NULL;
    }
    return upstreams;
}

static struct place *find_place(struct upstreams *upstreams, const char *sandbox_id)
{
    struct map_node *node = map_find(&upstreams->places, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct place, node);
}

static struct place *make_place(struct upstreams *upstreams, const char *sandbox_id)
{
    struct place *place = calloc(1, sizeof *place);
    if (place != NULL) {
        list_init(&place->idle);
        memcpy(place->sandbox_id, sandbox_id, sizeof place->sandbox_id);
        map_insert(&upstreams->places, &place->node, view_of(place->sandbox_id));
    }
    return place;
}

static void leave_place(struct upstream *upstream)
{
    struct place *place = TAKE(upstream->place);
    if (place == NULL) {
        return;
    }
    list_remove(&upstream->node);
    timer_disarm(&upstream->idle);
    if (--place->count == 0) {
        map_remove(&upstream->upstreams->places, &place->node);
        free(place);
    }
}

void upstream_close(struct upstream *upstream)
{
    if (upstream != NULL) {
        leave_place(upstream);
        timer_close(&upstream->idle);
        hub_stream_close(upstream->stream);
        free(upstream);
    }
}

static void close_place(struct map_node *node, void *arg)
{
    struct upstreams *upstreams = arg;
    struct place *place = MAP_ENTRY(node, struct place, node);
    struct list idle;
    struct list *left;
    list_init(&idle);
    list_append_all(&idle, &place->idle);
    map_remove(&upstreams->places, node);
    free(place);
    while ((left = list_pop(&idle)) != NULL) {
        struct upstream *upstream = LIST_ENTRY(left, struct upstream, node);
        upstream->place = NULL;
        upstream_close(upstream);
    }
}

void upstreams_free(struct upstreams *upstreams)
{
    if (upstreams != NULL) {
        map_each(&upstreams->places, close_place, upstreams);
        map_free(&upstreams->places);
        free(upstreams);
    }
}

/* An idle one that ends, or says something unasked, is of no more use. */
static void end(struct upstream *upstream, const struct err *err)
{
    if (upstream->place != NULL) {
        upstream_close(upstream);
    } else if (!upstream->ended) {
        upstream->ended = true;
        upstream->events->on_end(err, upstream->arg);
    }
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct upstream *upstream = arg;
    struct err failure = {0};
    if (err == NULL && !view_equal(reply->type, VIEW("error"))) {
        upstream->events->on_open(upstream->arg);
        return;
    }
    upstream->stream = NULL;
    if (err == NULL) {
        agent_error_read(reply->text, &failure);
    }
    end(upstream, err == NULL ? &failure : err);
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct upstream *upstream = arg;
    (void)kind;
    if (upstream->place != NULL) {
        upstream_close(upstream);
    } else if (!upstream->ended) {
        upstream->events->on_bytes(bytes, upstream->arg);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    struct upstream *upstream = arg;
    (void)bytes;
    if (upstream->place == NULL && !upstream->ended) {
        upstream->events->on_room(upstream->arg);
    }
}

static void on_fin(void *arg)
{
    end(arg, NULL);
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct upstream *upstream = arg;
    struct err failure = {0};
    upstream->stream = NULL;
    if (err == NULL && code != NULL) {
        err_set_reason(&failure, ERR_INVALID, "connection_reset", "the program reset: %s", code);
        err = &failure;
    }
    end(upstream, err);
}

static const struct hub_stream_events stream_events = {
    .on_reply = on_reply,
    .on_bytes = on_bytes,
    .on_window = on_window,
    .on_fin = on_fin,
    .on_closed = on_closed,
};

static void on_idle_too_long(void *arg)
{
    upstream_close(arg);
}

struct upstream *upstream_dial(struct upstreams *upstreams, const char sandbox_id[ID_SIZE],
                               uint16_t port, const struct upstream_events *events, void *arg,
                               struct err *err)
{
    char before[64];
    int length = snprintf(before, sizeof before, "{\"type\":\"dial\",\"port\":%u,", (unsigned)port);
    const struct hub_message message = {.before = {before, (size_t)length}, .after = VIEW("}")};
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL) {
        err_set(err, ERR_INTERNAL, "preview: out of memory");
        return NULL;
    }
    upstream->upstreams = upstreams;
    upstream->events = events;
    upstream->arg = arg;
    upstream->port = port;
    memcpy(upstream->sandbox_id, sandbox_id, sizeof upstream->sandbox_id);
    if (!timer_open(&upstream->idle, upstreams->loop, on_idle_too_long, upstream, err) ||
        (upstream->stream = hub_stream_open(upstreams->hub, sandbox_id, &message, UPSTREAM_DIAL_MS,
                                            &stream_events, upstream, err)) == NULL) {
        upstream_close(upstream);
        return NULL;
    }
    return upstream;
}

struct upstream *upstream_take(struct upstreams *upstreams, const char sandbox_id[ID_SIZE],
                               uint16_t port, const struct upstream_events *events, void *arg)
{
    struct place *place = find_place(upstreams, sandbox_id);
    struct list *node = place == NULL ? NULL : place->idle.previous;
    while (place != NULL && node != &place->idle) {
        struct upstream *upstream = LIST_ENTRY(node, struct upstream, node);
        if (upstream->port == port) {
            leave_place(upstream);
            upstream_bind(upstream, events, arg);
            return upstream;
        }
        node = node->previous;
    }
    return NULL;
}

void upstream_bind(struct upstream *upstream, const struct upstream_events *events, void *arg)
{
    upstream->events = events;
    upstream->arg = arg;
}

size_t upstream_room(const struct upstream *upstream)
{
    return upstream->stream == NULL ? 0 : hub_stream_credit(upstream->stream);
}

void upstream_send(struct upstream *upstream, struct view bytes)
{
    bool sent = upstream->stream != NULL && hub_stream_send(upstream->stream, bytes);
    assert(sent);
}

void upstream_send_end(struct upstream *upstream)
{
    if (upstream->stream != NULL) {
        hub_stream_send_fin(upstream->stream);
    }
}

void upstream_grant(struct upstream *upstream, size_t bytes)
{
    assert(bytes <= STREAM_CREDIT_MAX);
    if (bytes > 0 && upstream->stream != NULL && !upstream->ended) {
        hub_stream_grant(upstream->stream, (uint32_t)bytes);
    }
}

static bool has_room(const struct place *place, uint16_t port)
{
    size_t count = 0;
    for (LIST_EACH(node, &place->idle)) {
        count += LIST_ENTRY(node, struct upstream, node)->port == port ? 1 : 0;
    }
    return count < UPSTREAM_IDLE_PER_PORT_MAX && place->count < UPSTREAM_IDLE_PER_SANDBOX_MAX;
}

void upstream_release(struct upstream *upstream)
{
    struct upstreams *upstreams = upstream->upstreams;
    struct place *place = find_place(upstreams, upstream->sandbox_id);
    bool is_usable = upstream->stream != NULL && !upstream->ended;
    if (!is_usable || (place != NULL && !has_room(place, upstream->port)) ||
        (place == NULL && (place = make_place(upstreams, upstream->sandbox_id)) == NULL)) {
        upstream_close(upstream);
        return;
    }
    upstream->place = place;
    place->count++;
    list_append(&place->idle, &upstream->node);
    timer_arm_common(&upstream->idle, UPSTREAM_IDLE_MS);
}
