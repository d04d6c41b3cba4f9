/* common/ipc/client.c with peers that die: this program runs itself again as the peer. */
#include "common/base/clock.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/folder.h"
#include "tests/support/process.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define HANGS "hangs"

enum {
    LONG_MS = 3600000, /* longer than a test waits: what ends before is ended by something else */
    LOG_SIZE = 256,
    STORM_CALLERS = 32,
    STORM_DEATHS = 150,
};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char url[FOLDER_PATH_SIZE + 32];
    char log[FOLDER_PATH_SIZE + 16];
    struct loop *loop;
    struct ipc_client *client;
    pid_t peer;
};

struct answer {
    bool done;
    int calls;
    char body[64];
    struct err err;
};

/* What the peer does with a call: "hang" keeps it and says so, "answer" counts and answers it. */
static void on_work(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static int asked;
    (void)request;
    if (strcmp(arg, "answer") == 0) {
        char body[32];
        (void)snprintf(body, sizeof body, "{\"asked\":%d}", ++asked);
        ipc_reply_ok(exchange, view_of(body));
    } else {
        (void)fputs(HANGS, stderr);
    }
}

static int serve(const char *url, char *behaviour)
{
    static const struct ipc_method methods[] = {{"work", on_work}};
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    struct ipc_server *server =
        loop == NULL ? NULL : ipc_server_open(loop, url, (uid_t)-1, methods, 1, behaviour, &err);
    if (server == NULL) {
        (void)fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    loop_run(loop); /* until SIGKILL */
    return EXIT_SUCCESS;
}

static bool is_connected(void *arg)
{
    const struct fixture *fixture = arg;
    return ipc_client_is_connected(fixture->client);
}

static bool is_alone(void *arg)
{
    return !is_connected(arg);
}

/* The peer has a call that it will not answer. */
static bool hangs(void *arg)
{
    const struct fixture *fixture = arg;
    char text[LOG_SIZE] = "";
    FILE *log = fopen(fixture->log, "r");
    assert_non_null(log);
    size_t len = fread(text, 1, sizeof text - 1, log);
    assert_int_equal(fclose(log), 0);
    text[len] = '\0';
    return strstr(text, HANGS) != NULL;
}

static void start_peer(struct fixture *fixture, const char *behaviour)
{
    const char *const argv[] = {SELF, fixture->url, behaviour, NULL};
    fixture->peer = process_start(argv, NULL, fixture->log);
}

static void kill_peer(struct fixture *fixture)
{
    process_end(fixture->peer, SIGKILL);
    fixture->peer = 0;
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        answer->err = *err;
    } else {
        (void)snprintf(answer->body, sizeof answer->body, "%.*s", (int)body->len, body->ptr);
    }
}

static void begin(struct fixture *fixture, bool repeatable, int64_t timeout_ms,
                  struct answer *answer)
{
    const struct ipc_call_options options = {
        .method = "work", .timeout_ms = timeout_ms, .repeatable = repeatable};
    struct err err = {0};
    *answer = (struct answer){0};
    assert_non_null(ipc_call_begin(fixture->client, &options, VIEW("{}"), on_reply, answer, &err));
}

static void call_in_hand_of_a_peer_that_dies_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    start_peer(fixture, "hang");
    turn_until_true(fixture->loop, is_connected, fixture);
    begin(fixture, false, LONG_MS, &answer);
    turn_until_true(fixture->loop, hangs, fixture);
    kill_peer(fixture);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
}

/* A "create" must not run twice. */
static void call_is_not_sent_again_by_itself(void **state)
{
    struct fixture *fixture = *state;
    struct answer lost;
    struct answer next;
    start_peer(fixture, "hang");
    turn_until_true(fixture->loop, is_connected, fixture);
    begin(fixture, false, LONG_MS, &lost);
    turn_until_true(fixture->loop, hangs, fixture);
    kill_peer(fixture);
    start_peer(fixture, "answer");
    turn_until(fixture->loop, &lost.done);
    assert_int_equal(lost.err.code, ERR_UNAVAILABLE);
    turn_until_true(fixture->loop, is_connected, fixture);
    turn_for(fixture->loop, 100);
    begin(fixture, false, LONG_MS, &next);
    turn_until(fixture->loop, &next.done);
    assert_string_equal(next.body, "{\"asked\":1}");
    assert_int_equal(lost.calls, 1);
}

