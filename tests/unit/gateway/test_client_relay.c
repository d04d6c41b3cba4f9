/* gateway/native/client_relay.c and client_streams.c: requests, answers and which stream is whose,
 * until one of the ends is gone. */
#include "common/contracts/auth.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/relay_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void an_answer_comes_back_with_the_id_of_the_client(void **state)
{
    struct relay_stage *stage = *state;
    stage->answer = "\"type\":\"listResponse\"";
    relay_ask(stage, "{\"type\":\"list\",\"id\":\"my own\",\"path\":\"/\"}");
    relay_wait_for_text(stage, "{\"id\":\"my own\",\"streamId\":0,\"type\":\"listResponse\"}");
    assert_string_equal(stage->at_agent.text, "{\"type\":\"list\",\"id\":\"1\",\"path\":\"/\"}");
    assert_int_equal(stage->answered, 1);
}

static void what_is_no_request_is_answered_with_an_error(void **state)
{
    struct relay_stage *stage = *state;
    relay_ask(stage, "[]");
    relay_wait_for_error(stage, "null", "invalid_message");
    relay_ask(stage, "{\"type\":\"list\"}");
    relay_wait_for_error(stage, "null", "invalid_message");
    relay_ask(stage, "{\"type\":\"configure\",\"id\":\"1\"}");
    relay_wait_for_error(stage, "\"1\"", "unknown_type");
    assert_int_equal(stage->at_agent.texts, 0);
}

/* Every message type, with the one scope that lets it pass. */
static void each_message_needs_its_scope(void **state)
{
    static const struct {
        unsigned scope;
        const char *types[16];
    } cases[] = {
        {AUTH_EXEC,
         {"exec", "attach", "dial", "input", "closeStdin", "resize", "signal", "ps", "lookup",
          "closeSession"}},
        {AUTH_FILES,
         {"upload", "download", "watch", "write", "read", "list", "stat", "mkdir", "rename", "copy",
          "remove"}},
    };
    struct relay_stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stage->relay.scopes = AUTH_SCOPES_ALL & ~cases[i].scope;
        for (size_t j = 0; cases[i].types[j] != NULL; j++) {
            char text[128];
            char id[16];
            (void)snprintf(id, sizeof id, "\"%zu-%zu\"", i, j);
            (void)snprintf(text, sizeof text, "{\"type\":\"%s\",\"id\":%s,\"streamId\":9}",
                           cases[i].types[j], id);
            relay_ask(stage, text);
            relay_wait_for_error(stage, id, "missing_scope");
        }
    }
    assert_int_equal(stage->at_agent.texts, 0);
    stage->relay.scopes = AUTH_FILES;
    stage->answer = "\"type\":\"listResponse\"";
    relay_ask(stage, "{\"type\":\"list\",\"id\":\"a\",\"path\":\"/\"}");
    relay_wait_for_text(stage, "{\"id\":\"a\",\"streamId\":0,\"type\":\"listResponse\"}");
}

static void what_a_client_does_is_recorded_with_its_result(void **state)
{
    struct relay_stage *stage = *state;
    stage->answer = "\"type\":\"writeResponse\"";
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"write\",\"path\":\"/x\",\"content\":\"secret\"}");
    relay_wait_for(stage, relay_client_has_text);
    stage->at_client = (struct relay_heard){0};
    stage->answer = "\"type\":\"error\",\"error\":\"no\",\"code\":\"not_a_directory\"";
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"rename\",\"path\":\"/x\",\"to\":\"/x/y\"}");
    relay_wait_for(stage, relay_client_has_text);
    stage->at_client = (struct relay_heard){0};
    stage->answer = "\"type\":\"listResponse\"";
    relay_ask(stage, "{\"id\":\"c\",\"type\":\"list\",\"path\":\"/\"}");
    relay_wait_for(stage, relay_client_has_text);
    stage->at_client = (struct relay_heard){0};
    stage->answer = RELAY_RUNS;
    relay_ask(stage, "{\"id\":\"d\",\"type\":\"exec\",\"cmd\":\"ls\",\"args\":[\"-l\",\"/\"],"
                     "\"env\":{\"K\":\"secret\"},\"stdin\":\"secret\"}");
    relay_wait_for(stage, relay_client_has_text);
    stage->at_client = (struct relay_heard){0};
    relay_ask(stage, "{\"id\":\"e\",\"type\":\"exec\",\"cmd\":\"top\",\"streamId\":9,"
                     "\"stream\":true}");
    relay_wait_for(stage, relay_client_has_text);
    record_stage_expect(&stage->records,
                        "file.written ok " STAGE_SANDBOX_ID " {\"op\":\"write\",\"path\":\"/x\"}\n"
                        "file.written refused " STAGE_SANDBOX_ID
                        " {\"op\":\"rename\",\"path\":\"/x\",\"to\":\"/x/y\","
                        "\"reason\":\"not_a_directory\"}\n"
                        "exec ok " STAGE_SANDBOX_ID " {\"command\":\"ls -l /\"}\n"
                        "exec ok " STAGE_SANDBOX_ID " {\"command\":\"top\"}\n");
}

