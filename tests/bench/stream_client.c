/* Measures how fast bytes go from a sandbox to a client; a blocking program, so that nothing but
 * the service is in the way. Prints one number: MB/s, or the median in milliseconds.
 *
 *   stdout HOST PORT KEY SANDBOX BYTES: through the service, on one client socket
 *   first HOST PORT KEY SANDBOX ROUNDS: from a write in the sandbox to its arrival
 *   floor BYTES: the way of stdout without the service: a pipe, a unix socket and a TCP socket,
 * four processes, masked and unmasked as WebSocket frames are store FROM TO: the way of an upload
 * without the service: a TCP and a unix socket, three processes, from a file into a new one spawn
 * ROUNDS: posix_spawn and wait */
#include "common/contracts/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_SIZE = 1024 * 1024,
    CHUNK = STREAM_PAYLOAD_MAX,
    GRANT = 4 * 1024 * 1024,
    ROUNDS_MAX = 10000,
    WS_HEADER_ROOM = 14,
    MASK_SIZE = 4,
};

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno != EINTR) {
            die("write");
        }
        at += written > 0 ? written : 0;
        len -= written > 0 ? (size_t)written : 0;
    }
}

/* A buffered reader of one socket. */
struct reader {
    int fd;
    size_t at, len;
    char bytes[BUFFER_SIZE];
};

/* len bytes at least, in one piece; len is at most BUFFER_SIZE. */
static const char *take(struct reader *reader, size_t len)
{
    if (reader->len - reader->at < len) {
        memmove(reader->bytes, reader->bytes + reader->at, reader->len - reader->at);
        reader->len -= reader->at;
        reader->at = 0;
    }
    while (reader->len - reader->at < len) {
        ssize_t got = read(reader->fd, reader->bytes + reader->len, BUFFER_SIZE - reader->len);
        if (got <= 0) {
            die("read");
        }
        reader->len += (size_t)got;
    }
    reader->at += len;
    return reader->bytes + reader->at - len;
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        die("connect");
    }
    return fd;
}

static int connect_tcp(const char *host, const char *port)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        die("address");
    }
    int fd = connect_to(&address);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        die("setsockopt");
    }
    return fd;
}

static void upgrade(struct reader *reader, char *const *argv)
{
    char request[1024];
    int len = snprintf(request, sizeof request,
                       "GET /client/%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-API-Key: %s\r\n\r\n",
                       argv[5], argv[2], argv[4]);
    write_all(reader->fd, request, (size_t)len);
    char last[4] = "";
    while (memcmp(last, "\r\n\r\n", sizeof last) != 0) {
        memmove(last, last + 1, sizeof last - 1);
        last[3] = *take(reader, 1);
    }
}

/* One masked frame with a key of zeros, so that the text stays as it is. */
static void send_frame(int fd, int opcode, struct view payload)
{
    char frame[WS_HEADER_ROOM + 4096] = {(char)(0x80 | opcode)};
    size_t head = 2;
    if (payload.len < 126) {
        frame[1] = (char)(0x80 | payload.len);
    } else {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(payload.len >> 8);
        frame[3] = (char)payload.len;
        head = 4;
    }
    head += MASK_SIZE;
    memcpy(frame + head, payload.ptr, payload.len);
    write_all(fd, frame, head + payload.len);
}

static void grant(int fd, uint32_t bytes)
{
    char message[STREAM_HEADER_SIZE + STREAM_WINDOW_SIZE];
    stream_header_write(1, STREAM_WINDOW, message);
    stream_window_write(bytes, message + STREAM_HEADER_SIZE);
    send_frame(fd, 2, (struct view){message, sizeof message});
}

/* The next message; its bytes are valid until the next call. */
static struct view next_message(struct reader *reader, int *opcode)
{
    const unsigned char *head = (const void *)take(reader, 2);
    *opcode = head[0] & 0x0f;
    uint64_t len = head[1] & 0x7f;
    size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (more > 0) {
        const unsigned char *bytes = (const void *)take(reader, more);
        len = 0;
        for (size_t i = 0; i < more; i++) {
            len = len << 8U | bytes[i];
        }
    }
    if (len > BUFFER_SIZE) {
        die("a message is too long");
    }
    return (struct view){take(reader, (size_t)len), (size_t)len};
}

