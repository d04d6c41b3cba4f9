#include "common/ipc/client.h"

#include "common/base/clock.h"
#include "common/event/mailbox.h"
#include "common/ipc/closing.h"
#include "common/ipc/wire.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IPC_RECONNECT_MIN_MS = 10,
    IPC_RECONNECT_MAX_MS = 500,
    IPC_RETURN_WAIT_MS = 3000, /* how long a peer that went may take to come back */
    IPC_SEND_WAIT_MIN_MS = 50,
    IPC_PEER_SIZE = 32,
    IPC_URL_SIZE = 160,
};

/* What nng's threads know about; it outlives the client by as long as they may call. */
struct presence {
    _Atomic int connected;   /* peers */
    _Atomic int64_t lost_ms; /* monotonic: when the last peer went, or the client began */
};

struct ipc_client {
    struct loop *loop;       /* borrowed */
    struct mailbox *mailbox; /* owned */
    nng_socket socket;       /* owned */
    bool has_socket;
    bool closing;
    struct list calls;
    size_t call_count;
    char peer[IPC_PEER_SIZE];
    struct presence *presence; /* owned */
    struct loop_corpse corpse;
};

enum call_state { CALL_SENDING, CALL_RECEIVING };

struct ipc_call {
    struct letter letter; /* in the mailbox from post to delivery */
    struct list node;     /* in the client's calls */
    struct ipc_client *client;
    enum call_state state;
    nng_ctx ctx;
    bool has_ctx;
    nng_aio *aio; /* owned; in flight, or its letter is */
    int64_t deadline_ms;
    bool repeatable;
    ipc_reply_fn *done; /* NULL: cancelled */
    void *arg;
    struct ipc_request request; /* its body is in body */
    char body[];
};

/* On a thread of nng. */
static void on_nng_thread(void *arg)
{
    struct ipc_call *call = arg;
    mailbox_post(call->client->mailbox, &call->letter);
}

static void close_ctx(struct ipc_call *call)
{
    if (call->has_ctx) {
        (void)nng_ctx_close(call->ctx);
        call->has_ctx = false;
    }
}

static void call_free(struct ipc_call *call)
{
    list_remove(&call->node);
    call->client->call_count--;
    close_ctx(call);
    nng_aio_free(call->aio);
    free(call);
}

/* The only way out of a call that was begun. done may close the client. */
static void finish(struct ipc_call *call, const struct view *body, const struct err *err)
{
    ipc_reply_fn *done = call->done;
    void *arg = call->arg;
    call_free(call);
    if (done != NULL) {
        done(body, err, arg);
    }
}

bool ipc_client_is_connected(const struct ipc_client *client)
{
    return atomic_load(&client->presence->connected) > 0;
}

/* A peer that has been away for long is not waited for. */
static int64_t send_wait_ms(const struct ipc_call *call, int64_t now_ms)
{
    int64_t wait_ms = IPC_RETURN_WAIT_MS;
    if (!ipc_client_is_connected(call->client)) {
        wait_ms -= now_ms - atomic_load(&call->client->presence->lost_ms);
        wait_ms = wait_ms > IPC_SEND_WAIT_MIN_MS ? wait_ms : IPC_SEND_WAIT_MIN_MS;
    }
    int64_t left_ms = call->deadline_ms - now_ms;
    return wait_ms < left_ms ? wait_ms : left_ms;
}

/* Below zero a duration means something else to nng. */
static void set_timeout(struct ipc_call *call, int64_t timeout_ms)
{
    int64_t bounded = timeout_ms < 0 ? 0 : timeout_ms;
    nng_aio_set_timeout(call->aio, bounded > INT32_MAX ? INT32_MAX : (nng_duration)bounded);
}

static bool begin_send(struct ipc_call *call, struct err *err)
{
    int64_t now_ms = clock_monotonic_ms();
    call->request.timeout_ms = call->deadline_ms - now_ms;
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    nng_msg *message = NULL;
    bool ok = ipc_request_write(&call->request, &text, err) &&
              ipc_message_new(str_view(&text), &message, err);
    str_free(&text);
    if (!ok) {
        return false;
    }
    call->state = CALL_SENDING;
    nng_aio_set_msg(call->aio, message);
    set_timeout(call, send_wait_ms(call, now_ms));
    nng_ctx_send(call->ctx, call->aio);
    return true;
}

static void begin_receive(struct ipc_call *call)
{
    call->state = CALL_RECEIVING;
    set_timeout(call, call->deadline_ms - clock_monotonic_ms());
    nng_ctx_recv(call->ctx, call->aio);
}

