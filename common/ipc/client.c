#include "common/ipc/client.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/secret.h"
#include "common/ipc/channel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IPC_RECONNECT_MIN_MS = 10,
    IPC_RECONNECT_MAX_MS = 500,
    IPC_DIAL_WAIT_MS = 5000,
    IPC_RETURN_WAIT_MS = 3000, /* how long a peer that went may take to come back */
    IPC_SEND_WAIT_MIN_MS = 50,
    IPC_PEER_SIZE = 32,
    IPC_URL_SIZE = 160,
};

struct ipc_client {
    struct loop *loop;       /* borrowed */
    struct mailbox *mailbox; /* owned */
    bool closing;
    struct list peers;   /* whoever was given a call goes to the end */
    nng_tls_config *tls; /* owned; NULL until the first peer that needs it */
    size_t connected_count;
    int64_t lost_ms;        /* monotonic: when the last connection went, or the client began */
    struct list waiting;    /* calls that no peer has */
    struct map calls_by_id; /* those that a peer has */
    size_t call_count;
    uint64_t last_id;
    char name[IPC_PEER_SIZE];
    struct loop_corpse corpse;
};

/* A process that answers calls, connected or not. */
struct peer {
    struct list node; /* in the client's peers */
    struct ipc_client *client;
    char url[IPC_URL_SIZE];
    nng_stream_dialer *dialer; /* owned */
    nng_aio *dialing;          /* owned */
    struct letter dialed;      /* in the mailbox from the end of a dial to delivery */
    bool is_tls;
    struct timer redial;         /* or, while there is a channel, until its greeting is due */
    int64_t pause_ms;            /* before the next dial */
    struct ipc_channel *channel; /* owned; NULL while there is no connection */
    bool greeted;                /* calls can go over the channel */
    bool complained;             /* the log knows that it is refused */
    struct list calls;           /* which it has */
};

/* Without a peer it is in the client's waiting; with one in that peer's calls and in calls_by_id.
 */
struct ipc_call {
    struct list node;
    struct map_node by_id;
    uint64_t id;
    struct ipc_client *client;
    struct timer timer; /* until it has waited long enough for a peer, or for the answer */
    int64_t deadline_ms;
    bool repeatable;
    ipc_reply_fn *done;
    void *arg;
    struct ipc_request request; /* its body is in body */
    size_t body_len;
    char body[];
};

static timer_fn on_call_timer, on_redial;

static bool call_is_sent(const struct ipc_call *call)
{
    return call->by_id.mapped;
}

static void detach(struct ipc_call *call)
{
    list_remove(&call->node);
    map_remove(&call->client->calls_by_id, &call->by_id);
}

static void call_free(struct ipc_call *call)
{
    detach(call);
    call->client->call_count--;
    timer_close(&call->timer);
    secret_wipe(call->body, call->body_len);
    free(call);
}

/* The only way out of a call that was begun, but for cancelling. done may close the client. */
static void finish(struct ipc_call *call, const struct view *body, const struct err *err)
{
    ipc_reply_fn *done = call->done;
    void *arg = call->arg;
    call_free(call);
    done(body, err, arg);
}

static void fail(struct ipc_call *call, enum err_code code, const char *why)
{
    struct err err = {0};
    err_set(&err, code, "%s: %s: %s", call->client->name, call->request.method, why);
    finish(call, NULL, &err);
}

bool ipc_client_is_connected(const struct ipc_client *client)
{
    return client->connected_count > 0;
}

