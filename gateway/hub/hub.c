#include "gateway/hub/hub.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/contracts/sandbox.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "common/ws/socket.h"
#include "gateway/cache/activity.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "gateway/hub/arrival.h"
#include "gateway/hub/session.h"
#include "gateway/hub/streams.h"
#include "gateway/hub/waker.h"
#include "gateway/hub/watch.h"

#include <stdlib.h>

enum {
    REPORT_TIMEOUT_MS = 10 * 1000,
    PARTING_ASKS_MAX = 8,
    PARTING_ASK_EVERY_MS = 250,
};

struct hub {
    const struct gateway *gateway; /* borrowed */
    struct watch *watch;           /* owned */
    struct waker *waker;           /* owned */
    struct map current;            /* sandbox id → its newest session */
    struct list sessions;          /* all, the replaced ones until they are closed too */
    struct list arrivals;          /* agents whose token is being checked */
    struct list waits;
    struct list checks;   /* of rows that changed */
    struct list partings; /* calls and streams of lost agents, until it is known why */
    struct timer report_timer;
    const struct hub_observer *observer; /* borrowed; NULL: none */
    void *observer_arg;
    bool closing;
};

struct hub_wait {
    struct list node;
    struct hub *hub;    /* borrowed */
    struct timer timer; /* the deadline; or 0 when the agent is ready */
    bool ready;
    char sandbox_id[ID_SIZE];
    hub_wait_fn *done;
    void *arg;
};

/* The unanswered calls and the streams of one session that closed. When a container died, its
 * agent's connection breaks before the row says why: so the row is asked again for a while. */
struct parting {
    struct list node;
    struct hub *hub; /* borrowed */
    struct session_lost lost;
    struct sandbox_fetch *fetch; /* NULL while waiting to ask */
    struct timer again;
    int asked;
    char sandbox_id[ID_SIZE];
};

/* A row that changed, being asked for. */
struct check {
    struct list node;
    struct hub *hub; /* borrowed */
    struct sandbox_fetch *fetch;
    char sandbox_id[ID_SIZE];
};

static struct session *find(const struct hub *hub, const char *sandbox_id)
{
    struct map_node *node = map_find(&hub->current, view_of(sandbox_id));
    return node == NULL ? NULL : session_of_map_node(node);
}

static void fail_calls(struct list *calls, const struct err *err)
{
    struct list *node;
    while ((node = list_pop(calls)) != NULL) {
        struct hub_call *call = LIST_ENTRY(node, struct hub_call, node);
        call->done(NULL, err, call->arg);
        free(call);
    }
}

static void fail_lost(struct session_lost *lost, const struct sandbox_meta *meta)
{
    struct err err = {0};
    if (meta != NULL && !meta->is_live) {
        err_set_reason(&err, ERR_CONFLICT, "sandbox_gone", "the sandbox ended (%s)",
                       meta->end_reason);
    } else {
        err_set_reason(&err, ERR_UNAVAILABLE, "agent_lost", "the agent's connection broke");
    }
    fail_calls(&lost->calls, &err);
    hub_streams_fail(&lost->streams, &err);
}

static void finish_parting(struct parting *parting, const struct sandbox_meta *meta)
{
    if (parting->fetch != NULL) {
        sandbox_fetch_cancel(parting->fetch);
    }
    list_remove(&parting->node);
    timer_close(&parting->again);
    fail_lost(&parting->lost, meta);
    free(parting);
}

static void on_parting_explained(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    (void)err; /* Then it is just not known. */
    struct parting *parting = arg;
    parting->fetch = NULL;
    bool is_back = find(parting->hub, parting->sandbox_id) != NULL;
    if (meta == NULL || !meta->is_live || is_back || parting->asked >= PARTING_ASKS_MAX) {
        finish_parting(parting, meta);
        return;
    }
    timer_arm(&parting->again, PARTING_ASK_EVERY_MS);
}

static void ask_why(void *arg)
{
    struct parting *parting = arg;
    struct sandbox_cache *sandboxes = parting->hub->gateway->sandboxes;
    struct err err = {0};
    parting->asked++;
    sandbox_cache_forget(sandboxes, parting->sandbox_id);
    parting->fetch = sandbox_fetch_begin(sandboxes, parting->sandbox_id, NULL, on_parting_explained,
                                         parting, &err);
    if (parting->fetch == NULL) {
        finish_parting(parting, NULL);
    }
}

