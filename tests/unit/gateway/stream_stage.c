#include "tests/unit/gateway/stream_stage.h"

#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void copy(struct view from, char *to, size_t size)
{
    assert_true(view_copy(from, to, size));
}

static void on_agent_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct stream_stage *stage = arg;
    copy(text, stage->request, sizeof stage->request);
    copy(envelope->id, stage->request_id, sizeof stage->request_id);
    stage->id = envelope->stream_id;
    stage->requests++;
    if (stage->answer != NULL) {
        agent_say(&stage->agent, "{\"id\":\"%s\",\"streamId\":%u,%s}", stage->request_id, stage->id,
                  stage->answer);
    }
}

static void on_agent_frame(const struct stream_frame *frame, void *arg)
{
    struct stream_stage *stage = arg;
    if (frame->kind == STREAM_DATA) {
        stage->agent_bytes += frame->payload.len;
    }
    stage->frames[stage->frame_count % STREAM_STAGE_FRAMES_MAX] =
        (struct stream_stage_frame){frame->id, frame->kind, frame->payload.len, frame->window};
    stage->frame_count++;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct stream_stage *stage = arg;
    stage->replies++;
    if (err != NULL) {
        stage->reply_err = *err;
        stage->stream = NULL;
        return;
    }
    copy(reply->text, stage->reply, sizeof stage->reply);
    copy(reply->stream_member, stage->reply_stream, sizeof stage->reply_stream);
    if (view_equal(reply->type, VIEW("error"))) {
        stage->stream = NULL;
    }
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct stream_stage *stage = arg;
    stage->kind = kind;
    stage->byte_count += bytes.len;
    if (bytes.len < sizeof stage->bytes) {
        memcpy(stage->bytes, bytes.ptr, bytes.len);
    }
    if (stage->close_in_bytes) {
        hub_stream_close(stage->stream);
        stage->stream = NULL;
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    struct stream_stage *stage = arg;
    stage->window = bytes;
    stage->windows++;
}

static void on_fin(void *arg)
{
    struct stream_stage *stage = arg;
    stage->fin = true;
}

static void on_text(const struct hub_stream_text *text, void *arg)
{
    struct stream_stage *stage = arg;
    copy(text->text, stage->text, sizeof stage->text);
    copy(text->type, stage->text_type, sizeof stage->text_type);
    assert_true(view_starts_with(text->stream_member, VIEW("\"streamId\"")));
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct stream_stage *stage = arg;
    assert_false(stage->closed);
    stage->closed = true;
    stage->stream = NULL;
    (void)snprintf(stage->code, sizeof stage->code, "%s", code == NULL ? "(none)" : code);
    if (err != NULL) {
        stage->closed_err = *err;
    }
}

const struct hub_stream_events stream_stage_events = {on_reply, on_bytes, on_window,
                                                      on_fin,   on_text,  on_closed};

int stream_stage_open(void **state)
{
    struct stream_stage *stage = calloc(1, sizeof *stage);
    stage->agent.on_text = on_agent_text;
    stage->agent.on_frame = on_agent_frame;
    stage->agent.arg = stage;
    agent_stage_open(&stage->agent);
    *state = stage;
    return 0;
}

int stream_stage_close(void **state)
{
    struct stream_stage *stage = *state;
    hub_stream_close(stage->stream);
    agent_stage_close(&stage->agent);
    free(stage);
    return 0;
}

struct loop *stream_stage_loop(const struct stream_stage *stage)
{
    return stage->agent.gateway.loop;
}

bool stream_is_answered(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->replies > 0;
}

bool stream_is_asked(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->requests > 0;
}

bool agent_has_frame(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->frame_count > 0;
}

bool stream_has_bytes(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->byte_count > 0;
}

bool stream_has_window(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->windows > 0;
}

bool stream_has_text(void *arg)
{
    const struct stream_stage *stage = arg;
    return stage->text[0] != '\0';
}

void stream_wait_for(struct stream_stage *stage, bool (*condition)(void *arg))
{
    turn_until_true(stream_stage_loop(stage), condition, stage);
}

void stream_begin(struct stream_stage *stage, struct view members, int64_t timeout_ms)
{
    const struct hub_message message = {VIEW("{"), members};
    struct err err = {0};
    stage->stream = hub_stream_open(stage->agent.gateway.hub, STAGE_SANDBOX_ID, &message,
                                    timeout_ms, &stream_stage_events, stage, &err);
    assert_non_null(stage->stream);
}

void stream_open_answered(struct stream_stage *stage, const char *answer)
{
    stage->answer = answer;
    stream_begin(stage, VIEW(",\"type\":\"x\"}"), 0);
    stream_wait_for(stage, stream_is_answered);
    assert_int_equal(stage->reply_err.code, ERR_NONE);
}
