#include "common/http/client.h"

#include "common/http/call.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct http_client {
    struct loop *loop;      /* borrowed */
    CURLM *multi;           /* owned */
    char *unix_socket_path; /* owned; NULL: by the URL */
    struct timer timer;     /* what curl asks for */
    struct timer work;      /* due when a list below has something */
    struct list starting;   /* calls to hand to curl, which must not happen inside its callbacks */
    struct list running;
    struct list leaving;  /* cancelled: to take from curl, the same */
    struct list finished; /* calls whose done is due */
    struct list watches;
};

/* One socket that curl wants watched. */
struct watch {
    struct list node;
    struct event *event; /* owned */
};

static void move(struct http_call *call, enum call_state state, struct list *to)
{
    if (state == CALL_LEAVING || state == CALL_FINISHED) {
        timer_disarm(&call->deadline);
    }
    list_remove(&call->node);
    call->state = state;
    list_append(to, &call->node);
    timer_arm(&call->client->work, 0);
}

/* The only way out of a call that was not cancelled. done may close the client. */
static void finish(struct http_call *call)
{
    if (!call_has_reply(call)) {
        struct err err = {0};
        call_describe_failure(call, &err);
        call->done(NULL, &err, call->arg);
        call_free(call);
        return;
    }
    const struct http_reply reply = call_reply(call);
    call->done(&reply, NULL, call->arg);
    call_free(call);
}

/* Last in its turn. One call each time, since its callback may close the client. */
static void deliver(struct http_client *client)
{
    if (list_is_empty(&client->finished)) {
        return;
    }
    struct http_call *call = LIST_ENTRY(client->finished.next, struct http_call, node);
    list_remove(&call->node);
    if (!list_is_empty(&client->finished)) {
        timer_arm(&client->work, 0);
    }
    finish(call);
}

static void collect(struct http_client *client)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct http_call *call = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (message->msg == CURLMSG_DONE && call->state == CALL_RUNNING) {
            call->result = message->data.result;
            (void)curl_multi_remove_handle(client->multi, call->easy);
            move(call, CALL_FINISHED, &client->finished);
        }
    }
}

static void act(struct http_client *client, curl_socket_t socket, int what)
{
    int running;
    (void)curl_multi_socket_action(client->multi, socket, what, &running);
    collect(client);
    deliver(client);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    int mask = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
               ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    act(arg, fd, mask);
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_deadline(void *arg)
{
    struct http_call *call = arg;
    if (call->state == CALL_RUNNING) {
        (void)curl_multi_remove_handle(call->client->multi, call->easy);
    }
    call->result = CURLE_OPERATION_TIMEDOUT;
    move(call, CALL_FINISHED, &call->client->finished);
}

static void on_work(void *arg)
{
    struct http_client *client = arg;
    for (LIST_EACH(node, &client->leaving)) {
        struct http_call *call = LIST_ENTRY(node, struct http_call, node);
        (void)curl_multi_remove_handle(client->multi, call->easy);
        call_free(call);
    }
    for (LIST_EACH(node, &client->starting)) {
        struct http_call *call = LIST_ENTRY(node, struct http_call, node);
        if (curl_multi_add_handle(client->multi, call->easy) == CURLM_OK) {
            move(call, CALL_RUNNING, &client->running);
        } else {
            call->result = CURLE_OUT_OF_MEMORY;
            move(call, CALL_FINISHED, &client->finished);
        }
    }
    timer_disarm(&client->work);
    deliver(client);
}

static void unwatch(struct watch *watch)
{
    list_remove(&watch->node);
    if (watch->event != NULL) {
        event_free(watch->event);
    }
    free(watch);
}

/* Called by curl. */
static int on_curl_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct http_client *client = arg;
    struct watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            (void)curl_multi_assign(client->multi, socket, NULL);
            unwatch(watch);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = calloc(1, sizeof *watch);
        if (watch == NULL) {
            return -1;
        }
        list_append(&client->watches, &watch->node);
        (void)curl_multi_assign(client->multi, socket, watch);
    }
    if (watch->event != NULL) {
        event_free(watch->event);
    }
    short interest = (short)(((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                             ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0) | EV_PERSIST);
    watch->event = event_new(loop_base(client->loop), socket, interest, on_socket, client);
    return watch->event != NULL && event_add(watch->event, NULL) == 0 ? 0 : -1;
}

