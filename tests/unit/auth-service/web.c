#include "tests/unit/auth-service/web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void on_request(struct evhttp_request *request, void *arg)
{
    struct web *web = arg;
    const char *authorization =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    web->requests++;
    (void)snprintf(web->path, sizeof web->path, "%s", evhttp_request_get_uri(request));
    (void)snprintf(web->authorization, sizeof web->authorization, "%s",
                   authorization == NULL ? "" : authorization);
    if (web->retry_after_s > 0) {
        char seconds[24];
        (void)snprintf(seconds, sizeof seconds, "%" PRId64, web->retry_after_s);
        assert_int_equal(
            evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After", seconds),
            0);
    }
    struct evbuffer *body = evbuffer_new();
    assert_int_equal(evbuffer_add(body, web->body, strlen(web->body)), 0);
    evhttp_send_reply(request, web->status, "x", body);
    evbuffer_free(body);
}

void web_open(struct web *web, struct loop *loop)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    *web = (struct web){.server = evhttp_new(loop_base(loop)), .status = 200};
    assert_non_null(web->server);
    evhttp_set_gencb(web->server, on_request, web);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(web->server, "127.0.0.1", 0);
    assert_non_null(bound);
    assert_int_equal(
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len), 0);
    (void)snprintf(web->url, sizeof web->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
}

void web_close(struct web *web)
{
    evhttp_free(web->server);
}
