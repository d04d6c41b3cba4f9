/* auth-service/users/session_watch.c against a Backend API of the test's own, and a real Redis. */
#include "auth-service/users/session_watch.h"

#include "common/audit/writer.h"

#include "tests/support/redis_server.h"
#include "tests/support/turn.h"
#include "tests/unit/auth-service/web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GAP_MS = 1,
    INTERVAL_MS = 300,
    KEPT_MS = 450,
    RETRY_MS = 20,
    LONGEST_MS = 400,
    WHILE_MS = 100
};

struct stage {
    struct redis_server *redis_server; /* for all tests */
    struct loop *loop;
    struct redis *redis;
    struct announcer *announcer;
    struct audit_writer *audit;
    struct redis_subscription *subscription;
    struct http_client *http;
    struct web web;
    struct session_watch *watch;
    bool subscribed;
    int expected; /* requests that a test waits for */
    char news[INVALIDATION_MESSAGE_SIZE];
};

static void on_message(struct view message, void *arg)
{
    struct stage *stage = arg;
    assert_true(view_copy(message, stage->news, sizeof stage->news));
}

static void on_state(bool subscribed, void *arg)
{
    struct stage *stage = arg;
    stage->subscribed = subscribed;
}

/* Nobody stores what is told; it waits. */
static bool store_nothing(void *arg, const struct audit_item *items, size_t count,
                          audit_stored_fn *done, void *done_arg, struct err *err)
{
    (void)arg;
    (void)items;
    (void)count;
    (void)done;
    (void)done_arg;
    return err_set(err, ERR_UNAVAILABLE, "there is no database");
}

static void close_nothing(void *arg)
{
    (void)arg;
}

static struct session_watch_options options_of(const struct stage *stage)
{
    return (struct session_watch_options){.loop = stage->loop,
                                          .redis = stage->redis,
                                          .http = stage->http,
                                          .announcer = stage->announcer,
                                          .audit = stage->audit,
                                          .instance = "test",
                                          .api_url = stage->web.url,
                                          .secret_key = "sk_test_1",
                                          .timing = {.interval_ms = INTERVAL_MS,
                                                     .gap_ms = GAP_MS,
                                                     .kept_ms = KEPT_MS,
                                                     .fetch_timeout_ms = 2000,
                                                     .retry_min_ms = RETRY_MS,
                                                     .retry_max_ms = LONGEST_MS}};
}

static bool is_up(void *arg)
{
    const struct stage *stage = arg;
    return stage->subscribed && redis_is_up(stage->redis);
}

static bool is_down(void *arg)
{
    const struct stage *stage = arg;
    return !stage->subscribed && !redis_is_up(stage->redis);
}

static int set_up(void **state)
{
    static const struct redis_subscriber subscriber = {on_message, on_state};
    struct stage *stage = *state;
    struct err err = {0};
    *stage = (struct stage){.redis_server = stage->redis_server};
    redis_server_run(stage->redis_server, "FLUSHALL");
    stage->loop = loop_new(&err);
    stage->redis = redis_open(stage->loop, redis_server_url(stage->redis_server), &err);
    stage->announcer = announcer_open(stage->loop, stage->redis, "test", &err);
    stage->subscription = redis_subscribe(stage->loop, redis_server_url(stage->redis_server),
                                          "insien:test:invalidate", &subscriber, stage, &err);
    web_open(&stage->web, stage->loop);
    stage->http = http_client_open(stage->loop, NULL, 2, &err);
    assert_non_null(stage->http);
    const struct audit_sink sink = {.store = store_nothing, .close = close_nothing};
    stage->audit = audit_writer_open_to(stage->loop, &sink, &err);
    assert_non_null(stage->audit);
    const struct session_watch_options options = options_of(stage);
    stage->watch = session_watch_open(&options, &err);
    assert_non_null(stage->watch);
    turn_until_true(stage->loop, is_up, stage);
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    redis_unsubscribe(stage->subscription);
    redis_close(stage->redis);
    session_watch_close(stage->watch);
    audit_writer_stop(stage->audit);
    audit_writer_close(stage->audit);
    announcer_close(stage->announcer);
    http_client_close(stage->http);
    web_close(&stage->web);
    loop_free(stage->loop);
    return 0;
}

