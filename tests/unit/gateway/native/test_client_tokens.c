/* Client tokens at the gateway: where they come in, and what they reach. */
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADER CLIENT_TOKEN_HEADER "." /* of the stage's token, which is this and ".c" */
#define CLIENT_TOKEN HEADER "e30.c"
#define OTHER_ID "55555555-5555-4555-8555-555555555555"
#define BEARER "Authorization: Bearer " CLIENT_TOKEN "\r\n"
#define UPGRADE                                                                                    \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum { TEXT_SIZE = 10 * 1024 };

struct request_case {
    const char *target; /* with the method */
    const char *headers;
    int status;
    const char *code;
};

static void run(struct stage *stage, const struct request_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct client client;
        char text[TEXT_SIZE];
        (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", cases[i].target,
                       cases[i].headers);
        connect_client(&client, stage);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status || !view_has(reply.body, cases[i].code)) {
            fail_msg("%s: %d %.*s", cases[i].target, reply.status, (int)reply.body.len,
                     reply.body.ptr);
        }
        client_close(&client);
    }
}
#define RUN(stage, cases) run(stage, cases, sizeof(cases) / sizeof(cases)[0])

static void it_reaches_its_sandbox_and_nothing_else(void **state)
{
    static const struct request_case cases[] = {
        {"GET /sandbox/" SANDBOX_ID "/files?path=a", BEARER, 403, "\"missing_scope\""},
        {"DELETE /sandbox/" SANDBOX_ID, BEARER, 403, "\"missing_scope\""},
        {"GET /sandbox/" OTHER_ID "/status", BEARER, 404, "\"sandbox_not_found\""},
        {"GET /sandbox/x/status", BEARER, 404, "\"sandbox_not_found\""},
        {"GET /sandbox/" OTHER_ID "/files?path=a", BEARER, 403, "\"missing_scope\""},
        {"GET /sandbox", BEARER, 403, "\"client_token_refused\""},
        {"GET /api/users/me/sandboxes", BEARER, 403, "\"client_token_refused\""},
        {"GET /api/keys", BEARER, 403, "\"client_token_refused\""},
        /* The sandbox of the stage has ended, and the token with it. */
        {"GET /sandbox/" SANDBOX_ID "/status", BEARER, 401, "\"invalid_token\""},
    };
    RUN(*state, cases);
}

static void a_socket_takes_it_in_an_address_and_as_a_protocol(void **state)
{
    static const struct request_case cases[] = {
        {"GET /client/" OTHER_ID, UPGRADE BEARER, 404, "\"sandbox_not_found\""},
        {"GET /client/" OTHER_ID "?token=" CLIENT_TOKEN, UPGRADE, 404, "\"sandbox_not_found\""},
        {"GET /client/" OTHER_ID "?a=1&token=" CLIENT_TOKEN "&b", UPGRADE, 404,
         "\"sandbox_not_found\""},
        {"GET /client/" OTHER_ID,
         UPGRADE "Sec-WebSocket-Protocol: insien,  insien.token." CLIENT_TOKEN "\r\n", 404,
         "\"sandbox_not_found\""},
        {"GET /client/" OTHER_ID,
         UPGRADE
         "Sec-WebSocket-Protocol: insien\r\nsec-websocket-protocol: insien.token." CLIENT_TOKEN
         "\r\n",
         404, "\"sandbox_not_found\""},
    };
    RUN(*state, cases);
}

