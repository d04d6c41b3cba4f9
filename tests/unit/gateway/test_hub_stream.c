/* gateway/hub/stream.c with an agent of the test's own at the other end. */
#include "gateway/hub/stream.h"

#include "gateway/hub/session.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { KIBIBYTE = 1024, MEBIBYTE = 1024 * 1024, HEARD_MAX = 8, TEXT_SIZE = 512 };

struct heard_frame {
    uint32_t id;
    enum stream_kind kind;
    size_t len;
    uint32_t window;
};

struct fixture {
    struct agent_stage agent;
    struct hub_stream *stream;

    /* What the agent heard. */
    char request[TEXT_SIZE];
    uint32_t id; /* of the last stream asked for */
    char request_id[32];
    int requests;
    struct heard_frame frames[HEARD_MAX];
    int frame_count;
    size_t agent_bytes;
    const char *answer; /* members behind the id; NULL: no answer */

    /* What the stream's owner heard. */
    int replies;
    char reply[TEXT_SIZE];
    char reply_stream[64];
    struct err reply_err;
    char bytes[TEXT_SIZE];
    size_t byte_count;
    enum stream_kind kind;
    uint32_t window;
    int windows;
    bool fin;
    char text[TEXT_SIZE];
    char text_type[32];
    bool closed;
    char code[STREAM_CODE_SIZE];
    struct err closed_err;
    bool close_in_bytes;
    uint32_t grant_in_bytes;
};

static void copy(struct view from, char *to, size_t size)
{
    assert_true(view_copy(from, to, size));
}

static void on_agent_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct fixture *fixture = arg;
    copy(text, fixture->request, sizeof fixture->request);
    copy(envelope->id, fixture->request_id, sizeof fixture->request_id);
    fixture->id = envelope->stream_id;
    fixture->requests++;
    if (fixture->answer != NULL) {
        agent_say(&fixture->agent, "{\"id\":\"%s\",\"streamId\":%u,%s}", fixture->request_id,
                  fixture->id, fixture->answer);
    }
}

static void on_agent_frame(const struct stream_frame *frame, void *arg)
{
    struct fixture *fixture = arg;
    if (frame->kind == STREAM_DATA) {
        fixture->agent_bytes += frame->payload.len;
    }
    fixture->frames[fixture->frame_count % HEARD_MAX] =
        (struct heard_frame){frame->id, frame->kind, frame->payload.len, frame->window};
    fixture->frame_count++;
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->replies++;
    if (err != NULL) {
        fixture->reply_err = *err;
        fixture->stream = NULL;
        return;
    }
    copy(reply->text, fixture->reply, sizeof fixture->reply);
    copy(reply->stream_member, fixture->reply_stream, sizeof fixture->reply_stream);
    if (view_equal(reply->type, VIEW("error"))) {
        fixture->stream = NULL;
    }
}

static void on_bytes(enum stream_kind kind, struct view bytes, void *arg)
{
    struct fixture *fixture = arg;
    fixture->kind = kind;
    fixture->byte_count += bytes.len;
    if (bytes.len < sizeof fixture->bytes) {
        memcpy(fixture->bytes, bytes.ptr, bytes.len);
    }
    if (fixture->close_in_bytes) {
        hub_stream_close(fixture->stream);
        fixture->stream = NULL;
    } else if (fixture->grant_in_bytes > 0) {
        hub_stream_grant(fixture->stream, fixture->grant_in_bytes);
    }
}

static void on_window(uint32_t bytes, void *arg)
{
    struct fixture *fixture = arg;
    fixture->window = bytes;
    fixture->windows++;
}

static void on_fin(void *arg)
{
    struct fixture *fixture = arg;
    fixture->fin = true;
}

static void on_text(const struct hub_stream_text *text, void *arg)
{
    struct fixture *fixture = arg;
    copy(text->text, fixture->text, sizeof fixture->text);
    copy(text->type, fixture->text_type, sizeof fixture->text_type);
    assert_true(view_starts_with(text->stream_member, VIEW("\"streamId\"")));
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    assert_false(fixture->closed);
    fixture->closed = true;
    fixture->stream = NULL;
    (void)snprintf(fixture->code, sizeof fixture->code, "%s", code == NULL ? "(none)" : code);
    if (err != NULL) {
        fixture->closed_err = *err;
    }
}

