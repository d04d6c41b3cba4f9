#include "common/ipc/server.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/ipc/channel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    IPC_PEERS_MAX = 256,       /* connections; further ones are closed at once */
    IPC_ACCEPT_PAUSE_MS = 100, /* after a failure: out of descriptors, say */
    IPC_COMPLAIN_MS = 1000,    /* who is refused is logged at most so often */
};

static const struct view ipc_scheme = VIEW("ipc://");

struct ipc_server {
    struct loop *loop;             /* borrowed */
    struct mailbox *mailbox;       /* owned */
    nng_stream_listener *listener; /* owned */
    bool is_tls;
    nng_aio *accepting;     /* owned */
    struct letter accepted; /* in the mailbox from the end of an accept to delivery */
    struct timer accept_again;
    bool closing;
    const struct ipc_method *methods; /* borrowed */
    size_t method_count;
    void *arg;
    struct list peers;
    size_t peer_count;
    size_t stranger_count;     /* of these */
    int64_t next_complaint_ms; /* monotonic */
    struct list exchanges;
    size_t exchange_count;
    struct loop_corpse corpse;
};

/* A connection from another process. */
struct peer {
    struct list node; /* in the server's peers */
    struct ipc_server *server;
    struct ipc_channel *channel; /* owned */
    bool is_stranger;            /* it has not shown a good certificate yet */
    struct timer greeting;       /* until that is due */
    struct list exchanges;       /* it waits for */
    struct loop_corpse corpse;
};

struct ipc_exchange {
    struct list node;          /* in the server's exchanges */
    struct list peer_node;     /* in the peer's */
    struct ipc_server *server; /* NULL once that is closed */
    struct peer *peer;         /* NULL once that has left */
    uint64_t id;
    struct json_doc *doc; /* owned */
    struct ipc_request request;
    int64_t deadline_ms; /* monotonic */
};

static void pause_peers(struct ipc_server *server)
{
    for (LIST_EACH(node, &server->peers)) {
        struct peer *peer = LIST_ENTRY(node, struct peer, node);
        if (!peer->is_stranger) { /* it may still greet */
            ipc_channel_pause(peer->channel);
        }
    }
}

static void resume_peers(struct ipc_server *server)
{
    for (LIST_EACH(node, &server->peers)) {
        ipc_channel_resume(LIST_ENTRY(node, struct peer, node)->channel);
    }
}

/* The handler still has it and will free it by replying. */
static void forget(struct ipc_exchange *exchange)
{
    list_remove(&exchange->node);
    list_remove(&exchange->peer_node);
    exchange->server = NULL;
    exchange->peer = NULL;
}

static void exchange_free(struct ipc_exchange *exchange)
{
    struct ipc_server *server = exchange->server;
    forget(exchange);
    json_doc_free(exchange->doc);
    free(exchange);
    if (server != NULL && server->exchange_count-- == IPC_EXCHANGES_MAX) {
        resume_peers(server);
    }
}

static void send_reply(struct ipc_exchange *exchange, const struct ipc_reply *reply)
{
    struct err err = {0};
    struct str text = STR_SECRET(IPC_MESSAGE_MAX);
    bool ok = ipc_reply_write(reply, &text, &err);
    if (!ok && reply->ok) { /* too large: that itself can be said */
        const struct ipc_reply instead = {.error = err};
        str_clear(&text);
        ok = ipc_reply_write(&instead, &text, &err);
    }
    ok = ok && ipc_channel_send(exchange->peer->channel, exchange->id, str_view(&text), &err);
    str_free(&text);
    if (!ok) { /* the caller's deadline tells it */
        log_error("ipc.reply_lost", LOG_STR("method", exchange->request.method),
                  LOG_TRACE(&exchange->request.trace), LOG_ERR(&err));
    }
}

static void end(struct ipc_exchange *exchange, const struct ipc_reply *reply)
{
    if (exchange->peer != NULL) {
        send_reply(exchange, reply);
    }
    exchange_free(exchange);
}

