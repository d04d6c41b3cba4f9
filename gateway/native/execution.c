#include "gateway/native/execution.h"

#include "common/contracts/agent.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/execution_run.h"
#include "gateway/native/making.h"
#include "gateway/native/sandbox_discard.h"

#include <stdlib.h>

enum {
    WRITE_TIMEOUT_MS = 30 * 1000,
    RUN_MESSAGE_MAX = 4 * AGENT_ASK_MAX,
    AGENT_GRACE_MS = 30 * 1000, /* an agent that is silent for longer than a run may take */
    ANSWER_FRAME_MAX = 1024,    /* of an answer, besides results */
    GONE_MAX_MS = 2000,         /* that an answer waits for its sandbox to be gone */
};

/* In the order it happens: files as often as there are files, runs as often as there are tests. */
enum step { STEP_CREATE, STEP_FILES, STEP_COMPILE, STEP_RUNS };

struct execution {
    struct request *request;           /* borrowed */
    const struct execute_order *order; /* borrowed */
    size_t answer_max;
    execution_done_fn *done;
    void *arg;
    enum step step;
    char sandbox_id[ID_SIZE];
    bool is_in_common; /* and not in the template of the language */
    bool may_exist;    /* the sandbox: it has to be destroyed */
    size_t next;       /* of the files, or of the runs */
    struct making *making;
    struct hub_call *hub_call;
    const char *verdict;       /* NULL: all is well so far */
    struct str compile_result; /* JSON objects, as they go into the answer */
    struct str last_run;       /* members alone, without the braces */
    struct str tests;          /* items, with their commas */
    struct str answer;
    struct err err;           /* in place of the answer */
    struct discard_wait gone; /* what is left to wait for, at the end */
    struct timer gone_due;
};

static void on_agent_reply(const struct hub_reply *reply, const struct err *err, void *arg);

static void cancel_in_flight(struct execution *execution)
{
    if (execution->making != NULL) {
        making_cancel(TAKE(execution->making));
    }
    if (execution->hub_call != NULL) {
        hub_call_cancel(TAKE(execution->hub_call));
    }
}

static void free_execution(struct execution *execution)
{
    discard_wait_cancel(&execution->gone);
    timer_close(&execution->gone_due);
    str_free(&execution->answer);
    str_free(&execution->compile_result);
    str_free(&execution->last_run);
    str_free(&execution->tests);
    free(execution);
}

void execution_cancel(struct execution *execution)
{
    cancel_in_flight(execution);
    if (execution->may_exist) {
        sandbox_discard(execution->request, execution->sandbox_id);
    }
    free_execution(execution);
}

/* The only way out, besides that. */
static void conclude(void *arg)
{
    struct execution *execution = arg;
    const struct view answer = str_view(&execution->answer);
    bool is_well = execution->err.code == ERR_NONE;
    execution->done(is_well ? &answer : NULL, is_well ? NULL : &execution->err, execution->arg);
    free_execution(execution);
}

/* Whoever hears of it may have the next: its sandbox counts no more, unless that takes long. */
static void finish(struct execution *execution)
{
    bool existed = execution->may_exist;
    execution->may_exist = false;
    execution->gone = (struct discard_wait){.over = conclude, .arg = execution};
    if (existed &&
        sandbox_discard_await(execution->request, execution->sandbox_id, &execution->gone)) {
        timer_arm(&execution->gone_due, GONE_MAX_MS);
    } else {
        conclude(execution);
    }
}

static void fail(struct execution *execution, const struct err *err)
{
    execution->err = *err;
    finish(execution);
}

static void write_verdict(const struct execution *execution, struct json_writer *writer)
{
    if (execution->order->test_count == 0) {
        return;
    }
    const char *verdict = execution->verdict == NULL ? "accepted" : execution->verdict;
    json_string(writer, "verdict", view_of(verdict));
    AUTO(str_free) struct str tests = STR_INIT(execution->answer_max);
    str_append_char(&tests, '[');
    str_append_view(&tests, str_view(&execution->tests));
    str_append_char(&tests, ']');
    json_raw(writer, "tests", tests.failed ? VIEW("[]") : str_view(&tests));
}

/* All that was done is in the pieces. */
static void answer(struct execution *execution)
{
    struct err err = {0};
    bool is_compiled = execution->step == STEP_RUNS;
    struct str *out = &execution->answer;
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "success", execution->verdict == NULL);
    json_string(&writer, "language", view_of(execution->order->language->name));
    str_append_char(out, ',');
    str_append_view(out, str_view(&execution->last_run));
    json_raw(&writer, "compileResult", str_view(&execution->compile_result));
    if (!is_compiled) {
        json_string(&writer, "error", VIEW("Compilation failed"));
    }
    write_verdict(execution, &writer);
    json_end_object(&writer);
    if (str_check(out, "the answer of an execution", &err) &&
        str_check(&execution->tests, "its tests", &err)) {
        finish(execution);
    } else {
        fail(execution, &err);
    }
}

