/* insien-probe: what the self-test of the network runs in throw-away containers. It is alone in its
 * container: statically linked, without any library of ours.
 *
 *   probe listen PORT            accepts connections until it is killed, for a minute at most
 *   probe connect ADDR:PORT...   exits with the number of the first that answers, 0 when none does,
 *                                over 100 when it can't tell */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TARGETS_MAX = 64,
    WAIT_MS = 1500,
    LIFE_S = 60,
    EXIT_USAGE = 101,
    EXIT_BROKEN = 102, /* can't even reach itself */
    EXIT_IPV6 = 103,   /* has an address that the rules do not cover */
};

static int listen_on(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        listen(fd, TARGETS_MAX) != 0 || getsockname(fd, (struct sockaddr *)address, &size) != 0) {
        return -1;
    }
    return fd;
}

static int run_listen(const char *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    any.sin_port = htons((unsigned short)strtol(port, NULL, 10));
    int fd = listen_on(&any);
    if (fd < 0) {
        return EXIT_BROKEN;
    }
    (void)alarm(LIFE_S);
    for (;;) {
        int peer = accept(fd, NULL, NULL);
        if (peer >= 0) {
            (void)close(peer);
        }
    }
}

static int parse_target(const char *text, struct sockaddr_in *out)
{
    char address[16];
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof address) {
        return 0;
    }
    memset(address, 0, sizeof address);
    memcpy(address, text, (size_t)(colon - text));
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    out->sin_port = htons((unsigned short)strtol(colon + 1, NULL, 10));
    return inet_pton(AF_INET, address, &out->sin_addr) == 1;
}

/* A refusal is an answer too: the packets get there. */
static int answers(int fd)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (poll(&wait, 1, 0) <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) != 0) {
        return 0;
    }
    return problem == 0 || problem == ECONNREFUSED || problem == ECONNRESET;
}

static int begin_connect(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno != EINPROGRESS && errno != ECONNREFUSED) {
        (void)close(fd); /* no way there */
        return -1;
    }
    return fd;
}

static int can_tell(void)
{
    struct sockaddr_in self = {.sin_family = AF_INET};
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = listen_on(&self);
    int peer = fd < 0 ? -1 : begin_connect(&self);
    return peer >= 0 && answers(peer);
}

static int has_ipv6(void)
{
    char line[256];
    int found = 0;
    FILE *file = fopen("/proc/net/if_inet6", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found |= strstr(line, " lo\n") == NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static int run_connect(int count, char **targets)
{
    int fds[TARGETS_MAX];
    struct sockaddr_in address;
    if (!can_tell()) {
        return EXIT_BROKEN;
    }
    if (has_ipv6()) {
        return EXIT_IPV6;
    }
    for (int i = 0; i < count; i++) {
        if (!parse_target(targets[i], &address)) {
            return EXIT_USAGE;
        }
        fds[i] = begin_connect(&address);
    }
    (void)poll(NULL, 0, WAIT_MS);
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0 && answers(fds[i])) {
            return i + 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "listen") == 0) {
        return run_listen(argv[2]);
    }
    if (argc > 2 && argc - 2 <= TARGETS_MAX && strcmp(argv[1], "connect") == 0) {
        return run_connect(argc - 2, argv + 2);
    }
    return EXIT_USAGE;
}
