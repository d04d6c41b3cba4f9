/* auth-service/jwt/jwks_cache.c against an HTTP server of the test's own. */
#include "auth-service/jwt/jwks_cache.h"
#include "tests/support/turn.h"
#include "tests/unit/auth-service/mint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WAITS = 1000,
    KID_SIZE = 32,
    LONG_MS = 3600000,
    SHORT_MS = 50,
    OVER_MS = 2 * SHORT_MS,
};

struct fixture {
    struct loop *loop;
    struct http_client *http;
    struct evhttp *server;
    char url[64];
    struct mint_key *key;
    struct jwks_cache *cache;

    /* How the server answers. */
    int status;
    bool silent;
    char body[MINT_JWK_SIZE * 2];
    int requests;
    bool had_secret;
};

struct answer {
    bool done;
    int calls;
    bool has_key; /* of the kid that was asked for */
    char kid[KID_SIZE];
    struct err err;
};

static void on_request(struct evhttp_request *request, void *arg)
{
    struct fixture *fixture = arg;
    const char *authorization =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    fixture->requests++;
    fixture->had_secret = authorization != NULL && strcmp(authorization, "Bearer sk_test_1") == 0;
    if (fixture->silent) {
        return; /* the server frees it with its connection */
    }
    struct evbuffer *body = evbuffer_new();
    assert_int_equal(evbuffer_add(body, fixture->body, strlen(fixture->body)), 0);
    evhttp_send_reply(request, fixture->status, "x", body);
    evbuffer_free(body);
}

static void serve_key(struct fixture *fixture, const char *kid)
{
    char jwk[MINT_JWK_SIZE];
    mint_jwk(fixture->key, kid, jwk);
    (void)snprintf(fixture->body, sizeof fixture->body, "{\"keys\":[%s]}", jwk);
    fixture->status = 200;
    fixture->silent = false;
}

