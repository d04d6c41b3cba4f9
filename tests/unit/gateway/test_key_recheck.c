/* gateway/cache/key_recheck.c: a key that ended while the news were away. */
#include "gateway/cache/key_recheck.h"

#include "common/contracts/auth.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/key_cache.h"
#include "gateway/native/client_socket.h"
#include "gateway/native/request.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/rest_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_ID "22222222-2222-4222-8222-222222222222"  /* of the stage's caller */
#define USER_ID "11111111-1111-4111-8111-111111111111" /* the same */

enum { EVERY_MS = 300 };

struct key_stage {
    struct rest_stage *rest;
    struct ipc_server *auth;
    struct ipc_client *client;
    struct ipc_client *stages; /* the stage's own */
    struct key_recheck *recheck;
    int asked;
    int failures;        /* so many questions fail first */
    const char *ended;   /* an id; NULL: none */
    char first[ID_SIZE]; /* id in the last question */
    size_t count;        /* of them */
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct key_stage *stage = arg;
    struct auth_key_ids ids;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &auth_key_ids_schema, &ids, NULL, &err);
    assert_non_null(doc);
    stage->asked++;
    stage->count = ids.api_key_ids.count;
    assert_true(id_parse(ids.api_key_ids.items[0], stage->first));
    if (stage->asked <= stage->failures) {
        err_set(&err, ERR_UNAVAILABLE, "no database");
        ipc_reply_error(exchange, &err);
        return;
    }
    char reply[ID_SIZE + 32];
    (void)snprintf(reply, sizeof reply, "{\"apiKeyIds\":[%s%s%s]}",
                   stage->ended == NULL ? "" : "\"", stage->ended == NULL ? "" : stage->ended,
                   stage->ended == NULL ? "" : "\"");
    ipc_reply_ok(exchange, view_of(reply));
}

static const struct ipc_method methods[] = {{AUTH_FIND_ENDED_KEYS, serve}};

static int open_stage(void **state)
{
    struct key_stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    void *rest;
    assert_non_null(stage);
    (void)rest_stage_open(&rest);
    stage->rest = rest;
    struct gateway *gateway = &stage->rest->agent.gateway;
    (void)snprintf(url, sizeof url, "ipc://%s/keys.sock", stage->rest->agent.folder);
    stage->auth = ipc_server_open(gateway->loop, url, (uid_t)-1, methods, 1, stage, &err);
    stage->client = ipc_client_open(gateway->loop, url, "auth-service", &err);
    stage->stages = gateway->auth_service;
    gateway->client_sockets = client_sockets_new(gateway, &err);
    assert_non_null(gateway->client_sockets);
    stage->recheck = key_recheck_new(gateway, EVERY_MS, &err);
    assert_non_null(stage->recheck);
    *state = stage;
    return 0;
}

static int close_stage(void **state)
{
    struct key_stage *stage = *state;
    struct gateway *gateway = &stage->rest->agent.gateway;
    void *rest = stage->rest;
    key_recheck_free(stage->recheck);
    gateway->auth_service = stage->stages;
    client_sockets_free(gateway->client_sockets);
    ipc_client_close(stage->client);
    ipc_server_close(stage->auth);
    (void)rest_stage_close(&rest);
    free(stage);
    return 0;
}

/* A stream of the caller's is open; from here on the keys are asked about. */
static void begin_stream(struct key_stage *stage)
{
    struct rest_stage *rest = stage->rest;
    rest_send(rest, "POST " REST_SANDBOX "/exec",
              "Accept: application/x-ndjson\r\nContent-Type: application/json\r\n",
              VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_requests(rest, 1);
    rest_answer(rest, "\"type\":\"execResponse\",\"streamId\":1,\"pid\":7,"
                      "\"offsets\":{\"stdout\":0,\"stderr\":0}");
    rest_wait_for(rest, "\"type\":\"start\"");
    rest->agent.gateway.auth_service = stage->client;
}

static bool was_asked(void *arg)
{
    const struct key_stage *stage = arg;
    return stage->asked > stage->failures;
}

static void key_that_ended_unheard_ends_what_it_opened(void **state)
{
    struct key_stage *stage = *state;
    begin_stream(stage);
    stage->ended = KEY_ID;
    key_recheck_begin(stage->recheck);
    rest_wait_end(stage->rest);
    rest_wait_resets(stage->rest, 1);
    assert_string_equal(stage->first, KEY_ID);
    assert_int_equal(stage->count, 1);
    assert_int_equal(stage->asked, 1);
}

static void key_that_serves_goes_on(void **state)
{
    struct key_stage *stage = *state;
    begin_stream(stage);
    key_recheck_begin(stage->recheck);
    turn_until_true(stage->rest->http.loop, was_asked, stage);
    agent_send(&stage->rest->agent, stage->rest->stream_id, STREAM_STDOUT, VIEW("x"));
    rest_wait_for(stage->rest, "\"data\":\"x\"");
    assert_int_equal(stage->rest->resets, 0);
}

static void question_that_fails_is_asked_again(void **state)
{
    struct key_stage *stage = *state;
    begin_stream(stage);
    stage->ended = KEY_ID;
    stage->failures = 2;
    key_recheck_begin(stage->recheck);
    rest_wait_end(stage->rest);
    assert_int_equal(stage->asked, 3);
}

static void stopped_it_asks_no_more(void **state)
{
    struct key_stage *stage = *state;
    begin_stream(stage);
    stage->ended = KEY_ID;
    key_recheck_begin(stage->recheck);
    key_recheck_stop(stage->recheck);
    agent_send(&stage->rest->agent, stage->rest->stream_id, STREAM_STDOUT, VIEW("x"));
    rest_wait_for(stage->rest, "\"data\":\"x\"");
    key_recheck_begin(stage->recheck);
    key_recheck_begin(stage->recheck);
    rest_wait_end(stage->rest);
}

static void user_who_was_suspended_unheard_ends_what_a_session_opened(void **state)
{
    struct key_stage *stage = *state;
    stage->rest->is_person = true;
    begin_stream(stage);
    stage->ended = USER_ID;
    key_recheck_begin(stage->recheck);
    rest_wait_end(stage->rest);
    rest_wait_resets(stage->rest, 1);
    assert_string_equal(stage->first, USER_ID);
}

static void news_that_never_come_are_looked_for(void **state)
{
    struct key_stage *stage = *state;
    begin_stream(stage);
    key_recheck_begin(stage->recheck);
    turn_until_true(stage->rest->http.loop, was_asked, stage);
    stage->ended = KEY_ID; /* from here on nobody says so */
    rest_wait_end(stage->rest);
    assert_true(stage->asked > 1);
}

static void without_keys_nothing_is_asked(void **state)
{
    struct key_stage *stage = *state;
    key_recheck_begin(stage->recheck);
    begin_stream(stage);
    assert_int_equal(stage->asked, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(key_that_ended_unheard_ends_what_it_opened),
        TEST(key_that_serves_goes_on),
        TEST(question_that_fails_is_asked_again),
        TEST(stopped_it_asks_no_more),
        TEST(user_who_was_suspended_unheard_ends_what_a_session_opened),
        TEST(news_that_never_come_are_looked_for),
        TEST(without_keys_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
