#include "gateway/cache/session_report.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/contracts/auth.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/gateway.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/request.h"

#include <stdlib.h>

enum {
    ASK_TIMEOUT_MS = 10 * 1000,
    MESSAGE_MAX = AUTH_SESSION_IDS_MAX * (AUTH_SESSION_ID_MAX * 6 + 4) + 64,
};

/* A session to be told of. */
struct named {
    struct map_node by_id;
    struct list node;
    char id[AUTH_SESSION_ID_MAX + 1];
};

struct session_report {
    const struct gateway *gateway; /* borrowed */
    struct timer timer;
    struct ipc_call *call; /* NULL: none in flight */
    struct map ids;        /* while they are collected, and told */
    struct list waiting;
};

static void forget(struct session_report *report, struct named *named)
{
    map_remove(&report->ids, &named->by_id);
    list_remove(&named->node);
    free(named);
}

static void forget_all(struct session_report *report)
{
    for (LIST_EACH(node, &report->waiting)) {
        forget(report, LIST_ENTRY(node, struct named, node));
    }
}

/* Many sockets have the same session. */
static void on_session(const char *session_id, void *arg)
{
    struct session_report *report = arg;
    if (report->ids.count >= SESSION_REPORT_MAX ||
        map_find(&report->ids, view_of(session_id)) != NULL) {
        return;
    }
    struct named *named = calloc(1, sizeof *named);
    if (named == NULL) {
        return; /* the next report has it */
    }
    (void)view_copy(view_of(session_id), named->id, sizeof named->id);
    map_insert(&report->ids, &named->by_id, view_of(named->id));
    list_append(&report->waiting, &named->node);
}

static ipc_reply_fn on_reply;

static bool send_message(struct session_report *report, const struct auth_session_ids *message,
                         struct err *err)
{
    AUTO(str_free) struct str body = STR_INIT(MESSAGE_MAX);
    const struct ipc_call_options options = {
        .method = AUTH_NOTE_SESSIONS, .timeout_ms = ASK_TIMEOUT_MS, .repeatable = true};
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &auth_session_ids_schema, message);
    json_end_object(&writer);
    if (!str_check(&body, "ids of sessions", err)) {
        return false;
    }
    report->call = ipc_call_begin(report->gateway->auth_service, &options, str_view(&body),
                                  on_reply, report, err);
    return report->call != NULL;
}

/* The next report makes good for this one. */
static void give_up(struct session_report *report, const struct err *err)
{
    log_info("sessions.not_told", LOG_ERR(err));
    forget_all(report);
}

static void tell(struct session_report *report)
{
    struct view ids[AUTH_SESSION_IDS_MAX];
    struct auth_session_ids message = {{ids, 0}};
    struct err err = {0};
    for (LIST_EACH(node, &report->waiting)) {
        if (message.session_ids.count == AUTH_SESSION_IDS_MAX) {
            break;
        }
        ids[message.session_ids.count++] = view_of(LIST_ENTRY(node, struct named, node)->id);
    }
    if (message.session_ids.count > 0 && !send_message(report, &message, &err)) {
        give_up(report, &err);
    }
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct session_report *report = arg;
    (void)body;
    report->call = NULL;
    if (err != NULL) {
        give_up(report, err);
        return;
    }
    for (size_t i = 0; i < AUTH_SESSION_IDS_MAX && !list_is_empty(&report->waiting); i++) {
        forget(report, LIST_ENTRY(report->waiting.next, struct named, node));
    }
    tell(report);
}

void session_report_begin(struct session_report *report)
{
    timer_arm(&report->timer, AUTH_NOTE_SESSIONS_MS);
    if (report->call != NULL) {
        return; /* the one before is still on its way */
    }
    client_sockets_each_session(report->gateway->client_sockets, on_session, report);
    requests_each_session(report->gateway->requests, on_session, report);
    tell(report);
}

static void on_timer(void *arg)
{
    session_report_begin(arg);
}

struct session_report *session_report_new(const struct gateway *gateway, struct err *err)
{
    struct session_report *report = calloc(1, sizeof *report);
    if (report == NULL) {
        err_set(err, ERR_INTERNAL, "session report: out of memory");
        return NULL;
    }
    report->gateway = gateway;
    list_init(&report->waiting);
    if (!map_init(&report->ids, err) ||
        !timer_open(&report->timer, gateway->loop, on_timer, report, err)) {
        session_report_free(report);
        return NULL;
    }
    return report;
}

void session_report_free(struct session_report *report)
{
    if (report == NULL) {
        return;
    }
    if (report->call != NULL) {
        ipc_call_cancel(TAKE(report->call));
    }
    forget_all(report);
    map_free(&report->ids);
    timer_close(&report->timer);
    free(report);
}
