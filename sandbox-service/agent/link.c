#include "sandbox-service/agent/link.h"

#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/contracts/agent.h"
#include "common/ws/socket.h"
#include "sandbox-service/agent/token.h"
#include "sandbox-service/agent/upgrade.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    INOTIFY_BUFFER_SIZE = 4096,
    PATH_TEXT_SIZE = sizeof((struct sockaddr_un *)NULL)->sun_path,
    FRAGMENTS_MAX = 16384,
    PINGS_PER_S_MAX = 20,
    RETRY_AT_ONCE_MS = 1,
};

static const char hello[] =
    "{\"type\":\"hello\",\"protocol\":1,\"version\":\"" INSIEN_VERSION "\",\"smallWindows\":true}";
_Static_assert(AGENT_PROTOCOL_VERSION == 1, "hello names the protocol");

/* No pings of ours and no limits of time: a gateway that dies takes its socket with it, and after a
 * pause of the container no clock here is worth anything. */
static const struct ws_limits limits = {
    .message_max = AGENT_MESSAGE_MAX,
    .fragments_max = FRAGMENTS_MAX,
    .backlog_max = LINK_BACKLOG_MAX,
    .backlog_hard_max = LINK_BACKLOG_HARD_MAX,
    .stall_max_ms = INT64_MAX,
    .back_pressure = true,
    .pings_per_s_max = PINGS_PER_S_MAX,
};

enum link_state {
    LINK_WAITING,   /* for the timer or for a socket to appear */
    LINK_UPGRADING, /* bev is ours */
    LINK_OPEN,      /* the socket has it */
};

struct link {
    struct loop *loop; /* borrowed */
    enum link_state state;
    char sandbox_id[ID_SIZE];
    char socket_path[PATH_TEXT_SIZE];
    char token_path[PATH_TEXT_SIZE];
    struct token token;
    char key[WS_KEY_SIZE];
    struct bufferevent *bev;  /* owned while upgrading */
    struct ws_socket *socket; /* owned while open */
    struct timer timer;       /* to the next attempt, or of the upgrade */
    int64_t retry_ms;
    int watch_fd;              /* inotify; -1: the timer alone has to do */
    struct event *watch_event; /* owned */
    bool appeared;             /* a new socket was seen since the connection was made */
    uint64_t epoch;
    const struct link_events *events; /* borrowed */
    void *arg;
};

static void attempt(struct link *link);

static void drop_connection(struct link *link)
{
    if (link->bev != NULL) {
        bufferevent_free(link->bev);
        link->bev = NULL;
    }
    ws_socket_free(link->socket);
    link->socket = NULL;
    link->state = LINK_WAITING;
}

/* Between three and five quarters, so that a node's agents do not come all at once. */
static int64_t with_jitter(int64_t delay_ms)
{
    struct err ignored;
    uint32_t random = 0;
    if (!secret_random(&random, sizeof random, &ignored)) {
        return delay_ms;
    }
    return delay_ms * 3 / 4 + (int64_t)(random % (uint32_t)(delay_ms / 2 + 1));
}

static void retry_later(struct link *link)
{
    drop_connection(link);
    if (link->appeared) {
        link->appeared = false;
        link->retry_ms = RETRY_AT_ONCE_MS;
    }
    timer_arm(&link->timer, with_jitter(link->retry_ms));
    int64_t next_ms = link->retry_ms * 2;
    link->retry_ms = next_ms < LINK_RETRY_MAX_MS ? next_ms : LINK_RETRY_MAX_MS;
}

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct link *link = arg;
    /* Only a gateway that has something to say has taken us in. */
    link->retry_ms = LINK_RETRY_MIN_MS;
    if (opcode == WS_TEXT) {
        link->events->on_text(message, link->arg);
    } else if (!link->events->on_binary(message, link->arg)) {
        log_warn("link.bad_frame");
        ws_close(link->socket, WS_CLOSE_PROTOCOL, "bad stream frame");
    }
}

static void on_closed(int code, void *arg)
{
    struct link *link = arg;
    log_info("link.closed", LOG_INT("code", code));
    retry_later(link);
    link->events->on_lost(link->arg);
}

static void on_drained(void *arg)
{
    struct link *link = arg;
    link->events->on_drained(link->arg);
}