static void fail(struct ipc_call *call, enum err_code code, const char *why)
{
    struct err err = {0};
    err_set(&err, code, "%s: %s: %s", call->client->peer, call->request.method, why);
    finish(call, NULL, &err);
}

static void on_failure(struct ipc_call *call, int result)
{
    bool peer_died = result == NNG_ECONNRESET && call->state == CALL_RECEIVING;
    bool has_time = call->deadline_ms > clock_monotonic_ms();
    struct err ignored = {0};
    if (peer_died && call->repeatable && has_time && begin_send(call, &ignored)) {
        return;
    }
    if (result == NNG_ETIMEDOUT && (call->state == CALL_RECEIVING || !has_time)) {
        fail(call, ERR_TIMEOUT, "no answer in time");
    } else if (result == NNG_ETIMEDOUT) {
        fail(call, ERR_UNAVAILABLE, "not connected");
    } else {
        fail(call, ERR_UNAVAILABLE, nng_strerror(result));
    }
}

static void on_reply(struct ipc_call *call)
{
    struct err err = {0};
    struct ipc_reply reply;
    nng_msg *message = nng_aio_get_msg(call->aio);
    const struct view text = {nng_msg_body(message), nng_msg_len(message)};
    AUTO(json_doc_release) struct json_doc *doc = ipc_reply_read(text, &reply, &err);
    nng_msg_free(message);
    if (doc == NULL) {
        fail(call, ERR_INTERNAL, err.message);
    } else if (reply.ok) {
        finish(call, &reply.body, NULL);
    } else {
        finish(call, NULL, &reply.error);
    }
}

/* On the loop. A cancelled call comes here too, for its memory. */
static void on_delivered(struct letter *letter)
{
    struct ipc_call *call = LIST_ENTRY(letter, struct ipc_call, letter);
    int result = nng_aio_result(call->aio);
    bool wanted = call->done != NULL;
    if (result != 0 && call->state == CALL_SENDING) {
        nng_msg_free(nng_aio_get_msg(call->aio)); /* still ours: it was not sent */
    }
    if (result == 0 && call->state == CALL_RECEIVING && !wanted) {
        nng_msg_free(nng_aio_get_msg(call->aio));
    }
    if (!wanted) {
        call_free(call);
    } else if (result != 0) {
        on_failure(call, result);
    } else if (call->state == CALL_SENDING) {
        begin_receive(call);
    } else {
        on_reply(call);
    }
}

/* On a thread of nng. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)pipe;
    struct presence *presence = arg;
    if (event == NNG_PIPE_EV_ADD_PRE) {
        (void)atomic_fetch_add(&presence->connected, 1);
    } else if (atomic_fetch_sub(&presence->connected, 1) == 1) {
        atomic_store(&presence->lost_ms, clock_monotonic_ms());
    }
}

static bool dial(struct ipc_client *client, struct view url, struct err *err)
{
    char text[IPC_URL_SIZE];
    if (!view_copy(url, text, sizeof text)) {
        return err_set(err, ERR_INVALID, "%s: an IPC URL is too long", client->peer);
    }
    int failure = nng_dial(client->socket, text, NULL, NNG_FLAG_NONBLOCK);
    return failure == 0 || err_set(err, ERR_INVALID, "%s: can't dial %s: %s", client->peer, text,
                                   nng_strerror(failure));
}

static bool dial_all(struct ipc_client *client, const char *urls, struct err *err)
{
    struct view rest = view_of(urls);
    while (rest.len > 0) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        struct view url = {rest.ptr, comma == NULL ? rest.len : (size_t)(comma - rest.ptr)};
        rest = view_from(rest, comma == NULL ? rest.len : url.len + 1);
        if (!dial(client, url, err)) {
            return false;
        }
    }
    return true;
}

static bool open_socket(struct ipc_client *client, struct err *err)
{
    nng_socket *socket = &client->socket;
    int failure = nng_req0_open(socket);
    client->has_socket = failure == 0;
    if (failure != 0 ||
        /* Never sends again by itself: a "create" could run twice. */
        (failure = nng_socket_set_ms(*socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE)) !=
            0 ||
        (failure = nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, IPC_MESSAGE_MAX)) != 0 ||
        (failure = nng_socket_set_ms(*socket, NNG_OPT_RECONNMINT, IPC_RECONNECT_MIN_MS)) != 0 ||
        (failure = nng_socket_set_ms(*socket, NNG_OPT_RECONNMAXT, IPC_RECONNECT_MAX_MS)) != 0 ||
        /* REM_POST comes for each ADD_PRE; ADD_POST may be left out. */
        (failure = nng_pipe_notify(*socket, NNG_PIPE_EV_ADD_PRE, on_pipe, client->presence)) != 0 ||
        (failure = nng_pipe_notify(*socket, NNG_PIPE_EV_REM_POST, on_pipe, client->presence)) !=
            0) {
        return err_set(err, ERR_INTERNAL, "%s: nng: %s", client->peer, nng_strerror(failure));
    }
    return true;
}

