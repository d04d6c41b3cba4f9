/* gateway/limits/bucket.h: one limit as one gateway knows it: the tokens that it holds on lease,
 * and what is left for all gateways since Redis last said so. A request costs one token.
 *
 * Pure: time (microseconds, monotonic) is the caller's, and so is talking to Redis. */
#ifndef GATEWAY_LIMITS_BUCKET_H
#define GATEWAY_LIMITS_BUCKET_H

#include "gateway/limits/policy.h"

enum {
    BUCKET_TOKEN = 60 * 1000 * 1000, /* units of a token: a rate a minute is units a microsecond */
    BUCKET_LEASE_US = 1000 * 1000,   /* tokens are good for so long from when they were asked for */
    BUCKET_PAUSE_US = 10 * 1000,     /* nothing is asked for so long when nothing was left */
    BUCKET_BATCHES = 20,             /* at most this part of the burst is held ready, */
    BUCKET_BURST_TO_HOLD = 5,        /* or one token; of smaller bursts none */
};

struct bucket {
    struct limit_rate rate;
    int64_t units; /* left for all at units_us; more since then */
    int64_t units_us;
    int32_t held;     /* tokens on lease */
    int32_t recorded; /* of them and of those used since, as Redis keeps in mind */
    int64_t held_until_us;
    int32_t unused;       /* tokens whose lease ended, not given back yet */
    int64_t dry_until_us; /* before that nothing is left for anyone */
    int32_t batch;        /* tokens to hold ready */
    int32_t seen;         /* requests since seen_us */
    int64_t seen_us;
    int64_t used_us; /* the last request */
};

/* Full; what is left is not known yet, and taken to be all. */
void bucket_init(struct bucket *bucket, struct limit_rate rate, int64_t now_us);
/* A bucket that has it already stays as it is. */
void bucket_set_rate(struct bucket *bucket, struct limit_rate rate);

enum bucket_verdict {
    BUCKET_TAKEN,
    BUCKET_EMPTY, /* until bucket_retry_us */
    BUCKET_ASK,   /* Redis must be asked for more */
};
/* Takes one token that is held. */
enum bucket_verdict bucket_take(struct bucket *bucket, int64_t now_us) MUST_CHECK;
/* Without Redis: takes one of what is left, as if this were the only gateway. Never BUCKET_ASK. */
enum bucket_verdict bucket_take_alone(struct bucket *bucket, int64_t now_us) MUST_CHECK;
/* Whether one of the two (with is_alone the latter) would say BUCKET_EMPTY. */
bool bucket_is_empty(const struct bucket *bucket, bool is_alone, int64_t now_us) MUST_CHECK;
/* Undoes a take. A token that Redis has not on record counts as used. */
void bucket_put_back(struct bucket *bucket, bool was_alone);

/* What to tell Redis, and what to ask it for. */
struct bucket_order {
    int32_t wanted;
    int32_t waiting;  /* of them for requests that wait: used at once */
    int32_t kept;     /* tokens held already, whose lease begins anew */
    int32_t returned; /* tokens whose lease ended unused */
};
/* Whether what is held ready runs low; only for callers who come often. */
bool bucket_runs_low(const struct bucket *bucket, int64_t now_us) MUST_CHECK;
/* For so many requests that wait, and for what comes next by the rate seen. False when nothing is
 * wanted. What it says must be sent. */
bool bucket_make_order(struct bucket *bucket, int32_t waiting, int64_t now_us,
                       struct bucket_order *order) MUST_CHECK;
/* Redis granted so many of the tokens that were ordered at ordered_us, and has units left. */
void bucket_grant(struct bucket *bucket, const struct bucket_order *order, int64_t ordered_us,
                  int32_t granted, int64_t units, int64_t now_us);

/* What those who waited have left: beyond what is on record it counts as used. */
void bucket_settle(struct bucket *bucket);

/* For the headers: tokens that are there, and how long until there is one, or all. */
int32_t bucket_remaining(const struct bucket *bucket, int64_t now_us);
int64_t bucket_retry_us(const struct bucket *bucket, int64_t now_us);
int64_t bucket_full_us(const struct bucket *bucket, int64_t now_us);

#endif