void ipc_reply_ok(struct ipc_exchange *exchange, struct view body)
{
    const struct ipc_reply reply = {.ok = true, .body = body};
    end(exchange, &reply);
}

void ipc_reply_error(struct ipc_exchange *exchange, const struct err *err)
{
    assert(err->code != ERR_NONE);
    const struct ipc_reply reply = {.error = *err};
    end(exchange, &reply);
}

int64_t ipc_exchange_remaining_ms(const struct ipc_exchange *exchange)
{
    int64_t left_ms = exchange->deadline_ms - clock_monotonic_ms();
    return left_ms > 0 ? left_ms : 0;
}

static const struct ipc_method *find_method(const struct ipc_server *server, const char *name)
{
    for (size_t i = 0; i < server->method_count; i++) {
        if (strcmp(server->methods[i].name, name) == 0) {
            return &server->methods[i];
        }
    }
    return NULL;
}

/* Whoever is given the exchange frees it. */
static void serve(struct ipc_exchange *exchange, struct view text)
{
    struct ipc_server *server = exchange->server;
    struct err err = {0};
    exchange->doc = ipc_request_read(text, &exchange->request, &err);
    if (exchange->doc == NULL) {
        log_error("ipc.bad_request", LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return;
    }
    if (exchange->request.timeout_ms <= 0) { /* nobody waits for the answer any more */
        exchange_free(exchange);
        return;
    }
    exchange->deadline_ms = clock_monotonic_ms() + exchange->request.timeout_ms;
    const struct ipc_method *method = find_method(server, exchange->request.method);
    if (method == NULL) {
        err_set_reason(&err, ERR_INTERNAL, "unknown_method", "there is no method %s",
                       exchange->request.method);
        ipc_reply_error(exchange, &err);
        return;
    }
    method->handle(exchange, &exchange->request, server->arg);
}

static void peer_free(void *object)
{
    free(object);
}

/* What it asked for goes on; nobody hears the answers. */
static void drop_peer(struct peer *peer)
{
    struct list *node;
    while ((node = list_pop(&peer->exchanges)) != NULL) {
        LIST_ENTRY(node, struct ipc_exchange, peer_node)->peer = NULL;
    }
    list_remove(&peer->node);
    peer->server->peer_count--;
    peer->server->stranger_count -= peer->is_stranger;
    timer_close(&peer->greeting);
    ipc_channel_close(TAKE(peer->channel));
    loop_free_later(peer->server->loop, &peer->corpse, peer_free, peer);
}

static void complain(struct ipc_server *server, const char *why)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= server->next_complaint_ms) {
        server->next_complaint_ms = now_ms + IPC_COMPLAIN_MS;
        log_warn("ipc.peer_refused", LOG_STR("error", why),
                 LOG_INT("peers", (int64_t)server->peer_count));
    }
}

static void refuse(struct peer *peer, const char *why)
{
    complain(peer->server, why);
    drop_peer(peer);
}

static void on_greeting_overdue(void *arg)
{
    refuse(arg, "no certificate in time");
}

static void on_greeting(struct peer *peer, const struct ipc_frame *frame)
{
    struct ipc_server *server = peer->server;
    struct err err = {0};
    if (!ipc_frame_is_greeting(frame) || !ipc_channel_is_verified(peer->channel)) {
        refuse(peer, "it is none of ours");
        return;
    }
    if (!ipc_channel_send(peer->channel, 0, VIEW(""), &err)) {
        refuse(peer, err.message);
        return;
    }
    peer->is_stranger = false;
    server->stranger_count--;
    timer_disarm(&peer->greeting);
    if (server->exchange_count >= IPC_EXCHANGES_MAX) {
        ipc_channel_pause(peer->channel);
    }
}

