/* gateway/native from the client's socket to the services. */
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>
#include <stdlib.h>

static void a_sandbox_that_ended_has_a_status(void **state)
{
    struct client client;
    struct reply reply = get(&client, *state, "/sandbox/" SANDBOX_ID "/status");
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"endReason\":\"user\""));
    client_close(&client);
}

static void a_key_revoked_while_its_request_waits_is_refused(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->revoke_while_fetching = true;
    struct reply reply = get(&client, stage, "/sandbox/" SANDBOX_ID "/status");
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_api_key\""));
    client_close(&client);
}

static void a_key_revoked_while_it_is_looked_for_is_refused(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->revoke_while_checking = true;
    struct reply reply = get(&client, stage, "/sandbox");
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_api_key\""));
    assert_int_equal(stage->asked.len, 0);
    client_close(&client);
}

static void an_unreadable_answer_is_not_the_clients_mistake(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->page = "{\"sandboxes\":7}";
    struct reply reply = get(&client, stage, "/sandbox");
    assert_int_equal(reply.status, 500);
    assert_true(view_has(reply.body, "\"code\":\"internal_error\""));
    client_close(&client);
}

static void a_list_is_asked_for_with_exactly_its_parameters(void **state)
{
    static const struct {
        const char *name;
        const char *target;
        int status;
        const char *asked; /* a part of sandbox.list */
    } cases[] = {
        {"none", "/sandbox", 200, "\"limit\":50"},
        {"limit", "/sandbox?limit=7", 200, "\"limit\":7"},
        {"escaped name", "/sandbox?%6cimit=7", 200, "\"limit\":7"},
        {"cursor", "/sandbox?limit=7&cursor=abc", 200, "\"cursor\":\"abc\""},
        {"longer name", "/sandbox?xlimit=7", 200, "\"limit\":50"},
        {"longer name of a cursor", "/sandbox?xcursor=%2F", 200, "\"limit\":50"},
        {"name in a value", "/sandbox?a=limit=7", 200, "\"limit\":50"},
        {"too little", "/sandbox?limit=0", 400, NULL},
        {"too much", "/sandbox?limit=101", 400, NULL},
        {"nothing", "/sandbox?limit", 400, NULL},
        {"no number", "/sandbox?limit=7x", 400, NULL},
        {"status", "/sandbox?status=running", 200, "\"status\":\"running\""},
        {"any status", "/sandbox?status=any&limit=7", 200, "\"limit\":7}"},
        {"no status", "/sandbox?status=alive", 400, NULL},
        {"empty status", "/sandbox?status=", 400, NULL},
        {"one's own", "/api/users/me/sandboxes?status=failed&limit=9", 200,
         "\"status\":\"failed\",\"limit\":9"},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        str_clear(&stage->asked);
        struct reply reply = get(&client, stage, cases[i].target);
        if (reply.status != cases[i].status ||
            (cases[i].asked != NULL && !view_has(str_view(&stage->asked), cases[i].asked))) {
            fail_msg("%s", cases[i].name);
        }
        client_close(&client);
    }
}

static void a_parameter_that_ends_like_the_keys_is_no_key(void **state)
{
    struct client client;
    connect_client(&client, *state);
    client_send(&client, VIEW("GET /client/" SANDBOX_ID "?xapiKey=a HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"unauthenticated\""));
    client_close(&client);
}

