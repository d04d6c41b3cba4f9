#include "gateway/native/client_socket.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/event/loop.h"
#include "common/json/scan.h"
#include "common/json/write.h"
#include "common/ws/socket.h"
#include "gateway/config.h"
#include "gateway/http/websocket.h"
#include "gateway/native/errors.h"
#include "gateway/native/request.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLIENT_ID_MAX = 64,
    FILE_TIMEOUT_MS = 60 * 1000,
    ERROR_MESSAGE_MAX = 4096,
};

/* The clients of one sandbox. */
struct group {
    struct map_node by_sandbox;
    struct list clients;
    struct client_sockets *sockets; /* borrowed */
    struct sandbox_fetch *recheck;  /* NULL while none is in flight */
    char sandbox_id[ID_SIZE];
};

struct client_sockets {
    const struct gateway *gateway; /* borrowed */
    struct map groups;
    size_t count;
    void (*on_drained)(void *arg); /* NULL while not draining */
    void *on_drained_arg;
};

struct client {
    struct list node; /* in its group */
    struct loop_corpse corpse;
    struct group *group;      /* borrowed */
    struct caller caller;     /* whose key it came with */
    struct ws_socket *socket; /* owned */
    struct http_place *place; /* owned; what it counts in for the connection limits */
    struct list pending;
    size_t pending_count;
};

/* One request that the agent has. */
struct pending {
    struct list node;
    struct client *client; /* borrowed */
    struct hub_call *call;
    char id[CLIENT_ID_MAX + 1];
};

/* What a client may ask of the agent. exec has no deadline here: the agent keeps timeoutMs, and the
 * agent's own connection is watched. */
static const struct {
    struct view type;
    int64_t timeout_ms;
} message_types[] = {
    {VIEW("exec"), 0},
    {VIEW("write"), FILE_TIMEOUT_MS},
    {VIEW("read"), FILE_TIMEOUT_MS},
};

struct client_sockets *client_sockets_new(const struct gateway *gateway, struct err *err)
{
    struct client_sockets *sockets = calloc(1, sizeof *sockets);
    if (sockets == NULL) {
        err_set(err, ERR_INTERNAL, "client sockets: out of memory");
        return NULL;
    }
    sockets->gateway = gateway;
    if (!map_init(&sockets->groups, err)) {
        client_sockets_free(sockets);
        return NULL;
    }
    return sockets;
}

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
    map_remove(&group->sockets->groups, &group->by_sandbox);
    free(group);
}

static void free_client(void *object)
{
    free(object);
}

/* The only way out of a client. */
static void finish(struct client *client)
{
    struct group *group = client->group;
    struct client_sockets *sockets = group->sockets;
    for (LIST_EACH(node, &client->pending)) {
        struct pending *pending = LIST_ENTRY(node, struct pending, node);
        hub_call_cancel(pending->call);
        list_remove(&pending->node);
        free(pending);
    }
    ws_socket_free(client->socket);
    client->socket = NULL;
    http_place_free(client->place);
    list_remove(&client->node);
    free_group_if_empty(group);
    loop_free_later(sockets->gateway->loop, &client->corpse, free_client, client);
    sockets->count--;
    if (sockets->count == 0 && sockets->on_drained != NULL) {
        sockets->on_drained(sockets->on_drained_arg);
    }
}

static void on_closed(int code, void *arg)
{
    struct client *client = arg;
    log_debug("client.closed", LOG_STR("sandbox_id", client->group->sandbox_id),
              LOG_INT("code", code));
    finish(client);
}

