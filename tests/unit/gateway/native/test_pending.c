/* gateway/native/pending.c, and client_relay.c with it, between a real Redis, and an agent and
 * clients of the test's own. */
#include "gateway/native/pending.h"

#include "common/base/clock.h"
#include "gateway/native/client_relay.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/agent_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/bufferevent.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SESSION "7b0c8b5e-52f3-4a0e-9d55-0d7cf6a3a001"
#define OTHER_SESSION "7b0c8b5e-52f3-4a0e-9d55-0d7cf6a3a002"
#define SCOPE USER "/" SESSION
#define KEY "insien:test:pending:" USER ":" SESSION ":" STAGE_SANDBOX_ID

enum { TEXT_SIZE = 64 * 1024, QUIET_MS = 100, STATE_SIZE = 64 };

/* One socket of a client. */
struct client {
    struct client_relay relay;
    struct ws_socket *server; /* the gateway's end */
    struct ws_socket *socket;
    char text[TEXT_SIZE]; /* the last one */
    int texts;
};

struct fixture {
    struct agent_stage stage;
    struct redis_server *server;
    redisContext *redis; /* the test's own connection */
    struct client client;
    struct client again;
    char state[STATE_SIZE];       /* members of the agent's answer to lookups; "": none */
    char other_state[STATE_SIZE]; /* to those of requests with "other" in their id */
    char last_lookup[TEXT_SIZE];
    int lookups;
    const char *answer; /* members behind the id of execs; NULL: no answer */
    int execs;
};

static const struct pending_place place = {SCOPE, STAGE_SANDBOX_ID};

static void on_agent_text(struct view text, const struct json_envelope *envelope, void *arg)
{
    struct fixture *fixture = arg;
    char copy[TEXT_SIZE];
    assert_true(view_copy(text, copy, sizeof copy));
    if (view_equal(envelope->type, VIEW("lookup"))) {
        const char *state = strstr(copy, "other") != NULL ? fixture->other_state : fixture->state;
        memcpy(fixture->last_lookup, copy, text.len + 1);
        fixture->lookups++;
        if (state[0] != '\0') {
            agent_say(&fixture->stage, "{\"id\":\"%.*s\",%s}", (int)envelope->id.len,
                      envelope->id.ptr, state);
        }
        return;
    }
    fixture->execs++;
    if (fixture->answer != NULL) {
        agent_say(&fixture->stage, "{\"id\":\"%.*s\",\"streamId\":%u,%s}", (int)envelope->id.len,
                  envelope->id.ptr, envelope->stream_id, fixture->answer);
    }
}

static void on_server_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct client *client = arg;
    client_relay_take(&client->relay, opcode, message);
}

static void on_server_closed(int code, void *arg)
{
    (void)code;
    struct client *client = arg;
    client_relay_close(&client->relay);
    ws_socket_free(client->server);
    client->server = NULL;
}

static void on_client_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct client *client = arg;
    if (opcode == WS_TEXT) {
        assert_true(view_copy(message, client->text, sizeof client->text));
        client->texts++;
    }
}

static void on_client_closed(int code, void *arg)
{
    (void)code;
    struct client *client = arg;
    ws_socket_free(TAKE(client->socket));
}

static void on_answered(void *arg)
{
    (void)arg;
}