static void on_frame(const struct ipc_frame *frame, void *arg)
{
    struct peer *peer = arg;
    struct ipc_server *server = peer->server;
    if (peer->is_stranger) {
        on_greeting(peer, frame);
        return;
    }
    struct ipc_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) { /* the caller's deadline tells it */
        log_error("ipc.exchange_failed", LOG_STR("error", "out of memory"));
        return;
    }
    exchange->server = server;
    exchange->peer = peer;
    exchange->id = frame->id;
    list_append(&server->exchanges, &exchange->node);
    list_append(&peer->exchanges, &exchange->peer_node);
    if (++server->exchange_count == IPC_EXCHANGES_MAX) {
        pause_peers(server);
    }
    serve(exchange, frame->text);
}

static void on_lost(const struct err *err, void *arg)
{
    struct peer *peer = arg;
    if (peer->is_stranger) {
        refuse(peer, err->message);
    } else {
        drop_peer(peer); /* processes come and go */
    }
}

static bool has_room(const struct ipc_server *server)
{
    return server->peer_count < IPC_PEERS_MAX &&
           (!server->is_tls || server->stranger_count < IPC_STRANGERS_MAX);
}

/* Takes stream. */
static bool open_peer(struct peer *peer, nng_stream *stream, struct err *err)
{
    static const struct ipc_channel_handlers handlers = {on_frame, on_lost};
    struct ipc_server *server = peer->server;
    list_init(&peer->exchanges);
    if (!timer_open(&peer->greeting, server->loop, on_greeting_overdue, peer, err)) {
        nng_stream_free(stream);
        return false;
    }
    peer->channel = ipc_channel_new(server->loop, server->mailbox, stream, &handlers, peer, err);
    return peer->channel != NULL;
}

static void add_peer(struct ipc_server *server, nng_stream *stream)
{
    struct err err = {0};
    struct peer *peer = has_room(server) ? calloc(1, sizeof *peer) : NULL;
    if (peer == NULL) {
        nng_stream_free(stream);
        complain(server, "too many connections, or out of memory");
        return;
    }
    peer->server = server;
    if (!open_peer(peer, stream, &err)) {
        timer_close(&peer->greeting);
        free(peer);
        complain(server, err.message);
        return;
    }
    list_append(&server->peers, &peer->node);
    server->peer_count++;
    if (server->is_tls) {
        peer->is_stranger = true;
        server->stranger_count++;
        timer_arm(&peer->greeting, IPC_GREETING_WAIT_MS);
    } else if (server->exchange_count >= IPC_EXCHANGES_MAX) {
        ipc_channel_pause(peer->channel);
    }
}

static void accept_next(void *arg)
{
    struct ipc_server *server = arg;
    nng_stream_listener_accept(server->listener, server->accepting);
}

/* On a thread of nng. */
static void on_nng_thread(void *arg)
{
    struct ipc_server *server = arg;
    mailbox_post(server->mailbox, &server->accepted);
}

static void on_accepted(struct letter *letter)
{
    struct ipc_server *server = LIST_ENTRY(letter, struct ipc_server, accepted);
    int failure = nng_aio_result(server->accepting);
    if (server->closing) {
        if (failure == 0) {
            nng_stream_free(nng_aio_get_output(server->accepting, 0));
        }
        return;
    }
    if (failure != 0) {
        log_error("ipc.accept_failed", LOG_STR("error", nng_strerror(failure)));
        timer_arm(&server->accept_again, IPC_ACCEPT_PAUSE_MS);
        return;
    }
    add_peer(server, nng_aio_get_output(server->accepting, 0));
    accept_next(server);
}

static bool set_tls(struct ipc_server *server, const struct ipc_tls *tls, struct err *err)
{
    nng_tls_config *config = ipc_tls_open(tls, NNG_TLS_MODE_SERVER, err);
    if (config == NULL) {
        return false;
    }
    int failure = nng_stream_listener_set_ptr(server->listener, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); /* the listener keeps it */
    return failure == 0 || err_set(err, ERR_INTERNAL, "ipc: TLS: %s", nng_strerror(failure));
}

