/* gateway/native/request_act.c: what REST requests do is told to the audit trail, with its result
 * and without what they bring to processes and files. */
#include "gateway/audit/recorder.h"
#include "tests/unit/gateway/native/rest_stage.h"

#define JSON_TYPE "Content-Type: application/json\r\nUser-Agent: tester/1\r\n"
#define SAID(action, result, detail) action " " result " " STAGE_SANDBOX_ID " " detail "\n"

static void ask(struct rest_stage *stage, const char *line, const char *body, const char *answer)
{
    int asked = stage->requests;
    rest_send(stage, line, JSON_TYPE, view_of(body));
    if (answer != NULL) {
        rest_wait_requests(stage, asked + 1);
        rest_answer(stage, answer);
    }
    rest_wait_for(stage, "HTTP/1.1 ");
}

static void a_command_is_told_with_who_ran_it(void **state)
{
    struct rest_stage *stage = *state;
    ask(stage, "POST " REST_SANDBOX "/exec",
        "{\"cmd\":\"ls\",\"args\":[\"-l\"],\"cwd\":\"/tmp\",\"stdin\":\"secret\","
        "\"env\":{\"K\":\"secret\"}}",
        "\"type\":\"execResponse\",\"exitCode\":1");
    record_stage_expect(&stage->records,
                        SAID("exec", "ok", "{\"command\":\"ls -l\",\"cwd\":\"/tmp\"}"));
    assert_string_equal(stage->records.actor.user_id, "11111111-1111-4111-8111-111111111111");
    assert_string_equal(stage->records.actor.api_key_id, "22222222-2222-4222-8222-222222222222");
    assert_string_equal(stage->records.actor.address, "127.0.0.1");
    assert_string_equal(stage->records.actor.user_agent, "tester/1");
}

static void a_command_that_is_refused_is_told_too(void **state)
{
    struct rest_stage *stage = *state;
    ask(stage, "POST " REST_SANDBOX "/exec", "{\"args\":[]}", NULL);
    ask(stage, "POST " REST_SANDBOX "/exec", "{\"cmd\":\"nothing\"}",
        "\"type\":\"error\",\"error\":\"no\",\"code\":\"command_not_found\"");
    record_stage_expect(
        &stage->records,
        SAID("exec", "refused", "{\"reason\":\"validation_failed\"}")
            SAID("exec", "refused", "{\"command\":\"nothing\",\"reason\":\"command_not_found\"}"));
}

static void a_command_with_streamed_output_is_told_when_it_runs(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "POST " REST_SANDBOX "/exec", JSON_TYPE "Accept: text/event-stream\r\n",
              VIEW("{\"cmd\":\"top\"}"));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"execResponse\",\"streamId\":1,\"pid\":7,"
                       "\"offsets\":{\"stdout\":0,\"stderr\":0}");
    rest_wait_for(stage, "\"type\":\"start\"");
    record_stage_expect(&stage->records, SAID("exec", "ok", "{\"command\":\"top\"}"));
}

static void what_is_written_is_told_and_what_is_read_is_not(void **state)
{
    struct rest_stage *stage = *state;
    ask(stage, "DELETE " REST_SANDBOX "/entries?path=/a", "", "\"type\":\"removeResponse\"");
    ask(stage, "GET " REST_SANDBOX "/entries?path=/a", "", "\"type\":\"listResponse\"");
    ask(stage, "POST " REST_SANDBOX "/entries", "{\"op\":\"rename\",\"path\":\"/a\",\"to\":\"/b\"}",
        "\"type\":\"renameResponse\"");
    record_stage_expect(
        &stage->records,
        SAID("file.written", "ok", "{\"op\":\"remove\",\"path\":\"/a\"}")
            SAID("file.written", "ok", "{\"op\":\"rename\",\"path\":\"/a\",\"to\":\"/b\"}"));
}

static void an_upload_whose_client_leaves_is_told(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " REST_SANDBOX "/files?path=/a", "Content-Length: 100\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    client_close(&stage->client);
    stage->client.fd = -1;
    rest_wait_resets(stage, 1);
    record_stage_expect(&stage->records,
                        SAID("file.written", "failed",
                             "{\"op\":\"upload\",\"path\":\"/a\",\"reason\":\"client_gone\"}"));
}

static void a_signed_url_is_told_whatever_the_setting(void **state)
{
    struct rest_stage *stage = *state;
    ask(stage, "POST " REST_SANDBOX "/files/url", "{\"op\":\"upload\",\"path\":\"/a\"}", NULL);
    record_stage_expect(&stage->records,
                        SAID("file_url.made", "ok", "{\"op\":\"upload\",\"path\":\"/a\"}"));
}

/* Anybody can send one. */
static void a_signature_that_is_none_leaves_no_record(void **state)
{
    struct rest_stage *stage = *state;
    ask(stage, "PUT /files/" STAGE_SANDBOX_ID "?path=/a&op=upload&exp=4102444800&sig=x", "", NULL);
    rest_wait_for(stage, "HTTP/1.1 403");
    record_stage_expect(&stage->records, "");
}

static void without_room_for_its_record_nothing_is_done(void **state)
{
    struct rest_stage *stage = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = recorder_begin(stage->records.recorder, AUDIT_EXEC, &actor_none, &trace_none,
                                 STAGE_SANDBOX_ID, &err);
        assert_non_null(acts[i]);
    }
    rest_send(stage, "POST " REST_SANDBOX "/exec", JSON_TYPE, VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_for(stage, "HTTP/1.1 503");
    rest_wait_for(stage, "audit_unavailable");
    assert_int_equal(stage->requests, 0);
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rest_stage_open, rest_stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_is_told_with_who_ran_it),
        TEST(a_command_that_is_refused_is_told_too),
        TEST(a_command_with_streamed_output_is_told_when_it_runs),
        TEST(what_is_written_is_told_and_what_is_read_is_not),
        TEST(an_upload_whose_client_leaves_is_told),
        TEST(a_signed_url_is_told_whatever_the_setting),
        TEST(a_signature_that_is_none_leaves_no_record),
        TEST(without_room_for_its_record_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
