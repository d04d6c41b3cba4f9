#include "auth-service/api_keys/check.h"

#include "auth-service/users/store.h"
#include "common/base/clock.h"
#include "common/base/secret.h"

#include <stdlib.h>

/* FIND, and unless the text is known already: PROVE, then FIND again. bcrypt and its queue take
 * long enough for a revocation to come meanwhile, and its announcement would find no gateway that
 * has the key yet. */
struct check {
    const struct key_checker *checker; /* borrowed */
    char key[API_KEY_SIZE];
    struct api_key_row row;
    bool proven;
    int64_t deadline_ms; /* monotonic */
    key_checked_fn *done;
    void *arg;
};

static pg_result_fn on_found;
static proven_fn on_proven;

static bool refuse(struct err *err)
{
    return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_api_key", "Invalid API key");
}

static void discard(struct check *check)
{
    secret_wipe(check, sizeof *check);
    free(check);
}

/* The only way out of a check that was begun. */
static void finish(struct check *check, const struct err *err)
{
    if (err == NULL && check->row.use_is_stale) {
        last_used_note(check->checker->last_used, check->row.id);
    }
    check->done(err == NULL ? &check->row : NULL, err, check->arg);
    discard(check);
}

static bool find(struct check *check, struct err *err)
{
    char digest[API_KEY_HASH_HEX_SIZE];
    int64_t left_ms = check->deadline_ms - clock_monotonic_ms();
    if (left_ms <= 0) {
        return err_set(err, ERR_TIMEOUT, "checking an API key took too long");
    }
    return api_key_digest(check->key, digest, err) &&
           api_key_find_by_hash(check->checker->pg, digest, left_ms, on_found, check, err);
}

static void on_found(const PGresult *result, const struct err *err, void *arg)
{
    struct check *check = arg;
    struct prover *prover = check->checker->prover;
    struct err failure;
    if (err != NULL) {
        finish(check, err);
    } else if (!api_key_find_read(result, &check->row)) {
        (void)refuse(&failure);
        finish(check, &failure);
    } else if (check->proven || prover_knows(prover, check->key, check->row.id)) {
        bool serves = !check->row.is_suspended || user_refuse_suspended(&failure);
        finish(check, serves ? NULL : &failure);
    } else if (!prover_prove(prover, check->key, &check->row, on_proven, check, &failure)) {
        finish(check, &failure);
    }
}

static void on_proven(bool matches, const struct err *err, void *arg)
{
    struct check *check = arg;
    struct err failure;
    check->proven = matches;
    if (err != NULL) {
        finish(check, err);
    } else if (!matches) {
        (void)refuse(&failure);
        finish(check, &failure);
    } else if (!find(check, &failure)) {
        finish(check, &failure);
    }
}

bool key_check(const struct key_checker *checker, struct view key, int64_t timeout_ms,
               key_checked_fn *done, void *arg, struct err *err)
{
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return err_set(err, ERR_INTERNAL, "checking an API key: out of memory");
    }
    check->checker = checker;
    check->deadline_ms = clock_monotonic_ms() + timeout_ms;
    check->done = done;
    check->arg = arg;
    if (!api_key_normalise(key, check->key) ? !refuse(err) : !find(check, err)) {
        discard(check);
        return false;
    }
    return true;
}
