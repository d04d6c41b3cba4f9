/* common/redis/redis.c against a real Redis. */
#include "common/redis/redis.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>

#define PASSWORD "a word"

enum { WORDS_MAX = 8, AMPLE_MS = 60000 };

struct fixture {
    struct redis_server *server;
    struct loop *loop;
    struct redis *redis;
};

struct answer {
    bool done;
    int calls;
    int type;
    long long number;
    size_t len;
    char text[64];
    struct err err;
};

static void on_reply(const redisReply *reply, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        assert_null(reply);
        answer->err = *err;
        return;
    }
    answer->type = reply->type;
    answer->number = reply->integer;
    if (reply->str != NULL && reply->len < sizeof answer->text) {
        answer->len = reply->len;
        memcpy(answer->text, reply->str, reply->len);
    }
}

/* A command of words with blanks between them. */
static bool try_send(struct fixture *fixture, const char *command, int64_t timeout_ms,
                     struct answer *answer, struct err *err)
{
    struct view words[WORDS_MAX];
    size_t count = 0;
    struct view rest = view_of(command);
    *answer = (struct answer){0};
    while (rest.len > 0) {
        const char *blank = memchr(rest.ptr, ' ', rest.len);
        size_t len = blank == NULL ? rest.len : (size_t)(blank - rest.ptr);
        words[count++] = (struct view){rest.ptr, len};
        rest = view_from(rest, blank == NULL ? rest.len : len + 1);
    }
    return redis_send(fixture->redis, words, count, timeout_ms, on_reply, answer, err);
}

static void begin(struct fixture *fixture, const char *command, int64_t timeout_ms,
                  struct answer *answer)
{
    struct err err = {0};
    if (!try_send(fixture, command, timeout_ms, answer, &err)) {
        fail_msg("%s", err.message);
    }
    assert_false(answer->done);
}

static struct answer ask(struct fixture *fixture, const char *command)
{
    struct answer answer;
    begin(fixture, command, AMPLE_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static bool is_up(void *arg)
{
    const struct fixture *fixture = arg;
    return redis_is_up(fixture->redis);
}

static bool is_down(void *arg)
{
    return !is_up(arg);
}

static void open_redis(struct fixture *fixture, const char *url)
{
    struct err err = {0};
    fixture->redis = redis_open(fixture->loop, url, &err);
    if (fixture->redis == NULL) {
        fail_msg("%s", err.message);
    }
}

static void open_by_network(struct fixture *fixture, const char *credentials, int db)
{
    char url[128];
    (void)snprintf(url, sizeof url, "redis://%s127.0.0.1:%d/%d", credentials,
                   redis_server_port(fixture->server), db);
    open_redis(fixture, url);
}

static void what_was_set_is_there(void **state)
{
    assert_string_equal(ask(*state, "SET greeting hello").text, "OK");
    assert_string_equal(ask(*state, "GET greeting").text, "hello");
    assert_int_equal(ask(*state, "EXISTS greeting").number, 1);
    assert_int_equal(ask(*state, "GET nothing").type, REDIS_REPLY_NIL);
}

static void any_bytes_cross(void **state)
{
    struct fixture *fixture = *state;
    const struct view words[] = {VIEW("SET"), VIEW("b\0y"), VIEW("\r\n\0%s ")};
    struct answer answer = {0};
    struct err err;
    assert_true(redis_send(fixture->redis, words, 3, AMPLE_MS, on_reply, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    const struct view read[] = {VIEW("GET"), VIEW("b\0y")};
    answer = (struct answer){0};
    assert_true(redis_send(fixture->redis, read, 2, AMPLE_MS, on_reply, &answer, &err));
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.len, 6);
    assert_memory_equal(answer.text, "\r\n\0%s ", 6);
}

static void error_reply_is_an_error(void **state)
{
    struct answer answer = ask(*state, "NOSUCHCOMMAND x");
    assert_int_equal(answer.err.code, ERR_INTERNAL);
    assert_non_null(strstr(answer.err.message, "unknown command"));
}

static void command_out_of_time_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    begin(fixture, "BLPOP empty 1", 50, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_TIMEOUT);
    assert_string_equal(ask(fixture, "ECHO again").text, "again"); /* behind the late reply */
    assert_int_equal(answer.calls, 1);
}

static void cancelled_commands_are_not_heard_of(void **state)
{
    struct fixture *fixture = *state;
    struct answer cancelled;
    begin(fixture, "ECHO x", AMPLE_MS, &cancelled);
    redis_cancel(fixture->redis, &cancelled);
    assert_string_equal(ask(fixture, "ECHO y").text, "y");
    assert_int_equal(cancelled.calls, 0);
}

static void too_many_commands_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct answer blocked;
    struct answer answer;
    struct err err = {0};
    int begun = 1;
    begin(fixture, "BLPOP empty 0.2", AMPLE_MS, &blocked);
    while (try_send(fixture, "PING", AMPLE_MS, &answer, &err)) {
        begun++;
    }
    assert_int_equal(begun, REDIS_PENDING_MAX);
    assert_int_equal(err.code, ERR_LIMIT);
    turn_until(fixture->loop, &blocked.done);
    assert_string_equal(ask(fixture, "ECHO room").text, "room");
}

static void dead_server_is_told_and_found_again(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    struct err err = {0};
    begin(fixture, "BLPOP empty 0", AMPLE_MS, &answer);
    turn_for(fixture->loop, 20);
    redis_server_kill(fixture->server);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    turn_until_true(fixture->loop, is_down, fixture);
    assert_false(try_send(fixture, "PING", 1000, &answer, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    redis_server_start_again(fixture->server);
    turn_until_true(fixture->loop, is_up, fixture);
    assert_string_equal(ask(fixture, "ECHO x").text, "x");
}

static void silent_server_counts_as_gone(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGSTOP), 0);
    begin(fixture, "PING", AMPLE_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGCONT), 0);
    turn_until_true(fixture->loop, is_up, fixture);
}

