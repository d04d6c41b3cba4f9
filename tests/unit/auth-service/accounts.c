#include "tests/unit/auth-service/accounts.h"

#include "auth-service/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

enum {
    CONNECTIONS = 4,
    WORKERS = 2,
};

static bool redis_came(void *arg)
{
    const struct accounts *accounts = arg;
    return redis_is_up(accounts->redis) && pg_pool_is_up(accounts->pg);
}

static void open_prover(struct accounts *accounts)
{
    struct err err = {0};
    const struct prover_options options = {.redis = accounts->redis,
                                           .workers = accounts->workers,
                                           .secret = VIEW(ACCOUNTS_SECRET),
                                           .instance = ACCOUNTS_INSTANCE};
    accounts->prover = prover_open(&options, &err);
    assert_non_null(accounts->prover);
    accounts->checker.prover = accounts->prover;
}

int accounts_set_up(void **state)
{
    struct accounts *accounts = calloc(1, sizeof *accounts);
    struct err err = {0};
    assert_non_null(accounts);
    accounts->postgres = postgres_start();
    postgres_migrate(accounts->postgres);
    accounts->redis_server = redis_server_start(NULL);
    accounts->loop = loop_new(&err);
    accounts->pg = database_open(accounts->loop, postgres_service_url(accounts->postgres, "auth"),
                                 CONNECTIONS, &err);
    accounts->redis = redis_open(accounts->loop, redis_server_url(accounts->redis_server), &err);
    accounts->workers = worker_pool_new(accounts->loop, WORKERS, ACCOUNTS_BCRYPT_QUEUE, &err);
    assert_true(accounts->pg != NULL && accounts->redis != NULL && accounts->workers != NULL);
    accounts->last_used = last_used_open(accounts->loop, accounts->pg, &err);
    accounts->announcer = announcer_open(accounts->loop, accounts->redis, ACCOUNTS_INSTANCE, &err);
    assert_true(accounts->last_used != NULL && accounts->announcer != NULL);
    open_prover(accounts);
    accounts->checker.pg = accounts->pg;
    accounts->checker.last_used = accounts->last_used;
    accounts->revoker = (struct revoker){accounts->pg, accounts->announcer};
    turn_until_true(accounts->loop, redis_came, accounts);
    *state = accounts;
    return 0;
}

int accounts_tear_down(void **state)
{
    struct accounts *accounts = *state;
    prover_stop(accounts->prover);
    redis_close(accounts->redis);
    worker_pool_free(accounts->workers);
    pg_pool_close(accounts->pg);
    announcer_close(accounts->announcer);
    last_used_close(accounts->last_used);
    prover_close(accounts->prover);
    loop_free(accounts->loop);
    redis_server_remove(accounts->redis_server);
    postgres_remove(accounts->postgres);
    free(accounts);
    return 0;
}

void accounts_forget_proofs(struct accounts *accounts)
{
    prover_close(accounts->prover);
    open_prover(accounts);
}

struct sessions_options accounts_session_options(struct accounts *accounts,
                                                 const struct clerk_settings *settings)
{
    static const struct oidc_settings no_oidc;
    return (struct sessions_options){.loop = accounts->loop,
                                     .pg = accounts->pg,
                                     .redis = accounts->redis,
                                     .instance = ACCOUNTS_INSTANCE,
                                     .clerk = settings,
                                     .oidc = &no_oidc};
}

/* Not from inside a callback: a test that fails there leaves its loop turning. */
static void expect_no_error(const struct err *err)
{
    if (err->code != ERR_NONE) {
        fail_msg("%s", err->message);
    }
}

struct user_answer {
    bool done;
    struct user *user;
    struct err err;
};

static void on_user(const struct user *user, const struct err *err, void *arg)
{
    struct user_answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    *answer->user = *user;
}

void accounts_user(struct accounts *accounts, const char *subject, struct user *user)
{
    accounts_user_of(accounts, "local", subject, user);
}

void accounts_user_of(struct accounts *accounts, const char *issuer, const char *subject,
                      struct user *user)
{
    struct user_answer answer = {.user = user};
    struct err err = {0};
    const struct user_identity identity = {.issuer = issuer, .subject = subject};
    assert_true(
        user_find_or_make(accounts->pg, &identity, ACCOUNTS_TIMEOUT_MS, on_user, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    expect_no_error(&answer.err);
}

struct issue_answer {
    bool done;
    struct issued_key *issued;
    struct err *err;
};

static void on_issued(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct issue_answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        *answer->err = *err;
        return;
    }
    *answer->issued = *issued;
}

void accounts_try_issue(struct accounts *accounts, struct key_order order,
                        struct issued_key *issued, struct err *err)
{
    struct issue_answer answer = {.issued = issued, .err = err};
    *err = (struct err){0};
    order.pg = accounts->pg;
    order.workers = accounts->workers;
    order.timeout_ms = ACCOUNTS_TIMEOUT_MS;
    assert_true(key_issue(&order, on_issued, &answer, err));
    turn_until(accounts->loop, &answer.done);
}

void accounts_issue_as(struct accounts *accounts, const struct key_order *order,
                       struct issued_key *issued)
{
    struct err err;
    accounts_try_issue(accounts, *order, issued, &err);
    expect_no_error(&err);
}

void accounts_issue(struct accounts *accounts, const char *user_id, struct issued_key *issued)
{
    const struct key_order order = {.user_id = user_id, .name = VIEW("a key")};
    accounts_issue_as(accounts, &order, issued);
}

static void on_checked(const struct api_key_row *row, const struct err *err, void *arg)
{
    struct accounts_check *check = arg;
    check->done = true;
    check->calls++;
    assert_true((row == NULL) == (err != NULL));
    if (row != NULL) {
        check->row = *row;
    } else if (err != NULL) {
        check->err = *err;
    }
}

void accounts_check_begin(struct accounts *accounts, const char *key, struct accounts_check *check)
{
    *check = (struct accounts_check){0};
    if (!key_check(&accounts->checker, view_of(key), ACCOUNTS_TIMEOUT_MS, on_checked, check,
                   &check->err)) {
        check->done = true;
    }
}

void accounts_check(struct accounts *accounts, const char *key, struct accounts_check *check)
{
    accounts_check_begin(accounts, key, check);
    turn_until(accounts->loop, &check->done);
}