static const struct hub_stream_events events = {on_reply, on_bytes, on_window,
                                                on_fin,   on_text,  on_closed};

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->agent.on_text = on_agent_text;
    fixture->agent.on_frame = on_agent_frame;
    fixture->agent.arg = fixture;
    agent_stage_open(&fixture->agent);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    hub_stream_close(fixture->stream);
    agent_stage_close(&fixture->agent);
    free(fixture);
    return 0;
}

static struct loop *loop_of(const struct fixture *fixture)
{
    return fixture->agent.gateway.loop;
}

static bool is_answered(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->replies > 0;
}

static bool is_asked(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->requests > 0;
}

static bool has_frame(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->frame_count > 0;
}

static bool has_bytes(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->byte_count > 0;
}

static bool has_window(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->windows > 0;
}

static bool has_text(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->text[0] != '\0';
}

static void wait_for(struct fixture *fixture, bool (*condition)(void *arg))
{
    turn_until_true(loop_of(fixture), condition, fixture);
}

static void begin(struct fixture *fixture, struct view members, int64_t timeout_ms)
{
    const struct hub_message message = {VIEW("{"), members};
    struct err err = {0};
    fixture->stream = hub_stream_open(fixture->agent.gateway.hub, STAGE_SANDBOX_ID, &message,
                                      timeout_ms, &events, fixture, &err);
    assert_non_null(fixture->stream);
}

/* Opens a stream that the agent answers with this type. */
static void open_answered(struct fixture *fixture, const char *answer)
{
    fixture->answer = answer;
    begin(fixture, VIEW(",\"type\":\"x\"}"), 0);
    wait_for(fixture, is_answered);
    assert_int_equal(fixture->reply_err.code, ERR_NONE);
}

#define EXEC "\"type\":\"execResponse\",\"pid\":7"

static void a_request_gets_an_id_and_a_stream_and_its_answer_says_where_they_stand(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    assert_string_equal(fixture->request, "{\"id\":\"1\",\"streamId\":1,\"type\":\"x\"}");
    assert_string_equal(fixture->reply,
                        "{\"id\":\"1\",\"streamId\":1,\"type\":\"execResponse\",\"pid\":7}");
    assert_string_equal(fixture->reply_stream, "\"streamId\":1");
}

static void a_stream_id_of_the_callers_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = EXEC;
    begin(fixture, VIEW(",\"type\":\"x\",\"streamId\" : 900,\"a\":1}"), 0);
    wait_for(fixture, is_answered);
    assert_string_equal(fixture->request, "{\"id\":\"1\",\"type\":\"x\",\"streamId\":1,\"a\":1}");
}

static void a_name_that_only_looks_like_a_stream_id_stays(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = EXEC;
    begin(fixture, VIEW(",\"cmd\":\"streamId\"}"), 0);
    wait_for(fixture, is_answered);
    assert_string_equal(fixture->request, "{\"id\":\"1\",\"streamId\":1,\"cmd\":\"streamId\"}");
}

static void bytes_reach_the_owner_with_their_kind(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    agent_send(&fixture->agent, fixture->id, STREAM_STDERR, VIEW("oops"));
    wait_for(fixture, has_bytes);
    assert_int_equal(fixture->kind, STREAM_STDERR);
    assert_string_equal(fixture->bytes, "oops");
}

static void exit_ends_the_stream_behind_its_text(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    agent_say(&fixture->agent, "{\"type\":\"gap\",\"streamId\":%u}", fixture->id);
    wait_for(fixture, has_text);
    assert_string_equal(fixture->text_type, "gap");
    assert_false(fixture->closed);
    agent_say(&fixture->agent, "{\"type\":\"exit\",\"streamId\":%u,\"exitCode\":0}", fixture->id);
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->text_type, "exit");
    assert_string_equal(fixture->code, "(none)");
    assert_int_equal(fixture->closed_err.code, ERR_NONE);
    assert_int_equal(fixture->frame_count, 0);
}

static void an_upload_ends_with_its_answer(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, "\"type\":\"uploadResponse\",\"path\":\"/a\"");
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->code, "(none)");
}

static void a_download_ends_with_the_fin_of_the_agent(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, "\"type\":\"downloadResponse\"");
    agent_send(&fixture->agent, fixture->id, STREAM_FIN, (struct view){0});
    turn_until(loop_of(fixture), &fixture->closed);
    assert_true(fixture->fin);
    assert_string_equal(fixture->code, "(none)");
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->frame_count, 0);
}

