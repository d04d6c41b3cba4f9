#include "common/redis/link.h"

#include "common/base/log.h"
#include "common/base/view.h"

#include <hiredis/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 3000, /* connecting and signing in together */
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 1000,
};

enum state {
    STATE_DOWN,       /* the timer tries again */
    STATE_CONNECTING, /* the timer gives up */
    STATE_UP,
};

struct redis_link {
    struct loop *loop; /* borrowed */
    struct redis_address address;
    int next_ip;
    const struct redis_link_hooks *hooks; /* borrowed */
    void *arg;
    enum state state;
    redisAsyncContext *context; /* owned until hiredis says that it is gone; its data: this link */
    struct timer timer;
    int64_t backoff_ms;
    bool complained; /* the log knows of this outage */
    bool closed;     /* only to be freed */
    struct loop_corpse corpse;
};

/* Error replies that pass by themselves. */
static const char *const passing_errors[] = {"LOADING", "READONLY", "MASTERDOWN", "MISCONF",
                                             "OOM",     "BUSY",     "TRYAGAIN"};

bool redis_link_check(const redisReply *reply, struct err *err)
{
    if (reply == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "redis: the connection broke");
    }
    if (reply->type != REDIS_REPLY_ERROR) {
        return true;
    }
    for (size_t i = 0; i < sizeof passing_errors / sizeof passing_errors[0]; i++) {
        if (view_starts_with((struct view){reply->str, reply->len}, view_of(passing_errors[i]))) {
            return err_set(err, ERR_UNAVAILABLE, "redis: %s", reply->str);
        }
    }
    return err_set(err, ERR_INTERNAL, "redis: %s", reply->str);
}

/* Lets the context go without its telling us anything more. */
static void drop_context(struct redis_link *link)
{
    redisAsyncContext *context = TAKE(link->context);
    if (context != NULL) {
        context->data = NULL;
        redisAsyncFree(context);
    }
}

/* The context is gone or going. Last in its turn. */
static void go_down(struct redis_link *link, const char *why)
{
    bool was_up = link->state == STATE_UP;
    link->state = STATE_DOWN;
    if (!link->complained) {
        link->complained = true;
        log_warn("redis.down", LOG_STR("error", why));
    }
    int64_t delay_ms = was_up ? BACKOFF_FIRST_MS : link->backoff_ms;
    link->backoff_ms = delay_ms * 2 < BACKOFF_MAX_MS ? delay_ms * 2 : BACKOFF_MAX_MS;
    timer_arm(&link->timer, delay_ms);
    if (was_up) {
        link->hooks->on_down(link->arg);
    }
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (link != NULL) {
        link->context = NULL; /* hiredis frees it when this returns */
        go_down(link, status == REDIS_OK ? "closed" : context->errstr);
    }
}

static void on_sign_in_reply(redisAsyncContext *context, void *reply, void *arg)
{
    (void)arg;
    struct redis_link *link = context->data;
    struct err err = {0};
    if (link == NULL || link->state != STATE_CONNECTING) {
        return;
    }
    if (!redis_link_check(reply, &err)) {
        drop_context(link);
        go_down(link, err.message);
    }
}

static void on_ping_reply(redisAsyncContext *context, void *reply, void *arg)
{
    on_sign_in_reply(context, reply, arg);
    struct redis_link *link = context->data;
    if (link != NULL && link->state == STATE_CONNECTING) {
        link->state = STATE_UP;
        link->backoff_ms = BACKOFF_FIRST_MS;
        link->complained = false;
        timer_disarm(&link->timer);
        log_info("redis.up");
        link->hooks->on_up(link->arg);
    }
}

/* PING comes last: a server that still loads its data refuses it. */
static bool sign_in(struct redis_link *link)
{
    const struct redis_address *address = &link->address;
    redisAsyncContext *context = link->context;
    int sent = REDIS_OK;
    if (address->user[0] != '\0') {
        sent |= redisAsyncCommand(context, on_sign_in_reply, NULL, "AUTH %s %s", address->user,
                                  address->password);
    } else if (address->password[0] != '\0') {
        sent |= redisAsyncCommand(context, on_sign_in_reply, NULL, "AUTH %s", address->password);
    }
    if (address->db != 0) {
        sent |= redisAsyncCommand(context, on_sign_in_reply, NULL, "SELECT %d", address->db);
    }
    sent |= redisAsyncCommand(context, on_ping_reply, NULL, "PING");
    return sent == REDIS_OK;
}

/* The context must not be freed in here, hiredis goes on with it: the timer does that. */
static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (link == NULL) {
        return;
    }
    if (status != REDIS_OK) {
        link->context = NULL; /* hiredis frees it when this returns */
        go_down(link, context->errstr);
    } else if (!sign_in(link)) {
        timer_arm(&link->timer, 0);
    }
}

static redisAsyncContext *begin_context(struct redis_link *link)
{
    const struct redis_address *address = &link->address;
    if (address->unix_path[0] != '\0') {
        return redisAsyncConnectUnix(address->unix_path);
    }
    const char *ip = address->ips[link->next_ip];
    link->next_ip = (link->next_ip + 1) % address->ip_count;
    return redisAsyncConnect(ip, address->port);
}

static void begin_connect(struct redis_link *link)
{
    link->state = STATE_CONNECTING;
    link->context = begin_context(link);
    if (link->context == NULL) {
        go_down(link, "out of memory");
        return;
    }
    if (link->context->err != 0) {
        char why[ERR_MESSAGE_SIZE];
        (void)snprintf(why, sizeof why, "%s", link->context->errstr);
        drop_context(link);
        go_down(link, why);
        return;
    }
    link->context->data = link;
    timer_arm(&link->timer, CONNECT_TIMEOUT_MS);
    if (redisLibeventAttach(link->context, loop_base(link->loop)) != REDIS_OK ||
        redisAsyncSetConnectCallback(link->context, on_connect) != REDIS_OK ||
        redisAsyncSetDisconnectCallback(link->context, on_disconnect) != REDIS_OK) {
        drop_context(link);
        go_down(link, "can't watch the connection");
    }
}

static void on_timer(void *arg)
{
    struct redis_link *link = arg;
    if (link->state == STATE_DOWN) {
        begin_connect(link);
    } else {
        redis_link_reset(link, "no answer while connecting");
    }
}

struct redis_link *redis_link_open(struct loop *loop, const struct redis_address *address,
                                   const struct redis_link_hooks *hooks, void *arg, struct err *err)
{
    struct redis_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        err_set(err, ERR_INTERNAL, "redis: out of memory");
        return NULL;
    }
    link->loop = loop;
    link->address = *address;
    link->hooks = hooks;
    link->arg = arg;
    link->backoff_ms = BACKOFF_FIRST_MS;
    if (!timer_open(&link->timer, loop, on_timer, link, err)) {
        free(link);
        return NULL;
    }
    timer_arm(&link->timer, 0);
    return link;
}

void redis_link_close(struct redis_link *link)
{
    if (link == NULL) {
        return;
    }
    link->closed = true;
    timer_close(&link->timer);
    drop_context(link);
    /* A callback of a command in flight may have closed it while it was being reset. */
    loop_free_later(link->loop, &link->corpse, free, link);
}

redisAsyncContext *redis_link_context(const struct redis_link *link)
{
    return link->state == STATE_UP ? link->context : NULL;
}

void redis_link_reset(struct redis_link *link, const char *why)
{
    drop_context(link);
    if (!link->closed) {
        go_down(link, why);
    }
}
