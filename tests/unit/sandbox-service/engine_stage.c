#include "tests/unit/sandbox-service/engine_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BODY_SIZE = 512, BACKLOG = 16, MS_PER_S = 1000, US_PER_MS = 1000 };

/* What is asked of a container, from what it is done, and what the container is then. */
static const struct act {
    const char *path_end;
    const char *from; /* NULL: from anything */
    const char *to;
} acts[] = {
    {"/pause", "running", "paused"},
    {"/unpause", "paused", "running"},
    {"/stop?t=0", NULL, "exited"},
    {"/start", NULL, "running"},
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static void answer(struct evhttp_request *request, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    assert_int_equal(evbuffer_add(body, text, strlen(text)), 0);
    evhttp_send_reply(request, status, "x", body);
    evbuffer_free(body);
}

static const char *status_known(struct engine_stage *stage)
{
    if (stage->believes_for == 0) {
        return stage->status;
    }
    stage->believes_for--;
    return stage->believes;
}

static int perform(struct engine_stage *stage, const struct act *act)
{
    stage->acts++;
    (void)snprintf(stage->act, sizeof stage->act, "%s", act->path_end + 1);
    if (stage->status[0] == '\0') {
        return 404;
    }
    if (stage->refuses) {
        return 500;
    }
    if (act->from != NULL && strcmp(act->from, status_known(stage)) != 0) {
        return 409;
    }
    (void)snprintf(stage->status, sizeof stage->status, "%s", act->to);
    return stage->forgets ? 500 : 204;
}

static void inspect(struct engine_stage *stage, struct evhttp_request *request)
{
    char body[BODY_SIZE];
    const char *status = status_known(stage);
    bool runs = strcmp(status, "exited") != 0; /* also one that is paused */
    (void)snprintf(body, sizeof body,
                   "{\"State\":{\"Status\":\"%s\",\"Running\":%s,\"ExitCode\":0},\"Mounts\":%s}",
                   status, runs ? "true" : "false", stage->mounts == NULL ? "[]" : stage->mounts);
    bool is_there = stage->status[0] != '\0';
    answer(request, is_there ? 200 : 404, is_there ? body : "{\"message\":\"none\"}");
}

static const struct engine_path *find_path(const struct engine_stage *stage, const char *path)
{
    const struct engine_path *found = stage->paths;
    while (found != NULL && found->path != NULL && strcmp(found->path, path) != 0) {
        found++;
    }
    return found == NULL || found->path == NULL ? NULL : found;
}

/* One look at a path, that takes its time. */
struct look {
    struct engine_stage *stage;
    struct evhttp_request *request;
};

static void answer_look(evutil_socket_t unused, short what, void *arg)
{
    (void)unused;
    (void)what;
    struct look *look = arg;
    struct evkeyvalq query;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(look->request);
    assert_int_equal(evhttp_parse_query_str(evhttp_uri_get_query(uri), &query), 0);
    const struct engine_path *found = find_path(look->stage, evhttp_find_header(&query, "path"));
    evhttp_clear_headers(&query);
    if (found != NULL && found->status == 200) {
        assert_int_equal(evhttp_add_header(evhttp_request_get_output_headers(look->request),
                                           "X-Docker-Container-Path-Stat", found->stat),
                         0);
    }
    look->stage->looks++;
    evhttp_send_reply(look->request, found == NULL ? 404 : found->status, "x", NULL);
    free(look);
}

static void begin_look(struct engine_stage *stage, struct evhttp_request *request)
{
    const struct timeval delay = {stage->look_ms / MS_PER_S,
                                  (suseconds_t)(stage->look_ms % MS_PER_S) * US_PER_MS};
    struct look *look = malloc(sizeof *look);
    assert_non_null(look);
    *look = (struct look){stage, request};
    assert_int_equal(event_base_once(stage->base, -1, EV_TIMEOUT, answer_look, look, &delay), 0);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct engine_stage *stage = arg;
    const char *uri = evhttp_request_get_uri(request);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (ends_with(uri, acts[i].path_end)) {
            int status = perform(stage, &acts[i]);
            answer(request, status, status == 204 ? "" : "{\"message\":\"no\"}");
            return;
        }
    }
    if (ends_with(uri, "/json")) {
        inspect(stage, request);
    } else if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
        begin_look(stage, request);
    } else if (evhttp_request_get_command(request) == EVHTTP_REQ_DELETE) {
        stage->status[0] = '\0';
        answer(request, 204, "");
    } else {
        answer(request, 200, "OK"); /* /_ping */
    }
}

void engine_stage_open(struct engine_stage *stage, struct loop *loop, const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *stage = (struct engine_stage){
        .base = loop_base(loop), .server = evhttp_new(loop_base(loop)), .status = "running"};
    assert_non_null(stage->server);
    evhttp_set_allowed_methods(stage->server, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
                                                  EVHTTP_REQ_HEAD);
    evhttp_set_gencb(stage->server, on_request, stage);
    (void)snprintf(stage->socket_path, sizeof stage->socket_path, "%s/docker", folder);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", stage->socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, BACKLOG), 0);
    assert_int_equal(evhttp_accept_socket(stage->server, fd), 0);
}

void engine_stage_close(struct engine_stage *stage)
{
    evhttp_free(stage->server);
}
