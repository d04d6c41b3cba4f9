/* gateway/cache/key_cache.c against a real IPC server on the same loop. */
#include "common/base/clock.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/key_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY "isk_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN "e30.e30.c2ln"
#define CLIENT_TOKEN CLIENT_TOKEN_HEADER ".e30.c2ln"
#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"
#define USER_ID "11111111-1111-4111-8111-111111111111"
#define KEY_ID "22222222-2222-4222-8222-222222222222"

enum { WAIT_MS = 30000 };

static const struct credential key = {.key = KEY};
static const struct credential session = {.token = VIEW(TOKEN)};
static const struct credential token = {.token = VIEW(CLIENT_TOKEN)};

struct fixture {
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
    struct key_cache *cache;
    struct timer patience;
    char folder[64];
    int asked;
    int64_t expires_ms; /* of the token */
    bool is_of_session; /* what made the client token */
    bool refuse;
    bool revoke_before_answer;
    bool done;
    struct caller caller;
    struct err err;
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct fixture *fixture = arg;
    fixture->asked++;
    if (fixture->revoke_before_answer) {
        key_cache_forget_key(fixture->cache, KEY_ID);
    }
    if (fixture->refuse) {
        struct err err = {0};
        err_set_reason(&err, ERR_UNAUTHENTICATED, "invalid_api_key", "no such key");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange,
                 VIEW("{\"userId\":\"" USER_ID "\",\"apiKeyId\":\"" KEY_ID
                      "\",\"tier\":\"pro\",\"expiresAtMs\":0,\"scopes\":5,"
                      "\"maxSandboxes\":2,\"requestsPerMinute\":60,\"keyLimits\":\"" KEY_ID
                      ":60," USER_ID ":90\"}"));
}

static void serve_session(struct ipc_exchange *exchange, const struct ipc_request *request,
                          void *arg)
{
    struct fixture *fixture = arg;
    char reply[256];
    fixture->asked++;
    assert_true(view_equal(request->body, VIEW("{\"token\":\"" TOKEN "\"}")));
    (void)snprintf(reply, sizeof reply,
                   "{\"userId\":\"" USER_ID
                   "\",\"sessionId\":\"sess_1\",\"impersonator\":\"user_2\","
                   "\"tier\":\"free\",\"expiresAtMs\":%" PRId64 ",\"scopes\":63,\"isAdmin\":true}",
                   fixture->expires_ms);
    ipc_reply_ok(exchange, view_of(reply));
}

static void serve_token(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct fixture *fixture = arg;
    char reply[384];
    fixture->asked++;
    assert_true(view_equal(request->body, VIEW("{\"token\":\"" CLIENT_TOKEN "\"}")));
    (void)snprintf(reply, sizeof reply,
                   "{\"userId\":\"" USER_ID "\",\"%s\":\"%s\",\"sandboxId\":\"" SANDBOX_ID
                   "\",\"tier\":\"free\",\"expiresAtMs\":%" PRId64 ",\"scopes\":4}",
                   fixture->is_of_session ? "sessionId" : "apiKeyId",
                   fixture->is_of_session ? "sess_1" : KEY_ID, fixture->expires_ms);
    ipc_reply_ok(exchange, view_of(reply));
}

static const struct ipc_method methods[] = {
    {AUTH_CHECK_TOKEN, serve_token},
    {AUTH_CHECK_KEY, serve},
    {AUTH_CHECK_SESSION, serve_session},
};

static void on_patience(void *arg)
{
    (void)arg;
    fail_msg("no answer within %d ms", WAIT_MS);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    char url[128];
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/insien-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(url, sizeof url, "ipc://%s/auth.sock", fixture->folder);
    fixture->loop = loop_new(&err);
    fixture->server = ipc_server_open(fixture->loop, url, (uid_t)-1, methods, 3, fixture, &err);
    fixture->client = ipc_client_open(fixture->loop, url, "auth-service", &err);
    fixture->cache = key_cache_new(fixture->client, &err);
    assert_non_null(fixture->cache);
    assert_true(timer_open(&fixture->patience, fixture->loop, on_patience, fixture, &err));
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    timer_close(&fixture->patience);
    key_cache_free(fixture->cache);
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    loop_free(fixture->loop);
    (void)snprintf(path, sizeof path, "%s/auth.sock", fixture->folder);
    (void)unlink(path);
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void on_checked(const struct caller *caller, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->done = true;
    fixture->err = (struct err){0};
    if (err != NULL) {
        fixture->err = *err;
    } else {
        fixture->caller = *caller;
    }
    loop_stop(fixture->loop);
}

static void check_credential(struct fixture *fixture, const struct credential *credential)
{
    struct err err = {0};
    fixture->done = false;
    assert_non_null(key_check_begin(fixture->cache, credential, NULL, on_checked, fixture, &err));
    timer_arm(&fixture->patience, WAIT_MS);
    loop_run(fixture->loop);
    timer_disarm(&fixture->patience);
    assert_true(fixture->done);
}

static void check(struct fixture *fixture)
{
    check_credential(fixture, &key);
}

static void a_checked_key_is_known_without_asking(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
    check(fixture);
    assert_true(key_cache_find(fixture->cache, &key, &caller));
    assert_string_equal(caller.user_id, USER_ID);
    assert_string_equal(caller.api_key_id, KEY_ID);
    assert_string_equal(caller.tier, "pro");
    assert_int_equal(caller.scopes, AUTH_SANDBOX_READ | AUTH_EXEC);
    assert_int_equal(caller.max_sandboxes, 2);
    assert_int_equal(caller.requests_per_minute, 60);
    assert_int_equal(caller.key_limits.count, 2);
    assert_string_equal(caller.key_limits.items[0].api_key_id, KEY_ID);
    assert_int_equal(caller.key_limits.items[0].requests_per_minute, 60);
    assert_int_equal(fixture->asked, 1);
}

static void a_session_is_known_until_its_token_expires(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    fixture->expires_ms = clock_wall_ms() + WAIT_MS;
    check_credential(fixture, &session);
    assert_true(key_cache_find(fixture->cache, &session, &caller));
    assert_false(key_cache_find(fixture->cache, &key, &caller));
    assert_true(key_cache_find(fixture->cache, &session, &caller));
    assert_string_equal(caller.api_key_id, "");
    assert_string_equal(caller.session_id, "sess_1");
    assert_string_equal(caller.impersonator, "user_2");
    assert_int_equal(caller.scopes, AUTH_SCOPES_ALL);
    assert_true(caller.is_admin);
    assert_false(caller_has_expired(&caller, INT64_MAX)); /* what it opened outlives its tokens */

    key_cache_forget_user(fixture->cache, USER_ID);
    assert_false(key_cache_find(fixture->cache, &session, &caller));
    fixture->expires_ms = clock_wall_ms();
    check_credential(fixture, &session);
    assert_false(key_cache_find(fixture->cache, &session, &caller));
}

static void a_session_that_ended_is_forgotten_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    fixture->expires_ms = clock_wall_ms() + KEY_CACHE_TTL_MS;
    key_cache_set_trusted(fixture->cache, true);
    check_credential(fixture, &session);
    key_cache_forget_session(fixture->cache, "sess_2");
    assert_true(key_cache_find(fixture->cache, &session, &caller));
    assert_true(caller_is_of(&caller, "sess_1"));
    assert_true(caller_is_of(&caller, USER_ID));
    assert_false(caller_is_of(&caller, KEY_ID));
    key_cache_forget_session(fixture->cache, "sess_1");
    assert_false(key_cache_find(fixture->cache, &session, &caller));
}

