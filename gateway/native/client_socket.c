#include "gateway/native/client_socket.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/event/loop.h"
#include "common/ws/socket.h"
#include "gateway/config.h"
#include "gateway/http/cors.h"
#include "gateway/http/outflow.h"
#include "gateway/http/websocket.h"
#include "gateway/http/wire.h"
#include "gateway/native/admission.h"
#include "gateway/native/client_life.h"
#include "gateway/native/client_relay.h"
#include "gateway/native/errors.h"
#include "gateway/native/request.h"

#include <stdlib.h>

enum { LOOK_EVERY_MS = 30 * 1000 };

/* The clients of one sandbox. */
struct group {
    struct map_node by_sandbox;
    struct list clients;
    struct client_sockets *sockets; /* borrowed */
    struct sandbox_fetch *recheck;  /* NULL while none is in flight */
    struct client_life life;
    char sandbox_id[ID_SIZE];
};

struct client_sockets {
    const struct gateway *gateway; /* borrowed */
    struct map groups;
    size_t count;
    struct timer look;             /* for clients gone without a word, and expired keys */
    void (*on_drained)(void *arg); /* NULL while not draining */
    void *on_drained_arg;
};

struct client {
    struct list node; /* in its group */
    struct loop_corpse corpse;
    struct group *group;      /* borrowed */
    struct caller caller;     /* whose key it came with */
    struct ws_socket *socket; /* owned */
    struct bufferevent *bev;  /* the socket's */
    struct outflow outflow;
    struct http_place *place; /* owned; what it counts in for the connection limits */
    struct timer end;         /* when what it came with expires; not opened: never */
    struct client_relay relay;
};

static struct group *find_group(const struct client_sockets *sockets, const char *sandbox_id)
{
    struct map_node *node = map_find(&sockets->groups, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct group, by_sandbox);
}

static struct group *make_group(struct client_sockets *sockets, const char *sandbox_id)
{
    struct group *group = find_group(sockets, sandbox_id);
    if (group == NULL && (group = calloc(1, sizeof *group)) != NULL) {
        group->sockets = sockets;
        list_init(&group->clients);
        client_life_begin(&group->life);
        memcpy(group->sandbox_id, sandbox_id, ID_SIZE);
        map_insert(&sockets->groups, &group->by_sandbox, view_of(group->sandbox_id));
    }
    return group;
}

static void free_group_if_empty(struct group *group)
{
    if (!list_is_empty(&group->clients)) {
        return;
    }
    if (group->recheck != NULL) {
        sandbox_fetch_cancel(group->recheck);
    }
    client_life_end(&group->life);
    map_remove(&group->sockets->groups, &group->by_sandbox);
    free(group);
}

/* The only way out of a client. */
static void finish(struct client *client)
{
    struct group *group = client->group;
    struct client_sockets *sockets = group->sockets;
    client_relay_close(&client->relay);
    outflow_end(&client->outflow);
    ws_socket_free(client->socket);
    client->socket = NULL;
    http_place_free(client->place);
    timer_close(&client->end);
    list_remove(&client->node);
    free_group_if_empty(group);
    loop_free_later(sockets->gateway->loop, &client->corpse, free, client);
    sockets->count--;
    if (sockets->count == 0 && sockets->on_drained != NULL) {
        sockets->on_drained(sockets->on_drained_arg);
    }
}

static void on_closed(int code, void *arg)
{
    struct client *client = arg;
    log_debug("client.closed", LOG_TRACE(&client->relay.trace),
              LOG_STR("sandbox_id", client->group->sandbox_id), LOG_INT("code", code));
    finish(client);
}

/* One that takes nothing of what waits for it may just be slow, so neither the socket nor the
 * kernel gives it up soon: but it has to answer the kernel. */
static bool is_lost(const struct client *client)
{
    return ws_backlog(client->socket) > 0 && wire_peer_is_silent(client->bev);
}

static void send_session_back(const struct client *client)
{
    ws_close(client->socket, WS_CLOSE_RESTART, "come back with a new session token");
}

static void end_if_expired(struct client *client)
{
    const struct caller *caller = &client->caller;
    int64_t now_ms = clock_wall_ms();
    if (caller_has_expired(caller, now_ms)) {
        ws_close(client->socket, WS_CLOSE_POLICY,
                 caller_is_client(caller) ? "the token has expired" : "the API key has expired");
    } else if (caller->returns_ms != 0 && caller->returns_ms <= now_ms) {
        send_session_back(client);
    }
}

/* Wall clock; 0: never. */
static int64_t end_of(const struct caller *caller)
{
    return caller->expires_ms != 0 ? caller->expires_ms : caller->returns_ms;
}

static void arm_end(struct client *client)
{
    int64_t left_ms = end_of(&client->caller) - clock_wall_ms();
    timer_arm(&client->end, left_ms > 0 ? left_ms : 0);
}

