#include "tests/unit/agent/caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Not from inside of what gives it a reason: the credit travels too. */
struct grant {
    struct list node;
    struct caller *caller;
    struct timer timer;
    uint32_t id;
    uint32_t bytes;
    struct loop_corpse corpse;
};

static void free_grant(void *object)
{
    struct grant *grant = object;
    timer_close(&grant->timer);
    free(grant);
}

static void on_grant(void *arg)
{
    struct grant *grant = arg;
    char window[STREAM_WINDOW_SIZE];
    list_remove(&grant->node);
    stream_window_write(grant->bytes, window);
    caller_send(grant->caller, grant->id, STREAM_WINDOW, (struct view){window, sizeof window});
    loop_free_later(grant->caller->loop, &grant->corpse, free_grant, grant);
}

static void note_end(struct caller *caller, struct view text)
{
    static const char begin[] = "{\"type\":\"exit\",\"streamId\":";
    if (view_starts_with(text, VIEW("{\"type\":\"exit\",\"streamId\":"))) {
        long id = strtol(text.ptr + sizeof begin - 1, NULL, 10);
        caller_stream(caller, (uint32_t)id)->ended = true;
    }
}

static void on_text(void *arg, uint64_t epoch, struct view text)
{
    struct caller *caller = arg;
    assert_int_equal(epoch, CALLER_EPOCH);
    str_append_view(&caller->texts, text);
    str_append_char(&caller->texts, '\n');
    note_end(caller, text);
}

static void take_bytes(struct caller *caller, struct caller_stream *stream,
                       const struct stream_frame *frame)
{
    assert_false(stream->ended);
    stream->count += frame->payload.len;
    if (!stream->discards) {
        str_append_view(&stream->bytes[frame->kind], frame->payload);
    }
    if (!stream->stalled) {
        caller_grant(caller, frame->id, (uint32_t)frame->payload.len);
    }
}

static void on_frame(void *arg, uint64_t epoch, struct view header, struct view payload)
{
    static char message[STREAM_HEADER_SIZE + STREAM_PAYLOAD_MAX];
    struct caller *caller = arg;
    struct stream_frame frame;
    struct err err;
    assert_int_equal(epoch, CALLER_EPOCH);
    memcpy(message, header.ptr, header.len);
    if (payload.len > 0) {
        memcpy(message + header.len, payload.ptr, payload.len);
    }
    assert_true(stream_frame_read((struct view){message, header.len + payload.len}, &frame, &err));
    struct caller_stream *stream = caller_stream(caller, frame.id);
    switch (frame.kind) {
    case STREAM_DATA:
    case STREAM_STDOUT:
    case STREAM_STDERR:
        take_bytes(caller, stream, &frame);
        break;
    case STREAM_WINDOW:
        stream->granted_back += frame.window;
        break;
    case STREAM_FIN:
        stream->fin = true;
        break;
    case STREAM_RESET:
        stream->reset = true;
        (void)view_copy(frame.payload, stream->code, sizeof stream->code);
        break;
    }
}

static bool has_room(void *arg)
{
    const struct caller *caller = arg;
    return !caller->congested;
}

static bool set_token(void *arg, struct view token)
{
    (void)arg;
    return token.len > 0;
}

int caller_set_up(void **state)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char *const entries[] = {path, NULL};
    struct err err = {0};
    struct caller *caller = calloc(1, sizeof *caller);
    assert_non_null(caller);
    const struct streams_link link = {on_frame, has_room, caller};
    list_init(&caller->grants);
    caller->loop = loop_new(&err);
    assert_non_null(caller->loop);
    assert_true(settings_open(&caller->settings, entries, &err));
    caller->processes = processes_new(caller->loop, &err);
    assert_non_null(caller->processes);
    caller->onces = onces_new(caller->loop, &err);
    assert_non_null(caller->onces);
    caller->streams = streams_new(caller->loop, &link, &err);
    assert_non_null(caller->streams);
    caller->sessions =
        sessions_new(caller->loop, &caller->settings, caller->processes, caller->streams, &err);
    assert_non_null(caller->sessions);
    caller->requests = (struct requests){
        .settings = &caller->settings,
        .processes = caller->processes,
        .onces = caller->onces,
        .sessions = caller->sessions,
        .streams = caller->streams,
        .send = on_text,
        .set_token = set_token,
        .arg = caller,
    };
    caller->texts = STR_INIT(CALLER_BYTES_MAX);
    for (uint32_t id = 1; id < CALLER_STREAMS; id++) {
        caller_forget(caller, id);
    }
    caller_ask(caller, "{\"id\":\"c\",\"type\":\"configure\",\"token\":\"t\",\"profile\":\"sudo\","
                       "\"workDir\":\"/tmp\",\"user\":\"root\"}");
    assert_true(caller_heard(caller, "configureResponse"));
    *state = caller;
    return 0;
}

