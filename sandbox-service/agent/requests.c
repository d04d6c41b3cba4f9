#include "sandbox-service/agent/requests.h"

#include "common/json/scan.h"
#include "sandbox-service/agent/secret_files.h"
#include "sandbox-service/agent/starter.h"

enum { SENTENCE_MAX = JSON_VIOLATIONS_MAX * (JSON_PATH_SIZE + JSON_VIOLATION_MESSAGE_SIZE + 4) };

static void refuse(const struct reply *reply, const struct json_violations *violations)
{
    AUTO(str_free) struct str sentence = STR_INIT(SENTENCE_MAX);
    const char *code = "invalid_request";
    for (size_t i = 0; i < violations->count; i++) {
        const struct json_violation *violation = &violations->items[i];
        str_appendf(&sentence, "%s%s%s%s", i == 0 ? "" : "; ", violation->path,
                    violation->path[0] == '\0' ? "" : ": ", violation->message);
    }
    if (violations->count == 1 && strcmp(violations->items[0].path, "path") == 0) {
        code = "invalid_path";
    }
    reply_refuse(reply, code, str_view(&sentence));
}

struct json_doc *request_parse(const struct reply *reply, struct view text,
                               const struct json_schema *schema, void *out)
{
    struct json_violations violations = {.count = 0};
    struct err err;
    struct json_doc *doc = json_read(text, schema, out, &violations, &err);
    if (doc == NULL && violations.count > 0) {
        refuse(reply, &violations);
    } else if (doc == NULL) {
        reply_error(reply, &err);
    }
    return doc;
}

static bool locate(const struct requests *requests, struct request_target *target, struct err *err)
{
    const char *work_dir = settings_work_dir(requests->settings);
    return settings_user(requests->settings, *target->asked_user, &target->user, err) &&
           path_resolve(*target->asked_path, work_dir, target->user.home, target->path, err);
}

struct json_doc *request_parse_target(const struct requests *requests, const struct reply *reply,
                                      struct view text, const struct json_schema *schema, void *out,
                                      struct request_target *target)
{
    struct err err;
    struct json_doc *doc = request_parse(reply, text, schema, out);
    if (doc != NULL && !locate(requests, target, &err)) {
        reply_error(reply, &err);
        json_doc_release(&doc);
        return NULL;
    }
    return doc;
}

/* What can't be read is answered like what can't be started. */
static void begin_start(const struct requests *requests, struct view text)
{
    struct agent_start start = {0};
    struct err err = {0};
    if (text.len == 0 || requests->starter == NULL) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(text, &agent_start_schema, &start, NULL, &err);
    if (doc == NULL) {
        start = (struct agent_start){0};
    }
    starter_begin(requests->starter, &start);
}

static void request_ready(const struct requests *requests, const struct reply *reply,
                          struct view text)
{
    (void)text;
    starter_answer(requests->starter, reply);
}

/* For the user that commands run as; for root where the image has none that may act. */
static bool write_secret_files(const struct requests *requests,
                               const struct agent_configure *configure, struct err *err)
{
    struct user user = {0};
    struct err ignored;
    if (!settings_user(requests->settings, VIEW(""), &user, &ignored)) {
        user = (struct user){0};
    }
    return secret_files_write(SECRET_FILES_DIR, &configure->files, user.uid, user.gid, err);
}

static void request_configure(const struct requests *requests, const struct reply *reply,
                              struct view text)
{
    struct agent_configure configure;
    struct err err;
    bool was_configured = requests->settings->configured;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_configure_schema, &configure);
    if (doc == NULL) {
        return;
    }
    if (!settings_configure(requests->settings, &configure, &err)) {
        reply_error(reply, &err);
        return;
    }
    /* A sandbox that begins has all it asked for; one that lives must not be lost for it. */
    if (!write_secret_files(requests, &configure, &err) && !was_configured) {
        reply_error(reply, &err);
        return;
    }
    if (!requests->set_token(requests->arg, configure.token)) {
        reply_refuse(reply, "invalid_request", VIEW("token: is no token"));
        return;
    }
    if (!was_configured && requests->processes != NULL) {
        exec_warm_up(requests);
        begin_start(requests, configure.start);
    }
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "configureResponse");
    reply_end(reply, &writer);
    if (requests->on_configured != NULL) {
        requests->on_configured(requests->arg);
    }
}

static const struct {
    struct view type;
    request_fn *handle;
    bool needs_configure;
} types[] = {
    {VIEW("configure"), request_configure, false},
    {VIEW("exec"), request_exec, true},
    {VIEW("ready"), request_ready, true},
    {VIEW("attach"), request_attach, true},
    {VIEW("input"), request_input, true},
    {VIEW("closeStdin"), request_close_stdin, true},
    {VIEW("resize"), request_resize, true},
    {VIEW("signal"), request_signal, true},
    {VIEW("ps"), request_ps, true},
    {VIEW("lookup"), request_lookup, true},
    {VIEW("stats"), request_stats, true},
    {VIEW("closeSession"), request_close_session, true},
    {VIEW("write"), request_write, true},
    {VIEW("read"), request_read, true},
    {VIEW("list"), request_list, true},
    {VIEW("stat"), request_stat, true},
    {VIEW("mkdir"), request_mkdir, true},
    {VIEW("rename"), request_rename, true},
    {VIEW("copy"), request_copy, true},
    {VIEW("remove"), request_remove, true},
    {VIEW("upload"), request_upload, true},
    {VIEW("download"), request_download, true},
    {VIEW("watch"), request_watch, true},
    {VIEW("unwatch"), request_unwatch, true},
    {VIEW("dial"), request_dial, true},
};

static void dispatch(const struct requests *requests, const struct reply *reply, struct view type,
                     struct view text)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!view_equal(types[i].type, type)) {
            continue;
        }
        if (types[i].needs_configure && !requests->settings->configured) {
            reply_refuse(reply, "not_configured", VIEW("configure comes first"));
            return;
        }
        types[i].handle(requests, reply, text);
        return;
    }
    reply_refuse(reply, "unknown_type", VIEW("this type of request is not known"));
}

void requests_handle(const struct requests *requests, uint64_t epoch, struct view text)
{
    struct json_envelope envelope;
    struct err err;
    struct reply reply = {.send = requests->send, .arg = requests->arg, .epoch = epoch};
    if (!json_scan_envelope(text, &envelope, &err)) {
        reply_refuse(&reply, "invalid_message", view_of(err.message));
        return;
    }
    if (envelope.id.len == 0 || !view_copy(envelope.id, reply.id, sizeof reply.id)) {
        reply_refuse(&reply, "invalid_message", VIEW("id must be a string of 1 to 64 bytes"));
        return;
    }
    dispatch(requests, &reply, envelope.type, text);
}
