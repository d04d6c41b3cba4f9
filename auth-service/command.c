#include "auth-service/command.h"

#include "auth-service/api_keys/issue.h"
#include "auth-service/database.h"
#include "auth-service/users/store.h"
#include "common/audit/writer.h"

#include <ctype.h>
#include <stdio.h>

enum {
    STEP_TIMEOUT_MS = 10 * 1000,
    ISSUE_QUEUE = 1,
};

static const char usage[] =
    "usage: insien-auth issue-key EMAIL [--tier free|pro|enterprise] [--name NAME]"
    " [--scopes SCOPE,...]";
static const char *const tiers[] = {"free", "pro", "enterprise"};

/* USER, then TIER when one was given, then ISSUE, each with its record in the audit trail. */
struct run {
    const struct command *command; /* borrowed */
    struct loop *loop;             /* owned, as the next three */
    struct pg_pool *pg;
    struct worker_pool *workers;
    struct audit_writer *audit;
    struct timer patience; /* with the records that are still to be stored */
    struct user user;
    struct err err; /* the first failure */
};

static bool read_email(const char *text, char email[COMMAND_EMAIL_SIZE], struct err *err)
{
    const char *at = strchr(text, '@');
    size_t len = strlen(text);
    if (at == NULL || at == text || at[1] == '\0' || len >= COMMAND_EMAIL_SIZE) {
        return err_set(err, ERR_INVALID, "\"%.80s\" is not an e-mail address", text);
    }
    for (size_t i = 0; i <= len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (i < len && (c <= ' ' || c == 0x7f)) {
            return err_set(err, ERR_INVALID, "the e-mail address has a blank in it");
        }
        email[i] = (char)tolower(c);
    }
    return true;
}

