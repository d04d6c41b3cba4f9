/* sandbox-service/events/delivery.h: brings events to the webhooks of users: at least once, one at
 * a time a webhook, again with growing pauses until it is given up. */
#ifndef SANDBOX_EVENTS_DELIVERY_H
#define SANDBOX_EVENTS_DELIVERY_H

#include "common/base/view.h"
#include "common/event/loop.h"
#include "sandbox-service/events/target.h"

#include <stdint.h>

struct deliveries;
struct event_store;

enum {
    DELIVERIES_MAX = 16, /* under way at a time */
    DELIVERY_TIMEOUT_MS = 15 * 1000,
    DELIVERY_TRIES_MAX = 10, /* then it is given up, after about 28 hours */
};

/* All is borrowed. */
struct deliveries_options {
    struct loop *loop;
    struct event_store *store;
    const struct target_policy *policy;
    struct view secret; /* signature_key_derive */
};
struct deliveries *deliveries_open(const struct deliveries_options *options,
                                   struct err *err) MUST_CHECK;
/* Something may be due. */
void deliveries_look(struct deliveries *deliveries);
/* Begins no more. */
void deliveries_stop(struct deliveries *deliveries);
/* After the store has failed all. What is under way is tried again by whoever comes next. Accepts
 * NULL. */
void deliveries_close(struct deliveries *deliveries);

/* How long to wait behind so many tries, without what is added by chance; -1: it is given up. */
int64_t delivery_pause_ms(int64_t tries);

#endif