static int64_t left_ms(const struct ipc_call *call)
{
    int64_t left = call->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

/* A peer that has been away for long is not waited for. */
static void wait_for_peer(struct ipc_call *call)
{
    int64_t wait_ms = IPC_RETURN_WAIT_MS - (clock_monotonic_ms() - call->client->lost_ms);
    wait_ms = wait_ms > IPC_SEND_WAIT_MIN_MS ? wait_ms : IPC_SEND_WAIT_MIN_MS;
    int64_t left = left_ms(call);
    detach(call);
    list_append(&call->client->waiting, &call->node);
    timer_arm(&call->timer, wait_ms < left ? wait_ms : left);
}

static void on_call_timer(void *arg)
{
    struct ipc_call *call = arg;
    if (call_is_sent(call) || left_ms(call) == 0) {
        fail(call, ERR_TIMEOUT, "no answer in time");
    } else {
        fail(call, ERR_UNAVAILABLE, "not connected");
    }
}

/* One after the other. */
static struct peer *next_peer(struct ipc_client *client)
{
    for (LIST_EACH(node, &client->peers)) {
        struct peer *peer = LIST_ENTRY(node, struct peer, node);
        if (peer->greeted) {
            list_remove(&peer->node);
            list_append(&client->peers, &peer->node);
            return peer;
        }
    }
    return NULL;
}

static bool give(struct ipc_call *call, struct peer *peer, struct err *err)
{
    struct str text = STR_SECRET(IPC_MESSAGE_MAX);
    call->request.timeout_ms = left_ms(call);
    bool ok = ipc_request_write(&call->request, &text, err) &&
              ipc_channel_send(peer->channel, call->id, str_view(&text), err);
    str_free(&text);
    if (ok) {
        const struct view key = {(const char *)&call->id, sizeof call->id};
        detach(call);
        list_append(&peer->calls, &call->node);
        map_insert(&call->client->calls_by_id, &call->by_id, key);
        timer_arm(&call->timer, left_ms(call));
    }
    return ok;
}

static void give_waiting(struct ipc_client *client, struct peer *peer)
{
    struct list *node;
    while (peer->greeted && (node = list_pop(&client->waiting)) != NULL) {
        struct ipc_call *call = LIST_ENTRY(node, struct ipc_call, node);
        struct err err = {0};
        if (!give(call, peer, &err)) {
            finish(call, NULL, &err); /* may close the client, and with it the channel */
        }
    }
}

static void dial(struct peer *peer)
{
    nng_stream_dialer_dial(peer->dialer, peer->dialing);
}

static void dial_later(struct peer *peer)
{
    timer_arm(&peer->redial, peer->pause_ms);
    peer->pause_ms *= 2;
    if (peer->pause_ms > IPC_RECONNECT_MAX_MS) {
        peer->pause_ms = IPC_RECONNECT_MAX_MS;
    }
}

/* It could not prove to be whom we wanted, or did not find us to be one of its own. */
static void refuse(struct peer *peer, const struct err *err)
{
    if (!peer->complained) {
        log_warn("ipc.refused", LOG_STR("peer", peer->client->name), LOG_ERR(err));
        peer->complained = true;
    }
    ipc_channel_close(TAKE(peer->channel));
    dial_later(peer);
}

static void on_redial(void *arg)
{
    struct peer *peer = arg;
    struct err err = {0};
    if (peer->channel == NULL) {
        dial(peer);
        return;
    }
    err_set(&err, ERR_TIMEOUT, "no greeting in time");
    refuse(peer, &err);
}

/* From here on calls go over it. */
static void welcome(struct peer *peer)
{
    log_info("ipc.connected", LOG_STR("peer", peer->client->name));
    peer->greeted = true;
    peer->complained = false;
    peer->pause_ms = IPC_RECONNECT_MIN_MS;
    peer->client->connected_count++;
    give_waiting(peer->client, peer);
}

static void on_greeting(struct peer *peer, const struct ipc_frame *frame)
{
    struct err err = {0};
    if (ipc_frame_is_greeting(frame) && ipc_channel_is_verified(peer->channel)) {
        timer_disarm(&peer->redial);
        welcome(peer);
        return;
    }
    err_set(&err, ERR_UNAVAILABLE, "it is none of ours");
    refuse(peer, &err);
}

static void on_frame(const struct ipc_frame *frame, void *arg)
{
    struct peer *peer = arg;
    if (!peer->greeted) {
        on_greeting(peer, frame);
        return;
    }
    const struct view key = {(const char *)&frame->id, sizeof frame->id};
    struct map_node *node = map_find(&peer->client->calls_by_id, key);
    if (node == NULL) {
        return; /* nobody waits for it any more */
    }
    struct ipc_call *call = MAP_ENTRY(node, struct ipc_call, by_id);
    struct err err = {0};
    struct ipc_reply reply;
    AUTO(json_doc_release) struct json_doc *doc = ipc_reply_read(frame->text, &reply, &err);
    if (doc == NULL) {
        fail(call, ERR_INTERNAL, err.message);
    } else if (reply.ok) {
        finish(call, &reply.body, NULL);
    } else {
        finish(call, NULL, &reply.error);
    }
}

/* What it had in hand is asked again where that does no harm. */
static void on_lost(const struct err *err, void *arg)
{
    struct peer *peer = arg;
    struct ipc_client *client = peer->client;
    struct list *node;
    if (!peer->greeted) {
        refuse(peer, err);
        return;
    }
    peer->greeted = false;
    log_info("ipc.lost", LOG_STR("peer", client->name), LOG_ERR(err));
    ipc_channel_close(TAKE(peer->channel));
    client->connected_count--;
    client->lost_ms = clock_monotonic_ms();
    dial_later(peer);
    while ((node = list_pop(&peer->calls)) != NULL) {
        struct ipc_call *call = LIST_ENTRY(node, struct ipc_call, node);
        if (call->repeatable && left_ms(call) > 0) {
            wait_for_peer(call);
        } else {
            fail(call, ERR_UNAVAILABLE, "the peer went with the call in hand");
        }
    }
    struct peer *other = client->closing ? NULL : next_peer(client);
    if (other != NULL) {
        give_waiting(client, other);
    }
}

static void connect_to(struct peer *peer, nng_stream *stream)
{
    static const struct ipc_channel_handlers handlers = {on_frame, on_lost};
    struct ipc_client *client = peer->client;
    struct err err = {0};
    peer->channel = ipc_channel_new(client->loop, client->mailbox, stream, &handlers, peer, &err);
    if (peer->channel == NULL) {
        log_error("ipc.connect_failed", LOG_STR("peer", client->name), LOG_ERR(&err));
        dial_later(peer);
        return;
    }
    if (!peer->is_tls) {
        welcome(peer);
    } else if (ipc_channel_send(peer->channel, 0, VIEW(""), &err)) {
        timer_arm(&peer->redial, IPC_GREETING_WAIT_MS);
    } else {
        refuse(peer, &err);
    }
}

/* On a thread of nng. */
static void on_nng_thread(void *arg)
{
    struct peer *peer = arg;
    mailbox_post(peer->client->mailbox, &peer->dialed);
}

static void on_dialed(struct letter *letter)
{
    struct peer *peer = LIST_ENTRY(letter, struct peer, dialed);
    int failure = nng_aio_result(peer->dialing);
    if (failure == 0 && peer->client->closing) {
        nng_stream_free(nng_aio_get_output(peer->dialing, 0));
    } else if (failure == 0) {
        connect_to(peer, nng_aio_get_output(peer->dialing, 0));
    } else if (!peer->client->closing) {
        dial_later(peer);
    }
}

static void peer_free(struct peer *peer)
{
    timer_close(&peer->redial);
    nng_aio_free(peer->dialing);
    if (peer->dialer != NULL) {
        nng_stream_dialer_free(peer->dialer);
    }
    free(peer);
}

static bool set_tls(struct peer *peer, const struct ipc_tls *tls, struct err *err)
{
    struct ipc_client *client = peer->client;
    if (client->tls == NULL) {
        client->tls = ipc_tls_open(tls, NNG_TLS_MODE_CLIENT, err);
    }
    if (client->tls == NULL) {
        return false;
    }
    int failure = nng_stream_dialer_set_ptr(peer->dialer, NNG_OPT_TLS_CONFIG, client->tls);
    return failure == 0 || err_set(err, ERR_INTERNAL, "TLS: %s", nng_strerror(failure));
}

static bool make_dialer(struct peer *peer, const struct ipc_tls *tls, struct err *err)
{
    if (!ipc_tls_is_needed(peer->url, &peer->is_tls, err)) {
        return false;
    }
    int failure = nng_stream_dialer_alloc(&peer->dialer, peer->url);
    if (failure != 0) {
        return err_set(err, ERR_INVALID, "can't dial %s: %s", peer->url, nng_strerror(failure));
    }
    return !peer->is_tls || set_tls(peer, tls, err);
}

static bool add_peer(struct ipc_client *client, struct view url, const struct ipc_tls *tls,
                     struct err *err)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return err_set(err, ERR_INTERNAL, "%s: out of memory", client->name);
    }
    peer->client = client;
    peer->dialed.on_delivered = on_dialed;
    peer->pause_ms = IPC_RECONNECT_MIN_MS;
    list_init(&peer->calls);
    list_append(&client->peers, &peer->node);
    if (!view_copy(url, peer->url, sizeof peer->url)) {
        return err_set(err, ERR_INVALID, "%s: an IPC URL is too long", client->name);
    }
    if (!make_dialer(peer, tls, err)) {
        return err_wrap(err, "%s", client->name);
    }
    int failure = nng_aio_alloc(&peer->dialing, on_nng_thread, peer);
    if (failure != 0) {
        return err_set(err, ERR_INTERNAL, "%s: %s", client->name, nng_strerror(failure));
    }
    nng_aio_set_timeout(peer->dialing, IPC_DIAL_WAIT_MS);
    if (!timer_open(&peer->redial, client->loop, on_redial, peer, err)) {
        return false;
    }
    dial(peer);
    return true;
}

