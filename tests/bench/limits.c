/* What a limit costs a request whose tokens are leased, and what two gateways that share a limit
 * admit together. Prints one line of JSON. Has a Redis of its own. */
#include "common/base/clock.h"
#include "common/redis/redis.h"
#include "gateway/limits/answer.h"
#include "tests/support/redis_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
    GATEWAYS = 2,
    WARM_MS = 300,
    ROUNDS = 2000,     /* of which the cost is measured */
    AT_ONCE = 100,     /* requests of a round, between two turns of the loop */
    SHARED_MS = 10000, /* for so long both are asked */
    TICK_MS = 1,
    SETTLE_MS = 2 * LIMIT_WAIT_MS,
    US_PER_S = 1000 * 1000,
};

static const struct limit_caller caller = {
    .tier = VIEW("pro"),
    .user_id = "11111111-1111-4111-8111-111111111111",
};

struct bench {
    struct loop *loop;
    struct redis *redis[GATEWAYS];
    struct limits *limits[GATEWAYS];
    int64_t asked;
    int64_t admitted;
    int64_t waited;
    int64_t waiting;
};

static void on_done(enum limit_answer answer, const struct limit_verdict *verdict, void *arg)
{
    struct bench *bench = arg;
    (void)verdict;
    bench->waiting--;
    bench->admitted += answer == LIMIT_ADMITTED;
}

/* All that the gateway does for it. */
static void ask(struct bench *bench, int gateway, const struct limit_policy *policy,
                const struct limit_caller *who)
{
    struct limit_request request;
    struct limit_verdict verdict;
    struct limit_headers headers;
    struct limit_wait *wait;
    limit_request_of_caller(policy, who, &request);
    enum limit_answer answer =
        limits_take(bench->limits[gateway], &request, &verdict, &wait, on_done, bench);
    bench->asked++;
    if (answer == LIMIT_WAITS) {
        bench->waited++;
        bench->waiting++;
    } else {
        bench->admitted += answer == LIMIT_ADMITTED;
        limit_headers_write(&verdict, &headers);
    }
}

static void on_tick(void *arg)
{
    timer_arm(arg, TICK_MS);
}

static void turn_for(struct bench *bench, int64_t duration_ms)
{
    int64_t end_ms = clock_monotonic_ms() + duration_ms;
    while (clock_monotonic_ms() < end_ms) {
        (void)event_base_loop(loop_base(bench->loop), EVLOOP_ONCE);
    }
}

static int64_t cpu_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 * US_PER_S + now.tv_nsec;
}

/* Nanoseconds of CPU a request, less what the loop takes to lease. The first rounds are for the
 * rate to be seen. */
static double measure_cost(struct bench *bench, const struct limit_caller *who)
{
    struct limit_policy policy = {0};
    int64_t spent_ns = 0;
    policy.rates[LIMIT_PRO] = (struct limit_rate){LIMIT_RATE_MAX, LIMIT_RATE_MAX};
    for (int i = -ROUNDS; i < ROUNDS; i++) {
        if (i == 0) {
            spent_ns = 0;
            bench->asked = bench->waited = 0;
        }
        int64_t began_ns = cpu_ns();
        for (int j = 0; j < AT_ONCE; j++) {
            ask(bench, 0, &policy, who);
        }
        spent_ns += cpu_ns() - began_ns;
        turn_for(bench, TICK_MS);
    }
    return (double)spent_ns / ((double)ROUNDS * AT_ONCE);
}

/* Asks both, far more often than they may admit. Returns the share above what the limit allows, in
 * percent; negative below. */
static double measure_sharing(struct bench *bench)
{
    struct limit_policy policy;
    struct err err = {0};
    struct limit_caller other = caller;
    other.user_id = "33333333-3333-4333-8333-333333333333";
    if (!limit_policy_parse(&policy, "", &err)) {
        return 100;
    }
    bench->asked = bench->admitted = bench->waited = 0;
    int64_t began_us = clock_monotonic_us();
    int64_t elapsed_us = 0;
    while (elapsed_us < SHARED_MS * (int64_t)1000) {
        ask(bench, 0, &policy, &other);
        ask(bench, 1, &policy, &other);
        (void)event_base_loop(loop_base(bench->loop), EVLOOP_ONCE);
        elapsed_us = clock_monotonic_us() - began_us;
    }
    const struct limit_rate rate = policy.rates[LIMIT_PRO];
    double allowed = rate.burst + (double)elapsed_us * rate.per_minute / 60 / US_PER_S;
    return 100 * ((double)bench->admitted / allowed - 1);
}

static bool open_bench(struct bench *bench, const char *url, struct err *err)
{
    bench->loop = loop_new(err);
    bool ok = bench->loop != NULL;
    for (int i = 0; ok && i < GATEWAYS; i++) {
        char id[ID_SIZE];
        ok = id_new(id, err) && (bench->redis[i] = redis_open(bench->loop, url, err)) != NULL &&
             (bench->limits[i] = limits_new(bench->redis[i], "bench", id, err)) != NULL;
    }
    return ok;
}

static void close_bench(struct bench *bench)
{
    for (int i = 0; i < GATEWAYS; i++) {
        limits_free(bench->limits[i]);
        redis_close(bench->redis[i]);
    }
    loop_free(bench->loop);
}

static void measure(struct bench *bench)
{
    static const struct auth_key_limits limits = {
        .items = {{"22222222-2222-4222-8222-222222222222", LIMIT_RATE_MAX - 1}}, .count = 1};
    struct limit_caller with_key = caller;
    with_key.key_limits = &limits;
    turn_for(bench, WARM_MS);
    double one_ns = measure_cost(bench, &caller);
    double two_ns = measure_cost(bench, &with_key);
    double waited = 100.0 * (double)bench->waited / (double)bench->asked;
    double above = measure_sharing(bench);
    printf("{\"oneNs\":%.0f,\"twoNs\":%.0f,\"waitedPercent\":%.3f,\"asked\":%" PRId64
           ",\"admitted\":%" PRId64 ",\"abovePercent\":%.2f}\n",
           one_ns, two_ns, waited, bench->asked, bench->admitted, above);
    turn_for(bench, SETTLE_MS); /* what still waits is decided */
}

int main(void)
{
    struct bench bench = {0};
    struct err err = {0};
    struct timer tick = {0};
    struct redis_server *server = redis_server_start(NULL);
    bool ok = open_bench(&bench, redis_server_url(server), &err) &&
              timer_open(&tick, bench.loop, on_tick, &tick, &err);
    if (ok) {
        timer_arm(&tick, TICK_MS);
        measure(&bench);
    } else {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    timer_close(&tick);
    close_bench(&bench);
    redis_server_remove(server);
    return ok ? 0 : 1;
}
