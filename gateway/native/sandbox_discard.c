#include "gateway/native/sandbox_discard.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/sandbox.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DESTROY_TIMEOUT_MS = 60 * 1000,
    AGAIN_MS = 1000,
};

struct discards {
    const struct gateway *gateway; /* borrowed */
    struct list all;
    size_t count;
};

struct discard {
    struct list node;
    struct discards *discards; /* borrowed */
    struct discard_wait *wait; /* NULL: nobody waits */
    struct ipc_call *call;     /* NULL while again is armed */
    struct timer again;
    struct trace trace;
    struct actor actor;
    int64_t until_ms; /* monotonic */
    struct err err;   /* of the latest try */
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
};

static void discard_free(struct discard *discard)
{
    if (discard->call != NULL) {
        ipc_call_cancel(discard->call);
    }
    timer_close(&discard->again);
    list_remove(&discard->node);
    discard->discards->count--;
    free(discard);
}

/* It is over, as far as it can be. */
static void finish(struct discard *discard)
{
    struct discard_wait *wait = discard->wait;
    discard_free(discard);
    if (wait != NULL) {
        wait->discard = NULL;
        wait->over(wait->arg);
    }
}

static void fail(struct discard *discard, const struct err *err)
{
    if (err->code >= ERR_LIMIT && clock_monotonic_ms() < discard->until_ms) {
        discard->err = *err;
        timer_arm(&discard->again, AGAIN_MS);
        return;
    }
    log_warn("create.undo_failed", LOG_TRACE(&discard->trace),
             LOG_STR("sandbox_id", discard->sandbox_id), LOG_ERR(err));
    finish(discard);
}

static void on_destroyed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct discard *discard = arg;
    discard->call = NULL;
    if (err != NULL && err->code != ERR_NOT_FOUND) { /* else there was nothing to undo */
        fail(discard, err);
    } else {
        finish(discard);
    }
}

static void ask(struct discard *discard)
{
    struct err err = {0};
    char body[2 * ID_SIZE + 40];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\",\"userId\":\"%s\"}",
                          discard->sandbox_id, discard->user_id);
    const struct ipc_call_options options = {.method = SANDBOX_DESTROY,
                                             .trace = &discard->trace,
                                             .actor = &discard->actor,
                                             .timeout_ms = DESTROY_TIMEOUT_MS,
                                             .repeatable = true};
    discard->call =
        ipc_call_begin(discard->discards->gateway->sandbox_service, &options,
                       (struct view){body, (size_t)length}, on_destroyed, discard, &err);
    if (discard->call == NULL) {
        discard->err = err;
        timer_arm(&discard->again, AGAIN_MS);
    }
}

static void on_again(void *arg)
{
    struct discard *discard = arg;
    if (clock_monotonic_ms() < discard->until_ms) {
        ask(discard);
    } else {
        fail(discard, &discard->err);
    }
}

static struct discard *discard_new(struct request *request, struct err *err)
{
    struct discards *discards = request->gateway->discards;
    if (discards->count >= DISCARDS_MAX) {
        err_set(err, ERR_LIMIT, "too many sandboxes are being undone");
        return NULL;
    }
    struct discard *discard = calloc(1, sizeof *discard);
    if (discard == NULL) {
        err_set(err, ERR_INTERNAL, "discard: out of memory");
        return NULL;
    }
    if (!timer_open(&discard->again, request->gateway->loop, on_again, discard, err)) {
        free(discard);
        return NULL;
    }
    discard->discards = discards;
    discard->trace = request->trace;
    discard->actor = *request_actor(request);
    discard->until_ms = clock_monotonic_ms() + DISCARD_MAX_MS;
    memcpy(discard->user_id, request->caller.user_id, ID_SIZE);
    list_append(&discards->all, &discard->node);
    discards->count++;
    return discard;
}

/* NULL: it ends when its time is over. */
static struct discard *begin(struct request *request, const char *sandbox_id)
{
    struct err err = {0};
    struct discard *discard = discard_new(request, &err);
    if (discard == NULL) {
        log_error("create.undo_failed", LOG_TRACE(&request->trace),
                  LOG_STR("sandbox_id", sandbox_id), LOG_ERR(&err));
        return NULL;
    }
    memcpy(discard->sandbox_id, sandbox_id, ID_SIZE);
    ask(discard);
    return discard;
}

void sandbox_discard(struct request *request, const char sandbox_id[ID_SIZE])
{
    (void)begin(request, sandbox_id);
}

bool sandbox_discard_await(struct request *request, const char sandbox_id[ID_SIZE],
                           struct discard_wait *wait)
{
    wait->discard = begin(request, sandbox_id);
    if (wait->discard != NULL) {
        wait->discard->wait = wait;
    }
    return wait->discard != NULL;
}

void discard_wait_cancel(struct discard_wait *wait)
{
    if (wait->discard != NULL) {
        wait->discard->wait = NULL;
        wait->discard = NULL;
    }
}

struct discards *discards_new(const struct gateway *gateway, struct err *err)
{
    struct discards *discards = calloc(1, sizeof *discards);
    if (discards == NULL) {
        err_set(err, ERR_INTERNAL, "discards: out of memory");
        return NULL;
    }
    discards->gateway = gateway;
    list_init(&discards->all);
    return discards;
}

void discards_free(struct discards *discards)
{
    if (discards == NULL) {
        return;
    }
    for (LIST_EACH(node, &discards->all)) {
        discard_free(LIST_ENTRY(node, struct discard, node));
    }
    free(discards);
}
