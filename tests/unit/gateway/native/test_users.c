/* gateway/native/users.c and audit.c: what is asked of the services, and what is refused before. */
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define AS_IT_IS "auth.get_user{\"userId\":\"" USER_ID "\"}"
#define UPDATE "auth.update_user{\"userId\":\"" USER_ID "\",\"actorKeyId\":\"" KEY_ID "\","

enum { REQUEST_SIZE = 4096 };

static int set_up(void **state)
{
    int result = set_stage(state);
    struct stage *stage = *state;
    struct err err = {0};
    assert_true(limit_policy_parse(&stage->config.limit_policy, "free=61/11", &err));
    stage->gateway.config = &stage->config;
    return result;
}

/* Sends a request with the key; body may be NULL. The reply is valid until the client closes. */
static struct reply send_request(struct client *client, struct stage *stage, const char *line,
                                 const char *body)
{
    char text[REQUEST_SIZE];
    char entity[REQUEST_SIZE / 2] = "";
    if (body != NULL) {
        (void)snprintf(entity, sizeof entity,
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
    }
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n%s", line,
                   body == NULL ? "\r\n" : entity);
    str_clear(&stage->asked);
    connect_client(client, stage);
    client_send(client, view_of(text));
    return client_next(client, false);
}

/* part: of the answer; asked: what a service was asked, or a part of it. NULL: not looked at. */
static void expect(struct stage *stage, const char *line, const char *body, int status,
                   const char *part, const char *asked)
{
    struct client client;
    struct reply reply = send_request(&client, stage, line, body);
    if (reply.status != status || (part != NULL && !view_has(reply.body, part)) ||
        (asked != NULL && !view_has(str_view(&stage->asked), asked))) {
        fail_msg("%s %s: %d %.*s; asked: %.*s", line, body == NULL ? "" : body, reply.status,
                 (int)reply.body.len, reply.body.ptr, (int)stage->asked.len,
                 stage->asked.len == 0 ? "" : stage->asked.data);
    }
    client_close(&client);
}

static void an_account_is_shown_with_limits_and_caller(void **state)
{
    struct stage *stage = *state;
    stage->scopes = AUTH_EXEC; /* whatever the key may do */
    expect(stage, "GET /api/users/me", NULL, 200,
           "{\"id\":\"" USER_ID "\",\"email\":null,\"displayName\":\"Ann\",\"avatarUrl\":null,"
           "\"tier\":\"pro\",\"role\":\"user\",\"createdAt\":\"2026-01-01T00:00:00.000Z\","
           "\"limits\":{\"sandboxes\":2,\"memoryMB\":512,\"cpuShares\":1024,\"lifetimeHours\":3,"
           "\"requestsPerMinute\":61,\"requestBurst\":11},"
           "\"caller\":{\"apiKeyId\":\"" KEY_ID "\",\"sessionId\":null,\"impersonator\":null,"
           "\"scopes\":[\"exec\"],\"maxSandboxes\":null,\"requestsPerMinute\":null}}",
           AS_IT_IS);
}

static void who_is_gone_hears_that_the_key_is_not_good(void **state)
{
    struct stage *stage = *state;
    stage->account_is = ERR_UNAUTHENTICATED;
    expect(stage, "GET /api/users/me", NULL, 401, "\"code\":\"invalid_api_key\"", AS_IT_IS);
    expect(stage, "DELETE /api/users/me?confirm=" USER_ID, NULL, 401, "invalid_api_key", NULL);
}

static bool is_held(void *arg)
{
    const struct stage *stage = arg;
    return stage->held != NULL;
}

/* Begins a change, which waits for the limits of the tier. */
static void begin_change(struct client *client, struct stage *stage)
{
    stage->hold_limits = true;
    str_clear(&stage->asked);
    connect_client(client, stage);
    client_send(client, VIEW("PATCH /api/users/me HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                             "\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
                             "{\"displayName\":\"A\"}"));
    turn_until_true(stage->gateway.loop, is_held, stage);
}

