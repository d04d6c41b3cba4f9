#include "gateway/native/making.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "common/ipc/client.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/agent_errors.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/sandbox_discard.h"

#include <stdlib.h>

enum {
    MESSAGE_MAX = 2 * JSON_BODY_MAX,
    READY_MESSAGE_MAX = 64,
    WARM_TIMEOUT_MS = 2000, /* for an agent that is connected already */
    WARM_TRIES_MAX = 3,     /* before a container is started */
};

struct making {
    struct request *request; /* borrowed */
    making_done_fn *done;
    void *arg;
    int64_t until_ms;            /* monotonic */
    char key[ID_SIZE];           /* chosen; the sandbox's own may be another */
    struct sandbox_meta sandbox; /* once the sandbox-service has answered */
    struct str message;          /* to the sandbox-service */
    struct str configure;        /* to the agent; empty: it is told as it connects */
    bool is_repeated;            /* another call made the sandbox */
    int tries;                   /* waiting ones that did not answer */
    struct ipc_call *ipc_call;   /* this and the next two: at most one is in flight */
    struct hub_call *hub_call;
    struct hub_wait *hub_wait;
};

static ipc_reply_fn on_created;

static void free_making(struct making *making)
{
    str_free(&making->message);
    str_free(&making->configure);
    free(making);
}

void making_cancel(struct making *making)
{
    if (making->ipc_call != NULL) {
        ipc_call_cancel(making->ipc_call);
    }
    if (making->hub_call != NULL) {
        hub_call_cancel(making->hub_call);
    }
    if (making->hub_wait != NULL) {
        hub_wait_cancel(making->hub_wait);
    }
    free_making(making);
}

/* The next three are the ways out. Known refusals made nothing; of anything else it is not known.
 */
static void fail(struct making *making, const struct err *err, bool may_exist)
{
    if (may_exist) {
        sandbox_discard(making->request, making->key);
        repeat_undo(making->request);
    }
    making->done(NULL, err, making->arg);
    free_making(making);
}

/* There is a sandbox. One that another call made stays, and the next repeat finds it: its client
 * may have heard of it and use it. */
static void give_up(struct making *making, const struct err *err)
{
    struct err failure = *err;
    if (making->is_repeated) {
        err_set_reason(&failure, ERR_UNAVAILABLE, "agent_lost", "%s", err->message);
    }
    fail(making, &failure, !making->is_repeated);
}

/* Whoever left and has an Idempotency-Key comes back for the answer. */
static bool nobody_will_know(const struct making *making, struct err *err)
{
    const struct request *request = making->request;
    return request->exchange == NULL && request->repeat == NULL &&
           !err_set(err, ERR_CONFLICT, "nobody waits for the sandbox");
}

static void finish(struct making *making)
{
    struct err err = {0};
    if (nobody_will_know(making, &err)) {
        give_up(making, &err);
        return;
    }
    making->done(&making->sandbox, NULL, making->arg);
    free_making(making);
}

static int64_t left_ms(const struct making *making)
{
    int64_t left = making->until_ms - clock_monotonic_ms();
    return left > 0 ? left : 1;
}

static bool ask(struct making *making, struct err *err)
{
    struct request *request = making->request;
    const struct ipc_call_options options = {.method = SANDBOX_CREATE,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = left_ms(making)};
    making->ipc_call = ipc_call_begin(request->gateway->sandbox_service, &options,
                                      str_view(&making->message), on_created, making, err);
    return making->ipc_call != NULL;
}

static bool write_create(const struct sandbox_create *message, struct str *out, struct err *err)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_create_schema, message);
    json_end_object(&writer);
    return str_check(out, "sandbox.create", err);
}

/* The message once more, with what has to be said of the sandbox that does not answer. */
static bool write_again(struct making *making, struct err *err)
{
    struct sandbox_create message;
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(str_view(&making->message), &sandbox_create_schema, &message, NULL, err);
    if (doc == NULL) {
        return err_set(err, ERR_INTERNAL, "sandbox.create: can't be read again");
    }
    memcpy(message.dead_id, making->sandbox.id, ID_SIZE);
    message.mode = making->tries >= WARM_TRIES_MAX ? VIEW("cold") : VIEW("");
    str_clear(&making->message);
    return write_create(&message, &making->message, err);
}

static void try_another(struct making *making, const struct err *err)
{
    struct err failure = *err;
    if (making->is_repeated) {
        give_up(making, err);
        return;
    }
    log_warn("create.warm_failed", LOG_TRACE(&making->request->trace),
             LOG_STR("sandbox_id", making->sandbox.id), LOG_ERR(err));
    str_clear(&making->configure);
    making->tries++;
    if (making->tries > WARM_TRIES_MAX || nobody_will_know(making, &failure) ||
        !write_again(making, &failure) || !ask(making, &failure)) {
        give_up(making, &failure);
    }
}

static void on_started(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    making->hub_call = NULL;
    if (err != NULL) {
        give_up(making, err);
    } else if (view_equal(reply->type, VIEW("error"))) {
        agent_error_read(reply->text, &failure);
        give_up(making, &failure);
    } else {
        finish(making);
    }
}