/* Asks whether the sandbox has ended before telling the callers that the agent is lost. */
static void part(struct hub *hub, const char *sandbox_id, struct session_lost *lost)
{
    struct err err = {0};
    struct parting *parting = hub->closing ? NULL : calloc(1, sizeof *parting);
    if (parting == NULL ||
        !timer_open(&parting->again, hub->gateway->loop, ask_why, parting, &err)) {
        free(parting);
        fail_lost(lost, NULL);
        return;
    }
    parting->hub = hub;
    memcpy(parting->sandbox_id, sandbox_id, ID_SIZE);
    list_init(&parting->lost.calls);
    list_init(&parting->lost.streams);
    list_append_all(&parting->lost.calls, &lost->calls);
    list_append_all(&parting->lost.streams, &lost->streams);
    list_append(&hub->partings, &parting->node);
    ask_why(parting);
}

static void on_session_closed(struct session *session, struct session_lost *lost, void *arg)
{
    struct hub *hub = arg;
    bool was_current = find(hub, session_sandbox_id(session)) == session;
    map_remove(&hub->current, session_map_node(session));
    list_remove(session_list_node(session));
    if (was_current && hub->observer != NULL) {
        hub->observer->on_gone(session_sandbox_id(session), hub->observer_arg);
    }
    if (!list_is_empty(&lost->calls) || !list_is_empty(&lost->streams)) {
        part(hub, session_sandbox_id(session), lost);
    }
}

static void on_session_ready(struct session *session, void *arg)
{
    struct hub *hub = arg;
    const char *sandbox_id = session_sandbox_id(session);
    struct session *older = find(hub, sandbox_id);
    if (older != NULL) {
        map_remove(&hub->current, session_map_node(older));
        session_close(older, WS_CLOSE_REPLACED, "a newer agent connected");
    }
    map_insert(&hub->current, session_map_node(session), view_of(sandbox_id));
    log_info("agent.ready", LOG_STR("sandbox_id", sandbox_id));
    for (LIST_EACH(node, &hub->waits)) {
        struct hub_wait *wait = LIST_ENTRY(node, struct hub_wait, node);
        if (strcmp(wait->sandbox_id, sandbox_id) == 0) {
            wait->ready = true;
            timer_arm(&wait->timer, 0);
        }
    }
    if (hub->observer != NULL) {
        hub->observer->on_ready(sandbox_id, hub->observer_arg);
    }
}

void hub_observe(struct hub *hub, const struct hub_observer *observer, void *arg)
{
    hub->observer = observer;
    hub->observer_arg = arg;
}

