/* What answers look like on the wire. */
#include "gateway/http/response.h"
#include "tests/unit/gateway/http/fixture.h"

#include <stdio.h>
#include <string.h>

static struct reply ask(struct scene *scene, const char *request)
{
    client_send(&scene->client, view_of(request));
    return client_next(&scene->client, false);
}

static struct reply ask_held(struct scene *scene, const struct http_response *response)
{
    client_send(&scene->client, VIEW("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    http_respond(TAKE(scene->fixture.held), response);
    return client_next(&scene->client, false);
}

static void every_answer_has_the_security_headers(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /error HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", "BAD\r\n"};
    static const struct {
        const char *name, *value;
    } headers[] = {
        {"Content-Security-Policy",
         "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';"
         "frame-ancestors 'self';img-src 'self' data: https:;object-src 'none';script-src 'self';"
         "script-src-attr 'none';style-src 'self' 'unsafe-inline'"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Origin-Agent-Cluster", "?1"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-DNS-Prefetch-Control", "off"},
        {"X-Download-Options", "noopen"},
        {"X-Frame-Options", "SAMEORIGIN"},
        {"X-Permitted-Cross-Domain-Policies", "none"},
        {"X-XSS-Protection", "0"},
    };
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct reply reply = ask(&scene, requests[i]);
        for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
            assert_view(reply_header(&reply, headers[h].name), headers[h].value);
        }
        assert_null(reply_header(&reply, "Server").ptr);
        assert_null(reply_header(&reply, "X-Powered-By").ptr);
        assert_null(reply_header(&reply, "Strict-Transport-Security").ptr);
        assert_int_equal(reply_header(&reply, "Date").len, RESPONSE_DATE_SIZE - 1);
        assert_true(reply_header(&reply, "X-Request-Id").len > 0);
    }
    scene_close(&scene);
}

static void an_internal_error_tells_nothing(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "GET /error HTTP/1.1\r\nHost: a\r\nX-Request-Id: r.1\r\n\r\n");
    assert_int_equal(reply.status, 500);
    assert_view(reply.body, "{\"error\":\"Something went wrong on our side\",\"code\":\"internal\","
                            "\"requestId\":\"r.1\"}");
    assert_view(reply_header(&reply, "Content-Type"), "application/json");
    scene_close(&scene);
}

static void errors_have_their_statuses_and_headers(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        const char *reason;
        int status;
        const char *header, *value;
        bool tells; /* its message */
    } cases[] = {
        {ERR_INVALID, "bad_thing", 400, NULL, NULL, true},
        {ERR_UNAUTHENTICATED, "no_key", 401, "WWW-Authenticate", "Bearer", true},
        {ERR_DENIED, "denied", 403, NULL, NULL, true},
        {ERR_NOT_FOUND, "sandbox_not_found", 404, NULL, NULL, true},
        {ERR_CONFLICT, "ended", 409, NULL, NULL, true},
        {ERR_LIMIT, "quota", 429, "Retry-After", "1", true},
        {ERR_UNAVAILABLE, "agent_lost", 503, "Retry-After", "1", false},
        {ERR_TIMEOUT, "timeout", 504, NULL, NULL, false},
        {ERR_INVALID, "upgrade_required", 426, "Sec-WebSocket-Version", "13", true},
        {ERR_INVALID, "unsupported_media_type", 415, NULL, NULL, true},
    };
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        err_set_reason(&err, cases[i].code, cases[i].reason, "message");
        client_send(&scene.client, VIEW("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
        http_respond_err(TAKE(scene.fixture.held), &err);
        struct reply reply = client_next(&scene.client, false);
        assert_int_equal(reply.status, cases[i].status);
        assert_true(view_has(reply.body, cases[i].reason));
        assert_int_equal(view_has(reply.body, "\"message\""), cases[i].tells);
        if (cases[i].header != NULL) {
            assert_view(reply_header(&reply, cases[i].header), cases[i].value);
        }
    }
    scene_close(&scene);
}

static void well_formed_request_ids_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        bool kept;
    } cases[] = {
        {"abc-DEF_1.2", true},
        {"1234567890123456789012345678901234567890123456789012345678901234", true},
        {"12345678901234567890123456789012345678901234567890123456789012345", false},
        {"a b", false},
        {"a\"b", false},
        {"", false},
    };
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str request = STR_INIT(1024);
        str_appendf(&request, "GET /none HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n",
                    cases[i].sent);
        struct reply reply = ask(&scene, request.data);
        struct view id = reply_header(&reply, "X-Request-Id");
        assert_int_equal(view_equal(id, view_of(cases[i].sent)), cases[i].kept);
        assert_true(id.len > 0);
    }
    scene_close(&scene);
}

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE_HEADER "traceparent: " TRACEPARENT "\r\n"

