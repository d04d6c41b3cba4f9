/* A message of the gateway's, read as each type that the agent knows, as far as it has no effects
 * on the machine. */
#include "common/json/scan.h"
#include "sandbox-service/agent/requests.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool set_token(void *arg, struct view token)
{
    (void)arg;
    return token.len % 2 == 0;
}

/* Every answer is a JSON object that a gateway can route. */
static void check_answer(void *arg, uint64_t epoch, struct view text)
{
    (void)epoch;
    struct json_envelope envelope;
    struct err err;
    int *answers = arg;
    *answers += 1;
    if (!json_scan_envelope(text, &envelope, &err) || envelope.type.len == 0) {
        abort();
    }
}

static void resolve(struct view path, struct view home)
{
    char home_text[PATH_SIZE];
    char out[PATH_SIZE];
    struct err err;
    if (view_copy(home, home_text, sizeof home_text) &&
        path_resolve(path, "/app", home_text, out, &err)) {
        assert(memchr(out, '\0', sizeof out) != NULL);
    }
}

static void read_exec(const struct reply *reply, struct view text)
{
    struct agent_exec exec;
    struct json_doc *doc = request_parse(reply, text, &agent_exec_schema, &exec);
    if (doc != NULL) {
        assert(exec.cmd.len > 0 && exec.args.count <= EXEC_ARGS_MAX);
        assert(exec.max_output_bytes >= 1 && exec.max_output_bytes <= EXEC_OUTPUT_MAX);
        resolve(exec.cwd, exec.cmd);
    }
    json_doc_free(doc);
}

static void read_file(const struct reply *reply, struct view text)
{
    struct agent_write write;
    struct agent_read read;
    struct json_doc *write_doc = request_parse(reply, text, &agent_write_schema, &write);
    struct json_doc *read_doc = request_parse(reply, text, &agent_read_schema, &read);
    if (write_doc != NULL) {
        resolve(write.path, write.user);
    }
    if (read_doc != NULL) {
        resolve(read.path, read.encoding);
    }
    json_doc_free(write_doc);
    json_doc_free(read_doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *no_entries[] = {NULL};
    struct view text = {(const char *)data, size};
    struct settings settings;
    struct err err;
    int answers = 0;
    const struct requests requests = {
        .settings = &settings, .send = check_answer, .set_token = set_token, .arg = &answers};
    const struct reply reply = {.send = check_answer, .arg = &answers, .id = "x"};
    if (!settings_open(&settings, no_entries, &err)) {
        abort();
    }
    read_exec(&reply, text);
    read_file(&reply, text);
    answers = 0;
    /* Not configured, it does no more than to configure itself. */
    requests_handle(&requests, 1, text);
    assert(answers == 1);
    settings_close(&settings);
    return 0;
}