/* The wall clock may go slower than the loop's. */
static void on_end(void *arg)
{
    struct client *client = arg;
    if (end_of(&client->caller) > clock_wall_ms()) {
        arm_end(client);
    } else {
        end_if_expired(client);
    }
}

/* With its last client the group frees itself. */
static void look_at_group(struct map_node *node, void *arg)
{
    (void)arg;
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        struct client *client = LIST_ENTRY(client_node, struct client, node);
        bool is_last = client_node->next == &group->clients;
        if (is_lost(client)) {
            on_closed(WS_CLOSE_ABNORMAL, client);
        } else {
            end_if_expired(client);
        }
        if (is_last) {
            return;
        }
    }
}

static void on_look(void *arg)
{
    struct client_sockets *sockets = arg;
    timer_arm(&sockets->look, LOOK_EVERY_MS);
    map_each(&sockets->groups, look_at_group, NULL);
}

struct client_sockets *client_sockets_new(const struct gateway *gateway, struct err *err)
{
    struct client_sockets *sockets = calloc(1, sizeof *sockets);
    if (sockets == NULL) {
        err_set(err, ERR_INTERNAL, "client sockets: out of memory");
        return NULL;
    }
    sockets->gateway = gateway;
    if (!map_init(&sockets->groups, err) ||
        !timer_open(&sockets->look, gateway->loop, on_look, sockets, err)) {
        client_sockets_free(sockets);
        return NULL;
    }
    timer_arm(&sockets->look, LOOK_EVERY_MS);
    return sockets;
}

/* What was asked for is answered before the socket closes. */
static void close_if_draining(struct client *client)
{
    if (client->group->sockets->on_drained != NULL && client->relay.unanswered == 0) {
        ws_close(client->socket, WS_CLOSE_RESTART, "the gateway restarts");
    }
}

static void on_answered(void *arg)
{
    close_if_draining(arg);
}

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct client *client = arg;
    struct group *group = client->group;
    if (client_life_on_message(&group->life, group->sockets->gateway, &client->relay)) {
        client_relay_take(&client->relay, opcode, message);
    }
}

static void on_caught_up(void *arg)
{
    struct client *client = arg;
    client_relay_on_drained(&client->relay);
}

static bool check(struct request *request, char session[ID_SIZE], struct err *err)
{
    struct view origin = http_exchange_header(request->exchange, "Origin");
    if (!websocket_check(request->exchange, err) ||
        !client_relay_read_session(request->exchange, session, err)) {
        return false;
    }
    if (origin.len > 0 &&
        !cors_allows(view_of(request->gateway->config->allowed_origins), origin)) {
        return err_set_reason(err, ERR_DENIED, "origin_not_allowed",
                              "This origin is not on the list of ALLOWED_ORIGINS.");
    }
    if (request->gateway->client_sockets->on_drained != NULL) {
        return err_set(err, ERR_UNAVAILABLE, "the gateway stops");
    }
    return request->sandbox.is_live ||
           err_set_reason(err, ERR_CONFLICT, "sandbox_ended", "The sandbox has ended (%s).",
                          request->sandbox.end_reason);
}

static void tell_life(struct group *group, const struct sandbox_meta *meta)
{
    AUTO(str_free) struct str news = STR_INIT(CLIENT_LIFE_NEWS_MAX);
    if (meta == NULL || !client_life_learn(&group->life, meta, &news)) {
        return;
    }
    const struct view text = str_view(&news);
    for (LIST_EACH(node, &group->clients)) {
        struct err ignored = {0}; /* one that closes, or is too far behind and now does */
        (void)!ws_send(LIST_ENTRY(node, struct client, node)->socket, WS_TEXT, &text, 1, &ignored);
    }
}

static void on_rechecked(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    struct group *group = arg;
    group->recheck = NULL;
    bool is_gone = meta != NULL ? !meta->is_live : err->code == ERR_NOT_FOUND;
    if (!is_gone) {
        tell_life(group, meta); /* Or not known: the next message to the agent tells. */
        return;
    }
    struct err gone = {0};
    err_set_reason(&gone, ERR_CONFLICT, "sandbox_gone", "the sandbox has ended");
    for (LIST_EACH(node, &group->clients)) {
        struct client *client = LIST_ENTRY(node, struct client, node);
        client_relay_fail(&client->relay, &gone);
        ws_close(client->socket, WS_CLOSE_SANDBOX_GONE, "the sandbox has ended");
    }
}

