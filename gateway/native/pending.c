#include "gateway/native/pending.h"

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/json/write.h"
#include "common/redis/redis.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/hub/hub.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/client_relay.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    REDIS_MS = 3000,
    AGENT_WAIT_MS = 30 * 1000, /* agents come to a new gateway within seconds */
    LOOKUP_MS = 10 * 1000,
    KEY_SIZE = CONFIG_PATH_SIZE + CLIENT_SCOPE_SIZE + ID_SIZE + 32,
    VALUE_SIZE = 256,
    LOOKUP_SIZE = 1024,
    STATE_SIZE = 16,
    TEXT_MAX = 256 * 1024,
};

/* KEYS: the hash. ARGV: field, value, most fields, milliseconds to live. */
#define RECORD_SCRIPT                                                                              \
    "if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[3]) "                                          \
    "or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then "                                        \
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) "                                               \
    "redis.call('PEXPIRE', KEYS[1], ARGV[4]) end"
/* KEYS: the hash. ARGV: field, value. What was recorded anew since it was read stays. */
#define FORGET_SCRIPT                                                                              \
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then "                                     \
    "redis.call('HDEL', KEYS[1], ARGV[1]) end"

struct pending {
    const struct gateway *gateway; /* borrowed */
    struct redis *redis;           /* owned */
    size_t writes;                 /* without an answer */
};

/* A recorded request. */
struct item {
    struct pending_look *look; /* borrowed */
    struct hub_call *call;     /* NULL while none is in flight */
    char id[CLIENT_ID_MAX + 1];
    char value[VALUE_SIZE]; /* as it was read */
    char state[STATE_SIZE]; /* in the agent's words; "": it did not say */
    int64_t pid;            /* 0: none */
};

/* What one client asks about. */
struct pending_look {
    struct pending *pending; /* borrowed */
    char scope[CLIENT_SCOPE_SIZE];
    char sandbox_id[ID_SIZE];
    struct hub_wait *wait; /* NULL while none is in flight */
    struct item *items;    /* owned */
    size_t count;
    size_t unanswered; /* lookups */
    pending_told_fn *done;
    void *arg;
};

/* "insien:<instance>:pending:<user id>:<session>:<sandbox id>" */
static struct view write_key(const struct pending *pending, const struct pending_place *place,
                             char out[KEY_SIZE])
{
    struct view session = view_of(place->scope);
    struct view user = view_cut(&session, '/');
    int length = snprintf(out, KEY_SIZE, "insien:%s:pending:%.*s:%.*s:%s",
                          pending->gateway->config->instance, (int)user.len, user.ptr,
                          (int)session.len, session.ptr, place->sandbox_id);
    return (struct view){out, (size_t)length};
}

struct pending *pending_open(const struct gateway *gateway, struct err *err)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL) {
        err_set(err, ERR_INTERNAL, "pending requests: out of memory");
        return NULL;
    }
    pending->gateway = gateway;
    pending->redis = redis_open(gateway->loop, gateway->config->redis_url, err);
    if (pending->redis == NULL) {
        pending_close(pending);
        return NULL;
    }
    return pending;
}

void pending_close(struct pending *pending)
{
    if (pending == NULL) {
        return;
    }
    redis_close(pending->redis);
    free(pending);
}

static void on_written(const redisReply *reply, const struct err *err, void *arg)
{
    struct pending *pending = arg;
    (void)reply;
    pending->writes--;
    if (err != NULL) {
        log_debug("pending.unwritten", LOG_ERR(err));
    }
}

/* What can't be written now is left out. */
static void write_behind(struct pending *pending, const struct view *words, size_t word_count)
{
    struct err err = {0};
    if (pending->writes >= PENDING_WRITES_MAX) {
        return;
    }
    if (redis_send(pending->redis, words, word_count, REDIS_MS, on_written, pending, &err)) {
        pending->writes++;
    }
}

static bool write_value(const struct pending *pending, const struct pending_place *place,
                        const struct pending_request *request, struct str *out)
{
    struct err ignored = {0};
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(place->sandbox_id));
    json_string(&writer, "gatewayId", view_of(pending->gateway->id));
    if (request->deadline_ms > 0) {
        json_int(&writer, "deadline", request->deadline_ms);
    } else {
        json_null(&writer, "deadline");
    }
    if (request->stream_id > 0) {
        json_int(&writer, "streamId", request->stream_id);
    }
    json_end_object(&writer);
    return str_check(out, "pending request", &ignored);
}

