/* gateway/audit/recorder.c: records come to the auth-service once, in their order, whatever happens
 * to it; without room for a record nothing is done. */
#include "common/base/trace.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/record_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define SANDBOX "33333333-3333-4333-8333-333333333333"
#define USER "11111111-1111-4111-8111-111111111111"

static const struct trace trace = {.request_id = "r-1"};

static int set_up(void **state)
{
    struct record_stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    record_stage_open(stage, loop, RECORD_COMMANDS);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct record_stage *stage = *state;
    record_stage_close(stage);
    loop_free(stage->loop);
    free(stage);
    return 0;
}

static struct audit_act *begin(const struct record_stage *stage, struct err *err)
{
    static const struct actor actor = {
        .user_id = USER, .address = "192.0.2.7", .user_agent = "curl/8"};
    return recorder_begin(stage->recorder, AUDIT_EXEC, &actor, &trace, SANDBOX, err);
}

static void record(const struct record_stage *stage, const char *command)
{
    static const struct json_strings none;
    struct err err = {0};
    struct audit_act *act = begin(stage, &err);
    assert_non_null(act);
    recorder_add_command(act, view_of(command), &none);
    recorder_end(act, NULL);
}

static void a_record_comes_whole(void **state)
{
    struct record_stage *stage = *state;
    static const struct view words[] = {VIEW("-c"), VIEW("echo \"hi\"")};
    const struct json_strings arguments = {words, 2};
    struct err err = {0};
    struct audit_act *act = begin(stage, &err);
    recorder_add_command(act, VIEW("sh"), &arguments);
    err_set_reason(&err, ERR_CONFLICT, "sandbox_ended", "it has ended");
    recorder_end(act, &err);
    record_stage_expect(stage,
                        "exec refused " SANDBOX
                        " {\"command\":\"sh -c echo \\\"hi\\\"\",\"reason\":\"sandbox_ended\"}\n");
    assert_string_equal(stage->actor.user_id, USER);
    assert_string_equal(stage->actor.address, "192.0.2.7");
    assert_string_equal(stage->actor.user_agent, "curl/8");
    assert_string_equal(stage->request_id, "r-1");
}

static void a_long_command_is_cut(void **state)
{
    struct record_stage *stage = *state;
    static char word[8192];
    const struct view words[] = {{word, sizeof word}, {word, sizeof word}};
    const struct json_strings arguments = {words, 2};
    struct err err = {0};
    memset(word, 'x', sizeof word);
    struct audit_act *act = begin(stage, &err);
    recorder_add_command(act, VIEW("echo"), &arguments);
    assert_in_range(strlen(audit_act_record(act)->detail), 600, AUDIT_DETAIL_SIZE - 1);
    recorder_end(act, NULL);
}

static void what_happens_while_the_service_is_away_comes_behind_it(void **state)
{
    struct record_stage *stage = *state;
    record(stage, "before");
    record_stage_expect(stage, "exec ok " SANDBOX " {\"command\":\"before\"}\n");
    record_stage_stop_serving(stage);
    record(stage, "a");
    record(stage, "b");
    turn_for(stage->loop, 300);
    record_stage_serve(stage);
    record(stage, "c");
    record_stage_expect(stage, "exec ok " SANDBOX " {\"command\":\"a\"}\n"
                               "exec ok " SANDBOX " {\"command\":\"b\"}\n"
                               "exec ok " SANDBOX " {\"command\":\"c\"}\n");
}

static bool was_repeated(void *arg)
{
    const struct record_stage *stage = arg;
    return stage->repeats > 0;
}

static void a_record_whose_answer_is_lost_is_sent_again_as_the_same(void **state)
{
    struct record_stage *stage = *state;
    stage->loses_answers = true;
    record(stage, "once");
    turn_until_true(stage->loop, was_repeated, stage);
    stage->loses_answers = false;
    record_stage_expect(stage, "exec ok " SANDBOX " {\"command\":\"once\"}\n");
    assert_int_equal(stage->records, 1);
}

static void without_room_for_its_record_an_act_does_not_begin(void **state)
{
    struct record_stage *stage = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = begin(stage, &err);
        assert_non_null(acts[i]);
    }
    assert_null(begin(stage, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "audit_unavailable");
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
    record(stage, "again");
    record_stage_expect(stage, "exec ok " SANDBOX " {\"command\":\"again\"}\n");
}

static void the_setting_says_what_is_recorded(void **state)
{
    struct record_stage *stage = *state;
    enum recorder_scope scope;
    assert_true(recorder_wants(stage->recorder, AUDIT_EXEC));
    assert_false(recorder_wants(stage->recorder, AUDIT_FILE_WRITTEN));
    assert_false(recorder_wants(NULL, AUDIT_EXEC));
    assert_true(recorder_scope_parse(VIEW("all"), &scope));
    assert_int_equal(scope, RECORD_ALL_DATA);
    assert_true(recorder_scope_parse(VIEW("off"), &scope));
    assert_int_equal(scope, RECORD_NO_DATA);
    assert_false(recorder_scope_parse(VIEW("everything"), &scope));
    assert_false(recorder_scope_parse(VIEW(""), &scope));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_comes_whole),
        TEST(a_long_command_is_cut),
        TEST(what_happens_while_the_service_is_away_comes_behind_it),
        TEST(a_record_whose_answer_is_lost_is_sent_again_as_the_same),
        TEST(without_room_for_its_record_an_act_does_not_begin),
        TEST(the_setting_says_what_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