static struct bufferevent *wrap(struct loop *loop, int fd)
{
    struct bufferevent *bev = bufferevent_socket_new(loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    return bev;
}

static void open_client(struct fixture *fixture, struct client *client, const char *session)
{
    static const struct ws_events server_events = {.on_message = on_server_message,
                                                   .on_closed = on_server_closed};
    static const struct ws_events client_events = {.on_message = on_client_message,
                                                   .on_closed = on_client_closed};
    const struct gateway *gateway = &fixture->stage.gateway;
    struct err err = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client->relay.scopes = ~0U;
    assert_true(client_relay_open(&client->relay, gateway->hub, STAGE_SANDBOX_ID, on_answered,
                                  client, &err));
    client->server = ws_socket_new(gateway->loop, WS_SERVER, wrap(gateway->loop, fds[0]),
                                   &client_limits, &server_events, client, &err);
    client->socket = ws_socket_new(gateway->loop, WS_CLIENT, wrap(gateway->loop, fds[1]),
                                   &ws_default_limits, &client_events, client, &err);
    assert_non_null(client->server);
    assert_non_null(client->socket);
    client->relay.socket = client->server;
    client_relay_enter_scope(&client->relay, gateway->pending, USER, session);
}

static void close_client(struct client *client)
{
    client_relay_close(&client->relay);
    ws_socket_free(TAKE(client->server));
    ws_socket_free(TAKE(client->socket));
}

static struct loop *loop_of(const struct fixture *fixture)
{
    return fixture->stage.gateway.loop;
}

/* A command without blanks in its words; its reply as a number, or the length of what it is. */
static long long redis_says(const struct fixture *fixture, const char *command)
{
    redisReply *reply = redisCommand(fixture->redis, command); /* NOLINT: words of ours */
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    long long number = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->len;
    freeReplyObject(reply);
    return number;
}

static bool one_is_recorded(void *arg)
{
    return redis_says(arg, "HLEN " KEY) == 1;
}

static bool none_is_recorded(void *arg)
{
    return redis_says(arg, "HLEN " KEY) == 0;
}

static bool is_told(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->again.texts > 0;
}

static bool is_answered(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->client.texts > 0;
}

static bool agent_was_asked(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->lookups > 0;
}

static bool takes_records(void *arg)
{
    struct fixture *fixture = arg;
    const struct pending_request request = {.id = VIEW("first")};
    pending_record(fixture->stage.gateway.pending, &place, &request);
    turn_for(loop_of(fixture), 1);
    return redis_says(fixture, "HLEN " KEY) == 1;
}

/* Behind all that was recorded before. */
static bool last_is_recorded(void *arg)
{
    return redis_says(arg, "HEXISTS " KEY " last") == 1;
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct agent_stage *stage = &fixture->stage;
    const struct pending_request last = {.id = VIEW("last")};
    struct err err = {0};
    stage->on_text = on_agent_text;
    stage->arg = fixture;
    agent_stage_open(stage);
    fixture->server = redis_server_start(NULL);
    fixture->redis = redisConnectUnix(redis_server_url(fixture->server) + strlen("unix://"));
    assert_int_equal(fixture->redis->err, 0);
    (void)snprintf(stage->config.instance, sizeof stage->config.instance, "test");
    (void)snprintf(stage->config.redis_url, sizeof stage->config.redis_url, "%s",
                   redis_server_url(fixture->server));
    (void)snprintf(stage->gateway.id, sizeof stage->gateway.id, "%s", USER);
    stage->gateway.pending = pending_open(&stage->gateway, &err);
    assert_non_null(stage->gateway.pending);
    turn_until_true(loop_of(fixture), takes_records, fixture);
    pending_record(stage->gateway.pending, &place, &last);
    turn_until_true(loop_of(fixture), last_is_recorded, fixture);
    (void)redis_says(fixture, "DEL " KEY);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    close_client(&fixture->client);
    close_client(&fixture->again);
    pending_close(fixture->stage.gateway.pending);
    agent_stage_close(&fixture->stage);
    redisFree(fixture->redis);
    redis_server_remove(fixture->server);
    free(fixture);
    return 0;
}

static void wait_for(struct fixture *fixture, bool (*condition)(void *arg))
{
    turn_until_true(loop_of(fixture), condition, fixture);
}

static void ask(struct client *client, const char *text)
{
    const struct view part = view_of(text);
    struct err err = {0};
    assert_true(ws_send(client->socket, WS_TEXT, &part, 1, &err));
}

#define UNKNOWN "\"type\":\"lookupResponse\",\"state\":\"unknown\""
#define RUNNING "\"type\":\"lookupResponse\",\"state\":\"running\",\"pid\":7"
#define FINISHED "\"type\":\"lookupResponse\",\"state\":\"finished\",\"pid\":9"

static void set_state(struct fixture *fixture, const char *state, const char *other_state)
{
    (void)snprintf(fixture->state, sizeof fixture->state, "%s", state);
    (void)snprintf(fixture->other_state, sizeof fixture->other_state, "%s", other_state);
}

/* A request that the agent has and does not answer, of a client that then goes away. */
static void leave_a_request(struct fixture *fixture)
{
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\",\"cmd\":\"x\"}");
    wait_for(fixture, one_is_recorded);
    close_client(&fixture->client);
}