static bool call_agent(struct making *making, struct str *text, int64_t timeout_ms,
                       hub_reply_fn *done, struct err *err)
{
    struct hub_message message;
    if (agent_message(text, &message, err)) {
        making->hub_call = hub_call_begin(making->request->gateway->hub, making->sandbox.id,
                                          &message, timeout_ms, done, making, err);
    }
    return making->hub_call != NULL;
}

/* What the template starts serves before the client hears of the sandbox. */
static void wait_for_start(struct making *making)
{
    struct err err = {0};
    AUTO(str_free) struct str text = STR_INIT(READY_MESSAGE_MAX);
    str_append_string(&text, "{\"type\":\"ready\"}");
    if (!call_agent(making, &text, left_ms(making), on_started, &err)) {
        give_up(making, &err);
    }
}

static void on_configured(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    making->hub_call = NULL;
    if (err != NULL) {
        try_another(making, err);
    } else if (!view_equal(reply->type, VIEW("configureResponse"))) {
        err_set_reason(&failure, ERR_UNAVAILABLE, "agent_lost", "the agent refused configure");
        try_another(making, &failure);
    } else {
        finish(making);
    }
}

/* It was told of its sandbox as it connected. */
static void on_new_agent(struct making *making, const struct err *err)
{
    if (err != NULL) {
        give_up(making, err);
    } else if (making->sandbox.has_start) {
        wait_for_start(making);
    } else {
        finish(making);
    }
}

static void on_agent_ready(const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    making->hub_wait = NULL;
    if (making->configure.len == 0) {
        on_new_agent(making, err);
    } else if (err != NULL) {
        try_another(making, err);
    } else if (!call_agent(making, &making->configure, WARM_TIMEOUT_MS, on_configured, &failure)) {
        try_another(making, &failure);
    }
}

/* What the agent of a sandbox that was waiting must be told, too. */
static bool take_info(struct making *making, struct view body, struct err *err)
{
    struct sandbox_info info;
    struct sandbox_agent_welcome welcome;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &sandbox_info_schema, &info, NULL, err);
    AUTO(json_doc_release) struct json_doc *words = NULL;
    making->is_repeated = doc != NULL && info.repeated;
    if (doc == NULL || info.configure.len == 0) {
        return doc != NULL;
    }
    words = json_read(info.configure, &sandbox_agent_welcome_schema, &welcome, NULL, err);
    if (words == NULL) {
        return false;
    }
    const struct agent_configure configure = {.type = VIEW("configure"),
                                              .token = welcome.token,
                                              .env = welcome.env,
                                              .profile = welcome.profile,
                                              .work_dir = welcome.work_dir,
                                              .work_dir_chosen = welcome.work_dir_chosen,
                                              .user = welcome.user,
                                              .user_chosen = welcome.user_chosen};
    struct json_writer writer = json_writer_on(&making->configure);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_configure_schema, &configure);
    json_end_object(&writer);
    return str_check(&making->configure, "configure", err);
}

static void wait_for_agent(struct making *making)
{
    struct err failure = {0};
    int64_t timeout_ms = left_ms(making);
    if (making->configure.len > 0 && timeout_ms > WARM_TIMEOUT_MS) {
        timeout_ms = WARM_TIMEOUT_MS;
    }
    making->hub_wait = hub_wait_begin(making->request->gateway->hub, making->sandbox.id, timeout_ms,
                                      on_agent_ready, making, &failure);
    if (making->hub_wait == NULL) {
        give_up(making, &failure);
    }
}

/* Something that is ours to undo: not what an earlier try may have made and told of. What was found
 * dead is this one's. */
static bool may_exist(const struct making *making, const struct err *err)
{
    return making->tries > 0 || (err->code >= ERR_UNAVAILABLE && !repeat_is_again(making->request));
}

static void on_created(const struct view *body, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    making->ipc_call = NULL;
    if (err != NULL) {
        fail(making, err, may_exist(making, err));
        return;
    }
    if (!sandbox_meta_read(*body, &making->sandbox, &failure) ||
        !take_info(making, *body, &failure)) {
        failure.code = ERR_INTERNAL;
        give_up(making, &failure);
    } else if (nobody_will_know(making, &failure)) {
        give_up(making, &failure);
    } else {
        wait_for_agent(making);
    }
}

struct making *making_begin(struct request *request, const struct sandbox_create *wanted,
                            making_done_fn *done, void *arg, struct err *err)
{
    struct making *making = calloc(1, sizeof *making);
    if (making == NULL) {
        err_set(err, ERR_INTERNAL, "making: out of memory");
        return NULL;
    }
    making->request = request;
    making->done = done;
    making->arg = arg;
    making->until_ms = clock_monotonic_ms() + MAKING_TIMEOUT_MS;
    memcpy(making->key, wanted->sandbox_id, ID_SIZE);
    making->message = STR_INIT(MESSAGE_MAX);
    making->configure = STR_SECRET(MESSAGE_MAX); /* has the agent's token in it */
    if (!write_create(wanted, &making->message, err) || !ask(making, err)) {
        free_making(making);
        return NULL;
    }
    return making;
}
