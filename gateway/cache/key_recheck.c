#include "gateway/cache/key_recheck.h"

#include "common/base/log.h"
#include "common/base/str.h"
#include "common/contracts/auth.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/cache/key_cache.h"
#include "gateway/gateway.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/request.h"

#include <stdlib.h>

enum {
    ASK_TIMEOUT_MS = 10 * 1000,
    QUESTION_MAX = AUTH_KEY_IDS_MAX * (ID_SIZE + 4) + 64,
    ID_LEN = ID_SIZE - 1,
    IDS_MAX = 1000 * 1000 * ID_LEN, /* as many as there may be connections */
};

struct key_recheck {
    const struct gateway *gateway; /* borrowed */
    struct timer timer;            /* to ask again, or for the next look */
    int64_t every_ms;
    struct ipc_call *call; /* NULL: none in flight */
    struct str ids;        /* of all keys and users, side by side, sorted */
    size_t done;           /* bytes of it */
    bool complained;       /* of this look */
};

static void ask(struct key_recheck *recheck);
static void on_timer(void *arg);

struct key_recheck *key_recheck_new(const struct gateway *gateway, int64_t every_ms,
                                    struct err *err)
{
    struct key_recheck *recheck = calloc(1, sizeof *recheck);
    if (recheck == NULL) {
        err_set(err, ERR_INTERNAL, "key recheck: out of memory");
        return NULL;
    }
    recheck->gateway = gateway;
    recheck->every_ms = every_ms;
    recheck->ids = STR_INIT(IDS_MAX);
    if (!timer_open(&recheck->timer, gateway->loop, on_timer, recheck, err)) {
        key_recheck_free(recheck);
        return NULL;
    }
    return recheck;
}

void key_recheck_stop(struct key_recheck *recheck)
{
    timer_disarm(&recheck->timer);
    if (recheck->call != NULL) {
        ipc_call_cancel(recheck->call);
        recheck->call = NULL;
    }
    str_free(&recheck->ids);
    recheck->done = 0;
    recheck->complained = false;
}

void key_recheck_free(struct key_recheck *recheck)
{
    if (recheck == NULL) {
        return;
    }
    key_recheck_stop(recheck);
    timer_close(&recheck->timer);
    free(recheck);
}

static void try_again(struct key_recheck *recheck, const struct err *err)
{
    if (!recheck->complained) {
        log_warn("keys.not_rechecked", LOG_ERR(err));
    }
    recheck->complained = true;
    timer_arm(&recheck->timer, KEY_RECHECK_RETRY_MS);
}

/* Of a key, or of a user. */
static void end(const struct gateway *gateway, const char id[ID_SIZE])
{
    key_cache_forget_key(gateway->keys, id);
    key_cache_forget_user(gateway->keys, id);
    client_sockets_revoke(gateway->client_sockets, id);
    requests_revoke(gateway->requests, id);
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct key_recheck *recheck = arg;
    struct auth_key_ids ended;
    struct err failure = {0};
    recheck->call = NULL;
    AUTO(json_doc_release)
    struct json_doc *doc =
        err == NULL ? json_read(*body, &auth_key_ids_schema, &ended, NULL, &failure) : NULL;
    if (doc == NULL) {
        try_again(recheck, err == NULL ? &failure : err);
        return;
    }
    for (size_t i = 0; i < ended.api_key_ids.count; i++) {
        char id[ID_SIZE];
        if (id_parse(ended.api_key_ids.items[i], id)) {
            end(recheck->gateway, id);
        }
    }
    recheck->done += (size_t)AUTH_KEY_IDS_MAX * ID_LEN;
    ask(recheck);
}

static bool send_question(struct key_recheck *recheck, const struct auth_key_ids *question,
                          struct err *err)
{
    AUTO(str_free) struct str body = STR_INIT(QUESTION_MAX);
    const struct ipc_call_options options = {
        .method = AUTH_FIND_ENDED_KEYS, .timeout_ms = ASK_TIMEOUT_MS, .repeatable = true};
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &auth_key_ids_schema, question);
    json_end_object(&writer);
    if (!str_check(&body, "ids of keys", err)) {
        return false;
    }
    recheck->call = ipc_call_begin(recheck->gateway->auth_service, &options, str_view(&body),
                                   on_reply, recheck, err);
    return recheck->call != NULL;
}

/* About the next keys; behind the last the next look is due some time. */
static void ask(struct key_recheck *recheck)
{
    struct view ids[AUTH_KEY_IDS_MAX];
    struct auth_key_ids question = {{ids, 0}};
    struct err err = {0};
    size_t at = recheck->done;
    while (at < recheck->ids.len && question.api_key_ids.count < AUTH_KEY_IDS_MAX) {
        ids[question.api_key_ids.count++] = (struct view){recheck->ids.data + at, ID_LEN};
        at += ID_LEN;
    }
    if (question.api_key_ids.count == 0) {
        str_free(&recheck->ids);
        timer_arm(&recheck->timer, recheck->every_ms);
    } else if (!send_question(recheck, &question, &err)) {
        try_again(recheck, &err);
    }
}

static void on_key(const char id[ID_SIZE], void *arg)
{
    struct str *ids = arg;
    str_append_view(ids, (struct view){id, ID_LEN});
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, ID_LEN);
}

/* Many sockets have the same key. */
static void sort_and_unite(struct str *ids)
{
    size_t kept = 0;
    if (ids->len == 0) {
        return;
    }
    qsort(ids->data, ids->len / ID_LEN, ID_LEN, compare);
    for (size_t at = ID_LEN; at < ids->len; at += ID_LEN) {
        if (memcmp(ids->data + kept, ids->data + at, ID_LEN) != 0) {
            kept += ID_LEN;
            memmove(ids->data + kept, ids->data + at, ID_LEN);
        }
    }
    ids->len = kept + ID_LEN;
}

void key_recheck_begin(struct key_recheck *recheck)
{
    struct err err = {0};
    key_recheck_stop(recheck);
    recheck->ids = STR_INIT(IDS_MAX);
    client_sockets_each_key(recheck->gateway->client_sockets, on_key, &recheck->ids);
    requests_each_key(recheck->gateway->requests, on_key, &recheck->ids);
    if (!str_check(&recheck->ids, "keys in use", &err)) {
        try_again(recheck, &err);
        return;
    }
    sort_and_unite(&recheck->ids);
    ask(recheck);
}

static void on_timer(void *arg)
{
    struct key_recheck *recheck = arg;
    if (recheck->ids.failed || recheck->ids.data == NULL) {
        key_recheck_begin(recheck);
    } else {
        ask(recheck);
    }
}