static void send_error(struct client *client, struct view id, const struct err *err)
{
    struct err ignored = {0};
    AUTO(str_free) struct str out = STR_INIT(ERROR_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_view_or_null(&writer, "id", id);
    json_string(&writer, "type", VIEW("error"));
    json_string(&writer, "error", view_of(errors_sentence(err)));
    json_string(&writer, "code", view_of(errors_code(err)));
    json_end_object(&writer);
    const struct view message = str_view(&out);
    if (out.failed || !ws_send(client->socket, WS_TEXT, &message, 1, &ignored)) {
        log_debug("client.unsent", LOG_STR("sandbox_id", client->group->sandbox_id));
    }
}

/* The agent's answer with the client's id in the place of ours. */
static void send_reply(const struct pending *pending, const struct hub_reply *reply)
{
    struct err ignored = {0};
    char id_member[CLIENT_ID_MAX + sizeof "\"id\":\"\""];
    int length = snprintf(id_member, sizeof id_member, "\"id\":\"%s\"", pending->id);
    size_t before = (size_t)(reply->id_member.ptr - reply->text.ptr);
    const struct view parts[] = {
        {reply->text.ptr, before},
        {id_member, (size_t)length},
        view_from(reply->text, before + reply->id_member.len),
    };
    if (!ws_send(pending->client->socket, WS_TEXT, parts, sizeof parts / sizeof parts[0],
                 &ignored)) {
        log_debug("client.unsent", LOG_STR("sandbox_id", pending->client->group->sandbox_id));
    }
}

/* What was asked for is answered before the socket closes. */
static void close_if_draining(struct client *client)
{
    if (client->group->sockets->on_drained != NULL && client->pending_count == 0) {
        ws_close(client->socket, WS_CLOSE_RESTART, "the gateway restarts");
    }
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct pending *pending = arg;
    struct client *client = pending->client;
    list_remove(&pending->node);
    client->pending_count--;
    if (err != NULL) {
        send_error(client, view_of(pending->id), err);
    } else {
        send_reply(pending, reply);
    }
    free(pending);
    close_if_draining(client);
}

static bool find_type(struct view type, int64_t *timeout_ms, struct err *err)
{
    for (size_t i = 0; i < sizeof message_types / sizeof message_types[0]; i++) {
        if (view_equal(type, message_types[i].type)) {
            *timeout_ms = message_types[i].timeout_ms;
            return true;
        }
    }
    return err_set_reason(err, ERR_INVALID, "unknown_type",
                          "There is no such message type; there are exec, write and read.");
}

static bool forward(struct client *client, struct view text, const struct json_envelope *envelope,
                    struct err *err)
{
    int64_t timeout_ms = 0;
    if (!find_type(envelope->type, &timeout_ms, err)) {
        return false;
    }
    if (client->pending_count >= CLIENT_OUTSTANDING_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy",
                              "More than %d requests of this socket wait for their answer.",
                              CLIENT_OUTSTANDING_MAX);
    }
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        return err_set(err, ERR_INTERNAL, "client request: out of memory");
    }
    pending->client = client;
    (void)view_copy(envelope->id, pending->id, sizeof pending->id);
    size_t before = (size_t)(envelope->id_member.ptr - text.ptr);
    const struct hub_message message = {{text.ptr, before},
                                        view_from(text, before + envelope->id_member.len)};
    struct group *group = client->group;
    pending->call = hub_call_begin(group->sockets->gateway->hub, group->sandbox_id, &message,
                                   timeout_ms, on_reply, pending, err);
    if (pending->call == NULL) {
        free(pending);
        return false;
    }
    list_append(&client->pending, &pending->node);
    client->pending_count++;
    return true;
}

static void on_message(enum ws_opcode opcode, struct view text, void *arg)
{
    struct client *client = arg;
    struct json_envelope envelope = {0};
    struct err err = {0};
    if (opcode != WS_TEXT) {
        ws_close(client->socket, WS_CLOSE_UNSUPPORTED, "no binary frames in this version");
        return;
    }
    if (!json_scan_envelope(text, &envelope, &err)) {
        err_set_reason(&err, ERR_INVALID, "invalid_message", "A message is one JSON object.");
        send_error(client, (struct view){0}, &err);
    } else if (envelope.id.len == 0) {
        err_set_reason(&err, ERR_INVALID, "invalid_message",
                       "A message has an \"id\": a string of 1 to %d plain characters.",
                       CLIENT_ID_MAX);
        send_error(client, (struct view){0}, &err);
    } else if (!forward(client, text, &envelope, &err)) {
        send_error(client, envelope.id, &err);
    }
}

