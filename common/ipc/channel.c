#include "common/ipc/channel.h"

#include "common/base/secret.h"
#include "common/ipc/envelope.h"

#include <assert.h>
#include <stdlib.h>

enum {
    INPUT_SIZE = 16 * 1024,     /* enough for nearly every frame; grows for a larger one */
    OUTPUT_KEPT_MAX = 64 * 1024 /* a larger buffer is given back when it was sent */
};

/* One operation of nng at a time. */
struct operation {
    struct letter letter; /* in the mailbox from the end of the operation to delivery */
    nng_aio *aio;         /* owned */
    bool in_flight;       /* from its start to delivery */
    struct mailbox *mailbox;
};

struct ipc_channel {
    struct loop *loop;                           /* borrowed */
    const struct ipc_channel_handlers *handlers; /* borrowed */
    void *arg;
    nng_stream *stream; /* owned */
    bool is_tls;
    struct operation receiving;
    struct operation sending;
    char *input;           /* owned; not moved while it is being received into */
    size_t input_capacity; /* bytes */
    size_t input_len;
    struct str flying;  /* being sent */
    size_t flown;       /* of flying: has been sent */
    struct str pending; /* waits until flying has been sent */
    bool paused;
    bool lost; /* told, or about to be: nothing is started any more */
    bool closed;
    struct timer resumed;
    struct loop_corpse corpse;
};

static letter_fn on_received, on_sent;
static timer_fn on_resumed;

/* On a thread of nng. */
static void on_nng_thread(void *arg)
{
    struct operation *operation = arg;
    mailbox_post(operation->mailbox, &operation->letter);
}

static bool open_operation(struct operation *operation, struct mailbox *mailbox,
                           letter_fn *on_delivered, struct err *err)
{
    operation->mailbox = mailbox;
    operation->letter.on_delivered = on_delivered;
    int failure = nng_aio_alloc(&operation->aio, on_nng_thread, operation);
    return failure == 0 || err_set(err, ERR_INTERNAL, "ipc: %s", nng_strerror(failure));
}

/* Its letter, if any, is in the mailbox when this returns. */
static void end_operation(struct operation *operation)
{
    if (operation->aio != NULL) {
        nng_aio_stop(operation->aio);
    }
}

static void channel_free(void *object)
{
    struct ipc_channel *channel = object;
    nng_aio_free(channel->receiving.aio);
    nng_aio_free(channel->sending.aio);
    nng_stream_free(channel->stream);
    timer_close(&channel->resumed);
    str_free(&channel->flying);
    str_free(&channel->pending);
    if (channel->input != NULL) {
        secret_wipe(channel->input, channel->input_len);
    }
    free(channel->input);
    free(channel);
}

/* The stack above may be inside a callback of ours. */
static void free_when_done(struct ipc_channel *channel)
{
    if (channel->closed && !channel->receiving.in_flight && !channel->sending.in_flight) {
        loop_free_later(channel->loop, &channel->corpse, channel_free, channel);
    }
}

static void lose(struct ipc_channel *channel, enum err_code code, const char *why)
{
    if (channel->lost || channel->closed) {
        return;
    }
    struct err err = {0};
    channel->lost = true;
    err_set(&err, code, "%s", why);
    channel->handlers->on_lost(&err, channel->arg);
}

static void receive(struct ipc_channel *channel)
{
    nng_iov iov = {channel->input + channel->input_len,
                   channel->input_capacity - channel->input_len};
    channel->receiving.in_flight = true;
    (void)nng_aio_set_iov(channel->receiving.aio, 1, &iov);
    nng_stream_recv(channel->stream, channel->receiving.aio);
}

static bool resize_input(struct ipc_channel *channel, size_t capacity)
{
    char *input = realloc(channel->input, capacity);
    if (input == NULL) {
        return false;
    }
    channel->input = input;
    channel->input_capacity = capacity;
    return true;
}

