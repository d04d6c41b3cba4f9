/* sandbox-service/call.c, asked over IPC, with a trail in a real PostgreSQL. */
#include "sandbox-service/call.h"

#include "common/ipc/client.h"
#include "common/json/write.h"
#include "sandbox-service/trail.h"
#include "tests/support/folder.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define KEY "cccccccc-cccc-4ccc-8ccc-000000000001"
#define ANOTHER_KEY "cccccccc-cccc-4ccc-8ccc-000000000002"

enum { TEXT_SIZE = 512, NAME_MAX_LEN = 40 };

struct thing {
    struct view name;
};
static const struct json_field thing_fields[] = {
    JSON_STRING(struct thing, name, "name", .required = true, .max_len = NAME_MAX_LEN)};
static const struct json_schema thing_schema = JSON_SCHEMA(thing_fields, .refuse_unknown = true);

/* What a part keeps of a call besides. */
struct thing_call {
    struct call call;
    struct fixture *fixture;
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct trail *trail;
    struct ipc_server *server;
    struct ipc_client *client;
    char folder[FOLDER_PATH_SIZE];
    struct calls calls;
    int released;
    bool done;
    char reply[TEXT_SIZE];
    struct err err;
};

static void release(struct call *call)
{
    ((struct thing_call *)call)->fixture->released++;
}

static struct thing_call *begin(struct fixture *fixture, struct ipc_exchange *exchange,
                                const struct ipc_request *message, struct thing *body)
{
    struct thing_call *call = call_begin(&fixture->calls, exchange, message, &thing_schema, body);
    if (call != NULL) {
        call->fixture = fixture;
        assert_int_equal(fixture->calls.open, 1);
    }
    return call;
}

static void serve_echo(struct ipc_exchange *exchange, const struct ipc_request *message, void *arg)
{
    struct thing body;
    struct thing_call *call = begin(arg, exchange, message, &body);
    if (call != NULL) {
        call_finish_with(&call->call, &thing_schema, &body);
    }
}

static void serve_nothing(struct ipc_exchange *exchange, const struct ipc_request *message,
                          void *arg)
{
    struct fixture *fixture = arg;
    struct thing_call *call = call_begin(&fixture->calls, exchange, message, NULL, NULL);
    call->fixture = fixture;
    call_finish_empty(&call->call);
}

static void serve_too_much(struct ipc_exchange *exchange, const struct ipc_request *message,
                           void *arg)
{
    struct thing body;
    struct thing_call *call = begin(arg, exchange, message, &body);
    struct str text = STR_INIT(1);
    str_append_string(&text, "too long");
    call_finish_text(&call->call, &text);
    str_free(&text);
}

/* "made" is, "same" was there before, and the rest is refused. */
static void serve_act(struct ipc_exchange *exchange, const struct ipc_request *message, void *arg)
{
    struct thing body;
    struct thing_call *call = begin(arg, exchange, message, &body);
    bool is_own = view_equal(body.name, VIEW("made"));
    const struct call_act act = {.action = AUDIT_VOLUME_CREATED,
                                 .user_id = USER,
                                 .key_id = is_own ? NULL : ANOTHER_KEY,
                                 .target = is_own ? VIEW("") : body.name};
    if (!call_begin_act(&call->call, &act)) {
        return;
    }
    if (is_own) {
        call_set_target(&call->call, VIEW("made-1"));
        call_finish_empty(&call->call);
    } else if (view_equal(body.name, VIEW("same"))) {
        call_forget_act(&call->call);
        call_finish_empty(&call->call);
    } else {
        call_fail_with(&call->call, ERR_CONFLICT, "not_now", "it can't be done now");
    }
}

static const struct ipc_method methods[] = {{"echo", serve_echo},
                                            {"nothing", serve_nothing},
                                            {"too_much", serve_too_much},
                                            {"act", serve_act}};

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->done = true;
    fixture->err = err == NULL ? (struct err){0} : *err;
    fixture->reply[0] = '\0';
    if (body != NULL) {
        assert_true(view_copy(*body, fixture->reply, sizeof fixture->reply));
    }
}