struct seen {
    struct trace trace;
    bool is_theirs;
};

static void see(struct http_exchange *exchange, void *arg)
{
    struct seen *seen = arg;
    const struct http_response response = {.status = 204};
    seen->trace = *http_exchange_trace(exchange);
    seen->is_theirs = http_exchange_brings_trace(exchange);
    http_respond(exchange, &response);
}

static void one_well_formed_traceparent_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *headers;
        bool kept;
    } cases[] = {
        {"one", TRACE_HEADER, true},
        {"in capitals", "TraceParent: " TRACEPARENT "\r\n", true},
        {"none", "", false},
        {"two", TRACE_HEADER TRACE_HEADER, false},
        {"too long", "traceparent: " TRACEPARENT "0\r\n", false},
        {"an empty one", "traceparent:\r\n", false},
    };
    struct scene scene;
    struct seen seen;
    scene_open(&scene, &http_default_limits);
    scene.fixture.on_custom = see;
    scene.fixture.custom_arg = &seen;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "GET /custom HTTP/1.1\r\nHost: a\r\nX-Request-Id: r\r\n%s\r\n",
                       cases[i].headers);
        (void)ask(&scene, text);
        assert_string_equal(seen.trace.request_id, "r");
        assert_int_equal(trace_id(&seen.trace).len, 32);
        if (seen.is_theirs != cases[i].kept ||
            (strcmp(seen.trace.parent, TRACEPARENT) == 0) != cases[i].kept) {
            fail_msg("%s: %s", cases[i].name, seen.trace.parent);
        }
    }
    scene_close(&scene);
}

static void request_ids_of_ours_differ(void **state)
{
    (void)state;
    struct scene scene;
    char first[HTTP_REQUEST_ID_SIZE];
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(view_copy(reply_header(&reply, "X-Request-Id"), first, sizeof first));
    reply = ask(&scene, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(view_equal(reply_header(&reply, "X-Request-Id"), view_of(first)));
    scene_close(&scene);
}

static void no_content_has_neither_body_nor_length(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply.status, 204);
    assert_null(reply_header(&reply, "Content-Length").ptr);
    assert_null(reply_header(&reply, "Content-Type").ptr);
    assert_int_equal(ask(&scene, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    scene_close(&scene);
}

static void headers_that_would_split_the_answer_are_left_out(void **state)
{
    (void)state;
    const struct http_header headers[] = {
        {VIEW("X-Good"), VIEW("fine")},
        {VIEW("X-Bad"), VIEW("a\r\nX-Evil: b")},
        {VIEW("X-Evil: c\r\nY"), VIEW("d")},
        {VIEW("X-Nul"), VIEW("a\0b")},
    };
    const struct http_response response = {
        .status = 200, .body = VIEW("{}"), .headers = headers, .header_count = 4};
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask_held(&scene, &response);
    assert_view(reply_header(&reply, "X-Good"), "fine");
    assert_null(reply_header(&reply, "X-Bad").ptr);
    assert_null(reply_header(&reply, "X-Evil").ptr);
    assert_null(reply_header(&reply, "X-Nul").ptr);
    scene_close(&scene);
}

static void secrets_are_not_to_be_stored(void **state)
{
    (void)state;
    const struct http_response response = {
        .status = 201, .body = VIEW("{}"), .no_store = true, .retry_after_s = 7};
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask_held(&scene, &response);
    assert_int_equal(reply.status, 201);
    assert_view(reply_header(&reply, "Cache-Control"), "no-store");
    assert_view(reply_header(&reply, "Retry-After"), "7");
    scene_close(&scene);
}

static void method_not_allowed_tells_the_allowed(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "TRACE / HTTP/1.1\r\nHost: a\r\nX: secret\r\n\r\n");
    assert_int_equal(reply.status, 405);
    assert_view(reply_header(&reply, "Allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    assert_false(view_has(reply.body, "secret"));
    scene_close(&scene);
}

static void keep_alive_is_said_aloud_in_1_0(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_view(reply_header(&reply, "Connection"), "keep-alive");
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_the_security_headers),
        cmocka_unit_test(an_internal_error_tells_nothing),
        cmocka_unit_test(errors_have_their_statuses_and_headers),
        cmocka_unit_test(well_formed_request_ids_are_kept),
        cmocka_unit_test(one_well_formed_traceparent_is_kept),
        cmocka_unit_test(request_ids_of_ours_differ),
        cmocka_unit_test(no_content_has_neither_body_nor_length),
        cmocka_unit_test(headers_that_would_split_the_answer_are_left_out),
        cmocka_unit_test(secrets_are_not_to_be_stored),
        cmocka_unit_test(method_not_allowed_tells_the_allowed),
        cmocka_unit_test(keep_alive_is_said_aloud_in_1_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