/* Makes room for the rest of the frame that the input begins with. */
static bool fit_input(struct ipc_channel *channel, size_t frame_size)
{
    size_t wanted = frame_size > INPUT_SIZE ? frame_size : INPUT_SIZE;
    if (wanted > channel->input_capacity) {
        return resize_input(channel, wanted);
    }
    if (wanted < channel->input_capacity && channel->input_len <= wanted) {
        (void)resize_input(channel, wanted); /* the large one will do as well */
    }
    return true;
}

static void drop_input(struct ipc_channel *channel, size_t len)
{
    if (len == 0) {
        return; /* a long frame comes in many pieces: what is there is not copied for each */
    }
    size_t was = channel->input_len;
    channel->input_len -= len;
    memmove(channel->input, channel->input + len, channel->input_len);
    secret_wipe(channel->input + channel->input_len, was - channel->input_len);
}

/* Hands over each frame that is whole; then reads on. */
static void take_frames(struct ipc_channel *channel)
{
    size_t used = 0;
    size_t frame_size = 0;
    while (!channel->closed && !channel->lost && !channel->paused) {
        struct ipc_frame frame;
        const struct view rest = {channel->input + used, channel->input_len - used};
        enum ipc_frame_state state = ipc_frame_read(rest, &frame, &frame_size);
        if (state == IPC_FRAME_TOO_LONG) {
            lose(channel, ERR_INTERNAL, "the peer sent a message that is too long");
        } else if (state == IPC_FRAME_PARTIAL) {
            break;
        } else {
            used += frame_size;
            channel->handlers->on_frame(&frame, channel->arg);
        }
    }
    if (channel->closed || channel->lost) {
        return;
    }
    drop_input(channel, used);
    if (channel->paused) {
        return;
    }
    if (!fit_input(channel, frame_size)) {
        lose(channel, ERR_INTERNAL, "out of memory");
        return;
    }
    receive(channel);
}

static void on_received(struct letter *letter)
{
    struct ipc_channel *channel = LIST_ENTRY(letter, struct ipc_channel, receiving.letter);
    channel->receiving.in_flight = false;
    int failure = nng_aio_result(channel->receiving.aio);
    if (channel->closed) {
        free_when_done(channel);
    } else if (failure != 0) {
        lose(channel, ERR_UNAVAILABLE, nng_strerror(failure));
    } else {
        channel->input_len += nng_aio_count(channel->receiving.aio);
        take_frames(channel);
    }
}

/* What has not been sent yet: the rest of flying, and pending. Returns the number of pieces. */
static unsigned unsent(const struct ipc_channel *channel, nng_iov pieces[2])
{
    unsigned count = 0;
    if (channel->flown < channel->flying.len) {
        pieces[count++] =
            (nng_iov){channel->flying.data + channel->flown, channel->flying.len - channel->flown};
    }
    if (channel->pending.len > 0) {
        pieces[count++] = (nng_iov){channel->pending.data, channel->pending.len};
    }
    return count;
}

/* Flying has been sent: what is pending takes its place. */
static void turn_over(struct ipc_channel *channel)
{
    struct str empty = channel->flying;
    str_clear(&empty);
    if (empty.capacity > OUTPUT_KEPT_MAX) {
        str_free(&empty);
    }
    channel->flying = channel->pending;
    channel->flown = 0;
    channel->pending = empty;
}

static void send_more(struct ipc_channel *channel)
{
    nng_iov pieces[2];
    if (channel->flown == channel->flying.len) {
        turn_over(channel);
    }
    if (unsent(channel, pieces) > 0) {
        channel->sending.in_flight = true;
        (void)nng_aio_set_iov(channel->sending.aio, 1, pieces);
        nng_stream_send(channel->stream, channel->sending.aio);
    }
}

static void on_sent(struct letter *letter)
{
    struct ipc_channel *channel = LIST_ENTRY(letter, struct ipc_channel, sending.letter);
    channel->sending.in_flight = false;
    int failure = nng_aio_result(channel->sending.aio);
    if (channel->closed) {
        free_when_done(channel);
    } else if (failure != 0) {
        lose(channel, ERR_UNAVAILABLE, nng_strerror(failure));
    } else if (!channel->lost) {
        channel->flown += nng_aio_count(channel->sending.aio);
        send_more(channel);
    }
}

