/* gateway/ports/exposed.c against a real IPC server on the same loop. */
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/known.h"
#include "gateway/ports/exposed.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define SANDBOX "11111111-1111-4111-8111-111111111111"
#define OTHER "44444444-4444-4444-8444-444444444444"
#define USER "22222222-2222-4222-8222-222222222222"
#define GENERATION "33333333-3333-4333-8333-333333333333"
#define TIME "2026-01-31T23:59:59.123Z"
#define SECRET "a secret of this test, of 32 bytes or more"

#define LIVE                                                                                       \
    "{\"userId\":\"" USER "\",\"ports\":[\"80 30000 public " GENERATION " " TIME                   \
    "\",\"8080 0 token " GENERATION " " TIME "\"],\"isLive\":true}"

struct fixture {
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
    struct exposed_cache *cache;
    char folder[FOLDER_PATH_SIZE];
    int asked;
    const char *answer; /* NULL: there is no such sandbox */
    bool change_before_answer;
    int changes; /* of the sandbox itself, before as many answers */
    bool done;
    struct exposed_ports ports;
    struct exposed_port items[4];
    struct err err;
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)request;
    struct fixture *fixture = arg;
    fixture->asked++;
    if (fixture->change_before_answer) {
        exposed_forget(fixture->cache, OTHER);
    }
    if (fixture->changes > 0) {
        fixture->changes--;
        exposed_forget(fixture->cache, SANDBOX);
    }
    if (fixture->answer == NULL) {
        struct err err = {0};
        err_set_reason(&err, ERR_NOT_FOUND, "sandbox_not_found", "no such sandbox");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, view_of(fixture->answer));
}

static const struct ipc_method methods[] = {{PORT_LIST, serve}};

static void on_fetched(const struct exposed_ports *ports, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->done = true;
    fixture->err = err == NULL ? (struct err){0} : *err;
    fixture->ports = ports == NULL ? (struct exposed_ports){0} : *ports;
    for (size_t i = 0; i < fixture->ports.count; i++) {
        fixture->items[i] = ports->items[i];
    }
    fixture->ports.items = fixture->items;
}

static void fetch(struct fixture *fixture)
{
    struct err err = {0};
    fixture->done = false;
    assert_non_null(exposed_fetch_begin(fixture->cache, SANDBOX, NULL, on_fetched, fixture, &err));
    turn_until(fixture->loop, &fixture->done);
}

static int open_fixture(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    fixture = (struct fixture){.answer = LIVE};
    folder_make(fixture.folder);
    (void)snprintf(url, sizeof url, "ipc://%s/s", fixture.folder);
    fixture.loop = loop_new(&err);
    fixture.server = ipc_server_open(fixture.loop, url, (uid_t)-1, methods, 1, &fixture, &err);
    fixture.client = ipc_client_open(fixture.loop, url, "sandbox-service", &err);
    fixture.cache = exposed_cache_new(fixture.client, SECRET, &err);
    assert_non_null(fixture.cache);
    exposed_set_trusted(fixture.cache, true);
    *state = &fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    exposed_cache_free(fixture->cache);
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    return 0;
}

static void what_was_fetched_is_known_from_then_on(void **state)
{
    struct fixture *fixture = *state;
    assert_null(exposed_find(fixture->cache, SANDBOX));
    fetch(fixture);
    assert_string_equal(fixture->ports.user_id, USER);
    const struct exposed_ports *ports = exposed_find(fixture->cache, SANDBOX);
    assert_non_null(ports);
    assert_int_equal(ports->count, 2);
    const struct exposed_port *port = exposed_port_of(ports, 80);
    assert_int_equal(port->host_port, 30000);
    assert_true(port->is_public);
    assert_string_equal(port->generation, GENERATION);
    assert_string_equal(port->created_at, TIME);
    assert_int_equal(exposed_port_of(ports, 8080)->host_port, 0);
    assert_false(exposed_port_of(ports, 8080)->is_public);
    assert_null(exposed_port_of(ports, 81));
    assert_null(exposed_port_of(ports, 80 + 65536));
    assert_int_equal(fixture->asked, 1);
}