struct ipc_client *ipc_client_open(struct loop *loop, const char *urls, const char *peer,
                                   struct err *err)
{
    struct ipc_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        err_set(err, ERR_INTERNAL, "%s: out of memory", peer);
        return NULL;
    }
    client->loop = loop;
    list_init(&client->calls);
    (void)snprintf(client->peer, sizeof client->peer, "%s", peer);
    client->presence = calloc(1, sizeof *client->presence);
    if (client->presence == NULL) {
        free(client);
        err_set(err, ERR_INTERNAL, "%s: out of memory", peer);
        return NULL;
    }
    atomic_store(&client->presence->lost_ms, clock_monotonic_ms());
    client->mailbox = mailbox_new(loop, err);
    if (client->mailbox == NULL || !open_socket(client, err) || !dial_all(client, urls, err)) {
        ipc_client_close(client);
        return NULL;
    }
    return client;
}

/* At the end of the loop's turn: this may have been closed from inside a delivery. */
static void client_free(void *object)
{
    struct ipc_client *client = object;
    mailbox_free(client->mailbox); /* delivers: the calls free themselves */
    assert(list_is_empty(&client->calls));
    free(client->presence);
    free(client);
}

void ipc_client_close(struct ipc_client *client)
{
    if (client == NULL) {
        return;
    }
    client->closing = true;
    for (LIST_EACH(node, &client->calls)) {
        struct ipc_call *call = LIST_ENTRY(node, struct ipc_call, node);
        call->done = NULL;
        nng_aio_stop(call->aio); /* from here on its letter is in the mailbox */
        close_ctx(call);
    }
    if (client->has_socket) {
        ipc_close_behind(client->socket, TAKE(client->presence));
    }
    loop_free_later(client->loop, &client->corpse, client_free, client);
}

static bool open_call(struct ipc_call *call, struct err *err)
{
    int failure = nng_aio_alloc(&call->aio, on_nng_thread, call);
    if (failure == 0) {
        failure = nng_ctx_open(&call->ctx, call->client->socket);
        call->has_ctx = failure == 0;
    }
    return failure == 0 ||
           err_set(err, ERR_INTERNAL, "%s: nng: %s", call->client->peer, nng_strerror(failure));
}

static struct ipc_call *call_new(struct ipc_client *client, const struct ipc_call_options *options,
                                 struct view body, struct err *err)
{
    struct ipc_call *call = calloc(1, sizeof *call + body.len);
    if (call == NULL) {
        err_set(err, ERR_INTERNAL, "%s: out of memory", client->peer);
        return NULL;
    }
    call->letter.on_delivered = on_delivered;
    call->client = client;
    client->call_count++;
    list_append(&client->calls, &call->node);
    call->deadline_ms = clock_monotonic_ms() + options->timeout_ms;
    call->repeatable = options->repeatable;
    memcpy(call->body, body.ptr, body.len);
    call->request.body = (struct view){call->body, body.len};
    if (!view_copy(view_of(options->method), call->request.method, IPC_METHOD_SIZE) ||
        !view_copy(view_of(options->request_id), call->request.request_id, IPC_REQUEST_ID_SIZE)) {
        call_free(call);
        err_set(err, ERR_INTERNAL, "%s: the method's name or the request id is too long",
                client->peer);
        return NULL;
    }
    return call;
}

struct ipc_call *ipc_call_begin(struct ipc_client *client, const struct ipc_call_options *options,
                                struct view body, ipc_reply_fn *done, void *arg, struct err *err)
{
    assert(body.len > 0);
    if (client->closing) {
        err_set(err, ERR_UNAVAILABLE, "%s: shutting down", client->peer);
        return NULL;
    }
    if (client->call_count >= IPC_CALLS_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "too many calls are in flight; try again");
        return NULL;
    }
    struct ipc_call *call = call_new(client, options, body, err);
    if (call == NULL) {
        return NULL;
    }
    if (!open_call(call, err) || !begin_send(call, err)) {
        call_free(call);
        return NULL;
    }
    call->done = done;
    call->arg = arg;
    return call;
}

void ipc_call_cancel(struct ipc_call *call)
{
    call->done = NULL;
    nng_aio_cancel(call->aio); /* the letter comes, at once or with what ended it before */
}
