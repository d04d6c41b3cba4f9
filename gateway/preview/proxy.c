#include "gateway/preview/proxy.h"

#include "common/base/log.h"
#include "common/event/loop.h"
#include "gateway/http/server.h"
#include "gateway/preview/access.h"
#include "gateway/preview/answer.h"
#include "gateway/preview/answer_headers.h"
#include "gateway/preview/headers.h"
#include "gateway/preview/page.h"
#include "gateway/preview/request_head.h"
#include "gateway/preview/splice.h"
#include "gateway/preview/upstream.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REQUEST_HEAD_USUAL = 1024, /* bytes made room for at first */
    CHUNK_SIZE_SIZE = 2 * sizeof(size_t) + sizeof "\r\n",
};

struct proxy {
    struct list node;
    struct proxy_options options;
    struct preview_destination destination;
    struct http_exchange *exchange; /* NULL once the client is gone or answered */
    struct trace trace;
    struct upstream *upstream; /* owned; NULL before and behind */
    struct answer *answer;     /* owned */
    struct answer_head head;   /* lies in answer */
    struct evbuffer *pending;  /* owned: for the program, without credit yet; may be NULL */
    struct timer idle;
    size_t owed;        /* bytes of the program that wait for the client */
    bool is_reused;     /* the connection served others before; a request that may be repeated */
    bool is_chunked;    /* the request's body */
    bool body_is_whole; /* of the request */
    bool heard;         /* a byte of the answer */
    bool head_waits;    /* for the end of the bytes it came with: they may hold the whole answer */
    struct view first;  /* of its body; only while the head waits */
    bool begun;         /* the answer, toward the client */
    bool client_full;   /* it takes no more until on_drained */
    struct err failure; /* of an event inside answer_feed */
};

static const struct upstream_events upstream_events;

struct proxy *proxy_of_node(struct list *node)
{
    return LIST_ENTRY(node, struct proxy, node);
}

const struct exposed_grant *proxy_grant(const struct proxy *proxy)
{
    return &proxy->options.grant;
}

void *proxy_owner(const struct proxy *proxy)
{
    return proxy->options.owner;
}

static void release(struct proxy *proxy)
{
    list_remove(&proxy->node);
    timer_close(&proxy->idle);
    upstream_close(proxy->upstream);
    answer_free(proxy->answer);
    if (proxy->pending != NULL) {
        evbuffer_free(proxy->pending);
    }
    free(proxy);
}

/* The only way out of one that is not cancelled or spliced. */
static void finish(struct proxy *proxy)
{
    const struct proxy_options options = proxy->options;
    release(proxy);
    options.on_end(options.owner, options.arg);
}

static struct http_exchange *take_exchange(struct proxy *proxy)
{
    struct http_exchange *exchange = TAKE(proxy->exchange);
    if (exchange != NULL) {
        http_on_gone(exchange, NULL, NULL);
    }
    return exchange;
}

static void answer_page(struct proxy *proxy, enum page_kind kind)
{
    struct http_exchange *exchange = take_exchange(proxy);
    if (exchange != NULL && proxy->begun) {
        http_respond_abort(exchange);
    } else if (exchange != NULL) {
        page_respond(exchange, kind);
    }
}

static void fail(struct proxy *proxy, const struct err *err)
{
    log_debug("preview.failed", LOG_TRACE(&proxy->trace),
              LOG_STR("sandbox_id", proxy->destination.sandbox_id),
              LOG_INT("port", proxy->destination.port), LOG_ERR(err));
    answer_page(proxy, page_of_error(err));
    finish(proxy);
}

static void fail_out_of_memory(struct proxy *proxy)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, "preview: out of memory");
    fail(proxy, &err);
}

void proxy_cancel(struct proxy *proxy)
{
    answer_page(proxy, PAGE_UNAVAILABLE);
    release(proxy);
}

static void on_gone(void *arg)
{
    struct proxy *proxy = arg;
    proxy->exchange = NULL;
    finish(proxy);
}