static void a_connection_ends_when_both_fins_are_through(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, "\"type\":\"dialResponse\"");
    agent_send(&fixture->agent, fixture->id, STREAM_FIN, (struct view){0});
    turn_until(loop_of(fixture), &fixture->fin);
    assert_false(fixture->closed);
    assert_true(hub_stream_send(fixture->stream, VIEW("still")));
    hub_stream_send_fin(fixture->stream);
    assert_false(fixture->closed); /* never from inside */
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->code, "(none)");
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->frame_count, 2);
    assert_int_equal(fixture->frames[1].kind, STREAM_FIN);
}

static void nothing_is_sent_behind_a_fin(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    hub_stream_send_fin(fixture->stream);
    hub_stream_send_fin(fixture->stream);
    assert_int_equal(hub_stream_credit(fixture->stream), 0);
    assert_false(hub_stream_send(fixture->stream, VIEW("late")));
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->frame_count, 1);
}

static void a_reset_of_the_agent_ends_the_stream_with_its_code(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, "\"type\":\"downloadResponse\"");
    agent_send(&fixture->agent, fixture->id, STREAM_RESET, VIEW("file_changed"));
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->code, "file_changed");
    assert_int_equal(fixture->closed_err.code, ERR_NONE);
}

static void a_reset_before_the_answer_ends_the_stream_without_one(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, VIEW(",\"type\":\"upload\"}"), 0);
    wait_for(fixture, is_asked);
    agent_send(&fixture->agent, fixture->id, STREAM_RESET, VIEW("no_space"));
    turn_until(loop_of(fixture), &fixture->closed);
    agent_say(&fixture->agent, "{\"id\":\"%s\",\"type\":\"error\"}", fixture->request_id);
    turn_for(loop_of(fixture), 20);
    assert_string_equal(fixture->code, "no_space");
    assert_int_equal(fixture->replies, 0);
}

static void an_error_is_the_answer_and_the_end(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, "\"type\":\"error\",\"error\":\"no\",\"code\":\"file_not_found\"");
    assert_null(fixture->stream);
    turn_for(loop_of(fixture), 20);
    assert_false(fixture->closed);
    assert_int_equal(fixture->frame_count, 0);
}

static void closing_resets_the_stream_and_what_still_comes_is_answered_with_a_reset(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    hub_stream_close(fixture->stream);
    fixture->stream = NULL;
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].kind, STREAM_RESET);
    agent_send(&fixture->agent, fixture->id, STREAM_STDOUT, VIEW("late"));
    agent_say(&fixture->agent, "{\"type\":\"exit\",\"streamId\":%u}", fixture->id);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->frame_count, 2);
    assert_int_equal(fixture->frames[1].kind, STREAM_RESET);
    assert_int_equal(fixture->byte_count, 0);
    assert_string_equal(fixture->text, "");
    assert_false(fixture->closed);
    assert_false(fixture->agent.agent_closed);
}

static void a_stream_may_be_closed_while_its_bytes_are_delivered(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    fixture->close_in_bytes = true;
    agent_send(&fixture->agent, fixture->id, STREAM_STDOUT, VIEW("one"));
    agent_send(&fixture->agent, fixture->id, STREAM_STDOUT, VIEW("two"));
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->byte_count, 3);
}

static void a_late_answer_to_a_request_that_timed_out_is_reset(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, VIEW(",\"type\":\"watch\"}"), 20);
    wait_for(fixture, is_answered);
    assert_int_equal(fixture->reply_err.code, ERR_TIMEOUT);
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].kind, STREAM_RESET);
    fixture->frame_count = 0;
    agent_say(&fixture->agent, "{\"id\":\"%s\",\"type\":\"watchResponse\",\"streamId\":%u}",
              fixture->request_id, fixture->id);
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].kind, STREAM_RESET);
    assert_int_equal(fixture->frames[0].id, fixture->id);
    assert_false(fixture->closed);
}

static void only_what_the_agent_takes_can_be_sent(void **state)
{
    static char data[STREAM_WINDOW_INITIAL + 1];
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    assert_false(hub_stream_send(fixture->stream, (struct view){data, sizeof data}));
    assert_true(hub_stream_send(fixture->stream, (struct view){data, STREAM_WINDOW_INITIAL}));
    assert_int_equal(hub_stream_credit(fixture->stream), 0);
    assert_false(hub_stream_send(fixture->stream, (struct view){data, 1}));
    agent_send_window(&fixture->agent, fixture->id, 5);
    wait_for(fixture, has_window);
    assert_int_equal(fixture->window, 5);
    assert_int_equal(hub_stream_credit(fixture->stream), 5);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->agent_bytes, STREAM_WINDOW_INITIAL);
    assert_int_equal(fixture->frame_count, STREAM_WINDOW_INITIAL / STREAM_PAYLOAD_MAX);
}