static bool add_peers(struct ipc_client *client, const char *urls, const struct ipc_tls *tls,
                      struct err *err)
{
    struct view rest = view_of(urls);
    while (rest.len > 0) {
        if (!add_peer(client, view_cut(&rest, ','), tls, err)) {
            return false;
        }
    }
    return true;
}

struct ipc_client *ipc_client_open(struct loop *loop, const char *urls, const char *peer,
                                   struct err *err)
{
    return ipc_client_open_tls(loop, urls, peer, NULL, err);
}

struct ipc_client *ipc_client_open_tls(struct loop *loop, const char *urls, const char *peer,
                                       const struct ipc_tls *tls, struct err *err)
{
    struct ipc_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        err_set(err, ERR_INTERNAL, "%s: out of memory", peer);
        return NULL;
    }
    client->loop = loop;
    client->lost_ms = clock_monotonic_ms();
    list_init(&client->peers);
    list_init(&client->waiting);
    (void)snprintf(client->name, sizeof client->name, "%s", peer);
    client->mailbox = mailbox_new(loop, err);
    if (client->mailbox == NULL || !map_init(&client->calls_by_id, err) ||
        !add_peers(client, urls, tls, err)) {
        ipc_client_close(client);
        return NULL;
    }
    return client;
}

/* At the end of the loop's turn: this may have been closed from inside a callback. */
static void client_free(void *object)
{
    struct ipc_client *client = object;
    struct list *node;
    mailbox_free(client->mailbox); /* delivers what the end of dials and channels left */
    while ((node = list_pop(&client->peers)) != NULL) {
        peer_free(LIST_ENTRY(node, struct peer, node));
    }
    if (client->tls != NULL) {
        nng_tls_config_free(client->tls);
    }
    assert(client->call_count == 0);
    map_free(&client->calls_by_id);
    free(client);
}