static void a_client_token_is_known_until_it_or_its_maker_ends(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    int64_t expires_ms = clock_wall_ms() + WAIT_MS;
    key_cache_set_trusted(fixture->cache, true);
    fixture->expires_ms = expires_ms;
    check_credential(fixture, &token);
    assert_true(key_cache_find(fixture->cache, &token, &caller));
    assert_true(caller_is_client(&caller));
    assert_string_equal(caller.sandbox_id, SANDBOX_ID);
    assert_string_equal(caller.api_key_id, KEY_ID);
    assert_false(caller_has_expired(&caller, expires_ms - 1)); /* and what it opened with it */
    assert_true(caller_has_expired(&caller, expires_ms));
    key_cache_forget_key(fixture->cache, KEY_ID);
    assert_false(key_cache_find(fixture->cache, &token, &caller));

    fixture->is_of_session = true;
    check_credential(fixture, &token);
    assert_true(key_cache_find(fixture->cache, &token, &caller));
    assert_true(caller_has_expired(&caller, expires_ms));
    key_cache_forget_session(fixture->cache, "sess_1");
    assert_false(key_cache_find(fixture->cache, &token, &caller));

    check_credential(fixture, &token);
    key_cache_forget_user(fixture->cache, USER_ID);
    assert_false(key_cache_find(fixture->cache, &token, &caller));
    fixture->expires_ms = clock_wall_ms();
    check_credential(fixture, &token);
    assert_false(key_cache_find(fixture->cache, &token, &caller));
    assert_int_equal(fixture->asked, 4);
}

static void nothing_is_kept_while_the_channel_is_away(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    check(fixture);
    assert_string_equal(fixture->caller.user_id, USER_ID);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

static void losing_the_channel_empties_the_cache(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    check(fixture);
    key_cache_set_trusted(fixture->cache, false);
    key_cache_set_trusted(fixture->cache, true);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

static void a_caller_ends_with_its_key(void **state)
{
    (void)state;
    const struct caller forever = {.expires_ms = 0};
    const struct caller caller = {.expires_ms = 5};
    assert_false(caller_has_expired(&forever, INT64_MAX));
    assert_false(caller_has_expired(&caller, 4));
    assert_true(caller_has_expired(&caller, 5));
}

static void a_revoked_key_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    check(fixture);
    key_cache_forget_key(fixture->cache, "99999999-9999-4999-8999-999999999999");
    assert_true(key_cache_find(fixture->cache, &key, &caller));
    key_cache_forget_key(fixture->cache, KEY_ID);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

static void the_keys_of_a_user_are_forgotten_together(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    check(fixture);
    key_cache_forget_user(fixture->cache, USER_ID);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

static void an_answer_from_before_a_revocation_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    fixture->revoke_before_answer = true;
    check(fixture);
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

static void a_refusal_comes_through_and_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller;
    key_cache_set_trusted(fixture->cache, true);
    fixture->refuse = true;
    check(fixture);
    assert_int_equal(fixture->err.code, ERR_UNAUTHENTICATED);
    assert_string_equal(fixture->err.reason, "invalid_api_key");
    assert_false(key_cache_find(fixture->cache, &key, &caller));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_checked_key_is_known_without_asking, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_session_is_known_until_its_token_expires, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_session_that_ended_is_forgotten_and_no_other,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_client_token_is_known_until_it_or_its_maker_ends,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(nothing_is_kept_while_the_channel_is_away, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(losing_the_channel_empties_the_cache, open_fixture,
                                        close_fixture),
        cmocka_unit_test(a_caller_ends_with_its_key),
        cmocka_unit_test_setup_teardown(a_revoked_key_is_forgotten, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(the_keys_of_a_user_are_forgotten_together, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(an_answer_from_before_a_revocation_is_not_kept,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_refusal_comes_through_and_is_not_kept, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
