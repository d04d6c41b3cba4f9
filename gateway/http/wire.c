#include "gateway/http/wire.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    BULK_BYTES = 256 * 1024,
    LIBEVENT_READ = 4096, /* evbuffer_read never takes more, whatever it is asked for */
};

bool wire_is_tls(struct bufferevent *bev)
{
    return bufferevent_openssl_get_ssl(bev) != NULL;
}

static bool queue_unsent(struct bufferevent *bev, struct view part, size_t *sent)
{
    size_t skip = *sent < part.len ? *sent : part.len;
    *sent -= skip;
    return skip == part.len || bufferevent_write(bev, part.ptr + skip, part.len - skip) == 0;
}

static struct iovec as_iovec(struct view view)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): an iovec knows no const */
    return (struct iovec){.iov_base = (void *)(uintptr_t)view.ptr, .iov_len = view.len};
}

bool wire_send(struct bufferevent *bev, const struct view *parts, size_t count)
{
    size_t sent = 0;
    size_t len = 0;
    assert(count <= WIRE_PARTS_MAX);
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    /* The socket of a client that waits for its answer can nearly always take it. A bufferevent
     * would first wait to hear so: two epoll_ctl and a turn of the loop for each answer. */
    if (len > 0 && wire_unsent(bev) == 0 && !wire_is_tls(bev)) {
        struct iovec vectors[WIRE_PARTS_MAX];
        for (size_t i = 0; i < count; i++) {
            vectors[i] = as_iovec(parts[i]);
        }
        const struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
        ssize_t result = sendmsg(bufferevent_getfd(bev), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        sent = result > 0 ? (size_t)result : 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!queue_unsent(bev, parts[i], &sent)) {
            return false;
        }
    }
    return true;
}

size_t wire_unsent(struct bufferevent *bev)
{
    return evbuffer_get_length(bufferevent_get_output(bev));
}

/* A slow reader moves what the kernel holds for long before it takes more from us. */
size_t wire_unacknowledged(struct bufferevent *bev)
{
    int queued = 0;
    if (ioctl(bufferevent_getfd(bev), SIOCOUTQ, &queued) != 0 || queued < 0) {
        queued = 0;
    }
    return wire_unsent(bev) + (size_t)queued;
}

bool wire_read_more(struct bufferevent *bev)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t before = evbuffer_get_length(input);
    struct evbuffer_iovec space;
    ssize_t len = 0;
    if (before >= WIRE_READ_MAX || wire_is_tls(bev)) {
        return false;
    }
    size_t wanted = WIRE_READ_MAX - before;
    (void)evbuffer_unfreeze(input, 0);
    if (evbuffer_reserve_space(input, (ev_ssize_t)wanted, &space, 1) == 1) {
        len = recv(bufferevent_getfd(bev), space.iov_base, wanted, MSG_DONTWAIT);
        space.iov_len = len > 0 ? (size_t)len : 0; /* an end, or an error, the next turn sees too */
        (void)evbuffer_commit_space(input, &space, 1);
    }
    (void)evbuffer_freeze(input, 0);
    return len == (ssize_t)wanted;
}

bool wire_may_have_more(struct bufferevent *bev)
{
    return evbuffer_get_length(bufferevent_get_input(bev)) >= LIBEVENT_READ;
}

/* Not by a high watermark: libevent calls back over and over while the input is above it. */
void wire_bound_input(struct bufferevent *bev, size_t max, bool ended)
{
    bool reads = (bufferevent_get_enabled(bev) & EV_READ) != 0;
    bool full = evbuffer_get_length(bufferevent_get_input(bev)) >= max;
    if (reads && full) {
        (void)bufferevent_disable(bev, EV_READ);
    } else if (!reads && !full && !ended) {
        (void)bufferevent_enable(bev, EV_READ);
    }
}

void wire_say_end(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (ssl != NULL && SSL_is_init_finished(ssl) &&
        (SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN) == 0) {
        (void)SSL_shutdown(ssl);
        ERR_clear_error();
    }
}

bool wire_peer_is_gone(struct bufferevent *bev)
{
    struct pollfd fd = {.fd = bufferevent_getfd(bev)};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLERR | POLLHUP)) != 0;
}

bool wire_peer_is_silent(struct bufferevent *bev)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        return false; /* not TCP */
    }
    return (info.tcpi_retransmits > 0 || info.tcpi_probes > 1) &&
           info.tcpi_last_ack_recv >= WIRE_USER_TIMEOUT_MS;
}

void wire_set_patience(struct bufferevent *bev, int64_t ms)
{
    unsigned timeout_ms = (unsigned)ms;
    (void)setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                     sizeof timeout_ms);
}

void wire_set_bulk(struct bufferevent *bev, bool bulk)
{
    (void)bufferevent_set_max_single_read(bev, bulk ? BULK_BYTES : 0);
    (void)bufferevent_set_max_single_write(bev, bulk ? BULK_BYTES : 0);
}

void wire_reset_on_close(struct bufferevent *bev)
{
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
