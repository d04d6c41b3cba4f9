#include "sandbox-service/docker/docker.h"

#include "common/base/log.h"
#include "sandbox-service/docker/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define API_URL "http://docker/v1.41"

enum {
    PING_INTERVAL_MS = 1000,
    PING_TIMEOUT_MS = 3000,
};

struct docker {
    struct http_client *http;      /* owned */
    struct http_client *ping_http; /* owned: never busy with anything else */
    struct list calls;             /* in flight */
    struct list stillborn;         /* could not begin: done is due */
    struct timer stillborn_due;
    struct timer ping_due;
    struct docker_call ping;
    bool up;
    bool known; /* the first ping has been answered, or not */
    bool closing;
    docker_state_fn *on_state;
    void *arg;
};

static void end(struct docker_call *call, const struct http_reply *reply, const struct err *err)
{
    list_remove(&call->node);
    call->http = NULL;
    call->done(reply, err, call->arg);
}

static void set_up(struct docker *docker, bool up)
{
    if ((docker->up == up && docker->known) || docker->closing) {
        return;
    }
    docker->known = true;
    docker->up = up;
    if (up) {
        log_info("docker.up");
    } else {
        log_warn("docker.down");
    }
    if (docker->on_state != NULL) {
        docker->on_state(up, docker->arg);
    }
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct docker_call *call = arg;
    if (err == NULL) {
        end(call, reply, NULL);
        return;
    }
    /* A call that timed out says nothing of the engine: a start may be slow. */
    if (err->code == ERR_UNAVAILABLE && call->docker->up && call != &call->docker->ping) {
        timer_arm(&call->docker->ping_due, 0);
    }
    struct err failure = {0};
    err_set_reason(&failure, err->code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
                   "docker_unavailable", "%s", err->message);
    end(call, NULL, &failure);
}

/* One each turn: its done may begin or cancel others. */
static void on_stillborn_due(void *arg)
{
    struct docker *docker = arg;
    if (list_is_empty(&docker->stillborn)) {
        return;
    }
    struct docker_call *call = LIST_ENTRY(docker->stillborn.next, struct docker_call, node);
    if (call->node.next != &docker->stillborn) {
        timer_arm(&docker->stillborn_due, 0);
    }
    const struct err err = call->err;
    end(call, NULL, &err);
}

static bool begin(struct docker_call *call, const struct docker_request *request)
{
    char url[sizeof API_URL + DOCKER_PATH_SIZE];
    int length = snprintf(url, sizeof url, API_URL "%s", request->path);
    if (length < 0 || (size_t)length >= sizeof url) {
        return err_set(&call->err, ERR_INTERNAL, "docker: the path is too long");
    }
    if (call->docker->closing) {
        return err_set_reason(&call->err, ERR_UNAVAILABLE, "docker_unavailable",
                              "docker: shutting down");
    }
    int64_t timeout_ms = request->timeout_ms == 0 ? DOCKER_TIMEOUT_MS : request->timeout_ms;
    const struct http_call_options options = {
        .method = request->method,
        .url = url,
        .content_type = request->content_type,
        .answer_header = request->answer_header,
        .body = request->body,
        .body_is_borrowed = request->body_is_borrowed,
        .timeout_ms = request->is_stream ? 0 : timeout_ms,
        .response_max = DOCKER_REPLY_MAX,
        .on_data = request->on_data,
    };
    struct docker *docker = call->docker;
    bool is_ping = call == &docker->ping;
    call->http = http_call_begin(is_ping ? docker->ping_http : docker->http, &options, on_reply,
                                 call, &call->err);
    return call->http != NULL;
}

void docker_send(struct docker *docker, struct docker_call *call,
                 const struct docker_request *request, http_reply_fn *done, void *arg)
{
    *call = (struct docker_call){.docker = docker, .done = done, .arg = arg};
    if (begin(call, request)) {
        list_append(&docker->calls, &call->node);
        return;
    }
    list_append(&docker->stillborn, &call->node);
    timer_arm(&docker->stillborn_due, 0);
}

void docker_cancel(struct docker_call *call)
{
    if (!list_is_linked(&call->node)) {
        return;
    }
    list_remove(&call->node);
    if (call->http != NULL) {
        http_call_cancel(call->http);
        call->http = NULL;
    }
}

static void on_pong(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct docker *docker = arg;
    struct err ignored = {0}; /* told as docker.down */
    set_up(docker, docker_succeeded(reply, err, "ping", &ignored));
    if (!docker->closing) {
        timer_arm(&docker->ping_due, PING_INTERVAL_MS);
    }
}

static void on_ping_due(void *arg)
{
    struct docker *docker = arg;
    static const struct docker_request request = {
        .method = "GET", .path = "/_ping", .timeout_ms = PING_TIMEOUT_MS};
    if (!list_is_linked(&docker->ping.node)) {
        docker_send(docker, &docker->ping, &request, on_pong, docker);
    }
}

struct docker *docker_open(struct loop *loop, const char *socket_path, long connection_limit,
                           docker_state_fn *on_state, void *arg, struct err *err)
{
    struct docker *docker = calloc(1, sizeof *docker);
    if (docker == NULL) {
        err_set(err, ERR_INTERNAL, "docker: out of memory");
        return NULL;
    }
    docker->on_state = on_state;
    docker->arg = arg;
    list_init(&docker->calls);
    list_init(&docker->stillborn);
    docker->http = http_client_open(loop, socket_path, connection_limit, err);
    docker->ping_http = http_client_open(loop, socket_path, 1, err);
    if (docker->http == NULL || docker->ping_http == NULL ||
        !timer_open(&docker->stillborn_due, loop, on_stillborn_due, docker, err) ||
        !timer_open(&docker->ping_due, loop, on_ping_due, docker, err)) {
        docker_close(docker);
        return NULL;
    }
    timer_arm(&docker->ping_due, 0);
    return docker;
}

bool docker_is_up(const struct docker *docker)
{
    return docker->up;
}

bool docker_fail_all(struct docker *docker)
{
    bool called = false;
    docker->closing = true;
    docker->up = false;
    struct err err = {0};
    err_set_reason(&err, ERR_UNAVAILABLE, "docker_unavailable", "docker: shutting down");
    struct list *const lists[] = {&docker->calls, &docker->stillborn};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (!list_is_empty(lists[i])) {
            struct docker_call *call = LIST_ENTRY(lists[i]->next, struct docker_call, node);
            docker_cancel(call);
            call->done(NULL, &err, call->arg);
            called = true;
        }
    }
    return called;
}

void docker_close(struct docker *docker)
{
    if (docker == NULL) {
        return;
    }
    http_client_close(docker->http);
    http_client_close(docker->ping_http);
    timer_close(&docker->stillborn_due);
    timer_close(&docker->ping_due);
    free(docker);
}

bool docker_succeeded(const struct http_reply *reply, const struct err *err, const char *what,
                      struct err *out)
{
    enum { MESSAGE_MAX = 160 };
    if (err != NULL) {
        *out = *err;
        return err_wrap(out, "docker %s", what);
    }
    if (reply->status / 100 == 2 || reply->status == 304) {
        return true;
    }
    char message[MESSAGE_MAX];
    wire_read_message(reply->body, message, sizeof message);
    if (reply->status == 404) {
        return err_set(out, ERR_NOT_FOUND, "docker %s: %s", what, message);
    }
    if (reply->status == 409) {
        return err_set(out, ERR_CONFLICT, "docker %s: %s", what, message);
    }
    return err_set_reason(out, ERR_UNAVAILABLE, "docker_unavailable", "docker %s: status %d: %s",
                          what, reply->status, message);
}
