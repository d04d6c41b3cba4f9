/* sandbox-service/network/restricted.h: whether sandboxes may be given an allow-list, and the parts
 * that hold them to it: a bridge, a table of the kernel, a resolver. */
#ifndef SANDBOX_NETWORK_RESTRICTED_H
#define SANDBOX_NETWORK_RESTRICTED_H

#include "sandbox-service/config.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/network/egress.h"

struct restricted;

/* The table is in force and names are served: for the first time, or again. */
typedef void restricted_available_fn(void *arg);

/* All borrowed for its life. */
struct restricted_options {
    struct loop *loop;
    struct docker *docker;
    const struct sandbox_config *config;
    const struct rules *open; /* of the open bridge */
    restricted_available_fn *on_available;
    void *arg;
};

struct restricted *restricted_new(const struct restricted_options *options,
                                  struct err *err) MUST_CHECK;
/* Ends the table's worker: what it has in flight is done. The table stays, and with it what holds
 * the sandboxes that live on. */
void restricted_stop(struct restricted *restricted);
/* After docker_fail_all. */
void restricted_free(struct restricted *restricted);

/* Makes the bridge, puts the table into force, serves names. May be repeated: what is gone is put
 * back, with the sandboxes that were admitted. */
void restricted_check(struct restricted *restricted);

/* The same, once in a while: called as often as one likes. */
void restricted_refresh(struct restricted *restricted);

bool restricted_is_available(const struct restricted *restricted);
/* Whether the table is there, even if names are not served. */
bool restricted_has_table(const struct restricted *restricted);
/* Why not, in words; not for clients. */
const char *restricted_reason(const struct restricted *restricted);
/* "insien-<instance>-restricted": on the engine. */
const char *restricted_network(const struct restricted *restricted);
/* For name_server of every container: what it is led to depends on the network it is on. */
const char *restricted_name_server(const struct restricted *restricted);
struct egress *restricted_egress(const struct restricted *restricted);

#endif
