/* gateway/native/events.c and hooks.c: events as a stream and as a page; what is asked about
 * webhooks. */
#include "gateway/native/event_readers.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>

#define EVENT(number, word)                                                                        \
    "\"" number " sandbox." word " {\\\"type\\\":\\\"sandbox." word "\\\"}\""
#define PAGE(events, next, is_over)                                                                \
    "{\"events\":[" events "],\"next\":" next ",\"isOver\":" is_over "}"
#define OF_SANDBOX "/sandbox/" SANDBOX_ID "/events"
#define HOOK_ID "55555555-5555-4555-8555-555555555551"

enum { REQUEST_SIZE = 1024 };

static void send_line(struct client *client, struct stage *stage, const char *line,
                      const char *headers)
{
    char text[REQUEST_SIZE];
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\nX-API-Key: " KEY "\r\n%s\r\n",
                   line, headers);
    connect_client(client, stage);
    client_send(client, view_of(text));
}

static void set_pages(struct stage *stage, const char *const *pages, int count)
{
    stage->event_pages = pages;
    stage->event_page_count = count;
    stage->event_asks = 0;
}

struct awaited {
    struct client *client;
    const char *text;
};

static bool has_come(void *arg)
{
    const struct awaited *awaited = arg;
    client_receive(awaited->client);
    return view_has(str_view(&awaited->client->received), awaited->text);
}

static void wait_for(struct client *client, struct stage *stage, const char *text)
{
    struct awaited awaited = {client, text};
    turn_until_true(stage->gateway.loop, has_come, &awaited);
}

static void a_sandboxs_stream_begins_with_it_and_ends_behind_its_end(void **state)
{
    static const char *const pages[] = {
        PAGE(EVENT("7", "creating") "," EVENT("9", "running"), "9", "false"),
        PAGE(EVENT("12", "destroyed"), "12", "true"),
    };
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 2);
    send_line(&client, stage, "GET " OF_SANDBOX, "");
    wait_for(&client, stage,
             "event: sandbox.creating\nid: 7\ndata: {\"type\":\"sandbox.creating\"}\n\n");
    wait_for(&client, stage, "event: sandbox.running\nid: 9\n");
    assert_string_equal(stage->asked.data, "{\"userId\":\"" USER_ID "\",\"sandboxId\":\"" SANDBOX_ID
                                           "\",\"after\":0,\"limit\":50}");
    event_readers_wake(stage->gateway.event_readers, KEY_ID); /* somebody else */
    turn_for(stage->gateway.loop, 20);
    assert_int_equal(stage->event_asks, 1);
    event_readers_wake(stage->gateway.event_readers, USER_ID);
    wait_for(&client, stage, "event: sandbox.destroyed\nid: 12\n");
    wait_for(&client, stage, "\r\n0\r\n\r\n"); /* the answer is whole */
    assert_string_equal(stage->asked.data, "{\"userId\":\"" USER_ID "\",\"sandboxId\":\"" SANDBOX_ID
                                           "\",\"after\":9,\"limit\":50}");
    client_close(&client);
}

static void who_has_all_of_a_sandbox_that_ended_is_told_so(void **state)
{
    static const char *const pages[] = {PAGE("", "12", "true")};
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 1);
    send_line(&client, stage, "GET " OF_SANDBOX, "Last-Event-ID: 12\r\n");
    assert_int_equal(client_next(&client, false).status, 204);
    assert_true(view_has(str_view(&stage->asked), "\"after\":12,"));
    client_close(&client);
}

static void the_stream_of_all_begins_now(void **state)
{
    static const char *const pages[] = {
        PAGE("", "40", "false"),
        PAGE(EVENT("41", "running"), "41", "false"),
        PAGE("", "41", "false"),
    };
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 3);
    send_line(&client, stage, "GET /api/events", "Accept: application/x-ndjson\r\n");
    wait_for(&client, stage, "application/x-ndjson");
    assert_string_equal(stage->asked.data,
                        "{\"userId\":\"" USER_ID "\",\"after\":-1,\"limit\":50}");
    event_readers_wake_all(stage->gateway.event_readers);
    wait_for(&client, stage, "{\"type\":\"sandbox.running\"}\n");
    assert_true(view_has(str_view(&stage->asked), "\"after\":40,"));
    client_close(&client);
}

