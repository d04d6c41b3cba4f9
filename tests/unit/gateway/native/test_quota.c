/* gateway/native/quota.c, and the limits of a create. */
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>

enum { REQUEST_SIZE = 1024 };

/* Asks for a sandbox. The reply is valid until the client closes. */
static struct reply create(struct client *client, struct stage *stage, const char *body)
{
    char text[REQUEST_SIZE];
    (void)snprintf(text, sizeof text,
                   "POST /sandbox/create HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY
                   "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    str_clear(&stage->asked);
    connect_client(client, stage);
    client_send(client, view_of(text));
    return client_next(client, false);
}

static void usage_is_shown_beside_what_may_be(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->page = "{\"tier\":\"pro\",\"sandboxes\":1,\"memoryMB\":512,\"cpuMilli\":1500,"
                  "\"diskMB\":4,\"keySandboxes\":1,\"keyMost\":0,\"most\":10,"
                  "\"eachMemoryMB\":1024,\"eachCpuMilli\":2000,\"eachPids\":1024,"
                  "\"eachDiskMB\":10240,\"eachLifetimeHours\":24}";
    struct reply reply = get(&client, stage, "/sandbox/quota/usage");
    assert_int_equal(reply.status, 200);
    assert_true(view_equal(
        reply.body,
        VIEW("{\"tier\":\"pro\",\"sandboxes\":{\"used\":1,\"limit\":10},"
             "\"key\":{\"used\":1,\"limit\":null},"
             "\"inUse\":{\"memoryMB\":512,\"cpu\":1.5,\"diskMB\":4},"
             "\"perSandbox\":{\"memoryMB\":1024,\"cpu\":2,\"cpuShares\":2048,\"pids\":1024,"
             "\"diskMB\":10240,\"lifetimeHours\":24}}")));
    assert_string_equal(stage->asked.data,
                        "{\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID "\"}");
    client_close(&client);
}

static void what_is_asked_for_goes_on_in_the_units_of_the_service(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->create_fails = "node_full";
    struct reply reply =
        create(&client, stage, "{\"memoryMB\":128,\"cpu\":0.5,\"pids\":64,\"diskMB\":100}");
    assert_int_equal(reply.status, 503);
    assert_true(view_has(reply.body, "\"code\":\"node_full\""));
    assert_true(view_has(str_view(&stage->asked), "\"memoryMB\":128,\"cpuMilli\":500,\"pids\":64,"
                                                  "\"diskMB\":100"));
    client_close(&client);
}

static void what_is_not_said_is_left_to_the_tier(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->create_fails = "tier_limit_exceeded";
    (void)create(&client, stage, "{\"cpu\":null,\"memoryMB\":null}");
    assert_true(view_has(str_view(&stage->asked), "\"memoryMB\":0,\"cpuMilli\":0,\"pids\":0,"
                                                  "\"diskMB\":0"));
    client_close(&client);
}

static void what_is_no_limit_is_not_asked_for(void **state)
{
    static const char *const bodies[] = {
        "{\"memoryMB\":15}", "{\"cpu\":0}",      "{\"cpu\":0.009}",
        "{\"cpu\":1025}",    "{\"cpu\":\"1\"}",  "{\"pids\":15}",
        "{\"diskMB\":-1}",   "{\"diskMB\":1.5}", "{\"memoryMB\":4194305}"};
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct client client;
        struct reply reply = create(&client, stage, bodies[i]);
        if (reply.status != 400 || !view_has(reply.body, "validation_failed") ||
            stage->asked.len != 0) {
            fail_msg("%s: %d %.*s", bodies[i], reply.status, (int)reply.body.len, reply.body.ptr);
        }
        client_close(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(usage_is_shown_beside_what_may_be, set_stage, clear_stage),
        cmocka_unit_test_setup_teardown(what_is_asked_for_goes_on_in_the_units_of_the_service,
                                        set_stage, clear_stage),
        cmocka_unit_test_setup_teardown(what_is_not_said_is_left_to_the_tier, set_stage,
                                        clear_stage),
        cmocka_unit_test_setup_teardown(what_is_no_limit_is_not_asked_for, set_stage, clear_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