static int start_server(void **state)
{
    static struct stage stage;
    stage.redis_server = redis_server_start(NULL);
    *state = &stage;
    return 0;
}

static int remove_server(void **state)
{
    struct stage *stage = *state;
    redis_server_remove(stage->redis_server);
    return 0;
}

static void serve(struct stage *stage, int status, const char *body)
{
    stage->web.status = status;
    stage->web.retry_after_s = 0;
    stage->web.requests = 0;
    (void)snprintf(stage->web.body, sizeof stage->web.body, "%s", body);
}

static bool has_asked(void *arg)
{
    const struct stage *stage = arg;
    return stage->web.requests >= stage->expected;
}

static void wait_for_requests(struct stage *stage, int count)
{
    stage->expected = count;
    turn_until_true(stage->loop, has_asked, stage);
}

static bool is_empty(void *arg)
{
    const struct stage *stage = arg;
    return session_watch_count(stage->watch) == 0;
}

static bool has_news(void *arg)
{
    const struct stage *stage = arg;
    return stage->news[0] != '\0';
}

static void on_exists(const redisReply *reply, const struct err *err, void *arg)
{
    assert_null(err);
    *(int *)arg = reply->integer > 0 ? 1 : 0;
}

static bool is_known_now(void *arg)
{
    return *(const int *)arg >= 0;
}

static bool is_denied(struct stage *stage, const char *session_id)
{
    char key[128];
    int known = -1;
    struct err err = {0};
    (void)snprintf(key, sizeof key, "insien:test:clerk:revoked:%s", session_id);
    const struct view words[] = {VIEW("EXISTS"), view_of(key)};
    assert_true(redis_send(stage->redis, words, 2, 2000, on_exists, &known, &err));
    turn_until_true(stage->loop, is_known_now, &known);
    return known == 1;
}

static void a_session_is_asked_for_at_once_and_then_now_and_then(void **state)
{
    struct stage *stage = *state;
    serve(stage, 200, "{\"id\":\"sess_live\",\"status\":\"active\"}");
    session_watch_note(stage->watch, VIEW("sess_live"));
    session_watch_note(stage->watch, VIEW("sess_live"));
    wait_for_requests(stage, 1);
    assert_string_equal(stage->web.path, "/v1/sessions/sess_live");
    assert_string_equal(stage->web.authorization, "Bearer sk_test_1");
    turn_for(stage->loop, WHILE_MS);
    assert_int_equal(stage->web.requests, 1);
    wait_for_requests(stage, 2);
    assert_int_equal(session_watch_count(stage->watch), 1);
    assert_false(is_denied(stage, "sess_live"));
}

static void a_session_that_ended_is_denied_and_told(void **state)
{
    static const char *const bodies[] = {
        "{\"id\":\"sess_over\",\"status\":\"revoked\"}",
        "{\"id\":\"sess_over\",\"status\":\"ended\"}",
        "{\"id\":\"sess_over\",\"status\":\"removed\"}",
        "{\"id\":\"sess_over\",\"status\":\"expired\"}",
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        stage->news[0] = '\0';
        serve(stage, 200, bodies[i]);
        session_watch_note(stage->watch, VIEW("sess_over"));
        wait_for_requests(stage, 1);
        turn_until_true(stage->loop, is_empty, stage);
        assert_true(is_denied(stage, "sess_over"));
        turn_until_true(stage->loop, has_news, stage);
        assert_string_equal(stage->news, "session sess_over");
    }
}

static void a_session_that_clerk_does_not_know_has_ended(void **state)
{
    struct stage *stage = *state;
    serve(stage, 404, "{\"errors\":[{\"code\":\"resource_not_found\"}]}");
    session_watch_note(stage->watch, VIEW("sess_gone"));
    turn_until_true(stage->loop, is_empty, stage);
    assert_true(is_denied(stage, "sess_gone"));
}

static void whatever_says_nothing_of_a_session_ends_none(void **state)
{
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        {404, "<html>no such page</html>"},
        {401, "{\"errors\":[{\"code\":\"clerk_key_invalid\"}]}"},
        {500, "broken"},
        {200, "<html></html>"},
        {200, "{\"id\":\"sess_other\",\"status\":\"revoked\"}"},
        {200, "{\"id\":\"sess_safe\",\"status\":\"something_new\"}"},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        serve(stage, cases[i].status, cases[i].body);
        session_watch_note(stage->watch, VIEW("sess_safe"));
        wait_for_requests(stage, 1);
        turn_for(stage->loop, RETRY_MS);
        assert_int_equal(session_watch_count(stage->watch), 1);
    }
    assert_false(is_denied(stage, "sess_safe"));
    assert_false(is_denied(stage, "sess_other"));
}