static void on_idle(void *arg)
{
    struct err err = {0};
    err_set(&err, ERR_TIMEOUT, "nothing was heard for too long");
    fail(arg, &err);
}

static size_t pending_len(const struct proxy *proxy)
{
    return proxy->pending == NULL ? 0 : evbuffer_get_length(proxy->pending);
}

/* Sends what has credit; true when nothing waits any more. */
static bool flush(struct proxy *proxy)
{
    struct evbuffer_iovec piece;
    size_t room;
    while (pending_len(proxy) > 0 && (room = upstream_room(proxy->upstream)) > 0 &&
           evbuffer_peek(proxy->pending, 1, NULL, &piece, 1) > 0) {
        size_t len = piece.iov_len < room ? piece.iov_len : room;
        upstream_send(proxy->upstream, (struct view){piece.iov_base, len});
        (void)evbuffer_drain(proxy->pending, len);
        timer_arm_common(&proxy->idle, PROXY_IDLE_MS);
    }
    return pending_len(proxy) == 0;
}

static bool put(struct proxy *proxy, struct view bytes)
{
    if (proxy->pending == NULL) {
        proxy->pending = evbuffer_new();
    }
    return proxy->pending != NULL && evbuffer_add(proxy->pending, bytes.ptr, bytes.len) == 0;
}

/* The same, but without a copy when the program takes all of it now. */
static bool send_or_put(struct proxy *proxy, struct view bytes)
{
    if (pending_len(proxy) > 0 || bytes.len > upstream_room(proxy->upstream)) {
        return put(proxy, bytes);
    }
    upstream_send(proxy->upstream, bytes);
    timer_arm_common(&proxy->idle, PROXY_IDLE_MS);
    return true;
}

static bool put_chunk(struct proxy *proxy, struct view bytes)
{
    char size[CHUNK_SIZE_SIZE];
    int len = snprintf(size, sizeof size, "%zx\r\n", bytes.len);
    return put(proxy, (struct view){size, (size_t)len}) && put(proxy, bytes) &&
           put(proxy, VIEW("\r\n"));
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    struct proxy *proxy = arg;
    if (!(proxy->is_chunked ? put_chunk(proxy, bytes) : send_or_put(proxy, bytes))) {
        fail_out_of_memory(proxy);
    } else if (!flush(proxy)) {
        http_body_pause(exchange);
    }
}

static void on_body_end(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    struct proxy *proxy = arg;
    proxy->body_is_whole = true;
    if (proxy->is_chunked && !put(proxy, VIEW("0\r\n\r\n"))) {
        fail_out_of_memory(proxy);
        return;
    }
    (void)flush(proxy);
}

static bool put_head(struct proxy *proxy)
{
    const struct http_head *head = http_exchange_head(proxy->exchange);
    int64_t length = http_exchange_body_length(proxy->exchange);
    proxy->is_chunked = head->has_body && length == HTTP_LENGTH_UNKNOWN;
    const struct request_head request = {
        .head = head,
        .destination = &proxy->destination,
        .peer = http_exchange_peer(proxy->exchange),
        .traceparent = http_exchange_brings_trace(proxy->exchange)
                           ? NULL
                           : http_exchange_trace(proxy->exchange)->parent,
        .is_tls = proxy->options.is_tls,
        .hides_token = proxy->options.hides_token,
        .body_length = !head->has_body     ? REQUEST_BODY_NONE
                       : proxy->is_chunked ? REQUEST_BODY_CHUNKED
                                           : length,
    };
    AUTO(str_free) struct str text = STR_INIT(REQUEST_HEAD_MAX);
    (void)str_reserve(&text, REQUEST_HEAD_USUAL);
    request_head_write(&request, &text);
    return !text.failed && send_or_put(proxy, str_view(&text));
}

