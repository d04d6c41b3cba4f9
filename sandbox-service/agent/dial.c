#include "sandbox-service/agent/dial.h"

#include "common/event/loop.h"
#include "sandbox-service/agent/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { READ_MAX = 64 * 1024 };

struct dials {
    struct loop *loop;       /* borrowed */
    struct streams *streams; /* borrowed */
    size_t count;
    char buffer[READ_MAX]; /* what is read lies here until it is sent on, in the same call */
};

struct dial {
    struct dials *all;
    struct stream *stream;
    struct reply reply;
    uint16_t port;
    size_t address;     /* which of the addresses is tried */
    int failure;        /* errno of the first one */
    struct timer timer; /* of connecting */
    int fd;
    struct event *readable;  /* owned, of fd */
    struct event *writable;  /* owned, of fd */
    struct evbuffer *unsent; /* owned; no more than the stream's credit */
    bool connected;
    bool reading;     /* readable is added */
    bool read_ended;  /* a fin was sent */
    bool fin_came;    /* no more is to be written than what is unsent */
    bool write_ended; /* the connection knows that too */
    bool broken;      /* nothing can be written: what comes is dropped until reading says why */
};

static const int families[] = {AF_INET, AF_INET6};
enum { FAMILIES = sizeof families / sizeof families[0] };

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

struct dials *dials_new(struct loop *loop, struct streams *streams, struct err *err)
{
    struct dials *dials = malloc(sizeof *dials); /* the buffer's pages stay untouched until used */
    if (dials == NULL) {
        err_set(err, ERR_INTERNAL, "dials: out of memory");
        return NULL;
    }
    dials->loop = loop;
    dials->streams = streams;
    dials->count = 0;
    return dials;
}

void dials_free(struct dials *dials)
{
    assert(dials == NULL || dials->count == 0);
    free(dials);
}

static void close_socket(struct dial *dial)
{
    struct event **events[] = {&dial->readable, &dial->writable};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i] != NULL) {
            event_free(*events[i]);
            *events[i] = NULL;
        }
    }
    close_fd(&dial->fd);
    dial->fd = -1;
}

/* The stream is closed already. */
static void free_dial(struct dial *dial)
{
    close_socket(dial);
    timer_close(&dial->timer);
    if (dial->unsent != NULL) {
        evbuffer_free(dial->unsent);
    }
    dial->all->count--;
    free(dial);
}

static void reset(struct dial *dial, const char *code)
{
    stream_reset(dial->stream, code);
    free_dial(dial);
}

static void refuse(struct dial *dial, const char *code, struct view sentence)
{
    reply_refuse(&dial->reply, code, sentence);
    stream_close(dial->stream);
    free_dial(dial);
}

static void refuse_by_errno(struct dial *dial, int error_number)
{
    if (error_number == ECONNREFUSED) {
        refuse(dial, "connection_refused", VIEW("nothing listens on this port"));
    } else if (error_number == ETIMEDOUT) {
        refuse(dial, "connect_timeout", VIEW("what listens on this port does not accept"));
    } else {
        refuse(dial, "connect_failed", VIEW("the connection could not be made"));
    }
}

static void set_reading(struct dial *dial, bool on)
{
    if (dial->reading != on) {
        dial->reading = on;
        (void)(on ? event_add(dial->readable, NULL) : event_del(dial->readable));
    }
}

/* True when that was the end of it. */
static bool end_if_both_ended(struct dial *dial)
{
    if (!dial->read_ended || !dial->write_ended) {
        return false;
    }
    stream_close(dial->stream);
    free_dial(dial);
    return true;
}

/* The peer's last bytes may still wait to be read; how it broke is told behind them. */
static void break_writing(struct dial *dial)
{
    stream_used(dial->stream, evbuffer_get_length(dial->unsent));
    (void)evbuffer_drain(dial->unsent, evbuffer_get_length(dial->unsent));
    if (dial->read_ended) {
        reset(dial, "connection_reset");
    } else {
        dial->broken = true;
    }
}

