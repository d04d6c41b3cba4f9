/* What counting costs a request on its whole way: head, key, limits, answer, over a socket. The
 * same request is sent to two gateways in turn, to one of which its client is exempt. Prints one
 * line of JSON: nanoseconds of the gateway's CPU a request. Has a Redis of its own. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/redis.h"
#include "gateway/limits/limits.h"
#include "tests/support/redis_server.h"
#include "tests/unit/gateway/native/route_stage.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    AT_ONCE = 64, /* requests of a round */
    ROUNDS = 1500,
    WARM_ROUNDS = 300,
    ROUND_MS = 1, /* between two rounds: leases come and go as with real clients */
    RECEIVED_MAX = 128 * 1024,
    PATIENCE_MS = 5000,
    NS_PER_S = 1000 * 1000 * 1000,
};

/* Answered by the gateway alone, behind its limits. */
#define REQUEST "GET /sandbox?limit=0 HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n\r\n"

struct side {
    struct stage *stage;
    int fd;
    char *requests; /* owned, as the next */
    double *costs_ns;
    int count;
};

static int64_t cpu_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void open_side(struct side *side, const char *exempt, const char *redis_url)
{
    void *state = NULL;
    struct err err = {0};
    assert_int_equal(set_stage(&state), 0);
    side->stage = state;
    struct stage *stage = side->stage;
    http_server_free(stage->gateway.http);
    open_server(stage, exempt, "");
    assert_true(limit_policy_parse(&stage->config.limit_policy, "free=1000000/1000000", &err));
    stage->gateway.config = &stage->config;
    stage->redis = redis_open(stage->gateway.loop, redis_url, &err);
    stage->gateway.limits = limits_new(stage->redis, "bench", "a", &err);
    assert_non_null(stage->gateway.limits);
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_listener_port(stage->http.listener)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    side->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(side->fd, (const struct sockaddr *)&address, sizeof address), 0);
    side->requests = malloc(AT_ONCE * (sizeof REQUEST - 1));
    side->costs_ns = calloc(ROUNDS, sizeof *side->costs_ns);
    assert_true(side->requests != NULL && side->costs_ns != NULL);
    for (size_t i = 0; i < AT_ONCE; i++) {
        memcpy(side->requests + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
    }
}

static void close_side(struct side *side)
{
    void *state = side->stage;
    (void)close(side->fd);
    (void)clear_stage(&state);
    free(side->requests);
    free(side->costs_ns);
}

static int count_answers(const char *text, size_t len)
{
    static const char begin[] = "HTTP/1.1 400 ";
    const char *at = text;
    int count = 0;
    while ((at = memmem(at, len - (size_t)(at - text), begin, sizeof begin - 1)) != NULL) {
        count++;
        at += sizeof begin - 1;
    }
    return count;
}

/* One round; what the loop took is CPU of the gateway. */
static double run_round(struct side *side)
{
    static char received[RECEIVED_MAX];
    size_t requests_len = AT_ONCE * (sizeof REQUEST - 1);
    size_t len = 0;
    int64_t spent_ns = 0;
    int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
    assert_int_equal(send(side->fd, side->requests, requests_len, 0), (ssize_t)requests_len);
    while (len == 0 || count_answers(received, len) < AT_ONCE) {
        int64_t began_ns = cpu_ns();
        (void)event_base_loop(loop_base(side->stage->gateway.loop), EVLOOP_NONBLOCK);
        spent_ns += cpu_ns() - began_ns;
        ssize_t n = recv(side->fd, received + len, sizeof received - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
        assert_true(clock_monotonic_ms() < end_ms);
    }
    return (double)spent_ns / AT_ONCE;
}

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = ROUND_MS * 1000L * 1000L};
    (void)nanosleep(&pause, NULL);
}

static void run(struct side *sides, size_t side_count, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        for (size_t j = 0; j < side_count; j++) {
            sides[j].costs_ns[i] = run_round(&sides[j]);
            rest();
        }
    }
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return difference < 0 ? -1 : difference > 0;
}

static double median(double *costs_ns, size_t count)
{
    qsort(costs_ns, count, sizeof *costs_ns, compare);
    return costs_ns[count / 2];
}

int main(void)
{
    struct side sides[2] = {0};
    log_set_level(LOG_ERROR);
    struct redis_server *server = redis_server_start(NULL);
    open_side(&sides[0], "127.0.0.0/8", redis_server_url(server));
    open_side(&sides[1], "", redis_server_url(server));
    run(sides, 2, WARM_ROUNDS);
    run(sides, 2, ROUNDS);
    double exempt_ns = median(sides[0].costs_ns, ROUNDS);
    double counted_ns = median(sides[1].costs_ns, ROUNDS);
    printf("{\"exemptNs\":%.0f,\"countedNs\":%.0f,\"overheadNs\":%.0f}\n", exempt_ns, counted_ns,
           counted_ns - exempt_ns);
    close_side(&sides[0]);
    close_side(&sides[1]);
    redis_server_remove(server);
    return 0;
}