/* Every route that needs a caller, with the one scope that opens it. */
static void each_route_needs_its_scope(void **state)
{
    static const struct {
        const char *request_line;
        unsigned scope;
    } cases[] = {
#define BOX "/sandbox/" SANDBOX_ID
        {"POST /api/keys", AUTH_KEYS},
        {"GET /api/keys", AUTH_KEYS},
        {"DELETE /api/keys/" KEY_ID, AUTH_KEYS},
        {"POST /api/keys/" KEY_ID "/rotate", AUTH_KEYS},
        {"GET /sandbox", AUTH_SANDBOX_READ},
        {"GET " BOX "/status", AUTH_SANDBOX_READ},
        {"GET " BOX "/ports", AUTH_SANDBOX_READ},
        {"POST /sandbox/create", AUTH_SANDBOX_WRITE},
        {"POST " BOX "/destroy", AUTH_SANDBOX_WRITE},
        {"DELETE " BOX, AUTH_SANDBOX_WRITE},
        {"POST " BOX "/expose", AUTH_SANDBOX_WRITE},
        {"DELETE " BOX "/ports/80", AUTH_SANDBOX_WRITE},
        {"POST " BOX "/exec", AUTH_EXEC},
        {"GET " BOX "/processes", AUTH_EXEC},
        {"POST " BOX "/processes/1/signal", AUTH_EXEC},
        {"POST " BOX "/processes/1/stdin", AUTH_EXEC},
        {"POST " BOX "/processes/1/resize", AUTH_EXEC},
        {"GET " BOX "/processes/1/output", AUTH_EXEC},
        {"GET " BOX "/files?path=a", AUTH_FILES},
        {"PUT " BOX "/files?path=a", AUTH_FILES},
        {"POST " BOX "/files", AUTH_FILES},
        {"POST " BOX "/files/url", AUTH_FILES},
        {"GET " BOX "/archive", AUTH_FILES},
        {"PUT " BOX "/archive", AUTH_FILES},
        {"GET " BOX "/entries", AUTH_FILES},
        {"POST " BOX "/entries", AUTH_FILES},
        {"DELETE " BOX "/entries", AUTH_FILES},
        {"GET " BOX "/watch", AUTH_FILES},
        {"POST " BOX "/search", AUTH_FILES},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        char names[64];
        stage->scopes = AUTH_SCOPES_ALL & ~cases[i].scope;
        key_cache_forget_key(stage->gateway.keys, KEY_ID);
        (void)snprintf(names, sizeof names, "\\\"%s\\\"", auth_scope_name(cases[i].scope));
        (void)snprintf(text, sizeof text,
                       "%s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\nContent-Length: 0\r\n\r\n",
                       cases[i].request_line);
        connect_client(&client, stage);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != 403 || !view_has(reply.body, "\"code\":\"missing_scope\"") ||
            !view_has(reply.body, names)) {
            fail_msg("%s: %d %.*s", cases[i].request_line, reply.status, (int)reply.body.len,
                     reply.body.ptr);
        }
        client_close(&client);
    }
}

static void one_scope_is_enough(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->scopes = AUTH_SANDBOX_READ;
    struct reply reply = get(&client, stage, "/sandbox");
    assert_int_equal(reply.status, 200);
    client_close(&client);
}

static void a_bearer_is_a_key_or_a_session_by_its_shape(void **state)
{
    static const struct {
        const char *text;
        int status;
        const char *code;
    } cases[] = {
        {KEY, 200, NULL},
        {TOKEN, 200, NULL},
        {"a.b.c", 401, "invalid_session"},
        {"a.b.", 401, "invalid_session"},
        {"a.b", 401, "invalid_api_key"},
        {"a.b.c.d", 401, "invalid_api_key"},
        {"a.b.c\"", 401, "invalid_api_key"},
        {"x", 401, "invalid_api_key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[256];
        (void)snprintf(text, sizeof text,
                       "GET /sandbox HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                       cases[i].text);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status ||
            (cases[i].code != NULL && !view_has(reply.body, cases[i].code))) {
            fail_msg("%s: %d", cases[i].text, reply.status);
        }
        client_close(&client);
    }
}

static void who_can_not_be_checked_is_told_when_to_come_again(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->clerk_is_away = true;
    connect_client(&client, stage);
    client_send(&client, VIEW("GET /sandbox HTTP/1.1\r\nHost: h\r\n"
                              "Authorization: Bearer " TOKEN "\r\n\r\n"));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 503);
    assert_true(view_has(reply.body, "\"code\":\"clerk_unavailable\""));
    assert_false(view_has(reply.body, "no route"));
    assert_true(view_equal(reply_header(&reply, "Retry-After"), VIEW("5")));
    client_close(&client);
}

static void a_session_of_a_socket_is_a_uuid(void **state)
{
    static const char *const targets[] = {
        "/client/" SANDBOX_ID "?session=7",
        "/client/" SANDBOX_ID "?a=1&session",
        "/client/" SANDBOX_ID "?%73ession=" SANDBOX_ID "0",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text,
                       "GET %s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                       "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       targets[i]);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 400);
        assert_true(view_has(reply.body, "\"code\":\"invalid_session\""));
        client_close(&client);
    }
}

