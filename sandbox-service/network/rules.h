/* sandbox-service/network/rules.h: the firewall's rules for the sandboxes' bridge, as text.
 *
 * One chain, jumped to from INPUT and from DOCKER-USER for all that comes from the bridge: nothing
 * of the host answers, and nothing private, link-local or otherwise special is reached. */
#ifndef SANDBOX_NETWORK_RULES_H
#define SANDBOX_NETWORK_RULES_H

#include "common/base/str.h"
#include "sandbox-service/network/cidr.h"

#include <stdint.h>

enum {
    CHAIN_SIZE = 29,
    BRIDGE_SIZE = 16, /* the kernel's IFNAMSIZ */
    RESOLVERS_MAX = 8,
    CONNECTED_MAX = 32,
};

struct rules {
    char chain[CHAIN_SIZE];
    char bridge[BRIDGE_SIZE];
    struct cidr subnet;
    const char (*blocked)[CIDR_TEXT_SIZE]; /* borrowed: the operator's own ranges */
    size_t blocked_count;
    uint32_t resolvers[RESOLVERS_MAX]; /* where the host's names come from: port 53 stays open */
    size_t resolver_count;
    struct cidr connected[CONNECTED_MAX]; /* the networks that the host is itself in */
    size_t connected_count;
};

/* "INSIEN-<instance>", and a name of at most 15 bytes that another instance does not get. */
void rules_name(struct rules *rules, const char *instance);

/* Adds the servers that a resolv.conf names, less those on loopback addresses: containers get
 * at them from where they are. */
void rules_add_resolvers(struct rules *rules, struct view resolv_conf);

/* Adds a network of the host's own, by an address in it and its mask (host byte order), less those
 * within rules_closed_ranges and the sandboxes' own. False: there are too many. */
bool rules_add_connected(struct rules *rules, uint32_t address, uint32_t mask);

/* What is closed besides the host itself: "10.0.0.0/8", ...; NULL-terminated. */
extern const char *const rules_closed_ranges[];
/* Whether a range lies within one of them. */
bool rules_is_closed_range(const struct cidr *range) MUST_CHECK;

/* For iptables-restore --noflush: replaces the chain at once. The caller frees out. */
bool rules_write(const struct rules *rules, struct str *out, struct err *err) MUST_CHECK;

/* How many packets the DROP rule of a range has met, in the output of iptables -xnvL; -1 when there
 * is no such rule. */
int64_t rules_count_drops(struct view listing, const char *range);

#endif
