#include "gateway/cache/activity.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/contracts/life.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 5000,
    PAIR_TEXT_MAX = ID_SIZE + ACTIVE_AGE_DIGITS_MAX + 8,
    REPORT_MAX = ACTIVE_IDS_MAX * PAIR_TEXT_MAX + 256,
};

static const struct {
    const char *name;
    enum activity_kind kind;
} kind_names[] = {
    {"requests", ACTIVITY_REQUESTS},
    {"messages", ACTIVITY_MESSAGES},
    {"streams", ACTIVITY_STREAMS},
    {"commands", ACTIVITY_COMMANDS},
};

struct active {
    struct map_node by_id;
    struct list node;
    int64_t last_ms; /* monotonic */
    char sandbox_id[ID_SIZE];
};

struct activity {
    struct ipc_client *sandbox_service; /* borrowed */
    struct map by_id;
    struct list all; /* the same: those that were active since the report before the last */
    struct timer due;
    int64_t reported_ms;  /* when the last report went */
    unsigned kinds;       /* that count */
    bool soon;            /* the next one goes before its time */
    activity_ask_fn *ask; /* NULL: none */
    void *ask_arg;
    char gateway_id[ID_SIZE];
};

static void forget(struct activity *activity, struct active *active)
{
    map_remove(&activity->by_id, &active->by_id);
    list_remove(&active->node);
    free(active);
}

static unsigned find_kind(struct view name)
{
    for (size_t i = 0; i < sizeof kind_names / sizeof kind_names[0]; i++) {
        if (view_equal(name, view_of(kind_names[i].name))) {
            return kind_names[i].kind;
        }
    }
    return 0;
}

bool activity_kinds_parse(struct view names, unsigned *out)
{
    *out = 0;
    do {
        unsigned kind = find_kind(view_cut(&names, ','));
        if (kind == 0) {
            return false;
        }
        *out |= kind;
    } while (names.len > 0);
    return true;
}

void activity_note(struct activity *activity, const char sandbox_id[ID_SIZE], unsigned kinds)
{
    if (activity == NULL || (activity->kinds & kinds) == 0) {
        return;
    }
    struct map_node *node = map_find(&activity->by_id, view_of(sandbox_id));
    if (node != NULL) {
        MAP_ENTRY(node, struct active, by_id)->last_ms = clock_monotonic_ms();
        return;
    }
    struct active *active =
        activity->by_id.count >= ACTIVITY_SANDBOXES_MAX ? NULL : calloc(1, sizeof *active);
    if (active == NULL) {
        log_warn("activity.not_noted", LOG_STR("sandbox_id", sandbox_id));
        return;
    }
    active->last_ms = clock_monotonic_ms();
    memcpy(active->sandbox_id, sandbox_id, ID_SIZE);
    map_insert(&activity->by_id, &active->by_id, view_of(active->sandbox_id));
    list_append(&activity->all, &active->node);
    if (!activity->soon) {
        activity->soon = true;
        timer_arm(&activity->due, ACTIVITY_SOON_MS);
    }
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    if (err != NULL) {
        log_debug("activity.report_failed", LOG_ERR(err)); /* nor does it end anything meanwhile */
    }
}

/* Up to ACTIVE_IDS_MAX from *next on; moves *next behind them. Those that were quiet since the last
 * report are forgotten. Returns how many there are. */
static size_t write_report(struct activity *activity, struct list **next, int64_t now_ms,
                           struct str *out)
{
    size_t count = 0;
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "gatewayId", view_of(activity->gateway_id));
    json_begin_object(&writer, "active");
    while (*next != &activity->all && count < ACTIVE_IDS_MAX) {
        struct active *active = LIST_ENTRY(*next, struct active, node);
        *next = (*next)->next;
        if (active->last_ms < activity->reported_ms) {
            forget(activity, active);
            continue;
        }
        char age[24];
        (void)snprintf(age, sizeof age, "%" PRId64, now_ms - active->last_ms);
        json_pair(&writer, view_of(active->sandbox_id), view_of(age));
        count++;
    }
    json_end_object(&writer);
    json_end_object(&writer);
    return count;
}

static void send_report(struct activity *activity, const struct str *body)
{
    struct err err = {0};
    const struct ipc_call_options options = {
        .method = SANDBOX_ACTIVE, .timeout_ms = CALL_TIMEOUT_MS, .repeatable = true};
    if (!str_check(body, "the active", &err) ||
        ipc_call_begin(activity->sandbox_service, &options, str_view(body), on_reply, NULL, &err) ==
            NULL) {
        log_warn("activity.report_failed", LOG_ERR(&err));
    }
}

static void on_due(void *arg)
{
    struct activity *activity = arg;
    if (activity->ask != NULL) {
        activity->soon = true; /* what is noted now goes into this report */
        activity->ask(activity->ask_arg);
    }
    int64_t now_ms = clock_monotonic_ms();
    struct list *next = activity->all.next;
    while (next != &activity->all) {
        struct str body = STR_INIT(REPORT_MAX);
        if (write_report(activity, &next, now_ms, &body) > 0) {
            send_report(activity, &body);
        }
        str_free(&body);
    }
    activity->reported_ms = now_ms;
    activity->soon = false;
    timer_arm(&activity->due, ACTIVITY_REPORT_MS);
}

struct activity *activity_open(struct loop *loop, struct ipc_client *sandbox_service,
                               const char gateway_id[ID_SIZE], unsigned kinds, struct err *err)
{
    struct activity *activity = calloc(1, sizeof *activity);
    if (activity == NULL) {
        err_set(err, ERR_INTERNAL, "activity: out of memory");
        return NULL;
    }
    activity->sandbox_service = sandbox_service;
    activity->kinds = kinds;
    memcpy(activity->gateway_id, gateway_id, ID_SIZE);
    list_init(&activity->all);
    if (!map_init(&activity->by_id, err) ||
        !timer_open(&activity->due, loop, on_due, activity, err)) {
        activity_close(activity);
        return NULL;
    }
    timer_arm(&activity->due, ACTIVITY_REPORT_MS);
    return activity;
}

void activity_close(struct activity *activity)
{
    if (activity == NULL) {
        return;
    }
    for (LIST_EACH(node, &activity->all)) {
        forget(activity, LIST_ENTRY(node, struct active, node));
    }
    map_free(&activity->by_id);
    timer_close(&activity->due);
    free(activity);
}

void activity_set_source(struct activity *activity, activity_ask_fn *ask, void *arg)
{
    activity->ask = ask;
    activity->ask_arg = arg;
}