static void end_writing(struct dial *dial)
{
    dial->write_ended = true;
    if (shutdown(dial->fd, SHUT_WR) != 0) {
        break_writing(dial);
        return;
    }
    (void)end_if_both_ended(dial);
}

/* Writes what is unsent. The dial may be gone afterwards. */
static void flush(struct dial *dial)
{
    while (evbuffer_get_length(dial->unsent) > 0) {
        int wrote = evbuffer_write(dial->unsent, dial->fd);
        if (wrote < 0 && errno == EAGAIN) {
            (void)event_add(dial->writable, NULL);
            return;
        }
        if (wrote < 0) {
            break_writing(dial);
            return;
        }
        stream_used(dial->stream, (size_t)wrote);
    }
    if (dial->fin_came && !dial->write_ended) {
        end_writing(dial);
    }
}

static void on_bytes(struct view bytes, void *arg)
{
    struct dial *dial = arg;
    if (dial->broken) {
        stream_used(dial->stream, bytes.len);
        return;
    }
    bool was_empty = evbuffer_get_length(dial->unsent) == 0;
    if (evbuffer_add(dial->unsent, bytes.ptr, bytes.len) != 0) {
        if (dial->connected) {
            reset(dial, "internal");
        } else {
            refuse(dial, "internal", VIEW("the sandbox could not do this"));
        }
    } else if (dial->connected && was_empty) {
        flush(dial);
    }
}

static void on_fin(void *arg)
{
    struct dial *dial = arg;
    dial->fin_came = true;
    if (dial->connected && !dial->broken) {
        flush(dial);
    }
}

static void on_room(void *arg)
{
    struct dial *dial = arg;
    if (dial->connected && !dial->read_ended) {
        set_reading(dial, true);
    }
}

static void on_closed(void *arg)
{
    struct dial *dial = arg;
    if (!dial->connected) {
        reply_refuse(&dial->reply, "stream_closed", VIEW("the stream was closed before it began"));
    }
    free_dial(dial);
}

static const struct stream_events stream_events = {on_bytes, on_fin, on_room, on_closed};

static void end_reading(struct dial *dial)
{
    if (dial->broken) {
        reset(dial, "connection_reset");
        return;
    }
    dial->read_ended = true;
    set_reading(dial, false);
    stream_send_fin(dial->stream);
    (void)end_if_both_ended(dial);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dial *dial = arg;
    char *buffer = dial->all->buffer;
    size_t room = stream_room(dial->stream);
    if (room > 0) {
        ssize_t got = recv(fd, buffer, room < READ_MAX ? room : READ_MAX, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got < 0) {
            reset(dial, "connection_reset");
            return;
        }
        if (got == 0) {
            end_reading(dial);
            return;
        }
        stream_send(dial->stream, STREAM_DATA, (struct view){buffer, (size_t)got});
    }
    if (stream_room(dial->stream) == 0) {
        set_reading(dial, false);
    }
}

static void answer(struct dial *dial)
{
    struct str out;
    struct json_writer writer = reply_begin(&dial->reply, &out, "dialResponse");
    json_int(&writer, "streamId", stream_id(dial->stream));
    reply_end(&dial->reply, &writer);
    dial->connected = true;
    timer_disarm(&dial->timer);
    set_reading(dial, true);
    flush(dial);
}

static void to_address(const struct dial *dial, struct sockaddr_storage *out, socklen_t *len)
{
    *out = (struct sockaddr_storage){0};
    if (families[dial->address] == AF_INET) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(dial->port);
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *len = sizeof *in;
    } else {
        struct sockaddr_in6 *in6 = (void *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(dial->port);
        in6->sin6_addr = in6addr_loopback;
        *len = sizeof *in6;
    }
}

