/* gateway/native/request.h: one REST request of the native API on its way through the gateway.
 *
 * The pipeline (routes.c) finds the route, knows the caller, loads the sandbox if the path names
 * one, reads the body, and then calls the route's handler. */
#ifndef GATEWAY_NATIVE_REQUEST_H
#define GATEWAY_NATIVE_REQUEST_H

#include "common/base/list.h"
#include "common/json/read.h"
#include "gateway/cache/key_cache.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "gateway/hub/hub.h"

struct ipc_call;
struct route;

/* Freed by request_finish alone. What is in flight is at most one of each kind. */
struct request {
    struct list node;               /* in the gateway's list of all */
    const struct gateway *gateway;  /* borrowed */
    const struct route *route;      /* borrowed */
    struct http_exchange *exchange; /* ours until it is answered; NULL when the client left */
    struct caller caller;           /* of routes with ROUTE_KEY */
    uint64_t key_generation;        /* of the key cache when the caller's key was looked at */
    char id[ID_SIZE];               /* the {id} of the path */
    struct sandbox_meta sandbox;    /* of routes with ROUTE_SANDBOX */
    struct view body;
    char *token; /* owned; of routes with ROUTE_SESSION */
    struct key_check *key_check;
    struct sandbox_fetch *fetch;
    struct ipc_call *ipc_call;
    struct hub_call *hub_call;
    struct hub_wait *hub_wait;
    int64_t until_ms;     /* monotonic; of handlers with several steps */
    bool outlives_client; /* what was begun goes on when the client leaves */
};

/* All requests in flight, those whose client has left among them. */
struct requests *requests_new(struct err *err) MUST_CHECK;
/* Ends what is left without an answer; its clients are gone already. */
void requests_free(struct requests *requests);

/* Leads to exactly one request_respond... or request_fail, now or later. */
typedef void request_handler_fn(struct request *request);

/* Each answers and ends the request: it must not be touched again. When the client has left, they
 * only end it. */
void request_respond(struct request *request, const struct http_response *response);
void request_respond_json(struct request *request, int status, const struct str *body);
void request_fail(struct request *request, const struct err *err);
/* 400 with every violation. */
void request_fail_validation(struct request *request, const struct err *err,
                             const struct json_violations *violations);

/* Ends the request and returns its exchange, which the caller must answer. The client is still
 * there. */
struct http_exchange *request_hand_over(struct request *request) MUST_CHECK;

const char *request_id(const struct request *request);

#endif
