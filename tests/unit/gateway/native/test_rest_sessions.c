/* What a person opened by a session token ends with the session. */
#include "common/base/clock.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/request.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/rest_stage.h"

#include <stdlib.h>

#define OTHER_SESSION "sess_2"
#define SOCKET "GET /client/" STAGE_SANDBOX_ID
#define UPGRADE                                                                                    \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
/* Of close frames: code and reason. */
#define ENDED "\x03\xf0the session has ended"
#define COME_BACK                                                                                  \
    "\x03\xf4"                                                                                     \
    "come back with a new session token"

enum { QUIET_MS = 50, TOKEN_LIFE_MS = 1000 };

static int open_stage(void **state)
{
    struct err err = {0};
    (void)rest_stage_open(state);
    struct rest_stage *stage = *state;
    struct gateway *gateway = &stage->agent.gateway;
    stage->is_person = true;
    gateway->client_sockets = client_sockets_new(gateway, &err);
    assert_non_null(gateway->client_sockets);
    return 0;
}

static int close_stage(void **state)
{
    struct rest_stage *stage = *state;
    client_sockets_free(stage->agent.gateway.client_sockets);
    return rest_stage_close(state);
}

static void open_socket(struct rest_stage *stage)
{
    rest_send(stage, SOCKET, UPGRADE, VIEW(""));
    rest_wait_for(stage, " 101 ");
}

static void assert_stays(struct rest_stage *stage)
{
    turn_for(stage->http.loop, QUIET_MS);
    client_receive(&stage->client);
    assert_false(stage->client.ended);
    assert_false(view_has(str_view(&stage->client.received), "session"));
}

static void a_socket_closes_with_its_session(void **state)
{
    struct rest_stage *stage = *state;
    struct client_sockets *sockets = stage->agent.gateway.client_sockets;
    open_socket(stage);
    client_sockets_revoke(sockets, OTHER_SESSION);
    assert_stays(stage);
    client_sockets_revoke(sockets, REST_SESSION);
    rest_wait_for(stage, ENDED);
}

static void a_socket_of_a_key_knows_no_session(void **state)
{
    struct rest_stage *stage = *state;
    struct client_sockets *sockets = stage->agent.gateway.client_sockets;
    stage->is_person = false;
    open_socket(stage);
    client_sockets_revoke(sockets, REST_SESSION);
    client_sockets_recheck_sessions(sockets);
    assert_stays(stage);
}

static void after_silence_a_socket_of_a_session_is_to_come_back(void **state)
{
    struct rest_stage *stage = *state;
    open_socket(stage);
    client_sockets_recheck_sessions(stage->agent.gateway.client_sockets);
    rest_wait_for(stage, COME_BACK);
}

static void a_socket_whose_end_nobody_tells_comes_back_with_a_new_token(void **state)
{
    struct rest_stage *stage = *state;
    stage->return_at_ms = clock_wall_ms() + TOKEN_LIFE_MS;
    open_socket(stage);
    assert_stays(stage);
    rest_wait_for(stage, COME_BACK);
}

static void a_streamed_answer_ends_with_its_session(void **state)
{
    struct rest_stage *stage = *state;
    struct requests *requests = stage->agent.gateway.requests;
    rest_send(stage, "POST " REST_SANDBOX "/exec",
              "Accept: application/x-ndjson\r\nContent-Type: application/json\r\n",
              VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_requests(stage, 1);
    rest_answer(stage, "\"type\":\"execResponse\",\"streamId\":1,\"pid\":7,"
                       "\"offsets\":{\"stdout\":0,\"stderr\":0}");
    rest_wait_for(stage, "\"type\":\"start\"");
    requests_revoke(requests, OTHER_SESSION);
    agent_send(&stage->agent, stage->stream_id, STREAM_STDOUT, VIEW("x"));
    rest_wait_for(stage, "\"data\":\"x\"");
    requests_revoke(requests, REST_SESSION);
    rest_wait_end(stage);
    rest_wait_resets(stage, 1);
}

static void an_upload_of_a_session_that_ended_is_refused(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "PUT " REST_SANDBOX "/files?path=x", "Content-Length: 9\r\n", VIEW(""));
    rest_wait_requests(stage, 1);
    requests_revoke(stage->agent.gateway.requests, REST_SESSION);
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_session\""));
    record_stage_expect(&stage->records,
                        "file.written failed " STAGE_SANDBOX_ID
                        " {\"op\":\"upload\",\"path\":\"x\",\"reason\":\"revoked\"}\n");
}

static void the_output_of_a_command_is_not_for_a_session_that_ended(void **state)
{
    struct rest_stage *stage = *state;
    rest_send(stage, "POST " REST_SANDBOX "/exec", "Content-Type: application/json\r\n",
              VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_requests(stage, 1);
    requests_revoke(stage->agent.gateway.requests, REST_SESSION);
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_session\""));
    rest_answer(stage, "\"type\":\"execResponse\",\"exitCode\":0"); /* nobody waits for it */
    record_stage_expect(&stage->records, "exec failed " STAGE_SANDBOX_ID
                                         " {\"command\":\"ls\",\"reason\":\"revoked\"}\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)
    const struct CMUnitTest tests[] = {
        TEST(a_socket_closes_with_its_session),
        TEST(a_socket_of_a_key_knows_no_session),
        TEST(after_silence_a_socket_of_a_session_is_to_come_back),
        TEST(a_socket_whose_end_nobody_tells_comes_back_with_a_new_token),
        TEST(a_streamed_answer_ends_with_its_session),
        TEST(an_upload_of_a_session_that_ended_is_refused),
        TEST(the_output_of_a_command_is_not_for_a_session_that_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