static void recheck(struct group *group)
{
    struct sandbox_cache *sandboxes = group->sockets->gateway->sandboxes;
    struct err err = {0};
    if (group->recheck != NULL) {
        sandbox_fetch_cancel(group->recheck); /* It may have looked before the change. */
    }
    group->recheck =
        sandbox_fetch_begin(sandboxes, group->sandbox_id, NULL, on_rechecked, group, &err);
    if (group->recheck == NULL) {
        log_warn("client.recheck_failed", LOG_STR("sandbox_id", group->sandbox_id), LOG_ERR(&err));
    }
}

static void free_half_built(struct client *client)
{
    client_relay_close(&client->relay);
    http_place_free(client->place);
    timer_close(&client->end);
    free_group_if_empty(client->group);
    free(client);
}

/* What the clock is set to meanwhile the regular look finds. */
static bool open_end(struct client *client, struct err *err)
{
    if (end_of(&client->caller) == 0) {
        return true;
    }
    if (!timer_open(&client->end, client->group->sockets->gateway->loop, on_end, client, err)) {
        return false;
    }
    arm_end(client);
    return true;
}

/* False: nobody has bev any more. */
static bool open_parts(struct client *client, struct bufferevent *bev, struct err *err)
{
    static const struct ws_events events = {on_message, on_closed, on_caught_up};
    const struct gateway *gateway = client->group->sockets->gateway;
    if (!open_end(client, err) ||
        !client_relay_open(&client->relay, gateway->hub, client->group->sandbox_id, on_answered,
                           client, err)) {
        bufferevent_free(bev);
        return false;
    }
    /* The kernel is not to give up before the socket does a client that only takes nothing. */
    wire_set_patience(bev, client_limits.stream_stall_max_ms);
    client->socket =
        ws_socket_new(gateway->loop, WS_SERVER, bev, &client_limits, &events, client, err);
    if (client->socket == NULL) {
        return false;
    }
    client->relay.socket = client->socket;
    client->bev = bev;
    if (!outflow_begin(&client->outflow, bev)) {
        ws_socket_free(client->socket);
        return err_set(err, ERR_INTERNAL, "client socket: out of memory");
    }
    ws_set_say_end(client->socket, wire_say_end);
    if (!wire_is_tls(bev)) {
        ws_read_directly(client->socket);
    }
    return true;
}

/* What a request leaves to the socket that it becomes. */
struct arrival {
    char sandbox_id[ID_SIZE];
    struct caller caller;
    struct trace trace;
    struct actor actor;
    char session[ID_SIZE]; /* "": none */
    struct limits *limits; /* borrowed; NULL: messages are free */
    struct limit_request costs;
};

static void set_up_relay(struct client *client, const struct arrival *arrival)
{
    struct client_relay *relay = &client->relay;
    if (arrival->limits != NULL) {
        client_relay_count(relay, arrival->limits, &arrival->costs);
    }
    if (arrival->session[0] != '\0') {
        client_relay_enter_scope(relay, client->group->sockets->gateway->pending,
                                 arrival->caller.user_id, arrival->session);
    }
}

/* Takes bev and place. */
static void adopt(struct client_sockets *sockets, const struct arrival *arrival,
                  struct bufferevent *bev, struct http_place *place)
{
    struct err err = {0};
    struct client *client = calloc(1, sizeof *client);
    struct group *group = client == NULL ? NULL : make_group(sockets, arrival->sandbox_id);
    if (group == NULL) {
        bufferevent_free(bev);
        http_place_free(place);
        free(client);
        return;
    }
    client->group = group;
    client->place = place;
    client->caller = arrival->caller;
    client->relay.trace = arrival->trace;
    client->relay.scopes = arrival->caller.scopes;
    client->relay.recorder = sockets->gateway->recorder;
    client->relay.actor = arrival->actor;
    if (!open_parts(client, bev, &err)) {
        log_error("client.adopt_failed", LOG_TRACE(&arrival->trace), LOG_ERR(&err));
        free_half_built(client);
        return;
    }
    set_up_relay(client, arrival);
    list_append(&group->clients, &client->node);
    sockets->count++;
    /* What was asked before a change of the sandbox, and is answered behind it, is not kept: then
     * the news of its end came before this client. */
    if (sandbox_cache_find(sockets->gateway->sandboxes, arrival->sandbox_id) == NULL) {
        recheck(group);
    }
}

void client_socket_handle(struct request *request)
{
    struct err err = {0};
    struct client_sockets *sockets = request->gateway->client_sockets;
    struct arrival arrival = {
        .caller = request->caller, .trace = request->trace, .actor = *request_actor(request)};
    memcpy(arrival.sandbox_id, request->id, ID_SIZE);
    if (!check(request, arrival.session, &err)) {
        request_fail(request, &err);
        return;
    }
    bool offers = websocket_offers(request->exchange, VIEW(CLIENT_PROTOCOL));
    arrival.limits = admission_of_messages(request, &arrival.costs);
    struct http_exchange *exchange = request_hand_over(request);
    struct http_place *place = http_exchange_take_place(exchange);
    struct bufferevent *bev =
        websocket_upgrade(exchange, offers ? VIEW(CLIENT_PROTOCOL) : VIEW(""), &err);
    if (bev == NULL) {
        http_place_free(place);
        errors_respond(exchange, &err, NULL);
        return;
    }
    adopt(sockets, &arrival, bev, place);
}

