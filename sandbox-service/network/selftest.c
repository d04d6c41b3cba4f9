#include "sandbox-service/network/selftest.h"

#include "common/base/clock.h"
#include "common/contracts/agent.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/empty_image.h"
#include "sandbox-service/docker/start.h"
#include "sandbox-service/network/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PROBE_PROGRAM AGENT_DIR "/probe"

enum {
    TARGETS_MAX = 32,
    TARGET_SIZE = 24,
    NEIGHBOUR_PORT = 4321,
    CONTROL_MS = 3000,
    CALL_MS = 20000,
    PROBE_MEMORY = 32 * 1024 * 1024,
};

/* Addresses that nobody listens on: what counts is that the firewall's own rule met the packets. */
static const struct {
    const char *address;
    const char *range;
} samples[] = {
    {"169.254.169.254:80", "169.254.0.0/16"}, {"10.255.255.254:80", "10.0.0.0/8"},
    {"172.31.255.254:80", "172.16.0.0/12"},   {"192.168.255.254:80", "192.168.0.0/16"},
    {"100.64.0.1:80", "100.64.0.0/10"},
};
enum { SAMPLE_COUNT = sizeof samples / sizeof samples[0] };

/* In the order of what happens: the neighbour's leftover is removed, the neighbour started and
 * asked for its address; a worker sees whether the host reaches it; the probe's leftover is
 * removed, the probe started and waited for; a worker reads the firewall's counters; both are
 * removed. */
struct selftest {
    struct worker_job job;
    struct selftest_options options;
    struct docker_call call;
    struct container_call container;
    int listener; /* on the host, any address */
    unsigned port;
    char neighbour[CONTAINER_NAME_SIZE];
    char probe[CONTAINER_NAME_SIZE];
    char neighbour_address[WIRE_ADDRESS_SIZE];
    char targets[TARGETS_MAX][TARGET_SIZE];
    size_t target_count;
    struct err err;
    selftest_fn *done;
    void *arg;
};

static docker_started_fn on_neighbour, on_probe;
static container_removed_fn on_neighbour_gone, on_probe_gone;

/* The only way out. */
static void finish(struct selftest *test)
{
    close_fd(&test->listener);
    test->done(test->err.code == ERR_NONE ? NULL : &test->err, test->arg);
    free(test);
}

static void on_last_gone(const struct err *err, void *arg)
{
    (void)err; /* removed before the next test at the latest */
    finish(arg);
}

static void on_probe_removed(const struct err *err, void *arg)
{
    (void)err;
    struct selftest *test = arg;
    container_remove(test->options.docker, &test->container, test->neighbour, on_last_gone, test);
}

/* Both, whether they are there or not. */
static void clean_up(struct selftest *test)
{
    container_remove(test->options.docker, &test->container, test->probe, on_probe_removed, test);
}

static bool start_container(struct selftest *test, const char *name, const char *const *command,
                            docker_started_fn *on_started)
{
    const struct container_spec spec = {
        .name = name,
        .image = EMPTY_IMAGE,
        .command = command,
        .hostname = "probe",
        .instance = test->options.instance,
        .network = test->options.network,
        .agent_volume = test->options.agent_volume,
        .seccomp = test->options.seccomp,
        .memory_bytes = PROBE_MEMORY,
        .cpu_milli = 200,
        .pids = 16,
        .open_files = 256,
    };
    return docker_start_begin(test->options.docker, &spec, CALL_MS, on_started, test, &test->err) !=
           NULL;
}

static void on_neighbour_gone(const struct err *err, void *arg)
{
    struct selftest *test = arg;
    char port[8];
    (void)snprintf(port, sizeof port, "%d", NEIGHBOUR_PORT);
    const char *const command[] = {PROBE_PROGRAM, "listen", port, NULL};
    if (err != NULL) {
        test->err = *err;
        finish(test);
    } else if (!start_container(test, test->neighbour, command, on_neighbour)) {
        finish(test);
    }
}

