/* sandbox-service/network/egress_rules.h: what nftables is told about restricted sandboxes, as
 * text.
 *
 * The means, and why these. A proxy holds only those who ask it; what a program in the sandbox
 * can't go around is the kernel's forwarding. So restricted sandboxes have a bridge of their own
 * where nothing is forwarded but what a rule names, and names become addresses in one place: our
 * resolver, which asks for allowed names only and opens the addresses of its answer before it gives
 * them. nftables rather than ipset and iptables: one program, one table of ours that no other tool
 * flushes, changes that come into force as a whole, sets whose entries expire. It needs
 * CAP_NET_ADMIN in the host's network namespace and nothing else of the host, so a container with
 * `network_mode: host` and that capability runs it as well.
 *
 * What holds, and by what:
 * - address literals, raw packets, any protocol but TCP and UDP: everything that no rule names is
 *   dropped, by destination, protocol and port; there is no default to fall through to;
 * - DNS tunnelling: other servers are dropped like any address (also the host's own), and our
 *   resolver neither forwards nor asks for a name that is not allowed. Below a wildcard the owner
 * of that domain can be talked to, which is what was allowed;
 * - rebinding: private, link-local, metadata and the host's own addresses are left out of answers,
 *   and dropped before any allow-list is looked at;
 * - IPv6: the bridge has none, and what is not IPv4 is dropped;
 * - the host's services: its INPUT takes DNS to our resolver from there and nothing else;
 * - routes that a packet brings along (RFC 791's options): packets with options are dropped;
 * - floods of questions: the kernel takes so many of each sandbox, and drops the rest;
 * - neighbours: dropped between the bridge's ports (icc) and as packets that go in and out there;
 * - whose packet it is: by its source address, chosen before the container starts. Nobody inside
 * has NET_RAW or NET_ADMIN, which another one's address would take.
 *
 * What does not hold: an address serves whatever lives on it. Who is let to one site of a content
 * network gets to the others at the same address. And the engine's own name server, inside of each
 * network, tells the names (which have the sandboxes' ids in them) and addresses of who else is on
 * it; to be reached they are not. */
#ifndef SANDBOX_NETWORK_EGRESS_RULES_H
#define SANDBOX_NETWORK_EGRESS_RULES_H

#include "sandbox-service/network/policy.h"
#include "sandbox-service/network/rules.h"
#include "sandbox-service/sandbox/tiers.h"

enum {
    EGRESS_TABLE_SIZE = 32,
    EGRESS_GRANT_S = 600,      /* an address of a name stays open so long after it was told, */
    EGRESS_HOLD_S = 3600,      /* and so long after its last packet */
    EGRESS_NAMES_MAX = 1024,   /* addresses and ports of a sandbox that it was told; that it uses */
    EGRESS_ATTEMPTS_MAX = 128, /* different denied ones that are remembered, of a sandbox */
    EGRESS_QUESTIONS_PER_S = 100, /* of a sandbox to our resolver; more are dropped */
    EGRESS_QUESTIONS_BURST = 500,
};

struct egress_rules {
    const struct rules *open;      /* borrowed: the open bridge, and what is closed to everybody */
    char table[EGRESS_TABLE_SIZE]; /* "insien_<instance>" */
    char bridge[BRIDGE_SIZE];
    struct cidr subnet;
    uint32_t resolver;                /* our address there */
    int64_t kbytes_per_s[TIER_COUNT]; /* each way; 0: no limit */
};

/* Names, from the open bridge's. The rest is the caller's to fill in. */
void egress_rules_name(struct egress_rules *rules, const struct rules *open);

/* Whether an address is closed to every sandbox. */
bool egress_is_closed(const struct egress_rules *rules, uint32_t address) MUST_CHECK;

/* All of these are for nft -f, come into force as a whole and may be repeated. */

/* The table and what it does to those it does not know. Sandboxes that are known stay so. anew: the
 * rates may be others than before. */
bool egress_write_base(const struct egress_rules *rules, bool anew, struct str *out,
                       struct err *err) MUST_CHECK;
/* What the sandbox at an address may reach, in the place of what it might before. keep_names: what
 * names have opened for it stays so, as for a policy that has all of them. */
void egress_write_policy(const struct egress_rules *rules, uint32_t address,
                         const struct policy *policy, bool keep_names, struct str *out);
/* Nothing any more. */
void egress_write_removal(const struct egress_rules *rules, uint32_t address, struct str *out);
/* Opens an address of a name, at the ports of each entry that the name matches. Unlike the others
 * it fails where the sandbox is not known. */
void egress_write_grant(const struct egress_rules *rules, uint32_t address,
                        const struct policy_entry *entry, uint32_t target, struct str *out);
/* Room for more: closes what names have opened and nothing uses. */
void egress_write_unused(const struct egress_rules *rules, uint32_t address, struct str *out);
/* How fast a sandbox on either bridge may be; its tier stays the one that it began with. */
void egress_write_rate(const struct egress_rules *rules, uint32_t address, enum tier tier,
                       struct str *out);

/* The name of the set that remembers denied attempts of the sandbox at an address. */
void egress_attempts_set(uint32_t address, char out[EGRESS_TABLE_SIZE]);

struct egress_attempt {
    uint32_t address;
    unsigned protocol; /* IANA's number */
    unsigned port;
    int64_t packets;
};
/* The next one in what nft -n list set prints; false at the end. */
bool egress_next_attempt(struct view *listing, struct egress_attempt *out) MUST_CHECK;

/* The address of the next sandbox in what nft list map prints of "boxes"; false at the end. */
bool egress_next_box(struct view *listing, uint32_t *address) MUST_CHECK;

#endif
