/* sandbox-service/agent/stream.c: frames to the streams they are for, and credit both ways. */
#include "sandbox-service/agent/stream.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { EPOCH = 3, SENT_MAX = 32 };

struct sent {
    uint32_t id;
    enum stream_kind kind;
    size_t len;
    uint32_t window;
    char text[STREAM_CODE_SIZE];
};

struct fixture {
    struct loop *loop;
    struct streams *streams;
    struct sent sent[SENT_MAX];
    size_t sent_count;
    bool congested;
    /* What the owner of the streams heard. */
    char bytes[64];
    size_t bytes_len;
    int fins, rooms, closes;
};

static void send_frame(void *arg, uint64_t epoch, struct view header, struct view payload)
{
    struct fixture *fixture = arg;
    char message[STREAM_HEADER_SIZE + STREAM_PAYLOAD_MAX];
    struct stream_frame frame;
    struct err err;
    assert_int_equal(epoch, EPOCH);
    memcpy(message, header.ptr, header.len);
    if (payload.len > 0) {
        memcpy(message + header.len, payload.ptr, payload.len);
    }
    assert_true(stream_frame_read((struct view){message, header.len + payload.len}, &frame, &err));
    assert_true(fixture->sent_count < SENT_MAX);
    struct sent *sent = &fixture->sent[fixture->sent_count++];
    *sent = (struct sent){frame.id, frame.kind, payload.len, frame.window, ""};
    (void)snprintf(sent->text, sizeof sent->text, "%.*s", (int)payload.len, frame.payload.ptr);
}

static bool has_room(void *arg)
{
    const struct fixture *fixture = arg;
    return !fixture->congested;
}

static void on_bytes(struct view bytes, void *arg)
{
    struct fixture *fixture = arg;
    for (size_t i = 0; i < bytes.len && fixture->bytes_len < sizeof fixture->bytes; i++) {
        fixture->bytes[fixture->bytes_len++] = bytes.ptr[i];
    }
}

static void on_fin(void *arg)
{
    ((struct fixture *)arg)->fins++;
}

static void on_room(void *arg)
{
    ((struct fixture *)arg)->rooms++;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closes++;
}

static const struct stream_events events = {on_bytes, on_fin, on_room, on_closed};

static struct stream *open_stream(struct fixture *fixture, uint32_t id)
{
    const struct reply reply = {.epoch = EPOCH, .id = "question"};
    struct err err = {0};
    struct stream *stream = stream_open(fixture->streams, &reply, id, &events, fixture, &err);
    assert_non_null(stream);
    return stream;
}

static bool receive(struct fixture *fixture, uint32_t id, enum stream_kind kind, struct view bytes)
{
    static char message[STREAM_HEADER_SIZE + 2 * STREAM_WINDOW_INITIAL];
    stream_header_write(id, kind, message);
    memcpy(message + STREAM_HEADER_SIZE, bytes.ptr, bytes.len);
    return streams_on_message(fixture->streams, EPOCH,
                              (struct view){message, STREAM_HEADER_SIZE + bytes.len});
}

static bool grant(struct fixture *fixture, uint32_t id, uint32_t bytes)
{
    char window[STREAM_WINDOW_SIZE];
    stream_window_write(bytes, window);
    return receive(fixture, id, STREAM_WINDOW, (struct view){window, sizeof window});
}

static void bytes_reach_the_stream_they_are_for(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = open_stream(fixture, 7);
    assert_true(receive(fixture, 7, STREAM_DATA, VIEW("ab")));
    assert_true(receive(fixture, 7, STREAM_FIN, VIEW("")));
    assert_memory_equal(fixture->bytes, "ab", 2);
    assert_int_equal(fixture->fins, 1);
    assert_int_equal(stream_id(stream), 7);
    assert_string_equal(stream_reply(stream)->id, "");
    stream_close(stream);
    assert_int_equal(fixture->sent_count, 0);
}

static void stream_of_a_gateway_short_of_memory_begins_small(void **state)
{
    struct fixture *fixture = *state;
    struct stream *large = open_stream(fixture, STREAM_ID_SMALL - 1);
    struct stream *small = open_stream(fixture, STREAM_ID_SMALL);
    assert_int_equal(stream_room(large), STREAM_WINDOW_INITIAL);
    assert_int_equal(stream_room(small), STREAM_WINDOW_SMALL);
    assert_true(grant(fixture, STREAM_ID_SMALL, STREAM_WINDOW_INITIAL));
    assert_int_equal(stream_room(small), STREAM_WINDOW_SMALL + STREAM_WINDOW_INITIAL);
    stream_close(large);
    stream_close(small);
}

static void frames_for_no_stream_are_reset(void **state)
{
    struct fixture *fixture = *state;
    assert_true(receive(fixture, 9, STREAM_DATA, VIEW("ab")));
    assert_int_equal(fixture->sent_count, 1);
    assert_int_equal(fixture->sent[0].kind, STREAM_RESET);
    assert_string_equal(fixture->sent[0].text, "stream_not_open");
    /* These may cross with our own end of the stream. */
    assert_true(receive(fixture, 9, STREAM_RESET, VIEW("")));
    assert_true(grant(fixture, 9, 1));
    assert_int_equal(fixture->sent_count, 1);
}