static void repeatable_call_is_asked_again_of_the_peer_that_comes_back(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    start_peer(fixture, "hang");
    turn_until_true(fixture->loop, is_connected, fixture);
    begin(fixture, true, LONG_MS, &answer);
    turn_until_true(fixture->loop, hangs, fixture);
    kill_peer(fixture);
    turn_until_true(fixture->loop, is_alone, fixture);
    start_peer(fixture, "answer");
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.body, "{\"asked\":1}");
    assert_int_equal(answer.calls, 1);
}

static void peer_that_stays_away_is_given_up(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    start_peer(fixture, "hang");
    turn_until_true(fixture->loop, is_connected, fixture);
    begin(fixture, true, LONG_MS, &answer);
    turn_until_true(fixture->loop, hangs, fixture);
    kill_peer(fixture);
    int64_t start_ms = clock_monotonic_ms();
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    int64_t given_up_ms = clock_monotonic_ms() - start_ms;
    /* From now on callers hear sooner. */
    start_ms = clock_monotonic_ms();
    begin(fixture, true, LONG_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_true(clock_monotonic_ms() - start_ms < given_up_ms);
}

static void deadline_is_kept_without_a_peer(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    begin(fixture, false, 100, &answer);
    int64_t start_ms = clock_monotonic_ms();
    turn_until(fixture->loop, &answer.done);
    assert_true(clock_monotonic_ms() - start_ms >= 50);
    assert_int_not_equal(answer.err.code, ERR_NONE);
}

static void returning_peer_is_found_quickly(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    start_peer(fixture, "answer");
    turn_until_true(fixture->loop, is_connected, fixture);
    kill_peer(fixture);
    turn_until_true(fixture->loop, is_alone, fixture);
    turn_for(fixture->loop, 1500);
    start_peer(fixture, "answer");
    begin(fixture, false, LONG_MS, &answer);
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.body, "{\"asked\":1}");
}

/* Many that call again as soon as they hear. */
struct storm {
    struct fixture *fixture;
    int callers;
    bool over;
    bool is_answered; /* since it was last set to false */
};

static void call_again(struct storm *storm);

static void on_storm_reply(const struct view *body, const struct err *err, void *arg)
{
    struct storm *storm = arg;
    (void)body;
    storm->callers--;
    storm->is_answered = storm->is_answered || err == NULL;
    if (!storm->over) {
        call_again(storm);
    }
}

static void call_again(struct storm *storm)
{
    const struct ipc_call_options options = {.method = "work", .timeout_ms = LONG_MS};
    struct err err = {0};
    assert_non_null(
        ipc_call_begin(storm->fixture->client, &options, VIEW("{}"), on_storm_reply, storm, &err));
    storm->callers++;
}

static bool is_over(void *arg)
{
    const struct storm *storm = arg;
    return storm->callers == 0;
}

/* Replies arrive, requests leave and the connection breaks, all at the same moment. */
static void peer_that_dies_under_load_is_found_again(void **state)
{
    struct fixture *fixture = *state;
    struct storm storm = {.fixture = fixture};
    start_peer(fixture, "answer");
    for (int i = 0; i < STORM_CALLERS; i++) {
        call_again(&storm);
    }
    for (int death = 0; death < STORM_DEATHS; death++) {
        storm.is_answered = false;
        turn_until(fixture->loop, &storm.is_answered);
        turn_for(fixture->loop, death % 7);
        kill_peer(fixture);
        start_peer(fixture, "answer");
    }
    storm.over = true;
    turn_until_true(fixture->loop, is_over, &storm);
}

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct err err = {0};
    assert_non_null(fixture);
    folder_make(fixture->folder);
    (void)snprintf(fixture->url, sizeof fixture->url, "ipc://%s/s.sock", fixture->folder);
    (void)snprintf(fixture->log, sizeof fixture->log, "%s/log", fixture->folder);
    fixture->loop = loop_new(&err);
    assert_non_null(fixture->loop);
    fixture->client = ipc_client_open(fixture->loop, fixture->url, "peer", &err);
    assert_non_null(fixture->client);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->peer != 0) {
        kill_peer(fixture);
    }
    ipc_client_close(fixture->client);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(int argc, char **argv)
{
    if (argc == 3) {
        return serve(argv[1], argv[2]);
    }
    const struct CMUnitTest tests[] = {
        TEST(call_in_hand_of_a_peer_that_dies_is_told_at_once),
        TEST(call_is_not_sent_again_by_itself),
        TEST(repeatable_call_is_asked_again_of_the_peer_that_comes_back),
        TEST(peer_that_stays_away_is_given_up),
        TEST(deadline_is_kept_without_a_peer),
        TEST(returning_peer_is_found_quickly),
        TEST(peer_that_dies_under_load_is_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
