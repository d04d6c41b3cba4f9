#include "common/http/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HTTP_CONNECT_TIMEOUT_MS = 5000,
    HTTP_HEADER_MAX = 16 * 1024, /* bytes of one header line that we send */
};

static bool add_header(struct http_call *call, const char *line)
{
    struct curl_slist *longer = curl_slist_append(call->headers, line);
    if (longer == NULL) {
        return false;
    }
    call->headers = longer;
    return true;
}

/* An empty value leaves a header of curl's own out: without "Expect:" a body of over 1 MB would
 * wait for 100 Continue, and an empty body has no type. */
static bool set_headers(struct http_call *call, const struct http_call_options *options)
{
    char content_type[128];
    const char *type = options->content_type == NULL ? "application/json" : options->content_type;
    int length = snprintf(content_type, sizeof content_type, "Content-Type: %s",
                          options->body.len == 0 ? "" : type);
    bool ok = length > 0 && (size_t)length < sizeof content_type && add_header(call, "Expect:") &&
              add_header(call, content_type);
    for (const char *const *line = options->headers; ok && line != NULL && *line != NULL; line++) {
        ok = strlen(*line) < HTTP_HEADER_MAX && add_header(call, *line);
    }
    return ok && curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
}

static bool set_body(struct http_call *call, const struct http_call_options *options)
{
    const char *bytes = options->body.len == 0 ? "" : options->body.ptr;
    if (options->body.len > 0 && !options->body_is_borrowed) {
        call->request_body = malloc(options->body.len);
        if (call->request_body == NULL) {
            return false;
        }
        memcpy(call->request_body, options->body.ptr, options->body.len);
        bytes = call->request_body;
    }
    return curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, bytes) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)options->body.len) == CURLE_OK;
}

static bool set_method(struct http_call *call, const struct http_call_options *options)
{
    bool has_body = options->body.len > 0 || strcmp(options->method, "POST") == 0 ||
                    strcmp(options->method, "PUT") == 0;
    if (has_body && !set_body(call, options)) {
        return false;
    }
    if (strcmp(options->method, "HEAD") == 0) {
        return curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    return curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, options->method) == CURLE_OK;
}

static bool set_connection(struct http_call *call, const struct http_call_options *options,
                           const char *path)
{
    CURL *easy = call->easy;
    /* A proxy of the environment is for the network, not for a local socket. */
    if (path != NULL && (curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, path) != CURLE_OK ||
                         curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK)) {
        return false;
    }
    return curl_easy_setopt(easy, CURLOPT_URL, options->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "insien/" INSIEN_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* Whoever gives up a call whose host is still looked up does not wait for that. */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS) ==
               CURLE_OK;
}

/* Called by curl for each address that it is about to connect to. */
static curl_socket_t open_allowed_socket(void *arg, curlsocktype purpose,
                                         struct curl_sockaddr *address)
{
    struct http_call *call = arg;
    if (purpose != CURLSOCKTYPE_IPCXN || !call->allow_address(&address->addr, call->arg)) {
        call->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A proxy would look the name up itself, and a kept connection is not asked about. */
static bool set_address_check(struct http_call *call, const struct http_call_options *options)
{
    CURL *easy = call->easy;
    call->allow_address = options->allow_address;
    return options->allow_address == NULL ||
           (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_allowed_socket) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK);
}

static bool set_callbacks(struct http_call *call, call_write_fn *on_write)
{
    return curl_easy_setopt(call->easy, CURLOPT_PRIVATE, (char *)call) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->curl_error) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call) == CURLE_OK;
}

struct http_call *call_new(const struct http_call_options *options, const char *unix_socket_path,
                           call_write_fn *on_write, struct err *err)
{
    struct http_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        err_set(err, ERR_INTERNAL, "http: out of memory");
        return NULL;
    }
    call->body = STR_INIT(options->response_max);
    call->on_data = options->on_data;
    call->head_is_enough = options->head_is_enough;
    call->answer_header = options->answer_header;
    call->easy = curl_easy_init();
    if (call->easy == NULL || !set_connection(call, options, unix_socket_path) ||
        !set_address_check(call, options) || !set_headers(call, options) ||
        !set_method(call, options) || !set_callbacks(call, on_write)) {
        call_free(call);
        err_set(err, ERR_INTERNAL, "http: the call can't be made: out of memory or bad options");
        return NULL;
    }
    return call;
}

void call_free(struct http_call *call)
{
    list_remove(&call->node);
    timer_close(&call->deadline);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->request_body);
    str_free(&call->body);
    free(call);
}

static long status_of(const struct http_call *call)
{
    long status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

bool call_has_reply(const struct http_call *call)
{
    return call->result == CURLE_OK || (call->head_is_enough && status_of(call) / 100 == 2);
}

void call_describe_failure(const struct http_call *call, struct err *err)
{
    const char *why =
        call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(call->result);
    if (call->too_large) {
        err_set_reason(err, ERR_LIMIT, "response_too_large", "http: the answer is over %zu bytes",
                       call->body.ceiling);
    } else if (call->address_refused && call->result == CURLE_COULDNT_CONNECT) {
        err_set_reason(err, ERR_DENIED, "address_refused", "http: the address is not allowed");
    } else if (call->result == CURLE_OPERATION_TIMEDOUT) {
        err_set(err, ERR_TIMEOUT, "http: %s", why);
    } else {
        err_set(err, ERR_UNAVAILABLE, "http: %s", why);
    }
}

static struct view find_header(const struct http_call *call)
{
    struct curl_header *header;
    bool is_there =
        call->answer_header != NULL && curl_easy_header(call->easy, call->answer_header, 0,
                                                        CURLH_HEADER, -1, &header) == CURLHE_OK;
    return is_there ? view_of(header->value) : (struct view){0};
}

struct http_reply call_reply(const struct http_call *call)
{
    curl_off_t retry_after_s = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    retry_after_s = retry_after_s > 0 ? retry_after_s : 0; /* a date that is over */
    return (struct http_reply){.status = (int)status_of(call),
                               .body = str_view(&call->body),
                               .header = find_header(call),
                               .retry_after_s = retry_after_s < HTTP_RETRY_AFTER_MAX_S
                                                    ? retry_after_s
                                                    : HTTP_RETRY_AFTER_MAX_S};
}