static void a_change_ends_with_its_client(void **state)
{
    struct stage *stage = *state;
    struct client client;
    begin_change(&client, stage);
    client_close(&client);
    stage->hold_limits = false;
    expect(stage, "GET /api/users/me", NULL, 200, NULL, AS_IT_IS);
    ipc_reply_ok(TAKE(stage->held), VIEW("{}"));
}

static void a_change_ends_with_its_key(void **state)
{
    struct stage *stage = *state;
    struct client client;
    begin_change(&client, stage);
    requests_revoke(stage->gateway.requests, KEY_ID);
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 401);
    client_close(&client);
    ipc_reply_ok(TAKE(stage->held), VIEW("{}"));
    assert_int_equal(stage->asked.len, 0);
}

static void a_change_names_what_is_to_be_changed(void **state)
{
    static const struct {
        const char *body;
        const char *asked;
    } cases[] = {
        {"{\"displayName\":\"Ann Lee\"}",
         UPDATE "\"setsDisplayName\":true,\"setsAvatarUrl\":false,\"displayName\":\"Ann Lee\"}"},
        {"{\"avatarUrl\":\"https://a/\"}",
         UPDATE "\"setsDisplayName\":false,\"setsAvatarUrl\":true,\"avatarUrl\":\"https://a/\"}"},
        {"{\"displayName\":null,\"avatarUrl\":null}",
         UPDATE "\"setsDisplayName\":true,\"setsAvatarUrl\":true}"},
        {"{\"displayName\":null}", (UPDATE "\"setsDisplayName\":true,\"setsAvatarUrl\":false}")},
        {"{}", AS_IT_IS},
        {"", AS_IT_IS},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(stage, "PATCH /api/users/me", cases[i].body, 200, "\"displayName\":\"Ann\"",
               cases[i].asked);
    }
}

static void what_can_not_be_changed_is_refused_by_name(void **state)
{
    static const struct {
        const char *body;
        const char *part;
    } cases[] = {
        {"{\"tier\":\"pro\"}", "{\"path\":\"tier\",\"message\":\"is not known here\"}"},
        {"{\"role\":\"admin\",\"email\":\"a@b\"}", "{\"path\":\"email\""},
        {"{\"metadata\":{}}", "{\"path\":\"metadata\""},
        {"{\"displayName\":\"\"}", "{\"path\":\"displayName\""},
        {"{\"displayName\":1}", "{\"path\":\"displayName\""},
        {"{\"displayName\":\"a\\nb\"}", "{\"path\":\"displayName\""},
        {"{\"avatarUrl\":\"http://a/\"}", "{\"path\":\"avatarUrl\""},
        {"[]", "\"code\":\"validation_failed\""},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(stage, "PATCH /api/users/me", cases[i].body, 400, cases[i].part, NULL);
        assert_int_equal(stage->asked.len, 0);
    }
}

static void a_key_without_the_scope_changes_and_ends_nothing(void **state)
{
    struct stage *stage = *state;
    stage->scopes = AUTH_SCOPES_DEFAULT & ~(unsigned)AUTH_KEYS;
    expect(stage, "PATCH /api/users/me", "{\"displayName\":\"A\"}", 403, "missing_scope", NULL);
    expect(stage, "DELETE /api/users/me?confirm=" USER_ID, NULL, 403, "missing_scope", NULL);
    expect(stage, "GET /api/audit", NULL, 403, "\\\"keys\\\"", NULL);
    assert_int_equal(stage->asked.len, 0);
}

