/* gateway/cache/session_report.c: which sessions the auth-service hears of. */
#include "gateway/cache/session_report.h"

#include "common/contracts/auth.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
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

enum { WHILE_MS = 50 };

struct report_stage {
    struct rest_stage *rest;
    struct ipc_server *auth;
    struct ipc_client *client;
    struct ipc_client *stages; /* the stage's own */
    struct session_report *report;
    int told;      /* messages */
    size_t count;  /* ids in all of them */
    char last[64]; /* id */
    bool fails;
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct report_stage *stage = arg;
    struct auth_session_ids ids;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &auth_session_ids_schema, &ids, NULL, &err);
    assert_non_null(doc);
    stage->told++;
    stage->count += ids.session_ids.count;
    assert_true(view_copy(ids.session_ids.items[ids.session_ids.count - 1], stage->last,
                          sizeof stage->last));
    if (stage->fails) {
        err_set(&err, ERR_UNAVAILABLE, "not now");
        ipc_reply_error(exchange, &err);
    } else {
        ipc_reply_ok(exchange, VIEW("{}"));
    }
}

static const struct ipc_method methods[] = {{AUTH_NOTE_SESSIONS, serve}};

static int open_stage(void **state)
{
    struct report_stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    void *rest;
    (void)rest_stage_open(&rest);
    stage->rest = rest;
    struct gateway *gateway = &stage->rest->agent.gateway;
    (void)snprintf(url, sizeof url, "ipc://%s/sessions.sock", stage->rest->agent.folder);
    stage->auth = ipc_server_open(gateway->loop, url, (uid_t)-1, methods, 1, stage, &err);
    stage->client = ipc_client_open(gateway->loop, url, "auth-service", &err);
    stage->stages = gateway->auth_service;
    gateway->client_sockets = client_sockets_new(gateway, &err);
    stage->report = session_report_new(gateway, &err);
    assert_non_null(stage->report);
    *state = stage;
    return 0;
}

static int close_stage(void **state)
{
    struct report_stage *stage = *state;
    struct gateway *gateway = &stage->rest->agent.gateway;
    void *rest = stage->rest;
    session_report_free(stage->report);
    gateway->auth_service = stage->stages;
    client_sockets_free(gateway->client_sockets);
    ipc_client_close(stage->client);
    ipc_server_close(stage->auth);
    (void)rest_stage_close(&rest);
    free(stage);
    return 0;
}

/* A stream of a person is open. */
static void begin_stream(struct report_stage *stage, bool is_watched)
{
    struct rest_stage *rest = stage->rest;
    rest->is_person = true;
    rest->is_watched = is_watched;
    rest_send(rest, "POST " REST_SANDBOX "/exec",
              "Accept: application/x-ndjson\r\nContent-Type: application/json\r\n",
              VIEW("{\"cmd\":\"ls\"}"));
    rest_wait_requests(rest, 1);
    rest_answer(rest, "\"type\":\"execResponse\",\"streamId\":1,\"pid\":7,"
                      "\"offsets\":{\"stdout\":0,\"stderr\":0}");
    rest_wait_for(rest, "\"type\":\"start\"");
    rest->agent.gateway.auth_service = stage->client;
}

static bool was_told(void *arg)
{
    const struct report_stage *stage = arg;
    return stage->told > 0;
}

static void an_open_session_is_told_of(void **state)
{
    struct report_stage *stage = *state;
    begin_stream(stage, true);
    session_report_begin(stage->report);
    session_report_begin(stage->report); /* while the first is on its way */
    turn_until_true(stage->rest->http.loop, was_told, stage);
    turn_for(stage->rest->http.loop, WHILE_MS);
    assert_int_equal(stage->told, 1);
    assert_int_equal(stage->count, 1);
    assert_string_equal(stage->last, REST_SESSION);
}

static void a_report_that_fails_is_made_good_by_the_next(void **state)
{
    struct report_stage *stage = *state;
    begin_stream(stage, true);
    stage->fails = true;
    for (int i = 1; i <= 2; i++) {
        stage->told = 0;
        session_report_begin(stage->report);
        turn_until_true(stage->rest->http.loop, was_told, stage);
        turn_for(stage->rest->http.loop, WHILE_MS);
        assert_int_equal(stage->told, 1);
    }
}

static void one_that_need_not_be_watched_is_not(void **state)
{
    struct report_stage *stage = *state;
    begin_stream(stage, false);
    session_report_begin(stage->report);
    turn_for(stage->rest->http.loop, WHILE_MS);
    assert_int_equal(stage->told, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_session_is_told_of),
        TEST(a_report_that_fails_is_made_good_by_the_next),
        TEST(one_that_need_not_be_watched_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
