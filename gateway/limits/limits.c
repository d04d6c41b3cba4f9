#include "gateway/limits/limits.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "gateway/limits/lease.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { PREFIX_SIZE = LEASE_KEY_SIZE - LIMIT_NAME_SIZE, US_PER_MS = 1000 };

struct limits {
    struct redis *redis; /* borrowed */
    char prefix[PREFIX_SIZE];
    char gateway_id[ID_SIZE];
    struct map buckets; /* of struct entry */
    struct list ages;   /* the same; least recently used first */
    size_t wait_count;
    int64_t away_until_us; /* Redis failed and is left alone */
    bool is_alone;         /* as the log was told */
};

struct entry {
    struct map_node node; /* by name */
    struct list age;
    struct limits *limits; /* borrowed */
    char name[LIMIT_NAME_SIZE];
    struct bucket bucket;
    struct list waits;
    int32_t waiting;
    bool is_serving; /* the waits are being decided: newcomers wait behind them */
    bool is_asking;  /* Redis has the order below */
    struct bucket_order order;
    int64_t ordered_us;
};

/* Of a request: the tokens that it has of its first claims. */
struct taken {
    size_t count;
    bool alone[LIMIT_CLAIMS_MAX]; /* taken without Redis */
};

struct limit_wait {
    struct list node;      /* in the waits of entry */
    struct entry *entry;   /* borrowed: where it waits */
    struct limits *limits; /* borrowed */
    struct limit_request request;
    struct taken taken;
    struct limit_verdict verdict;
    int64_t deadline_us;
    limit_done_fn *done;
    void *arg;
};

struct limits *limits_new(struct redis *redis, const char *instance, const char *gateway_id,
                          struct err *err)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL) {
        err_set(err, ERR_INTERNAL, "limits: out of memory");
        return NULL;
    }
    limits->redis = redis;
    list_init(&limits->ages);
    int length = snprintf(limits->prefix, sizeof limits->prefix, "insien:%s:limit:", instance);
    if (length < 0 || (size_t)length >= sizeof limits->prefix ||
        !view_copy(view_of(gateway_id), limits->gateway_id, sizeof limits->gateway_id)) {
        err_set(err, ERR_INTERNAL, "limits: a name is too long");
        limits_free(limits);
        return NULL;
    }
    if (!map_init(&limits->buckets, err)) {
        limits_free(limits);
        return NULL;
    }
    return limits;
}

static void drop(struct limits *limits, struct entry *entry)
{
    if (entry->is_asking) {
        redis_cancel(limits->redis, entry);
    }
    map_remove(&limits->buckets, &entry->node);
    list_remove(&entry->age);
    free(entry);
}

void limits_free(struct limits *limits)
{
    if (limits == NULL) {
        return;
    }
    assert(limits->wait_count == 0);
    for (LIST_EACH(node, &limits->ages)) {
        drop(limits, LIST_ENTRY(node, struct entry, age));
    }
    map_free(&limits->buckets);
    free(limits);
}

size_t limits_bucket_count(const struct limits *limits)
{
    return limits->buckets.count;
}

static struct entry *find(const struct limits *limits, const char *name)
{
    struct map_node *node = map_find(&limits->buckets, view_of(name));
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, node);
}

static bool is_idle(const struct entry *entry)
{
    return !entry->is_asking && !entry->is_serving && entry->waiting == 0;
}

static void forget_oldest(struct limits *limits)
{
    for (LIST_EACH(node, &limits->ages)) {
        struct entry *entry = LIST_ENTRY(node, struct entry, age);
        if (is_idle(entry)) {
            drop(limits, entry);
            return;
        }
    }
}

