/* auth-service/call.h: one request to the service, from its arrival to its one reply. */
#ifndef AUTH_SERVICE_CALL_H
#define AUTH_SERVICE_CALL_H

#include "auth-service/service.h"
#include "common/ipc/server.h"

struct service {
    struct service_parts parts;
    struct ipc_server *server; /* owned; NULL once closed */
    size_t open_calls;
    service_drained_fn *on_drained; /* NULL until it drains */
    void *drained_arg;
    bool draining;
};

/* The first member of each method's own struct. */
struct call {
    struct service *service;           /* borrowed */
    struct ipc_exchange *exchange;     /* owned until the reply */
    const struct ipc_request *request; /* borrowed until the reply */
    struct json_doc *doc;              /* owned; of the body */
    size_t size;                       /* of the whole struct: it is wiped */
};

/* How a method's struct looks and how its body is read into it. */
struct call_shape {
    size_t size;
    size_t body_offset;
    const struct json_schema *schema;
};
#define CALL_SHAPE(type, body_schema)                                                              \
    {                                                                                              \
        .size = sizeof(type), .body_offset = offsetof(type, body), .schema = (body_schema)         \
    }

/* A zeroed struct of that shape with the body read; NULL when the request was refused (and
 * answered) already. */
void *call_begin(struct service *service, struct ipc_exchange *exchange,
                 const struct ipc_request *request, const struct call_shape *shape) MUST_CHECK;

int64_t call_timeout_ms(const struct call *call);

/* The two ways out: each answers and frees the call. value is what schema writes. */
void call_succeed(struct call *call, const struct json_schema *schema, const void *value);
void call_fail(struct call *call, const struct err *err);

#endif