static void a_request_is_recorded_while_it_waits_for_its_answer(void **state)
{
    struct fixture *fixture = *state;
    char expected[256];
    int64_t from = clock_wall_ms() + 1500;
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\",\"stream\":true,\"streamId\":5,"
                          "\"timeoutMs\":1500}");
    wait_for(fixture, one_is_recorded);
    redisReply *reply = redisCommand(fixture->redis, "HGET %s a", KEY);
    const char *deadline = strstr(reply->str, "\"deadline\":") + strlen("\"deadline\":");
    long long at = strtoll(deadline, NULL, 10);
    assert_in_range(at, from, clock_wall_ms() + 1500);
    (void)snprintf(expected, sizeof expected,
                   "{\"sandboxId\":\"%s\",\"gatewayId\":\"%s\",\"deadline\":%lld,\"streamId\":5}",
                   STAGE_SANDBOX_ID, USER, at);
    assert_string_equal(reply->str, expected);
    freeReplyObject(reply);
    assert_in_range(redis_says(fixture, "PTTL " KEY), 1, PENDING_KEPT_MS);
}

static void a_request_without_a_timeout_has_no_deadline(void **state)
{
    struct fixture *fixture = *state;
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\",\"timeoutMs\":0}");
    wait_for(fixture, one_is_recorded);
    redisReply *reply = redisCommand(fixture->redis, "HGET %s a", KEY);
    assert_non_null(strstr(reply->str, "\"deadline\":null}"));
    freeReplyObject(reply);
}

static void its_answer_takes_the_record_away(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = "\"type\":\"execResponse\",\"exitCode\":0";
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\"}");
    wait_for(fixture, is_answered);
    wait_for(fixture, none_is_recorded);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_true(none_is_recorded(fixture));
    assert_int_equal(fixture->execs, 1);
}

static void so_does_the_exit_of_a_stream_and_not_before(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = "\"type\":\"execResponse\",\"pid\":7";
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\",\"stream\":true,\"streamId\":5}");
    wait_for(fixture, is_answered);
    wait_for(fixture, one_is_recorded);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_true(one_is_recorded(fixture));
    agent_say(&fixture->stage, "{\"type\":\"exit\",\"streamId\":1,\"exitCode\":0}");
    wait_for(fixture, none_is_recorded);
}

static void other_requests_and_those_without_a_session_are_not_recorded(void **state)
{
    struct fixture *fixture = *state;
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"ps\"}");
    ask(&fixture->client, "{\"id\":\"b\",\"type\":\"attach\",\"streamId\":5}");
    fixture->client.relay.scope[0] = '\0';
    ask(&fixture->client, "{\"id\":\"c\",\"type\":\"exec\"}");
    turn_until_count(loop_of(fixture), &fixture->execs, 3);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->execs, 3);
    assert_int_equal(redis_says(fixture, "DBSIZE"), 0);
}

static void who_comes_back_is_told_what_runs(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    set_state(fixture, RUNNING, "");
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, is_told);
    assert_string_equal(
        fixture->again.text,
        "{\"type\":\"pending\",\"requests\":[{\"id\":\"a\",\"state\":\"running\",\"pid\":7}]}");
    assert_non_null(strstr(fixture->last_lookup, "\"once\":\"" SCOPE "/a\""));
    turn_for(loop_of(fixture), QUIET_MS);
    assert_true(one_is_recorded(fixture));
    assert_int_equal(fixture->again.texts, 1);
}

