/* gateway/native/secrets.c and volumes.c: what is asked of the service, and what is refused before.
 */
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>

enum { REQUEST_SIZE = 4096 };

#define WHO "\"userId\":\"" USER_ID "\",\"actorKeyId\":\"" KEY_ID "\""

/* With the key, which has all scopes. body may be NULL; page: what the service answers; asked: a
 * part of what it was asked, "" for nothing. */
static void expect(struct stage *stage, const char *line, const char *body, const char *page,
                   int status, const char *part, const char *asked)
{
    char text[REQUEST_SIZE];
    char entity[REQUEST_SIZE / 2] = "\r\n";
    struct client client;
    if (body != NULL) {
        (void)snprintf(entity, sizeof entity,
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
    }
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n%s", line,
                   entity);
    stage->page = page;
    str_clear(&stage->asked);
    connect_client(&client, stage);
    client_send(&client, view_of(text));
    struct reply reply = client_next(&client, false);
    bool as_asked =
        asked[0] == '\0' ? stage->asked.len == 0 : view_has(str_view(&stage->asked), asked);
    if (reply.status != status || !view_has(reply.body, part) || !as_asked) {
        fail_msg("%s: %d %.*s; asked: %.*s", line, reply.status, (int)reply.body.len,
                 reply.body.ptr, (int)stage->asked.len,
                 stage->asked.len == 0 ? "" : stage->asked.data);
    }
    client_close(&client);
}

#define SECRET(is_new)                                                                             \
    "{\"name\":\"token\",\"createdAt\":\"a\",\"updatedAt\":\"b\",\"isNew\":" is_new "}"

static void secret_goes_in_and_its_name_comes_back(void **state)
{
    static const char shown[] = "{\"name\":\"token\",\"createdAt\":\"a\",\"updatedAt\":\"b\"}";
    expect(*state, "PUT /api/secrets/token", "{\"value\":\"x\"}", SECRET("true"), 201, shown,
           "{" WHO ",\"name\":\"token\",\"value\":\"x\"}");
    expect(*state, "PUT /api/secrets/token", "{\"value\":\"\"}", SECRET("false"), 200, shown,
           "\"value\":\"\"}");
    expect(*state, "GET /api/secrets", NULL, "{\"secrets\":[]}", 200, "{\"secrets\":[]}",
           "{\"userId\":\"" USER_ID "\"}");
    expect(*state, "DELETE /api/secrets/token", NULL, "{}", 200, "{\"success\":true}",
           "{" WHO ",\"name\":\"token\"}");
}

static void what_is_no_secret_is_refused(void **state)
{
    expect(*state, "PUT /api/secrets/.token", "{\"value\":\"x\"}", "{}", 400, "\"path\":\"name\"",
           "");
    expect(*state, "PUT /api/secrets/token", "{}", "{}", 400, "\"path\":\"value\"", "");
    expect(*state, "PUT /api/secrets/token", "{\"value\":1}", "{}", 400, "validation_failed", "");
    expect(*state, "DELETE /api/secrets/a%20b", NULL, "{}", 400, "validation_failed", "");
}

static void volume_is_made_listed_and_deleted(void **state)
{
    expect(*state, "POST /api/volumes", "{\"name\":\"data\",\"sizeMB\":64}",
           "{\"volumeId\":\"" SANDBOX_ID
           "\",\"name\":\"data\",\"sizeMB\":64,\"isShared\":false,\"createdAt\":\"a\"}",
           201,
           "{\"id\":\"" SANDBOX_ID "\",\"name\":\"data\",\"sizeMB\":64,\"shared\":false,"
           "\"createdAt\":\"a\",\"attachments\":[]}",
           WHO ",\"name\":\"data\",\"sizeMB\":64,\"isShared\":false}");
    expect(*state, "GET /api/volumes", NULL, "{\"volumes\":[]}", 200, "{\"volumes\":[]}",
           "{\"userId\":\"" USER_ID "\"}");
    expect(*state, "DELETE /api/volumes/data", NULL, "{}", 200, "{\"success\":true}",
           "{" WHO ",\"name\":\"data\"}");
}

static void what_is_no_volume_is_refused(void **state)
{
    expect(*state, "POST /api/volumes", "{\"name\":\"Data\",\"sizeMB\":64}", "{}", 400,
           "\"path\":\"name\"", "");
    expect(*state, "POST /api/volumes", "{\"name\":\"data\",\"sizeMB\":15}", "{}", 400,
           "\"path\":\"sizeMB\"", "");
    expect(*state, "DELETE /api/volumes/Data", NULL, "{}", 400, "\"path\":\"name\"", "");
}

static void key_without_the_scope_changes_nothing(void **state)
{
    struct stage *stage = *state;
    stage->scopes = AUTH_SANDBOX_READ;
    expect(stage, "PUT /api/secrets/token", "{\"value\":\"x\"}", "{}", 403, "missing_scope", "");
    expect(stage, "DELETE /api/volumes/data", NULL, "{}", 403, "missing_scope", "");
    expect(stage, "GET /api/secrets", NULL, "{\"secrets\":[]}", 200, "[]", "userId");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(secret_goes_in_and_its_name_comes_back), TEST(what_is_no_secret_is_refused),
        TEST(volume_is_made_listed_and_deleted),      TEST(what_is_no_volume_is_refused),
        TEST(key_without_the_scope_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
