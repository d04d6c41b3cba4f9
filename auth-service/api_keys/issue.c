#include "auth-service/api_keys/issue.h"

#include "common/base/clock.h"
#include "common/base/secret.h"

#include <stdlib.h>

/* HASH on a worker, then INSERT. */
struct issue {
    struct worker_job job;
    struct pg_pool *pg; /* borrowed */
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE];
    char replaces_id[ID_SIZE];
    char name[API_KEY_NAME_MAX + 1];
    struct key_order order; /* of it only the numbers */
    int64_t deadline_ms;    /* monotonic */
    char bcrypt[API_KEY_BCRYPT_SIZE];
    struct issued_key issued;
    struct err err;
    key_issued_fn *done;
    void *arg;
};

static pg_result_fn on_inserted;

static void discard(struct issue *issue)
{
    secret_wipe(issue, sizeof *issue);
    free(issue);
}

/* The only way out of an issue that was begun. */
static void finish(struct issue *issue)
{
    bool failed = issue->err.code != ERR_NONE;
    issue->done(failed ? NULL : &issue->issued, failed ? &issue->err : NULL, issue->arg);
    discard(issue);
}

static void run_on_worker(struct worker_job *job)
{
    struct issue *issue = LIST_ENTRY(job, struct issue, job);
    if (clock_monotonic_ms() >= issue->deadline_ms) {
        err_set(&issue->err, ERR_TIMEOUT, "making an API key took too long");
    } else if (!api_key_bcrypt(issue->issued.key, issue->bcrypt, &issue->err)) {
        issue->bcrypt[0] = '\0';
    }
}

static bool store(struct issue *issue, const struct api_key_secret *secret, int64_t timeout_ms)
{
    const struct key_order *order = &issue->order;
    if (issue->replaces_id[0] != '\0') {
        const struct api_key_rotation rotation = {.new_id = issue->id,
                                                  .user_id = issue->user_id,
                                                  .actor_key_id = issue->actor_key_id,
                                                  .id = issue->replaces_id,
                                                  .secret = *secret,
                                                  .overlap_s = order->overlap_s};
        return api_key_rotate(issue->pg, &rotation, timeout_ms, on_inserted, issue, &issue->err);
    }
    const struct api_key_insert row = {.id = issue->id,
                                       .user_id = issue->user_id,
                                       .actor_key_id = issue->actor_key_id,
                                       .name = issue->name,
                                       .secret = *secret,
                                       .expires_in_days = order->expires_in_days,
                                       .scopes = order->scopes,
                                       .max_sandboxes = order->max_sandboxes,
                                       .requests_per_minute = order->requests_per_minute};
    return api_key_insert(issue->pg, &row, timeout_ms, on_inserted, issue, &issue->err);
}

static bool insert(struct issue *issue)
{
    char digest[API_KEY_HASH_HEX_SIZE];
    int64_t left_ms = issue->deadline_ms - clock_monotonic_ms();
    if (left_ms <= 0) {
        return err_set(&issue->err, ERR_TIMEOUT, "making an API key took too long");
    }
    if (!api_key_digest(issue->issued.key, digest, &issue->err)) {
        return false;
    }
    const struct api_key_secret secret = {
        .prefix = issue->issued.prefix, .digest_hex = digest, .bcrypt = issue->bcrypt};
    return store(issue, &secret, left_ms);
}

static void on_hashed(struct worker_job *job)
{
    struct issue *issue = LIST_ENTRY(job, struct issue, job);
    if (issue->err.code != ERR_NONE || !insert(issue)) {
        finish(issue);
    }
}

static void on_inserted(const PGresult *result, const struct err *err, void *arg)
{
    struct issue *issue = arg;
    if (err != NULL) {
        issue->err = *err;
    } else {
        (void)!api_key_made_read(result, &issue->issued.made, &issue->err);
    }
    finish(issue);
}

static bool check_order(const struct key_order *order, struct err *err)
{
    if (order->name.len > API_KEY_NAME_MAX) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "name must be at most %d bytes long", API_KEY_NAME_MAX);
    }
    if (order->expires_in_days < 0 || order->expires_in_days > API_KEY_DAYS_MAX) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "expiresInDays must be from 1 to %d", API_KEY_DAYS_MAX);
    }
    return true;
}

/* NULL is as good as "". */
static bool copy_id(const char *id, char out[ID_SIZE])
{
    return view_copy(view_of(id == NULL ? "" : id), out, ID_SIZE);
}

static bool begin(struct issue *issue, const struct key_order *order, struct err *err)
{
    struct issued_key *issued = &issue->issued;
    if (!api_key_make(issued->key, err)) {
        return false;
    }
    memcpy(issued->prefix, issued->key, sizeof issued->prefix - 1);
    issue->order = *order;
    bool fits = view_copy(order->name, issue->name, sizeof issue->name) &&
                copy_id(order->id, issue->id) && copy_id(order->user_id, issue->user_id) &&
                copy_id(order->actor_key_id, issue->actor_key_id) &&
                copy_id(order->replaces_id, issue->replaces_id);
    if (!fits) {
        return err_set(err, ERR_INTERNAL, "making an API key: an id is none");
    }
    issue->job.run = run_on_worker;
    issue->job.done = on_hashed;
    /* Who makes many holds up nobody else. */
    return worker_submit_of(order->workers, &issue->job, issue->user_id, err);
}

bool key_issue(const struct key_order *order, key_issued_fn *done, void *arg, struct err *err)
{
    if (!check_order(order, err)) {
        return false;
    }
    struct issue *issue = calloc(1, sizeof *issue);
    if (issue == NULL) {
        return err_set(err, ERR_INTERNAL, "making an API key: out of memory");
    }
    issue->pg = order->pg;
    issue->deadline_ms = clock_monotonic_ms() + order->timeout_ms;
    issue->done = done;
    issue->arg = arg;
    if (!begin(issue, order, err)) {
        discard(issue);
        return false;
    }
    return true;
}
