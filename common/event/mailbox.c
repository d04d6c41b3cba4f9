#include "common/event/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    pthread_mutex_t lock;
    struct list letters;    /* under lock */
    int wake_fd;            /* an eventfd, written when the list was empty */
    struct event *readable; /* owned */
};

void mailbox_deliver(struct mailbox *mailbox)
{
    struct list taken;
    list_init(&taken);
    (void)pthread_mutex_lock(&mailbox->lock);
    list_append_all(&taken, &mailbox->letters);
    (void)pthread_mutex_unlock(&mailbox->lock);
    while (!list_is_empty(&taken)) {
        struct letter *letter = LIST_ENTRY(taken.next, struct letter, node);
        list_remove(&letter->node);
        letter->on_delivered(letter);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    uint64_t count;
    ssize_t ignored = read((int)fd, &count, sizeof count);
    (void)ignored; /* Only wakes; the list says what there is. */
    mailbox_deliver(arg);
}

struct mailbox *mailbox_new(struct loop *loop, struct err *err)
{
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL) {
        err_set(err, ERR_INTERNAL, "mailbox: out of memory");
        return NULL;
    }
    list_init(&mailbox->letters);
    (void)pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->wake_fd < 0) {
        err_set(err, ERR_INTERNAL, "mailbox: eventfd: %s", strerror(errno));
        goto fail;
    }
    mailbox->readable =
        event_new(loop_base(loop), mailbox->wake_fd, EV_READ | EV_PERSIST, on_readable, mailbox);
    if (mailbox->readable == NULL || event_add(mailbox->readable, NULL) != 0) {
        err_set(err, ERR_INTERNAL, "mailbox: can't watch the eventfd");
        goto fail;
    }
    return mailbox;
fail:
    mailbox_free(mailbox);
    return NULL;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL) {
        return;
    }
    mailbox_deliver(mailbox);
    if (mailbox->readable != NULL) {
        event_free(mailbox->readable);
    }
    if (mailbox->wake_fd >= 0) {
        (void)close(mailbox->wake_fd);
    }
    (void)pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    bool was_empty = list_is_empty(&mailbox->letters);
    list_append(&mailbox->letters, &letter->node);
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (was_empty) {
        const uint64_t one = 1;
        ssize_t ignored = write(mailbox->wake_fd, &one, sizeof one);
        (void)ignored; /* Fails only when the counter is full, and then it is readable. */
    }
}
