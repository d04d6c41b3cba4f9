/* gateway/hub/waker.h: has sandboxes that rest resumed, because traffic came for them. For the hub
 * alone. */
#ifndef GATEWAY_HUB_WAKER_H
#define GATEWAY_HUB_WAKER_H

#include "common/base/id.h"
#include "common/base/list.h"

struct gateway;
struct waker;

/* err NULL: its agent is here and answers. ERR_CONFLICT "sandbox_paused": it is not to be woken so;
 * "sandbox_ended"; ERR_UNAVAILABLE "agent_lost": it does not rest, and no agent is here; ... */
typedef void waker_done_fn(const struct err *err, void *arg);

/* Lies in whoever waits, who may leave by list_remove. */
struct waker_wait {
    struct list node;
    waker_done_fn *done; /* comes once, later, on the loop */
    void *arg;
};

/* Borrows gateway, of which the hub must be there by the first waking. */
struct waker *waker_new(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* Nobody hears any more. NULL is fine. */
void waker_free(struct waker *waker);

/* One waking a sandbox at a time, whoever comes meanwhile joins it. wait may be NULL. */
bool waker_wake(struct waker *waker, const char sandbox_id[ID_SIZE], struct waker_wait *wait,
                struct err *err) MUST_CHECK;

#endif
