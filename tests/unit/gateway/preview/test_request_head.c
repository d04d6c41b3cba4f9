/* gateway/preview/request_head.h: what a program gets to see of a request. */
#include "gateway/preview/request_head.h"

#include "gateway/preview/destination.h"
#include "tests/unit/gateway/preview/head.h"

#define KEY "isk_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct preview_destination by_host = {
    .form = PREVIEW_HOST, .is_named = true, .port = 3000, .path = VIEW("/a/%2e%2e//b")};
static const struct preview_destination by_path = {.form = PREVIEW_PATH,
                                                   .is_named = true,
                                                   .port = 3000,
                                                   .prefix = "/preview/i/3000",
                                                   .path = VIEW("")};

static void assert_written(const struct request_head *request, const char *expected)
{
    AUTO(str_free) struct str out = STR_INIT(REQUEST_HEAD_MAX);
    request_head_write(request, &out);
    assert_false(out.failed);
    assert_text(str_view(&out), expected);
}

static void the_target_and_the_host_stay_as_they_were_sent(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("host"), VIEW("x")}, {VIEW("Accept"), VIEW("*/*")}, {VIEW("a"), VIEW("")}};
    const struct http_head head = {.method = HTTP_GET,
                                   .query = VIEW("q=%zz&preview_token=theirs"),
                                   .host = VIEW("3000-i.localhost:8080"),
                                   .headers = headers,
                                   .header_count = 3};
    const struct request_head request = {
        .head = &head, .destination = &by_host, .peer = "::1", .body_length = REQUEST_BODY_NONE};
    assert_written(&request, "GET /a/%2e%2e//b?q=%zz&preview_token=theirs HTTP/1.1\r\n"
                             "Host: 3000-i.localhost:8080\r\nAccept: */*\r\na: \r\n"
                             "X-Forwarded-For: ::1\r\nX-Forwarded-Host: 3000-i.localhost:8080\r\n"
                             "X-Forwarded-Port: 8080\r\nX-Forwarded-Proto: http\r\n\r\n");
}

static void the_path_form_names_its_prefix_and_the_programs_own_host(void **state)
{
    (void)state;
    const struct http_head head = {
        .method = HTTP_DELETE, .host = VIEW("api.example.com"), .query = VIEW("preview_token=x")};
    const struct request_head request = {.head = &head,
                                         .destination = &by_path,
                                         .peer = "10.0.0.1",
                                         .is_tls = true,
                                         .hides_token = true,
                                         .body_length = REQUEST_BODY_NONE};
    assert_written(&request,
                   "DELETE / HTTP/1.1\r\nHost: localhost:3000\r\nX-Forwarded-For: 10.0.0.1\r\n"
                   "X-Forwarded-Host: api.example.com\r\nX-Forwarded-Port: 443\r\n"
                   "X-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /preview/i/3000\r\n\r\n");
}

static void what_ends_at_a_proxy_and_what_is_ours_is_left_out(void **state)
{
    static const struct http_header dropped[] = {
        {VIEW("Connection"), VIEW("keep-alive, X-Named")},
        {VIEW("x-named"), VIEW("1")},
        {VIEW("Keep-Alive"), VIEW("timeout=5")},
        {VIEW("Proxy-Authorization"), VIEW("Basic eA==")},
        {VIEW("Proxy-Connection"), VIEW("keep-alive")},
        {VIEW("TE"), VIEW("trailers")},
        {VIEW("Trailer"), VIEW("a")},
        {VIEW("Transfer-Encoding"), VIEW("chunked")},
        {VIEW("Upgrade"), VIEW("h2c")},
        {VIEW("Expect"), VIEW("100-continue")},
        {VIEW("X-Forwarded-For"), VIEW("1.2.3.4")},
        {VIEW("Forwarded"), VIEW("for=1.2.3.4")},
        {VIEW("X-API-Key"), VIEW(KEY)},
        {VIEW("Authorization"), VIEW("Bearer " KEY)},
        {VIEW("Authorization"), VIEW("bearer  " KEY)},
        {VIEW("Authorization"), VIEW(KEY)},
        {VIEW("Authorization"), VIEW("Basic eDppc2tfMDAxMQ==")}, /* x:isk_0011 */
        {VIEW("X-Preview-Token"), VIEW("t")},
        {VIEW("insien-preview-token"), VIEW("t")},
        {VIEW("Cookie"), VIEW("insien_preview=t")},
        {VIEW("Sec-WebSocket-Protocol"), VIEW("insien.token.t")},
    };
    (void)state;
    const struct http_head head = {.method = HTTP_HEAD,
                                   .host = VIEW("h"),
                                   .headers = dropped,
                                   .header_count = sizeof dropped / sizeof dropped[0]};
    const struct request_head request = {
        .head = &head, .destination = &by_host, .peer = "p", .body_length = REQUEST_BODY_CHUNKED};
    assert_written(&request, "HEAD /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: p\r\n"
                             "X-Forwarded-Host: h\r\nX-Forwarded-Port: 80\r\n"
                             "X-Forwarded-Proto: http\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void the_programs_own_sign_in_passes(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("Authorization"), VIEW("Bearer eyJhbGciOi.x.y")},
        {VIEW("Cookie"), VIEW("sid=1; insien_preview=t; b=2")},
        {VIEW("Content-Length"), VIEW("7")},
    };
    const struct http_head head = {.method = HTTP_POST,
                                   .host = VIEW("h"),
                                   .headers = headers,
                                   .header_count = 3,
                                   .has_body = true};
    const struct request_head request = {
        .head = &head, .destination = &by_host, .peer = "p", .body_length = 7};
    assert_written(&request, "POST /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\n"
                             "Authorization: Bearer eyJhbGciOi.x.y\r\nCookie: sid=1; b=2\r\n"
                             "X-Forwarded-For: p\r\nX-Forwarded-Host: h\r\n"
                             "X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"
                             "Content-Length: 7\r\n\r\n");
}

