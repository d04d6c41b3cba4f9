/* gateway/preview/preview.h: who gets in, and what is seen where there is nothing to see. */
#include "gateway/preview/preview.h"

#include "tests/unit/gateway/preview/stage.h"

#include <stdio.h>
#include <stdlib.h>

static int set_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage_open(stage);
    *state = stage;
    return 0;
}

static int clear_stage(void **state)
{
    stage_close(*state);
    free(*state);
    return 0;
}

/* The reply is valid until the client closes. */
static struct reply get(struct client *client, struct stage *stage, const char *target,
                        const char *host, const char *headers)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host,
                   headers);
    visit(client, stage, text);
    return client_next(client, false);
}

static void assert_page(struct stage *stage, const char *host, const char *headers, int status,
                        const char *part)
{
    struct client client;
    struct reply reply = get(&client, stage, "/", host, headers);
    assert_int_equal(reply.status, status);
    if (!view_has(reply.body, part)) {
        fail_msg("%.*s", (int)reply.body.len, reply.body.ptr);
    }
    assert_true(view_has(reply.head, "Content-Security-Policy"));
    client_close(&client);
}

static void unknown_and_unexposed_ports_look_alike(void **state)
{
    static const char json[] = "Accept: application/json\r\nX-Request-Id: r1\r\n";
    static const char same[] =
        "{\"error\":\"There is no sandbox with an exposed port at this address. It may have ended, "
        "or the port was closed.\",\"code\":\"preview_not_found\",\"requestId\":\"r1\"}";
    assert_page(*state, HOST_CLOSED, json, 404, same);
    assert_page(*state, "99999-33333333333343338333333333333333.localhost", json, 404, same);
    assert_page(*state, HOST_CLOSED, "Accept: text/html, application/json\r\n", 404,
                "<!doctype html>");
}

static void an_api_address_is_no_address_of_a_preview(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct reply reply = get(&client, stage, "/health", "localhost:3000", "");
    assert_view(reply.body, "native");
    client_close(&client);
    reply = get(&client, stage, "/health", HOST_CLOSED, "");
    assert_int_equal(reply.status, 404);
    client_close(&client);
}

static void a_private_port_wants_its_token(void **state)
{
    struct stage *stage = *state;
    char header[256];
    assert_page(stage, HOST_PRIVATE, "", 401, "This preview is private");
    assert_page(stage, HOST_PRIVATE, "X-Preview-Token: wrong\r\n", 401, "preview_token_required");
    assert_int_equal(stage->dial_count, 0);
    (void)snprintf(header, sizeof header,
                   "GET / HTTP/1.1\r\nHost: %s\r\nX-Preview-Token: %s\r\n\r\n", HOST_PRIVATE,
                   stage->token);
    struct client client;
    visit(&client, stage, header);
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    assert_false(view_has(str_view(&dialled->heard), stage->token));
    assert_int_equal(dialled->port, 4000);
    leave(&client);
    wait_for_flag(stage, &dialled->reset);
}

static void a_token_in_the_query_becomes_a_cookie(void **state)
{
    struct stage *stage = *state;
    char target[256];
    char expected[256];
    struct client client;
    (void)snprintf(target, sizeof target, "/a?x=1&preview_token=%s", stage->token);
    struct reply reply = get(&client, stage, target, HOST_PRIVATE, "");
    assert_int_equal(reply.status, 302);
    assert_view(reply_header(&reply, "Location"), "/a?x=1");
    (void)snprintf(expected, sizeof expected, "insien_preview=%s; Path=/; HttpOnly; SameSite=Lax",
                   stage->token);
    assert_view(reply_header(&reply, "Set-Cookie"), expected);
    client_close(&client);
    assert_int_equal(stage->dial_count, 0);
}

static void the_path_form_leads_to_the_same_port(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct reply reply = get(&client, stage, "/preview/" STAGE_SANDBOX_ID "/3000?a", "h", "");
    assert_int_equal(reply.status, 308);
    assert_view(reply_header(&reply, "Location"), "/preview/" STAGE_SANDBOX_ID "/3000/?a");
    client_close(&client);
    visit(&client, stage,
          "GET /preview/" STAGE_SANDBOX_ID "/3000/x HTTP/1.1\r\nHost: h:81\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    assert_view(str_view(&dialled->heard),
                "GET /x HTTP/1.1\r\nHost: localhost:3000\r\nX-Forwarded-For: 127.0.0.1\r\n"
                "X-Forwarded-Host: h:81\r\nX-Forwarded-Port: 81\r\nX-Forwarded-Proto: http\r\n"
                "X-Forwarded-Prefix: /preview/" STAGE_SANDBOX_ID "/3000\r\n\r\n");
    client_close(&client);
}