void pending_record(struct pending *pending, const struct pending_place *place,
                    const struct pending_request *request)
{
    char key[KEY_SIZE];
    char most[16];
    char kept[16];
    AUTO(str_free) struct str value = STR_INIT(VALUE_SIZE - 1);
    if (!write_value(pending, place, request, &value)) {
        return;
    }
    (void)snprintf(most, sizeof most, "%d", PENDING_MAX);
    (void)snprintf(kept, sizeof kept, "%d", PENDING_KEPT_MS);
    const struct view words[] = {
        VIEW("EVAL"), VIEW(RECORD_SCRIPT), VIEW("1"),     write_key(pending, place, key),
        request->id,  str_view(&value),    view_of(most), view_of(kept),
    };
    write_behind(pending, words, sizeof words / sizeof words[0]);
}

void pending_settle(struct pending *pending, const struct pending_place *place, struct view id)
{
    char key[KEY_SIZE];
    const struct view words[] = {VIEW("HDEL"), write_key(pending, place, key), id};
    write_behind(pending, words, sizeof words / sizeof words[0]);
}

static struct pending_place place_of(const struct pending_look *look)
{
    return (struct pending_place){look->scope, look->sandbox_id};
}

static void free_look(struct pending_look *look)
{
    free(look->items);
    free(look);
}

static void write_item(struct json_writer *writer, const struct item *item)
{
    json_begin_object(writer, NULL);
    json_string(writer, "id", view_of(item->id));
    json_string(writer, "state", view_of(item->state));
    if (item->pid > 0) {
        json_int(writer, "pid", item->pid);
    }
    json_end_object(writer);
}

/* False when there is nothing to tell. */
static bool write_text(const struct pending_look *look, struct str *out)
{
    size_t told = 0;
    struct err ignored = {0};
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("pending"));
    json_begin_array(&writer, "requests");
    for (size_t i = 0; i < look->count; i++) {
        if (look->items[i].state[0] != '\0') {
            write_item(&writer, &look->items[i]);
            told++;
        }
    }
    json_end_array(&writer);
    json_end_object(&writer);
    return told > 0 && str_check(out, "pending requests", &ignored);
}

/* The only way out but for a cancel. */
static void finish(struct pending_look *look)
{
    AUTO(str_free) struct str text = STR_INIT(TEXT_MAX);
    bool tells = write_text(look, &text);
    look->done(tells ? str_view(&text) : (struct view){0}, look->arg);
    free_look(look);
}

/* The agent never had it, or has it no more. */
static void forget(const struct item *item)
{
    char key[KEY_SIZE];
    struct pending *pending = item->look->pending;
    const struct pending_place place = place_of(item->look);
    const struct view words[] = {
        VIEW("EVAL"),      VIEW(FORGET_SCRIPT),  VIEW("1"), write_key(pending, &place, key),
        view_of(item->id), view_of(item->value),
    };
    write_behind(pending, words, sizeof words / sizeof words[0]);
}

/* An error of the agent, or an answer that can't be read, leaves the state empty. */
static void read_state(struct view text, struct item *item)
{
    struct answer {
        struct view state;
        int64_t pid;
    } answer;
    static const char *const states[] = {"running", "finished", "unknown", NULL};
    static const struct json_field fields[] = {
        JSON_STRING(struct answer, state, "state", .required = true, .one_of = states),
        JSON_INT(struct answer, pid, "pid", .min = 0, .max = INT32_MAX),
    };
    static const struct json_schema schema = JSON_SCHEMA(fields);
    struct err ignored = {0};
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &answer, NULL, &ignored);
    if (doc != NULL) {
        (void)view_copy(answer.state, item->state, sizeof item->state);
        item->pid = answer.pid;
    }
}

static void on_lookup(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct item *item = arg;
    struct pending_look *look = item->look;
    item->call = NULL;
    if (err == NULL) {
        read_state(reply->text, item);
    }
    if (strcmp(item->state, "unknown") == 0) {
        forget(item);
    }
    if (--look->unanswered == 0) {
        finish(look);
    }
}

