/* common/ipc/client.h: calls to another of our processes, over a stream of nng. */
#ifndef COMMON_IPC_CLIENT_H
#define COMMON_IPC_CLIENT_H

#include "common/event/loop.h"
#include "common/ipc/envelope.h"
#include "common/ipc/tls.h"

struct ipc_client;
struct ipc_call;

enum { IPC_CALLS_MAX = 1024 }; /* in flight a client; more are refused with ERR_LIMIT "busy" */

/* Dials every URL of a comma-separated list (ipc:///run/insien/auth-1.sock,...) and keeps dialling;
 * a call goes to whichever peer is there. peer names it in errors and logs ("auth-service"). */
struct ipc_client *ipc_client_open(struct loop *loop, const char *urls, const char *peer,
                                   struct err *err) MUST_CHECK;
/* The same, and dials tls+tcp:// as tls says (may be NULL: then no such URL is taken). */
struct ipc_client *ipc_client_open_tls(struct loop *loop, const char *urls, const char *peer,
                                       const struct ipc_tls *tls, struct err *err) MUST_CHECK;
/* Cancels what is in flight; those callbacks do not come any more. */
void ipc_client_close(struct ipc_client *client);

/* body is NULL when err is not. Both, and what body points to, are valid during the call only. */
typedef void ipc_reply_fn(const struct view *body, const struct err *err, void *arg);

struct ipc_call_options {
    const char *method;        /* "auth.check_key" */
    const struct trace *trace; /* copied; NULL: of nobody's request */
    const struct actor *actor; /* copied; NULL: nobody */
    int64_t timeout_ms;
    bool repeatable; /* asks again, within the deadline, when the peer died with the call in hand */
};

/* Sends and calls done exactly once, later, on the loop: with the reply's body, with the error the
 * peer answered, ERR_UNAVAILABLE when the peer went away, or ERR_TIMEOUT. A peer that just went is
 * waited for up to 3 s, one that has been away longer is not. body (a JSON object's text) is
 * copied. Returns the call, to cancel; NULL (done is not called) when it can't even begin. */
struct ipc_call *ipc_call_begin(struct ipc_client *client, const struct ipc_call_options *options,
                                struct view body, ipc_reply_fn *done, void *arg,
                                struct err *err) MUST_CHECK;
/* done is not called any more. Only before it was. */
void ipc_call_cancel(struct ipc_call *call);

/* Whether a peer is connected right now. */
bool ipc_client_is_connected(const struct ipc_client *client);

#endif