static void ask(struct proxy *proxy)
{
    static const struct http_body_events body_events = {.on_piece = on_piece,
                                                        .on_end = on_body_end};
    if (!put_head(proxy)) {
        fail_out_of_memory(proxy);
        return;
    }
    (void)flush(proxy);
    if (http_exchange_head(proxy->exchange)->has_body) {
        http_stream_body(proxy->exchange, PROXY_BODY_MAX, &body_events, proxy);
    } else {
        proxy->body_is_whole = true;
    }
}

static void dial(struct proxy *proxy)
{
    struct err err = {0};
    proxy->upstream = upstream_dial(proxy->options.upstreams, proxy->destination.sandbox_id,
                                    proxy->destination.port, &upstream_events, proxy, &err);
    if (proxy->upstream == NULL) {
        fail(proxy, &err);
    }
}

static void on_open(void *arg)
{
    ask(arg);
}

static void on_room(void *arg)
{
    struct proxy *proxy = arg;
    if (flush(proxy)) {
        http_body_resume(proxy->exchange);
    }
}

static void on_drained(void *arg)
{
    struct proxy *proxy = arg;
    proxy->client_full = false;
    timer_arm_common(&proxy->idle, PROXY_IDLE_MS);
    upstream_grant(proxy->upstream, proxy->owed);
    proxy->owed = 0;
}

/* In the answer to HEAD the length is that of the body a GET would get. */
static int64_t length_for_client(const struct proxy *proxy, const struct answer_head *head)
{
    bool is_head = http_exchange_head(proxy->exchange)->method == HTTP_HEAD;
    if (is_head) {
        return head->has_length ? head->said_length : HTTP_LENGTH_UNKNOWN;
    }
    return head->length == ANSWER_LENGTH_UNKNOWN ? HTTP_LENGTH_UNKNOWN : head->length;
}

static void send_body(struct proxy *proxy, struct view bytes)
{
    if (!http_send_piece(proxy->exchange, bytes)) {
        proxy->client_full = true;
    }
}

/* Sends the head that waits, and what is there of the body: if that is_whole, as one answer, which
 * costs the client's connection much less than one in pieces. */
static void send_head(struct proxy *proxy, bool is_whole)
{
    struct answer_headers headers = {0};
    proxy->head_waits = false;
    if (answer_headers_fill(&headers, &proxy->head, &proxy->destination, &proxy->failure)) {
        const struct http_response response = {.status = proxy->head.status,
                                               .body = proxy->first,
                                               .headers = headers.items,
                                               .header_count = headers.count,
                                               .bare = true};
        if (is_whole) {
            http_respond(take_exchange(proxy), &response);
        } else {
            proxy->begun = true;
            http_respond_begin(proxy->exchange, &response, length_for_client(proxy, &proxy->head),
                               on_drained, proxy);
            send_body(proxy, proxy->first);
        }
    }
    proxy->first = (struct view){0};
    answer_headers_free(&headers);
}

static void on_answer_head(const struct answer_head *head, void *arg)
{
    struct proxy *proxy = arg;
    proxy->head = *head;
    proxy->head_waits = head->status != 101; /* switch_over sends that */
}

static void on_answer_body(struct view bytes, void *arg)
{
    struct proxy *proxy = arg;
    if (proxy->head_waits && proxy->first.len == 0) {
        proxy->first = bytes;
        return;
    }
    if (proxy->head_waits) {
        send_head(proxy, false);
    }
    if (proxy->failure.code == ERR_NONE) {
        send_body(proxy, bytes);
    }
}

static const struct answer_events answer_events = {on_answer_head, on_answer_body};

/* To HEAD the length is not that of what is there; an answer before the request's end leaves the
 * rest of that to be read. */
static bool may_answer_at_once(const struct proxy *proxy)
{
    return proxy->body_is_whole && http_exchange_head(proxy->exchange)->method != HTTP_HEAD;
}

