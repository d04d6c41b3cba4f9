/* common/http/client.h: HTTP requests of ours on the loop (libcurl's multi-socket interface). */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include "common/base/view.h"
#include "common/event/loop.h"

#include <stdint.h>
#include <sys/socket.h>

struct http_client;
struct http_call;

/* unix_socket_path: every request goes there (Docker); NULL: by the URL. At most connection_limit
 * connections at a time; further calls wait. */
struct http_client *http_client_open(struct loop *loop, const char *unix_socket_path,
                                     long connection_limit, struct err *err) MUST_CHECK;
/* Cancels what is in flight: those callbacks do not come any more. Not from inside on_data. */
void http_client_close(struct http_client *client);

enum { HTTP_RETRY_AFTER_MAX_S = 24 * 3600 };

/* Valid during the callback only. */
struct http_reply {
    int status;
    struct view body;
    int64_t retry_after_s; /* what a Retry-After header asks for, at most that; 0: none */
    struct view header;    /* the one that was asked for; empty: the answer has none */
};
/* reply is NULL when err is not: ERR_UNAVAILABLE (no connection, broken answer), ERR_TIMEOUT,
 * ERR_LIMIT "response_too_large", or ERR_DENIED "address_refused". Any status is a reply. */
typedef void http_reply_fn(const struct http_reply *reply, const struct err *err, void *arg);
/* A piece of a streamed body. Return false to end the call (on_done gets ERR_UNAVAILABLE). */
typedef bool http_data_fn(struct view data, void *arg);

/* Whether a call may connect to this address, which its host's name turned out to have. */
typedef bool http_address_fn(const struct sockaddr *address, void *arg);

struct http_call_options {
    const char *method;         /* "GET" */
    const char *url;            /* http://docker/v1.41/... or https://... */
    const char *const *headers; /* NULL-terminated "Name: value" lines; may be NULL; copied */
    const char *content_type;   /* of body; NULL: application/json */
    const char *answer_header;  /* name of one that the reply is to have; a literal; may be NULL */
    struct view body;           /* copied, unless body_is_borrowed until done */
    bool body_is_borrowed;
    int64_t timeout_ms;    /* the whole call; 0: none, for streams */
    size_t response_max;   /* bytes of body; over it the call fails */
    http_data_fn *on_data; /* streams the body of a 2xx instead of collecting it */
    /* A 2xx is a reply whatever becomes of its body, which is then what has come of it: one that is
     * over response_max, or has no end within timeout_ms, is not waited for. */
    bool head_is_enough;
    /* Asked for each address before it is connected to; an address it refuses counts as one that
     * does not answer, and when there is no other the call ends with ERR_DENIED "address_refused".
     * Such a call goes straight to its host, whatever proxy the environment names, and over a
     * connection of its own. Called with the call's arg. NULL: any address. */
    http_address_fn *allow_address;
};

/* done comes exactly once, later, on the loop, never from inside this function. TLS is always
 * verified; redirects are not followed. A request over a kept connection that turns out closed
 * before any byte of an answer is sent again over a new one. Copies options. Returns the call, to
 * cancel; NULL (done is not called) when it can't begin. */
struct http_call *http_call_begin(struct http_client *client,
                                  const struct http_call_options *options, http_reply_fn *done,
                                  void *arg, struct err *err) MUST_CHECK;
/* done is not called any more. Allowed inside a callback of the same client. */
void http_call_cancel(struct http_call *call);

#endif