static void ask(struct fixture *fixture, const char *method, const char *body)
{
    static const struct trace trace = {.request_id = "r-1"};
    static const struct actor actor = {.user_id = USER, .api_key_id = KEY, .address = "192.0.2.7"};
    const struct ipc_call_options options = {
        .method = method, .trace = &trace, .actor = &actor, .timeout_ms = TURN_PATIENCE_MS};
    struct err err = {0};
    fixture->done = false;
    assert_non_null(
        ipc_call_begin(fixture->client, &options, view_of(body), on_reply, fixture, &err));
    turn_until(fixture->loop, &fixture->done);
    assert_int_equal(fixture->calls.open, 0);
}

static void call_is_read_answered_and_released(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "echo", "{\"name\":\"x\"}");
    assert_string_equal(fixture->reply, "{\"name\":\"x\"}");
    ask(fixture, "nothing", "{}");
    assert_string_equal(fixture->reply, "{}");
    assert_int_equal(fixture->released, 2);
}

static void body_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "echo", "{\"nameless\":\"x\"}");
    assert_int_equal(fixture->err.code, ERR_INVALID);
    assert_int_equal(fixture->released, 0);
}

static void text_that_is_not_whole_fails_the_call(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "too_much", "{\"name\":\"x\"}");
    assert_int_not_equal(fixture->err.code, ERR_NONE);
    assert_int_equal(fixture->released, 1);
}

static bool is_told(void *arg)
{
    const struct fixture *fixture = arg;
    return audit_writer_count(trail_writer(fixture->trail)) == 0;
}

static void what_was_done_and_what_was_refused_is_in_the_trail(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "act", "{\"name\":\"made\"}");
    ask(fixture, "act", "{\"name\":\"same\"}");
    ask(fixture, "act", "{\"name\":\"other\"}");
    assert_string_equal(fixture->err.reason, "not_now");
    turn_until_true(fixture->loop, is_told, fixture);
    postgres_expect(fixture->postgres,
                    "SELECT string_agg(concat_ws(' ', action, result, actor_user, actor_key,"
                    " target_kind, target, request_id, detail), ',' ORDER BY id) FROM audit_log",
                    "volume.created ok " USER " " KEY " thing made-1 r-1,"
                    "volume.created refused " USER " " ANOTHER_KEY
                    " thing other r-1 {\"reason\": \"not_now\"}");
}

static void without_room_in_the_trail_nothing_begins(void **state)
{
    struct fixture *fixture = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = audit_act_begin(trail_writer(fixture->trail), &err);
        assert_non_null(acts[i]);
    }
    ask(fixture, "act", "{\"name\":\"made\"}");
    assert_string_equal(fixture->err.reason, "audit_unavailable");
    assert_int_equal(fixture->released, 1);
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
}

static int begin_test(void **state)
{
    struct fixture *fixture = *state;
    fixture->released = 0;
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    folder_make(fixture.folder);
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    fixture.loop = loop_new(&err);
    fixture.trail =
        trail_open(fixture.loop, postgres_service_url(fixture.postgres, "sandbox"), &err);
    assert_non_null(fixture.trail);
    fixture.calls = (struct calls){.part = &fixture,
                                   .audit = trail_writer(fixture.trail),
                                   .target_kind = "thing",
                                   .size = sizeof(struct thing_call),
                                   .release = release,
                                   .are_secret = true};
    (void)snprintf(url, sizeof url, "ipc://%s/s", fixture.folder);
    fixture.server = ipc_server_open(fixture.loop, url, (uid_t)-1, methods,
                                     sizeof methods / sizeof methods[0], &fixture, &err);
    fixture.client = ipc_client_open(fixture.loop, url, "sandbox-service", &err);
    assert_non_null(fixture.client);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    trail_close(fixture->trail);
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    folder_remove(fixture->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, begin_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(call_is_read_answered_and_released),
        TEST(body_that_is_none_is_refused),
        TEST(text_that_is_not_whole_fails_the_call),
        TEST(what_was_done_and_what_was_refused_is_in_the_trail),
        TEST(without_room_in_the_trail_nothing_begins),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