static void small_grants_are_put_together(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    hub_stream_grant(fixture->stream, 1);
    hub_stream_grant(fixture->stream, 40 * KIBIBYTE);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->frame_count, 0);
    hub_stream_grant(fixture->stream, 40 * KIBIBYTE);
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].kind, STREAM_WINDOW);
    assert_int_equal(fixture->frames[0].window, 80 * KIBIBYTE + 1);
}

static void send_from_agent(struct fixture *fixture, size_t bytes)
{
    static char data[STREAM_PAYLOAD_MAX];
    while (bytes > 0) {
        size_t len = bytes < sizeof data ? bytes : sizeof data;
        agent_send(&fixture->agent, fixture->id, STREAM_STDOUT, (struct view){data, len});
        bytes -= len;
    }
}

static void a_small_grant_goes_at_once_when_the_agent_runs_out(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    hub_stream_grant(fixture->stream, 10);
    send_from_agent(fixture, STREAM_WINDOW_INITIAL);
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].window, 10);
    hub_stream_grant(fixture->stream, 3);
    fixture->frame_count = 0;
    wait_for(fixture, has_frame);
    assert_int_equal(fixture->frames[0].window, 3);
    send_from_agent(fixture, 13);
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->byte_count, STREAM_WINDOW_INITIAL + 13);
    assert_false(fixture->agent.agent_closed);
}

static void an_agent_that_sends_more_than_was_granted_is_closed(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    send_from_agent(fixture, STREAM_WINDOW_INITIAL + 1);
    turn_until(loop_of(fixture), &fixture->agent.agent_closed);
    assert_int_equal(fixture->agent.agent_close_code, WS_CLOSE_PROTOCOL);
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->closed_err.reason, "agent_lost");
}

static void an_agent_whose_window_leads_too_far_is_closed(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    agent_send_window(&fixture->agent, fixture->id, STREAM_CREDIT_MAX);
    turn_until(loop_of(fixture), &fixture->agent.agent_closed);
    assert_int_equal(fixture->agent.agent_close_code, WS_CLOSE_PROTOCOL);
    assert_int_equal(fixture->windows, 0);
}

static void an_agent_whose_frame_is_malformed_is_closed(void **state)
{
    struct fixture *fixture = *state;
    agent_send(&fixture->agent, 1, (enum stream_kind)9, VIEW("?"));
    turn_until(loop_of(fixture), &fixture->agent.agent_closed);
    assert_int_equal(fixture->agent.agent_close_code, WS_CLOSE_PROTOCOL);
}

static void bytes_behind_a_fin_are_a_breach(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    agent_send(&fixture->agent, fixture->id, STREAM_FIN, (struct view){0});
    agent_send(&fixture->agent, fixture->id, STREAM_STDOUT, VIEW("x"));
    turn_until(loop_of(fixture), &fixture->agent.agent_closed);
    assert_int_equal(fixture->agent.agent_close_code, WS_CLOSE_PROTOCOL);
}

static void a_lost_agent_ends_its_streams(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    fixture->agent.sandbox_ended = true;
    agent_vanish(&fixture->agent);
    turn_until(loop_of(fixture), &fixture->closed);
    assert_string_equal(fixture->closed_err.reason, "sandbox_gone");
    assert_int_equal(fixture->replies, 1);
}

static void a_stream_without_an_answer_hears_of_a_lost_agent_once(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, VIEW(",\"type\":\"dial\"}"), 60000);
    wait_for(fixture, is_asked);
    agent_vanish(&fixture->agent);
    wait_for(fixture, is_answered);
    assert_string_equal(fixture->reply_err.reason, "agent_lost");
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->replies, 1);
    assert_false(fixture->closed);
}

static bool is_gone(void *arg)
{
    const struct fixture *fixture = arg;
    return !hub_is_ready(fixture->agent.gateway.hub, STAGE_SANDBOX_ID);
}

static void a_stream_of_a_lost_agent_can_be_used_and_closed_until_it_is_known_why(void **state)
{
    struct fixture *fixture = *state;
    open_answered(fixture, EXEC);
    agent_vanish(&fixture->agent);
    wait_for(fixture, is_gone);
    assert_non_null(fixture->stream);
    assert_int_equal(hub_stream_credit(fixture->stream), 0);
    assert_false(hub_stream_send(fixture->stream, VIEW("x")));
    hub_stream_grant(fixture->stream, MEBIBYTE);
    hub_stream_send_fin(fixture->stream);
    hub_stream_close(fixture->stream);
    fixture->stream = NULL;
    fixture->agent.sandbox_ended = true;
    turn_for(loop_of(fixture), 600);
    assert_false(fixture->closed);
}

