/* A message of the gateway's, read as each type that the agent knows, as far as it has no effects
 * on the machine. */
#include "common/contracts/agent_files.h"
#include "common/contracts/stream.h"
#include "common/json/scan.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/session.h"
#include "sandbox-service/agent/session_script.h"

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

/* What becomes of a command's words. */
static void tell(const struct agent_exec *exec)
{
    struct about about;
    struct err err;
    struct str script = STR_INIT(SESSION_SCRIPT_MAX);
    const struct about_spec spec = {
        .tag = exec->tag, .cmd = exec->cmd, .args = &exec->args, .cwd = exec->cwd};
    if (!about_make(&about, &spec, &err)) {
        abort();
    }
    assert(about.args.len >= 2 && about.args.len <= ABOUT_ARGS_MAX + 2);
    about_free(&about);
    session_script_line(&script, exec, "0123456789abcdef0123456789abcdef");
    assert(!script.failed || exec->env.count > 0); /* its size is checked elsewhere */
    str_free(&script);
}

static void send_frame(void *arg, uint64_t epoch, struct view header, struct view payload)
{
    (void)arg;
    (void)epoch;
    (void)header;
    (void)payload;
}

static bool has_room(void *arg)
{
    (void)arg;
    return true;
}

struct parts {
    struct settings settings;
    struct loop *loop;
    struct processes *processes;
    struct onces *onces;
    struct streams *streams;
    struct sessions *sessions;
};

/* They stay as long as the program. */
static void open_parts(struct parts *parts)
{
    static char *no_entries[] = {NULL};
    static const struct streams_link link = {send_frame, has_room, NULL};
    struct err err;
    parts->loop = loop_new(&err);
    if (parts->loop == NULL || !settings_open(&parts->settings, no_entries, &err)) {
        abort();
    }
    parts->processes = processes_new(parts->loop, &err);
    parts->onces = onces_new(parts->loop, &err);
    parts->streams = streams_new(parts->loop, &link, &err);
    if (parts->processes == NULL || parts->onces == NULL || parts->streams == NULL) {
        abort();
    }
    parts->sessions =
        sessions_new(parts->loop, &parts->settings, parts->processes, parts->streams, &err);
    if (parts->sessions == NULL) {
        abort();
    }
}

static void read_exec(const struct reply *reply, struct view text)
{
    struct agent_exec exec;
    struct json_doc *doc = request_parse(reply, text, &agent_exec_schema, &exec);
    if (doc != NULL) {
        assert(exec.cmd.len > 0 && exec.args.count <= EXEC_ARGS_MAX);
        assert(exec.max_output_bytes >= 1 && exec.max_output_bytes <= EXEC_OUTPUT_MAX);
        assert(exec.spool_bytes >= SPOOL_MIN && exec.spool_bytes <= SPOOL_MAX);
        resolve(exec.cwd, exec.cmd);
        tell(&exec);
    }
    json_doc_free(doc);
}

/* What asks for processes, of which there are none. */
static void ask_of_processes(struct requests *requests, const struct reply *reply, struct view text)
{
    static request_fn *const handlers[] = {
        request_attach, request_input, request_close_stdin, request_resize,
        request_signal, request_ps,    request_lookup,      request_close_session,
    };
    static struct parts parts;
    int *answers = reply->arg;
    if (parts.loop == NULL) {
        open_parts(&parts);
    }
    requests->processes = parts.processes;
    requests->onces = parts.onces;
    requests->streams = parts.streams;
    requests->sessions = parts.sessions;
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        *answers = 0;
        handlers[i](requests, reply, text);
        assert(*answers == 1);
    }
}

/* The requests about files and ports: each text by each of their schemas. */
static void read_files(const struct reply *reply, struct view text)
{
    static const struct json_schema *const schemas[] = {
        &agent_list_schema,    &agent_stat_schema,   &agent_rename_schema,
        &agent_copy_schema,    &agent_remove_schema, &agent_watch_schema,
        &agent_unwatch_schema, &agent_dial_schema,   &agent_download_schema,
    };
    union {
        struct agent_list list;
        struct agent_rename rename;
        struct agent_mkdir mkdir;
        struct agent_upload upload;
        struct agent_download download;
        struct agent_watch watch;
    } request;
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        json_doc_free(request_parse(reply, text, schemas[i], &request));
    }
    struct json_doc *doc = request_parse(reply, text, &agent_mkdir_schema, &request);
    if (doc != NULL) {
        assert(agent_file_mode(request.mkdir.mode, 0) <= FILE_MODE_BITS);
        resolve(request.mkdir.path, request.mkdir.user);
    }
    json_doc_free(doc);
    doc = request_parse(reply, text, &agent_upload_schema, &request);
    if (doc != NULL) {
        assert(request.upload.stream_id >= 1 && request.upload.stream_id <= STREAM_ID_MAX);
        assert(request.upload.size >= 0);
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
    struct requests requests = {
        .settings = &settings, .send = check_answer, .set_token = set_token, .arg = &answers};
    const struct reply reply = {.send = check_answer, .arg = &answers, .id = "x"};
    if (!settings_open(&settings, no_entries, &err)) {
        abort();
    }
    read_exec(&reply, text);
    read_file(&reply, text);
    read_files(&reply, text);
    ask_of_processes(&requests, &reply, text);
    answers = 0;
    /* Not configured, it does no more than to configure itself. */
    requests_handle(&requests, 1, text);
    assert(answers == 1);
    settings_close(&settings);
    return 0;
}
