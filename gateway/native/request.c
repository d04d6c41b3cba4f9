#include "gateway/native/request.h"

#include "common/base/clock.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "gateway/limits/limits.h"
#include "gateway/native/errors.h"
#include "gateway/native/repeat.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LOOK_EVERY_MS = 30 * 1000,
    LOOK_LEAST_MS = 100, /* between two, however many expire */
};

struct requests {
    struct list all;
    struct timer look;  /* for keys and tokens that have expired */
    int64_t look_at_ms; /* monotonic */
};

static void free_request(void *object)
{
    struct request *request = object;
    repeat_free(request->repeat);
    free(request->former_work);
    free(request->work);
    free(request);
}

static void end_work(struct request *request)
{
    if (request->end_work != NULL) {
        request->end_work(request->work);
        request->end_work = NULL;
    }
}

/* Whoever is called back has taken it off the request before. */
static void cancel_in_flight(struct request *request)
{
    if (request->limit_wait != NULL) {
        limit_wait_cancel(TAKE(request->limit_wait));
    }
    if (request->key_check != NULL) {
        key_check_cancel(TAKE(request->key_check));
    }
    if (request->fetch != NULL) {
        sandbox_fetch_cancel(TAKE(request->fetch));
    }
    if (request->ipc_call != NULL) {
        ipc_call_cancel(TAKE(request->ipc_call));
    }
    if (request->hub_call != NULL) {
        hub_call_cancel(TAKE(request->hub_call));
    }
    if (request->hub_wait != NULL) {
        hub_wait_cancel(TAKE(request->hub_wait));
    }
}

/* The only way out. */
static void finish(struct request *request)
{
    list_remove(&request->node);
    cancel_in_flight(request);
    end_work(request);
    loop_free_later(request->gateway->loop, &request->corpse, free_request, request);
}

static void finish_unheard(struct request *request)
{
    request_end_act_unknown(request, "client_gone");
    finish(request);
}

static void look_in(struct requests *requests, int64_t delay_ms)
{
    requests->look_at_ms = clock_monotonic_ms() + delay_ms;
    timer_arm(&requests->look, delay_ms);
}

static void look_when_expired(struct requests *requests, const struct caller *caller)
{
    int64_t left_ms = caller->expires_ms - clock_wall_ms();
    int64_t delay_ms = left_ms > LOOK_LEAST_MS ? left_ms : LOOK_LEAST_MS;
    if (caller->expires_ms != 0 && clock_monotonic_ms() + delay_ms < requests->look_at_ms) {
        look_in(requests, delay_ms);
    }
}

void request_expect_end(const struct request *request)
{
    look_when_expired(request->gateway->requests, &request->caller);
}

static void on_look(void *arg)
{
    struct requests *requests = arg;
    requests_end_expired(requests, clock_wall_ms());
    look_in(requests, LOOK_EVERY_MS);
    for (LIST_EACH(node, &requests->all)) {
        const struct request *request = LIST_ENTRY(node, struct request, node);
        if (!request->is_revoked) {
            look_when_expired(requests, &request->caller);
        }
    }
}

struct requests *requests_new(struct loop *loop, struct err *err)
{
    struct requests *requests = calloc(1, sizeof *requests);
    if (requests == NULL) {
        err_set(err, ERR_INTERNAL, "requests: out of memory");
        return NULL;
    }
    list_init(&requests->all);
    if (!timer_open(&requests->look, loop, on_look, requests, err)) {
        free(requests);
        return NULL;
    }
    look_in(requests, LOOK_EVERY_MS);
    return requests;
}

void requests_free(struct requests *requests)
{
    if (requests == NULL) {
        return;
    }
    for (LIST_EACH(node, &requests->all)) {
        struct request *request = LIST_ENTRY(node, struct request, node);
        finish_unheard(request);
    }
    timer_close(&requests->look);
    free(requests);
}

void request_error_revoked(const struct request *request, struct err *err)
{
    if (caller_has_expired(&request->caller, clock_wall_ms()) &&
        caller_is_client(&request->caller)) {
        err_set_reason(err, ERR_UNAUTHENTICATED, "token_expired", "The token has expired");
    } else if (caller_is_client(&request->caller)) {
        err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_token", "Invalid or expired token");
    } else if (request->caller.api_key_id[0] == '\0') {
        err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_session", "Invalid or expired session");
    } else {
        err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_api_key", "The API key is not valid.");
    }
}

static void refuse_from_now_on(struct request *request)
{
    struct err err = {0};
    request->is_revoked = true;
    if (request->work == NULL && request->hub_call == NULL) {
        return; /* what was asked of the services comes to its end soon, unlike a command */
    }
    request_end_act_unknown(request, "revoked");
    if (request->is_answering) {
        request_abort_answer(request);
    } else {
        request_error_revoked(request, &err);
        request_fail(request, &err);
    }
}

