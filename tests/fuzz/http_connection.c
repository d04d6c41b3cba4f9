/* Raw bytes into a connection, once whole and once in pieces: both ways the handler must see the
 * same requests with the same bodies. One way may see fewer: a body that nobody reads ends the
 * connection unless it has arrived with its head. The first byte chooses how the pieces are cut,
 * and whether the second handler takes its bodies and sends its answers as streams, with pauses. */
#include "common/base/log.h"
#include "gateway/http/server.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUT_MAX = 64 * 1024,
    BODY_MAX = 256,
    TURNS_MAX = 4096,
    REQUESTS_MAX = 4096,
};

/* Of the first byte. */
enum {
    STREAMS_BODY = 1U,
    PAUSES = 2U,
    STREAMS_ANSWER = 4U,
};

struct target {
    struct loop *loop;
    struct http_server *server;
    int listening_fd;
    struct record *record;          /* of the connection that runs */
    unsigned ways;                  /* of its handler */
    struct http_exchange *exchange; /* under way, if its handler streams; one at a time */
    struct str body;
};
/* A hash of all that the handler saw up to each request. */
struct record {
    uint64_t seen[REQUESTS_MAX];
    size_t count;
};
static struct target target;

static uint64_t hash(uint64_t seen, struct view bytes)
{
    const uint64_t prime = 0x100000001b3U;
    for (size_t i = 0; i < bytes.len; i++) {
        seen = (seen ^ (uint8_t)bytes.ptr[i]) * prime;
    }
    return (seen ^ bytes.len) * prime;
}

static void respond(struct http_exchange *exchange, struct view body)
{
    const struct http_response response = {.status = 200, .body = body};
    if ((target.ways & STREAMS_ANSWER) == 0) {
        http_respond(exchange, &response);
        return;
    }
    http_respond_begin(exchange, &response,
                       body.len % 2 == 0 ? (int64_t)body.len : HTTP_LENGTH_UNKNOWN, NULL, NULL);
    for (size_t at = 0; at < body.len; at += 100) {
        struct view rest = view_from(body, at);
        rest.len = rest.len < 100 ? rest.len : 100;
        (void)http_send_piece(exchange, rest);
    }
    http_respond_end(exchange);
}

static void on_body(struct http_exchange *exchange, struct view body, void *arg)
{
    (void)arg;
    const struct http_head *head = http_exchange_head(exchange);
    struct record *record = target.record;
    uint64_t seen = record->count == 0 ? 0xcbf29ce484222325U : record->seen[record->count - 1];
    char value[64];
    seen = hash(seen ^ (uint64_t)head->method, head->path);
    seen = hash(hash(seen, head->query), head->host);
    for (size_t i = 0; i < head->header_count; i++) {
        seen = hash(hash(seen, head->headers[i].name), head->headers[i].value);
    }
    if (http_decode(head->path, value, sizeof value) ||
        http_query_find(head->query, "a", value, sizeof value)) {
        seen = hash(seen, view_of(value));
    }
    assert(record->count < REQUESTS_MAX);
    record->seen[record->count++] = hash(seen, body);
    respond(exchange, body);
}

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    (void)arg;
    assert(exchange == target.exchange && bytes.len > 0);
    str_append_view(&target.body, bytes);
    assert(!target.body.failed);
    if ((target.ways & PAUSES) != 0) {
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    assert(exchange == target.exchange);
    target.exchange = NULL;
    on_body(exchange, str_view(&target.body), arg);
}

static void on_gone(void *arg)
{
    (void)arg;
    assert(target.exchange != NULL);
    target.exchange = NULL;
}

static void on_request(struct http_exchange *exchange, void *arg)
{
    static const struct http_body_events events = {on_piece, on_end};
    if ((target.ways & STREAMS_BODY) == 0) {
        http_read_body(exchange, BODY_MAX, on_body, arg);
        return;
    }
    assert(target.exchange == NULL);
    target.exchange = exchange;
    str_clear(&target.body);
    http_on_gone(exchange, on_gone, NULL);
    http_stream_body(exchange, BODY_MAX, &events, arg);
}

static void open_target(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err = {0};
    log_open("fuzz", LOG_ERROR);
    target.body = STR_INIT(BODY_MAX);
    target.loop = loop_new(&err);
    target.server = http_server_new(target.loop, &http_default_limits, on_request, &err);
    target.listening_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool listening =
        bind(target.listening_fd, (const struct sockaddr *)&address, sizeof(sa_family_t)) == 0 &&
        listen(target.listening_fd, 16) == 0 &&
        http_listen_unix(target.server, target.listening_fd, NULL, &err) != NULL;
    assert(listening);
}

static int connect_target(void)
{
    struct sockaddr_un address;
    socklen_t len = sizeof address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = getsockname(target.listening_fd, (struct sockaddr *)&address, &len) == 0 &&
                     connect(fd, (const struct sockaddr *)&address, len) == 0 &&
                     fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
    assert(connected);
    return fd;
}

/* Lets the server run and reads what it says; false when it has closed. */
static bool turn(int fd)
{
    char answer[16 * 1024];
    ssize_t len;
    if (target.exchange != NULL) {
        http_body_resume(target.exchange);
    }
    (void)event_base_loop(loop_base(target.loop), EVLOOP_NONBLOCK);
    while ((len = recv(fd, answer, sizeof answer, 0)) > 0) {
    }
    return len < 0;
}

/* 1 to 7 bytes, by a simple generator. */
static size_t next_piece(unsigned *seed)
{
    *seed = *seed * 1103515245U + 12345U;
    return 1 + (*seed >> 16U) % 7;
}

static void send_pieces(int fd, struct view bytes, unsigned seed)
{
    while (bytes.len > 0) {
        size_t piece = next_piece(&seed);
        piece = piece < bytes.len ? piece : bytes.len;
        if (send(fd, bytes.ptr, piece, MSG_NOSIGNAL) != (ssize_t)piece) {
            return;
        }
        bytes = view_from(bytes, piece);
        (void)turn(fd);
    }
}

static void feed(struct record *record, struct view bytes, bool in_pieces, unsigned seed)
{
    int fd = connect_target();
    record->count = 0;
    target.record = record;
    target.ways = in_pieces ? seed : 0;
    if (in_pieces) {
        send_pieces(fd, bytes, seed);
    } else {
        (void)send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    }
    (void)shutdown(fd, SHUT_WR);
    int turns = 0;
    while (turn(fd)) {
        turns++;
        assert(turns < TURNS_MAX);
    }
    (void)close(fd);
    assert(target.exchange == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    if (target.loop == NULL) {
        open_target();
    }
    struct view bytes = {(const char *)data + 1, size - 1};
    static struct record whole;
    static struct record pieces;
    feed(&whole, bytes, false, 0);
    feed(&pieces, bytes, true, data[0]);
    size_t both = whole.count < pieces.count ? whole.count : pieces.count;
    assert(both == 0 || whole.seen[both - 1] == pieces.seen[both - 1]);
    return 0;
}
