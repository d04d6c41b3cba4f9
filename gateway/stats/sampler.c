#include "gateway/stats/sampler.h"

#include "common/base/log.h"
#include "common/contracts/agent_stats.h"
#include "common/event/loop.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"
#include "gateway/stats/history.h"

#include <stdlib.h>

enum { ASK_TIMEOUT_MS = STATS_EVERY_MS - 1000 };

struct sampler {
    const struct gateway *gateway; /* borrowed */
    struct timer tick;
    unsigned slot;    /* whose turn it is */
    struct list asks; /* struct ask.node */
    size_t ask_count;
};

/* One sandbox that was asked and has not answered. */
struct ask {
    struct list node;
    struct sampler *sampler; /* borrowed */
    struct hub_call *call;
    char sandbox_id[ID_SIZE];
};

static void free_ask(struct ask *ask)
{
    list_remove(&ask->node);
    ask->sampler->ask_count--;
    free(ask);
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct ask *ask = arg;
    struct agent_usage usage;
    struct err failure = {0};
    /* An agent of before there were stats answers with an error. */
    if (err == NULL && view_equal(reply->type, VIEW("statsResponse"))) {
        AUTO(json_doc_release)
        struct json_doc *doc = json_read(reply->text, &agent_usage_schema, &usage, NULL, &failure);
        if (doc != NULL) {
            stats_history_add(ask->sampler->gateway->stats_history, ask->sandbox_id, &usage);
        } else {
            log_warn("stats.unreadable", LOG_STR("sandbox_id", ask->sandbox_id), LOG_ERR(&failure));
        }
    }
    free_ask(ask);
}

/* Ids are random: their last digits spread well enough. */
static unsigned slot_of(const char sandbox_id[ID_SIZE])
{
    return ((unsigned char)sandbox_id[ID_SIZE - 2] * 16U + (unsigned char)sandbox_id[ID_SIZE - 3]) %
           SAMPLER_SLOTS;
}

static void ask_one(const char sandbox_id[ID_SIZE], void *arg)
{
    static const struct hub_message message = {VIEW("{"), VIEW(",\"type\":\"stats\"}")};
    struct sampler *sampler = arg;
    struct err err = {0};
    if (slot_of(sandbox_id) != sampler->slot || sampler->ask_count >= SAMPLER_ASKS_MAX) {
        return;
    }
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        return;
    }
    ask->sampler = sampler;
    memcpy(ask->sandbox_id, sandbox_id, ID_SIZE);
    ask->call = hub_call_begin(sampler->gateway->hub, sandbox_id, &message, ASK_TIMEOUT_MS,
                               on_reply, ask, &err);
    if (ask->call == NULL) {
        free(ask);
        return;
    }
    hub_call_make_quiet(ask->call);
    list_append(&sampler->asks, &ask->node);
    sampler->ask_count++;
}

static void on_tick(void *arg)
{
    struct sampler *sampler = arg;
    hub_each_ready(sampler->gateway->hub, ask_one, sampler);
    sampler->slot = (sampler->slot + 1) % SAMPLER_SLOTS;
    timer_arm(&sampler->tick, STATS_EVERY_MS / SAMPLER_SLOTS);
}

struct sampler *sampler_new(const struct gateway *gateway, struct err *err)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL) {
        err_set(err, ERR_INTERNAL, "sampler: out of memory");
        return NULL;
    }
    sampler->gateway = gateway;
    list_init(&sampler->asks);
    if (!timer_open(&sampler->tick, gateway->loop, on_tick, sampler, err)) {
        sampler_free(sampler);
        return NULL;
    }
    timer_arm(&sampler->tick, STATS_EVERY_MS / SAMPLER_SLOTS);
    return sampler;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    struct list *node;
    while ((node = list_pop(&sampler->asks)) != NULL) {
        struct ask *ask = LIST_ENTRY(node, struct ask, node);
        hub_call_cancel(ask->call);
        free_ask(ask);
    }
    timer_close(&sampler->tick);
    free(sampler);
}
