/* gateway/native/service.h: what a request asks of a service, and what comes back. */
#ifndef GATEWAY_NATIVE_SERVICE_H
#define GATEWAY_NATIVE_SERVICE_H

#include "common/ipc/client.h"
#include "gateway/native/request.h"

struct service_question {
    struct ipc_client *service;
    const char *method;
    int64_t timeout_ms;
    bool repeatable;                  /* as in ipc_call_options */
    const struct json_schema *schema; /* of message */
    const void *message;
};
/* Asks in the request's name; copies message. on_reply gets the request, and begins with one of the
 * two below. When it can't begin, the request fails. */
void service_ask(struct request *request, const struct service_question *question,
                 ipc_reply_fn *on_reply);

/* The same, for a request that goes on when it can't begin: false then. */
bool service_begin(struct request *request, const struct service_question *question,
                   ipc_reply_fn *on_reply, struct err *err) MUST_CHECK;

/* Takes the call off the request. False when the service answered with an error: then the request
 * has failed with it and must not be touched again. */
bool service_answered(struct request *request, const struct err *err) MUST_CHECK;

/* The same, and reads the answer into out. Returns the document that out's views point to, to the
 * caller to free with json_doc_free; NULL when the request has failed, with ERR_INTERNAL for an
 * answer that can't be read. */
struct json_doc *service_read_answer(struct request *request, const struct view *body,
                                     const struct err *err, const struct json_schema *schema,
                                     void *out) MUST_CHECK;

/* The on_reply of what has no more to tell than that it was done. */
ipc_reply_fn service_on_done;

/* Answers with a list under that name: a JSON array, as the service wrote it. */
void service_respond_list(struct request *request, const char *name, struct view list);

#endif