static void one_that_nobody_names_any_more_is_not_asked_for(void **state)
{
    struct stage *stage = *state;
    serve(stage, 200, "{\"id\":\"sess_left\",\"status\":\"active\"}");
    session_watch_note(stage->watch, VIEW("sess_left"));
    turn_until_true(stage->loop, is_empty, stage);
    assert_int_equal(stage->web.requests, 2); /* at once, and when it was still known */
    assert_false(is_denied(stage, "sess_left"));
}

static void an_end_that_could_not_be_noted_is_asked_for_again(void **state)
{
    struct stage *stage = *state;
    serve(stage, 200, "{\"id\":\"sess_later\",\"status\":\"ended\"}");
    redis_server_kill(stage->redis_server);
    turn_until_true(stage->loop, is_down, stage);
    session_watch_note(stage->watch, VIEW("sess_later"));
    wait_for_requests(stage, 2);
    assert_int_equal(session_watch_count(stage->watch), 1);
    redis_server_start_again(stage->redis_server);
    turn_until_true(stage->loop, is_up, stage);
    session_watch_note(stage->watch, VIEW("sess_later"));
    turn_until_true(stage->loop, is_empty, stage);
    assert_true(is_denied(stage, "sess_later"));
}

static void who_asks_us_to_wait_is_not_asked(void **state)
{
    struct stage *stage = *state;
    serve(stage, 429, "{}");
    stage->web.retry_after_s = 1; /* more than LONGEST_MS */
    session_watch_note(stage->watch, VIEW("sess_a"));
    session_watch_note(stage->watch, VIEW("sess_b"));
    wait_for_requests(stage, 1);
    serve(stage, 200, "{\"id\":\"sess_b\",\"status\":\"revoked\"}");
    turn_for(stage->loop, LONGEST_MS / 2);
    assert_int_equal(stage->web.requests, 0);
    wait_for_requests(stage, 1);
    assert_string_equal(stage->web.path,
                        "/v1/sessions/sess_b"); /* the one that failed comes last */
}

static void names_that_can_not_be_asked_for_are_let_go(void **state)
{
    struct stage *stage = *state;
    session_watch_note(stage->watch, VIEW("../users/user_1"));
    session_watch_note(stage->watch, VIEW(""));
    session_watch_note(stage->watch, VIEW("a b"));
    assert_int_equal(session_watch_count(stage->watch), 0);
}

static void no_more_are_watched_than_there_is_room_for(void **state)
{
    struct stage *stage = *state;
    char id[32];
    serve(stage, 500, "");
    for (int i = 0; i < SESSIONS_WATCHED_MAX + 10; i++) {
        (void)snprintf(id, sizeof id, "sess_%d", i);
        session_watch_note(stage->watch, view_of(id));
    }
    assert_int_equal(session_watch_count(stage->watch), SESSIONS_WATCHED_MAX);
}

static void only_an_address_that_keeps_the_key_secret_will_do(void **state)
{
    struct stage *stage = *state;
    struct err err = {0};
    struct session_watch_options options = options_of(stage);
    options.api_url = "http://api.example.com";
    assert_null(session_watch_open(&options, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_session_is_asked_for_at_once_and_then_now_and_then),
        TEST(a_session_that_ended_is_denied_and_told),
        TEST(a_session_that_clerk_does_not_know_has_ended),
        TEST(whatever_says_nothing_of_a_session_ends_none),
        TEST(one_that_nobody_names_any_more_is_not_asked_for),
        TEST(an_end_that_could_not_be_noted_is_asked_for_again),
        TEST(who_asks_us_to_wait_is_not_asked),
        TEST(names_that_can_not_be_asked_for_are_let_go),
        TEST(no_more_are_watched_than_there_is_room_for),
        TEST(only_an_address_that_keeps_the_key_secret_will_do),
    };
    return cmocka_run_group_tests(tests, start_server, remove_server);
}