static void forget_calls(struct list *calls)
{
    struct list *node;
    while ((node = list_pop(calls)) != NULL) {
        call_free(LIST_ENTRY(node, struct ipc_call, node));
    }
}

void ipc_client_close(struct ipc_client *client)
{
    if (client == NULL) {
        return;
    }
    client->closing = true;
    forget_calls(&client->waiting);
    for (LIST_EACH(node, &client->peers)) {
        struct peer *peer = LIST_ENTRY(node, struct peer, node);
        forget_calls(&peer->calls);
        timer_close(&peer->redial);
        if (peer->dialing != NULL) {
            nng_aio_stop(peer->dialing); /* from here on its letter, if any, is in the mailbox */
        }
        peer->greeted = false;
        ipc_channel_close(TAKE(peer->channel));
    }
    loop_free_later(client->loop, &client->corpse, client_free, client);
}

static struct ipc_call *call_new(struct ipc_client *client, const struct ipc_call_options *options,
                                 struct view body, struct err *err)
{
    struct ipc_call *call = calloc(1, sizeof *call + body.len);
    if (call == NULL) {
        err_set(err, ERR_INTERNAL, "%s: out of memory", client->name);
        return NULL;
    }
    call->client = client;
    client->call_count++;
    call->id = ++client->last_id;
    call->deadline_ms = clock_monotonic_ms() + options->timeout_ms;
    call->repeatable = options->repeatable;
    call->body_len = body.len;
    memcpy(call->body, body.ptr, body.len);
    call->request.body = (struct view){call->body, body.len};
    call->request.trace = options->trace == NULL ? trace_none : *options->trace;
    call->request.actor = options->actor == NULL ? actor_none : *options->actor;
    if (!view_copy(view_of(options->method), call->request.method, IPC_METHOD_SIZE)) {
        err_set(err, ERR_INTERNAL, "%s: the method's name is too long", client->name);
    } else if (timer_open(&call->timer, client->loop, on_call_timer, call, err)) {
        return call;
    }
    call_free(call);
    return NULL;
}

struct ipc_call *ipc_call_begin(struct ipc_client *client, const struct ipc_call_options *options,
                                struct view body, ipc_reply_fn *done, void *arg, struct err *err)
{
    assert(body.len > 0);
    if (client->closing) {
        err_set(err, ERR_UNAVAILABLE, "%s: shutting down", client->name);
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
    call->done = done;
    call->arg = arg;
    struct peer *peer = next_peer(client);
    if (peer == NULL) {
        wait_for_peer(call);
    } else if (!give(call, peer, err)) {
        call_free(call);
        return NULL;
    }
    return call;
}

void ipc_call_cancel(struct ipc_call *call)
{
    call_free(call);
}