bool ipc_channel_send(struct ipc_channel *channel, uint64_t id, struct view text, struct err *err)
{
    size_t size = IPC_FRAME_HEAD_SIZE + text.len;
    assert(!channel->closed);
    if (channel->lost) {
        return err_set(err, ERR_UNAVAILABLE, "ipc: the connection is lost");
    }
    if (channel->pending.len + size > channel->pending.ceiling) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too much waits for a slow peer; try again");
    }
    char *room = str_reserve(&channel->pending, size);
    if (room == NULL) {
        channel->pending.failed = false; /* what it held is as it was */
        return err_set(err, ERR_INTERNAL, "ipc: out of memory");
    }
    ipc_frame_write(&channel->pending, id, text);
    if (!channel->sending.in_flight) {
        send_more(channel);
    }
    return true;
}

bool ipc_channel_is_verified(const struct ipc_channel *channel)
{
    bool verified = false;
    return nng_stream_get_bool(channel->stream, NNG_OPT_TLS_VERIFIED, &verified) == 0 && verified;
}

void ipc_channel_pause(struct ipc_channel *channel)
{
    channel->paused = true;
    timer_disarm(&channel->resumed);
}

void ipc_channel_resume(struct ipc_channel *channel)
{
    if (channel->paused && !timer_is_armed(&channel->resumed)) {
        timer_arm(&channel->resumed, 0); /* never from inside a callback of ours */
    }
}

static void on_resumed(void *arg)
{
    struct ipc_channel *channel = arg;
    channel->paused = false;
    if (!channel->receiving.in_flight) {
        take_frames(channel);
    }
}

struct ipc_channel *ipc_channel_new(struct loop *loop, struct mailbox *mailbox, nng_stream *stream,
                                    const struct ipc_channel_handlers *handlers, void *arg,
                                    struct err *err)
{
    bool verified;
    struct ipc_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        nng_stream_free(stream);
        err_set(err, ERR_INTERNAL, "ipc: out of memory");
        return NULL;
    }
    channel->loop = loop;
    channel->handlers = handlers;
    channel->arg = arg;
    channel->stream = stream;
    channel->is_tls = nng_stream_get_bool(stream, NNG_OPT_TLS_VERIFIED, &verified) != NNG_ENOTSUP;
    channel->flying = STR_SECRET(IPC_PENDING_MAX);
    channel->pending = STR_SECRET(IPC_PENDING_MAX);
    if (!open_operation(&channel->receiving, mailbox, on_received, err) ||
        !open_operation(&channel->sending, mailbox, on_sent, err) ||
        !timer_open(&channel->resumed, loop, on_resumed, channel, err)) {
        goto fail;
    }
    if (!resize_input(channel, INPUT_SIZE)) {
        err_set(err, ERR_INTERNAL, "ipc: out of memory");
        goto fail;
    }
    receive(channel);
    return channel;
fail:
    channel_free(channel);
    return NULL;
}

/* Does not wait: what the connection's buffer does not take is lost. */
static void send_rest(struct ipc_channel *channel)
{
    nng_iov pieces[2];
    unsigned count;
    nng_aio *aio = NULL;
    if (channel->sending.in_flight) {
        channel->flown += nng_aio_count(channel->sending.aio);
    }
    count = unsent(channel, pieces);
    if (channel->lost || count == 0 || nng_aio_alloc(&aio, NULL, NULL) != 0) {
        return;
    }
    (void)nng_aio_set_iov(aio, count, pieces);
    nng_stream_send(channel->stream, aio);
    nng_aio_cancel(aio);
    nng_aio_wait(aio);
    nng_aio_free(aio);
}

void ipc_channel_close(struct ipc_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    assert(!channel->closed);
    if (channel->is_tls) {
        nng_stream_close(channel->stream); /* to stop what waits on a broken one would never end */
    }
    end_operation(&channel->receiving);
    end_operation(&channel->sending);
    if (!channel->is_tls) {
        send_rest(channel);
    }
    nng_stream_close(channel->stream);
    timer_disarm(&channel->resumed);
    channel->closed = true;
    free_when_done(channel);
}