/* Called by curl. */
static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (timeout_ms < 0) {
        timer_disarm(&client->timer);
    } else {
        timer_arm(&client->timer, timeout_ms);
    }
    return 0;
}

/* Called by curl; anything but the full length ends the call. */
static size_t on_curl_data(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->state != CALL_RUNNING) {
        return 0;
    }
    if (call->on_data != NULL && status / 100 == 2) {
        bool go_on = call->on_data((struct view){bytes, len}, call->arg);
        return go_on && call->state == CALL_RUNNING ? len : 0;
    }
    str_append(&call->body, bytes, len);
    call->too_large = call->body.failed;
    return call->too_large ? 0 : len;
}

struct http_client *http_client_open(struct loop *loop, const char *unix_socket_path,
                                     long connection_limit, struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(err, ERR_INTERNAL, "http: curl_global_init failed");
        return NULL;
    }
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        curl_global_cleanup();
        err_set(err, ERR_INTERNAL, "http: out of memory");
        return NULL;
    }
    client->loop = loop;
    list_init(&client->starting);
    list_init(&client->running);
    list_init(&client->leaving);
    list_init(&client->finished);
    list_init(&client->watches);
    client->multi = curl_multi_init();
    client->unix_socket_path = unix_socket_path == NULL ? NULL : strdup(unix_socket_path);
    if (client->multi == NULL || (unix_socket_path != NULL && client->unix_socket_path == NULL)) {
        err_set(err, ERR_INTERNAL, "http: out of memory");
        goto fail;
    }
    if (!timer_open(&client->timer, loop, on_timer, client, err) ||
        !timer_open(&client->work, loop, on_work, client, err)) {
        goto fail;
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connection_limit);
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connection_limit);
    return client;
fail:
    http_client_close(client);
    return NULL;
}

static void drop_calls(struct http_client *client, struct list *calls, bool curl_has_them)
{
    for (LIST_EACH(node, calls)) {
        struct http_call *call = LIST_ENTRY(node, struct http_call, node);
        if (curl_has_them) {
            (void)curl_multi_remove_handle(client->multi, call->easy);
        }
        call_free(call);
    }
}

void http_client_close(struct http_client *client)
{
    if (client == NULL) {
        return;
    }
    drop_calls(client, &client->running, true);
    drop_calls(client, &client->leaving, true);
    drop_calls(client, &client->starting, false);
    drop_calls(client, &client->finished, false);
    (void)curl_multi_cleanup(client->multi);
    for (LIST_EACH(node, &client->watches)) {
        unwatch(LIST_ENTRY(node, struct watch, node));
    }
    timer_close(&client->timer);
    timer_close(&client->work);
    free(client->unix_socket_path);
    free(client);
    curl_global_cleanup();
}

struct http_call *http_call_begin(struct http_client *client,
                                  const struct http_call_options *options, http_reply_fn *done,
                                  void *arg, struct err *err)
{
    struct http_call *call = call_new(options, client->unix_socket_path, on_curl_data, err);
    if (call == NULL) {
        return NULL;
    }
    if (!timer_open(&call->deadline, client->loop, on_deadline, call, err)) {
        call_free(call);
        return NULL;
    }
    if (options->timeout_ms > 0) {
        timer_arm(&call->deadline, options->timeout_ms);
    }
    call->client = client;
    call->done = done;
    call->arg = arg;
    move(call, CALL_STARTING, &client->starting);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call->state == CALL_RUNNING) {
        move(call, CALL_LEAVING, &call->client->leaving);
    } else {
        call_free(call);
    }
}