static void on_session_wanted(struct session *session, void *arg)
{
    struct hub *hub = arg;
    struct err err = {0};
    const char *sandbox_id = session_sandbox_id(session);
    if (!waker_wake(hub->waker, sandbox_id, NULL, &err)) {
        log_warn("hub.not_woken", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
}

void hub_adopt(struct hub *hub, const char sandbox_id[ID_SIZE], struct bufferevent *bev,
               struct str *configure)
{
    const struct session_owner owner = {on_session_ready, on_session_closed, hub,
                                        on_session_wanted};
    struct err err = {0};
    struct session *session =
        session_new(hub->gateway->loop, sandbox_id, bev, configure, &owner, &err);
    if (session == NULL) {
        log_error("agent.adopt_failed", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
        return;
    }
    list_append(&hub->sessions, session_list_node(session));
}

/* When it is not known, silence is what it was. */
static void on_checked(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    (void)err;
    struct check *check = arg;
    struct session *session = find(check->hub, check->sandbox_id);
    if (meta != NULL && session != NULL) {
        session_set_rest(session, sandbox_status_is_resting(view_of(meta->status)));
    }
    list_remove(&check->node);
    free(check);
}

/* Each change asks anew: the answer to an earlier one may be older than this. */
void hub_check(struct hub *hub, const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    if (hub == NULL || find(hub, sandbox_id) == NULL) {
        return;
    }
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return; /* then its agent may be given up, and comes back */
    }
    check->hub = hub;
    memcpy(check->sandbox_id, sandbox_id, ID_SIZE);
    check->fetch =
        sandbox_fetch_begin(hub->gateway->sandboxes, sandbox_id, NULL, on_checked, check, &err);
    if (check->fetch == NULL) {
        log_debug("hub.check_failed", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
        free(check);
        return;
    }
    list_append(&hub->checks, &check->node);
}

void hub_check_all(struct hub *hub)
{
    if (hub == NULL) {
        return;
    }
    for (LIST_EACH(node, &hub->sessions)) {
        hub_check(hub, session_sandbox_id(session_of_list_node(node)));
    }
}

void hub_note_activity(void *arg)
{
    struct hub *hub = arg;
    for (LIST_EACH(node, &hub->sessions)) {
        struct session *session = session_of_list_node(node);
        activity_note(hub->gateway->activity, session_sandbox_id(session),
                      session_take_activity(session));
    }
}

void hub_unlink_token(struct hub *hub, const char sandbox_id[ID_SIZE])
{
    if (hub->watch != NULL) {
        watch_unlink_token(hub->watch, sandbox_id);
    }
}

void hub_accept(struct hub *hub, struct http_exchange *exchange, const char sandbox_id[ID_SIZE])
{
    arrival_begin(hub, hub->gateway, &hub->arrivals, exchange, sandbox_id);
}

bool hub_is_ready(const struct hub *hub, const char sandbox_id[ID_SIZE])
{
    const struct session *session = find(hub, sandbox_id);
    return session != NULL && session_is_ready(session);
}

bool hub_is_awake(const struct hub *hub, const char sandbox_id[ID_SIZE])
{
    return hub_is_ready(hub, sandbox_id) && !session_rests(find(hub, sandbox_id));
}

void hub_set_awake(struct hub *hub, const char sandbox_id[ID_SIZE])
{
    struct session *session = find(hub, sandbox_id);
    if (session != NULL) {
        session_set_rest(session, false);
    }
}

void hub_each_ready(const struct hub *hub, void (*visit)(const char sandbox_id[ID_SIZE], void *arg),
                    void *arg)
{
    for (LIST_EACH(node, &hub->sessions)) {
        struct session *session = session_of_list_node(node);
        const char *sandbox_id = session_sandbox_id(session);
        if (session_is_ready(session) && !session_rests(session) &&
            find(hub, sandbox_id) == session) {
            visit(sandbox_id, arg);
        }
    }
}

static void free_wait(struct hub_wait *wait)
{
    list_remove(&wait->node);
    timer_close(&wait->timer);
    free(wait);
}

static void on_wait_over(void *arg)
{
    struct hub_wait *wait = arg;
    struct err err = {0};
    err_set_reason(&err, ERR_TIMEOUT, "agent_timeout", "the agent did not connect in time");
    hub_wait_fn *done = wait->done;
    void *done_arg = wait->arg;
    bool ready = wait->ready;
    free_wait(wait);
    done(ready ? NULL : &err, done_arg);
}

struct hub_wait *hub_wait_begin(struct hub *hub, const char sandbox_id[ID_SIZE], int64_t timeout_ms,
                                hub_wait_fn *done, void *arg, struct err *err)
{
    struct hub_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        err_set(err, ERR_INTERNAL, "hub wait: out of memory");
        return NULL;
    }
    wait->hub = hub;
    wait->done = done;
    wait->arg = arg;
    wait->ready = hub_is_ready(hub, sandbox_id);
    memcpy(wait->sandbox_id, sandbox_id, ID_SIZE);
    if (!timer_open(&wait->timer, hub->gateway->loop, on_wait_over, wait, err)) {
        free_wait(wait);
        return NULL;
    }
    list_append(&hub->waits, &wait->node);
    timer_arm(&wait->timer, wait->ready ? 0 : timeout_ms);
    return wait;
}

void hub_wait_cancel(struct hub_wait *wait)
{
    free_wait(wait);
}

bool hub_wake(struct hub *hub, const char sandbox_id[ID_SIZE], struct waker_wait *wait,
              struct err *err)
{
    return waker_wake(hub->waker, sandbox_id, wait, err);
}

struct session *hub_session(const struct hub *hub, const char sandbox_id[ID_SIZE], struct err *err)
{
    struct session *session = find(hub, sandbox_id);
    if (session == NULL || !session_is_ready(session)) {
        err_set_reason(err, ERR_UNAVAILABLE, "agent_lost", "no agent is connected");
        return NULL;
    }
    session_want(session);
    return session;
}

struct hub_call *hub_call_begin(struct hub *hub, const char sandbox_id[ID_SIZE],
                                const struct hub_message *message, int64_t timeout_ms,
                                hub_reply_fn *done, void *arg, struct err *err)
{
    struct session *session = hub_session(hub, sandbox_id, err);
    const struct session_request request = {.before = message->before, .after = message->after};
    return session == NULL ? NULL : session_call(session, &request, timeout_ms, done, arg, err);
}

void hub_call_cancel(struct hub_call *call)
{
    hub_call_free(call);
}

bool hub_takes_calls(const struct hub *hub, const char sandbox_id[ID_SIZE])
{
    const struct session *session = find(hub, sandbox_id);
    return session == NULL || !session_is_ready(session) || session_takes_calls(session);
}

bool hub_takes_bytes(const struct hub *hub, const char sandbox_id[ID_SIZE])
{
    const struct session *session = find(hub, sandbox_id);
    return session == NULL || !session_is_ready(session) || session_has_room(session);
}

void hub_room_wait(struct hub *hub, const char sandbox_id[ID_SIZE], struct hub_room *room)
{
    list_append(session_rooms(find(hub, sandbox_id)), &room->node);
}

void hub_room_cancel(struct hub_room *room)
{
    list_remove(&room->node);
}

/* Writes up to REPORT_IDS_MAX ready sandboxes from *next on; moves *next behind them. */
static void write_report(const struct hub *hub, struct list **next, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "gatewayId", view_of(hub->gateway->id));
    json_begin_array(&writer, "connected");
    for (int count = 0; *next != &hub->sessions && count < REPORT_IDS_MAX; *next = (*next)->next) {
        struct session *session = session_of_list_node(*next);
        if (session_is_ready(session)) {
            json_string(&writer, NULL, view_of(session_sandbox_id(session)));
            count++;
        }
    }
    json_end_array(&writer);
    json_end_object(&writer);
}

static void on_report_reply(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    if (err != NULL) {
        log_debug("report.failed", LOG_ERR(err)); /* The next one says it all again. */
    }
}

static void on_report_due(void *arg)
{
    struct hub *hub = arg;
    const struct ipc_call_options options = {.method = SANDBOX_REPORT,
                                             .timeout_ms = REPORT_TIMEOUT_MS};
    struct list *next = hub->sessions.next;
    do {
        struct err err = {0};
        struct str body = STR_INIT(IPC_MESSAGE_MAX / 2);
        write_report(hub, &next, &body);
        if (!str_check(&body, "report", &err) ||
            ipc_call_begin(hub->gateway->sandbox_service, &options, str_view(&body),
                           on_report_reply, NULL, &err) == NULL) {
            log_warn("report.failed", LOG_ERR(&err));
        }
        str_free(&body);
    } while (next != &hub->sessions);
    timer_arm(&hub->report_timer, HUB_REPORT_EVERY_MS);
}

static struct http_listener *on_listen(int listening_fd, char *sandbox_id, void *arg)
{
    const struct hub *hub = arg;
    struct err err = {0};
    struct http_listener *listener =
        http_listen_unix(hub->gateway->http, listening_fd, sandbox_id, &err);
    if (listener == NULL) {
        log_error("agent_socket.failed", LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
    }
    return listener;
}

struct hub *hub_new(const struct gateway *gateway, struct err *err)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL) {
        err_set(err, ERR_INTERNAL, "hub: out of memory");
        return NULL;
    }
    hub->gateway = gateway;
    list_init(&hub->sessions);
    list_init(&hub->arrivals);
    list_init(&hub->waits);
    list_init(&hub->checks);
    list_init(&hub->partings);
    if (!map_init(&hub->current, err) ||
        !timer_open(&hub->report_timer, gateway->loop, on_report_due, hub, err)) {
        hub_free(hub);
        return NULL;
    }
    hub->waker = waker_new(gateway, err);
    if (hub->waker == NULL) {
        hub_free(hub);
        return NULL;
    }
    hub->watch = watch_open(gateway->loop, gateway->config->run_dir, on_listen, hub, err);
    if (hub->watch == NULL) {
        hub_free(hub);
        return NULL;
    }
    timer_arm(&hub->report_timer, HUB_REPORT_EVERY_MS);
    return hub;
}

void hub_stop_listening(struct hub *hub)
{
    if (hub != NULL) {
        watch_close(hub->watch);
        hub->watch = NULL;
    }
}

void hub_free(struct hub *hub)
{
    if (hub == NULL) {
        return;
    }
    hub->closing = true;
    watch_close(hub->watch);
    arrivals_cancel(&hub->arrivals);
    waker_free(hub->waker);
    hub->waker = NULL;
    while (!list_is_empty(&hub->sessions)) {
        session_end(session_of_list_node(hub->sessions.next));
    }
    for (LIST_EACH(node, &hub->checks)) {
        struct check *check = LIST_ENTRY(node, struct check, node);
        sandbox_fetch_cancel(check->fetch);
        list_remove(&check->node);
        free(check);
    }
    for (LIST_EACH(node, &hub->partings)) {
        finish_parting(LIST_ENTRY(node, struct parting, node), NULL);
    }
    for (LIST_EACH(node, &hub->waits)) {
        on_wait_over(LIST_ENTRY(node, struct hub_wait, node));
    }
    timer_close(&hub->report_timer);
    map_free(&hub->current);
    free(hub);
}
