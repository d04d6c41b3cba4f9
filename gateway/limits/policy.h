/* gateway/limits/policy.h: how many requests each kind of caller may make: the setting RATE_LIMITS.
 */
#ifndef GATEWAY_LIMITS_POLICY_H
#define GATEWAY_LIMITS_POLICY_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum { LIMIT_RATE_MAX = 1000000 }; /* of either number of a rate */

enum limit_kind {
    LIMIT_FREE,
    LIMIT_PRO,
    LIMIT_ENTERPRISE,
    LIMIT_ADDRESS, /* requests without a credential, or with a wrong one */
    LIMIT_PREVIEW, /* previews and signed URLs, by address */
    LIMIT_KINDS,
};

/* burst requests at once; what was used comes back at per_minute. Both 1 to LIMIT_RATE_MAX. */
struct limit_rate {
    int32_t per_minute;
    int32_t burst;
};

struct limit_policy {
    struct limit_rate rates[LIMIT_KINDS];
};

/* Reads "free=60/10,address=120/60": requests a minute / burst. What is not named has its default,
 * as all has when text is empty. err does not name the setting. */
bool limit_policy_parse(struct limit_policy *policy, const char *text, struct err *err) MUST_CHECK;

/* An unknown tier gets what free gets. */
struct limit_rate limit_policy_of_tier(const struct limit_policy *policy, struct view tier);

/* The rate of a key that may make per_minute requests (> 0), never above the given one. */
struct limit_rate limit_rate_capped(struct limit_rate rate, int64_t per_minute);

#endif