static void a_stream_that_is_told_no_more_looks_for_itself(void **state)
{
    static const char *const pages[] = {
        PAGE("", "40", "false"),
        PAGE(EVENT("41", "running"), "41", "false"),
        PAGE("", "41", "false"),
    };
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 3);
    event_readers_set_told(stage->gateway.event_readers, true);
    send_line(&client, stage, "GET /api/events", "");
    wait_for(&client, stage, "text/event-stream");
    assert_int_equal(stage->event_asks, 1);
    event_readers_set_told(stage->gateway.event_readers, false);
    wait_for(&client, stage, "event: sandbox.running\nid: 41\n");
    client_close(&client);
}

static void a_stream_ends_with_its_key(void **state)
{
    static const char *const pages[] = {PAGE("", "40", "false")};
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 1);
    send_line(&client, stage, "GET /api/events", "");
    wait_for(&client, stage, "text/event-stream");
    requests_revoke(stage->gateway.requests, KEY_ID);
    client_wait_end(&client);
    event_readers_wake_all(stage->gateway.event_readers); /* nobody is left */
    client_close(&client);
}

static void a_user_has_so_many_streams_and_no_more(void **state)
{
    static const char *const pages[] = {PAGE("", "40", "false")};
    static struct event_reader others[EVENT_READERS_PER_USER_MAX];
    struct stage *stage = *state;
    struct client client;
    struct err err = {0};
    for (size_t i = 0; i < EVENT_READERS_PER_USER_MAX; i++) {
        memcpy(others[i].user_id, USER_ID, ID_SIZE);
        assert_true(event_readers_add(stage->gateway.event_readers, &others[i], &err));
    }
    set_pages(stage, pages, 1);
    send_line(&client, stage, "GET /api/events", "");
    struct reply refused = client_next(&client, false);
    assert_int_equal(refused.status, 429);
    assert_true(view_has(refused.body, "too_many_streams"));
    client_close(&client);
    list_remove(&others[0].node);
    send_line(&client, stage, "GET /api/events", "");
    wait_for(&client, stage, "text/event-stream");
    client_close(&client);
    for (size_t i = 1; i < EVENT_READERS_PER_USER_MAX; i++) {
        list_remove(&others[i].node);
    }
}

static void plain_json_is_one_page(void **state)
{
    static const char *const pages[] = {
        PAGE(EVENT("7", "creating") "," EVENT("9", "running"), "9", "false")};
    struct stage *stage = *state;
    struct client client;
    set_pages(stage, pages, 1);
    send_line(&client, stage, "GET /api/events?after=5&limit=2", "Accept: application/json\r\n");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "{\"events\":[{\"type\":\"sandbox.creating\"},"
                            "{\"type\":\"sandbox.running\"}],\"next\":\"9\"}");
    assert_true(view_has(str_view(&stage->asked), "\"after\":5,\"limit\":2}"));
    client_close(&client);
}

static void what_is_no_number_of_an_event_is_refused(void **state)
{
    static const struct {
        const char *line;
        const char *headers;
    } cases[] = {
        {"GET /api/events", "Last-Event-ID: x\r\n"},
        {"GET /api/events", "Last-Event-ID: 9999999999999999\r\n"},
        {"GET /api/events?after=-1", ""},
        {"GET /api/events?limit=101", ""},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        send_line(&client, stage, cases[i].line, cases[i].headers);
        struct reply reply = client_next(&client, false);
        assert_int_equal(reply.status, 400);
        assert_true(view_has(reply.body, "validation_failed"));
        client_close(&client);
    }
}

