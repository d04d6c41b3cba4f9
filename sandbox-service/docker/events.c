#include "sandbox-service/docker/events.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LINE_MAX_BYTES = 64 * 1024, /* a longer event is skipped */
    AGAIN_MS = 200,
    OVERLAP_S = 2, /* how far back a new stream begins: the engine repeats its latest events */
};

struct docker_events {
    struct docker *docker; /* borrowed */
    struct docker_call call;
    struct timer again;
    struct str line;                         /* the event that is not whole yet */
    bool skipping_line;                      /* it was too long */
    const struct docker_events_hooks *hooks; /* borrowed */
    void *arg;
    char path[DOCKER_PATH_SIZE]; /* without the time */
};

static void on_line(struct docker_events *events, struct view line)
{
    struct wire_event event;
    struct err err = {0};
    if (line.len == 0) {
        return;
    }
    if (!wire_read_event(line, &event, &err)) {
        log_warn("docker.event_unreadable", LOG_ERR(&err));
        return;
    }
    if (event.sandbox_id[0] == '\0') {
        return;
    }
    if (strcmp(event.action, "die") == 0) {
        events->hooks->on_die(event.sandbox_id, events->arg);
    } else if (strcmp(event.action, "destroy") == 0) {
        events->hooks->on_gone(event.sandbox_id, events->arg);
    }
}

static void add(struct docker_events *events, struct view piece)
{
    str_append_view(&events->line, piece);
    if (events->line.failed) {
        events->skipping_line = true;
        str_free(&events->line);
        events->line = STR_INIT(LINE_MAX_BYTES);
    }
}

static bool on_data(struct view data, void *arg)
{
    /* The call's own argument: docker.c passes itself through. */
    struct docker_call *call = arg;
    struct docker_events *events = call->arg;
    const char *newline;
    while (data.len > 0 && (newline = memchr(data.ptr, '\n', data.len)) != NULL) {
        size_t len = (size_t)(newline - data.ptr);
        add(events, (struct view){data.ptr, len});
        if (!events->skipping_line) {
            on_line(events, str_view(&events->line));
        }
        events->skipping_line = false;
        str_clear(&events->line);
        data = view_from(data, len + 1);
    }
    add(events, data);
    return true;
}

static void on_end(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct docker_events *events = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "events", &failure)) {
        log_info("docker.events_ended", LOG_ERR(&failure));
    }
    if (docker_is_up(events->docker)) {
        timer_arm(&events->again, AGAIN_MS);
    }
}

static void on_again(void *arg)
{
    struct docker_events *events = arg;
    if (docker_is_up(events->docker)) {
        docker_events_listen(events);
    }
}

void docker_events_listen(struct docker_events *events)
{
    char path[DOCKER_PATH_SIZE + 32];
    if (list_is_linked(&events->call.node)) {
        return;
    }
    timer_disarm(&events->again);
    str_clear(&events->line);
    events->skipping_line = false;
    (void)snprintf(path, sizeof path, "%s&since=%" PRId64, events->path,
                   clock_wall_ms() / 1000 - OVERLAP_S);
    const struct docker_request request = {
        .method = "GET", .path = path, .is_stream = true, .on_data = on_data};
    docker_send(events->docker, &events->call, &request, on_end, events);
    events->hooks->on_listening(events->arg);
}

struct docker_events *docker_events_open(struct loop *loop, struct docker *docker,
                                         const char *instance,
                                         const struct docker_events_hooks *hooks, void *arg,
                                         struct err *err)
{
    struct docker_events *events = calloc(1, sizeof *events);
    if (events == NULL) {
        err_set(err, ERR_INTERNAL, "docker events: out of memory");
        return NULL;
    }
    events->docker = docker;
    events->hooks = hooks;
    events->arg = arg;
    events->line = STR_INIT(LINE_MAX_BYTES);
    /* {"type":["container"],"event":["die","destroy"],"label":["insien.instance=<instance>"]} */
    (void)snprintf(
        events->path, sizeof events->path,
        "/events?filters=%%7B%%22type%%22%%3A%%5B%%22container%%22%%5D%%2C%%22event%%22"
        "%%3A%%5B%%22die%%22%%2C%%22destroy%%22%%5D%%2C%%22label%%22%%3A%%5B%%22" LABEL_INSTANCE
        "%%3D%s%%22%%5D%%7D",
        instance);
    if (!timer_open(&events->again, loop, on_again, events, err)) {
        docker_events_close(events);
        return NULL;
    }
    return events;
}

void docker_events_close(struct docker_events *events)
{
    if (events != NULL) {
        docker_cancel(&events->call);
        timer_close(&events->again);
        str_free(&events->line);
        free(events);
    }
}
