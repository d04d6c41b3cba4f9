/* sandbox-service/network/policy.h: what a restricted sandbox may reach.
 *
 * An allow-list of entries, each a text: "HOST", "HOST:PORTS", and "/udp" behind it for that
 * protocol instead of TCP. HOST is a domain ("pypi.org"), all names below one ("*.pypi.org", at any
 * depth, not pypi.org itself), an address or a range of IPv4 ("203.0.113.0/24"). PORTS are numbers
 * separated by commas, for addresses also spans ("8000-8010"); without them 80 and 443. */
#ifndef SANDBOX_NETWORK_POLICY_H
#define SANDBOX_NETWORK_POLICY_H

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/json/read.h"
#include "sandbox-service/network/cidr.h"

#include <stdint.h>

enum {
    POLICY_ENTRIES_MAX = 64,
    POLICY_PORTS_MAX = 8, /* of an entry */
    DOMAIN_SIZE = 254,    /* 253 bytes of text */
    POLICY_ENTRY_MAX = DOMAIN_SIZE + 64,
    POLICY_TEXT_MAX = POLICY_ENTRIES_MAX * (POLICY_ENTRY_MAX + 8), /* as JSON */
};

struct port_span {
    uint16_t first;
    uint16_t last;
};

struct policy_entry {
    bool is_range;
    bool is_udp;
    bool is_wildcard;         /* of a domain: those below it */
    struct cidr range;        /* when it is one */
    char domain[DOMAIN_SIZE]; /* when it is none; lower case, without "*." and a dot at the end */
    struct port_span ports[POLICY_PORTS_MAX];
    size_t port_count; /* at least one */
};

struct policy {
    size_t count;
    struct policy_entry entries[];
};

/* For a JSON field's check: problem is "must be ...". */
bool policy_check_entry(struct view text, const char **problem);
bool policy_entry_read(struct view text, struct policy_entry *out, const char **problem) MUST_CHECK;

/* The caller frees it with free. NULL: one is none (ERR_INVALID, which names it), or there are too
 * many. */
struct policy *policy_read(const struct json_strings *entries, struct err *err) MUST_CHECK;

/* The entries as a JSON array: the policy's text in rows. */
bool policy_write(const struct json_strings *entries, struct str *out, struct err *err) MUST_CHECK;

/* Back from that text. */
struct policy_list {
    struct json_strings entries; /* as long as the document that is returned */
};
struct json_doc *policy_read_list(struct view array, struct policy_list *out,
                                  struct err *err) MUST_CHECK;
struct policy *policy_read_text(struct view array, struct err *err) MUST_CHECK;

/* Whether an entry is about a name: lower case, without a dot at the end. */
bool policy_entry_has_name(const struct policy_entry *entry, struct view name) MUST_CHECK;
/* Whether any is. */
bool policy_has_name(const struct policy *policy, struct view name) MUST_CHECK;
/* Whether all names of another policy are among those of this one, at the same ports. */
bool policy_has_names_of(const struct policy *policy, const struct policy *other) MUST_CHECK;

#endif