static void what_has_no_answer_is_recorded_when_the_client_leaves(void **state)
{
    struct relay_stage *stage = *state;
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"sleep\"}");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"upload\",\"path\":\"/x\",\"streamId\":9}");
    relay_wait_for(stage, relay_agent_has_text);
    client_relay_close(&stage->relay);
    record_stage_expect(&stage->records,
                        "file.written failed " STAGE_SANDBOX_ID
                        " {\"op\":\"upload\",\"path\":\"/x\",\"reason\":\"client_gone\"}\n"
                        "exec failed " STAGE_SANDBOX_ID
                        " {\"command\":\"sleep\",\"reason\":\"client_gone\"}\n");
}

static void without_room_for_a_record_nothing_is_asked_of_the_agent(void **state)
{
    struct relay_stage *stage = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = recorder_begin(stage->records.recorder, AUDIT_EXEC, &actor_none, &trace_none,
                                 STAGE_SANDBOX_ID, &err);
        assert_non_null(acts[i]);
    }
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"ls\"}");
    relay_wait_for_error(stage, "\"a\"", "audit_unavailable");
    assert_int_equal(stage->at_agent.texts, 0);
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
}

static void a_stream_has_an_id_of_its_own_on_each_side(void **state)
{
    struct relay_stage *stage = *state;
    stage->answer = RELAY_RUNS;
    relay_ask(stage, "{\"streamId\":500,\"id\":\"a\",\"type\":\"exec\",\"stream\":true}");
    relay_wait_for_text(stage,
                        "{\"id\":\"a\",\"streamId\":500,\"type\":\"execResponse\",\"pid\":7}");
    assert_string_equal(stage->at_agent.text,
                        "{\"id\":\"1\",\"streamId\":1,\"type\":\"exec\",\"stream\":true}");
    agent_send(&stage->agent, 1, STREAM_STDOUT, VIEW("hello"));
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].id, 500);
    assert_int_equal(stage->at_client.frames[0].kind, STREAM_STDOUT);
    assert_int_equal(stage->at_client.bytes, 5);
    agent_say(&stage->agent, "{\"type\":\"exit\",\"streamId\":1,\"exitCode\":0}");
    relay_wait_for_text(stage, "{\"type\":\"exit\",\"streamId\":500,\"exitCode\":0}");
    assert_int_equal(stage->at_client.frame_count, 1);
    assert_int_equal(stage->relay.streams_by_id.count, 0);
}

static void an_exec_that_asks_for_no_stream_opens_none(void **state)
{
    struct relay_stage *stage = *state;
    stage->answer = RELAY_RUNS;
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"exec\",\"streamId\":500}");
    relay_wait_for(stage, relay_client_has_text);
    assert_string_equal(stage->at_agent.text, "{\"id\":\"1\",\"type\":\"exec\",\"streamId\":500}");
    assert_int_equal(stage->relay.streams_by_id.count, 0);
}

static void a_stream_needs_an_id_that_is_free(void **state)
{
    struct relay_stage *stage = *state;
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"dial\",\"port\":80}");
    relay_wait_for_error(stage, "\"a\"", "invalid_message");
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"dial\",\"streamId\":0}");
    relay_wait_for_error(stage, "\"a\"", "invalid_message");
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"dial\",\"streamId\":500}");
    relay_wait_for_error(stage, "\"b\"", "stream_in_use");
    relay_send_frame(stage, 500, STREAM_RESET, (struct view){0});
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    assert_int_equal(stage->relay.streams_by_id.count, 1);
}