static void an_address_takes_nothing_else_and_is_of_a_socket(void **state)
{
    static const struct request_case cases[] = {
        {"GET /client/" SANDBOX_ID "?token=" TOKEN, UPGRADE, 401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID "?token=" KEY, UPGRADE, 401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID "?token=" HEADER "e30", UPGRADE, 401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID "?token=" HEADER "e30.%63", UPGRADE, 401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID "?token=", UPGRADE, 401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID "?token", UPGRADE, 401, "\"unauthenticated\""},
        {"GET /client/" SANDBOX_ID "?xtoken=" CLIENT_TOKEN, UPGRADE, 401, "\"unauthenticated\""},
        {"GET /client/" SANDBOX_ID, UPGRADE "Sec-WebSocket-Protocol: insien.token." TOKEN "\r\n",
         401, "\"invalid_token\""},
        {"GET /client/" SANDBOX_ID, UPGRADE "Sec-WebSocket-Protocol: insien\r\n", 401,
         "\"unauthenticated\""},
        {"GET /sandbox/" SANDBOX_ID "/status?token=" CLIENT_TOKEN, "", 401, "\"unauthenticated\""},
        {"GET /sandbox/" SANDBOX_ID "/status",
         "Sec-WebSocket-Protocol: insien.token." CLIENT_TOKEN "\r\n", 401, "\"unauthenticated\""},
        {"GET /sandbox/" SANDBOX_ID "/status", "X-API-Key: " CLIENT_TOKEN "\r\n", 401,
         "\"invalid_api_key\""},
    };
    RUN(*state, cases);
}

/* Whoever signed it, each kind is checked by what is there for its kind. */
static void a_token_is_a_clients_by_its_header_alone(void **state)
{
    static const struct request_case cases[] = {
        {"GET /sandbox", "Authorization: Bearer " HEADER "e30.d\r\n", 401, "\"invalid_token\""},
        {"GET /sandbox", "Authorization: Bearer x" HEADER "e30.c\r\n", 401, "\"invalid_session\""},
        {"GET /sandbox", "Authorization: Bearer " CLIENT_TOKEN_HEADER "A.e30.c\r\n", 401,
         "\"invalid_session\""},
    };
    RUN(*state, cases);
}

static void ended_sandboxes_and_wrong_bodies_make_none(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {"{\"scopes\":[\"exec\"]}", 409, "\"sandbox_ended\""},
        {"{\"scopes\":[\"exec\"],\"ttlS\":null}", 409, "\"sandbox_ended\""},
        {"{\"scopes\":[]}", 400, "\"validation_failed\""},
        {"{\"scopes\":[\"keys\"]}", 400, "\"validation_failed\""},
        {"{\"scopes\":[\"exec\"],\"ttlS\":3601}", 400, "\"validation_failed\""},
        {"{}", 400, "\"validation_failed\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        char text[TEXT_SIZE];
        (void)snprintf(text, sizeof text,
                       "POST /sandbox/" SANDBOX_ID "/token HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                       "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(cases[i].body), cases[i].body);
        connect_client(&client, *state);
        client_send(&client, view_of(text));
        struct reply reply = client_next(&client, false);
        if (reply.status != cases[i].status || !view_has(reply.body, cases[i].code)) {
            fail_msg("%s: %d", cases[i].body, reply.status);
        }
        client_close(&client);
    }
}

static void a_key_gives_no_scope_that_it_lacks(void **state)
{
    struct stage *stage = *state;
    struct client client;
    static const char body[] = "{\"scopes\":[\"files\",\"exec\",\"sandbox:write\"]}";
    char text[TEXT_SIZE];
    stage->scopes = AUTH_FILES | AUTH_KEYS;
    (void)snprintf(text, sizeof text,
                   "POST /sandbox/" SANDBOX_ID "/token HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                   "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    connect_client(&client, stage);
    client_send(&client, view_of(text));
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 403);
    assert_true(view_has(reply.body, "\"missing_scope\""));
    assert_true(view_has(reply.body, "sandbox:write"));
    client_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_reaches_its_sandbox_and_nothing_else),
        TEST(a_socket_takes_it_in_an_address_and_as_a_protocol),
        TEST(an_address_takes_nothing_else_and_is_of_a_socket),
        TEST(a_token_is_a_clients_by_its_header_alone),
        TEST(ended_sandboxes_and_wrong_bodies_make_none),
        TEST(a_key_gives_no_scope_that_it_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