void requests_each_key(const struct requests *requests,
                       void (*on_key)(const char id[ID_SIZE], void *arg), void *arg)
{
    for (LIST_EACH(node, &requests->all)) {
        const struct caller *caller = &LIST_ENTRY(node, struct request, node)->caller;
        const char *id = caller->api_key_id[0] != '\0' ? caller->api_key_id : caller->user_id;
        if (id[0] != '\0') {
            on_key(id, arg);
        }
    }
}

void requests_each_session(const struct requests *requests,
                           void (*on_session)(const char *session_id, void *arg), void *arg)
{
    for (LIST_EACH(node, &requests->all)) {
        const struct request *request = LIST_ENTRY(node, struct request, node);
        if (request->caller.session_is_watched) {
            on_session(request->caller.session_id, arg);
        }
    }
}

void requests_revoke(struct requests *requests, const char *id)
{
    for (LIST_EACH(node, &requests->all)) {
        struct request *request = LIST_ENTRY(node, struct request, node);
        if (caller_is_of(&request->caller, id)) {
            refuse_from_now_on(request);
        }
    }
}

void requests_end_expired(struct requests *requests, int64_t now_ms)
{
    for (LIST_EACH(node, &requests->all)) {
        struct request *request = LIST_ENTRY(node, struct request, node);
        if (caller_has_expired(&request->caller, now_ms)) {
            refuse_from_now_on(request);
        }
    }
}

static void on_gone(void *arg)
{
    struct request *request = arg;
    request->exchange = NULL;
    if (!request->outlives_client) {
        finish_unheard(request);
    }
}

struct request *request_new(const struct gateway *gateway, const struct route *route,
                            struct http_exchange *exchange, struct err *err)
{
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        err_set(err, ERR_INTERNAL, "request: out of memory");
        return NULL;
    }
    request->gateway = gateway;
    request->route = route;
    request->exchange = exchange;
    request->trace = *http_exchange_trace(exchange);
    request_note_origin(request);
    list_append(&gateway->requests->all, &request->node);
    http_on_gone(exchange, on_gone, request);
    return request;
}

void request_set_work(struct request *request, void *work, void (*end)(void *work))
{
    request->work = work;
    request->end_work = end;
}

void request_drop_work(struct request *request)
{
    end_work(request);
    assert(request->former_work == NULL);
    request->former_work = request->work;
    request->work = NULL;
}

static struct http_exchange *take_exchange(struct request *request)
{
    struct http_exchange *exchange = request->exchange;
    request->exchange = NULL;
    if (exchange != NULL) {
        http_on_gone(exchange, NULL, NULL);
    }
    return exchange;
}

void request_respond(struct request *request, const struct http_response *response)
{
    request_end_act(request, NULL);
    if (repeat_keep(request, response)) {
        return;
    }
    struct http_exchange *exchange = take_exchange(request);
    if (exchange != NULL) {
        http_respond(exchange, response);
    }
    finish(request);
}

void request_respond_json(struct request *request, int status, const struct str *body)
{
    struct err err = {0};
    if (!str_check(body, "answer", &err)) {
        request_fail(request, &err);
        return;
    }
    const struct http_response response = {.status = status, .body = str_view(body)};
    request_respond(request, &response);
}

void request_fail_validation(struct request *request, const struct err *err,
                             const struct json_violations *violations)
{
    request_end_act(request, err);
    repeat_release(request, err);
    struct http_exchange *exchange = take_exchange(request);
    if (exchange != NULL) {
        errors_respond(exchange, err, violations);
    }
    finish(request);
}

void request_fail_member(struct request *request, const char *path, const char *message)
{
    struct err err = {0};
    struct json_violations violations = {.count = 1};
    (void)snprintf(violations.items[0].path, JSON_PATH_SIZE, "%s", path);
    (void)snprintf(violations.items[0].message, JSON_VIOLATION_MESSAGE_SIZE, "%s", message);
    err_set_reason(&err, ERR_INVALID, "validation_failed", "%s %s", path, message);
    request_fail_validation(request, &err, &violations);
}

void request_fail(struct request *request, const struct err *err)
{
    request_fail_validation(request, err, NULL);
}

void request_fail_later(struct request *request, const struct err *err, int retry_after_s)
{
    request_end_act(request, err);
    struct http_exchange *exchange = take_exchange(request);
    if (exchange != NULL) {
        errors_respond_later(exchange, err, retry_after_s);
    }
    finish(request);
}

struct http_exchange *request_hand_over(struct request *request)
{
    request_end_act(request, NULL);
    struct http_exchange *exchange = take_exchange(request);
    finish(request);
    return exchange;
}