static void news_of_a_sandbox_empty_its_entry(void **state)
{
    struct fixture *fixture = *state;
    fetch(fixture);
    exposed_forget(fixture->cache, OTHER);
    assert_non_null(exposed_find(fixture->cache, SANDBOX));
    exposed_forget(fixture->cache, SANDBOX);
    assert_null(exposed_find(fixture->cache, SANDBOX));
}

static void news_that_come_before_the_answer_keep_it_from_being_kept(void **state)
{
    struct fixture *fixture = *state;
    fixture->change_before_answer = true;
    fetch(fixture);
    assert_int_equal(fixture->err.code, ERR_NONE);
    assert_int_equal(fixture->ports.count, 2);
    assert_null(exposed_find(fixture->cache, SANDBOX));
}

static void nothing_is_kept_while_the_news_are_away(void **state)
{
    struct fixture *fixture = *state;
    fetch(fixture);
    exposed_set_trusted(fixture->cache, false);
    assert_null(exposed_find(fixture->cache, SANDBOX));
    fetch(fixture);
    assert_null(exposed_find(fixture->cache, SANDBOX));
    exposed_set_trusted(fixture->cache, true);
    fetch(fixture);
    assert_non_null(exposed_find(fixture->cache, SANDBOX));
}

static void ports_of_an_ended_sandbox_are_not_exposed(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = "{\"userId\":\"" USER "\",\"ports\":[\"80 30000 public " GENERATION " " TIME
                      "\"],\"isLive\":false}";
    fetch(fixture);
    assert_null(exposed_port_of(&fixture->ports, 80));
}

static void answer_older_than_news_of_its_sandbox_is_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->changes = 2;
    fetch(fixture);
    assert_int_equal(fixture->asked, 3);
    assert_int_equal(fixture->ports.count, 2);
    assert_non_null(exposed_find(fixture->cache, SANDBOX));
}

static void answer_is_not_asked_for_again_for_ever(void **state)
{
    struct fixture *fixture = *state;
    fixture->changes = 1000;
    fetch(fixture);
    assert_int_equal(fixture->asked, 1 + KNOWN_AGAIN_MAX);
    assert_int_equal(fixture->ports.count, 2);
    assert_null(exposed_find(fixture->cache, SANDBOX));
}

static struct exposed_fetch *begin(struct fixture *fixture, exposed_fetch_fn *done, void *arg)
{
    struct err err = {0};
    struct exposed_fetch *begun =
        exposed_fetch_begin(fixture->cache, SANDBOX, NULL, done, arg, &err);
    assert_non_null(begun);
    return begun;
}

static void on_counted(const struct exposed_ports *ports, const struct err *err, void *arg)
{
    int *count = arg;
    assert_null(err);
    assert_int_equal(ports->count, 2);
    (*count)++;
}

static void those_who_ask_the_same_at_a_time_share_the_answer(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    exposed_fetch_cancel(begin(fixture, on_counted, &count));
    struct exposed_fetch *cancelled = begin(fixture, on_counted, &count);
    (void)begin(fixture, on_counted, &count);
    exposed_fetch_cancel(cancelled);
    fetch(fixture);
    assert_int_equal(count, 1);
    assert_int_equal(fixture->asked, 1);
}

/* Whoever asks behind the news must not hear what was asked before. */
static void question_from_before_the_news_is_not_shared(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    (void)begin(fixture, on_counted, &count);
    exposed_forget(fixture->cache, OTHER);
    fetch(fixture);
    assert_int_equal(count, 1);
    assert_int_equal(fixture->asked, 2);
}

static void nobody_shares_while_the_news_are_away(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    exposed_set_trusted(fixture->cache, false);
    (void)begin(fixture, on_counted, &count);
    fetch(fixture);
    assert_int_equal(count, 1);
    assert_int_equal(fixture->asked, 2);
}

