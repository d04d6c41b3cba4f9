/* sandbox-service/network/selftest.h: tries from inside whether the open network is as closed as it
 * must be. */
#ifndef SANDBOX_NETWORK_SELFTEST_H
#define SANDBOX_NETWORK_SELFTEST_H

#include "common/event/worker.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/network/rules.h"

/* All borrowed until done. */
struct selftest_options {
    struct docker *docker;
    struct worker_pool *workers;
    const struct rules *rules;
    const char *network; /* its name on the engine */
    const char *gateway; /* the host's address on it */
    const char *instance;
    const char *agent_volume;
    const char *seccomp;
};

/* err NULL: neighbours, the host's services, link-local and private ranges were tried from a
 * throw-away container and are closed. Otherwise the message says what is not, or could not be
 * tried. */
typedef void selftest_fn(const struct err *err, void *arg);

/* Listens on the host and in a second container meanwhile, so that "closed" says something. done
 * comes exactly once, later, on the loop; false (and no done) when it can't begin. */
bool selftest_begin(const struct selftest_options *options, selftest_fn *done, void *arg,
                    struct err *err) MUST_CHECK;

#endif
