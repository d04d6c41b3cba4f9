/* Calls whose host's name is looked up for long: who asks may choose whose name server that is. */
#include "common/base/view.h"
#include "common/event/loop.h"
#include "common/http/client.h"

#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>

static sem_t may_answer;
static sem_t has_answered;
static atomic_bool is_answered;

/* In the place of the system's, for libcurl too: it waits until the test lets it go. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): not the C library's own. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    *out = NULL;
    while (sem_wait(&may_answer) != 0) {
    }
    atomic_store(&is_answered, true);
    (void)sem_post(&has_answered);
    return EAI_AGAIN;
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    bool *is_done = arg;
    assert_null(reply);
    assert_int_equal(err->code, ERR_TIMEOUT);
    *is_done = true;
}

static void nothing_waits_for_a_name_server_that_says_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    bool is_done = false;
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    struct http_client *client = http_client_open(loop, NULL, 1, &err);
    assert_non_null(client);
    const struct http_call_options options = {
        .method = "GET", .url = "http://silent.example/", .timeout_ms = 100, .response_max = 100};
    assert_non_null(http_call_begin(client, &options, on_reply, &is_done, &err));
    turn_until(loop, &is_done);
    http_client_close(client);
    assert_false(atomic_load(&is_answered));
    assert_int_equal(sem_post(&may_answer), 0);
    assert_int_equal(sem_wait(&has_answered), 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_waits_for_a_name_server_that_says_nothing),
    };
    if (sem_init(&may_answer, 0, 0) != 0 || sem_init(&has_answered, 0, 0) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