static void one_of_those_who_share_may_cancel_another(const struct exposed_ports *ports,
                                                      const struct err *err, void *arg)
{
    (void)ports;
    (void)err;
    struct exposed_fetch **other = arg;
    exposed_fetch_cancel(*other);
}

static void answer_reaches_nobody_who_was_cancelled_by_it(void **state)
{
    struct fixture *fixture = *state;
    struct exposed_fetch *other;
    int count = 0;
    int last = 0;
    (void)begin(fixture, one_of_those_who_share_may_cancel_another, &other);
    other = begin(fixture, on_counted, &count);
    (void)begin(fixture, on_counted, &last);
    fetch(fixture);
    assert_int_equal(count, 0);
    assert_int_equal(last, 1);
}

static void unknown_sandbox_is_told_and_then_known_to_have_no_ports(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = NULL;
    fetch(fixture);
    assert_string_equal(fixture->err.reason, "sandbox_not_found");
    const struct exposed_ports *ports = exposed_find(fixture->cache, SANDBOX);
    assert_non_null(ports);
    assert_null(exposed_port_of(ports, 80));
    assert_string_equal(ports->user_id, "");
    assert_int_equal(fixture->asked, 1);
}

static void unknown_sandbox_that_there_is_now_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = NULL;
    fetch(fixture);
    exposed_forget(fixture->cache, SANDBOX);
    assert_null(exposed_find(fixture->cache, SANDBOX));
    fixture->answer = LIVE;
    fetch(fixture);
    assert_non_null(exposed_port_of(exposed_find(fixture->cache, SANDBOX), 80));
}

/* It was made while the question was under way. */
static void unknown_sandbox_with_news_before_the_answer_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = NULL;
    fixture->change_before_answer = true;
    fetch(fixture);
    assert_null(exposed_find(fixture->cache, SANDBOX));
    fixture->change_before_answer = false;
    exposed_set_trusted(fixture->cache, false);
    fetch(fixture);
    exposed_set_trusted(fixture->cache, true);
    assert_null(exposed_find(fixture->cache, SANDBOX));
}

/* However many ids somebody tries, the sandboxes that there are stay known. */
static void unknown_sandboxes_do_not_crowd_out_the_others(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    char id[ID_SIZE];
    fetch(fixture);
    fixture->answer = NULL;
    for (int i = 0; i <= EXPOSED_MISSING_MAX; i++) {
        (void)snprintf(id, sizeof id, "00000000-0000-4000-8000-%012d", i);
        fixture->done = false;
        assert_non_null(exposed_fetch_begin(fixture->cache, id, NULL, on_fetched, fixture, &err));
        turn_until(fixture->loop, &fixture->done);
    }
    assert_non_null(exposed_find(fixture->cache, id));
    assert_null(exposed_find(fixture->cache, "00000000-0000-4000-8000-000000000000"));
    assert_non_null(exposed_find(fixture->cache, SANDBOX));
}

static void grant_holds_while_its_exposure_does(void **state)
{
    struct fixture *fixture = *state;
    fetch(fixture);
    struct exposed_grant open = exposed_grant_of(exposed_port_of(&fixture->ports, 80));
    struct exposed_grant private = exposed_grant_of(exposed_port_of(&fixture->ports, 8080));
    assert_true(exposed_grant_holds(&open, &fixture->ports));
    assert_true(exposed_grant_holds(&private, &fixture->ports));
    fixture->items[0].is_public = false;
    fixture->items[1].is_public = true;
    assert_false(exposed_grant_holds(&open, &fixture->ports));
    assert_true(exposed_grant_holds(&private, &fixture->ports));
    fixture->items[1].generation[0] = '4';
    assert_false(exposed_grant_holds(&private, &fixture->ports));
    fixture->ports.is_live = false;
    fixture->items[0].is_public = true;
    assert_false(exposed_grant_holds(&open, &fixture->ports));
}

static void answer_that_is_none_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    fixture->answer = "{\"userId\":\"" USER "\",\"ports\":[\"80\"],\"isLive\":true}";
    fetch(fixture);
    assert_int_equal(fixture->err.code, ERR_INTERNAL);
    fixture->answer = "{}";
    fetch(fixture);
    assert_int_equal(fixture->err.code, ERR_INTERNAL);
}

