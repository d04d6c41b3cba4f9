/* GET /sandbox/{id}/stats: what a sandbox uses now and has used since its start, from its agent.
 * GET /sandbox/{id}/stats/history: the last hour of it, from Redis, also after its end. */
#include "gateway/native/agent_ask.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/stats_text.h"
#include "gateway/stats/history.h"

#include <stdlib.h>

enum { STATS_TIMEOUT_MS = 5000, HISTORY_HEAD_MAX = 256 };

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
    AUTO(str_free) struct str out = STR_INIT(STATS_TEXT_MAX);
    stats_text_write(&request->sandbox, &usage, &out);
    request_respond_json(request, 200, &out);
}

void stats_show_handle(struct request *request)
{
    static const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"stats\"}")};
    struct err err = {0};
    if (agent_is_there(request, &err)) {
        request->hub_call = hub_call_begin(request->gateway->hub, request->id, &message,
                                           STATS_TIMEOUT_MS, on_usage, request, &err);
    }
    if (request->hub_call == NULL) {
        request_fail(request, &err);
    }
}

/* The request's work: one look at the history. */
struct history_work {
    struct stats_look *look; /* NULL when it is over */
};

static void end_history(void *work)
{
    struct history_work *history = work;
    if (history->look != NULL) {
        stats_look_cancel(TAKE(history->look));
    }
}

static void on_looked(const struct view *samples, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct history_work *work = request->work;
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
    struct history_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        err_set(&err, ERR_INTERNAL, "history of stats: out of memory");
        request_fail(request, &err);
        return;
    }
    request_set_work(request, work, end_history);
    work->look = stats_look_begin(request->gateway->stats_history, request->id, count, on_looked,
                                  request, &err);
    if (work->look == NULL) {
        request_fail(request, &err);
    }
}
