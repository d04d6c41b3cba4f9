/* sandbox-service/network/denials.h: the names that a sandbox asked for and was not told, counted
 * until they are written down. */
#ifndef SANDBOX_NETWORK_DENIALS_H
#define SANDBOX_NETWORK_DENIALS_H

#include "sandbox-service/network/egress_rules.h"

enum {
    DENIED_NAMES_MAX = 32,  /* different ones between two writings; more are one number */
    DENIALS_ROWS_MAX = 100, /* of a sandbox in the database, besides that number */
    DENIALS_TEXT_MAX = 64 * 1024,
};

struct denied_name {
    char name[DOMAIN_SIZE];
    int64_t attempts;
};

/* Starts as zeros. */
struct denials {
    struct denied_name names[DENIED_NAMES_MAX];
    size_t count;
    int64_t others;
};

/* name is shorter than DOMAIN_SIZE. */
void denials_add(struct denials *denials, const char *name);
void denials_clear(struct denials *denials);

/* What the SQL function network_denied reads, of both names and of addresses (listing: what nft
 * prints of the sandbox's set; may be empty). */
bool denials_write(const struct denials *denials, struct view listing, struct str *out,
                   struct err *err) MUST_CHECK;

#endif
