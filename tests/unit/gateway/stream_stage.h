/* tests/unit/gateway/stream_stage.h: one stream of gateway/hub/stream.h, with an agent played by
 * the test (agent_stage.h) at its other end. */
#ifndef TESTS_UNIT_GATEWAY_STREAM_STAGE_H
#define TESTS_UNIT_GATEWAY_STREAM_STAGE_H

#include "gateway/hub/stream.h"
#include "tests/unit/gateway/agent_stage.h"

enum { STREAM_STAGE_TEXT_SIZE = 512, STREAM_STAGE_FRAMES_MAX = 8 };

#define STREAM_RUNS "\"type\":\"execResponse\",\"pid\":7"

struct stream_stage_frame {
    uint32_t id;
    enum stream_kind kind;
    size_t len;
    uint32_t window;
};

struct stream_stage {
    struct agent_stage agent;
    struct hub_stream *stream; /* NULL: none, or it has ended */

    /* What the agent heard. */
    char request[STREAM_STAGE_TEXT_SIZE];
    uint32_t id; /* of the last stream asked for */
    char request_id[32];
    int requests;
    struct stream_stage_frame frames[STREAM_STAGE_FRAMES_MAX];
    int frame_count;
    size_t agent_bytes;
    const char *answer; /* members behind the id; NULL: no answer */

    /* What the stream's owner heard. */
    int replies;
    char reply[STREAM_STAGE_TEXT_SIZE];
    char reply_stream[64];
    struct err reply_err;
    char bytes[STREAM_STAGE_TEXT_SIZE];
    size_t byte_count;
    enum stream_kind kind;
    uint32_t window;
    int windows;
    bool fin;
    char text[STREAM_STAGE_TEXT_SIZE];
    char text_type[32];
    bool closed;
    char code[STREAM_CODE_SIZE];
    struct err closed_err;

    /* What the owner does when bytes come. */
    bool close_in_bytes;
};

/* What the stage's stream tells its owner; arg is the stage. */
extern const struct hub_stream_events stream_stage_events;

/* For setup and teardown of cmocka. */
int stream_stage_open(void **state);
int stream_stage_close(void **state);
struct loop *stream_stage_loop(const struct stream_stage *stage);

/* Conditions to wait for, on a stage. */
bool stream_is_answered(void *arg);
bool stream_is_asked(void *arg);
bool agent_has_frame(void *arg);
bool stream_has_bytes(void *arg);
bool stream_has_window(void *arg);
bool stream_has_text(void *arg);
void stream_wait_for(struct stream_stage *stage, bool (*condition)(void *arg));

/* Asks for the stage's stream; members stand behind the id. */
void stream_begin(struct stream_stage *stage, struct view members, int64_t timeout_ms);
/* The same, and the agent answers with these members. */
void stream_open_answered(struct stream_stage *stage, const char *answer);

#endif
