/* gateway/native/client_life.h: what the clients of one sandbox hear of its time, and do to it. */
#ifndef GATEWAY_NATIVE_CLIENT_LIFE_H
#define GATEWAY_NATIVE_CLIENT_LIFE_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "gateway/hub/waker.h"

struct client_relay;
struct gateway;
struct sandbox_meta;

enum { CLIENT_LIFE_NEWS_MAX = 256 };

/* Lies with the group of the clients. */
struct client_life {
    bool is_resting;
    bool is_waking;
    char warned_of[CLOCK_ISO_SIZE]; /* the end that they were told of */
    struct waker_wait wait;
    struct list held;   /* relays whose message waits until it is awake */
    struct err refusal; /* why it was not woken, the last time */
};

/* The sandbox runs, and nothing was announced. */
void client_life_begin(struct client_life *life);
/* The relay's client sent something: that is activity, and wakes a sandbox that rests. False: the
 * message comes again when it is awake, or is not to be woken: relay->refusal says so then. */
bool client_life_on_message(struct client_life *life, const struct gateway *gateway,
                            struct client_relay *relay) MUST_CHECK;
/* The row was looked at. True when the clients are to hear of it: news is the message. */
bool client_life_learn(struct client_life *life, const struct sandbox_meta *meta, struct str *news);
/* Its relays are closed by now. */
void client_life_end(struct client_life *life);

#endif