static void an_empty_body_that_was_announced_stays_announced(void **state)
{
    (void)state;
    const struct http_header header = {VIEW("content-length"), VIEW("0")};
    const struct http_head head = {
        .method = HTTP_POST, .host = VIEW("h"), .headers = &header, .header_count = 1};
    const struct request_head request = {
        .head = &head, .destination = &by_host, .peer = "p", .body_length = REQUEST_BODY_NONE};
    assert_written(&request, "POST /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: p\r\n"
                             "X-Forwarded-Host: h\r\nX-Forwarded-Port: 80\r\n"
                             "X-Forwarded-Proto: http\r\nContent-Length: 0\r\n\r\n");
}

static void a_trace_of_ours_takes_the_place_of_what_is_none(void **state)
{
    (void)state;
    const struct http_header headers[] = {{VIEW("Traceparent"), VIEW("00-x")},
                                          {VIEW("TraceState"), VIEW("a=1")},
                                          {VIEW("a"), VIEW("b")}};
    const struct http_head head = {
        .method = HTTP_GET, .host = VIEW("h"), .headers = headers, .header_count = 3};
    struct request_head request = {.head = &head,
                                   .destination = &by_host,
                                   .peer = "p",
                                   .traceparent = "00-1-2-00",
                                   .body_length = REQUEST_BODY_NONE};
    assert_written(&request, "GET /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\na: b\r\n"
                             "X-Forwarded-For: p\r\nX-Forwarded-Host: h\r\n"
                             "X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"
                             "traceparent: 00-1-2-00\r\n\r\n");
    request.traceparent = NULL;
    assert_written(&request, "GET /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\nTraceparent: 00-x\r\n"
                             "TraceState: a=1\r\na: b\r\n"
                             "X-Forwarded-For: p\r\nX-Forwarded-Host: h\r\n"
                             "X-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n\r\n");
}

static void an_upgrade_is_asked_for_again(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("Connection"), VIEW("Upgrade")},
        {VIEW("Upgrade"), VIEW("websocket")},
        {VIEW("Sec-WebSocket-Key"), VIEW("k")},
        {VIEW("Sec-WebSocket-Protocol"), VIEW("insien.token.t, vite-hmr")},
    };
    const struct http_head head = {.method = HTTP_GET,
                                   .host = VIEW("h"),
                                   .headers = headers,
                                   .header_count = 4,
                                   .wants_upgrade = true};
    const struct request_head request = {
        .head = &head, .destination = &by_host, .peer = "p", .body_length = REQUEST_BODY_NONE};
    assert_written(&request, "GET /a/%2e%2e//b HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\n"
                             "Sec-WebSocket-Protocol: vite-hmr\r\nX-Forwarded-For: p\r\n"
                             "X-Forwarded-Host: h\r\nX-Forwarded-Port: 80\r\n"
                             "X-Forwarded-Proto: http\r\nConnection: Upgrade\r\n"
                             "Upgrade: websocket\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_target_and_the_host_stay_as_they_were_sent),
        cmocka_unit_test(the_path_form_names_its_prefix_and_the_programs_own_host),
        cmocka_unit_test(what_ends_at_a_proxy_and_what_is_ours_is_left_out),
        cmocka_unit_test(the_programs_own_sign_in_passes),
        cmocka_unit_test(an_empty_body_that_was_announced_stays_announced),
        cmocka_unit_test(a_trace_of_ours_takes_the_place_of_what_is_none),
        cmocka_unit_test(an_upgrade_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
