/* gateway/limits/claim.h: what a request counts against: some limits, each by its name. */
#ifndef GATEWAY_LIMITS_CLAIM_H
#define GATEWAY_LIMITS_CLAIM_H

#include "common/contracts/auth.h"
#include "gateway/http/address.h"
#include "gateway/limits/policy.h"

enum {
    LIMIT_NAME_SIZE = 48,
    LIMIT_CLAIMS_MAX = AUTH_KEY_LIMITS_MAX + 1,
};

struct limit_claim {
    const char *policy; /* as clients are told: "user", "key", "address", "preview" */
    struct limit_rate rate;
    char name[LIMIT_NAME_SIZE]; /* "user:<id>", "address:<32 hex digits>": the same bucket */
};

struct limit_request {
    struct limit_claim claims[LIMIT_CLAIMS_MAX];
    size_t count;
    bool fails_closed; /* not to be done unless the shared limit says so */
};

/* Of a caller who is known. All keys and sessions of a user share the user's limit. A key with
 * requestsPerMinute counts in a limit of its own besides, and in that of each key above it that has
 * a larger one: so all that came of a key stay together within what it has. Limits that are not
 * below the user's are left out, as they never refuse what that admits. */
struct limit_caller {
    struct view tier;
    const char *user_id;
    const struct auth_key_limits *key_limits; /* NULL: of a session */
};
void limit_request_of_caller(const struct limit_policy *policy, const struct limit_caller *caller,
                             struct limit_request *out);

/* Of an address, IPv6 by its /64; kind is LIMIT_ADDRESS or LIMIT_PREVIEW. */
void limit_request_of_address(const struct limit_policy *policy, enum limit_kind kind,
                              const struct address *address, struct limit_request *out);

#endif
