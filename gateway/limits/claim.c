#include "gateway/limits/claim.h"

#include "common/base/encode.h"

#include <stdio.h>

static void add(struct limit_request *request, const char *policy, struct limit_rate rate,
                const char *id)
{
    struct limit_claim *claim = &request->claims[request->count++];
    claim->policy = policy;
    claim->rate = rate;
    (void)snprintf(claim->name, sizeof claim->name, "%s:%s", policy, id);
}

void limit_request_of_caller(const struct limit_policy *policy, const struct limit_caller *caller,
                             struct limit_request *out)
{
    struct limit_rate rate = limit_policy_of_tier(policy, caller->tier);
    out->count = 0;
    out->fails_closed = false;
    for (size_t i = 0; caller->key_limits != NULL && i < caller->key_limits->count; i++) {
        const struct auth_key_limit *limit = &caller->key_limits->items[i];
        if (limit->requests_per_minute < rate.per_minute) {
            add(out, "key", limit_rate_capped(rate, limit->requests_per_minute), limit->api_key_id);
        }
    }
    add(out, "user", rate, caller->user_id);
}

void limit_request_of_address(const struct limit_policy *policy, enum limit_kind kind,
                              const struct address *address, struct limit_request *out)
{
    char hex[ENCODE_HEX_SIZE(ADDRESS_BYTES)];
    struct address shared = address_shared(address);
    encode_hex(shared.bytes, sizeof shared.bytes, hex);
    out->count = 0;
    out->fails_closed = false;
    add(out, kind == LIMIT_PREVIEW ? "preview" : "address", policy->rates[kind], hex);
}
