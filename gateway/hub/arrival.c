#include "gateway/hub/arrival.h"

#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "common/ws/handshake.h"
#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "gateway/http/websocket.h"

#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    REFUSAL_DELAY_MS = 1000,
    CONNECT_MESSAGE_MAX = 2 * AGENT_TOKEN_MAX,
};

struct arrival {
    struct list node;
    struct hub *hub;                /* borrowed */
    const struct gateway *gateway;  /* borrowed */
    struct http_exchange *exchange; /* ours until it is answered */
    struct ipc_call *call;
    struct timer refusal_timer;
    struct err refusal;
    char sandbox_id[ID_SIZE];
};

static void finish(struct arrival *arrival)
{
    list_remove(&arrival->node);
    timer_close(&arrival->refusal_timer);
    free(arrival);
}

static void refuse_now(void *arg)
{
    struct arrival *arrival = arg;
    http_on_gone(arrival->exchange, NULL, NULL);
    http_respond_err(arrival->exchange, &arrival->refusal);
    finish(arrival);
}

/* A tenant's root can knock here as often as it likes. Who is refused for good waits for the
 * answer, which, as a sandbox's socket has few places, bounds what the knocking costs others. */
static void refuse(struct arrival *arrival, const struct err *err)
{
    log_info("agent.refused", LOG_TRACE(http_exchange_trace(arrival->exchange)),
             LOG_STR("sandbox_id", arrival->sandbox_id), LOG_ERR(err));
    arrival->refusal = *err;
    timer_arm(&arrival->refusal_timer, err->code >= ERR_UNAVAILABLE ? 0 : REFUSAL_DELAY_MS);
}

static void on_gone(void *arg)
{
    struct arrival *arrival = arg;
    if (arrival->call != NULL) {
        ipc_call_cancel(arrival->call);
    }
    finish(arrival);
}

/* The bearer token, or ?token= for agents that can't set headers. */
static bool read_token(const struct http_exchange *exchange, char token[AGENT_TOKEN_MAX])
{
    struct view header = http_exchange_header(exchange, "Authorization");
    const struct view scheme = VIEW("Bearer ");
    if (header.len > scheme.len &&
        view_equal_nocase((struct view){header.ptr, scheme.len}, scheme)) {
        return view_copy(view_from(header, scheme.len), token, AGENT_TOKEN_MAX);
    }
    return http_query_find(http_exchange_head(exchange)->query, "token", token, AGENT_TOKEN_MAX);
}

static bool write_configure(const struct sandbox_agent_welcome *welcome, struct str *out,
                            struct err *err)
{
    const struct agent_configure configure = {
        .id = VIEW("configure"),
        .type = VIEW("configure"),
        .token = welcome->token,
        .env = welcome->env,
        .files = welcome->files,
        .profile = welcome->profile,
        .work_dir = welcome->work_dir,
        .user = welcome->user,
        .work_dir_chosen = welcome->work_dir_chosen,
        .user_chosen = welcome->user_chosen,
        .start = welcome->start,
    };
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &agent_configure_schema, &configure);
    json_end_object(&writer);
    return str_check(out, "configure", err);
}

static bool welcome_agent(struct arrival *arrival, struct view body, struct err *err)
{
    struct sandbox_agent_welcome welcome;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &sandbox_agent_welcome_schema, &welcome, NULL, err);
    json_doc_mark_secret(doc);
    AUTO(str_free) struct str configure = STR_SECRET(AGENT_MESSAGE_MAX);
    if (doc == NULL || !write_configure(&welcome, &configure, err)) {
        return err_set(err, ERR_INTERNAL, "sandbox-service answered nonsense");
    }
    http_on_gone(arrival->exchange, NULL, NULL);
    struct bufferevent *bev = websocket_upgrade(arrival->exchange, VIEW(""), err);
    if (bev == NULL) {
        return false;
    }
    hub_adopt(arrival->hub, arrival->sandbox_id, bev, &configure);
    return true;
}

static void on_connect_reply(const struct view *body, const struct err *err, void *arg)
{
    struct arrival *arrival = arg;
    struct err failure = {0};
    arrival->call = NULL;
    if (err != NULL) {
        refuse(arrival, err);
        return;
    }
    /* The credential was used; nothing a tenant brings has run yet. */
    hub_unlink_token(arrival->hub, arrival->sandbox_id);
    if (!welcome_agent(arrival, *body, &failure)) {
        refuse(arrival, &failure);
        return;
    }
    finish(arrival);
}

static bool ask(struct arrival *arrival, struct err *err)
{
    char token[AGENT_TOKEN_MAX];
    if (!websocket_check(arrival->exchange, err)) {
        return false;
    }
    if (!read_token(arrival->exchange, token)) {
        return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_agent_token", "no token");
    }
    struct sandbox_agent_connect connect = {.token = view_of(token)};
    memcpy(connect.sandbox_id, arrival->sandbox_id, ID_SIZE);
    memcpy(connect.gateway_id, arrival->gateway->id, ID_SIZE);
    AUTO(str_free) struct str body = STR_INIT(CONNECT_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &sandbox_agent_connect_schema, &connect);
    json_end_object(&writer);
    const struct ipc_call_options options = {
        .method = SANDBOX_AGENT_CONNECT,
        .trace = http_exchange_trace(arrival->exchange),
        .timeout_ms = CONNECT_TIMEOUT_MS,
        .repeatable = true,
    };
    if (!str_check(&body, "agent_connect", err)) {
        return false;
    }
    arrival->call = ipc_call_begin(arrival->gateway->sandbox_service, &options, str_view(&body),
                                   on_connect_reply, arrival, err);
    return arrival->call != NULL;
}

void arrival_begin(struct hub *hub, const struct gateway *gateway, struct list *list,
                   struct http_exchange *exchange, const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL ||
        !timer_open(&arrival->refusal_timer, gateway->loop, refuse_now, arrival, &err)) {
        err_set(&err, ERR_INTERNAL, "arrival: out of memory");
        http_respond_err(exchange, &err);
        free(arrival);
        return;
    }
    arrival->hub = hub;
    arrival->gateway = gateway;
    arrival->exchange = exchange;
    memcpy(arrival->sandbox_id, sandbox_id, ID_SIZE);
    list_append(list, &arrival->node);
    http_on_gone(exchange, on_gone, arrival);
    if (!ask(arrival, &err)) {
        refuse(arrival, &err);
    }
}

void arrivals_cancel(struct list *list)
{
    for (LIST_EACH(node, list)) {
        struct arrival *arrival = LIST_ENTRY(node, struct arrival, node);
        struct err err = {0};
        if (arrival->call != NULL) {
            ipc_call_cancel(arrival->call);
        }
        err_set(&err, ERR_UNAVAILABLE, "the gateway stops");
        arrival->refusal = err;
        refuse_now(arrival);
    }
}
