#include "gateway/http/wire.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void queue_unsent(struct bufferevent *bev, struct view part, size_t *sent)
{
    size_t skip = *sent < part.len ? *sent : part.len;
    *sent -= skip;
    if (skip < part.len) {
        (void)bufferevent_write(bev, part.ptr + skip, part.len - skip);
    }
}

static struct iovec as_iovec(struct view view)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): an iovec knows no const */
    return (struct iovec){.iov_base = (void *)(uintptr_t)view.ptr, .iov_len = view.len};
}

bool wire_send(struct bufferevent *bev, struct view head, struct view body)
{
    size_t sent = 0;
    /* The socket of a client that waits for its answer can nearly always take it. A bufferevent
     * would first wait to hear so: two epoll_ctl and a turn of the loop for each answer. */
    if (wire_unsent(bev) == 0) {
        struct iovec parts[] = {as_iovec(head), as_iovec(body)};
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t result = sendmsg(bufferevent_getfd(bev), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        sent = result > 0 ? (size_t)result : 0;
    }
    queue_unsent(bev, head, &sent);
    queue_unsent(bev, body, &sent);
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

bool wire_peer_is_gone(struct bufferevent *bev)
{
    struct pollfd fd = {.fd = bufferevent_getfd(bev)};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLERR | POLLHUP)) != 0;
}

void wire_reset_on_close(struct bufferevent *bev)
{
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}