void client_sockets_recheck(struct client_sockets *sockets, const char sandbox_id[ID_SIZE])
{
    struct group *group = find_group(sockets, sandbox_id);
    if (group != NULL) {
        recheck(group);
    }
}

static void recheck_node(struct map_node *node, void *arg)
{
    (void)arg;
    recheck(MAP_ENTRY(node, struct group, by_sandbox));
}

void client_sockets_recheck_all(struct client_sockets *sockets)
{
    map_each(&sockets->groups, recheck_node, NULL);
}

static bool is_of_session(const struct client *client)
{
    return client->caller.api_key_id[0] == '\0';
}

struct key_listing {
    void (*on_key)(const char id[ID_SIZE], void *arg);
    void *arg;
};

static void list_keys(struct map_node *node, void *arg)
{
    const struct key_listing *listing = arg;
    const struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        const struct client *client = LIST_ENTRY(client_node, struct client, node);
        const struct caller *caller = &client->caller;
        listing->on_key(is_of_session(client) ? caller->user_id : caller->api_key_id, listing->arg);
    }
}

void client_sockets_each_key(struct client_sockets *sockets,
                             void (*on_key)(const char id[ID_SIZE], void *arg), void *arg)
{
    struct key_listing listing = {on_key, arg};
    map_each(&sockets->groups, list_keys, &listing);
}

struct session_listing {
    void (*on_session)(const char *session_id, void *arg);
    void *arg;
};

static void list_sessions(struct map_node *node, void *arg)
{
    const struct session_listing *listing = arg;
    const struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        const struct client *client = LIST_ENTRY(client_node, struct client, node);
        if (client->caller.session_is_watched) {
            listing->on_session(client->caller.session_id, listing->arg);
        }
    }
}

void client_sockets_each_session(struct client_sockets *sockets,
                                 void (*on_session)(const char *session_id, void *arg), void *arg)
{
    struct session_listing listing = {on_session, arg};
    map_each(&sockets->groups, list_sessions, &listing);
}

struct revocation {
    const char *id;
};

static const char *why_revoked(const struct caller *caller, const char *id)
{
    if (strcmp(caller->user_id, id) == 0) {
        return "the account is suspended or gone";
    }
    return caller->api_key_id[0] == '\0' ? "the session has ended" : "the API key was revoked";
}

static void close_revoked(struct map_node *node, void *arg)
{
    const struct revocation *revocation = arg;
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        const struct client *client = LIST_ENTRY(client_node, struct client, node);
        if (caller_is_of(&client->caller, revocation->id)) {
            ws_close(client->socket, WS_CLOSE_POLICY, why_revoked(&client->caller, revocation->id));
        }
    }
}

void client_sockets_revoke(struct client_sockets *sockets, const char *id)
{
    struct revocation revocation = {id};
    map_each(&sockets->groups, close_revoked, &revocation);
}

static void send_sessions_back(struct map_node *node, void *arg)
{
    (void)arg;
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        const struct client *client = LIST_ENTRY(client_node, struct client, node);
        if (is_of_session(client)) {
            send_session_back(client);
        }
    }
}

void client_sockets_recheck_sessions(struct client_sockets *sockets)
{
    map_each(&sockets->groups, send_sessions_back, NULL);
}

static void close_group(struct map_node *node, void *arg)
{
    (void)arg;
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        close_if_draining(LIST_ENTRY(client_node, struct client, node));
    }
}

void client_sockets_drain(struct client_sockets *sockets, void (*on_drained)(void *arg), void *arg)
{
    sockets->on_drained = on_drained;
    sockets->on_drained_arg = arg;
    if (sockets->count == 0) {
        on_drained(arg);
        return;
    }
    map_each(&sockets->groups, close_group, NULL);
}

/* Ends one group; with its last client it frees itself. */
static void end_group(struct map_node *node, void *arg)
{
    (void)arg;
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        bool is_last = client_node->next == &group->clients;
        finish(LIST_ENTRY(client_node, struct client, node));
        if (is_last) {
            return;
        }
    }
}

void client_sockets_free(struct client_sockets *sockets)
{
    if (sockets == NULL) {
        return;
    }
    sockets->on_drained = NULL;
    if (sockets->groups.buckets != NULL) {
        map_each(&sockets->groups, end_group, NULL);
    }
    timer_close(&sockets->look);
    map_free(&sockets->groups);
    free(sockets);
}