static bool is_tier(const char *text)
{
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        if (strcmp(text, tiers[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool read_scopes(struct view list, unsigned *out, struct err *err)
{
    while (list.len > 0) {
        struct view name = view_cut(&list, ',');
        unsigned scope = auth_scope_find(name);
        if (scope == 0) {
            return err_set(
                err, ERR_INVALID,
                "there is no scope \"%.*s\": there are sandbox:read, sandbox:write, exec, "
                "files, keys and admin",
                (int)(name.len < API_KEY_NAME_MAX ? name.len : API_KEY_NAME_MAX), name.ptr);
        }
        *out |= scope;
    }
    return *out != 0 || err_set(err, ERR_INVALID, "%s", usage);
}

static bool read_option(const char *name, const char *value, struct command *out, struct err *err)
{
    if (strcmp(name, "--name") == 0 && value != NULL && strlen(value) <= API_KEY_NAME_MAX) {
        out->name = value;
        return true;
    }
    if (strcmp(name, "--tier") == 0 && value != NULL && is_tier(value)) {
        out->tier = value;
        return true;
    }
    if (strcmp(name, "--scopes") == 0 && value != NULL) {
        return read_scopes(view_of(value), &out->scopes, err);
    }
    return err_set(err, ERR_INVALID, "%s", usage);
}

bool command_parse(char **arguments, int count, struct command *out, struct err *err)
{
    *out = (struct command){.name = ""};
    if (count < 1 || arguments[0][0] == '-') {
        return err_set(err, ERR_INVALID, "%s", usage);
    }
    for (int i = 1; i < count; i += 2) {
        if (!read_option(arguments[i], i + 1 < count ? arguments[i + 1] : NULL, out, err)) {
            return false;
        }
    }
    return read_email(arguments[0], out->email, err);
}

static void on_drained(void *arg)
{
    struct run *run = arg;
    loop_stop(run->loop);
}

static void stop(struct run *run)
{
    timer_arm(&run->patience, STEP_TIMEOUT_MS);
    audit_writer_drain(run->audit, on_drained, run);
}

/* Of what was done. Nobody is named: it was the operator of this machine. */
static bool record(struct run *run, enum audit_action action, const char *kind, const char *target)
{
    struct audit_act *act = audit_act_begin(run->audit, &run->err);
    if (act == NULL) {
        return false;
    }
    struct audit_record *entry = audit_act_record(act);
    entry->action = action;
    audit_text_set(entry->target_kind, sizeof entry->target_kind, view_of(kind));
    audit_text_set(entry->target, sizeof entry->target, view_of(target));
    if (action == AUDIT_USER_TIER_SET) {
        audit_record_set_detail(entry, "tier", view_of(run->command->tier));
    }
    audit_act_end(act);
    return true;
}

static void on_issued(const struct issued_key *issued, const struct err *err, void *arg)
{
    struct run *run = arg;
    if (err != NULL && strcmp(err->reason, "key_rights_exceeded") == 0) {
        err_set(
            &run->err, ERR_DENIED,
            "only an administrator's key has the scope admin; on this machine `insien-admin user "
            "role %s admin` makes one",
            run->command->email);
    } else if (err != NULL) {
        run->err = *err;
    } else if (record(run, AUDIT_KEY_CREATED, "api_key", issued->made.id) &&
               (printf("%s\n", issued->key) < 0 || fflush(stdout) != 0)) {
        err_set(&run->err, ERR_INTERNAL, "the key was made but could not be printed");
    }
    stop(run);
}

static bool issue(struct run *run)
{
    const struct key_order order = {.pg = run->pg,
                                    .workers = run->workers,
                                    .user_id = run->user.id,
                                    .name = view_of(run->command->name),
                                    .scopes = run->command->scopes,
                                    .timeout_ms = STEP_TIMEOUT_MS};
    return key_issue(&order, on_issued, run, &run->err);
}

static void on_tier_set(const PGresult *result, const struct err *err, void *arg)
{
    struct run *run = arg;
    if (err != NULL) {
        run->err = *err;
        stop(run);
        return;
    }
    bool changed = pg_rows(result) > 0;
    if ((changed && !record(run, AUDIT_USER_TIER_SET, "user", run->user.id)) || !issue(run)) {
        stop(run);
    }
}

/* Behind USER. */
static bool go_on(struct run *run)
{
    const char *tier = run->command->tier;
    if (run->user.suspended) {
        return err_set(&run->err, ERR_DENIED, "%s is suspended", run->command->email);
    }
    return tier == NULL ? issue(run)
                        : user_set_tier(run->pg, run->user.id, tier, STEP_TIMEOUT_MS, on_tier_set,
                                        run, &run->err);
}

static void on_user(const struct user *user, const struct err *err, void *arg)
{
    struct run *run = arg;
    if (err != NULL) {
        run->err = *err;
        stop(run);
        return;
    }
    run->user = *user;
    if ((user->is_new && !record(run, AUDIT_USER_CREATED, "user", user->id)) || !go_on(run)) {
        stop(run);
    }
}

static bool open_parts(struct run *run, const struct settings *settings)
{
    run->loop = loop_new(&run->err);
    if (run->loop == NULL) {
        return false;
    }
    run->workers = worker_pool_new(run->loop, 1, ISSUE_QUEUE, &run->err);
    if (run->workers == NULL) {
        return false;
    }
    run->pg = database_open(run->loop, settings->database_url, 1, &run->err);
    run->audit =
        run->pg == NULL ? NULL : audit_writer_open(run->loop, run->pg, "issue-key", &run->err);
    return run->audit != NULL && timer_open(&run->patience, run->loop, on_drained, run, &run->err);
}

static void close_parts(struct run *run)
{
    worker_pool_free(run->workers);
    audit_writer_stop(run->audit);
    pg_pool_close(run->pg);
    audit_writer_close(run->audit);
    timer_close(&run->patience);
    loop_free(run->loop);
}

bool command_run(const struct command *command, const struct settings *settings, struct err *err)
{
    struct run run = {.command = command};
    const struct user_identity identity = {
        .issuer = "local", .subject = command->email, .email = command->email};
    if (open_parts(&run, settings) &&
        user_find_or_make(run.pg, &identity, STEP_TIMEOUT_MS, on_user, &run, &run.err)) {
        loop_run(run.loop);
    }
    close_parts(&run);
    if (run.err.code == ERR_NONE) {
        return true;
    }
    *err = run.err;
    return err->code == ERR_UNAVAILABLE
               ? err_wrap(err, "PostgreSQL does not answer; check that it runs and DATABASE_URL")
               : false;
}