static const struct ws_events socket_events = {on_message, on_closed, on_drained};

static void open_socket(struct link *link)
{
    struct err err;
    const struct view text = {hello, sizeof hello - 1};
    struct bufferevent *bev = TAKE(link->bev);
    timer_disarm(&link->timer);
    link->socket = ws_socket_new(link->loop, WS_CLIENT, bev, &limits, &socket_events, link, &err);
    if (link->socket == NULL || !ws_send(link->socket, WS_TEXT, &text, 1, &err)) {
        log_warn("link.failed", LOG_ERR(&err));
        retry_later(link);
        return;
    }
    ws_read_directly(link->socket);
    ws_set_liveness(link->socket, false);
    link->state = LINK_OPEN;
    link->appeared = false;
    link->epoch++;
    log_info("link.opened");
}

static void on_upgrade_readable(struct bufferevent *bev, void *arg)
{
    struct link *link = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(input);
    size_t looked_at = len < UPGRADE_HEADERS_MAX ? len : UPGRADE_HEADERS_MAX;
    size_t consumed = 0;
    struct view bytes = {(const char *)evbuffer_pullup(input, (ssize_t)looked_at), looked_at};
    enum upgrade_state state =
        bytes.ptr == NULL ? UPGRADE_INCOMPLETE : upgrade_read(bytes, link->key, &consumed);
    if (state == UPGRADE_INCOMPLETE) {
        return;
    }
    if (state == UPGRADE_ACCEPTED) {
        (void)evbuffer_drain(input, consumed);
        open_socket(link);
        return;
    }
    log_info("link.refused", LOG_INT("state", state));
    if (state == UPGRADE_UNAUTHORIZED && token_load(&link->token, link->token_path)) {
        log_info("link.token_reloaded");
    }
    retry_later(link);
}

static void on_upgrade_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    retry_later(arg);
}

static void on_timer(void *arg)
{
    struct link *link = arg;
    if (link->state == LINK_WAITING) {
        attempt(link);
    } else {
        retry_later(link);
    }
}

/* -1 when nobody listens there. Connecting to a unix socket does not take time. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void wipe_request(const void *bytes, size_t len, void *arg)
{
    (void)bytes;
    secret_wipe(arg, len);
    free(arg);
}

static bool send_request(struct link *link, struct err *err)
{
    struct str request = STR_INIT(UPGRADE_REQUEST_MAX);
    if (!ws_key_new(link->key, err)) {
        return false;
    }
    upgrade_write(&request, link->sandbox_id, link->token.text, link->key);
    if (!str_check(&request, "upgrade request", err)) {
        str_free(&request);
        return false;
    }
    if (evbuffer_add_reference(bufferevent_get_output(link->bev), request.data, request.len,
                               wipe_request, request.data) != 0) {
        wipe_request(NULL, request.len, request.data);
        return err_set(err, ERR_INTERNAL, "upgrade request: out of memory");
    }
    return true;
}

static bool begin_upgrade(struct link *link, int fd, struct err *err)
{
    link->bev = bufferevent_socket_new(loop_base(link->loop), fd, BEV_OPT_CLOSE_ON_FREE);
    if (link->bev == NULL) {
        (void)close(fd);
        return err_set(err, ERR_INTERNAL, "bufferevent_socket_new failed");
    }
    bufferevent_setcb(link->bev, on_upgrade_readable, NULL, on_upgrade_event, link);
    if (!send_request(link, err) || bufferevent_enable(link->bev, EV_READ | EV_WRITE) != 0) {
        return false;
    }
    link->state = LINK_UPGRADING;
    timer_arm(&link->timer, LINK_UPGRADE_TIMEOUT_MS);
    return true;
}

static void attempt(struct link *link)
{
    struct err err = {0};
    bool has_token = link->token.text[0] != '\0' || token_load(&link->token, link->token_path);
    int fd = has_token ? connect_to(link->socket_path) : -1;
    if (fd < 0) {
        retry_later(link);
        return;
    }
    link->appeared = false;
    if (!begin_upgrade(link, fd, &err)) {
        log_warn("link.failed", LOG_ERR(&err));
        retry_later(link);
    }
}

static bool names_socket(const char *buffer, ssize_t len)
{
    for (ssize_t at = 0; at < len;) {
        /* The kernel aligns each event in the buffer. */
        const struct inotify_event *event = (const void *)(buffer + at);
        if (event->len > 0 && strcmp(event->name, AGENT_SOCKET_NAME) == 0) {
            return true;
        }
        at += (ssize_t)(sizeof *event + event->len);
    }
    return false;
}

