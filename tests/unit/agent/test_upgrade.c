#include "sandbox-service/agent/upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The example of RFC 6455, section 1.3. */
static const char key[WS_KEY_SIZE] = "dGhlIHNhbXBsZSBub25jZQ==";
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define BOTH "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static enum upgrade_state read_text(const char *text)
{
    size_t consumed = 0;
    return upgrade_read(view_of(text), key, &consumed);
}

static void the_request_names_sandbox_key_and_token(void **state)
{
    (void)state;
    AUTO(str_free) struct str out = STR_INIT(UPGRADE_REQUEST_MAX);
    upgrade_write(&out, "00000000-0000-4000-8000-000000000000", "the.token", key);
    assert_non_null(
        strstr(out.data, "GET /agent/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\n"));
    assert_non_null(strstr(out.data, "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    assert_non_null(strstr(out.data, "\r\nAuthorization: Bearer the.token\r\n"));
    assert_string_equal(out.data + out.len - 4, "\r\n\r\n");
}

static void answers_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum upgrade_state state;
    } cases[] = {
        {"HTTP/1.1 101 Switching Protocols\r\n" BOTH ACCEPT "\r\n", UPGRADE_ACCEPTED},
        {"HTTP/1.1 101\r\nconnection: keep-alive, UPGRADE\r\nupgrade:WebSocket \r\n" ACCEPT
         "Date: now\r\n\r\n",
         UPGRADE_ACCEPTED},
        {"", UPGRADE_INCOMPLETE},
        {"HTTP/1.1 101 Switching", UPGRADE_INCOMPLETE},
        {"HTTP/1.1 101 Switching Protocols\r\n" BOTH ACCEPT, UPGRADE_INCOMPLETE},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", UPGRADE_UNAUTHORIZED},
        {"HTTP/1.1 503 Service Unavailable\r\n\r\n", UPGRADE_REFUSED},
        {"HTTP/1.1 200 OK\r\n\r\n", UPGRADE_REFUSED},
        {"HTTP/1.1 101 x\r\n" BOTH "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n" ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH "Sec-WebSocket-Accept: wrong\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT "Sec-WebSocket-Protocol: a\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT "Sec-WebSocket-Extensions: a\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT "no colon\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT ": empty\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH ACCEPT " folded: line\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\n" BOTH ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 101 x\r\n" BOTH "A: \x01\r\n" ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.0 101 x\r\n" BOTH ACCEPT "\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 1o1 x\r\n\r\n", UPGRADE_BROKEN},
        {"HTTP/1.1 1011 x\r\n\r\n", UPGRADE_BROKEN},
        {"SSH-2.0-x\r\n\r\n", UPGRADE_BROKEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_text(cases[i].answer) != cases[i].state) {
            fail_msg("case %zu: %s", i, cases[i].answer);
        }
    }
}

static void bytes_after_the_answer_are_left(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 101 x\r\n" BOTH ACCEPT "\r\n\x81\x02hi";
    size_t consumed = 0;
    assert_int_equal(upgrade_read(view_of(text), key, &consumed), UPGRADE_ACCEPTED);
    assert_int_equal(consumed, sizeof text - 1 - 4);
}

static void headers_without_end_are_refused(void **state)
{
    (void)state;
    static char text[UPGRADE_HEADERS_MAX];
    size_t consumed = 0;
    memset(text, 'a', sizeof text);
    assert_int_equal(upgrade_read((struct view){text, sizeof text - 1}, key, &consumed),
                     UPGRADE_INCOMPLETE);
    assert_int_equal(upgrade_read((struct view){text, sizeof text}, key, &consumed),
                     UPGRADE_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_names_sandbox_key_and_token),
        cmocka_unit_test(answers_are_understood),
        cmocka_unit_test(bytes_after_the_answer_are_left),
        cmocka_unit_test(headers_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