/* part: of the answer; asked: of what the service was asked; NULL: not looked at. */
static void expect(struct stage *stage, const char *line, const char *body, const char *page,
                   int status, const char *part, const char *asked)
{
    char headers[REQUEST_SIZE / 2];
    struct client client;
    (void)snprintf(headers, sizeof headers,
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    stage->page = page;
    str_clear(&stage->asked);
    send_line(&client, stage, line, body[0] == '\0' ? "" : headers);
    client_send(&client, view_of(body));
    struct reply reply = client_next(&client, false);
    if (reply.status != status || !view_has(reply.body, part) ||
        (asked != NULL && !view_has(str_view(&stage->asked), asked))) {
        fail_msg("%s: %d %.*s; asked: %.*s", line, reply.status, (int)reply.body.len,
                 reply.body.ptr, (int)stage->asked.len,
                 stage->asked.len == 0 ? "" : stage->asked.data);
    }
    client_close(&client);
}

static void webhooks_are_asked_for_in_the_callers_name(void **state)
{
    static const char name[] = "{\"id\":\"" HOOK_ID "\",\"userId\":\"" USER_ID "\"}";
    struct stage *stage = *state;
    char asked[REQUEST_SIZE];
    expect(stage, "POST /api/webhooks", "{\"url\":\"https://a/\",\"types\":[\"sandbox.failed\"]}",
           "{\"webhook\":{\"id\":\"" HOOK_ID "\"},\"secret\":\"whsec_x\"}", 201,
           "\"webhook\":{\"id\":\"" HOOK_ID "\"},\"secret\":\"whsec_x\"",
           "\"userId\":\"" USER_ID "\",\"url\":\"https://a/\",\"types\":[\"sandbox.failed\"]");
    expect(stage, "GET /api/webhooks", "", "{\"items\":[]}", 200, "{\"webhooks\":[]}",
           "webhook.list{\"userId\":\"" USER_ID "\"}");
    (void)snprintf(asked, sizeof asked, "webhook.remove%s", name);
    expect(stage, "DELETE /api/webhooks/" HOOK_ID, "", "{}", 200, "{\"success\":true}", asked);
    (void)snprintf(asked, sizeof asked, "webhook.redeliver%s", name);
    expect(stage, "POST /api/webhooks/" HOOK_ID "/redeliver", "", "{\"queued\":3}", 200,
           "{\"success\":true,\"queued\":3}", asked);
    expect(stage, "GET /api/webhooks/" HOOK_ID "/dead-letters?limit=3&cursor=8", "",
           "{\"items\":[],\"nextCursor\":\"5\"}", 200, "{\"deadLetters\":[],\"nextCursor\":\"5\"}",
           "\"limit\":3,\"cursor\":\"8\"}");
}

static void what_is_no_webhook_is_refused_before(void **state)
{
    struct stage *stage = *state;
    expect(stage, "POST /api/webhooks", "{}", "{}", 400, "\"path\":\"url\"", NULL);
    expect(stage, "POST /api/webhooks", "{\"url\":\"https://a/\",\"types\":[\"x\"]}", "{}", 400,
           "types[0]", NULL);
    expect(stage, "DELETE /api/webhooks/x", "", "{}", 404, "webhook_not_found", NULL);
    assert_int_equal(stage->asked.len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sandboxs_stream_begins_with_it_and_ends_behind_its_end),
        TEST(who_has_all_of_a_sandbox_that_ended_is_told_so),
        TEST(the_stream_of_all_begins_now),
        TEST(a_stream_that_is_told_no_more_looks_for_itself),
        TEST(a_stream_ends_with_its_key),
        TEST(a_user_has_so_many_streams_and_no_more),
        TEST(plain_json_is_one_page),
        TEST(what_is_no_number_of_an_event_is_refused),
        TEST(webhooks_are_asked_for_in_the_callers_name),
        TEST(what_is_no_webhook_is_refused_before),
    };
    return cmocka_run_group_tests_name("gateway_event_tail", tests, NULL, NULL);
}
