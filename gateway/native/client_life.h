/* gateway/native/client_life.h: what the clients of one sandbox hear of its time, and do to it. */
#ifndef GATEWAY_NATIVE_CLIENT_LIFE_H
#define GATEWAY_NATIVE_CLIENT_LIFE_H

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/str.h"

struct gateway;
struct ipc_call;
struct sandbox_meta;

enum { CLIENT_LIFE_NEWS_MAX = 256 };

/* Lies with the group of the clients; zero: the sandbox runs, and nothing was announced. */
struct client_life {
    bool is_resting;
    char warned_of[CLOCK_ISO_SIZE]; /* the end that they were told of */
    struct ipc_call *resume;        /* NULL while none is in flight */
};

/* A client sent something: that is activity, and wakes a sandbox that rests. The message goes its
 * way meanwhile: an agent that is frozen reads it when it goes on. */
void client_life_on_message(struct client_life *life, const struct gateway *gateway,
                            const char sandbox_id[ID_SIZE], const char user_id[ID_SIZE]);
/* The row was looked at. True when the clients are to hear of it: news is the message. */
bool client_life_learn(struct client_life *life, const struct sandbox_meta *meta, struct str *news);
void client_life_end(struct client_life *life);

#endif
