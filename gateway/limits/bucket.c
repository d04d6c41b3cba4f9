#include "gateway/limits/bucket.h"

enum {
    LOOK_US = 50 * 1000,       /* the least time that a rate is told from */
    AHEAD_US = 500 * 1000,     /* of the requests that the rate seen promises, tokens are held */
    GONE_US = BUCKET_LEASE_US, /* a caller not seen for so long begins anew */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t burst_units(const struct bucket *bucket)
{
    return (int64_t)bucket->rate.burst * BUCKET_TOKEN;
}

/* Rounded up. */
static int64_t time_to_gain_us(const struct bucket *bucket, int64_t units)
{
    return units <= 0 ? 0 : (units + bucket->rate.per_minute - 1) / bucket->rate.per_minute;
}

static int64_t units_at(const struct bucket *bucket, int64_t now_us)
{
    int64_t missing = burst_units(bucket) - bucket->units;
    int64_t elapsed_us = now_us - bucket->units_us;
    if (elapsed_us >= time_to_gain_us(bucket, missing)) {
        return bucket->units + (missing > 0 ? missing : 0);
    }
    return bucket->units + elapsed_us * bucket->rate.per_minute;
}

static int32_t held_at(const struct bucket *bucket, int64_t now_us)
{
    return now_us < bucket->held_until_us ? bucket->held : 0;
}

void bucket_init(struct bucket *bucket, struct limit_rate rate, int64_t now_us)
{
    *bucket =
        (struct bucket){.rate = rate, .units_us = now_us, .seen_us = now_us, .used_us = now_us};
    bucket->units = burst_units(bucket);
}

void bucket_set_rate(struct bucket *bucket, struct limit_rate rate)
{
    bucket->rate = rate;
    bucket->units = least(bucket->units, burst_units(bucket));
}

static void note_request(struct bucket *bucket, int64_t now_us)
{
    if (now_us - bucket->used_us > GONE_US) {
        bucket->seen = 0;
        bucket->seen_us = now_us;
        bucket->batch = 0;
    }
    bucket->used_us = now_us;
    bucket->seen++;
}

static void end_lease(struct bucket *bucket, int64_t now_us)
{
    if (bucket->held > 0 && now_us >= bucket->held_until_us) {
        bucket->unused += bucket->held;
        bucket->held = 0;
    }
}

enum bucket_verdict bucket_take(struct bucket *bucket, int64_t now_us)
{
    end_lease(bucket, now_us);
    if (bucket->held == 0 && now_us < bucket->dry_until_us) {
        return BUCKET_EMPTY;
    }
    note_request(bucket, now_us);
    if (bucket->held == 0) {
        return BUCKET_ASK;
    }
    bucket->held--;
    return BUCKET_TAKEN;
}

enum bucket_verdict bucket_take_alone(struct bucket *bucket, int64_t now_us)
{
    int64_t units = units_at(bucket, now_us) + (int64_t)held_at(bucket, now_us) * BUCKET_TOKEN;
    bucket->units = least(units, burst_units(bucket));
    bucket->units_us = now_us;
    bucket->held = 0;
    if (bucket->units < BUCKET_TOKEN) {
        bucket->dry_until_us = now_us + time_to_gain_us(bucket, BUCKET_TOKEN - bucket->units);
        return BUCKET_EMPTY;
    }
    bucket->dry_until_us = 0;
    bucket->units -= BUCKET_TOKEN;
    return BUCKET_TAKEN;
}

bool bucket_is_empty(const struct bucket *bucket, bool is_alone, int64_t now_us)
{
    if (held_at(bucket, now_us) > 0) {
        return false;
    }
    return is_alone ? units_at(bucket, now_us) < BUCKET_TOKEN : now_us < bucket->dry_until_us;
}

void bucket_put_back(struct bucket *bucket, bool was_alone)
{
    if (was_alone) {
        bucket->units = least(bucket->units + BUCKET_TOKEN, burst_units(bucket));
    } else if (bucket->held < bucket->recorded) {
        bucket->held++;
    }
}

bool bucket_runs_low(const struct bucket *bucket, int64_t now_us)
{
    return bucket->batch > 0 && held_at(bucket, now_us) <= bucket->batch / 2 &&
           now_us >= bucket->dry_until_us;
}

/* A small part of the burst, so that no gateway keeps much from the others. */
static int32_t largest_batch(const struct bucket *bucket)
{
    if (bucket->rate.burst >= BUCKET_BATCHES) {
        return bucket->rate.burst / BUCKET_BATCHES;
    }
    return bucket->rate.burst >= BUCKET_BURST_TO_HOLD ? 1 : 0;
}

static void look_at_rate(struct bucket *bucket, int64_t now_us)
{
    int64_t elapsed_us = now_us - bucket->seen_us;
    if (elapsed_us < LOOK_US) {
        return;
    }
    int64_t coming = (int64_t)bucket->seen * AHEAD_US / elapsed_us;
    bucket->batch = (int32_t)least(coming, largest_batch(bucket));
    bucket->seen = 0;
    bucket->seen_us = now_us;
}

bool bucket_make_order(struct bucket *bucket, int32_t waiting, int64_t now_us,
                       struct bucket_order *order)
{
    end_lease(bucket, now_us);
    look_at_rate(bucket, now_us);
    int32_t ahead = bucket->batch > bucket->held ? bucket->batch - bucket->held : 0;
    if (waiting + ahead == 0) {
        return false;
    }
    *order = (struct bucket_order){
        .wanted = waiting + ahead,
        .waiting = waiting,
        .kept = bucket->held,
        .returned = bucket->unused,
    };
    bucket->unused = 0;
    return true;
}

void bucket_grant(struct bucket *bucket, const struct bucket_order *order, int64_t ordered_us,
                  int32_t granted, int64_t units, int64_t now_us)
{
    end_lease(bucket, now_us);
    bucket->held += granted;
    bucket->recorded = order->kept + (granted > order->waiting ? granted - order->waiting : 0);
    bucket->held_until_us = ordered_us + BUCKET_LEASE_US;
    bucket->units = units;
    bucket->units_us = now_us;
    bucket->dry_until_us = 0;
    if (granted < order->wanted) {
        int64_t wait_us = time_to_gain_us(bucket, BUCKET_TOKEN - units);
        bucket->dry_until_us = now_us + (wait_us < BUCKET_PAUSE_US ? BUCKET_PAUSE_US : wait_us);
    }
}

void bucket_settle(struct bucket *bucket)
{
    if (bucket->held > bucket->recorded) {
        bucket->held = bucket->recorded;
    }
}

int32_t bucket_remaining(const struct bucket *bucket, int64_t now_us)
{
    int64_t tokens = held_at(bucket, now_us) + units_at(bucket, now_us) / BUCKET_TOKEN;
    return (int32_t)least(tokens, bucket->rate.burst);
}

int64_t bucket_retry_us(const struct bucket *bucket, int64_t now_us)
{
    return now_us < bucket->dry_until_us ? bucket->dry_until_us - now_us : 0;
}

int64_t bucket_full_us(const struct bucket *bucket, int64_t now_us)
{
    int64_t units = units_at(bucket, now_us) + (int64_t)held_at(bucket, now_us) * BUCKET_TOKEN;
    return time_to_gain_us(bucket, burst_units(bucket) - units);
}
