/* tests/unit/auth-service/accounts.h: the stores of the auth-service, real and of a test's own. */
#ifndef TESTS_UNIT_AUTH_SERVICE_ACCOUNTS_H
#define TESTS_UNIT_AUTH_SERVICE_ACCOUNTS_H

#include "auth-service/api_keys/check.h"
#include "auth-service/api_keys/issue.h"
#include "auth-service/api_keys/revoke.h"
#include "auth-service/users/session.h"
#include "tests/support/postgres.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#define ACCOUNTS_INSTANCE "test"
#define ACCOUNTS_SECRET "0123456789abcdef0123456789abcdef"

enum {
    ACCOUNTS_TIMEOUT_MS = 60000,
    ACCOUNTS_BCRYPT_QUEUE = 16, /* keys that wait for a worker */
};

struct accounts {
    struct postgres *postgres;
    struct redis_server *redis_server;
    struct loop *loop;
    struct pg_pool *pg;
    struct redis *redis;
    struct worker_pool *workers;
    struct prover *prover;
    struct last_used *last_used;
    struct announcer *announcer;
    struct key_checker checker;
    struct revoker revoker;
};

/* For cmocka: the state is a struct accounts. */
int accounts_set_up(void **state);
int accounts_tear_down(void **state);

/* Takes the memory of proven keys away, as a restart of the process does. */
void accounts_forget_proofs(struct accounts *accounts);

/* Sessions on these stores; settings is borrowed. They have no HTTP client: keys come as a PEM. */
struct sessions_options accounts_session_options(struct accounts *accounts,
                                                 const struct clerk_settings *settings);

/* A user of issuer "local", who may have been there before. */
void accounts_user(struct accounts *accounts, const char *subject, struct user *user);
void accounts_user_of(struct accounts *accounts, const char *issuer, const char *subject,
                      struct user *user);
/* Fails the test when no key comes. */
void accounts_issue(struct accounts *accounts, const char *user_id, struct issued_key *issued);
/* The same, of any order; what it works with is filled in. */
void accounts_issue_as(struct accounts *accounts, const struct key_order *order,
                       struct issued_key *issued);
/* err->code is ERR_NONE when a key came. */
void accounts_try_issue(struct accounts *accounts, struct key_order order,
                        struct issued_key *issued, struct err *err);

/* What a check says; err.code is ERR_NONE when the key serves. */
struct accounts_check {
    bool done;
    int calls;
    struct api_key_row row;
    struct err err;
};
void accounts_check_begin(struct accounts *accounts, const char *key, struct accounts_check *check);
void accounts_check(struct accounts *accounts, const char *key, struct accounts_check *check);

#endif