static void ask(struct execution *execution, struct str *message, int64_t timeout_ms)
{
    struct err err = {0};
    struct hub_message parts;
    if (agent_message(message, &parts, &err)) {
        execution->hub_call =
            hub_call_begin(execution->request->gateway->hub, execution->sandbox_id, &parts,
                           timeout_ms, on_agent_reply, execution, &err);
    }
    if (execution->hub_call == NULL) {
        fail(execution, &err);
    }
}

static void write_file(struct execution *execution, struct view path, struct view content)
{
    const struct agent_write message = {.type = VIEW("write"), .path = path, .content = content};
    AUTO(str_free) struct str text = STR_INIT(AGENT_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_write_schema, &message);
    json_end_object(&writer);
    ask(execution, &text, WRITE_TIMEOUT_MS);
}

static void run_command(struct execution *execution, const struct run_command *command)
{
    AUTO(str_free) struct str text = STR_INIT(RUN_MESSAGE_MAX);
    run_command_write(execution->order, command, &text);
    ask(execution, &text, command->timeout_ms + AGENT_GRACE_MS);
}

static void run_next(struct execution *execution)
{
    const struct execute_order *order = execution->order;
    const struct run_command command = {
        .words = order->language->run,
        .input = order->test_count == 0 ? order->input : order->tests[execution->next].input,
        .timeout_ms = order->timeout_ms,
    };
    run_command(execution, &command);
}

static void compile(struct execution *execution)
{
    const struct run_command command = {.words = execution->order->language->compile,
                                        .timeout_ms = EXECUTE_COMPILE_MS};
    if (command.words[0] == NULL) {
        execution->step = STEP_RUNS;
        run_next(execution);
        return;
    }
    execution->step = STEP_COMPILE;
    run_command(execution, &command);
}

/* The program itself goes last, over a file of the same name. */
static void write_next_file(struct execution *execution)
{
    const struct execute_order *order = execution->order;
    if (execution->next < order->files.count) {
        const struct json_pair *file = &order->files.items[execution->next];
        write_file(execution, file->name, file->value);
    } else {
        write_file(execution, view_of(order->program.source), order->code);
    }
}

static void on_written(struct execution *execution)
{
    execution->next++;
    if (execution->next <= execution->order->files.count) {
        write_next_file(execution);
        return;
    }
    execution->next = 0;
    compile(execution);
}

/* A quarter of the answer is for the compiler's outputs, half for those of the tests, and what both
 * leave of it for the last run's. */
static struct run_result_room compile_room(const struct execution *execution)
{
    return (struct run_result_room){EXECUTION_OUTPUT_MAX, execution->answer_max / 4};
}

static struct run_result_room test_room(const struct execution *execution)
{
    size_t share = execution->answer_max / 2 / execution->order->test_count;
    return (struct run_result_room){EXECUTION_TEST_OUTPUT_MAX, share - RUN_RESULT_FRAME_MAX};
}

static struct run_result_room last_room(const struct execution *execution)
{
    size_t taken = execution->compile_result.len + execution->tests.len + ANSWER_FRAME_MAX +
                   RUN_RESULT_FRAME_MAX;
    return (struct run_result_room){EXECUTION_OUTPUT_MAX, execution->answer_max - taken};
}

static void keep_last(struct execution *execution, const struct run_result *result)
{
    const struct run_result_room room = last_room(execution);
    struct json_writer writer = json_writer_on(&execution->last_run);
    run_result_write(result, &room, &writer);
}

static void write_test(struct execution *execution, const char *verdict,
                       const struct run_result *result)
{
    const struct run_result_room room = test_room(execution);
    struct str *out = &execution->tests;
    str_append_string(out, out->len == 0 ? "" : ",");
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "verdict", view_of(verdict));
    if (result != NULL) {
        run_result_write(result, &room, &writer);
    }
    json_end_object(&writer);
}

static void on_compiled(struct execution *execution, const struct run_result *result)
{
    struct run_end end = run_end_of(result);
    const struct run_result_room room = compile_room(execution);
    struct json_writer writer = json_writer_on(&execution->compile_result);
    json_begin_object(&writer, NULL);
    run_result_write(result, &room, &writer);
    json_end_object(&writer);
    if (verdict_of_end(&end, INT64_MAX) == NULL) {
        execution->step = STEP_RUNS;
        run_next(execution);
        return;
    }
    const struct run_result unrun = {.exit_code = result->exit_code,
                                     .has_exit_code = result->has_exit_code,
                                     .signal = result->signal,
                                     .reason = result->reason,
                                     .duration_ms = result->duration_ms};
    execution->verdict = "compile_error";
    keep_last(execution, &unrun);
    for (size_t i = 0; i < execution->order->test_count; i++) {
        write_test(execution, execution->verdict, NULL);
    }
    answer(execution);
}