static void only_so_many_streams_are_open_on_one_socket(void **state)
{
    struct relay_stage *stage = *state;
    char text[RELAY_TEXT_SIZE];
    stage->answer = "\"type\":\"dialResponse\"";
    for (int i = 1; i <= CLIENT_STREAMS_MAX; i++) {
        (void)snprintf(text, sizeof text, "{\"id\":\"%d\",\"type\":\"dial\",\"streamId\":%d}", i,
                       i);
        relay_ask(stage, text);
        relay_wait_for(stage, relay_client_has_text);
        stage->at_client.texts = 0;
    }
    relay_ask(stage, "{\"id\":\"more\",\"type\":\"dial\",\"streamId\":1000}");
    relay_wait_for_error(stage, "\"more\"", "busy");
}

static void bytes_of_a_stream_that_is_not_open_are_answered_with_a_reset(void **state)
{
    struct relay_stage *stage = *state;
    relay_send_window(stage, 9, 1);
    relay_send_frame(stage, 9, STREAM_RESET, (struct view){0});
    relay_send_frame(stage, 9, STREAM_DATA, VIEW("x"));
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].id, 9);
    assert_int_equal(stage->at_client.frames[0].kind, STREAM_RESET);
    relay_round_trip(stage);
    assert_int_equal(stage->at_client.frame_count, 1);
    assert_false(stage->client_closed);
}

static void a_reset_of_either_side_reaches_the_other(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "download", "\"type\":\"downloadResponse\"");
    relay_send_frame(stage, 500, STREAM_RESET, (struct view){0});
    relay_wait_for(stage, relay_agent_has_frame);
    assert_int_equal(stage->at_agent.frames[0].kind, STREAM_RESET);
    relay_open_stream(stage, "download", "\"type\":\"downloadResponse\"");
    agent_send(&stage->agent, stage->stream_id, STREAM_RESET, VIEW("file_changed"));
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].id, 500);
    assert_string_equal(stage->at_client.code, "file_changed");
}

static void a_request_whose_stream_is_reset_is_answered_all_the_same(void **state)
{
    struct relay_stage *stage = *state;
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"upload\",\"streamId\":1}");
    relay_wait_for(stage, relay_agent_has_text);
    relay_send_frame(stage, 1, STREAM_RESET, (struct view){0});
    relay_wait_for_error(stage, "\"a\"", "reset");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"upload\",\"streamId\":1}");
    stage->at_agent.texts = 0;
    relay_wait_for(stage, relay_agent_has_text);
    agent_send(&stage->agent, stage->stream_id, STREAM_RESET, VIEW("no_space"));
    relay_wait_for_error(stage, "\"b\"", "no_space");
    assert_int_equal(stage->relay.unanswered, 0);
    assert_int_equal(stage->relay.streams_by_id.count, 0);
}

static void an_upload_is_over_with_its_answer(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "upload", "\"type\":\"uploadResponse\",\"path\":\"/a\"");
    relay_round_trip(stage);
    assert_int_equal(stage->relay.streams_by_id.count, 0);
    assert_int_equal(stage->relay.unanswered, 0);
    assert_int_equal(stage->at_client.frame_count, 0);
    assert_int_equal(stage->at_agent.frame_count, 0);
}

static void a_watch_is_ended_by_unwatch(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "watch", "\"type\":\"watchResponse\"");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"unwatch\",\"streamId\":501}");
    relay_wait_for_error(stage, "\"b\"", "stream_not_open");
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"unwatch\",\"streamId\":500}");
    relay_wait_for_text(stage, "{\"id\":\"b\",\"type\":\"unwatchResponse\",\"streamId\":500}");
    relay_wait_for(stage, relay_agent_has_frame);
    assert_int_equal(stage->at_agent.frames[0].kind, STREAM_RESET);
    agent_say(&stage->agent, "{\"type\":\"watchEvent\",\"streamId\":1}");
    relay_round_trip(stage);
    assert_int_equal(stage->at_client.texts, 0);
}

static void a_process_of_a_lost_agent_exits_for_the_client(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "exec", RELAY_RUNS);
    stage->agent.sandbox_ended = true;
    agent_vanish(&stage->agent);
    relay_wait_for_text(stage, "{\"type\":\"exit\",\"streamId\":500,\"pid\":7,\"exitCode\":null,"
                               "\"signal\":null,\"reason\":\"sandbox_gone\",\"durationMs\":null}");
    assert_int_equal(stage->relay.streams_by_id.count, 0);
}

static void other_streams_of_a_lost_agent_are_reset_and_requests_fail(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "dial", "\"type\":\"dialResponse\"");
    stage->answer = NULL;
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"attach\",\"streamId\":2}");
    relay_wait_for(stage, relay_agent_has_text);
    stage->agent.sandbox_ended = true;
    agent_vanish(&stage->agent);
    relay_wait_for_error(stage, "\"b\"", "sandbox_gone");
    relay_wait_for(stage, relay_client_has_frame);
    assert_int_equal(stage->at_client.frames[0].id, 500);
    assert_string_equal(stage->at_client.code, "sandbox_gone");
}

