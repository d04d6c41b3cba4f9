#include "sandbox-service/network/table_watch.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DATAGRAM_MAX = 32 * 1024,
    DATAGRAMS_A_TURN = 16,
    TABLE_GONE = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE,
};

struct table_watch {
    const char *table; /* borrowed */
    int fd;
    struct event *readable; /* owned */
    table_gone_fn *gone;
    void *arg;
};

/* Attributes and messages begin at multiples of four. */
static size_t aligned(size_t len)
{
    enum { STEP = 4 };
    return (len + STEP - 1) / STEP * STEP;
}

/* What is left of it is cut from view; an empty one at the end, or where it makes no sense. */
static struct view next_attribute(struct view *attributes, unsigned *type)
{
    struct nlattr head;
    if (attributes->len < sizeof head) {
        return (struct view){0};
    }
    memcpy(&head, attributes->ptr, sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > attributes->len) {
        return (struct view){0};
    }
    struct view value = {attributes->ptr + sizeof head, head.nla_len - sizeof head};
    size_t step = aligned(head.nla_len);
    *attributes = view_from(*attributes, step < attributes->len ? step : attributes->len);
    *type = head.nla_type;
    return value;
}

static bool names_table(struct view attributes, const char *table)
{
    unsigned type = 0;
    size_t with_end = strlen(table) + 1;
    for (struct view value = next_attribute(&attributes, &type); value.len > 0;
         value = next_attribute(&attributes, &type)) {
        if (type == NFTA_TABLE_NAME) {
            return value.len == with_end && memcmp(value.ptr, table, with_end) == 0;
        }
    }
    return false;
}

bool table_watch_is_about(struct view datagram, const char *table)
{
    struct nlmsghdr head;
    while (datagram.len >= sizeof head) {
        memcpy(&head, datagram.ptr, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.len) {
            return false;
        }
        struct view message = {datagram.ptr, head.nlmsg_len};
        size_t before = sizeof head + aligned(sizeof(struct nfgenmsg));
        if (head.nlmsg_type == TABLE_GONE && message.len >= before &&
            names_table(view_from(message, before), table)) {
            return true;
        }
        size_t step = aligned(head.nlmsg_len);
        datagram = view_from(datagram, step < datagram.len ? step : datagram.len);
    }
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct table_watch *watch = arg;
    char datagram[DATAGRAM_MAX];
    bool is_gone = false;
    (void)what;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        struct sockaddr_nl from = {0};
        socklen_t size = sizeof from;
        ssize_t len =
            recvfrom(fd, datagram, sizeof datagram, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        /* Lost ones (ENOBUFS) are made up for by looking at the table once in a while. */
        if (len < 0) {
            break;
        }
        bool is_kernel = from.nl_pid == 0;
        is_gone |=
            is_kernel && table_watch_is_about((struct view){datagram, (size_t)len}, watch->table);
    }
    if (is_gone) {
        watch->gone(watch->arg);
    }
}

struct table_watch *table_watch_open(struct loop *loop, const char *table, table_gone_fn *gone,
                                     void *arg, struct err *err)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = 1U << (NFNLGRP_NFTABLES - 1)};
    struct table_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, "the watch of a table: out of memory");
        return NULL;
    }
    *watch = (struct table_watch){.table = table, .gone = gone, .arg = arg};
    watch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (watch->fd < 0 || bind(watch->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        err_set(err, ERR_UNAVAILABLE, "changes of tables can't be heard: %s", strerror(errno));
        table_watch_close(watch);
        return NULL;
    }
    watch->readable =
        event_new(loop_base(loop), watch->fd, EV_READ | EV_PERSIST, on_readable, watch);
    if (watch->readable == NULL || event_add(watch->readable, NULL) != 0) {
        err_set(err, ERR_INTERNAL, "the watch of a table: out of memory");
        table_watch_close(watch);
        return NULL;
    }
    return watch;
}

void table_watch_close(struct table_watch *watch)
{
    if (watch != NULL) {
        if (watch->readable != NULL) {
            event_free(watch->readable);
        }
        close_fd(&watch->fd);
        free(watch);
    }
}