static const char *judge(const struct execution *execution, const struct run_result *result)
{
    const struct execute_order *order = execution->order;
    struct run_end end = run_end_of(result);
    const char *verdict = verdict_of_end(&end, order->timeout_ms);
    if (verdict != NULL || order->test_count == 0) {
        return verdict;
    }
    const struct execute_test *test = &order->tests[execution->next];
    bool is_right = !result->truncated &&
                    output_is_expected(test->comparator, result->standard_output, test->expected);
    return is_right ? NULL : "wrong_answer";
}

static void on_run(struct execution *execution, const struct run_result *result)
{
    const struct execute_order *order = execution->order;
    const char *verdict = judge(execution, result);
    if (execution->verdict == NULL) {
        execution->verdict = verdict;
    }
    if (order->test_count > 0) {
        write_test(execution, verdict == NULL ? "accepted" : verdict, result);
    }
    execution->next++;
    if (execution->next < order->test_count) {
        run_next(execution);
        return;
    }
    keep_last(execution, result);
    answer(execution);
}

static void on_ran(struct execution *execution, struct view text)
{
    struct run_result result;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &run_result_schema, &result, NULL, &err);
    if (doc == NULL) {
        err = (struct err){0};
        err_set(&err, ERR_INTERNAL, "the agent answered nonsense");
        fail(execution, &err);
    } else if (execution->step == STEP_COMPILE) {
        on_compiled(execution, &result);
    } else {
        on_run(execution, &result);
    }
}

static bool is_no_template(const struct err *err)
{
    return strcmp(err->reason, "template_not_found") == 0 ||
           strcmp(err->reason, "image_not_found") == 0;
}

/* The deployment lacks what it takes; that is the operator's to mend, and no mistake in the code.
 */
static void explain(const struct execution *execution, struct err *err)
{
    bool has_no_program =
        execution->step >= STEP_COMPILE && strcmp(err->reason, "command_not_found") == 0;
    if (is_no_template(err) || has_no_program) {
        err_set_reason(err, ERR_CONFLICT, "language_unavailable",
                       "There is no template for %s here.", execution->order->language->name);
    }
}

static void on_agent_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct execution *execution = arg;
    struct err failure = {0};
    execution->hub_call = NULL;
    if (err != NULL) {
        fail(execution, err);
    } else if (view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        explain(execution, &failure);
        fail(execution, &failure);
    } else if (execution->step == STEP_FILES) {
        on_written(execution);
    } else {
        on_ran(execution, reply->text);
    }
}

static bool create(struct execution *execution, const char *template_name, struct err *err);

/* A language without a template of its own runs in the common one. */
static bool create_in_common(struct execution *execution, const struct err *why, struct err *err)
{
    if (!is_no_template(why) || execution->is_in_common) {
        return false;
    }
    execution->is_in_common = true;
    /* The other id is taken, if only by a failure. */
    return id_new(execution->sandbox_id, err) && create(execution, LANGUAGE_TEMPLATE_COMMON, err);
}

static void on_made(const struct sandbox_meta *sandbox, const struct err *err, void *arg)
{
    struct execution *execution = arg;
    execution->making = NULL;
    if (err != NULL) {
        struct err failure = *err;
        execution->may_exist = false;
        if (!create_in_common(execution, err, &failure)) {
            explain(execution, &failure);
            fail(execution, &failure);
        }
        return;
    }
    memcpy(execution->sandbox_id, sandbox->id, ID_SIZE);
    execution->step = STEP_FILES;
    write_next_file(execution);
}

static bool create(struct execution *execution, const char *template_name, struct err *err)
{
    struct request *request = execution->request;
    struct sandbox_create message = {
        .template_name = view_of(template_name),
        .timeout_ms = execute_order_life_ms(execution->order),
        .network = VIEW("none"),
    };
    memcpy(message.sandbox_id, execution->sandbox_id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.api_key_id, request->caller.api_key_id, ID_SIZE);
    execution->making = making_begin(request, &message, on_made, execution, err);
    execution->may_exist = execution->making != NULL;
    return execution->may_exist;
}

struct execution *execution_begin(struct request *request, const struct execute_order *order,
                                  size_t answer_max, execution_done_fn *done, void *arg,
                                  struct err *err)
{
    struct execution *execution = calloc(1, sizeof *execution);
    if (execution == NULL) {
        err_set(err, ERR_INTERNAL, "execution: out of memory");
        return NULL;
    }
    execution->request = request;
    execution->order = order;
    execution->done = done;
    execution->arg = arg;
    execution->answer_max = answer_max;
    execution->compile_result = STR_INIT(answer_max);
    execution->last_run = STR_INIT(answer_max);
    execution->tests = STR_INIT(answer_max);
    execution->answer = STR_INIT(answer_max);
    if (!timer_open(&execution->gone_due, request->gateway->loop, conclude, execution, err) ||
        !id_new(execution->sandbox_id, err) ||
        !create(execution, order->language->template_name, err)) {
        free_execution(execution);
        return NULL;
    }
    return execution;
}