static void everything_ends_when_the_sandbox_is_known_to_be_gone(void **state)
{
    struct relay_stage *stage = *state;
    struct err err = {0};
    relay_open_stream(stage, "exec", RELAY_RUNS);
    stage->answer = NULL;
    relay_ask(stage, "{\"id\":\"b\",\"type\":\"ps\"}");
    relay_wait_for(stage, relay_agent_has_text);
    err_set_reason(&err, ERR_CONFLICT, "sandbox_gone", "it has ended");
    client_relay_fail(&stage->relay, &err);
    assert_int_equal(stage->relay.unanswered, 0);
    assert_int_equal(stage->relay.streams_by_id.count, 0);
    stage->at_client.texts = 0;
    relay_wait_for(stage, relay_client_has_text);
    turn_for(relay_loop(stage), 20);
    assert_int_equal(stage->at_client.texts, 2);
}

static void the_streams_of_a_client_that_leaves_are_closed(void **state)
{
    struct relay_stage *stage = *state;
    relay_open_stream(stage, "exec", RELAY_RUNS);
    ws_socket_free(stage->client);
    stage->client = NULL;
    turn_until(relay_loop(stage), &stage->server_closed);
    relay_wait_for(stage, relay_agent_has_frame);
    assert_int_equal(stage->at_agent.frames[0].kind, STREAM_RESET);
}

static void an_exec_in_a_session_has_a_word_for_its_repeats(void **state)
{
    struct relay_stage *stage = *state;
    (void)snprintf(stage->relay.scope, sizeof stage->relay.scope, "me/there");
    relay_open_stream(stage, "exec", RELAY_RUNS);
    assert_string_equal(stage->at_agent.text,
                        "{\"once\":\"me/there/a\",\"id\":\"1\",\"type\":\"exec\",\"stream\":true,"
                        "\"streamId\":1}");
    relay_ask(stage, "{\"type\":\"exec\",\"id\":\"b\"}");
    relay_wait_for(stage, relay_client_has_text);
    assert_string_equal(stage->at_agent.text,
                        "{\"type\":\"exec\",\"once\":\"me/there/b\",\"id\":\"2\"}");
    stage->at_client.texts = 0;
    relay_ask(stage, "{\"type\":\"read\",\"id\":\"c\"}");
    relay_wait_for(stage, relay_client_has_text);
    assert_string_equal(stage->at_agent.text, "{\"type\":\"read\",\"id\":\"3\"}");
}

static void that_word_is_not_for_clients(void **state)
{
    struct relay_stage *stage = *state;
    relay_ask(stage, "{\"id\":\"a\",\"type\":\"exec\",\"once\":\"x\"}");
    relay_wait_for_error(stage, "\"a\"", "invalid_message");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, relay_stage_open, relay_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_back_with_the_id_of_the_client),
        TEST(what_is_no_request_is_answered_with_an_error),
        TEST(each_message_needs_its_scope),
        TEST(what_a_client_does_is_recorded_with_its_result),
        TEST(what_has_no_answer_is_recorded_when_the_client_leaves),
        TEST(without_room_for_a_record_nothing_is_asked_of_the_agent),
        TEST(a_stream_has_an_id_of_its_own_on_each_side),
        TEST(an_exec_that_asks_for_no_stream_opens_none),
        TEST(a_stream_needs_an_id_that_is_free),
        TEST(only_so_many_streams_are_open_on_one_socket),
        TEST(bytes_of_a_stream_that_is_not_open_are_answered_with_a_reset),
        TEST(a_reset_of_either_side_reaches_the_other),
        TEST(a_request_whose_stream_is_reset_is_answered_all_the_same),
        TEST(an_upload_is_over_with_its_answer),
        TEST(a_watch_is_ended_by_unwatch),
        TEST(a_process_of_a_lost_agent_exits_for_the_client),
        TEST(other_streams_of_a_lost_agent_are_reset_and_requests_fail),
        TEST(everything_ends_when_the_sandbox_is_known_to_be_gone),
        TEST(the_streams_of_a_client_that_leaves_are_closed),
        TEST(an_exec_in_a_session_has_a_word_for_its_repeats),
        TEST(that_word_is_not_for_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
