#include "common/ipc/server.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/event/mailbox.h"
#include "common/ipc/closing.h"
#include "common/ipc/wire.h"

#include <assert.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { IPC_EXCHANGES_WAITING = 4 }; /* kept ready for the next requests */

static const struct view ipc_scheme = VIEW("ipc://");

struct ipc_server {
    struct loop *loop;       /* borrowed */
    struct mailbox *mailbox; /* owned */
    nng_socket socket;       /* owned */
    bool has_socket;
    bool closing;
    const struct ipc_method *methods; /* borrowed */
    size_t method_count;
    void *arg;
    struct list exchanges;
    size_t exchange_count;
    size_t waiting_count; /* of those, in EXCHANGE_WAITING */
    struct loop_corpse corpse;
};

enum exchange_state {
    EXCHANGE_WAITING,  /* for a request */
    EXCHANGE_SERVING,  /* the handler has it */
    EXCHANGE_REPLYING, /* nng has the reply */
};

/* A context of nng, used for one request after the other. */
struct ipc_exchange {
    struct letter letter;      /* in the mailbox from post to delivery */
    struct list node;          /* in the server's exchanges */
    struct ipc_server *server; /* NULL once that is closed */
    enum exchange_state state;
    nng_ctx ctx;
    bool has_ctx;
    nng_aio *aio;         /* owned */
    struct json_doc *doc; /* owned; of the request being served */
    struct ipc_request request;
    int64_t deadline_ms; /* monotonic */
};

/* On a thread of nng. */
static void on_nng_thread(void *arg)
{
    struct ipc_exchange *exchange = arg;
    mailbox_post(exchange->server->mailbox, &exchange->letter);
}

static void close_ctx(struct ipc_exchange *exchange)
{
    if (exchange->has_ctx) {
        (void)nng_ctx_close(exchange->ctx);
        exchange->has_ctx = false;
    }
}

static void exchange_free(struct ipc_exchange *exchange)
{
    if (exchange->server != NULL) {
        list_remove(&exchange->node);
        exchange->server->exchange_count--;
    }
    close_ctx(exchange);
    nng_aio_free(exchange->aio);
    json_doc_free(exchange->doc);
    free(exchange);
}

static void wait_for_request(struct ipc_exchange *exchange)
{
    json_doc_free(exchange->doc);
    exchange->doc = NULL;
    exchange->state = EXCHANGE_WAITING;
    exchange->server->waiting_count++;
    nng_ctx_recv(exchange->ctx, exchange->aio);
}

static void send_reply(struct ipc_exchange *exchange, const struct ipc_reply *reply)
{
    struct err err = {0};
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    nng_msg *message = NULL;
    bool ok = ipc_reply_write(reply, &text, &err);
    if (!ok && reply->ok) { /* too large: that itself can be said */
        const struct ipc_reply instead = {.error = err};
        str_clear(&text);
        ok = ipc_reply_write(&instead, &text, &err);
    }
    ok = ok && ipc_message_new(str_view(&text), &message, &err);
    str_free(&text);
    if (!ok) { /* the caller's deadline tells it */
        log_error("ipc.reply_lost", LOG_STR("method", exchange->request.method),
                  LOG_STR("request_id", exchange->request.request_id), LOG_ERR(&err));
        wait_for_request(exchange);
        return;
    }
    exchange->state = EXCHANGE_REPLYING;
    nng_aio_set_msg(exchange->aio, message);
    nng_ctx_send(exchange->ctx, exchange->aio);
}

void ipc_reply_ok(struct ipc_exchange *exchange, struct view body)
{
    assert(exchange->state == EXCHANGE_SERVING);
    if (exchange->server == NULL) {
        exchange_free(exchange);
        return;
    }
    const struct ipc_reply reply = {.ok = true, .body = body};
    send_reply(exchange, &reply);
}