static void no_stream_opens_without_an_agent(void **state)
{
    struct fixture *fixture = *state;
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct err err = {0};
    agent_vanish(&fixture->agent);
    wait_for(fixture, is_gone);
    assert_null(hub_stream_open(fixture->agent.gateway.hub, STAGE_SANDBOX_ID, &message, 0, &events,
                                fixture, &err));
    assert_string_equal(err.reason, "agent_lost");
}

static void only_so_many_streams_are_open_to_one_agent(void **state)
{
    struct fixture *fixture = *state;
    struct hub_stream *streams[HUB_STREAMS_MAX];
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct hub *hub = fixture->agent.gateway.hub;
    struct err err = {0};
    for (int i = 0; i < HUB_STREAMS_MAX; i++) {
        streams[i] = hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &events, fixture, &err);
        assert_non_null(streams[i]);
    }
    assert_null(hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &events, fixture, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    hub_stream_close(streams[0]);
    streams[0] = hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &events, fixture, &err);
    assert_non_null(streams[0]);
    for (int i = 0; i < HUB_STREAMS_MAX; i++) {
        hub_stream_close(streams[i]);
    }
    turn_for(loop_of(fixture), 20);
    assert_int_equal(fixture->replies, 0);
}

static void an_agent_that_does_not_read_holds_its_senders_back(void **state)
{
    static char data[STREAM_PAYLOAD_MAX];
    struct fixture *fixture = *state;
    size_t sent = 0;
    open_answered(fixture, EXEC);
    agent_send_window(&fixture->agent, fixture->id, 32 * MEBIBYTE);
    wait_for(fixture, has_window);
    agent_set_reading(&fixture->agent, false);
    fixture->windows = 0;
    while (hub_stream_send(fixture->stream, (struct view){data, sizeof data})) {
        sent += sizeof data;
    }
    assert_in_range(sent, MEBIBYTE, 6 * MEBIBYTE);
    assert_int_equal(hub_stream_credit(fixture->stream), 0);
    agent_set_reading(&fixture->agent, true);
    wait_for(fixture, has_window);
    assert_int_equal(fixture->window, 0);
    assert_in_range(hub_stream_credit(fixture->stream), 1, 32 * MEBIBYTE);
    assert_true(hub_stream_send(fixture->stream, VIEW("more")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_gets_an_id_and_a_stream_and_its_answer_says_where_they_stand),
        TEST(a_stream_id_of_the_callers_is_replaced),
        TEST(a_name_that_only_looks_like_a_stream_id_stays),
        TEST(bytes_reach_the_owner_with_their_kind),
        TEST(exit_ends_the_stream_behind_its_text),
        TEST(an_upload_ends_with_its_answer),
        TEST(a_download_ends_with_the_fin_of_the_agent),
        TEST(a_connection_ends_when_both_fins_are_through),
        TEST(nothing_is_sent_behind_a_fin),
        TEST(a_reset_of_the_agent_ends_the_stream_with_its_code),
        TEST(a_reset_before_the_answer_ends_the_stream_without_one),
        TEST(an_error_is_the_answer_and_the_end),
        TEST(closing_resets_the_stream_and_what_still_comes_is_answered_with_a_reset),
        TEST(a_stream_may_be_closed_while_its_bytes_are_delivered),
        TEST(a_late_answer_to_a_request_that_timed_out_is_reset),
        TEST(only_what_the_agent_takes_can_be_sent),
        TEST(small_grants_are_put_together),
        TEST(a_small_grant_goes_at_once_when_the_agent_runs_out),
        TEST(an_agent_that_sends_more_than_was_granted_is_closed),
        TEST(an_agent_whose_window_leads_too_far_is_closed),
        TEST(an_agent_whose_frame_is_malformed_is_closed),
        TEST(bytes_behind_a_fin_are_a_breach),
        TEST(a_lost_agent_ends_its_streams),
        TEST(a_stream_without_an_answer_hears_of_a_lost_agent_once),
        TEST(a_stream_of_a_lost_agent_can_be_used_and_closed_until_it_is_known_why),
        TEST(no_stream_opens_without_an_agent),
        TEST(only_so_many_streams_are_open_to_one_agent),
        TEST(an_agent_that_does_not_read_holds_its_senders_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