static void send_rest(struct proxy *proxy)
{
    if (proxy->head_waits) {
        send_head(proxy, may_answer_at_once(proxy));
    }
    if (proxy->failure.code == ERR_NONE && proxy->exchange != NULL) {
        http_respond_end(take_exchange(proxy));
    }
}

/* is_clean: nothing came behind the answer. */
static void complete(struct proxy *proxy, bool is_clean)
{
    struct upstream *upstream = TAKE(proxy->upstream);
    bool is_free =
        is_clean && proxy->head.keep_alive && proxy->body_is_whole && pending_len(proxy) == 0;
    if (is_free) {
        upstream_grant(upstream, proxy->owed);
        upstream_release(upstream);
    } else {
        upstream_close(upstream);
    }
    send_rest(proxy);
    if (proxy->failure.code == ERR_NONE) {
        finish(proxy);
    } else {
        fail(proxy, &proxy->failure);
    }
}

/* A browser that offered sub-protocols wants one of them chosen; the program has not seen ours. */
static void choose_protocol(const struct proxy *proxy, struct answer_headers *headers)
{
    const struct view name = VIEW("Sec-WebSocket-Protocol");
    const struct header_set theirs = {proxy->head.headers, proxy->head.header_count};
    struct view ours =
        access_find_protocol(http_exchange_header(proxy->exchange, "Sec-WebSocket-Protocol"));
    if (ours.len > 0 && headers_find(theirs, name).ptr == NULL) {
        answer_headers_add(headers, name, ours);
    }
}

/* Sends 101; NULL when that can't be. */
static struct bufferevent *upgrade(struct proxy *proxy, struct http_place **place, struct err *err)
{
    const struct header_set theirs = {proxy->head.headers, proxy->head.header_count};
    struct answer_headers headers = {0};
    struct bufferevent *bev = NULL;
    if (!view_equal_nocase(headers_find(theirs, VIEW("Upgrade")), VIEW("websocket"))) {
        err_set_reason(err, ERR_INVALID, "bad_answer", "the program switches to something else");
        return NULL;
    }
    if (answer_headers_fill(&headers, &proxy->head, &proxy->destination, err)) {
        answer_headers_add(&headers, VIEW("Upgrade"), VIEW("websocket"));
        answer_headers_add(&headers, VIEW("Connection"), VIEW("Upgrade"));
        choose_protocol(proxy, &headers);
        http_on_gone(proxy->exchange, NULL, NULL);
        *place = http_exchange_take_place(proxy->exchange);
        bev = http_upgrade(proxy->exchange, headers.items, headers.count);
        if (bev == NULL) {
            err_set(err, ERR_UNAVAILABLE, "the connection broke during the handshake");
        }
    }
    answer_headers_free(&headers);
    return bev;
}

/* bytes hold the 101 and, behind it, rest. */
static void switch_over(struct proxy *proxy, size_t head_len, struct view rest)
{
    const struct proxy_options options = proxy->options;
    struct err err = {0};
    struct http_place *place = NULL;
    struct bufferevent *bev = upgrade(proxy, &place, &err);
    if (bev == NULL) {
        http_place_free(place);
        fail(proxy, &err);
        return;
    }
    proxy->exchange = NULL;
    upstream_grant(proxy->upstream, proxy->owed + head_len);
    const struct splice_options splice = {.loop = options.loop,
                                          .bev = bev,
                                          .place = place,
                                          .upstream = TAKE(proxy->upstream),
                                          .grant = options.grant,
                                          .rest = rest,
                                          .on_end = options.on_end,
                                          .owner = options.owner,
                                          .arg = options.arg};
    bool spliced = splice_begin(&splice, options.splices);
    release(proxy);
    if (!spliced) {
        options.on_end(options.owner, options.arg);
    }
}

/* More of the answer is to come. */
static void go_on(struct proxy *proxy)
{
    if (proxy->head_waits) {
        send_head(proxy, false);
    }
    if (proxy->failure.code != ERR_NONE) {
        fail(proxy, &proxy->failure);
    } else if (!proxy->client_full) {
        upstream_grant(proxy->upstream, proxy->owed);
        proxy->owed = 0;
    }
}