static void breaches_are_told(void **state)
{
    struct fixture *fixture = *state;
    static const char much[STREAM_WINDOW_INITIAL + 1];
    struct stream *stream = open_stream(fixture, 1);
    assert_false(streams_on_message(fixture->streams, EPOCH, VIEW("nonsense")));
    assert_false(receive(fixture, 1, STREAM_STDOUT, VIEW("x")));
    assert_false(receive(fixture, 1, STREAM_DATA, (struct view){much, sizeof much}));
    assert_false(grant(fixture, 1, STREAM_CREDIT_MAX));
    stream_close(stream);
}

static void id_in_use_is_refused_until_its_stream_ends(void **state)
{
    struct fixture *fixture = *state;
    const struct reply reply = {.epoch = EPOCH};
    struct err err = {0};
    struct stream *stream = open_stream(fixture, 5);
    assert_null(stream_open(fixture->streams, &reply, 5, &events, fixture, &err));
    assert_string_equal(err.reason, "stream_in_use");
    stream_reset(stream, "file_changed");
    assert_string_equal(fixture->sent[0].text, "file_changed");
    assert_int_equal(fixture->closes, 0);
    stream_close(open_stream(fixture, 5));
}

static void sending_is_bounded_by_credit(void **state)
{
    struct fixture *fixture = *state;
    static const char much[STREAM_WINDOW_INITIAL];
    struct stream *stream = open_stream(fixture, 2);
    assert_int_equal(stream_room(stream), STREAM_WINDOW_INITIAL);
    stream_send(stream, STREAM_STDOUT, (struct view){much, sizeof much});
    assert_int_equal(fixture->sent_count, STREAM_WINDOW_INITIAL / STREAM_PAYLOAD_MAX);
    assert_int_equal(stream_room(stream), 0);
    assert_true(grant(fixture, 2, 10));
    assert_int_equal(fixture->rooms, 1);
    assert_int_equal(stream_room(stream), 10);
    stream_close(stream);
}

static void congested_link_gives_no_room_until_it_is_drained(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = open_stream(fixture, 2);
    fixture->congested = true;
    assert_int_equal(stream_room(stream), 0);
    streams_on_drained(fixture->streams);
    turn_for(fixture->loop, 5);
    assert_int_equal(fixture->rooms, 0);
    fixture->congested = false;
    streams_on_drained(fixture->streams);
    assert_int_equal(fixture->rooms, 0); /* not from inside */
    turn_until_count(fixture->loop, &fixture->rooms, 1);
    stream_close(stream);
}

static void used_bytes_are_granted_again(void **state)
{
    struct fixture *fixture = *state;
    static const char part[STREAM_WINDOW_INITIAL / 4];
    struct stream *stream = open_stream(fixture, 2);
    assert_true(receive(fixture, 2, STREAM_DATA, (struct view){part, sizeof part}));
    stream_used(stream, sizeof part - 1);
    assert_int_equal(fixture->sent_count, 0);
    stream_used(stream, 1);
    assert_int_equal(fixture->sent_count, 1);
    assert_int_equal(fixture->sent[0].kind, STREAM_WINDOW);
    assert_int_equal(fixture->sent[0].window, sizeof part);
    stream_close(stream);
}

static void a_window_may_be_widened(void **state)
{
    struct fixture *fixture = *state;
    static const char much[2 * STREAM_WINDOW_INITIAL];
    struct stream *stream = open_stream(fixture, 2);
    stream_widen(stream, STREAM_WINDOW_INITIAL);
    assert_int_equal(fixture->sent_count, 1);
    assert_int_equal(fixture->sent[0].kind, STREAM_WINDOW);
    assert_int_equal(fixture->sent[0].window, STREAM_WINDOW_INITIAL);
    assert_true(receive(fixture, 2, STREAM_DATA, (struct view){much, sizeof much}));
    stream_used(stream, sizeof much / 4);
    assert_int_equal(fixture->sent_count, 2);
    assert_int_equal(fixture->sent[1].window, sizeof much / 4);
    stream_close(stream);
}

static void reset_and_loss_of_the_connection_close_streams(void **state)
{
    struct fixture *fixture = *state;
    (void)open_stream(fixture, 1);
    (void)open_stream(fixture, 2);
    (void)open_stream(fixture, 3);
    assert_true(receive(fixture, 1, STREAM_RESET, VIEW("")));
    assert_int_equal(fixture->closes, 1);
    streams_on_lost(fixture->streams);
    assert_int_equal(fixture->closes, 3);
    assert_int_equal(fixture->sent_count, 0);
    stream_close(open_stream(fixture, 1));
}

static void number_of_streams_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    const struct reply reply = {.epoch = EPOCH};
    struct err err = {0};
    for (uint32_t id = 1; id <= STREAMS_MAX; id++) {
        (void)open_stream(fixture, id);
    }
    assert_null(stream_open(fixture->streams, &reply, STREAMS_MAX + 1, &events, fixture, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    assert_non_null(fixture);
    const struct streams_link link = {send_frame, has_room, fixture};
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->streams = streams_new(fixture->loop, &link, &err);
    assert_non_null(fixture->streams);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    streams_free(fixture->streams);
    loop_free(fixture->loop);
    free(fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_reach_the_stream_they_are_for),
        TEST(stream_of_a_gateway_short_of_memory_begins_small),
        TEST(frames_for_no_stream_are_reset),
        TEST(breaches_are_told),
        TEST(id_in_use_is_refused_until_its_stream_ends),
        TEST(sending_is_bounded_by_credit),
        TEST(congested_link_gives_no_room_until_it_is_drained),
        TEST(used_bytes_are_granted_again),
        TEST(a_window_may_be_widened),
        TEST(reset_and_loss_of_the_connection_close_streams),
        TEST(number_of_streams_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
