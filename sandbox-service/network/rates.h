/* sandbox-service/network/rates.h: holds each sandbox to the rate of its tier, also one that waited
 * in a pool before it had an owner: what the rows and the engine say is told to the kernel anew
 * every few seconds, as a whole. One that is new is held to none until then. Does nothing where no
 * tier has a rate. */
#ifndef SANDBOX_NETWORK_RATES_H
#define SANDBOX_NETWORK_RATES_H

#include "sandbox-service/network/change.h"

struct rates;

/* All borrowed for its life. */
struct rates_options {
    struct loop *loop;
    const char *instance;
    const struct change_parts *parts;
};

struct rates *rates_open(const struct rates_options *options, struct err *err) MUST_CHECK;
/* When nothing of it is in flight any more; NULL is fine. */
void rates_close(struct rates *rates);

#endif