/* On a worker: one connect of the host's own. */
static bool host_reaches(const char *address, unsigned port, int64_t until_ms)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &target.sin_addr) != 1) {
        return false;
    }
    for (;;) {
        AUTO(close_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int64_t left_ms = until_ms - clock_monotonic_ms();
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        int problem = 0;
        socklen_t size = sizeof problem;
        if (fd < 0 || left_ms <= 0) {
            return false;
        }
        (void)connect(fd, (const struct sockaddr *)&target, sizeof target);
        if (poll(&wait, 1, (int)left_ms) == 1 &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0) {
            return true;
        }
        /* Refused: its program has not come to listening yet. */
        (void)poll(NULL, 0, 20);
    }
}

static void run_control(struct worker_job *job)
{
    struct selftest *test = (struct selftest *)(void *)job;
    int64_t until_ms = clock_monotonic_ms() + CONTROL_MS;
    if (!host_reaches(test->neighbour_address, NEIGHBOUR_PORT, until_ms)) {
        err_set(&test->err, ERR_UNAVAILABLE, "the host does not reach a container on the network");
    } else if (!host_reaches(test->options.gateway, test->port, until_ms)) {
        err_set(&test->err, ERR_UNAVAILABLE, "the host does not reach itself at %s",
                test->options.gateway);
    }
}

static void on_control_done(struct worker_job *job)
{
    struct selftest *test = (struct selftest *)(void *)job;
    if (test->err.code != ERR_NONE) {
        clean_up(test);
        return;
    }
    container_remove(test->options.docker, &test->container, test->probe, on_probe_gone, test);
}

static void submit(struct selftest *test, worker_run_fn *run, worker_done_fn *done)
{
    test->job.run = run;
    test->job.done = done;
    if (!worker_submit(test->options.workers, &test->job, &test->err)) {
        clean_up(test);
    }
}

static void on_neighbour_inspected(const struct wire_container *container, const struct err *err,
                                   void *arg)
{
    struct selftest *test = arg;
    if (err != NULL) {
        test->err = *err;
    } else if (container == NULL || container->address[0] == '\0') {
        err_set(&test->err, ERR_UNAVAILABLE, "a container on the network got no address");
    }
    if (test->err.code != ERR_NONE) {
        clean_up(test);
        return;
    }
    (void)snprintf(test->neighbour_address, sizeof test->neighbour_address, "%s",
                   container->address);
    submit(test, run_control, on_control_done);
}

static void on_neighbour(const char *container_id, const struct err *err, void *arg)
{
    (void)container_id;
    struct selftest *test = arg;
    if (err != NULL) {
        test->err = *err;
        finish(test);
        return;
    }
    container_inspect(test->options.docker, &test->container, test->neighbour,
                      on_neighbour_inspected, test);
}

static void add_target(struct selftest *test, const char *address, unsigned port)
{
    if (test->target_count < TARGETS_MAX) {
        (void)snprintf(test->targets[test->target_count++], TARGET_SIZE, "%.15s:%u", address, port);
    }
}

/* Every address of the host, each with a listener behind it. */
static void add_host_addresses(struct selftest *test)
{
    struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) != 0) {
        return;
    }
    for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
        char address[INET_ADDRSTRLEN];
        const struct sockaddr_in *in = (const void *)at->ifa_addr;
        bool usable = at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET &&
                      (at->ifa_flags & IFF_LOOPBACK) == 0 &&
                      test->target_count < TARGETS_MAX - SAMPLE_COUNT;
        if (usable && inet_ntop(AF_INET, &in->sin_addr, address, sizeof address) != NULL) {
            add_target(test, address, test->port);
        }
    }
    freeifaddrs(interfaces);
}