void ipc_reply_error(struct ipc_exchange *exchange, const struct err *err)
{
    assert(exchange->state == EXCHANGE_SERVING && err->code != ERR_NONE);
    if (exchange->server == NULL) {
        exchange_free(exchange);
        return;
    }
    const struct ipc_reply reply = {.error = *err};
    send_reply(exchange, &reply);
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

static void serve(struct ipc_exchange *exchange)
{
    struct ipc_server *server = exchange->server;
    struct err err = {0};
    nng_msg *message = nng_aio_get_msg(exchange->aio);
    const struct view text = {nng_msg_body(message), nng_msg_len(message)};
    exchange->doc = ipc_request_read(text, &exchange->request, &err);
    nng_msg_free(message);
    if (exchange->doc == NULL) {
        log_error("ipc.bad_request", LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return;
    }
    if (exchange->request.timeout_ms <= 0) { /* nobody waits for the answer any more */
        wait_for_request(exchange);
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

static bool open_exchange(struct ipc_server *server, struct err *err);

/* Grows the number of exchanges with what is being served, so that slow requests do not keep quick
 * ones waiting. */
static void keep_waiting(struct ipc_server *server)
{
    struct err err = {0};
    while (server->waiting_count < IPC_EXCHANGES_WAITING &&
           server->exchange_count < IPC_EXCHANGES_MAX) {
        if (!open_exchange(server, &err)) {
            log_error("ipc.exchange_failed", LOG_ERR(&err));
            return;
        }
    }
}

static void on_request(struct ipc_exchange *exchange, int result)
{
    struct ipc_server *server = exchange->server;
    server->waiting_count--;
    if (result != 0) { /* a message that nng refused, say */
        wait_for_request(exchange);
        return;
    }
    exchange->state = EXCHANGE_SERVING;
    keep_waiting(server);
    serve(exchange);
}

/* On the loop. */
static void on_delivered(struct letter *letter)
{
    struct ipc_exchange *exchange = LIST_ENTRY(letter, struct ipc_exchange, letter);
    int result = nng_aio_result(exchange->aio);
    bool has_message = exchange->state == EXCHANGE_WAITING ? result == 0 : result != 0;
    if (exchange->server->closing || result == NNG_ECLOSED) {
        if (has_message) {
            nng_msg_free(nng_aio_get_msg(exchange->aio));
        }
        exchange_free(exchange);
    } else if (exchange->state == EXCHANGE_WAITING) {
        on_request(exchange, result);
    } else {
        if (has_message) { /* the reply could not go: the caller is gone */
            nng_msg_free(nng_aio_get_msg(exchange->aio));
        }
        wait_for_request(exchange);
    }
}

static bool open_exchange(struct ipc_server *server, struct err *err)
{
    struct ipc_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) {
        return err_set(err, ERR_INTERNAL, "ipc: out of memory");
    }
    exchange->letter.on_delivered = on_delivered;
    exchange->server = server;
    list_append(&server->exchanges, &exchange->node);
    server->exchange_count++;
    int failure = nng_aio_alloc(&exchange->aio, on_nng_thread, exchange);
    if (failure == 0) {
        failure = nng_ctx_open(&exchange->ctx, server->socket);
        exchange->has_ctx = failure == 0;
    }
    if (failure != 0) {
        exchange_free(exchange);
        return err_set(err, ERR_INTERNAL, "ipc: %s", nng_strerror(failure));
    }
    wait_for_request(exchange);
    return true;
}

static bool open_socket(struct ipc_server *server, struct err *err)
{
    int failure = nng_rep0_open(&server->socket);
    server->has_socket = failure == 0;
    if (failure != 0 ||
        (failure = nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, IPC_MESSAGE_MAX)) != 0) {
        return err_set(err, ERR_INTERNAL, "ipc: %s", nng_strerror(failure));
    }
    return true;
}

/* nng itself replaces the file of a socket that nobody listens on. */
static bool start_listener(struct ipc_server *server, const char *url, uid_t owner, struct err *err)
{
    struct view path = view_of(url);
    bool is_ipc = view_starts_with(path, ipc_scheme);
    nng_listener listener;
    int failure = nng_listener_create(&listener, server->socket, url);
    if (failure != 0 ||
        (is_ipc && (failure = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS,
                                                   S_IRUSR | S_IWUSR)) != 0) ||
        (failure = nng_listener_start(listener, 0)) != 0) {
        return err_set(err, ERR_UNAVAILABLE, "can't listen on %s: %s", url, nng_strerror(failure));
    }
    if (is_ipc && owner != (uid_t)-1 && lchown(url + ipc_scheme.len, owner, (gid_t)-1) != 0) {
        return err_set(err, ERR_INTERNAL, "can't hand %s over: %s", url, strerror(errno));
    }
    return true;
}

struct ipc_server *ipc_server_open(struct loop *loop, const char *url, uid_t owner,
                                   const struct ipc_method *methods, size_t method_count, void *arg,
                                   struct err *err)
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
    list_init(&server->exchanges);
    server->mailbox = mailbox_new(loop, err);
    if (server->mailbox == NULL || !open_socket(server, err)) {
        goto fail;
    }
    while (server->waiting_count < IPC_EXCHANGES_WAITING) {
        if (!open_exchange(server, err)) {
            goto fail;
        }
    }
    if (!start_listener(server, url, owner, err)) {
        goto fail;
    }
    return server;
fail:
    ipc_server_close(server);
    return NULL;
}

/* At the end of the loop's turn: this may have been closed from inside a delivery. */
static void server_free(void *object)
{
    struct ipc_server *server = object;
    mailbox_free(server->mailbox); /* delivers: the exchanges free themselves */
    assert(list_is_empty(&server->exchanges));
    free(server);
}

/* The handler still has it and will free it by replying. */
static void forget(struct ipc_exchange *exchange)
{
    list_remove(&exchange->node);
    exchange->server->exchange_count--;
    exchange->server = NULL;
}

void ipc_server_close(struct ipc_server *server)
{
    if (server == NULL) {
        return;
    }
    server->closing = true;
    for (LIST_EACH(node, &server->exchanges)) {
        struct ipc_exchange *exchange = LIST_ENTRY(node, struct ipc_exchange, node);
        nng_aio_stop(exchange->aio); /* from here on its letter, if any, is in the mailbox */
        close_ctx(exchange);
        if (exchange->state == EXCHANGE_SERVING) {
            forget(exchange);
        }
    }
    if (server->has_socket) {
        ipc_close_behind(server->socket, NULL);
    }
    loop_free_later(server->loop, &server->corpse, server_free, server);
}
