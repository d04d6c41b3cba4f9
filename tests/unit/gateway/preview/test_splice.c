/* gateway/preview/splice.h: WebSockets through previews, byte for byte. */
#include "gateway/preview/splice.h"

#include "tests/unit/gateway/preview/stage.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST                                                                                       \
    "Host: " HOST_PUBLIC                                                                           \
    "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
#define FORWARDED                                                                                  \
    "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: " HOST_PUBLIC                                 \
    "\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"

enum { PIECE = 64 * 1024 };

#define UPGRADE                                                                                    \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* A WebSocket that is open: the program has said what comes first. */
static struct dialled *open_socket(struct client *client, struct stage *stage, const char *first)
{
    char answer[512];
    visit(client, stage, "GET /ws HTTP/1.1\r\n" HOST UPGRADE "\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, FORWARDED "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    (void)snprintf(answer, sizeof answer,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: "
                   "upgrade\r\nSec-WebSocket-Accept: theirs\r\n\r\n%s",
                   first);
    program_says(stage, dialled, answer);
    wait_until_received(client, "Sec-WebSocket-Accept: theirs\r\n");
    str_clear(&dialled->heard);
    return dialled;
}

static void a_websocket_is_joined_byte_for_byte(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = open_socket(&client, stage, "first");
    wait_until_received(&client, "\r\n\r\nfirst");
    client_send(&client, VIEW("up"));
    wait_for_heard(stage, dialled, "up");
    program_says(stage, dialled, "down");
    wait_until_received(&client, "firstdown");
    program_says(stage, dialled, "last");
    program_closes(stage, dialled);
    client_wait_end(&client);
    client_receive(&client);
    assert_true(view_has(str_view(&client.received), "firstdownlast"));
    client_close(&client);
}

static void a_websocket_whose_client_leaves_ends_at_the_program(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = open_socket(&client, stage, "");
    client_close(&client);
    wait_for_flag(stage, &dialled->fin);
    program_closes(stage, dialled);
    fixture_settle(&stage->http);
}

static void a_websocket_takes_no_more_than_the_other_end_does(void **state)
{
    struct stage *stage = *state;
    struct client client;
    struct dialled *dialled = open_socket(&client, stage, "");
    size_t granted = dialled->granted;
    size_t said = 0;
    static const char piece[PIECE];
    int still = 0;
    while (still < 20) { /* the client does not read */
        bool may = said + PIECE <= STREAM_WINDOW_INITIAL / 2 + dialled->granted - granted;
        if (may) {
            program_says_bytes(stage, dialled, (struct view){piece, PIECE});
            said += PIECE;
        }
        still = may ? 0 : still + 1;
        fixture_run(&stage->http, 2);
        assert_true(said < (size_t)64 * 1024 * 1024);
    }
    size_t before = client.received.len;
    while (client.received.len < before + said) {
        client_receive(&client);
        fixture_run(&stage->http, 1);
    }
    client_close(&client);
}

static void an_upgrade_the_program_declines_is_an_ordinary_answer(void **state)
{
    struct stage *stage = *state;
    struct client client;
    visit(&client, stage, "GET /ws HTTP/1.1\r\n" HOST UPGRADE "\r\n");
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "Upgrade: websocket\r\n\r\n");
    program_says(stage, dialled, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    struct reply reply = client_next(&client, false);
    assert_int_equal(reply.status, 404);
    assert_view(reply.body, "no");
    client_close(&client);
}

static void a_token_may_come_as_a_sub_protocol(void **state)
{
    struct stage *stage = *state;
    struct client client;
    char text[1024];
    char expected[256];
    (void)snprintf(text, sizeof text,
                   "GET /ws HTTP/1.1\r\nHost: " HOST_PRIVATE "\r\n" UPGRADE
                   "Sec-WebSocket-Protocol: insien.token.%s\r\n\r\n",
                   stage->token);
    visit(&client, stage, text);
    struct dialled *dialled = wait_for_dial(stage, 1);
    wait_for_heard(stage, dialled, "Upgrade: websocket\r\n\r\n");
    assert_false(view_has(str_view(&dialled->heard), "Sec-WebSocket-Protocol"));
    program_says(stage, dialled,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
    (void)snprintf(expected, sizeof expected, "Sec-WebSocket-Protocol: insien.token.%s\r\n",
                   stage->token);
    wait_until_received(&client, expected);
    client_close(&client);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(a_websocket_is_joined_byte_for_byte),
        STAGED(a_websocket_whose_client_leaves_ends_at_the_program),
        STAGED(a_websocket_takes_no_more_than_the_other_end_does),
        STAGED(an_upgrade_the_program_declines_is_an_ordinary_answer),
        STAGED(a_token_may_come_as_a_sub_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