static bool check(struct request *request, struct err *err)
{
    struct view origin = http_exchange_header(request->exchange, "Origin");
    if (!websocket_check(request->exchange, err)) {
        return false;
    }
    if (origin.len > 0 && !gateway_origin_is_allowed(request->gateway->config, origin)) {
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

static void on_rechecked(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    struct group *group = arg;
    group->recheck = NULL;
    bool is_gone = meta != NULL ? !meta->is_live : err->code == ERR_NOT_FOUND;
    if (!is_gone) {
        return; /* Or not known: the next message to the agent tells. */
    }
    for (LIST_EACH(node, &group->clients)) {
        ws_close(LIST_ENTRY(node, struct client, node)->socket, WS_CLOSE_SANDBOX_GONE,
                 "the sandbox has ended");
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
        sandbox_fetch_begin(sandboxes, group->sandbox_id, "", on_rechecked, group, &err);
    if (group->recheck == NULL) {
        log_warn("client.recheck_failed", LOG_STR("sandbox_id", group->sandbox_id), LOG_ERR(&err));
    }
}

/* Takes bev and place. */
static void adopt(struct client_sockets *sockets, const char *sandbox_id,
                  const struct caller *caller, struct bufferevent *bev, struct http_place *place)
{
    static const struct ws_events events = {.on_message = on_message, .on_closed = on_closed};
    struct err err = {0};
    struct client *client = calloc(1, sizeof *client);
    struct group *group = client == NULL ? NULL : make_group(sockets, sandbox_id);
    if (group == NULL) {
        bufferevent_free(bev);
        http_place_free(place);
        free(client);
        return;
    }
    list_init(&client->pending);
    client->group = group;
    client->socket = ws_socket_new(sockets->gateway->loop, WS_SERVER, bev, &ws_answering_limits,
                                   &events, client, &err);
    if (client->socket == NULL) {
        log_error("client.adopt_failed", LOG_ERR(&err));
        http_place_free(place);
        free(client);
        free_group_if_empty(group);
        return;
    }
    client->place = place;
    client->caller = *caller;
    list_append(&group->clients, &client->node);
    sockets->count++;
    /* What was asked before a change of the sandbox, and is answered behind it, is not kept: then
     * the news of its end came before this client. */
    if (sandbox_cache_find(sockets->gateway->sandboxes, sandbox_id) == NULL) {
        recheck(group);
    }
}

void client_socket_handle(struct request *request)
{
    struct err err = {0};
    struct client_sockets *sockets = request->gateway->client_sockets;
    const struct caller caller = request->caller;
    char sandbox_id[ID_SIZE];
    memcpy(sandbox_id, request->id, ID_SIZE);
    if (!check(request, &err)) {
        request_fail(request, &err);
        return;
    }
    struct http_exchange *exchange = request_hand_over(request);
    struct http_place *place = http_exchange_take_place(exchange);
    struct bufferevent *bev = websocket_upgrade(exchange, &err);
    if (bev == NULL) {
        http_place_free(place);
        errors_respond(exchange, &err, NULL);
        return;
    }
    adopt(sockets, sandbox_id, &caller, bev, place);
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

/* arg is the id of a key or of a user. */
static void close_revoked(struct map_node *node, void *arg)
{
    struct group *group = MAP_ENTRY(node, struct group, by_sandbox);
    for (LIST_EACH(client_node, &group->clients)) {
        const struct client *client = LIST_ENTRY(client_node, struct client, node);
        if (strcmp(client->caller.api_key_id, arg) == 0 ||
            strcmp(client->caller.user_id, arg) == 0) {
            ws_close(client->socket, WS_CLOSE_POLICY, "the API key was revoked");
        }
    }
}

void client_sockets_revoke(struct client_sockets *sockets, const char id[ID_SIZE])
{
    char revoked[ID_SIZE];
    memcpy(revoked, id, ID_SIZE);
    map_each(&sockets->groups, close_revoked, revoked);
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
    map_free(&sockets->groups);
    free(sockets);
}