/* A port that nobody listens on may be given to our own end of the connection, which then connects
 * to itself. */
static bool is_connected_to_itself(const struct dial *dial)
{
    struct sockaddr_in6 own = {0}; /* the port is at the same place in both families */
    socklen_t len = sizeof own;
    return getsockname(dial->fd, (struct sockaddr *)&own, &len) != 0 ||
           own.sin6_port == htons(dial->port);
}

/* 0: connected; EINPROGRESS: on_writable tells; else it has failed. */
static int connect_to_address(struct dial *dial)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    int on = 1;
    struct event_base *base = loop_base(dial->all->loop);
    to_address(dial, &address, &len);
    dial->fd = socket(families[dial->address], SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0) {
        return errno;
    }
    (void)setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dial->readable = event_new(base, dial->fd, EV_READ | EV_PERSIST, on_readable, dial);
    dial->writable = event_new(base, dial->fd, EV_WRITE, on_writable, dial);
    if (dial->readable == NULL || dial->writable == NULL) {
        return ENOMEM;
    }
    if (connect(dial->fd, (const struct sockaddr *)&address, len) != 0) {
        return errno;
    }
    return is_connected_to_itself(dial) ? ECONNREFUSED : 0;
}

/* Goes on with what the try at the current address has led to: an errno or 0. */
static void go_on(struct dial *dial, int result)
{
    while (result != 0 && result != EINPROGRESS && dial->address < FAMILIES) {
        dial->failure = dial->failure == 0 ? result : dial->failure;
        close_socket(dial);
        dial->address++;
        if (dial->address < FAMILIES) {
            result = connect_to_address(dial);
        }
    }
    if (dial->address == FAMILIES) {
        refuse_by_errno(dial, dial->failure);
    } else if (result == 0) {
        answer(dial);
    } else {
        (void)event_add(dial->writable, NULL);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dial *dial = arg;
    if (dial->connected) {
        flush(dial);
        return;
    }
    int result = 0;
    socklen_t len = sizeof result;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len) != 0) {
        result = errno;
    }
    if (result == 0 && is_connected_to_itself(dial)) {
        result = ECONNREFUSED;
    }
    go_on(dial, result);
}

static void on_timeout(void *arg)
{
    refuse_by_errno(arg, ETIMEDOUT);
}

static bool open_dial(struct dial *dial, uint32_t id, struct err *err)
{
    dial->unsent = evbuffer_new();
    if (dial->unsent == NULL) {
        return err_set(err, ERR_INTERNAL, "dial: out of memory");
    }
    if (!timer_open(&dial->timer, dial->all->loop, on_timeout, dial, err)) {
        return false;
    }
    dial->stream = stream_open(dial->all->streams, &dial->reply, id, &stream_events, dial, err);
    return dial->stream != NULL;
}

static struct dial *new_dial(struct dials *dials, const struct reply *reply,
                             const struct agent_dial *request, struct err *err)
{
    if (dials->count >= DIALS_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d connections are open already", DIALS_MAX);
        return NULL;
    }
    struct dial *dial = calloc(1, sizeof *dial);
    if (dial == NULL) {
        err_set(err, ERR_INTERNAL, "dial: out of memory");
        return NULL;
    }
    dials->count++;
    dial->all = dials;
    dial->reply = *reply;
    dial->port = (uint16_t)request->port;
    dial->fd = -1;
    if (!open_dial(dial, (uint32_t)request->stream_id, err)) {
        free_dial(dial);
        return NULL;
    }
    return dial;
}

void dial_begin(struct dials *dials, const struct reply *reply, const struct agent_dial *request)
{
    struct err err;
    struct dial *dial = new_dial(dials, reply, request, &err);
    if (dial == NULL) {
        reply_error(reply, &err);
        return;
    }
    timer_arm(&dial->timer, DIAL_TIMEOUT_MS);
    go_on(dial, connect_to_address(dial));
}
