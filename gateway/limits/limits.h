/* gateway/limits/limits.h: limits of requests that all gateways share through Redis, without asking
 * Redis at each request.
 *
 * A limit is a bucket of tokens. A gateway leases some at a time (lease.h has the arithmetic, and
 * why gateways together admit not one request too many) and admits requests from them at once. It
 * leases anew before they run out, as many as the rate that it sees promises, so that a caller who
 * comes often never waits; a bucket not seen for a while is asked for first, and the request waits,
 * for LIMIT_WAIT_MS at most (with several claims, for that time twice if Redis is as slow as that).
 *
 * When Redis is away, or silent for that long, each gateway goes by a bucket of its own, of the
 * same rate, from what it last knew: what each admits then comes on top. What must not be done on
 * such terms says fails_closed. A bucket that is forgotten, because more than LIMITS_BUCKETS_MAX
 * are in use, is asked for anew; without Redis it is full again. */
#ifndef GATEWAY_LIMITS_LIMITS_H
#define GATEWAY_LIMITS_LIMITS_H

#include "gateway/limits/claim.h"

struct redis;

enum {
    LIMIT_WAIT_MS = 100,
    LIMIT_AWAY_MS = 250,        /* how long Redis is left alone after it failed */
    LIMITS_BUCKETS_MAX = 65536, /* known here; those not used for longest are forgotten */
    LIMITS_WAITS_MAX = 4096,    /* requests that wait; more are decided without Redis */
};

struct limits;
/* Borrows redis; copies the rest. gateway_id is this process's alone. */
struct limits *limits_new(struct redis *redis, const char *instance, const char *gateway_id,
                          struct err *err) MUST_CHECK;
/* No limit_wait may be left. Before redis_close. */
void limits_free(struct limits *limits);

enum limit_answer {
    LIMIT_ADMITTED,
    LIMIT_REFUSED,     /* 429 */
    LIMIT_UNAVAILABLE, /* 503: of requests that fail closed */
    LIMIT_WAITS,       /* it comes later */
};

/* How the claim stands that has the least left, or that refused. */
struct limit_verdict {
    const char *policy; /* the claim's */
    struct limit_rate rate;
    int32_t remaining;
    int64_t retry_ms; /* until it is worth coming again; 0 unless refused */
    int64_t full_ms;  /* until all of the burst is there */
};

/* answer is not LIMIT_WAITS; verdict is valid during the call. */
typedef void limit_done_fn(enum limit_answer answer, const struct limit_verdict *verdict,
                           void *arg);
struct limit_wait;

/* Takes a token of each claim, or of none. Fills verdict (not of LIMIT_UNAVAILABLE) and returns, or
 * it returns LIMIT_WAITS and sets *wait: done comes once, later, on the loop. */
enum limit_answer limits_take(struct limits *limits, const struct limit_request *request,
                              struct limit_verdict *verdict, struct limit_wait **wait,
                              limit_done_fn *done, void *arg) MUST_CHECK;
void limit_wait_cancel(struct limit_wait *wait);

/* Whether it would be refused now, as far as is known; takes nothing. For requests that count only
 * when they turn out to be bad. */
bool limits_are_used_up(struct limits *limits, const struct limit_request *request,
                        struct limit_verdict *verdict) MUST_CHECK;

size_t limits_bucket_count(const struct limits *limits);

#endif