static struct entry *add(struct limits *limits, const struct limit_claim *claim, int64_t now_us)
{
    if (limits->buckets.count >= LIMITS_BUCKETS_MAX) {
        forget_oldest(limits);
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->limits = limits;
    memcpy(entry->name, claim->name, sizeof entry->name);
    list_init(&entry->waits);
    bucket_init(&entry->bucket, claim->rate, now_us);
    map_insert(&limits->buckets, &entry->node, view_of(entry->name));
    list_append(&limits->ages, &entry->age);
    return entry;
}

/* NULL when out of memory. */
static struct entry *find_or_add(struct limits *limits, const struct limit_claim *claim,
                                 int64_t now_us)
{
    struct entry *entry = find(limits, claim->name);
    if (entry == NULL) {
        return add(limits, claim, now_us);
    }
    list_remove(&entry->age);
    list_append(&limits->ages, &entry->age);
    if (entry->bucket.rate.per_minute != claim->rate.per_minute ||
        entry->bucket.rate.burst != claim->rate.burst) {
        bucket_set_rate(&entry->bucket, claim->rate);
    }
    return entry;
}

/* The log hears of each outage once. */
static void set_alone(struct limits *limits, bool is_alone, const char *why)
{
    if (limits->is_alone != is_alone) {
        limits->is_alone = is_alone;
        if (is_alone) {
            log_warn("limits.alone", LOG_STR("error", why));
        } else {
            log_info("limits.shared");
        }
    }
}

static bool redis_may_be_asked(struct limits *limits, int64_t now_us)
{
    if (!redis_is_up(limits->redis)) {
        set_alone(limits, true, "Redis is not connected");
        return false;
    }
    return now_us >= limits->away_until_us;
}

static void leave_redis_alone(struct limits *limits, const struct err *err)
{
    limits->away_until_us = clock_monotonic_us() + LIMIT_AWAY_MS * (int64_t)US_PER_MS;
    set_alone(limits, true, err->message);
}

static redis_reply_fn on_lease;

/* As long as the request that waits longest may still wait. */
static int64_t patience_ms(const struct entry *entry, int64_t now_us)
{
    if (list_is_empty(&entry->waits)) {
        return LIMIT_WAIT_MS;
    }
    const struct limit_wait *first = LIST_ENTRY(entry->waits.next, struct limit_wait, node);
    int64_t left_ms = (first->deadline_us - now_us) / US_PER_MS;
    return left_ms < 1 ? 1 : left_ms;
}

/* For the requests that wait, or to have some ready. False when Redis can't be asked. */
static bool ask(struct entry *entry, int64_t now_us)
{
    struct limits *limits = entry->limits;
    struct err err = {0};
    char key[LEASE_KEY_SIZE];
    if (!bucket_make_order(&entry->bucket, entry->waiting, now_us, &entry->order)) {
        return true;
    }
    (void)snprintf(key, sizeof key, "%s%s", limits->prefix, entry->name);
    const struct lease lease = {.key = key,
                                .gateway = limits->gateway_id,
                                .rate = entry->bucket.rate,
                                .order = &entry->order};
    entry->ordered_us = now_us;
    entry->is_asking =
        lease_send(limits->redis, &lease, patience_ms(entry, now_us), on_lease, entry, &err);
    if (!entry->is_asking) {
        leave_redis_alone(limits, &err);
    }
    return entry->is_asking;
}

/* If it can't ask now, the request that finds nothing left will. */
static void ask_ahead(struct entry *entry, int64_t now_us)
{
    if (!entry->is_asking && bucket_runs_low(&entry->bucket, now_us) &&
        redis_may_be_asked(entry->limits, now_us)) {
        (void)ask(entry, now_us);
    }
}

static void describe(const struct entry *entry, const struct limit_claim *claim, bool is_refused,
                     int64_t now_us, struct limit_verdict *out)
{
    const struct bucket *bucket = &entry->bucket;
    *out = (struct limit_verdict){
        .policy = claim->policy,
        .rate = claim->rate,
        .remaining = is_refused ? 0 : bucket_remaining(bucket, now_us),
        .retry_ms = is_refused ? (bucket_retry_us(bucket, now_us) + US_PER_MS - 1) / US_PER_MS : 0,
        .full_ms = (bucket_full_us(bucket, now_us) + US_PER_MS - 1) / US_PER_MS,
    };
}

/* Of several claims the one with the least left is told of. */
static void describe_least(const struct entry *entry, const struct limit_claim *claim,
                           bool is_first, int64_t now_us, struct limit_verdict *verdict)
{
    struct limit_verdict each;
    describe(entry, claim, false, now_us, &each);
    if (is_first || each.remaining < verdict->remaining) {
        *verdict = each;
    }
}

static void put_back(struct limits *limits, const struct limit_request *request,
                     struct taken *taken)
{
    while (taken->count > 0) {
        taken->count--;
        struct entry *entry = find(limits, request->claims[taken->count].name);
        if (entry != NULL) {
            bucket_put_back(&entry->bucket, taken->alone[taken->count]);
        }
    }
}

/* Tells of the first claim from that one on that is known to have nothing left. */
static bool is_known_empty(const struct limits *limits, const struct limit_request *request,
                           size_t from, bool is_alone, int64_t now_us,
                           struct limit_verdict *verdict)
{
    for (size_t i = from; i < request->count; i++) {
        const struct entry *entry = find(limits, request->claims[i].name);
        if (entry != NULL && bucket_is_empty(&entry->bucket, is_alone, now_us)) {
            describe(entry, &request->claims[i], true, now_us, verdict);
            return true;
        }
    }
    return false;
}

enum mode {
    MODE_NEW,    /* behind those that wait already */
    MODE_WAITED, /* its turn */
    MODE_ALONE,  /* without Redis */
};

static enum bucket_verdict take_one(struct entry *entry, enum mode mode, int64_t now_us)
{
    if (mode == MODE_ALONE) {
        return bucket_take_alone(&entry->bucket, now_us);
    }
    if (mode == MODE_NEW && (entry->waiting > 0 || entry->is_serving)) {
        return BUCKET_ASK;
    }
    enum bucket_verdict verdict = bucket_take(&entry->bucket, now_us);
    if (verdict == BUCKET_TAKEN && mode == MODE_NEW) {
        ask_ahead(entry, now_us);
    }
    return verdict;
}

static enum limit_answer take_claims(struct limits *limits, const struct limit_request *request,
                                     enum mode mode, int64_t now_us, struct taken *taken,
                                     struct limit_verdict *verdict, struct entry **blocking)
{
    for (; taken->count < request->count; taken->count++) {
        const struct limit_claim *claim = &request->claims[taken->count];
        struct entry *entry = find_or_add(limits, claim, now_us);
        if (entry == NULL) {
            return LIMIT_UNAVAILABLE;
        }
        enum bucket_verdict one = take_one(entry, mode, now_us);
        if (one == BUCKET_ASK) {
            *blocking = entry;
            return LIMIT_WAITS;
        }
        if (one == BUCKET_EMPTY) {
            describe(entry, claim, true, now_us, verdict);
            return LIMIT_REFUSED;
        }
        taken->alone[taken->count] = mode == MODE_ALONE;
        describe_least(entry, claim, taken->count == 0, now_us, verdict);
    }
    return LIMIT_ADMITTED;
}

/* Goes on from what is taken. LIMIT_WAITS: for *blocking; what is taken stays so. */
static enum limit_answer take_all(struct limits *limits, const struct limit_request *request,
                                  enum mode mode, struct taken *taken,
                                  struct limit_verdict *verdict, struct entry **blocking)
{
    int64_t now_us = clock_monotonic_us();
    enum limit_answer answer;
    if (!redis_may_be_asked(limits, now_us)) {
        mode = MODE_ALONE;
    }
    /* What refuses must not cost the other claim a token, nor Redis a question. */
    if (mode == MODE_ALONE && request->fails_closed) {
        answer = LIMIT_UNAVAILABLE;
    } else if (request->count > 1 &&
               is_known_empty(limits, request, taken->count, mode == MODE_ALONE, now_us, verdict)) {
        answer = LIMIT_REFUSED;
    } else {
        answer = take_claims(limits, request, mode, now_us, taken, verdict, blocking);
    }
    if (answer == LIMIT_REFUSED || answer == LIMIT_UNAVAILABLE) {
        put_back(limits, request, taken);
    }
    return answer;
}

static void leave(struct limit_wait *wait)
{
    list_remove(&wait->node);
    wait->entry->waiting--;
}

/* Makes it wait at that bucket; false when Redis can't be asked. */
static bool wait_at(struct limit_wait *wait, struct entry *entry)
{
    wait->entry = entry;
    list_append(&entry->waits, &wait->node);
    entry->waiting++;
    if (!entry->is_asking && !entry->is_serving && !ask(entry, clock_monotonic_us())) {
        leave(wait);
        return false;
    }
    return true;
}

/* The only way out. */
static void finish(struct limit_wait *wait, enum limit_answer answer)
{
    struct limit_wait ended = *wait;
    wait->limits->wait_count--;
    free(wait);
    ended.done(answer, &ended.verdict, ended.arg);
}

/* Its bucket has news. */
static void decide(struct limit_wait *wait)
{
    struct entry *entry = NULL;
    leave(wait);
    enum limit_answer answer =
        take_all(wait->limits, &wait->request, MODE_WAITED, &wait->taken, &wait->verdict, &entry);
    if (answer == LIMIT_WAITS && clock_monotonic_us() < wait->deadline_us && wait_at(wait, entry)) {
        return;
    }
    if (answer == LIMIT_WAITS) {
        answer = take_all(wait->limits, &wait->request, MODE_ALONE, &wait->taken, &wait->verdict,
                          &entry);
    }
    finish(wait, answer);
}

/* Those who come meanwhile wait too: they get what is left then, or are left waiting for more. */
static void decide_all(struct entry *entry)
{
    struct list ready;
    struct list *node;
    list_init(&ready);
    entry->is_serving = true;
    do {
        list_append_all(&ready, &entry->waits);
        while ((node = list_pop(&ready)) != NULL) {
            decide(LIST_ENTRY(node, struct limit_wait, node));
        }
    } while (entry->waiting > 0 && entry->bucket.held > 0);
    bucket_settle(&entry->bucket);
    entry->is_serving = false;
}

static void on_lease(const redisReply *reply, const struct err *err, void *arg)
{
    struct entry *entry = arg;
    struct limits *limits = entry->limits;
    struct err failure = {0};
    int32_t granted;
    int64_t units;
    entry->is_asking = false;
    if (err == NULL && !lease_read(reply, entry->order.wanted, &granted, &units, &failure)) {
        err = &failure;
    }
    if (err == NULL) {
        bucket_grant(&entry->bucket, &entry->order, entry->ordered_us, granted, units,
                     clock_monotonic_us());
        set_alone(limits, false, NULL);
    } else {
        leave_redis_alone(limits, err);
    }
    decide_all(entry);
    /* The order may have been too small for those who came while it was on its way. */
    if (entry->waiting == 0) {
        ask_ahead(entry, clock_monotonic_us());
    } else if (!ask(entry, clock_monotonic_us())) {
        decide_all(entry);
    }
}

static struct limit_wait *wait_new(struct limits *limits, const struct limit_request *request)
{
    if (limits->wait_count >= LIMITS_WAITS_MAX) {
        return NULL;
    }
    struct limit_wait *wait = calloc(1, sizeof *wait);
    if (wait != NULL) {
        wait->limits = limits;
        wait->request = *request;
        wait->deadline_us = clock_monotonic_us() + LIMIT_WAIT_MS * (int64_t)US_PER_MS;
    }
    return wait;
}

/* True when it waits now. */
static bool begin_wait(struct limits *limits, const struct limit_request *request,
                       const struct taken *taken, struct entry *entry, struct limit_wait **out)
{
    struct limit_wait *wait = wait_new(limits, request);
    if (wait == NULL) {
        return false;
    }
    wait->taken = *taken;
    if (!wait_at(wait, entry)) {
        free(wait);
        return false;
    }
    limits->wait_count++;
    *out = wait;
    return true;
}

enum limit_answer limits_take(struct limits *limits, const struct limit_request *request,
                              struct limit_verdict *verdict, struct limit_wait **wait,
                              limit_done_fn *done, void *arg)
{
    struct taken taken = {0};
    struct entry *entry = NULL;
    *verdict = (struct limit_verdict){0};
    enum limit_answer answer = take_all(limits, request, MODE_NEW, &taken, verdict, &entry);
    if (answer != LIMIT_WAITS) {
        return answer;
    }
    if (begin_wait(limits, request, &taken, entry, wait)) {
        (*wait)->verdict = *verdict;
        (*wait)->done = done;
        (*wait)->arg = arg;
        return LIMIT_WAITS;
    }
    return take_all(limits, request, MODE_ALONE, &taken, verdict, &entry);
}

void limit_wait_cancel(struct limit_wait *wait)
{
    leave(wait);
    put_back(wait->limits, &wait->request, &wait->taken);
    wait->limits->wait_count--;
    free(wait);
}

bool limits_are_used_up(struct limits *limits, const struct limit_request *request,
                        struct limit_verdict *verdict)
{
    int64_t now_us = clock_monotonic_us();
    return is_known_empty(limits, request, 0, !redis_may_be_asked(limits, now_us), now_us, verdict);
}
