/* common/event/mailbox.h: how other threads hand things to the loop. */
#ifndef COMMON_EVENT_MAILBOX_H
#define COMMON_EVENT_MAILBOX_H

#include "common/base/list.h"
#include "common/event/loop.h"

struct mailbox;

struct letter;
typedef void letter_fn(struct letter *letter);
/* Lies in the object it announces; belongs to the mailbox from post to delivery. */
struct letter {
    struct list node;
    letter_fn *on_delivered; /* called on the loop */
};

struct mailbox *mailbox_new(struct loop *loop, struct err *err) MUST_CHECK;
/* No thread may post any more. Letters that wait are delivered first. */
void mailbox_free(struct mailbox *mailbox);

/* From any thread. Never fails, never blocks beyond a short lock; letters arrive in order. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* Delivers what waits now; for tests and for taking things down. On the loop's thread. */
void mailbox_deliver(struct mailbox *mailbox);

#endif