static void database_of_the_url_is_chosen(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(ask(fixture, "SET where zero").text, "OK");
    redis_close(fixture->redis);
    open_by_network(fixture, ":a%20word@", 5);
    turn_until_true(fixture->loop, is_up, fixture);
    assert_int_equal(ask(fixture, "GET where").type, REDIS_REPLY_NIL);
}

static void wrong_password_never_comes_up(void **state)
{
    struct fixture *fixture = *state;
    redis_close(fixture->redis);
    open_by_network(fixture, ":wrong@", 0);
    turn_for(fixture->loop, 300);
    assert_false(redis_is_up(fixture->redis));
}

struct closer {
    struct fixture *fixture;
    bool done;
};

static void close_it(const redisReply *reply, const struct err *err, void *arg)
{
    (void)reply;
    (void)err;
    struct closer *closer = arg;
    redis_close(closer->fixture->redis);
    closer->fixture->redis = NULL;
    closer->done = true;
}

static void callback_may_close_and_ends_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct closer closer = {.fixture = fixture};
    struct answer late;
    struct answer other;
    struct err err;
    const struct view ping = VIEW("PING");
    begin(fixture, "BLPOP empty 0.5", 10, &late);
    turn_until(fixture->loop, &late.done); /* its reply is still to come */
    assert_true(redis_send(fixture->redis, &ping, 1, AMPLE_MS, close_it, &closer, &err));
    begin(fixture, "PING", AMPLE_MS, &other);
    turn_until(fixture->loop, &closer.done);
    assert_int_equal(other.err.code, ERR_UNAVAILABLE);
    turn_for(fixture->loop, 20);
}

/* The connection is given up, and what that ends closes everything. */
static void close_from_inside_a_reset_is_fine(void **state)
{
    struct fixture *fixture = *state;
    struct closer closer = {.fixture = fixture};
    struct err err;
    const struct view ping = VIEW("PING");
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGSTOP), 0);
    assert_true(redis_send(fixture->redis, &ping, 1, AMPLE_MS, close_it, &closer, &err));
    turn_until(fixture->loop, &closer.done);
    assert_int_equal(kill(redis_server_pid(fixture->server), SIGCONT), 0);
}

static void close_ends_what_is_in_flight(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    begin(fixture, "BLPOP empty 0", AMPLE_MS, &answer);
    redis_close(fixture->redis);
    fixture->redis = NULL;
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    open_by_network(fixture, ":a%20word@", 0);
    turn_until_true(fixture->loop, is_up, fixture);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    redis_close(fixture->redis);
    loop_free(fixture->loop);
    return 0;
}

static int start_server(void **state)
{
    static struct fixture fixture;
    fixture.server = redis_server_start(PASSWORD);
    *state = &fixture;
    return 0;
}

static int remove_server(void **state)
{
    struct fixture *fixture = *state;
    redis_server_remove(fixture->server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_set_is_there),
        TEST(any_bytes_cross),
        TEST(error_reply_is_an_error),
        TEST(command_out_of_time_is_told_once),
        TEST(cancelled_commands_are_not_heard_of),
        TEST(too_many_commands_are_refused),
        TEST(dead_server_is_told_and_found_again),
        TEST(silent_server_counts_as_gone),
        TEST(database_of_the_url_is_chosen),
        TEST(wrong_password_never_comes_up),
        TEST(callback_may_close_and_ends_the_rest),
        TEST(close_from_inside_a_reset_is_fine),
        TEST(close_ends_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
