/* common/http/call.h: one request as a curl handle; private to this folder. */
#ifndef COMMON_HTTP_CALL_H
#define COMMON_HTTP_CALL_H

#include "common/base/str.h"
#include "common/http/client.h"

#include <curl/curl.h>

enum call_state { CALL_STARTING, CALL_RUNNING, CALL_LEAVING, CALL_FINISHED };

struct http_call {
    struct list node;           /* in the client's list of its state */
    struct http_client *client; /* borrowed */
    enum call_state state;
    CURL *easy;                 /* owned */
    struct curl_slist *headers; /* owned */
    char *request_body;         /* owned; NULL when borrowed or none */
    struct timer deadline; /* armed while starting and running; curl's own forgets calls that wait
                              for a connection */
    struct str body;
    const char *answer_header; /* a literal; may be NULL */
    bool head_is_enough;
    bool too_large;
    CURLcode result;
    bool address_refused;
    http_data_fn *on_data;
    http_address_fn *allow_address;
    http_reply_fn *done;
    void *arg;
    char curl_error[CURL_ERROR_SIZE];
};

typedef size_t call_write_fn(char *bytes, size_t size, size_t count, void *call);

/* A call that curl can run; on_write is given its body. The caller frees it with call_free. */
struct http_call *call_new(const struct http_call_options *options, const char *unix_socket_path,
                           call_write_fn *on_write, struct err *err) MUST_CHECK;
/* Not while curl runs it. Leaves the list it is in. */
void call_free(struct http_call *call);

/* What a finished call brought: a reply that points into it, or why there is none. */
bool call_has_reply(const struct http_call *call);
struct http_reply call_reply(const struct http_call *call);
void call_describe_failure(const struct http_call *call, struct err *err);

#endif