static void a_name_in_the_path_is_one_segment(void **state)
{
    static const struct {
        const char *target;
        int status;
    } cases[] = {
        {"/sandbox/a/status", 404},
        {"/sandbox/a%2Fb/status", 400},
        {"/sandbox/" SANDBOX_ID "%5c/status", 400},
        {"/sandbox/" SANDBOX_ID "/processes/a%2fb/output", 400},
        {"/agent/" SANDBOX_ID "%2f", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        struct reply reply = get(&client, *state, cases[i].target);
        if (reply.status != cases[i].status ||
            view_has(reply.body, "\"code\":\"bad_target\"") != (cases[i].status == 400)) {
            fail_msg("%s: %d", cases[i].target, reply.status);
        }
        client_close(&client);
    }
}

static void only_websocket_handshakes_open_a_socket(void **state)
{
    static const char start[] = "GET /client/" SANDBOX_ID " HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                                "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const struct {
        const char *name;
        const char *lines;
        int status;
        const char *code;
    } cases[] = {
        {"none", "", 400, "invalid_handshake"},
        {"no Connection", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 400,
         "invalid_handshake"},
        {"another version",
         "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n", 426,
         "upgrade_required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text, "%s%s\r\n", start, cases[i].lines);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status || !view_has(reply.body, cases[i].code)) {
            fail_msg("%s: %d", cases[i].name, reply.status);
        }
        client_close(&client);
    }
}

static void other_methods_hear_which_there_are(void **state)
{
    static const struct {
        const char *request_line;
        const char *allow;
    } cases[] = {
        {"DELETE /health", "GET, HEAD"},
        {"PATCH /api/keys", "GET, HEAD, POST"},
        {"PUT /api/keys/" KEY_ID, "DELETE"},
        {"GET /api/keys/" KEY_ID "/rotate", "POST"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[256];
        (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].request_line);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 405);
        assert_view(reply_header(&reply, "Allow"), cases[i].allow);
        client_close(&client);
    }
}

static void a_browsers_question_reaches_no_handler(void **state)
{
    static const struct {
        const char *origin;
        const char *allowed; /* the answer's Access-Control-Allow-Origin; NULL: none */
    } cases[] = {
        {"https://a.example", "https://a.example"},
        {"https://b.example", NULL},
        {"null", NULL},
    };
    struct stage *stage = *state;
    stage->refuse_key = true;
    http_server_allow_origins(stage->http.server, "https://a.example");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[256];
        (void)snprintf(text, sizeof text,
                       "OPTIONS /sandbox/create HTTP/1.1\r\nHost: h\r\nOrigin: %s\r\n"
                       "Access-Control-Request-Method: POST\r\n"
                       "Access-Control-Request-Headers: x-api-key\r\n\r\n",
                       cases[i].origin);
        connect_client(&client, stage);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 204);
        assert_view(reply_header(&reply, "Vary"), "Origin");
        if (cases[i].allowed != NULL) {
            assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), cases[i].allowed);
            assert_view(reply_header(&reply, "Access-Control-Allow-Methods"),
                        "GET, HEAD, POST, PUT, PATCH, DELETE");
            assert_view(reply_header(&reply, "Access-Control-Allow-Headers"),
                        "Authorization, Content-Type, X-API-Key, Idempotency-Key");
            assert_view(reply_header(&reply, "Access-Control-Max-Age"), "600");
        } else {
            assert_false(view_has(reply.head, "Access-Control-"));
        }
        client_close(&client);
    }
}

static void options_that_no_browser_asked_are_not_allowed(void **state)
{
    static const char *const headers[] = {"", "Origin: https://a.example\r\n",
                                          "Access-Control-Request-Method: POST\r\n"};
    struct stage *stage = *state;
    http_server_allow_origins(stage->http.server, "");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct client client;
        char text[256];
        (void)snprintf(text, sizeof text, "OPTIONS /health HTTP/1.1\r\nHost: h\r\n%s\r\n",
                       headers[i]);
        connect_client(&client, stage);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 405);
        assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), "*");
        client_close(&client);
    }
}

