/* gateway/http/core.h: what all connections of one server share. */
#ifndef GATEWAY_HTTP_CORE_H
#define GATEWAY_HTTP_CORE_H

#include "gateway/http/address.h"
#include "gateway/http/response.h"
#include "gateway/http/server.h"

enum {
    CORE_IDLE_VARIANTS = 4, /* so that clients do not come back all at once */
    CORE_LINGER_MS = 1000,
    CORE_WATCH_MS = 10 * 1000,
    CORE_ID_PREFIX_SIZE = 17,
};

/* libevent keeps all timers of one length in one queue: arming is O(1) at any number of
 * connections. */
enum core_timeout {
    TIMEOUT_NONE,
    TIMEOUT_HEAD,
    TIMEOUT_BODY_TICK,
    TIMEOUT_WRITE,
    TIMEOUT_LINGER,
    TIMEOUT_WATCH,
    TIMEOUT_STREAM,
    TIMEOUT_IDLE, /* and the variants behind it */
    TIMEOUT_COUNT = TIMEOUT_IDLE + CORE_IDLE_VARIANTS,
};

struct http_connection;

struct http_core {
    struct loop *loop;         /* borrowed */
    struct http_limits limits; /* the texts of networks are not kept */
    struct address_list exempt;
    struct address_list proxies;
    http_request_fn *on_request;
    http_raw_target_fn *is_raw; /* NULL: no target is */
    void *is_raw_arg;
    void (*on_closed)(struct http_connection *connection); /* it left its listener's list */
    const struct timeval *timeouts[TIMEOUT_COUNT];         /* borrowed from the loop */
    struct response_writer writer;
    char id_prefix[CORE_ID_PREFIX_SIZE];
    uint64_t id_counter;
};

bool core_init(struct http_core *core, struct loop *loop, const struct http_limits *limits,
               struct err *err) MUST_CHECK;
void core_release(struct http_core *core);

/* A request id of our own. */
void core_new_id(struct http_core *core, char out[HTTP_REQUEST_ID_SIZE]);

#endif