/* Gives bytes of stdout back as credit and hands them to on_bytes; ends with the exit. */
static void follow(struct reader *reader, void (*on_bytes)(struct view bytes, void *arg), void *arg)
{
    uint32_t used = 0;
    for (;;) {
        int opcode;
        struct view message = next_message(reader, &opcode);
        if (opcode == 1 && memmem(message.ptr, message.len, "\"exit\"", 6) != NULL) {
            return;
        }
        if (opcode == 1 && memmem(message.ptr, message.len, "\"error\"", 7) != NULL) {
            (void)fprintf(stderr, "%.*s\n", (int)message.len, message.ptr);
            exit(EXIT_FAILURE);
        }
        if (opcode != 2 || message.len < STREAM_HEADER_SIZE) {
            continue;
        }
        message = view_from(message, STREAM_HEADER_SIZE);
        on_bytes(message, arg);
        used += (uint32_t)message.len;
        if (used > GRANT / 4) {
            grant(reader->fd, used);
            used = 0;
        }
    }
}

static struct reader *open_stream(char *const *argv, const char *shell_line)
{
    char text[1024];
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        die("calloc");
    }
    reader->fd = connect_tcp(argv[2], argv[3]);
    upgrade(reader, argv);
    int len =
        snprintf(text, sizeof text,
                 "{\"id\":\"1\",\"type\":\"exec\",\"stream\":true,\"streamId\":1,\"cmd\":\"sh\","
                 "\"args\":[\"-c\",\"%s\"],\"timeoutMs\":600000}",
                 shell_line);
    send_frame(reader->fd, 1, (struct view){text, (size_t)len});
    grant(reader->fd, GRANT);
    return reader;
}

static void count(struct view bytes, void *arg)
{
    *(uint64_t *)arg += bytes.len;
}

static double measure_stdout(char *const *argv)
{
    char line[64];
    uint64_t wanted = strtoull(argv[6], NULL, 10);
    uint64_t got = 0;
    (void)snprintf(line, sizeof line, "head -c %" PRIu64 " /dev/zero", wanted);
    double start_s = now_s();
    follow(open_stream(argv, line), count, &got);
    if (got != wanted) {
        (void)fprintf(stderr, "got %" PRIu64 " bytes\n", got);
        exit(EXIT_FAILURE);
    }
    return (double)got / (now_s() - start_s) / 1e6;
}

struct delays {
    double ms[ROUNDS_MAX];
    size_t count;
};

/* Each piece is the time at which it was written. */
static void note_delay(struct view bytes, void *arg)
{
    struct delays *delays = arg;
    char text[64];
    if (delays->count < ROUNDS_MAX && view_copy(bytes, text, sizeof text)) {
        delays->ms[delays->count++] = (now_s() - strtod(text, NULL)) * 1000;
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(struct delays *delays)
{
    if (delays->count == 0) {
        die("nothing came");
    }
    qsort(delays->ms, delays->count, sizeof delays->ms[0], compare);
    return delays->ms[delays->count / 2];
}

static double measure_first(char *const *argv)
{
    static struct delays delays;
    char line[256];
    (void)snprintf(line, sizeof line,
                   "exec python3 -uc 'import time\\nfor i in range(%s): print(time.time()); "
                   "time.sleep(0.01)'",
                   argv[6]);
    follow(open_stream(argv, line), note_delay, &delays);
    return median(&delays);
}

/* Moves all from one descriptor to the other, a chunk at a time, through a mask. */
static void pump(int from, int to, bool masks)
{
    static _Alignas(8) char chunk[CHUNK];
    const uint64_t key = 0x5a3c5a3c5a3c5a3cU;
    ssize_t len;
    while ((len = read(from, chunk, sizeof chunk)) > 0) {
        for (size_t i = 0; masks && i + sizeof key <= (size_t)len; i += sizeof key) {
            uint64_t word;
            memcpy(&word, chunk + i, sizeof word);
            word ^= key;
            memcpy(chunk + i, &word, sizeof word);
        }
        write_all(to, chunk, (size_t)len);
    }
    exit(EXIT_SUCCESS);
}

static void produce(int to, uint64_t bytes)
{
    static char chunk[CHUNK];
    for (; bytes >= sizeof chunk; bytes -= sizeof chunk) {
        write_all(to, chunk, sizeof chunk);
    }
    exit(EXIT_SUCCESS);
}

static int listen_any(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)address, size) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) != 0) {
        die("listen");
    }
    return fd;
}

