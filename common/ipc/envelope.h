/* common/ipc/envelope.h: what wraps every message between two of our processes.
 *
 * A request is {"method","requestId","traceparent","actor","timeoutMs","body"}, a reply {"body"} or
 * {"error"}: JSON, read through schemas that refuse unknown members. */
#ifndef COMMON_IPC_ENVELOPE_H
#define COMMON_IPC_ENVELOPE_H

#include "common/base/id.h"
#include "common/base/str.h"
#include "common/base/trace.h"
#include "common/contracts/actor.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    IPC_MESSAGE_MAX = 4 * 1024 * 1024, /* bytes, both ways; checked by sender and receiver */
    IPC_METHOD_SIZE = 48,
};

struct ipc_request {
    char method[IPC_METHOD_SIZE];
    struct trace trace; /* of the outside request: for the log */
    struct actor actor; /* who made that, and from where: for the audit trail */
    int64_t timeout_ms; /* what is left of the deadline when it was sent */
    struct view body;   /* a JSON object, points into the document */
};

struct ipc_reply {
    bool ok;
    struct view body; /* when ok; points into the document */
    struct err error; /* otherwise */
};

bool ipc_request_write(const struct ipc_request *request, struct str *out,
                       struct err *err) MUST_CHECK;
bool ipc_reply_write(const struct ipc_reply *reply, struct str *out, struct err *err) MUST_CHECK;

/* The returned document owns what the views point to; free with json_doc_free. */
struct json_doc *ipc_request_read(struct view message, struct ipc_request *out,
                                  struct err *err) MUST_CHECK;
struct json_doc *ipc_reply_read(struct view message, struct ipc_reply *out,
                                struct err *err) MUST_CHECK;

#endif
