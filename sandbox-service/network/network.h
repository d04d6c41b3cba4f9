/* sandbox-service/network/network.h: whether sandboxes may be given the open network. */
#ifndef SANDBOX_NETWORK_NETWORK_H
#define SANDBOX_NETWORK_NETWORK_H

#include "common/event/worker.h"
#include "sandbox-service/config.h"
#include "sandbox-service/docker/docker.h"

struct network;
struct rules;

/* The network was found open or not; called at each change, and at the first finding. */
typedef void network_settled_fn(void *arg);

/* All borrowed for the network's life. */
struct network_options {
    struct loop *loop;
    struct docker *docker;
    struct worker_pool *workers;
    const struct sandbox_config *config;
    const char *agent_volume;
    const char *seccomp;
    network_settled_fn *on_settled;
    void *arg;
};

struct network *network_new(const struct network_options *options, struct err *err) MUST_CHECK;
/* When nothing of it is in flight: after docker_fail_all and the workers' end. */
void network_free(struct network *network);

/* Makes the bridge, puts the rules into force and has them tested from inside. A test that this
 * boot's earlier process passed with the same network holds until the new one says otherwise. */
void network_check(struct network *network);
/* Puts the rules into force again, should somebody have taken them away; from time to time checks
 * again a network that failed. What is in force stays so while the engine, or who else works at the
 * rules, keeps it waiting: only after some of those is the network closed. */
void network_refresh(struct network *network);
/* There is no engine: nothing can be open. */
void network_engine_missing(struct network *network);

bool network_is_open(const struct network *network);
/* Why not, in words; not for clients. */
const char *network_reason(const struct network *network);
/* "insien-<instance>": on the engine. */
const char *network_name(const struct network *network);
/* What is closed to every sandbox; as long as the network lives. */
const struct rules *network_rules(const struct network *network);

#endif