/* Those of a file by a TCP and a unix socket, a process each, into another file. */
static double measure_store(const char *from, const char *to)
{
    int unix_fds[2];
    struct sockaddr_in address;
    struct stat status;
    int listening = listen_any(&address);
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0 || fstat(source, &status) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, unix_fds) != 0) {
        die(from);
    }
    double start_s = now_s();
    if (fork() == 0) {
        pump(source, connect_to(&address), false);
    }
    if (fork() == 0) {
        (void)close(unix_fds[1]);
        pump(accept(listening, NULL, NULL), unix_fds[0], false);
    }
    (void)close(unix_fds[0]);
    if (fork() == 0) {
        int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (target < 0) {
            die(to);
        }
        pump(unix_fds[1], target, false);
    }
    (void)close(unix_fds[1]);
    while (wait(NULL) > 0) {
    }
    return (double)status.st_size / (now_s() - start_s) / 1e6;
}

static double measure_floor(uint64_t bytes)
{
    int pipe_fds[2];
    int unix_fds[2];
    struct sockaddr_in address;
    int listening = listen_any(&address);
    if (pipe(pipe_fds) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, unix_fds) != 0) {
        die("pipe");
    }
    double start_s = now_s();
    if (fork() == 0) {
        (void)close(pipe_fds[0]);
        produce(pipe_fds[1], bytes);
    }
    (void)close(pipe_fds[1]);
    if (fork() == 0) {
        (void)close(unix_fds[1]);
        pump(pipe_fds[0], unix_fds[0], true);
    }
    (void)close(unix_fds[0]);
    if (fork() == 0) {
        pump(unix_fds[1], connect_to(&address), true);
    }
    (void)close(unix_fds[1]);
    static char sink[BUFFER_SIZE];
    int fd = accept(listening, NULL, NULL);
    uint64_t got = 0;
    ssize_t len;
    while ((len = read(fd, sink, sizeof sink)) > 0) {
        got += (uint64_t)len;
    }
    double elapsed_s = now_s() - start_s;
    while (wait(NULL) > 0) {
    }
    return (double)got / elapsed_s / 1e6;
}

static double measure_spawn(size_t count)
{
    static struct delays delays;
    static char name[] = "true";
    char *argv[] = {name, NULL};
    for (size_t i = 0; i < count && i < ROUNDS_MAX; i++) {
        double start_s = now_s();
        pid_t pid;
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0 ||
            waitpid(pid, NULL, 0) != pid) {
            die("posix_spawn");
        }
        delays.ms[delays.count++] = (now_s() - start_s) * 1000;
    }
    return median(&delays);
}

int main(int argc, char **argv)
{
    double number = 0;
    if (argc == 7 && strcmp(argv[1], "stdout") == 0) {
        number = measure_stdout(argv);
    } else if (argc == 7 && strcmp(argv[1], "first") == 0) {
        number = measure_first(argv);
    } else if (argc == 3 && strcmp(argv[1], "floor") == 0) {
        number = measure_floor(strtoull(argv[2], NULL, 10));
    } else if (argc == 4 && strcmp(argv[1], "store") == 0) {
        number = measure_store(argv[2], argv[3]);
    } else if (argc == 3 && strcmp(argv[1], "spawn") == 0) {
        number = measure_spawn(strtoul(argv[2], NULL, 10));
    } else {
        (void)fprintf(stderr, "see the head of stream_client.c\n");
        return EXIT_FAILURE;
    }
    (void)printf("%.3f\n", number);
    return EXIT_SUCCESS;
}