/* The next question goes the same way, behind what was cancelled. */
static void cancelled_fetch_calls_nobody(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;
    exposed_fetch_cancel(begin(fixture, on_counted, &count));
    fetch(fixture);
    fetch(fixture);
    assert_int_equal(count, 0);
}

static const struct exposed_port port = {.container_port = 80, .generation = GENERATION};

static void token_opens_its_port_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    struct exposed_port others = port;
    char token[EXPOSED_TOKEN_SIZE];
    struct err err = {0};
    assert_true(exposed_token_write(fixture->cache, SANDBOX, &port, token, &err));
    assert_int_equal(strlen(token), EXPOSED_TOKEN_SIZE - 1);
    assert_true(exposed_token_is_right(fixture->cache, SANDBOX, &port, view_of(token)));
    assert_false(exposed_token_is_right(fixture->cache, OTHER, &port, view_of(token)));
    others.container_port = 81;
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &others, view_of(token)));
    others = port;
    others.generation[0] = '4';
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &others, view_of(token)));
    others = port;
    others.is_public = true; /* the visibility and the host port do not matter */
    others.host_port = 30000;
    assert_true(exposed_token_is_right(fixture->cache, SANDBOX, &others, view_of(token)));
}

static void tokens_that_are_none_open_nothing(void **state)
{
    struct fixture *fixture = *state;
    char token[EXPOSED_TOKEN_SIZE + 1];
    struct err err = {0};
    assert_true(exposed_token_write(fixture->cache, SANDBOX, &port, token, &err));
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &port, (struct view){0}));
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &port,
                                        (struct view){token, EXPOSED_TOKEN_SIZE - 2}));
    token[EXPOSED_TOKEN_SIZE - 1] = 'A';
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &port,
                                        (struct view){token, EXPOSED_TOKEN_SIZE}));
    token[0] = token[0] == 'A' ? 'B' : 'A';
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &port,
                                        (struct view){token, EXPOSED_TOKEN_SIZE - 1}));
}

static void tokens_of_another_secret_are_others(void **state)
{
    struct fixture *fixture = *state;
    char token[EXPOSED_TOKEN_SIZE];
    struct err err = {0};
    struct exposed_cache *cache =
        exposed_cache_new(fixture->client, "another secret, of 32 bytes or more", &err);
    assert_non_null(cache);
    assert_true(exposed_token_write(cache, SANDBOX, &port, token, &err));
    assert_false(exposed_token_is_right(fixture->cache, SANDBOX, &port, view_of(token)));
    exposed_cache_free(cache);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_fetched_is_known_from_then_on),
        TEST(news_of_a_sandbox_empty_its_entry),
        TEST(news_that_come_before_the_answer_keep_it_from_being_kept),
        TEST(nothing_is_kept_while_the_news_are_away),
        TEST(ports_of_an_ended_sandbox_are_not_exposed),
        TEST(answer_older_than_news_of_its_sandbox_is_asked_for_again),
        TEST(answer_is_not_asked_for_again_for_ever),
        TEST(those_who_ask_the_same_at_a_time_share_the_answer),
        TEST(question_from_before_the_news_is_not_shared),
        TEST(nobody_shares_while_the_news_are_away),
        TEST(answer_reaches_nobody_who_was_cancelled_by_it),
        TEST(unknown_sandbox_is_told_and_then_known_to_have_no_ports),
        TEST(unknown_sandbox_that_there_is_now_is_asked_for),
        TEST(unknown_sandbox_with_news_before_the_answer_is_not_kept),
        TEST(unknown_sandboxes_do_not_crowd_out_the_others),
        TEST(grant_holds_while_its_exposure_does),
        TEST(answer_that_is_none_is_an_error),
        TEST(cancelled_fetch_calls_nobody),
        TEST(token_opens_its_port_and_no_other),
        TEST(tokens_that_are_none_open_nothing),
        TEST(tokens_of_another_secret_are_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
