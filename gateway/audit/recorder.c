#include "gateway/audit/recorder.h"

#include "common/base/trace.h"
#include "common/contracts/audit.h"
#include "common/ipc/client.h"
#include "common/json/write.h"

#include <stdlib.h>

enum { APPEND_TIMEOUT_MS = 5000 };

static const struct view service_name = VIEW("gateway");

struct recorder {
    struct ipc_client *auth_service; /* borrowed */
    struct audit_writer *writer;     /* owned */
    enum recorder_scope scope;
    struct ipc_call *call; /* the batch under way; NULL: none */
    audit_stored_fn *done;
    void *done_arg;
};

static const char *const scope_names[] = {
    [RECORD_NO_DATA] = "off", [RECORD_COMMANDS] = "commands", [RECORD_ALL_DATA] = "all"};

bool recorder_scope_parse(struct view name, enum recorder_scope *out)
{
    for (size_t i = 0; i < sizeof scope_names / sizeof scope_names[0]; i++) {
        if (view_equal(name, view_of(scope_names[i]))) {
            *out = (enum recorder_scope)i;
            return true;
        }
    }
    return false;
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct recorder *recorder = arg;
    (void)body;
    recorder->call = NULL;
    recorder->done(err, recorder->done_arg);
}

static bool write_batch(const struct audit_item *items, size_t count, struct str *out,
                        struct err *err)
{
    AUTO(str_free) struct str record = STR_INIT(AUDIT_APPEND_RECORD_MAX);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "service", service_name);
    json_begin_array(&writer, "records");
    for (size_t i = 0; i < count; i++) {
        str_clear(&record);
        audit_item_write(&items[i], &record);
        if (!str_check(&record, "audit record", err)) {
            return false;
        }
        json_string(&writer, NULL, str_view(&record));
    }
    json_end_array(&writer);
    json_end_object(&writer);
    return str_check(out, "audit records", err);
}

static bool store(void *arg, const struct audit_item *items, size_t count, audit_stored_fn *done,
                  void *done_arg, struct err *err)
{
    struct recorder *recorder = arg;
    AUTO(str_free) struct str body = STR_INIT(IPC_MESSAGE_MAX);
    const struct ipc_call_options options = {
        .method = AUDIT_APPEND, .timeout_ms = APPEND_TIMEOUT_MS, .repeatable = true};
    if (!write_batch(items, count, &body, err)) {
        return false;
    }
    recorder->done = done;
    recorder->done_arg = done_arg;
    recorder->call =
        ipc_call_begin(recorder->auth_service, &options, str_view(&body), on_reply, recorder, err);
    return recorder->call != NULL;
}

/* The recorder itself is the sink, and goes with its writer. */
static void free_recorder(void *arg)
{
    free(arg);
}

struct recorder *recorder_open(struct loop *loop, struct ipc_client *auth_service,
                               enum recorder_scope scope, struct err *err)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (recorder == NULL) {
        err_set(err, ERR_INTERNAL, "recorder: out of memory");
        return NULL;
    }
    const struct audit_sink sink = {store, free_recorder, recorder};
    recorder->auth_service = auth_service;
    recorder->scope = scope;
    struct audit_writer *writer = audit_writer_open_to(loop, &sink, err);
    if (writer == NULL) {
        return NULL;
    }
    recorder->writer = writer;
    return recorder;
}

void recorder_drain(struct recorder *recorder, audit_drained_fn *done, void *arg)
{
    audit_writer_drain(recorder->writer, done, arg);
}

void recorder_close(struct recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    audit_writer_stop(recorder->writer);
    if (recorder->call != NULL) {
        ipc_call_cancel(recorder->call);
    }
    audit_writer_close(recorder->writer);
}

struct audit_act *recorder_begin(struct recorder *recorder, enum audit_action action,
                                 const struct actor *actor, const struct trace *trace,
                                 const char sandbox_id[ID_SIZE], struct err *err)
{
    struct audit_act *act =
        audit_act_begin_by(recorder->writer, action, "sandbox", actor, trace->request_id, err);
    if (act != NULL) {
        struct audit_record *record = audit_act_record(act);
        audit_text_set(record->target, sizeof record->target, view_of(sandbox_id));
    }
    return act;
}

void recorder_end(struct audit_act *act, const struct err *err)
{
    if (act != NULL) {
        char target[ID_SIZE];
        audit_text_set(target, sizeof target, view_of(audit_act_record(act)->target));
        audit_act_end_with(act, target, err);
    }
}

void recorder_end_unknown(struct audit_act *act, const char *reason)
{
    struct err err = {0};
    err_set_reason(&err, ERR_UNAVAILABLE, reason, "nobody heard how it ended");
    recorder_end(act, &err);
}

bool recorder_wants(const struct recorder *recorder, enum audit_action action)
{
    return recorder != NULL && (recorder->scope == RECORD_ALL_DATA ||
                                (recorder->scope == RECORD_COMMANDS && action == AUDIT_EXEC));
}

void recorder_add_command(struct audit_act *act, struct view command,
                          const struct json_strings *arguments)
{
    AUTO(str_free) struct str words = STR_INIT(AUDIT_DETAIL_SIZE);
    struct view first = {command.ptr,
                         command.len < AUDIT_DETAIL_SIZE ? command.len : AUDIT_DETAIL_SIZE};
    str_append_view(&words, first);
    for (size_t i = 0; i < arguments->count && words.len + 1 < AUDIT_DETAIL_SIZE; i++) {
        struct view word = arguments->items[i];
        size_t room = AUDIT_DETAIL_SIZE - words.len - 1;
        str_append_char(&words, ' ');
        str_append_view(&words, (struct view){word.ptr, word.len < room ? word.len : room});
    }
    audit_record_add_detail(audit_act_record(act), "command", str_view(&words));
}
