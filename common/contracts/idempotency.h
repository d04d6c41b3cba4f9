/* common/contracts/idempotency.h: what gateways ask the auth-service about requests that create
 * something and came with an Idempotency-Key, so that a repeat gets the answer of the first.
 *
 * A try claims the key, does its work, and finishes with the answer, or releases the key when it
 * made nothing. What it makes has the id it is given: a try behind one that broke off finds what
 * that one has made already. */
#ifndef COMMON_CONTRACTS_IDEMPOTENCY_H
#define COMMON_CONTRACTS_IDEMPOTENCY_H

#include "common/base/id.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    IDEMPOTENCY_KEY_MAX = 128,          /* bytes of visible ASCII */
    IDEMPOTENCY_REQUEST_LEN = 64,       /* hex digits of a SHA-256 over all that makes a request */
    IDEMPOTENCY_ANSWER_MAX = 64 * 1024, /* bytes of UTF-8 */
    IDEMPOTENCY_LEASE_MS_MAX = 10 * 60 * 1000,
};

/* idempotency.claim -> idempotency_claimed. May be repeated with the same claim. ERR_CONFLICT
 * "idempotency_key_reused" when the key came with another request, "idempotency_in_progress" while
 * another try has it; ERR_LIMIT "idempotency_limit" when the user has too many keys. */
#define IDEMPOTENCY_CLAIM "idempotency.claim"
struct idempotency_claim {
    char user_id[ID_SIZE];
    struct view key;
    struct view request;
    char claim[ID_SIZE]; /* of the try: the caller's choice */
    int64_t lease_ms;    /* how long it takes at most */
};
extern const struct json_schema idempotency_claim_schema;

/* idempotency.renew -> {}: an idempotency_claim that was granted, and lasts for lease_ms from now.
 * ERR_CONFLICT "idempotency_lost" when the key is not the try's any more. */
#define IDEMPOTENCY_RENEW "idempotency.renew"

struct idempotency_claimed {
    char resource_id[ID_SIZE];
    bool is_again;      /* another try may have made it, and had its answer heard */
    int64_t status;     /* of the answer; 0: none yet, the key is the caller's */
    struct view answer; /* its body */
};
extern const struct json_schema idempotency_claimed_schema;

/* idempotency.finish -> {}. May be repeated. ERR_CONFLICT "idempotency_lost" when another try has
 * the key by now. */
#define IDEMPOTENCY_FINISH "idempotency.finish"
struct idempotency_finish {
    char user_id[ID_SIZE];
    struct view key;
    struct view request;
    char claim[ID_SIZE];
    int64_t status;
    struct view answer;
};
extern const struct json_schema idempotency_finish_schema;

/* idempotency.release -> {}, whether the key was the try's or not: the try is over. It made
 * nothing, and the key may come with another request; or, with keeps_id, nobody knows what it made,
 * and a repeat finds that by its id. May be repeated. */
#define IDEMPOTENCY_RELEASE "idempotency.release"
struct idempotency_release {
    char user_id[ID_SIZE];
    struct view key;
    char claim[ID_SIZE];
    bool keeps_id;
};
extern const struct json_schema idempotency_release_schema;

#endif
