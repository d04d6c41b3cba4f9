/* GET /sandbox/{id}/stats: what a sandbox uses now and has used since its start, from its agent; of
 * one that rests, which stays so, what was known last.
 * GET /sandbox/{id}/stats/history: the last hour of it, from Redis, also after its end. */
#include "common/contracts/sandbox.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/stats_text.h"
#include "gateway/stats/history.h"

#include <stdlib.h>

enum { STATS_TIMEOUT_MS = 5000, HISTORY_HEAD_MAX = 256, BYTES_PER_MB = 1024 * 1024 };

/* The request's work: one look at Redis. */
struct look_work {
    struct stats_look *look; /* NULL when it is over */
    bool has_disk;
    int64_t disk_bytes; /* as the engine measured it */
};

static void end_look(void *work)
{
    struct look_work *look = work;
    if (look->look != NULL) {
        stats_look_cancel(TAKE(look->look));
    }
}

static struct look_work *add_work(struct request *request, struct err *err)
{
    struct look_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        err_set(err, ERR_INTERNAL, "stats: out of memory");
        return NULL;
    }
    request_set_work(request, work, end_look);
    return work;
}

static void answer_usage(struct request *request, struct agent_usage *usage)
{
    int64_t limit_mb = request->sandbox.limits.disk_mb;
    usage->disk.has_limit = limit_mb > 0;
    usage->disk.limit_bytes = limit_mb * BYTES_PER_MB;
    AUTO(str_free) struct str out = STR_INIT(STATS_TEXT_MAX);
    stats_text_write(&request->sandbox, usage, &out);
    request_respond_json(request, 200, &out);
}

static void on_usage(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct agent_usage usage;
    struct err failure = {0};
    request->hub_call = NULL;
    if (!agent_replied(request, reply, err)) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(reply->text, &agent_usage_schema, &usage, NULL, &failure);
    if (doc == NULL) {
        failure = (struct err){0};
        err_set(&failure, ERR_INTERNAL, "the agent answered nonsense");
        request_fail(request, &failure);
        return;
    }
    const struct look_work *work = request->work;
    if (work->has_disk) {
        usage.disk.has_bytes = true;
        usage.disk.bytes = work->disk_bytes;
    }
    answer_usage(request, &usage);
}

static void ask_agent(struct request *request)
{
    static const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"stats\"}")};
    struct err err = {0};
    if (agent_is_there(request, &err)) {
        request->hub_call = hub_call_begin(request->gateway->hub, request->id, &message,
                                           STATS_TIMEOUT_MS, on_usage, request, &err);
    }
    if (request->hub_call == NULL) {
        request_fail(request, &err);
        return;
    }
    hub_call_make_quiet(request->hub_call);
}

/* Its agent is silent, and nothing changes. */
static void answer_resting(struct request *request, const struct agent_usage *recent)
{
    const struct resource_limits *limits = &request->sandbox.limits;
    struct agent_usage usage = *recent;
    usage.memory.limit_bytes = limits->memory_mb * BYTES_PER_MB;
    usage.memory.has_limit = true;
    usage.cpu.limit_milli = limits->cpu_milli;
    usage.cpu.has_limit = true;
    usage.pids.limit = limits->pids;
    usage.pids.has_limit = true;
    usage.cpu.now_milli = 0;
    usage.cpu.has_now = true;
    answer_usage(request, &usage);
}

static void on_recent(const struct agent_usage *usage, void *arg)
{
    struct request *request = arg;
    struct look_work *work = request->work;
    work->look = NULL;
    if (sandbox_status_is_resting(view_of(request->sandbox.status))) {
        answer_resting(request, usage);
        return;
    }
    work->has_disk = usage->disk.has_bytes;
    work->disk_bytes = usage->disk.bytes;
    ask_agent(request);
}

void stats_show_handle(struct request *request)
{
    struct err err = {0};
    struct look_work *work = add_work(request, &err);
    if (work == NULL) {
        request_fail(request, &err);
        return;
    }
    work->look =
        stats_recent_begin(request->gateway->stats_history, request->id, on_recent, request, &err);
    if (work->look != NULL) {
        return;
    }
    if (sandbox_status_is_resting(view_of(request->sandbox.status))) {
        answer_resting(request, &(struct agent_usage){0});
    } else {
        ask_agent(request); /* what Redis knows is left out */
    }
}

static void on_looked(const struct view *samples, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct look_work *work = request->work;
    work->look = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(STATS_HISTORY_MAX + HISTORY_HEAD_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(request->id));
    json_int(&writer, "everyMs", STATS_EVERY_MS);
    json_raw(&writer, "samples", *samples);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

void stats_history_handle(struct request *request)
{
    struct err err = {0};
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    int64_t count = parameter_int(&parameters, "limit", 1, STATS_SAMPLES_MAX, STATS_SAMPLES_MAX);
    if (!parameters_check(&parameters, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    struct look_work *work = add_work(request, &err);
    if (work == NULL) {
        request_fail(request, &err);
        return;
    }
    work->look = stats_look_begin(request->gateway->stats_history, request->id, count, on_looked,
                                  request, &err);
    if (work->look == NULL) {
        request_fail(request, &err);
    }
}