/* nng itself replaces the file of a socket that nobody listens on. */
static bool start_listener(struct ipc_server *server, const char *url, uid_t owner,
                           const struct ipc_tls *tls, struct err *err)
{
    bool is_ipc = view_starts_with(view_of(url), ipc_scheme);
    if (!ipc_tls_is_needed(url, &server->is_tls, err)) {
        return false;
    }
    int failure = nng_stream_listener_alloc(&server->listener, url);
    if (failure == 0 && server->is_tls && !set_tls(server, tls, err)) {
        return false;
    }
    if (failure != 0 ||
        (is_ipc && (failure = nng_stream_listener_set_int(server->listener, NNG_OPT_IPC_PERMISSIONS,
                                                          S_IRUSR | S_IWUSR)) != 0) ||
        (failure = nng_stream_listener_listen(server->listener)) != 0) {
        return err_set(err, ERR_UNAVAILABLE, "can't listen on %s: %s", url, nng_strerror(failure));
    }
    if (is_ipc && owner != (uid_t)-1 && lchown(url + ipc_scheme.len, owner, (gid_t)-1) != 0) {
        return err_set(err, ERR_INTERNAL, "can't hand %s over: %s", url, strerror(errno));
    }
    return true;
}

static bool open_accepting(struct ipc_server *server, struct err *err)
{
    server->accepted.on_delivered = on_accepted;
    int failure = nng_aio_alloc(&server->accepting, on_nng_thread, server);
    if (failure != 0) {
        return err_set(err, ERR_INTERNAL, "ipc: %s", nng_strerror(failure));
    }
    return timer_open(&server->accept_again, server->loop, accept_next, server, err);
}

struct ipc_server *ipc_server_open(struct loop *loop, const char *url, uid_t owner,
                                   const struct ipc_method *methods, size_t method_count, void *arg,
                                   struct err *err)
{
    return ipc_server_open_tls(loop, url, owner, NULL, methods, method_count, arg, err);
}

struct ipc_server *ipc_server_open_tls(struct loop *loop, const char *url, uid_t owner,
                                       const struct ipc_tls *tls, const struct ipc_method *methods,
                                       size_t method_count, void *arg, struct err *err)
{
    struct ipc_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        err_set(err, ERR_INTERNAL, "ipc: out of memory");
        return NULL;
    }
    server->loop = loop;
    server->methods = methods;
    server->method_count = method_count;
    server->arg = arg;
    list_init(&server->peers);
    list_init(&server->exchanges);
    server->mailbox = mailbox_new(loop, err);
    if (server->mailbox == NULL || !open_accepting(server, err) ||
        !start_listener(server, url, owner, tls, err)) {
        ipc_server_close(server);
        return NULL;
    }
    accept_next(server);
    return server;
}

/* At the end of the loop's turn: this may have been closed from inside a handler. */
static void server_free(void *object)
{
    struct ipc_server *server = object;
    mailbox_free(server->mailbox); /* delivers what the end of accepting and channels left */
    nng_aio_free(server->accepting);
    free(server);
}

void ipc_server_close(struct ipc_server *server)
{
    if (server == NULL) {
        return;
    }
    server->closing = true;
    for (LIST_EACH(node, &server->exchanges)) {
        forget(LIST_ENTRY(node, struct ipc_exchange, node));
    }
    for (LIST_EACH(node, &server->peers)) {
        drop_peer(LIST_ENTRY(node, struct peer, node));
    }
    timer_close(&server->accept_again);
    if (server->accepting != NULL) {
        nng_aio_stop(server->accepting); /* from here on its letter, if any, is in the mailbox */
    }
    if (server->listener != NULL) {
        nng_stream_listener_free(server->listener); /* and with it goes the socket's file */
    }
    loop_free_later(server->loop, &server->corpse, server_free, server);
}