static void on_bytes(struct view bytes, void *arg)
{
    struct proxy *proxy = arg;
    size_t used;
    proxy->heard = true;
    timer_arm_common(&proxy->idle, PROXY_IDLE_MS);
    if (!answer_feed(proxy->answer, bytes, &used, &proxy->failure) ||
        proxy->failure.code != ERR_NONE) {
        fail(proxy, &proxy->failure);
        return;
    }
    if (answer_state(proxy->answer) == ANSWER_SWITCHED) {
        switch_over(proxy, used, view_from(bytes, used));
        return;
    }
    proxy->owed += bytes.len;
    if (answer_state(proxy->answer) == ANSWER_COMPLETE) {
        complete(proxy, used == bytes.len);
    } else {
        go_on(proxy);
    }
}

/* An idle connection may be closed by the program while the request is under way to it. */
static bool ask_again(struct proxy *proxy)
{
    if (!proxy->is_reused || proxy->heard) {
        return false;
    }
    proxy->is_reused = false;
    upstream_close(TAKE(proxy->upstream));
    if (proxy->pending != NULL) {
        (void)evbuffer_drain(proxy->pending, evbuffer_get_length(proxy->pending));
    }
    dial(proxy);
    return true;
}

static void on_end(const struct err *err, void *arg)
{
    struct proxy *proxy = arg;
    struct err cut = {0};
    if (ask_again(proxy)) {
        return;
    }
    if (err != NULL) {
        fail(proxy, err);
    } else if (answer_feed_end(proxy->answer, &cut)) {
        complete(proxy, false);
    } else {
        fail(proxy, &cut);
    }
}

static const struct upstream_events upstream_events = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_room = on_room,
    .on_end = on_end,
};

/* Whether a request may be sent twice: on an idle connection it may have to be. */
static bool is_repeatable(const struct http_head *head)
{
    bool is_safe =
        head->method == HTTP_GET || head->method == HTTP_HEAD || head->method == HTTP_OPTIONS;
    return is_safe && !head->has_body && !head->wants_upgrade;
}

static struct proxy *new_proxy(const struct proxy_options *options, struct err *err)
{
    const struct http_head *head = http_exchange_head(options->exchange);
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL) {
        err_set(err, ERR_INTERNAL, "preview: out of memory");
        return NULL;
    }
    proxy->options = *options;
    proxy->destination = *options->destination;
    proxy->exchange = options->exchange;
    proxy->trace = *http_exchange_trace(options->exchange);
    proxy->answer =
        answer_new(head->method == HTTP_HEAD, head->wants_upgrade, &answer_events, proxy);
    if (proxy->answer == NULL) {
        err_set(err, ERR_INTERNAL, "preview: out of memory");
    }
    if (proxy->answer == NULL || !timer_open(&proxy->idle, options->loop, on_idle, proxy, err)) {
        release(proxy);
        return NULL;
    }
    return proxy;
}

void proxy_begin(const struct proxy_options *options)
{
    struct err err = {0};
    struct proxy *proxy = new_proxy(options, &err);
    if (proxy == NULL) {
        page_respond(options->exchange, page_of_error(&err));
        options->on_end(options->owner, options->arg);
        return;
    }
    list_append(options->proxies, &proxy->node);
    timer_arm_common(&proxy->idle, PROXY_IDLE_MS);
    http_on_gone(proxy->exchange, on_gone, proxy);
    if (is_repeatable(http_exchange_head(proxy->exchange))) {
        proxy->upstream = upstream_take(options->upstreams, proxy->destination.sandbox_id,
                                        proxy->destination.port, &upstream_events, proxy);
    }
    proxy->is_reused = proxy->upstream != NULL;
    if (proxy->is_reused) {
        ask(proxy);
    } else {
        dial(proxy);
    }
}