static bool look_up(struct item *item)
{
    const struct pending_look *look = item->look;
    char once[CLIENT_SCOPE_SIZE + CLIENT_ID_MAX + 1];
    struct err err = {0};
    struct hub_message message;
    AUTO(str_free) struct str out = STR_INIT(LOOKUP_SIZE);
    (void)snprintf(once, sizeof once, "%s/%s", look->scope, item->id);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("lookup"));
    json_string(&writer, "once", view_of(once));
    json_end_object(&writer);
    if (agent_message(&out, &message, &err)) {
        item->call = hub_call_begin(look->pending->gateway->hub, look->sandbox_id, &message,
                                    LOOKUP_MS, on_lookup, item, &err);
    }
    if (item->call == NULL) {
        log_debug("pending.not_asked", LOG_STR("sandbox_id", look->sandbox_id), LOG_ERR(&err));
    }
    return item->call != NULL;
}

static void look_up_all(struct pending_look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        look->unanswered += look_up(&look->items[i]) ? 1 : 0;
    }
    if (look->unanswered == 0) {
        finish(look);
    }
}

static void on_agent(const struct err *err, void *arg)
{
    struct pending_look *look = arg;
    look->wait = NULL;
    if (err != NULL) {
        finish(look);
        return;
    }
    look_up_all(look);
}

/* Pairs of field and value; what this file did not write is passed over. */
static bool read_fields(struct pending_look *look, const redisReply *reply)
{
    size_t pairs = reply->type == REDIS_REPLY_ARRAY ? reply->elements / 2 : 0;
    size_t most = pairs < PENDING_LOOKUPS_MAX ? pairs : PENDING_LOOKUPS_MAX;
    look->items = most == 0 ? NULL : calloc(most, sizeof *look->items);
    for (size_t i = 0; i < pairs && look->items != NULL && look->count < most; i++) {
        const redisReply *field = reply->element[2 * i];
        const redisReply *value = reply->element[2 * i + 1];
        struct item *item = &look->items[look->count];
        item->look = look;
        if (field->type == REDIS_REPLY_STRING && field->len > 0 &&
            value->type == REDIS_REPLY_STRING &&
            view_copy((struct view){field->str, field->len}, item->id, sizeof item->id) &&
            view_copy((struct view){value->str, value->len}, item->value, sizeof item->value)) {
            look->count++;
        }
    }
    return look->count > 0;
}

static void on_fields(const redisReply *reply, const struct err *err, void *arg)
{
    struct pending_look *look = arg;
    struct hub *hub = look->pending->gateway->hub;
    struct err failure = {0};
    if (err != NULL || !read_fields(look, reply)) {
        finish(look);
        return;
    }
    look->wait = hub_wait_begin(hub, look->sandbox_id, AGENT_WAIT_MS, on_agent, look, &failure);
    if (look->wait == NULL) {
        finish(look);
    }
}

struct pending_look *pending_look_begin(struct pending *pending, const struct pending_place *place,
                                        pending_told_fn *done, void *arg, struct err *err)
{
    char key[KEY_SIZE];
    const struct view words[] = {VIEW("HGETALL"), write_key(pending, place, key)};
    struct pending_look *look = calloc(1, sizeof *look);
    if (look == NULL) {
        err_set(err, ERR_INTERNAL, "pending requests: out of memory");
        return NULL;
    }
    look->pending = pending;
    look->done = done;
    look->arg = arg;
    if (!view_copy(view_of(place->scope), look->scope, sizeof look->scope) ||
        !view_copy(view_of(place->sandbox_id), look->sandbox_id, sizeof look->sandbox_id)) {
        err_set(err, ERR_INTERNAL, "pending requests: a scope that is too long");
        free_look(look);
        return NULL;
    }
    if (!redis_send(pending->redis, words, sizeof words / sizeof words[0], REDIS_MS, on_fields,
                    look, err)) {
        free_look(look);
        return NULL;
    }
    return look;
}

void pending_look_cancel(struct pending_look *look)
{
    if (look == NULL) {
        return;
    }
    redis_cancel(look->pending->redis, look);
    if (look->wait != NULL) {
        hub_wait_cancel(look->wait);
    }
    for (size_t i = 0; i < look->count; i++) {
        if (look->items[i].call != NULL) {
            hub_call_cancel(look->items[i].call);
        }
    }
    free_look(look);
}