/* No key, no media type, any bytes: what was signed is what the auth-service gets. */
static void a_webhook_is_passed_on_byte_for_byte(void **state)
{
    static const struct view request =
        VIEW("POST /webhooks/clerk HTTP/1.1\r\nHost: h\r\nsvix-id: msg_1\r\n"
             "Svix-Timestamp: 1767225600\r\nsvix-signature: v1,a v1,b\r\n"
             "Content-Length: 8\r\n\r\n{ \"\xff\0\r\n}");
    struct stage *stage = *state;
    struct client client;
    connect_client(&client, stage);
    client_send(&client, request);
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 200);
    assert_view(str_view(&stage->asked),
                "{\"id\":\"msg_1\",\"timestamp\":\"1767225600\",\"signature\":\"v1,a v1,b\","
                "\"body\":\"eyAi/wANCn0=\"}");
    client_close(&client);
}

static void a_refused_webhook_is_told_no_more(void **state)
{
    struct stage *stage = *state;
    struct client client;
    connect_client(&client, stage);
    client_send(&client, VIEW("POST /webhooks/clerk HTTP/1.1\r\nHost: h\r\nsvix-id: forged\r\n"
                              "Content-Length: 2\r\n\r\n{}"));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"webhook_refused\""));
    assert_false(view_has(reply.body, "signature"));
    client_close(&client);
}

static void a_webhook_of_over_a_mebibyte_is_refused_unread(void **state)
{
    struct stage *stage = *state;
    struct client client;
    connect_client(&client, stage);
    client_send(&client, VIEW("POST /webhooks/clerk HTTP/1.1\r\nHost: h\r\n"
                              "Content-Length: 1048577\r\n\r\n"));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 413);
    client_close(&client);
}

static void only_json_is_json(void **state)
{
    static const struct {
        const char *type;
        int status; /* 400: it was read, and is no JSON */
    } cases[] = {
        {"application/json", 400},
        {"Application/JSON", 400},
        {"application/json;charset=utf-8", 400},
        {"application/json ; Charset=UTF-8", 400},
        {"application/json; charset=\"utf-8\"", 400},
        {"application/json;", 400},
        {"application/jsoncharset=utf-8", 415},
        {"application/json charset=utf-8", 415},
        {"application/json; charset=latin1", 415},
        {"application/json; charset=\"utf-8", 415},
        {"application/json; charset = utf-8", 415},
        {"application/json; profile=x", 415},
        {"application/json+x", 415},
        {"text/json", 415},
        {"", 415},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[512];
        (void)snprintf(text, sizeof text,
                       "POST /sandbox/create HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                       "\r\nContent-Type: %s\r\nContent-Length: 1\r\n\r\n?",
                       cases[i].type);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status) {
            fail_msg("%s: %d", cases[i].type, reply.status);
        }
        client_close(&client);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)
    const struct CMUnitTest tests[] = {
        TEST(a_sandbox_that_ended_has_a_status),
        TEST(a_key_revoked_while_its_request_waits_is_refused),
        TEST(a_key_revoked_while_it_is_looked_for_is_refused),
        TEST(an_unreadable_answer_is_not_the_clients_mistake),
        TEST(a_list_is_asked_for_with_exactly_its_parameters),
        TEST(a_parameter_that_ends_like_the_keys_is_no_key),
        TEST(each_route_needs_its_scope),
        TEST(one_scope_is_enough),
        TEST(a_bearer_is_a_key_or_a_session_by_its_shape),
        TEST(who_can_not_be_checked_is_told_when_to_come_again),
        TEST(a_session_of_a_socket_is_a_uuid),
        TEST(a_name_in_the_path_is_one_segment),
        TEST(only_websocket_handshakes_open_a_socket),
        TEST(other_methods_hear_which_there_are),
        TEST(a_browsers_question_reaches_no_handler),
        TEST(options_that_no_browser_asked_are_not_allowed),
        TEST(a_webhook_is_passed_on_byte_for_byte),
        TEST(a_refused_webhook_is_told_no_more),
        TEST(a_webhook_of_over_a_mebibyte_is_refused_unread),
        TEST(only_json_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