static int port_of(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    assert_int_equal(
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    assert_non_null(fixture);
    fixture->key = mint_key_new(2048);
    fixture->loop = loop_new(&err);
    fixture->http = http_client_open(fixture->loop, NULL, 2, &err);
    fixture->server = evhttp_new(loop_base(fixture->loop));
    assert_true(fixture->http != NULL && fixture->server != NULL);
    evhttp_set_gencb(fixture->server, on_request, fixture);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(fixture->server, "127.0.0.1", 0);
    assert_non_null(bound);
    (void)snprintf(fixture->url, sizeof fixture->url, "http://127.0.0.1:%d/keys", port_of(bound));
    serve_key(fixture, "first");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    jwks_cache_close(fixture->cache);
    http_client_close(fixture->http);
    evhttp_free(fixture->server);
    loop_free(fixture->loop);
    mint_key_free(fixture->key);
    free(fixture);
    return 0;
}

/* Nothing happens by itself unless the test shortens a time. */
static struct jwks_timing slow_timing(void)
{
    return (struct jwks_timing){.fetch_timeout_ms = LONG_MS,
                                .refresh_ms = LONG_MS,
                                .stale_ms = LONG_MS,
                                .retry_min_ms = LONG_MS,
                                .retry_max_ms = LONG_MS,
                                .retry_cold_max_ms = LONG_MS,
                                .unknown_gap_ms = LONG_MS,
                                .unknown_memory_ms = LONG_MS};
}

static void open_cache(struct fixture *fixture, const struct jwks_timing *timing)
{
    struct err err = {0};
    const struct jwks_options options = {
        .url = fixture->url, .secret_key = "sk_test_1", .timing = *timing};
    fixture->cache = jwks_cache_open(fixture->loop, fixture->http, &options, &err);
    assert_non_null(fixture->cache);
}

static void on_keys(const struct key_set *keys, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    assert_true((keys == NULL) == (err != NULL));
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    answer->has_key = key_set_find(keys, view_of(answer->kid)) != NULL;
}

static struct jwks_wait *wait_for(struct fixture *fixture, const char *kid, struct answer *answer,
                                  struct err *err)
{
    *answer = (struct answer){0};
    (void)snprintf(answer->kid, sizeof answer->kid, "%s", kid);
    return jwks_wait_begin(fixture->cache, view_of(kid), on_keys, answer, err);
}

static void begin_wait(struct fixture *fixture, const char *kid, struct answer *answer)
{
    struct err err = {0};
    assert_null(jwks_cache_peek(fixture->cache, view_of(kid)));
    if (wait_for(fixture, kid, answer, &err) == NULL) {
        fail_msg("%s: %s", kid, err.message);
    }
    assert_false(answer->done);
}

/* The first fetch, to its end. */
static void warm_up(struct fixture *fixture, const struct jwks_timing *timing)
{
    struct answer answer;
    open_cache(fixture, timing);
    begin_wait(fixture, "first", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_true(answer.has_key);
}

static bool knows(struct fixture *fixture, const char *kid)
{
    const struct key_set *keys = jwks_cache_peek(fixture->cache, view_of(kid));
    return keys != NULL && key_set_find(keys, view_of(kid)) != NULL;
}

static bool knows_second(void *arg)
{
    return knows(arg, "second");
}

static bool had_four_requests(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->requests >= 4;
}

static void the_first_fetch_is_shared_and_carries_the_secret(void **state)
{
    struct fixture *fixture = *state;
    const struct jwks_timing timing = slow_timing();
    struct answer first;
    struct answer second;
    open_cache(fixture, &timing);
    begin_wait(fixture, "first", &first);
    begin_wait(fixture, "first", &second);
    turn_until(fixture->loop, &second.done);
    assert_true(first.has_key && second.has_key);
    assert_int_equal(fixture->requests, 1);
    assert_true(fixture->had_secret);
    assert_true(knows(fixture, "first"));
}

static void a_flood_of_unknown_kids_is_one_fetch(void **state)
{
    struct fixture *fixture = *state;
    const struct jwks_timing timing = slow_timing();
    struct answer *answers = calloc(WAITS, sizeof *answers);
    char kid[KID_SIZE];
    assert_non_null(answers);
    warm_up(fixture, &timing);
    for (int i = 0; i < WAITS; i++) {
        (void)snprintf(kid, sizeof kid, "made-up-%d", i);
        begin_wait(fixture, kid, &answers[i]);
    }
    turn_until(fixture->loop, &answers[WAITS - 1].done);
    for (int i = 0; i < WAITS; i++) {
        assert_int_equal(answers[i].calls, 1);
        assert_int_equal(answers[i].err.code, ERR_NONE);
        assert_false(answers[i].has_key);
    }
    /* From here on they are known at once to be nobody's, and so is any other. */
    assert_non_null(jwks_cache_peek(fixture->cache, VIEW("made-up-999")));
    assert_non_null(jwks_cache_peek(fixture->cache, VIEW("yet another")));
    assert_int_equal(fixture->requests, 2);
    free(answers);
}

static void a_rotated_key_is_fetched_at_first_sight(void **state)
{
    struct fixture *fixture = *state;
    const struct jwks_timing timing = slow_timing();
    struct answer answer;
    warm_up(fixture, &timing);
    serve_key(fixture, "second");
    begin_wait(fixture, "second", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_true(answer.has_key);
    assert_true(knows(fixture, "second"));
    assert_false(knows(fixture, "first")); /* withdrawn keys die */
}

static void an_unknown_kid_may_ask_again_after_the_gap(void **state)
{
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    struct answer answer;
    timing.unknown_gap_ms = SHORT_MS;
    timing.unknown_memory_ms = SHORT_MS;
    warm_up(fixture, &timing);
    begin_wait(fixture, "second", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_false(answer.has_key);
    serve_key(fixture, "second");
    turn_for(fixture->loop, OVER_MS);
    begin_wait(fixture, "second", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_true(answer.has_key);
}

static void a_set_is_refreshed_in_the_background(void **state)
{
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    timing.refresh_ms = SHORT_MS;
    warm_up(fixture, &timing);
    serve_key(fixture, "second");
    turn_until_true(fixture->loop, knows_second, fixture);
}

static void an_old_set_serves_while_fetches_fail(void **state)
{
    static const char *const bodies[] = {"", "{", "{\"keys\":[]}", "<html></html>"};
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    timing.refresh_ms = 1;
    timing.retry_min_ms = 1;
    timing.retry_max_ms = 1;
    warm_up(fixture, &timing);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        (void)snprintf(fixture->body, sizeof fixture->body, "%s", bodies[i]);
        fixture->requests = 0;
        turn_until_true(fixture->loop, had_four_requests, fixture);
        assert_true(knows(fixture, "first"));
    }
    fixture->status = 500;
    fixture->requests = 0;
    turn_until_true(fixture->loop, had_four_requests, fixture);
    assert_true(knows(fixture, "first"));
    serve_key(fixture, "second");
    turn_until_true(fixture->loop, knows_second, fixture);
}

static void a_set_that_is_too_old_serves_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    timing.stale_ms = SHORT_MS;
    warm_up(fixture, &timing);
    turn_for(fixture->loop, OVER_MS);
    assert_null(jwks_cache_peek(fixture->cache, VIEW("first")));
}

static void a_cold_start_without_keys_is_unavailable_and_recovers(void **state)
{
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    struct answer answer;
    struct err err = {0};
    timing.retry_min_ms = 200;
    timing.retry_cold_max_ms = 200;
    fixture->status = 503;
    open_cache(fixture, &timing);
    begin_wait(fixture, "first", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_string_equal(answer.err.reason, "clerk_unavailable");
    /* The next try is not due: nobody waits for it. */
    assert_null(jwks_cache_peek(fixture->cache, VIEW("first")));
    assert_null(wait_for(fixture, "first", &answer, &err));
    assert_string_equal(err.reason, "clerk_unavailable");
    serve_key(fixture, "second");
    turn_until_true(fixture->loop, knows_second, fixture);
}

static void a_silent_server_costs_its_time_limit(void **state)
{
    struct fixture *fixture = *state;
    struct jwks_timing timing = slow_timing();
    struct answer answer;
    timing.fetch_timeout_ms = SHORT_MS;
    fixture->silent = true;
    open_cache(fixture, &timing);
    begin_wait(fixture, "first", &answer);
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.err.reason, "clerk_unavailable");
}

static void a_cancelled_wait_hears_nothing_and_a_closed_cache_ends_the_others(void **state)
{
    struct fixture *fixture = *state;
    const struct jwks_timing timing = slow_timing();
    struct answer cancelled;
    struct answer waiting;
    struct err err = {0};
    fixture->silent = true;
    open_cache(fixture, &timing);
    struct jwks_wait *wait = wait_for(fixture, "first", &cancelled, &err);
    begin_wait(fixture, "first", &waiting);
    jwks_wait_cancel(wait);
    jwks_cache_close(fixture->cache);
    fixture->cache = NULL;
    assert_int_equal(cancelled.calls, 0);
    assert_int_equal(waiting.calls, 1);
    assert_int_equal(waiting.err.code, ERR_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_fetch_is_shared_and_carries_the_secret),
        TEST(a_flood_of_unknown_kids_is_one_fetch),
        TEST(a_rotated_key_is_fetched_at_first_sight),
        TEST(an_unknown_kid_may_ask_again_after_the_gap),
        TEST(a_set_is_refreshed_in_the_background),
        TEST(an_old_set_serves_while_fetches_fail),
        TEST(a_set_that_is_too_old_serves_no_more),
        TEST(a_cold_start_without_keys_is_unavailable_and_recovers),
        TEST(a_silent_server_costs_its_time_limit),
        TEST(a_cancelled_wait_hears_nothing_and_a_closed_cache_ends_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