static void what_never_arrived_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    set_state(fixture, UNKNOWN, "");
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, is_told);
    assert_string_equal(
        fixture->again.text,
        "{\"type\":\"pending\",\"requests\":[{\"id\":\"a\",\"state\":\"unknown\"}]}");
    wait_for(fixture, none_is_recorded);
}

static void each_request_is_told_by_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct pending_request other = {.id = VIEW("other")};
    leave_a_request(fixture);
    pending_record(fixture->stage.gateway.pending, &place, &other);
    set_state(fixture, UNKNOWN, FINISHED);
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, is_told);
    assert_non_null(strstr(fixture->again.text, "{\"id\":\"a\",\"state\":\"unknown\"}"));
    assert_non_null(
        strstr(fixture->again.text, "{\"id\":\"other\",\"state\":\"finished\",\"pid\":9}"));
    wait_for(fixture, one_is_recorded);
    assert_int_equal(redis_says(fixture, "HEXISTS " KEY " other"), 1);
}

static void a_request_that_is_repeated_meanwhile_stays_recorded(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, agent_was_asked);
    ask(&fixture->again, "{\"id\":\"a\",\"type\":\"exec\",\"timeoutMs\":5}");
    turn_until_count(loop_of(fixture), &fixture->execs, 2);
    agent_say(&fixture->stage, "{\"id\":\"2\"," UNKNOWN "}");
    wait_for(fixture, is_told);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_true(one_is_recorded(fixture));
}

static void another_session_is_told_nothing(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    set_state(fixture, RUNNING, "");
    open_client(fixture, &fixture->again, OTHER_SESSION);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->again.texts, 0);
    assert_int_equal(fixture->lookups, 0);
}

static bool has_looked(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->again.relay.look == NULL;
}

static void what_the_agent_does_not_say_is_not_told(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    set_state(fixture, "\"type\":\"error\",\"error\":\"x\",\"code\":\"x\"", "");
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, agent_was_asked);
    wait_for(fixture, has_looked);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->again.texts, 0);
    assert_true(one_is_recorded(fixture));
}

static void an_agent_that_is_lost_meanwhile_tells_nothing(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, agent_was_asked);
    fixture->stage.sandbox_ended = true;
    agent_vanish(&fixture->stage);
    wait_for(fixture, has_looked);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->again.texts, 0);
}

static void a_client_may_leave_at_each_step_of_the_look(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    open_client(fixture, &fixture->again, SESSION);
    close_client(&fixture->again);
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, agent_was_asked);
    close_client(&fixture->again);
    agent_say(&fixture->stage, "{\"id\":\"2\"," RUNNING "}");
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->again.texts, 0);
    agent_vanish(&fixture->stage);
    turn_for(loop_of(fixture), QUIET_MS);
    open_client(fixture, &fixture->again, SESSION);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_non_null(fixture->again.relay.look);
    close_client(&fixture->again);
}

struct records {
    struct fixture *fixture;
    int count;
};

static bool are_recorded(void *arg)
{
    const struct records *records = arg;
    return redis_says(records->fixture, "HLEN " KEY) >= records->count;
}

static void wait_for_records(struct fixture *fixture, int count)
{
    struct records records = {fixture, count};
    turn_until_true(loop_of(fixture), are_recorded, &records);
}

static void only_so_many_requests_are_recorded_and_looked_up(void **state)
{
    struct fixture *fixture = *state;
    char id[16];
    for (int i = 0; i < PENDING_MAX + 1; i++) {
        (void)snprintf(id, sizeof id, "r%d", i);
        const struct pending_request request = {.id = view_of(id)};
        pending_record(fixture->stage.gateway.pending, &place, &request);
        if (i % 500 == 0) {
            wait_for_records(fixture, i + 1);
        }
    }
    wait_for_records(fixture, PENDING_MAX);
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(redis_says(fixture, "HLEN " KEY), PENDING_MAX);
    assert_int_equal(redis_says(fixture, "HEXISTS " KEY " r1024"), 0);
    set_state(fixture, RUNNING, "");
    open_client(fixture, &fixture->again, SESSION);
    wait_for(fixture, is_told);
    assert_int_equal(fixture->lookups, PENDING_LOOKUPS_MAX);
}