static void choose_targets(struct selftest *test)
{
    test->target_count = 0;
    add_target(test, test->neighbour_address, NEIGHBOUR_PORT);
    add_target(test, test->options.gateway, test->port);
    add_host_addresses(test);
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        (void)snprintf(test->targets[test->target_count++], TARGET_SIZE, "%s", samples[i].address);
    }
}

static void on_probe_gone(const struct err *err, void *arg)
{
    struct selftest *test = arg;
    const char *command[TARGETS_MAX + 3] = {PROBE_PROGRAM, "connect"};
    choose_targets(test);
    for (size_t i = 0; i < test->target_count; i++) {
        command[i + 2] = test->targets[i];
    }
    if (err != NULL) {
        test->err = *err;
    }
    if (err != NULL || !start_container(test, test->probe, command, on_probe)) {
        clean_up(test);
    }
}

static void run_count(struct worker_job *job)
{
    struct selftest *test = (struct selftest *)(void *)job;
    const char *ranges[SAMPLE_COUNT + 1] = {NULL};
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        ranges[i] = samples[i].range;
    }
    (void)!firewall_has_dropped(test->options.rules, ranges, &test->err);
}

static void on_counted(struct worker_job *job)
{
    clean_up((struct selftest *)(void *)job);
}

static void judge(struct selftest *test, int64_t exit_code)
{
    if (exit_code > 0 && exit_code <= (int64_t)test->target_count) {
        err_set(&test->err, ERR_UNAVAILABLE, "a sandbox would reach %s",
                test->targets[exit_code - 1]);
    } else if (exit_code != 0) {
        err_set(&test->err, ERR_UNAVAILABLE, "the probe can't tell: exit status %d",
                (int)exit_code);
    }
    if (test->err.code != ERR_NONE) {
        clean_up(test);
        return;
    }
    submit(test, run_count, on_counted);
}

static void on_probe_ended(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct selftest *test = arg;
    int64_t exit_code;
    if (docker_succeeded(reply, err, "wait for the probe", &test->err) &&
        wire_read_exit(reply->body, &exit_code, &test->err)) {
        judge(test, exit_code);
    } else {
        clean_up(test);
    }
}

static void on_probe(const char *container_id, const struct err *err, void *arg)
{
    struct selftest *test = arg;
    char path[DOCKER_PATH_SIZE];
    if (err != NULL) {
        test->err = *err;
        clean_up(test);
        return;
    }
    (void)snprintf(path, sizeof path, "/containers/%s/wait", container_id);
    const struct docker_request request = {.method = "POST", .path = path, .timeout_ms = CALL_MS};
    docker_send(test->options.docker, &test->call, &request, on_probe_ended, test);
}

/* The kernel answers for it: nobody has to accept. */
static bool open_listener(struct selftest *test, struct err *err)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t size = sizeof any;
    test->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (test->listener < 0 ||
        bind(test->listener, (const struct sockaddr *)&any, sizeof any) != 0 ||
        listen(test->listener, TARGETS_MAX) != 0 ||
        getsockname(test->listener, (struct sockaddr *)&any, &size) != 0) {
        return err_set(err, ERR_UNAVAILABLE, "can't listen on the host: %s", strerror(errno));
    }
    test->port = ntohs(any.sin_port);
    return true;
}

bool selftest_begin(const struct selftest_options *options, selftest_fn *done, void *arg,
                    struct err *err)
{
    struct selftest *test = calloc(1, sizeof *test);
    if (test == NULL) {
        return err_set(err, ERR_INTERNAL, "self-test: out of memory");
    }
    test->options = *options;
    test->done = done;
    test->arg = arg;
    if (!open_listener(test, err)) {
        close_fd(&test->listener);
        free(test);
        return false;
    }
    (void)snprintf(test->neighbour, sizeof test->neighbour, "insien-%s-neighbour",
                   options->instance);
    (void)snprintf(test->probe, sizeof test->probe, "insien-%s-probe", options->instance);
    container_remove(options->docker, &test->container, test->neighbour, on_neighbour_gone, test);
    return true;
}