static void targets_reach_the_program_as_they_were_sent(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "GET /a/../%2e%2F%00?%zz HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    assert_true(
        view_starts_with(str_view(&dialled->heard), VIEW("GET /a/../%2e%2F%00?%zz HTTP/1.1\r\n")));
    client_close(&client);
    struct reply reply = get(&client, stage, "/a/../b", "localhost", "");
    assert_int_equal(reply.status, 400);
    client_close(&client);
}

static void what_is_under_way_to_a_closed_port_is_cut(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\n\r\nhello");
    struct client socket;
    visit(&socket, stage,
          "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC
          "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    struct dialled *switched = wait_for_dial(stage, 2);
    wait_for_heard(stage, switched, "\r\n\r\n");
    program_says(stage, switched, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n");
    fixture_run(&stage->http, 20);
    preview_check(stage->preview, STAGE_SANDBOX_ID);
    fixture_run(&stage->http, 50);
    assert_false(dialled->reset || switched->reset);
    stage->unexposed = true;
    exposed_forget(stage->exposed, STAGE_SANDBOX_ID);
    preview_check_all(stage->preview);
    wait_for_flag(stage, &dialled->reset);
    wait_for_flag(stage, &switched->reset);
    client_wait_end(&client);
    client_wait_end(&socket);
    client_close(&client);
    client_close(&socket);
}

static void what_is_under_way_ends_with_the_gateway(void **state)
{
    struct stage *stage = *state;
    struct client waiting;
    struct client begun;
    struct client asking;
    visit(&waiting, stage, "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    (void)wait_for_dial(stage, 1);
    visit(&begun, stage,
          "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n"
          "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    struct dialled *dialled = wait_for_dial(stage, 2);
    program_says(stage, dialled, "HTTP/1.1 200 OK\r\n\r\nhello");
    fixture_run(&stage->http, 20);
    exposed_forget(stage->exposed, STAGE_SANDBOX_ID);
    visit(&asking, stage, "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    preview_check(stage->preview, STAGE_SANDBOX_ID);
    preview_free(stage->preview);
    stage->preview = NULL;
    assert_int_equal(client_next(&waiting, false).status, 503);
    client_wait_end(&begun);
    client_close(&waiting);
    client_close(&begun);
    client_close(&asking);
}

static void a_port_nobody_listens_on_is_a_clear_page(void **state)
{
    struct stage *stage = *state;
    stage->dial_error = "connection_refused";
    assert_page(stage, HOST_PUBLIC, "", 502, "Nothing answers on this port");
    stage->dial_error = "connect_timeout";
    assert_page(stage, HOST_PUBLIC, "", 504, "did not answer in time");
    stage->dial_error = "too_many_connections";
    assert_page(stage, HOST_PUBLIC, "", 503, "too_many_requests");
    stage->dial_error = "connect_failed";
    assert_page(stage, HOST_PUBLIC, "", 502, "port_closed");
}

static void a_sandbox_without_its_agent_is_unavailable(void **state)
{
    struct stage *stage = *state;
    agent_vanish(&stage->agent);
    fixture_settle(&stage->http);
    assert_page(stage, HOST_PUBLIC, "", 503, "agent_lost");
}

static void a_sandbox_has_at_most_so_many_requests_at_once(void **state)
{
    struct stage *stage = *state;
    static struct client clients[PREVIEW_REQUESTS_MAX];
    for (size_t i = 0; i < PREVIEW_REQUESTS_MAX; i++) {
        visit(&clients[i], stage, "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    }
    (void)wait_for_dial(stage, PREVIEW_REQUESTS_MAX);
    struct client client;
    struct reply reply = get(&client, stage, "/", HOST_PUBLIC, "Accept: application/json\r\n");
    assert_int_equal(reply.status, 503);
    assert_view(reply_header(&reply, "Retry-After"), "1");
    client_close(&client);
    for (size_t i = 0; i < PREVIEW_REQUESTS_MAX; i++) {
        leave(&clients[i]);
    }
    fixture_settle(&stage->http);
    wait_for_flag(stage, &stage->dials[PREVIEW_REQUESTS_MAX - 1].reset);
    visit(&client, stage, "GET / HTTP/1.1\r\nHost: " HOST_PUBLIC "\r\n\r\n");
    (void)wait_for_dial(stage, PREVIEW_REQUESTS_MAX + 1);
    client_close(&client);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, set_stage, clear_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(unknown_and_unexposed_ports_look_alike),
        STAGED(an_api_address_is_no_address_of_a_preview),
        STAGED(a_private_port_wants_its_token),
        STAGED(a_token_in_the_query_becomes_a_cookie),
        STAGED(the_path_form_leads_to_the_same_port),
        STAGED(targets_reach_the_program_as_they_were_sent),
        STAGED(what_is_under_way_to_a_closed_port_is_cut),
        STAGED(what_is_under_way_ends_with_the_gateway),
        STAGED(a_port_nobody_listens_on_is_a_clear_page),
        STAGED(a_sandbox_without_its_agent_is_unavailable),
        STAGED(a_sandbox_has_at_most_so_many_requests_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