static void an_account_ends_only_by_its_id(void **state)
{
    static const char *const lines[] = {
        "DELETE /api/users/me",
        "DELETE /api/users/me?confirm=",
        "DELETE /api/users/me?confirm=yes",
        ("DELETE /api/users/me?confirm=" KEY_ID),
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect(stage, lines[i], NULL, 400, "{\"path\":\"confirm\"", NULL);
        assert_int_equal(stage->asked.len, 0);
    }
    expect(stage, "DELETE /api/users/me?confirm=" USER_ID, NULL, 204, NULL,
           "{\"userId\":\"" USER_ID "\",\"actorKeyId\":\"" KEY_ID "\"}");
}

static void the_trail_is_asked_for_with_exactly_its_parameters(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *part; /* of the answer or of auth.list_audit */
    } cases[] = {
        {"GET /api/audit", 200,
         "{\"userId\":\"" USER_ID "\",\"isForAdmin\":false,\"sinceMs\":0,\"untilMs\":0,"
         "\"limit\":50}"},
        {"GET /api/audit?userId=" USER_ID, 200, "\"userId\":\"" USER_ID "\",\"isForAdmin\":false"},
        {"GET /api/audit?action=key.created&target=x&limit=7&cursor=abc", 200,
         "\"action\":\"key.created\",\"target\":\"x\",\"sinceMs\":0,\"untilMs\":0,\"limit\":7,"
         "\"cursor\":\"abc\"}"},
        {"GET /api/audit?since=1970-01-01T00:00:01Z&until=1970-01-01T01:00:02.5%2B01:00", 200,
         "\"sinceMs\":1000,\"untilMs\":2500"},
        {"GET /api/audit?action=key.*", 400, "{\"path\":\"action\""},
        {"GET /api/audit?since=yesterday", 400, "{\"path\":\"since\""},
        {"GET /api/audit?limit=101", 400, "{\"path\":\"limit\""},
        {"GET /api/audit?userId=me", 400, "{\"path\":\"userId\""},
        {"GET /api/audit?userId=" KEY_ID, 403, "\\\"admin\\\""},
        {"GET /api/audit?all=true", 403, "\\\"admin\\\""},
    };
    struct stage *stage = *state;
    stage->page = "{\"records\":[]}";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool fine = cases[i].status == 200;
        expect(stage, cases[i].line, NULL, cases[i].status,
               fine ? "{\"records\":[],\"nextCursor\":null}" : cases[i].part,
               fine ? cases[i].part : NULL);
    }
}

static void an_administrator_asks_for_any_trail(void **state)
{
    struct stage *stage = *state;
    stage->scopes = AUTH_ADMIN;
    stage->page = "{\"records\":[{\"id\":1}],\"nextCursor\":\"x\"}";
    expect(stage, "GET /api/audit?all=true", NULL, 200,
           "{\"records\":[{\"id\":1}],\"nextCursor\":\"x\"}", "{\"isForAdmin\":true,");
    expect(stage, "GET /api/audit?userId=" KEY_ID, NULL, 200, NULL,
           "{\"userId\":\"" KEY_ID "\",\"isForAdmin\":true,");
    expect(stage, "GET /api/audit", NULL, 200, NULL, "\"isForAdmin\":false");
    expect(stage, "GET /api/audit?all=1&userId=" KEY_ID, NULL, 400, "{\"path\":\"all\"", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_account_is_shown_with_limits_and_caller, set_up,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(who_is_gone_hears_that_the_key_is_not_good, set_up,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(a_change_ends_with_its_client, set_up, clear_stage),
        cmocka_unit_test_setup_teardown(a_change_ends_with_its_key, set_up, clear_stage),
        cmocka_unit_test_setup_teardown(a_change_names_what_is_to_be_changed, set_up, clear_stage),
        cmocka_unit_test_setup_teardown(what_can_not_be_changed_is_refused_by_name, set_up,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(a_key_without_the_scope_changes_and_ends_nothing, set_up,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(an_account_ends_only_by_its_id, set_up, clear_stage),
        cmocka_unit_test_setup_teardown(the_trail_is_asked_for_with_exactly_its_parameters, set_up,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(an_administrator_asks_for_any_trail, set_up, clear_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
