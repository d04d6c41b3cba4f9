/* auth-service/idempotency/keeper.h in a real PostgreSQL. */
#include "auth-service/idempotency/keeper.h"

#include "auth-service/idempotency/store.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#define SECRET VIEW("0123456789abcdef0123456789abcdef")
#define REQUEST "0000000000000000000000000000000000000000000000000000000000000001"
#define OTHER_REQUEST "0000000000000000000000000000000000000000000000000000000000000002"
#define ANSWER "{\"key\":\"isk_secret\"}"

enum { LEASE_MS = 60 * 1000, STATUS = 201, TEXT_SIZE = 128, AT_A_TIME = 16 };

struct stage {
    struct accounts *accounts;
    struct idempotency *idempotency;
    struct user user;
};

/* What a claim says; err.code is ERR_NONE when there is one. */
struct answer {
    bool done;
    struct err err;
    bool is_again;
    int64_t status;
    char resource_id[ID_SIZE];
    char text[TEXT_SIZE];
};

static int set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    struct err err = {0};
    void *accounts = NULL;
    assert_non_null(stage);
    assert_int_equal(accounts_set_up(&accounts), 0);
    stage->accounts = accounts;
    stage->idempotency = idempotency_open(stage->accounts->loop, stage->accounts->pg, SECRET, &err);
    assert_non_null(stage->idempotency);
    accounts_user(stage->accounts, "somebody", &stage->user);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    void *accounts = stage->accounts;
    idempotency_close(stage->idempotency);
    int result = accounts_tear_down(&accounts);
    free(stage);
    return result;
}

static void on_claimed(const struct idempotency_claimed *claimed, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    assert_false(answer->done);
    answer->done = true;
    if (claimed == NULL) {
        assert_non_null(err);
        answer->err = *err;
        return;
    }
    assert_null(err);
    answer->is_again = claimed->is_again;
    answer->status = claimed->status;
    memcpy(answer->resource_id, claimed->resource_id, ID_SIZE);
    assert_true(view_copy(claimed->answer, answer->text, sizeof answer->text));
}

static void on_done(const struct err *err, void *arg)
{
    struct answer *answer = arg;
    assert_false(answer->done);
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    }
}

static void new_claim(char out[ID_SIZE])
{
    struct err err = {0};
    assert_true(id_new(out, &err));
}

static void begin_claim(struct stage *stage, const char *key, const char *request,
                        const char *claim, struct answer *answer)
{
    struct err err = {0};
    struct idempotency_claim message = {
        .key = view_of(key), .request = view_of(request), .lease_ms = LEASE_MS};
    memcpy(message.user_id, stage->user.id, ID_SIZE);
    memcpy(message.claim, claim, ID_SIZE);
    *answer = (struct answer){0};
    assert_true(idempotency_claim(stage->idempotency, &message, ACCOUNTS_TIMEOUT_MS, on_claimed,
                                  answer, &err));
}