static void only_so_many_records_are_on_their_way(void **state)
{
    struct fixture *fixture = *state;
    char id[16];
    for (int i = 0; i < PENDING_WRITES_MAX + 100; i++) {
        (void)snprintf(id, sizeof id, "r%d", i % PENDING_MAX);
        const struct pending_request request = {.id = view_of(id), .deadline_ms = i + 1};
        pending_record(fixture->stage.gateway.pending, &place, &request);
    }
    wait_for_records(fixture, PENDING_MAX / 2); /* an earlier answer may be on its way, too */
    turn_for(loop_of(fixture), QUIET_MS);
    redisReply *reply = redisCommand(fixture->redis, "HGET %s r0", KEY);
    assert_non_null(strstr(reply->str, "\"deadline\":1}"));
    freeReplyObject(reply);
}

/* Whoever comes is not looked for: that Redis is gone is known. */
static bool redis_is_known_to_be_gone(void *arg)
{
    struct fixture *fixture = arg;
    close_client(&fixture->again);
    open_client(fixture, &fixture->again, SESSION);
    return fixture->again.relay.look == NULL;
}

static void without_redis_nothing_is_told_and_requests_are_answered(void **state)
{
    struct fixture *fixture = *state;
    leave_a_request(fixture);
    redis_server_kill(fixture->server);
    fixture->answer = "\"type\":\"execResponse\",\"exitCode\":0";
    open_client(fixture, &fixture->again, SESSION);
    ask(&fixture->again, "{\"id\":\"b\",\"type\":\"exec\"}");
    wait_for(fixture, is_told);
    assert_string_equal(fixture->again.text,
                        "{\"id\":\"b\",\"streamId\":0,\"type\":\"execResponse\",\"exitCode\":0}");
    fixture->again.texts = 0;
    wait_for(fixture, redis_is_known_to_be_gone);
    ask(&fixture->again, "{\"id\":\"c\",\"type\":\"exec\"}");
    wait_for(fixture, is_told);
    assert_int_equal(fixture->again.texts, 1);
}

static void what_is_no_record_of_ours_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    freeReplyObject(
        redisCommand(fixture->redis, "HSET %s %s x", KEY,
                     "an-id-that-is-longer-than-any-that-a-client-may-have-in-a-request"));
    set_state(fixture, RUNNING, "");
    open_client(fixture, &fixture->again, SESSION);
    turn_for(loop_of(fixture), QUIET_MS);
    freeReplyObject(redisCommand(fixture->redis, "DEL %s", KEY));
    freeReplyObject(redisCommand(fixture->redis, "SET %s x", KEY));
    open_client(fixture, &fixture->client, SESSION);
    ask(&fixture->client, "{\"id\":\"a\",\"type\":\"exec\"}");
    turn_for(loop_of(fixture), QUIET_MS);
    assert_int_equal(fixture->again.texts + fixture->client.texts, 0);
    assert_int_equal(fixture->lookups, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_recorded_while_it_waits_for_its_answer),
        TEST(a_request_without_a_timeout_has_no_deadline),
        TEST(its_answer_takes_the_record_away),
        TEST(so_does_the_exit_of_a_stream_and_not_before),
        TEST(other_requests_and_those_without_a_session_are_not_recorded),
        TEST(who_comes_back_is_told_what_runs),
        TEST(what_never_arrived_is_told_once),
        TEST(each_request_is_told_by_itself),
        TEST(a_request_that_is_repeated_meanwhile_stays_recorded),
        TEST(another_session_is_told_nothing),
        TEST(what_the_agent_does_not_say_is_not_told),
        TEST(an_agent_that_is_lost_meanwhile_tells_nothing),
        TEST(a_client_may_leave_at_each_step_of_the_look),
        TEST(only_so_many_requests_are_recorded_and_looked_up),
        TEST(only_so_many_records_are_on_their_way),
        TEST(without_redis_nothing_is_told_and_requests_are_answered),
        TEST(what_is_no_record_of_ours_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
