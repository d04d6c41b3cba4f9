/* gateway/hub/session.c with an agent that comes over TLS, through the public listener. */
#include "common/event/loop.h"
#include "gateway/hub/session.h"
#include "tests/unit/gateway/http/tls_stage.h"

#include <stdlib.h>

#define SANDBOX_ID "11111111-1111-4111-8111-111111111111"
#define GET_SWITCH                                                                                 \
    "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define HELLO "{\"type\":\"hello\",\"protocol\":1,\"version\":\"test\"}"
#define CONFIGURED "{\"id\":\"configure\",\"type\":\"configureResponse\"}"
#define LONG_HEAD "{\"id\":\"1\",\"type\":\"readResponse\",\"content\":\""

enum {
    LONG_BYTES = 60000, /* several records, in one frame */
    SHORT_MAX = 125,    /* of a frame with a length in one byte */
    TURNS_MAX = 1000,
};

struct agent {
    struct tls_stage stage;
    struct tls_peer peer;
    struct session *session;
    int ready;
    int replies;
};

/* Masked by zeros. */
static void say(struct agent *agent, struct view text)
{
    const char high = (char)(text.len >> 8);
    const char low = (char)text.len;
    const char head_short[] = {'\x81', (char)(0x80 | text.len), 0, 0, 0, 0};
    const char head_long[] = {'\x81', '\xfe', high, low, 0, 0, 0, 0};
    struct str frame = STR_INIT(LONG_BYTES + sizeof head_long);
    if (text.len <= SHORT_MAX) {
        str_append(&frame, head_short, sizeof head_short);
    } else {
        str_append(&frame, head_long, sizeof head_long);
    }
    str_append_view(&frame, text);
    assert_false(frame.failed);
    tls_peer_send(&agent->peer, str_view(&frame));
    str_free(&frame);
}

static void on_ready(struct session *session, void *arg)
{
    struct agent *agent = arg;
    (void)session;
    agent->ready++;
}

static void on_closed(struct session *session, struct session_lost *lost, void *arg)
{
    struct agent *agent = arg;
    (void)session;
    agent->session = NULL;
    while (!list_is_empty(&lost->calls)) {
        hub_call_free(LIST_ENTRY(lost->calls.next, struct hub_call, node));
    }
}

static void on_reply(const struct hub_reply *reply, const struct err *err, void *arg)
{
    struct agent *agent = arg;
    assert_null(err);
    assert_int_equal(reply->text.len, LONG_BYTES);
    for (size_t i = sizeof LONG_HEAD - 1; i < LONG_BYTES - 2; i++) {
        assert_int_equal(reply->text.ptr[i], 'x');
    }
    agent->replies++;
}

static void open_agent(struct agent *agent)
{
    struct err err = {0};
    struct str configure = STR_INIT(1024);
    const struct session_owner owner = {on_ready, on_closed, agent, NULL};
    *agent = (struct agent){0};
    tls_stage_open(&agent->stage, &http_default_limits);
    tls_peer_open_any(&agent->peer, &agent->stage);
    tls_peer_send(&agent->peer, VIEW(GET_SWITCH));
    tls_peer_wait_for(&agent->peer, "101 Switching Protocols");
    str_append_string(&configure, "{\"id\":\"configure\",\"type\":\"configure\"}");
    agent->session = session_new(agent->stage.fixture.loop, SANDBOX_ID,
                                 TAKE(agent->stage.fixture.switched), &configure, &owner, &err);
    assert_non_null(agent->session);
    say(agent, VIEW(HELLO));
    tls_peer_wait_for(&agent->peer, "\"configure\"");
    say(agent, VIEW(CONFIGURED));
    fixture_settle(&agent->stage.fixture);
    assert_int_equal(agent->ready, 1);
}

static void close_agent(struct agent *agent)
{
    if (agent->session != NULL) {
        session_end(agent->session);
    }
    tls_peer_close(&agent->peer);
    tls_stage_close(&agent->stage);
}

static void a_long_message_over_tls_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct agent agent;
    struct err err = {0};
    const struct session_request message = {.before = VIEW("{"),
                                            .after = VIEW(",\"type\":\"read\",\"path\":\"x\"}")};
    char *text = malloc(LONG_BYTES);
    assert_non_null(text);
    memset(text, 'x', LONG_BYTES);
    memcpy(text, LONG_HEAD, sizeof LONG_HEAD - 1);
    text[LONG_BYTES - 2] = '"';
    text[LONG_BYTES - 1] = '}';
    open_agent(&agent);
    assert_non_null(session_call(agent.session, &message, 0, on_reply, &agent, &err));
    say(&agent, (struct view){text, LONG_BYTES});
    for (int i = 0; i < TURNS_MAX && agent.replies == 0; i++) {
        fixture_run(&agent.stage.fixture, 5);
    }
    assert_non_null(agent.session);
    assert_int_equal(agent.replies, 1);
    close_agent(&agent);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_message_over_tls_arrives_as_it_was_sent),
    };
    return cmocka_run_group_tests(tests, tls_make_folder, tls_remove_folder);
}
