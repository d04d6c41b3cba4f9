/* POST /sandbox/{id}/exec: one command. Its whole output in one answer, or as events when Accept
 * asks for them. */
#include "common/contracts/agent.h"
#include "common/json/write.h"
#include "gateway/audit/recorder.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/once.h"
#include "gateway/native/process_stream.h"
#include "gateway/native/routes.h"

static bool read_once(const struct request *request, char out[ONCE_SIZE], struct err *err)
{
    struct view key = http_exchange_header(request->exchange, "Idempotency-Key");
    out[0] = '\0';
    return key.ptr == NULL || once_write(request->caller.user_id, key, out, err);
}

/* Reads the body and writes it anew: what the agent gets has been checked, and nothing else. The
 * stream and the scope of repeats are ours to choose. */
static bool write_message(struct request *request, bool is_streamed,
                          struct process_stream_options *options, struct str *out,
                          struct json_violations *violations, struct err *err)
{
    char once[ONCE_SIZE];
    struct agent_exec exec;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &agent_exec_schema, &exec, violations, err);
    if (doc == NULL || !env_size_check(&exec.env, err) || !read_once(request, once, err)) {
        return false;
    }
    if (request->act != NULL) {
        recorder_add_command(request->act, exec.cmd, &exec.args);
        request_add_detail(request, "user", exec.user);
        request_add_detail(request, "cwd", exec.cwd);
    }
    exec.id = (struct view){0};
    exec.type = VIEW("exec");
    exec.once = view_of(once);
    exec.stream = is_streamed;
    exec.has_stream = is_streamed;
    exec.has_stream_id = false;
    options->base64 = view_equal(exec.output_encoding, VIEW("base64"));
    if (is_streamed) {
        exec.background = false;
    }
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_exec_schema, &exec);
    json_end_object(&writer);
    return str_check(out, "exec", err);
}

void sandbox_exec_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct process_stream_options options = {0};
    AUTO(str_free) struct str message = STR_INIT(AGENT_ASK_MAX);
    bool is_streamed =
        events_accepted(http_exchange_header(request->exchange, "Accept"), &options.format);
    if (!agent_is_there(request, &err) ||
        !write_message(request, is_streamed, &options, &message, &violations, &err)) {
        request_fail_validation(request, &err, &violations);
    } else if (is_streamed) {
        process_stream_begin(request, &message, &options);
    } else {
        agent_ask(request, &message, 0);
    }
}