static struct answer claim(struct stage *stage, const char *key, const char *request,
                           const char *claim_id)
{
    struct answer answer;
    begin_claim(stage, key, request, claim_id, &answer);
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

static struct answer renew(struct stage *stage, const char *key, const char *claim_id)
{
    struct answer answer = {0};
    struct err err = {0};
    struct idempotency_claim message = {
        .key = view_of(key), .request = VIEW(REQUEST), .lease_ms = LEASE_MS};
    memcpy(message.user_id, stage->user.id, ID_SIZE);
    memcpy(message.claim, claim_id, ID_SIZE);
    assert_true(idempotency_renew(stage->idempotency, &message, ACCOUNTS_TIMEOUT_MS, on_done,
                                  &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

static struct answer finish(struct stage *stage, const char *key, const char *claim_id)
{
    struct answer answer = {0};
    struct err err = {0};
    struct idempotency_finish message = {
        .key = view_of(key), .request = VIEW(REQUEST), .status = STATUS, .answer = VIEW(ANSWER)};
    memcpy(message.user_id, stage->user.id, ID_SIZE);
    memcpy(message.claim, claim_id, ID_SIZE);
    assert_true(idempotency_finish(stage->idempotency, &message, ACCOUNTS_TIMEOUT_MS, on_done,
                                   &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

static void release_with(struct stage *stage, const char *key, const char *claim_id, bool keeps_id)
{
    struct answer answer = {0};
    struct err err = {0};
    struct idempotency_release message = {.key = view_of(key), .keeps_id = keeps_id};
    memcpy(message.user_id, stage->user.id, ID_SIZE);
    memcpy(message.claim, claim_id, ID_SIZE);
    assert_true(idempotency_release(stage->idempotency, &message, ACCOUNTS_TIMEOUT_MS, on_done,
                                    &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    assert_int_equal(answer.err.code, ERR_NONE);
}

static void release(struct stage *stage, const char *key, const char *claim_id)
{
    release_with(stage, key, claim_id, false);
}

static void run(struct stage *stage, const char *sql)
{
    postgres_run(stage->accounts->postgres, sql);
}

static void assert_refused(const struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
}

static void a_repeat_gets_the_answer_of_the_first(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    assert_int_equal(answer.status, 0);
    assert_string_equal(answer.text, "");
    assert_int_equal(finish(stage, "k", first).err.code, ERR_NONE);
    for (int i = 0; i < 2; i++) {
        struct answer again = claim(stage, "k", REQUEST, second);
        assert_int_equal(again.err.code, ERR_NONE);
        assert_int_equal(again.status, STATUS);
        assert_string_equal(again.text, ANSWER);
        assert_string_equal(again.resource_id, answer.resource_id);
    }
    struct answer other = claim(stage, "k", OTHER_REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_key_reused");
}

static void a_key_under_way_is_its_claims_alone(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    struct answer repeated = claim(stage, "k", REQUEST, first);
    assert_int_equal(repeated.err.code, ERR_NONE);
    assert_string_equal(repeated.resource_id, answer.resource_id);
    struct answer other = claim(stage, "k", REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_in_progress");
    other = claim(stage, "k", OTHER_REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_key_reused");
    other = finish(stage, "k", second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_lost");
    release(stage, "k", second); /* does nothing */
    other = claim(stage, "k", REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_in_progress");
}

static void a_try_that_broke_off_leaves_its_id_to_the_next(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    run(stage, "UPDATE idempotency SET claimed_until = now()");
    struct answer next = claim(stage, "k", REQUEST, second);
    assert_int_equal(next.err.code, ERR_NONE);
    assert_string_equal(next.resource_id, answer.resource_id);
    assert_true(next.is_again && !answer.is_again);
    struct answer late = finish(stage, "k", first);
    assert_refused(&late, ERR_CONFLICT, "idempotency_lost");
    assert_int_equal(finish(stage, "k", second).err.code, ERR_NONE);
    assert_int_equal(finish(stage, "k", second).err.code, ERR_NONE); /* may be repeated */
}

static void a_claim_is_renewed_and_never_made_anew(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    (void)claim(stage, "k", REQUEST, first);
    run(stage, "UPDATE idempotency SET claimed_until = now()");
    assert_int_equal(renew(stage, "k", first).err.code, ERR_NONE);
    struct answer other = claim(stage, "k", REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_in_progress");
    release(stage, "k", first);
    struct answer late = renew(stage, "k", first);
    assert_refused(&late, ERR_CONFLICT, "idempotency_lost");
    assert_int_equal(claim(stage, "k", REQUEST, second).err.code, ERR_NONE);
    late = renew(stage, "k", first);
    assert_refused(&late, ERR_CONFLICT, "idempotency_lost");
}

static void a_try_that_made_nothing_leaves_nothing(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    release(stage, "k", first);
    struct answer next = claim(stage, "k", OTHER_REQUEST, second);
    assert_int_equal(next.err.code, ERR_NONE);
    assert_string_not_equal(next.resource_id, answer.resource_id);
    assert_false(next.is_again);
    release(stage, "k", second);
    assert_int_equal(claim(stage, "k", REQUEST, first).err.code, ERR_NONE);
    assert_int_equal(finish(stage, "k", first).err.code, ERR_NONE);
    release(stage, "k", first); /* an answer stays */
    assert_int_equal(claim(stage, "k", REQUEST, second).status, STATUS);
}

static void a_try_that_made_nobody_knows_what_leaves_its_id(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    release_with(stage, "k", second, true); /* not its own */
    struct answer other = claim(stage, "k", REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_in_progress");
    release_with(stage, "k", first, true);
    other = claim(stage, "k", OTHER_REQUEST, second);
    assert_refused(&other, ERR_CONFLICT, "idempotency_key_reused");
    struct answer next = claim(stage, "k", REQUEST, second);
    assert_int_equal(next.err.code, ERR_NONE);
    assert_string_equal(next.resource_id, answer.resource_id);
    assert_int_equal(finish(stage, "k", second).err.code, ERR_NONE);
    release_with(stage, "k", second, true); /* an answer stays */
    assert_int_equal(claim(stage, "k", REQUEST, first).status, STATUS);
}

static void a_key_is_free_again_after_a_day(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    struct answer answer = claim(stage, "k", REQUEST, first);
    assert_int_equal(finish(stage, "k", first).err.code, ERR_NONE);
    run(stage, "UPDATE idempotency SET created_at = now() - interval '23 hours 59 minutes'");
    assert_int_equal(claim(stage, "k", REQUEST, second).status, STATUS);
    run(stage, "UPDATE idempotency SET created_at = now() - interval '24 hours'");
    struct answer next = claim(stage, "k", OTHER_REQUEST, second);
    assert_int_equal(next.err.code, ERR_NONE);
    assert_int_equal(next.status, 0);
    assert_string_not_equal(next.resource_id, answer.resource_id);
}

static void of_many_at_a_time_one_gets_the_key(void **state)
{
    struct stage *stage = *state;
    struct answer answers[AT_A_TIME];
    int claimed = 0;
    for (int i = 0; i < AT_A_TIME; i++) {
        char id[ID_SIZE];
        new_claim(id);
        begin_claim(stage, "k", REQUEST, id, &answers[i]);
    }
    for (int i = 0; i < AT_A_TIME; i++) {
        turn_until(stage->accounts->loop, &answers[i].done);
        claimed += answers[i].err.code == ERR_NONE ? 1 : 0;
        if (answers[i].err.code != ERR_NONE) {
            assert_refused(&answers[i], ERR_CONFLICT, "idempotency_in_progress");
        }
    }
    assert_int_equal(claimed, 1);
}

static void users_do_not_meet(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char second[ID_SIZE];
    new_claim(first);
    new_claim(second);
    assert_int_equal(claim(stage, "k", REQUEST, first).err.code, ERR_NONE);
    assert_int_equal(finish(stage, "k", first).err.code, ERR_NONE);
    accounts_user(stage->accounts, "somebody else", &stage->user);
    struct answer answer = claim(stage, "k", OTHER_REQUEST, second);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_int_equal(answer.status, 0);
}

static void the_table_alone_tells_neither_keys_nor_answers(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    new_claim(first);
    assert_int_equal(claim(stage, "a client's key", REQUEST, first).err.code, ERR_NONE);
    assert_int_equal(finish(stage, "a client's key", first).err.code, ERR_NONE);
    run(stage, "DO $$ BEGIN"
               " ASSERT (SELECT count(*) FROM idempotency WHERE answer IS NOT NULL) = 1;"
               " ASSERT NOT EXISTS (SELECT FROM idempotency"
               " WHERE position('isk_' IN encode(answer, 'escape')) > 0"
               " OR key_digest = sha256('a client''s key'));"
               " END $$");
    /* An answer that somebody put elsewhere does not open there. */
    run(stage, "UPDATE idempotency SET status = 200");
    struct answer moved = claim(stage, "a client's key", REQUEST, first);
    assert_int_equal(moved.err.code, ERR_INTERNAL);
}

static void a_user_has_only_so_many_keys(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char sql[512];
    new_claim(first);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO idempotency (user_id, key_digest, request_digest, claim,"
                   " claimed_until) SELECT '%s', sha256(n::text::bytea), sha256(''), '%s', now()"
                   " FROM generate_series(1, %d) AS n",
                   stage->user.id, first, IDEMPOTENCY_KEYS_MAX - 1);
    run(stage, sql);
    assert_int_equal(claim(stage, "the last", REQUEST, first).err.code, ERR_NONE);
    struct answer answer = claim(stage, "one too many", REQUEST, first);
    assert_refused(&answer, ERR_LIMIT, "idempotency_limit");
    assert_int_equal(claim(stage, "the last", REQUEST, first).err.code, ERR_NONE);
}

static void on_cleaned(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    assert_null(err);
    answer->status = pg_int(result, 0, 0);
}

static int64_t clean(struct stage *stage)
{
    struct answer answer = {0};
    struct err err = {0};
    assert_true(idempotency_store_clean(stage->accounts->pg, ACCOUNTS_TIMEOUT_MS, on_cleaned,
                                        &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    return answer.status;
}

static void what_is_too_old_goes_a_piece_at_a_time(void **state)
{
    struct stage *stage = *state;
    char first[ID_SIZE];
    char sql[512];
    new_claim(first);
    assert_int_equal(claim(stage, "k", REQUEST, first).err.code, ERR_NONE);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO idempotency (user_id, key_digest, request_digest, claim,"
                   " claimed_until, created_at) SELECT '%s', sha256(n::text::bytea), sha256(''),"
                   " '%s', now(), now() - interval '24 hours' FROM generate_series(1, %d) AS n",
                   stage->user.id, first, IDEMPOTENCY_CLEAN_MAX + 1);
    run(stage, sql);
    assert_int_equal(clean(stage), IDEMPOTENCY_CLEAN_MAX);
    assert_int_equal(clean(stage), 1);
    assert_int_equal(clean(stage), 0);
    assert_int_equal(finish(stage, "k", first).err.code, ERR_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_repeat_gets_the_answer_of_the_first),
        TEST(a_key_under_way_is_its_claims_alone),
        TEST(a_try_that_broke_off_leaves_its_id_to_the_next),
        TEST(a_claim_is_renewed_and_never_made_anew),
        TEST(a_try_that_made_nothing_leaves_nothing),
        TEST(a_try_that_made_nobody_knows_what_leaves_its_id),
        TEST(a_key_is_free_again_after_a_day),
        TEST(of_many_at_a_time_one_gets_the_key),
        TEST(users_do_not_meet),
        TEST(the_table_alone_tells_neither_keys_nor_answers),
        TEST(a_user_has_only_so_many_keys),
        TEST(what_is_too_old_goes_a_piece_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
