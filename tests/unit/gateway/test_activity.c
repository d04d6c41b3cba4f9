/* gateway/cache/activity.c against a real IPC server on the same loop. */
#include "gateway/cache/activity.h"

#include "common/contracts/life.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define GATEWAY "22222222-2222-4222-8222-222222222222"
#define BUSY "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define QUIET "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"

enum { MANY = ACTIVE_IDS_MAX + 10 };

struct fixture {
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
    struct activity *activity;
    char folder[FOLDER_PATH_SIZE];
    int reports;
    int told_of_busy;
    int told_of_quiet;
    int told; /* pairs in all */
    int asked;
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct fixture *fixture = arg;
    struct sandbox_active body;
    struct err err = {0};
    struct json_doc *doc = json_read(request->body, &sandbox_active_schema, &body, NULL, &err);
    assert_non_null(doc);
    assert_string_equal(body.gateway_id, GATEWAY);
    assert_in_range(body.active.count, 1, ACTIVE_IDS_MAX);
    fixture->reports++;
    for (size_t i = 0; i < body.active.count; i++) {
        char id[ID_SIZE];
        int64_t age_ms;
        assert_true(sandbox_active_read(&body.active.items[i], id, &age_ms));
        assert_in_range(age_ms, 0, TURN_PATIENCE_MS);
        fixture->told_of_busy += strcmp(id, BUSY) == 0 ? 1 : 0;
        fixture->told_of_quiet += strcmp(id, QUIET) == 0 ? 1 : 0;
        fixture->told++;
    }
    json_doc_free(doc);
    ipc_reply_ok(exchange, VIEW("{}"));
}

static void keep_busy(void *arg)
{
    struct fixture *fixture = arg;
    fixture->asked++;
    activity_note(fixture->activity, BUSY, ACTIVITY_COMMANDS | ACTIVITY_STREAMS);
}

static void what_was_quiet_is_told_soon_and_once(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 1000; i++) {
        activity_note(fixture->activity, QUIET, ACTIVITY_REQUESTS);
    }
    turn_until_count(fixture->loop, &fixture->reports, 1);
    assert_int_equal(fixture->told, 1);
    turn_for(fixture->loop, 3L * ACTIVITY_SOON_MS);
    assert_int_equal(fixture->reports, 1);
}

/* A command that runs says nothing: who knows of it is asked. */
static void what_goes_on_is_told_again_and_the_rest_forgotten(void **state)
{
    struct fixture *fixture = *state;
    activity_set_source(fixture->activity, keep_busy, fixture);
    activity_note(fixture->activity, QUIET, ACTIVITY_REQUESTS);
    turn_until_count(fixture->loop, &fixture->told_of_busy, 2);
    assert_in_range(fixture->told_of_quiet, 1, 2);
    assert_true(fixture->asked >= 2);
}

static void many_are_told_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < MANY; i++) {
        char id[ID_SIZE];
        (void)snprintf(id, sizeof id, "aaaaaaaa-aaaa-4aaa-8aaa-%012d", i);
        activity_note(fixture->activity, id, ACTIVITY_REQUESTS);
    }
    turn_until_count(fixture->loop, &fixture->told, MANY);
    assert_int_equal(fixture->reports, 2);
}

static void without_one_nothing_is_noted(void **state)
{
    (void)state;
    activity_note(NULL, BUSY, ACTIVITY_REQUESTS);
}

/* Messages are not among those of the fixture. */
static void what_does_not_count_is_not_noted(void **state)
{
    struct fixture *fixture = *state;
    activity_note(fixture->activity, QUIET, ACTIVITY_MESSAGES);
    activity_note(fixture->activity, QUIET, 0);
    activity_note(fixture->activity, BUSY, ACTIVITY_MESSAGES | ACTIVITY_COMMANDS);
    turn_until_count(fixture->loop, &fixture->told_of_busy, 1);
    assert_int_equal(fixture->told_of_quiet, 0);
}

static void kinds_are_read_from_their_names(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "request", ",requests", "requests, streams", "requests,,streams", "none"};
    unsigned kinds = 0;
    assert_true(activity_kinds_parse(VIEW("requests,messages,streams,commands"), &kinds));
    assert_int_equal(kinds, ACTIVITY_ALL);
    assert_true(activity_kinds_parse(VIEW("commands"), &kinds));
    assert_int_equal(kinds, ACTIVITY_COMMANDS);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(activity_kinds_parse(view_of(wrong[i]), &kinds));
    }
}

static int set(void **state)
{
    static struct fixture fixture;
    static const struct ipc_method methods[] = {{SANDBOX_ACTIVE, serve}};
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    fixture = (struct fixture){.loop = loop_new(&err)};
    folder_make(fixture.folder);
    (void)snprintf(url, sizeof url, "ipc://%s/s", fixture.folder);
    fixture.server = ipc_server_open(fixture.loop, url, (uid_t)-1, methods, 1, &fixture, &err);
    fixture.client = ipc_client_open(fixture.loop, url, "sandbox-service", &err);
    assert_non_null(fixture.client);
    fixture.activity = activity_open(fixture.loop, fixture.client, GATEWAY,
                                     ACTIVITY_ALL & ~(unsigned)ACTIVITY_MESSAGES, &err);
    assert_non_null(fixture.activity);
    *state = &fixture;
    return 0;
}

static int clear(void **state)
{
    struct fixture *fixture = *state;
    activity_close(fixture->activity);
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_quiet_is_told_soon_and_once),
        TEST(what_goes_on_is_told_again_and_the_rest_forgotten),
        TEST(many_are_told_in_pieces),
        TEST(without_one_nothing_is_noted),
        TEST(what_does_not_count_is_not_noted),
        TEST(kinds_are_read_from_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
