/* gateway/native/request.h: one REST request of the native API on its way through the gateway.
 *
 * The pipeline (routes.c) finds the route, knows the caller, loads the sandbox if the path names
 * one, reads the body, and then calls the route's handler. */
#ifndef GATEWAY_NATIVE_REQUEST_H
#define GATEWAY_NATIVE_REQUEST_H

#include "common/audit/record.h"
#include "common/base/list.h"
#include "common/event/loop.h"
#include "common/json/read.h"
#include "gateway/cache/key_cache.h"
#include "gateway/cache/sandbox_cache.h"
#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "gateway/hub/hub.h"

struct audit_act;
struct ipc_call;
struct limit_wait;
struct request;
struct repeat;
struct route;

/* Leads to exactly one request_respond... or request_fail, now or later. */
typedef void request_handler_fn(struct request *request);

/* Freed by request_finish alone. What is in flight is at most one of each kind. */
struct request {
    struct list node;               /* in the gateway's list of all */
    const struct gateway *gateway;  /* borrowed */
    const struct route *route;      /* borrowed */
    struct http_exchange *exchange; /* ours until it is answered; NULL when the client left */
    struct trace trace;
    struct actor actor;          /* request_actor */
    struct caller caller;        /* of routes with ROUTE_CALLER */
    uint64_t key_generation;     /* of the key cache when the caller was looked for */
    char id[ID_SIZE];            /* the {id} of the path */
    struct view item;            /* the {item} of the path as sent; lies in the exchange */
    struct sandbox_meta sandbox; /* of routes with ROUTE_SANDBOX */
    struct view body;
    struct limit_wait *limit_wait; /* of admission.c, as the next three */
    request_handler_fn *next;      /* NULL: it fails with refusal */
    struct err refusal;
    bool is_counted; /* against the caller's limits */
    struct key_check *key_check;
    struct sandbox_fetch *fetch;
    struct ipc_call *ipc_call;
    struct hub_call *hub_call;
    struct hub_wait *hub_wait;
    request_handler_fn *when_awake; /* of wake.c */
    struct audit_act *act;          /* owned; of routes whose doing is recorded; NULL: it is not */
    struct repeat *repeat; /* owned; NULL: it came without an Idempotency-Key that counts */
    int64_t until_ms;      /* monotonic; of handlers with several steps */
    bool outlives_client;  /* what was begun goes on when the client leaves */
    bool is_revoked;       /* its key is good no more: it must not begin anything */
    bool is_answering;     /* the head of a streamed answer is sent */
    void *work;            /* owned; of request_set_work */
    void (*end_work)(void *work);
    void *former_work; /* owned; of request_drop_work */
    struct loop_corpse corpse;
};

/* Begins with the exchange's ownership. NULL: the exchange is still the caller's. */
struct request *request_new(const struct gateway *gateway, const struct route *route,
                            struct http_exchange *exchange, struct err *err) MUST_CHECK;

/* When it begins: where it comes from. */
void request_note_origin(struct request *request);
/* Who is behind it, as far as that is known by now: for what is asked of the services. Valid as
 * long as the request. */
const struct actor *request_actor(struct request *request);

/* What the request is about to do has its place in the audit trail; the record ends with the
 * request, which is its result. target is the {id} of the path. For what is always recorded. */
bool request_record(struct request *request, enum audit_action action, struct err *err) MUST_CHECK;
/* The same before a handler, if its route and AUDIT_DATA_PLANE say so. */
bool request_record_data(struct request *request, struct err *err) MUST_CHECK;
/* What the record says of it; nothing when there is none. name is a literal. */
void request_add_detail(struct request *request, const char *name, struct view value);
/* err is NULL when it was done. Nothing when there is no record, or no more. */
void request_end_act(struct request *request, const struct err *err);
/* Whether what was begun was done is not known. */
void request_end_act_unknown(struct request *request, const char *reason);

/* All requests in flight, those whose client has left among them. */
struct requests *requests_new(struct loop *loop, struct err *err) MUST_CHECK;
/* Ends what is left without an answer; its clients are gone already. */
void requests_free(struct requests *requests);

/* A key, a session, or all of a user are refused from now on: streamed requests of theirs end, and
 * those whose body is still on its way do nothing with it. */
void requests_revoke(struct requests *requests, const char *id);
/* The same for keys and client tokens that have expired at that time (wall clock); looked for now
 * and then, and when one that request_expect_end was told of does. */
void requests_end_expired(struct requests *requests, int64_t now_ms);
/* The caller is known. */
void request_expect_end(const struct request *request);
/* The ids of the keys they came with, or of the users who came without; each as often as there are
 * requests of it. */
void requests_each_key(const struct requests *requests,
                       void (*on_key)(const char id[ID_SIZE], void *arg), void *arg);

/* The same of the sessions that are watched. */
void requests_each_session(const struct requests *requests,
                           void (*on_session)(const char *session_id, void *arg), void *arg);

/* Each answers and ends the request: it must not be touched again. When the client has left, they
 * only end it. */
void request_respond(struct request *request, const struct http_response *response);
void request_respond_json(struct request *request, int status, const struct str *body);
void request_fail(struct request *request, const struct err *err);
/* With its own time to come again. */
void request_fail_later(struct request *request, const struct err *err, int retry_after_s);
/* 400 with every violation. */
void request_fail_validation(struct request *request, const struct err *err,
                             const struct json_violations *violations);
/* The same with one, which no schema could find. */
void request_fail_member(struct request *request, const char *path, const char *message);

/* Gives the request something of its handler's own, from calloc: end closes what that has open,
 * once, however the request ends; the memory is freed behind it, when the stack has been left. */
void request_set_work(struct request *request, void *work, void (*end)(void *work));

/* Ends the work, for another to take its place; the request goes on. */
void request_drop_work(struct request *request);

/* An answer whose body follows in pieces (http_respond_begin); on_drained gets the request. */
void request_begin_answer(struct request *request, const struct http_response *response,
                          int64_t length, void (*on_drained)(void *arg));
/* False when the client has enough for now: on_drained comes. */
bool request_send(struct request *request, struct view bytes);
void request_end_answer(struct request *request);
/* Breaks the connection, so that the client sees that the answer is cut. */
void request_abort_answer(struct request *request);
/* Whether it has ended; for whoever holds it through its work. */
static inline bool request_is_over(const struct request *request)
{
    return request->exchange == NULL;
}

/* Ends the request and returns its exchange, which the caller must answer. The client is still
 * there. */
struct http_exchange *request_hand_over(struct request *request) MUST_CHECK;

/* What a request with is_revoked is refused with. */
void request_error_revoked(const struct request *request, struct err *err);

#endif