int caller_tear_down(void **state)
{
    struct caller *caller = *state;
    streams_free(caller->streams);
    while (!list_is_empty(&caller->grants)) {
        free_grant(LIST_ENTRY(list_pop(&caller->grants), struct grant, node));
    }
    sessions_free(caller->sessions);
    processes_free(caller->processes);
    onces_free(caller->onces);
    settings_close(&caller->settings);
    loop_free(caller->loop);
    for (uint32_t id = 1; id < CALLER_STREAMS; id++) {
        caller_forget(caller, id);
    }
    str_free(&caller->texts);
    free(caller);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return 0;
}

PRINTF_LIKE(2, 0) static void ask(struct caller *caller, const char *format, va_list args)
{
    char *text = NULL;
    assert_true(vasprintf(&text, format, args) > 0);
    str_clear(&caller->texts);
    requests_handle(&caller->requests, CALLER_EPOCH, view_of(text));
    free(text);
}

void caller_ask(struct caller *caller, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ask(caller, format, args);
    va_end(args);
}

void caller_ask_for(struct caller *caller, const char *part, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ask(caller, format, args);
    va_end(args);
    caller_wait_text(caller, part);
}

struct wish {
    struct caller *caller;
    const char *part;
    uint32_t id;
    enum stream_kind kind;
    uint64_t count;
};

static bool has_text(void *arg)
{
    const struct wish *wish = arg;
    return caller_heard(wish->caller, wish->part);
}

static bool has_output(void *arg)
{
    const struct wish *wish = arg;
    return strstr(caller_output(wish->caller, wish->id, wish->kind), wish->part) != NULL;
}

static bool has_count(void *arg)
{
    const struct wish *wish = arg;
    return caller_stream(wish->caller, wish->id)->count >= wish->count;
}

void caller_wait_text(struct caller *caller, const char *part)
{
    struct wish wish = {.caller = caller, .part = part};
    turn_until_true(caller->loop, has_text, &wish);
}

void caller_wait_output(struct caller *caller, uint32_t id, enum stream_kind kind, const char *part)
{
    struct wish wish = {.caller = caller, .part = part, .id = id, .kind = kind};
    turn_until_true(caller->loop, has_output, &wish);
}

void caller_wait_count(struct caller *caller, uint32_t id, uint64_t count)
{
    struct wish wish = {.caller = caller, .id = id, .count = count};
    turn_until_true(caller->loop, has_count, &wish);
}

bool caller_heard(const struct caller *caller, const char *part)
{
    return caller->texts.data != NULL && strstr(caller->texts.data, part) != NULL;
}

long long caller_number(const struct caller *caller, const char *name)
{
    char member[64];
    (void)snprintf(member, sizeof member, "\"%s\":", name);
    const char *found = caller->texts.data == NULL ? NULL : strstr(caller->texts.data, member);
    if (found == NULL) {
        fail_msg("no %s in %s", name, caller->texts.data);
        return 0;
    }
    return strtoll(found + strlen(member), NULL, 10);
}

struct caller_stream *caller_stream(struct caller *caller, uint32_t id)
{
    assert_true(id > 0 && id < CALLER_STREAMS);
    return &caller->streams_of[id];
}

const char *caller_output(struct caller *caller, uint32_t id, enum stream_kind kind)
{
    const struct str *bytes = &caller_stream(caller, id)->bytes[kind];
    return bytes->data == NULL ? "" : bytes->data;
}

void caller_forget(struct caller *caller, uint32_t id)
{
    struct caller_stream *stream = caller_stream(caller, id);
    for (int kind = 0; kind <= STREAM_STDERR; kind++) {
        str_free(&stream->bytes[kind]);
    }
    *stream = (struct caller_stream){.count = 0};
    for (int kind = 0; kind <= STREAM_STDERR; kind++) {
        stream->bytes[kind] = STR_INIT(CALLER_BYTES_MAX);
    }
}

void caller_send(struct caller *caller, uint32_t id, enum stream_kind kind, struct view bytes)
{
    char *message = malloc(STREAM_HEADER_SIZE + bytes.len);
    assert_non_null(message);
    stream_header_write(id, kind, message);
    if (bytes.len > 0) {
        memcpy(message + STREAM_HEADER_SIZE, bytes.ptr, bytes.len);
    }
    assert_true(streams_on_message(caller->streams, CALLER_EPOCH,
                                   (struct view){message, STREAM_HEADER_SIZE + bytes.len}));
    free(message);
}

void caller_grant(struct caller *caller, uint32_t id, uint32_t bytes)
{
    struct grant *grant = calloc(1, sizeof *grant);
    struct err err;
    assert_non_null(grant);
    grant->caller = caller;
    grant->id = id;
    grant->bytes = bytes;
    list_append(&caller->grants, &grant->node);
    assert_true(timer_open(&grant->timer, caller->loop, on_grant, grant, &err));
    timer_arm(&grant->timer, 0);
}
