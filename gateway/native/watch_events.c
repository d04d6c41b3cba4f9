/* GET /sandbox/{id}/watch?path=: what changes in a folder, as events. watching {path} comes when
 * the watch is armed; then create, modify, remove, move, attrib {path, from?}; overflow when some
 * were lost, here or in the sandbox. */
#include "common/contracts/agent.h"
#include "gateway/hub/stream.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/event_stream.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/routes.h"

enum { EVENT_MAX = 64 * 1024 };

struct watch {
    struct request *request;   /* which this is the work of */
    struct hub_stream *stream; /* owned */
    enum event_format format;
    struct timer ping;
    bool is_begun;
    bool is_held; /* the client has enough: events are dropped */
    bool has_dropped;
};

static void end_watch(void *work)
{
    struct watch *watch = work;
    hub_stream_close(watch->stream);
    watch->stream = NULL;
    timer_close(&watch->ping);
}

static void on_ping(void *arg)
{
    struct watch *watch = arg;
    timer_arm_common(&watch->ping, EVENTS_PING_MS);
    events_send_ping(watch->request, watch->format);
}

/* Sends one event; path and from may be empty. */
static void send_event(struct watch *watch, const char *type, struct view path, struct view from)
{
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(EVENT_MAX);
    struct json_writer writer = event_begin(watch->format, &out, type, NULL);
    if (path.len > 0) {
        json_string(&writer, "path", path);
    }
    if (from.len > 0) {
        json_string(&writer, "from", from);
    }
    event_end(watch->format, &out, &writer);
    if (!str_check(&out, "watch event", &err)) {
        watch->has_dropped = true;
        return;
    }
    watch->is_held = !request_send(watch->request, str_view(&out));
}

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct watch *watch = request->work;
    watch->is_held = false;
    if (watch->has_dropped) {
        watch->has_dropped = false;
        send_event(watch, "overflow", VIEW(""), VIEW(""));
    }
}

struct notice {
    struct view type;
    struct view event;
    struct view path;
    struct view from;
};

static const char *const kinds[] = {"create", "modify",   "remove", "move",
                                    "attrib", "overflow", NULL};

static const struct json_field notice_fields[] = {
    JSON_STRING(struct notice, type, "type"),
    JSON_STRING(struct notice, event, "event", .one_of = kinds),
    JSON_STRING(struct notice, path, "path"),
    JSON_STRING(struct notice, from, "from"),
};

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct watch *watch = arg;
    struct request *request = watch->request;
    struct err failure = {0};
    struct notice armed;
    const struct json_schema schema = JSON_SCHEMA(notice_fields);
    if (err != NULL || view_equal(reply->type, VIEW("error"))) {
        watch->stream = NULL;
    }
    if (!agent_replied(request, reply, err)) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(reply->text, &schema, &armed, NULL, &failure);
    if (doc == NULL ||
        !timer_open(&watch->ping, request->gateway->loop, on_ping, watch, &failure)) {
        request_fail(request, &failure);
        return;
    }
    watch->is_begun = true;
    timer_arm_common(&watch->ping, EVENTS_PING_MS);
    if (events_begin_answer(request, watch->format, on_drained)) {
        send_event(watch, "watching", armed.path, VIEW(""));
    }
}

static void on_text(const struct hub_stream_text *said, void *arg)
{
    struct watch *watch = arg;
    struct err ignored = {0};
    struct notice notice;
    char type[sizeof "overflow"];
    const struct json_schema schema = JSON_SCHEMA(notice_fields);
    if (!watch->is_begun || !view_equal(said->type, VIEW("watchEvent"))) {
        return;
    }
    if (watch->is_held) {
        watch->has_dropped = true;
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(said->text, &schema, &notice, NULL, &ignored);
    if (doc != NULL && notice.event.len > 0 && view_copy(notice.event, type, sizeof type)) {
        send_event(watch, type, notice.path, notice.from);
    }
}

static void on_closed(const char *code, const struct err *err, void *arg)
{
    struct watch *watch = arg;
    struct err failure = {0};
    watch->stream = NULL;
    if (watch->is_begun) {
        request_abort_answer(watch->request);
        return;
    }
    agent_error_of_code(code == NULL ? "" : code, &failure);
    request_fail(watch->request, err != NULL ? err : &failure);
}

static const struct hub_stream_events events = {
    .on_reply = on_reply, .on_text = on_text, .on_closed = on_closed};

static void write_message(const struct file_name *name, bool recursive, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("watch"));
    json_string(&writer, "path", view_of(name->path));
    if (name->user[0] != '\0') {
        json_string(&writer, "user", view_of(name->user));
    }
    json_bool(&writer, "recursive", recursive);
    json_end_object(&writer);
}

static void open_stream(struct watch *watch, const struct file_name *name, bool recursive)
{
    struct request *request = watch->request;
    struct hub_message parts;
    struct err err = {0};
    AUTO(str_free) struct str message = STR_INIT(AGENT_ASK_MAX);
    write_message(name, recursive, &message);
    if (agent_message(&message, &parts, &err)) {
        watch->stream = hub_stream_open(request->gateway->hub, request->id, &parts,
                                        AGENT_FILE_TIMEOUT_MS, &events, watch, &err);
    }
    if (watch->stream == NULL) {
        request_fail(request, &err);
    }
}

void watch_handle(struct request *request)
{
    struct err err = {0};
    struct file_name name;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, &name);
    bool recursive = parameter_bool(&parameters, "recursive", true);
    if (!parameters_check(&parameters, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(&err, ERR_INTERNAL, "watch: out of memory");
        request_fail(request, &err);
        return;
    }
    watch->request = request;
    if (!events_accepted(http_exchange_header(request->exchange, "Accept"), &watch->format)) {
        watch->format = EVENTS_SSE;
    }
    request_set_work(request, watch, end_watch);
    open_stream(watch, &name, recursive);
}
