/* sandbox-service/docker/docker.h: calls of the Docker Engine API over its unix socket. */
#ifndef SANDBOX_DOCKER_DOCKER_H
#define SANDBOX_DOCKER_DOCKER_H

#include "common/base/list.h"
#include "common/event/loop.h"
#include "common/http/client.h"

enum {
    DOCKER_PATH_SIZE = 1024,
    DOCKER_REPLY_MAX = 8 * 1024 * 1024, /* bytes of an answer: a list of very many containers */
    DOCKER_TIMEOUT_MS = 30000,
};

struct docker;

/* on_state (may be NULL) is called on the loop when it is first known whether the engine is there,
 * and whenever it comes (true) or goes (false). */
typedef void docker_state_fn(bool up, void *arg);

/* Asks for /_ping each second from here on. At most connection_limit calls run at a time. */
struct docker *docker_open(struct loop *loop, const char *socket_path, long connection_limit,
                           docker_state_fn *on_state, void *arg, struct err *err) MUST_CHECK;
/* Whether the engine answered when it was last asked. */
bool docker_is_up(const struct docker *docker);
/* Ends what is in flight with ERR_UNAVAILABLE; later calls end the same way. Returns whether it
 * called anybody back: what they began may have to be failed too. */
bool docker_fail_all(struct docker *docker);
/* After docker_fail_all. */
void docker_close(struct docker *docker);

/* One call. Lies in the caller's request; belongs to docker from send to done. */
struct docker_call {
    struct list node;
    struct docker *docker;  /* borrowed */
    struct http_call *http; /* NULL when it could not begin: err says why */
    http_reply_fn *done;
    void *arg;
    struct err err;
};

struct docker_request {
    const char *method;
    const char *path; /* "/containers/create?name=x": the API's version is put in front */
    struct view body; /* copied, unless borrowed until done */
    bool body_is_borrowed;
    const char *content_type;  /* NULL: application/json */
    const char *answer_header; /* that the reply is to have; a literal; may be NULL */
    int64_t timeout_ms;        /* 0: DOCKER_TIMEOUT_MS */
    bool is_stream;            /* no timeout */
    http_data_fn *on_data;     /* its arg is the docker_call */
};

/* done comes exactly once, later, on the loop, also when the call can't even begin. Errors have the
 * reason "docker_unavailable". */
void docker_send(struct docker *docker, struct docker_call *call,
                 const struct docker_request *request, http_reply_fn *done, void *arg);
/* done is not called any more. Does nothing to a call that is not in flight. */
void docker_cancel(struct docker_call *call);

/* Whether the call went well (2xx, or 304: it was so already). Otherwise fills out: ERR_NOT_FOUND
 * for 404, ERR_CONFLICT for 409, ERR_UNAVAILABLE for everything else. what is for the message. */
bool docker_succeeded(const struct http_reply *reply, const struct err *err, const char *what,
                      struct err *out) MUST_CHECK;

#endif
