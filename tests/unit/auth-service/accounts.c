#include "tests/unit/auth-service/accounts.h"

#include "auth-service/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEMA INSIEN_SOURCE_DIR "/migrations/0001_accounts.sql"

enum {
    SCHEMA_MAX = 64 * 1024,
    CONNECTIONS = 4,
    WORKERS = 2,
};

static void create_tables(const struct postgres *postgres)
{
    char *sql = calloc(1, SCHEMA_MAX);
    FILE *file = fopen(SCHEMA, "r");
    assert_true(sql != NULL && file != NULL);
    size_t len = fread(sql, 1, SCHEMA_MAX - 1, file);
    assert_in_range(len, 1, SCHEMA_MAX - 2);
    (void)fclose(file);
    postgres_run(postgres, sql);
    free(sql);
}

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
    create_tables(accounts->postgres);
    accounts->redis_server = redis_server_start(NULL);
    accounts->loop = loop_new(&err);
    accounts->pg =
        database_open(accounts->loop, postgres_url(accounts->postgres), CONNECTIONS, &err);
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
    struct user_answer answer = {.user = user};
    struct err err = {0};
    const struct user_identity identity = {.issuer = "local", .subject = subject};
    assert_true(
        user_find_or_make(accounts->pg, &identity, ACCOUNTS_TIMEOUT_MS, on_user, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    expect_no_error(&answer.err);
}

struct issue_answer {
    bool done;
    struct issued_key *issued;
    struct err err;
};

static void on_issued(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct issue_answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    *answer->issued = *issued;
}

void accounts_issue(struct accounts *accounts, const char *user_id, struct issued_key *issued)
{
    struct issue_answer answer = {.issued = issued};
    struct err err = {0};
    const struct key_order order = {.pg = accounts->pg,
                                    .workers = accounts->workers,
                                    .user_id = user_id,
                                    .name = VIEW("a key"),
                                    .timeout_ms = ACCOUNTS_TIMEOUT_MS};
    assert_true(key_issue(&order, on_issued, &answer, &err));
    turn_until(accounts->loop, &answer.done);
    expect_no_error(&answer.err);
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
