/* gateway/hub/stream.c: how streams open, what their owners hear, and how they end. */
#include "gateway/hub/session.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/stream_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MEBIBYTE = 1024 * 1024 };

static void a_request_gets_an_id_and_a_stream_and_its_answer_says_where_they_stand(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    assert_string_equal(stage->request, "{\"id\":\"1\",\"streamId\":1,\"type\":\"x\"}");
    assert_string_equal(stage->reply,
                        "{\"id\":\"1\",\"streamId\":1,\"type\":\"execResponse\",\"pid\":7}");
    assert_string_equal(stage->reply_stream, "\"streamId\":1");
}

static void a_stream_id_of_the_callers_is_replaced(void **state)
{
    struct stream_stage *stage = *state;
    stage->answer = STREAM_RUNS;
    stream_begin(stage, VIEW(",\"type\":\"x\",\"streamId\" : 900,\"a\":1}"), 0);
    stream_wait_for(stage, stream_is_answered);
    assert_string_equal(stage->request, "{\"id\":\"1\",\"type\":\"x\",\"streamId\":1,\"a\":1}");
}

static void a_name_that_only_looks_like_a_stream_id_stays(void **state)
{
    struct stream_stage *stage = *state;
    stage->answer = STREAM_RUNS;
    stream_begin(stage, VIEW(",\"cmd\":\"streamId\"}"), 0);
    stream_wait_for(stage, stream_is_answered);
    assert_string_equal(stage->request, "{\"id\":\"1\",\"streamId\":1,\"cmd\":\"streamId\"}");
}

static void bytes_reach_the_owner_with_their_kind(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    agent_send(&stage->agent, stage->id, STREAM_STDERR, VIEW("oops"));
    stream_wait_for(stage, stream_has_bytes);
    assert_int_equal(stage->kind, STREAM_STDERR);
    assert_string_equal(stage->bytes, "oops");
}

static void exit_ends_the_stream_behind_its_text(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    agent_say(&stage->agent, "{\"type\":\"gap\",\"streamId\":%u}", stage->id);
    stream_wait_for(stage, stream_has_text);
    assert_string_equal(stage->text_type, "gap");
    assert_false(stage->closed);
    agent_say(&stage->agent, "{\"type\":\"exit\",\"streamId\":%u,\"exitCode\":0}", stage->id);
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->text_type, "exit");
    assert_string_equal(stage->code, "(none)");
    assert_int_equal(stage->closed_err.code, ERR_NONE);
    assert_int_equal(stage->frame_count, 0);
}

static void an_upload_ends_with_its_answer(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, "\"type\":\"uploadResponse\",\"path\":\"/a\"");
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->code, "(none)");
}

static void a_download_ends_with_the_fin_of_the_agent(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, "\"type\":\"downloadResponse\"");
    agent_send(&stage->agent, stage->id, STREAM_FIN, (struct view){0});
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_true(stage->fin);
    assert_string_equal(stage->code, "(none)");
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->frame_count, 0);
}

static void a_connection_ends_when_both_fins_are_through(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, "\"type\":\"dialResponse\"");
    agent_send(&stage->agent, stage->id, STREAM_FIN, (struct view){0});
    turn_until(stream_stage_loop(stage), &stage->fin);
    assert_false(stage->closed);
    assert_true(hub_stream_send(stage->stream, VIEW("still")));
    hub_stream_send_fin(stage->stream);
    assert_false(stage->closed); /* never from inside */
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->code, "(none)");
    turn_until_count(stream_stage_loop(stage), &stage->frame_count, 2);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->frame_count, 2);
    assert_int_equal(stage->frames[1].kind, STREAM_FIN);
}

static void nothing_is_sent_behind_a_fin(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    hub_stream_send_fin(stage->stream);
    hub_stream_send_fin(stage->stream);
    assert_int_equal(hub_stream_credit(stage->stream), 0);
    assert_false(hub_stream_send(stage->stream, VIEW("late")));
    turn_until_count(stream_stage_loop(stage), &stage->frame_count, 1);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->frame_count, 1);
}

static void a_reset_of_the_agent_ends_the_stream_with_its_code(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, "\"type\":\"downloadResponse\"");
    agent_send(&stage->agent, stage->id, STREAM_RESET, VIEW("file_changed"));
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->code, "file_changed");
    assert_int_equal(stage->closed_err.code, ERR_NONE);
}

static void a_reset_before_the_answer_ends_the_stream_without_one(void **state)
{
    struct stream_stage *stage = *state;
    stream_begin(stage, VIEW(",\"type\":\"upload\"}"), 0);
    stream_wait_for(stage, stream_is_asked);
    agent_send(&stage->agent, stage->id, STREAM_RESET, VIEW("no_space"));
    turn_until(stream_stage_loop(stage), &stage->closed);
    agent_say(&stage->agent, "{\"id\":\"%s\",\"type\":\"error\"}", stage->request_id);
    turn_for(stream_stage_loop(stage), 20);
    assert_string_equal(stage->code, "no_space");
    assert_int_equal(stage->replies, 0);
}

static void an_error_is_the_answer_and_the_end(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, "\"type\":\"error\",\"error\":\"no\",\"code\":\"file_not_found\"");
    assert_null(stage->stream);
    turn_for(stream_stage_loop(stage), 20);
    assert_false(stage->closed);
    assert_int_equal(stage->frame_count, 0);
}

