/* gateway/preview/preview.h: who gets in, and what is seen where there is nothing to see. */
#include "gateway/preview/preview.h"

#include "common/contracts/ports.h"
#include "common/redis/redis.h"
#include "gateway/limits/limits.h"
#include "tests/unit/gateway/preview/stage.h"

#include <stdio.h>
#include <stdlib.h>

#define TRACE "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"

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
        "{\"error\":\"There is no sandbox with an exposed port at this address. The port may have "
        "been closed.\",\"code\":\"preview_not_found\",\"requestId\":\"r1\"}";
    assert_page(*state, HOST_CLOSED, json, 404, same);
    assert_page(*state, "99999-33333333333343338333333333333333.localhost", json, 404, same);
    assert_page(*state, HOST_CLOSED, "Accept: text/html, application/json\r\n", 404,
                "<!doctype html>");
}

static void a_sandbox_that_has_ended_says_so(void **state)
{
    struct stage *stage = *state;
    stage->ended = true;
    assert_page(stage, HOST_PUBLIC, "Accept: application/json\r\n", 502,
                "\"code\":\"sandbox_gone\"");
    assert_page(stage, HOST_CLOSED, "", 502, "The sandbox has ended");
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
          "GET /preview/" STAGE_SANDBOX_ID "/3000/x HTTP/1.1\r\nHost: h:81\r\n" TRACE "\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "\r\n\r\n");
    assert_view(str_view(&dialled->heard),
                "GET /x HTTP/1.1\r\nHost: localhost:3000\r\n" TRACE "X-Forwarded-For: 127.0.0.1\r\n"
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

/* Two that last: an answer without an end, and a WebSocket. headers go with both. */
struct visitors {
    struct client client;
    struct client socket;
    struct dialled *dialled;
    struct dialled *switched;
};

static void begin_visits(struct stage *stage, struct visitors *visitors, const char *host,
                         const char *headers)
{
    char text[512];
    size_t dials = stage->dial_count;
    (void)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, headers);
    visit(&visitors->client, stage, text);
    visitors->dialled = wait_for_dial(stage, dials + 1);
    wait_for_heard(stage, visitors->dialled, "\r\n\r\n");
    program_says(stage, visitors->dialled, "HTTP/1.1 200 OK\r\n\r\nhello");
    (void)snprintf(text, sizeof text,
                   "GET / HTTP/1.1\r\nHost: %s\r\n%sConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                   host, headers);
    visit(&visitors->socket, stage, text);
    visitors->switched = wait_for_dial(stage, dials + 2);
    wait_for_heard(stage, visitors->switched, "\r\n\r\n");
    program_says(stage, visitors->switched, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n");
    fixture_run(&stage->http, 20);
}

static void expect_cut(struct stage *stage, struct visitors *visitors)
{
    wait_for_flag(stage, &visitors->dialled->reset);
    wait_for_flag(stage, &visitors->switched->reset);
    client_wait_end(&visitors->client);
    client_wait_end(&visitors->socket);
    client_close(&visitors->client);
    client_close(&visitors->socket);
}

/* What the sandbox-service says has changed, and the channel has told so. */
static void change(struct stage *stage)
{
    exposed_forget(stage->exposed, STAGE_SANDBOX_ID);
    preview_check(stage->preview, STAGE_SANDBOX_ID);
}

static void expect_uncut(struct stage *stage, const struct visitors *visitors)
{
    int64_t asked = stage->answers_ports;
    change(stage);
    while (stage->answers_ports == asked) {
        fixture_run(&stage->http, 1);
    }
    fixture_run(&stage->http, 50);
    assert_false(visitors->dialled->reset || visitors->switched->reset);
}

static void what_is_under_way_to_a_closed_port_is_cut(void **state)
{
    struct stage *stage = *state;
    struct visitors visitors;
    begin_visits(stage, &visitors, HOST_PUBLIC, "");
    expect_uncut(stage, &visitors);
    stage->unexposed = true;
    exposed_forget(stage->exposed, STAGE_SANDBOX_ID);
    preview_check_all(stage->preview);
    expect_cut(stage, &visitors);
}

static void who_came_without_a_token_is_cut_when_one_is_wanted(void **state)
{
    struct stage *stage = *state;
    struct visitors visitors;
    begin_visits(stage, &visitors, HOST_PUBLIC, "");
    stage->visibility = PORT_TOKEN;
    change(stage);
    expect_cut(stage, &visitors);
}

static void who_came_by_a_token_stays_while_it_is_good(void **state)
{
    struct stage *stage = *state;
    struct visitors visitors;
    char header[EXPOSED_TOKEN_SIZE + 32];
    (void)snprintf(header, sizeof header, "X-Preview-Token: %s\r\n", stage->token);
    begin_visits(stage, &visitors, HOST_PRIVATE, header);
    stage->visibility = PORT_TOKEN;
    expect_uncut(stage, &visitors);
    stage->generation = "55555555-5555-4555-8555-555555555555";
    change(stage);
    expect_cut(stage, &visitors);
}

static void hide_the_port(struct stage *stage)
{
    stage->on_asked = NULL;
    change(stage);
    stage->visibility = PORT_TOKEN;
}

/* The sandbox-service has answered, but the news are here before the answer. */
static void who_comes_while_it_changes_is_let_in_by_what_holds_now(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->on_asked = hide_the_port;
    struct reply reply = get(&client, stage, "/", HOST_PUBLIC, "");
    assert_int_equal(reply.status, 401);
    client_close(&client);
}

static void unknown_sandbox_is_asked_for_once(void **state)
{
    struct stage *stage = *state;
    struct client client;
    stage->nowhere = true;
    int64_t asked = stage->answers_ports;
    for (int i = 0; i < 3; i++) {
        struct reply reply = get(&client, stage, "/", HOST_PUBLIC, "");
        assert_int_equal(reply.status, 404);
        client_close(&client);
    }
    assert_int_equal(stage->answers_ports, asked + 1);
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

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

/* Redis is away: this gateway counts by itself. */
static void a_visitor_may_ask_so_often(void **state)
{
    struct stage *stage = *state;
    struct loop *loop = stage->agent.gateway.loop;
    struct limit_policy policy;
    struct err err = {0};
    assert_true(limit_policy_parse(&policy, "preview=1/2", &err));
    struct redis *redis = redis_open(loop, "unix:///nowhere/redis.sock", &err);
    assert_non_null(redis);
    struct limits *limits = limits_new(redis, "test", "a", &err);
    const struct preview_options options = {.loop = loop,
                                            .hub = stage->agent.gateway.hub,
                                            .exposed = stage->exposed,
                                            .domain = "localhost",
                                            .limits = limits,
                                            .limit_policy = &policy};
    assert_non_null(limits);
    preview_free(stage->preview);
    stage->preview = preview_new(&options, &err);
    assert_non_null(stage->preview);
    assert_page(stage, HOST_CLOSED, "", 404, "<!doctype html>");
    assert_page(stage, HOST_CLOSED, "", 404, "<!doctype html>");
    assert_page(stage, HOST_CLOSED, "", 429, "<!doctype html>");
    assert_page(stage, HOST_PUBLIC, "Accept: application/json\r\n", 429,
                "\"code\":\"rate_limited\"");
    preview_free(stage->preview);
    stage->preview = NULL;
    limits_free(limits);
    redis_close(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(unknown_and_unexposed_ports_look_alike),
        STAGED(a_sandbox_that_has_ended_says_so),
        STAGED(an_api_address_is_no_address_of_a_preview),
        STAGED(a_private_port_wants_its_token),
        STAGED(a_token_in_the_query_becomes_a_cookie),
        STAGED(the_path_form_leads_to_the_same_port),
        STAGED(targets_reach_the_program_as_they_were_sent),
        STAGED(what_is_under_way_to_a_closed_port_is_cut),
        STAGED(who_came_without_a_token_is_cut_when_one_is_wanted),
        STAGED(who_came_by_a_token_stays_while_it_is_good),
        STAGED(who_comes_while_it_changes_is_let_in_by_what_holds_now),
        STAGED(unknown_sandbox_is_asked_for_once),
        STAGED(what_is_under_way_ends_with_the_gateway),
        STAGED(a_port_nobody_listens_on_is_a_clear_page),
        STAGED(a_sandbox_without_its_agent_is_unavailable),
        STAGED(a_sandbox_has_at_most_so_many_requests_at_once),
        STAGED(a_visitor_may_ask_so_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