static void on_run_dir_changed(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct link *link = arg;
    _Alignas(struct inotify_event) char buffer[INOTIFY_BUFFER_SIZE];
    ssize_t len = read(fd, buffer, sizeof buffer);
    if (len <= 0 || !names_socket(buffer, len)) {
        return;
    }
    link->appeared = true;
    if (link->state == LINK_WAITING) {
        timer_disarm(&link->timer);
        attempt(link);
    }
}

/* Without a watch a new socket is found by the timer alone, which is slower and just as right. */
static void watch_run_dir(struct link *link, const char *run_dir)
{
    link->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (link->watch_fd < 0 ||
        inotify_add_watch(link->watch_fd, run_dir, IN_CREATE | IN_MOVED_TO) < 0) {
        log_warn("link.no_watch", LOG_INT("errno", errno));
        return;
    }
    link->watch_event = event_new(loop_base(link->loop), link->watch_fd, EV_READ | EV_PERSIST,
                                  on_run_dir_changed, link);
    if (link->watch_event != NULL) {
        (void)event_add(link->watch_event, NULL);
    }
}

struct link *link_new(struct loop *loop, const char *run_dir, const char sandbox_id[ID_SIZE],
                      const struct link_events *events, void *arg, struct err *err)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        err_set(err, ERR_INTERNAL, "link: out of memory");
        return NULL;
    }
    link->loop = loop;
    link->watch_fd = -1;
    link->retry_ms = LINK_RETRY_MIN_MS;
    link->events = events;
    link->arg = arg;
    memcpy(link->sandbox_id, sandbox_id, sizeof link->sandbox_id);
    int socket_len =
        snprintf(link->socket_path, sizeof link->socket_path, "%s/%s", run_dir, AGENT_SOCKET_NAME);
    int token_len =
        snprintf(link->token_path, sizeof link->token_path, "%s/%s", run_dir, AGENT_TOKEN_NAME);
    if (socket_len >= PATH_TEXT_SIZE || token_len >= PATH_TEXT_SIZE) {
        err_set(err, ERR_INVALID, "%s is too long for a socket", run_dir);
        goto fail;
    }
    if (!timer_open(&link->timer, loop, on_timer, link, err)) {
        goto fail;
    }
    watch_run_dir(link, run_dir);
    timer_arm(&link->timer, 0);
    return link;
fail:
    link_free(link);
    return NULL;
}

void link_free(struct link *link)
{
    if (link == NULL) {
        return;
    }
    drop_connection(link);
    timer_close(&link->timer);
    if (link->watch_event != NULL) {
        event_free(link->watch_event);
    }
    close_fd(&link->watch_fd);
    token_wipe(&link->token);
    free(link);
}

bool link_set_token(struct link *link, struct view token)
{
    return token_set(&link->token, token);
}

uint64_t link_epoch(const struct link *link)
{
    return link->epoch;
}

bool link_is_congested(const struct link *link)
{
    return link->socket != NULL && ws_backlog(link->socket) > LINK_BACKLOG_MAX;
}

static void send_parts(struct link *link, uint64_t epoch, enum ws_opcode opcode,
                       const struct view *parts, size_t count)
{
    struct err err;
    if (link->state != LINK_OPEN || link->epoch != epoch) {
        return;
    }
    if (!ws_send(link->socket, opcode, parts, count, &err)) {
        log_warn("link.send_failed", LOG_ERR(&err));
    }
}

void link_send(struct link *link, uint64_t epoch, struct view text)
{
    send_parts(link, epoch, WS_TEXT, &text, 1);
}

void link_send_binary(struct link *link, uint64_t epoch, struct view header, struct view payload)
{
    const struct view parts[] = {header, payload};
    send_parts(link, epoch, WS_BINARY, parts, sizeof parts / sizeof parts[0]);
}
