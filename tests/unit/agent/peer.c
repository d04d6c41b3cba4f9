#include "tests/unit/agent/peer.h"

#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void on_text(void *arg, uint64_t epoch, struct view text)
{
    struct peer *peer = arg;
    assert_int_equal(epoch, PEER_EPOCH);
    str_append_view(&peer->texts, text);
    str_append_char(&peer->texts, '\n');
    assert_false(peer->texts.failed);
    if (view_starts_with(text, VIEW("{\"id\":"))) {
        peer->answers++;
    }
}

static void take(struct peer *peer, const struct stream_frame *frame)
{
    switch (frame->kind) {
    case STREAM_WINDOW:
        peer->granted += frame->window;
        break;
    case STREAM_FIN:
        assert_false(peer->fin);
        peer->fin = true;
        break;
    case STREAM_RESET:
        assert_false(peer->reset);
        peer->reset = true;
        assert_true(view_copy(frame->payload, peer->code, sizeof peer->code));
        break;
    case STREAM_DATA:
    case STREAM_STDOUT:
    case STREAM_STDERR:
        assert_false(peer->fin);
        str_append_view(&peer->data, frame->payload);
        assert_false(peer->data.failed);
        peer->ungranted += frame->payload.len;
        break;
    }
}

static void on_frame(void *arg, uint64_t epoch, struct view header, struct view payload)
{
    struct peer *peer = arg;
    char message[STREAM_HEADER_SIZE + STREAM_PAYLOAD_MAX];
    struct stream_frame frame;
    struct err err;
    assert_int_equal(epoch, PEER_EPOCH);
    assert_true(header.len + payload.len <= sizeof message);
    memcpy(message, header.ptr, header.len);
    if (payload.len > 0) {
        memcpy(message + header.len, payload.ptr, payload.len);
    }
    assert_true(stream_frame_read((struct view){message, header.len + payload.len}, &frame, &err));
    if (frame.id == PEER_STREAM) {
        take(peer, &frame);
    }
}

static bool has_room(void *arg)
{
    const struct peer *peer = arg;
    return !peer->congested;
}

void peer_open(struct peer *peer)
{
    struct err err = {0};
    const struct streams_link link = {on_frame, has_room, peer};
    *peer = (struct peer){
        .texts = STR_INIT(PEER_TEXTS_MAX),
        .data = STR_INIT(PEER_DATA_MAX),
        .reply = {.send = on_text, .arg = peer, .epoch = PEER_EPOCH, .id = "q"},
    };
    peer->loop = loop_new(&err);
    assert_non_null(peer->loop);
    peer->streams = streams_new(peer->loop, &link, &err);
    peer->chores = chores_new(peer->loop, &err);
    assert_non_null(peer->streams);
    assert_non_null(peer->chores);
}

void peer_close_streams(struct peer *peer)
{
    streams_free(peer->streams);
    peer->streams = NULL;
}

void peer_close(struct peer *peer)
{
    peer_close_streams(peer);
    chores_free(peer->chores);
    loop_free(peer->loop);
    str_free(&peer->texts);
    str_free(&peer->data);
}

void peer_send(struct peer *peer, enum stream_kind kind, struct view bytes)
{
    AUTO(str_free) struct str message = STR_INIT(STREAM_HEADER_SIZE + STREAM_WINDOW_INITIAL);
    char header[STREAM_HEADER_SIZE];
    stream_header_write(PEER_STREAM, kind, header);
    str_append(&message, header, sizeof header);
    str_append_view(&message, bytes);
    assert_false(message.failed);
    assert_true(streams_on_message(peer->streams, PEER_EPOCH, str_view(&message)));
}

void peer_grant(struct peer *peer, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    peer_send(peer, STREAM_WINDOW, (struct view){window, sizeof window});
}

struct wait {
    struct peer *peer;
    size_t count;
    const char *part;
    bool (*is_met)(const struct wait *wait);
};

static bool give_back_and_look(void *arg)
{
    const struct wait *wait = arg;
    struct peer *peer = wait->peer;
    uint32_t bytes = (uint32_t)peer->ungranted;
    peer->ungranted = 0;
    if (bytes > 0 && !peer->fin && !peer->reset) {
        peer_grant(peer, bytes);
    }
    return wait->is_met(wait);
}

static void wait_for(struct peer *peer, bool (*is_met)(const struct wait *wait), size_t count,
                     const char *part)
{
    struct wait wait = {peer, count, part, is_met};
    turn_until_true(peer->loop, give_back_and_look, &wait);
}

static bool has_answers(const struct wait *wait)
{
    return wait->peer->answers >= wait->count;
}

static bool has_data(const struct wait *wait)
{
    return wait->peer->data.len >= wait->count;
}

static bool has_fin(const struct wait *wait)
{
    return wait->peer->fin;
}

static bool has_reset(const struct wait *wait)
{
    return wait->peer->reset;
}

static bool has_text(const struct wait *wait)
{
    return peer_heard(wait->peer, wait->part);
}

void peer_wait_answers(struct peer *peer, size_t count)
{
    wait_for(peer, has_answers, count, NULL);
}

void peer_wait_data(struct peer *peer, size_t len)
{
    wait_for(peer, has_data, len, NULL);
}

void peer_wait_fin(struct peer *peer)
{
    wait_for(peer, has_fin, 0, NULL);
}

void peer_wait_reset(struct peer *peer, const char *code)
{
    wait_for(peer, has_reset, 0, NULL);
    assert_string_equal(peer->code, code);
}

void peer_wait_text(struct peer *peer, const char *part)
{
    wait_for(peer, has_text, 0, part);
}

bool peer_heard(const struct peer *peer, const char *part)
{
    return peer->texts.len > 0 && strstr(peer->texts.data, part) != NULL;
}

void peer_forget_texts(struct peer *peer)
{
    str_clear(&peer->texts);
    peer->answers = 0;
}

void peer_expect_error(struct peer *peer, const char *code)
{
    char member[STREAM_CODE_SIZE + 16];
    (void)snprintf(member, sizeof member, "\"code\":\"%s\"}", code);
    if (!peer_heard(peer, "\"type\":\"error\"") || !peer_heard(peer, member)) {
        fail_msg("not %s: %s", code, peer->texts.len > 0 ? peer->texts.data : "nothing");
    }
}
