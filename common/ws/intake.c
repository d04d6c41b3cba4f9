#include "common/ws/intake.h"

#include <sys/socket.h>

enum { BEHIND_MAX = WS_INTAKE_MAX - INBOX_GROW_MAX };

/* Negative as recvmsg. */
static ssize_t receive(struct bufferevent *bev, struct iovec to[2])
{
    struct msghdr message = {.msg_iov = to, .msg_iovlen = 2};
    return recvmsg(bufferevent_getfd(bev), &message, MSG_DONTWAIT);
}

bool ws_intake_read(struct ws_inbox *inbox, struct bufferevent *bev)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    struct evbuffer_iovec behind;
    size_t room;
    size_t len = 0;
    char *payload = evbuffer_get_length(input) == 0 ? ws_inbox_room(inbox, &room) : NULL;
    if (payload == NULL) {
        return false;
    }
    (void)evbuffer_unfreeze(input, 0);
    if (evbuffer_reserve_space(input, BEHIND_MAX, &behind, 1) == 1) {
        struct iovec to[] = {{payload, room}, {behind.iov_base, BEHIND_MAX}};
        ssize_t got = receive(bev, to);
        len = got > 0 ? (size_t)got : 0;
        behind.iov_len = len > room ? len - room : 0;
        (void)evbuffer_commit_space(input, &behind, 1);
    }
    (void)evbuffer_freeze(input, 0);
    ws_inbox_fill(inbox, len < room ? len : room);
    return len == room + BEHIND_MAX;
}