static void closing_resets_the_stream_and_what_still_comes_is_answered_with_a_reset(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    hub_stream_close(stage->stream);
    stage->stream = NULL;
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].kind, STREAM_RESET);
    agent_send(&stage->agent, stage->id, STREAM_STDOUT, VIEW("late"));
    agent_say(&stage->agent, "{\"type\":\"exit\",\"streamId\":%u}", stage->id);
    turn_until_count(stream_stage_loop(stage), &stage->frame_count, 2);
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->frame_count, 2);
    assert_int_equal(stage->frames[1].kind, STREAM_RESET);
    assert_int_equal(stage->byte_count, 0);
    assert_string_equal(stage->text, "");
    assert_false(stage->closed);
    assert_false(stage->agent.agent_closed);
}

static void a_stream_may_be_closed_while_its_bytes_are_delivered(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    stage->close_in_bytes = true;
    agent_send(&stage->agent, stage->id, STREAM_STDOUT, VIEW("one"));
    agent_send(&stage->agent, stage->id, STREAM_STDOUT, VIEW("two"));
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->byte_count, 3);
}

static void a_late_answer_to_a_request_that_timed_out_is_reset(void **state)
{
    struct stream_stage *stage = *state;
    stream_begin(stage, VIEW(",\"type\":\"watch\"}"), 20);
    stream_wait_for(stage, stream_is_answered);
    assert_int_equal(stage->reply_err.code, ERR_TIMEOUT);
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].kind, STREAM_RESET);
    stage->frame_count = 0;
    agent_say(&stage->agent, "{\"id\":\"%s\",\"type\":\"watchResponse\",\"streamId\":%u}",
              stage->request_id, stage->id);
    stream_wait_for(stage, agent_has_frame);
    assert_int_equal(stage->frames[0].kind, STREAM_RESET);
    assert_int_equal(stage->frames[0].id, stage->id);
    assert_false(stage->closed);
}

static void a_lost_agent_ends_its_streams(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    stage->agent.sandbox_ended = true;
    agent_vanish(&stage->agent);
    turn_until(stream_stage_loop(stage), &stage->closed);
    assert_string_equal(stage->closed_err.reason, "sandbox_gone");
    assert_int_equal(stage->replies, 1);
}

static void a_stream_without_an_answer_hears_of_a_lost_agent_once(void **state)
{
    struct stream_stage *stage = *state;
    stream_begin(stage, VIEW(",\"type\":\"dial\"}"), 60000);
    stream_wait_for(stage, stream_is_asked);
    agent_vanish(&stage->agent);
    stream_wait_for(stage, stream_is_answered);
    assert_string_equal(stage->reply_err.reason, "agent_lost");
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->replies, 1);
    assert_false(stage->closed);
}

static bool agent_is_gone(void *arg)
{
    const struct stream_stage *stage = arg;
    return !hub_is_ready(stage->agent.gateway.hub, STAGE_SANDBOX_ID);
}

static void a_stream_of_a_lost_agent_can_be_used_and_closed_until_it_is_known_why(void **state)
{
    struct stream_stage *stage = *state;
    stream_open_answered(stage, STREAM_RUNS);
    agent_vanish(&stage->agent);
    stream_wait_for(stage, agent_is_gone);
    assert_non_null(stage->stream);
    assert_int_equal(hub_stream_credit(stage->stream), 0);
    assert_false(hub_stream_send(stage->stream, VIEW("x")));
    hub_stream_grant(stage->stream, MEBIBYTE);
    hub_stream_send_fin(stage->stream);
    hub_stream_close(stage->stream);
    stage->stream = NULL;
    stage->agent.sandbox_ended = true;
    turn_for(stream_stage_loop(stage), 600);
    assert_false(stage->closed);
}

static void no_stream_opens_without_an_agent(void **state)
{
    struct stream_stage *stage = *state;
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct err err = {0};
    agent_vanish(&stage->agent);
    stream_wait_for(stage, agent_is_gone);
    assert_null(hub_stream_open(stage->agent.gateway.hub, STAGE_SANDBOX_ID, &message, 0,
                                &stream_stage_events, stage, &err));
    assert_string_equal(err.reason, "agent_lost");
}

static void only_so_many_streams_are_open_to_one_agent(void **state)
{
    struct stream_stage *stage = *state;
    struct hub_stream *streams[HUB_STREAMS_MAX];
    const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"x\"}")};
    struct hub *hub = stage->agent.gateway.hub;
    struct err err = {0};
    for (int i = 0; i < HUB_STREAMS_MAX; i++) {
        streams[i] =
            hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &stream_stage_events, stage, &err);
        assert_non_null(streams[i]);
    }
    assert_null(
        hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &stream_stage_events, stage, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    hub_stream_close(streams[0]);
    streams[0] =
        hub_stream_open(hub, STAGE_SANDBOX_ID, &message, 0, &stream_stage_events, stage, &err);
    assert_non_null(streams[0]);
    for (int i = 0; i < HUB_STREAMS_MAX; i++) {
        hub_stream_close(streams[i]);
    }
    turn_for(stream_stage_loop(stage), 20);
    assert_int_equal(stage->replies, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stream_stage_open, stream_stage_close)

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
        TEST(a_lost_agent_ends_its_streams),
        TEST(a_stream_without_an_answer_hears_of_a_lost_agent_once),
        TEST(a_stream_of_a_lost_agent_can_be_used_and_closed_until_it_is_known_why),
        TEST(no_stream_opens_without_an_agent),
        TEST(only_so_many_streams_are_open_to_one_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
