#include "sandbox-service/sandbox/connect.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/credential/token.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/presence.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/welcome.h"
#include "sandbox-service/secrets/given.h"
#include "sandbox-service/secrets/secrets.h"

#include <stdlib.h>

static bool check(const struct store_connected *row, struct err *err)
{
    if (row->accepted) {
        return true;
    }
    if (row->known && !row->alive) {
        return err_set_reason(err, ERR_CONFLICT, "sandbox_ended", "the sandbox has ended");
    }
    return err_set_reason(err, ERR_UNAUTHENTICATED, "invalid_agent_token", "agent token: %s",
                          row->known ? "of another generation" : "no such row");
}

/* The row's variables and those that are secrets; the caller frees the array. No name is in both:
 * sandbox_extras_check. */
static struct json_pair *join_env(const struct json_pairs *env, const struct secrets_given *given,
                                  struct json_pairs *out, struct err *err)
{
    size_t count = env->count + given->env_count;
    struct json_pair *joined = calloc(count + 1, sizeof *joined);
    if (joined == NULL) {
        err_set(err, ERR_INTERNAL, "the environment: out of memory");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        joined[i] = i < env->count ? env->items[i] : given->env[i - env->count];
    }
    *out = (struct json_pairs){joined, count};
    return joined;
}

static bool welcome_with(struct sandbox_connection *connection,
                         struct sandbox_agent_welcome *answer, const struct secrets_given *given,
                         struct err *err)
{
    const struct json_pairs env = answer->env;
    struct json_pair *joined = join_env(&env, given, &answer->env, err);
    if (joined == NULL) {
        return false;
    }
    answer->files = (struct json_pairs){given->files, given->file_count};
    connection->done(answer, NULL, connection->arg);
    free(joined);
    return true;
}

static bool welcome(struct sandbox_connection *connection, const struct store_connected *row,
                    struct err *err)
{
    const struct sandboxes *sandboxes = connection->sandboxes;
    const struct welcome_source source = {.sandbox_id = connection->sandbox_id,
                                          .generation = connection->generation,
                                          .env = row->env,
                                          .profile = row->profile,
                                          .work_dir = row->work_dir,
                                          .work_dir_chosen = row->work_dir_chosen,
                                          .start = row->start,
                                          .user = row->user,
                                          .user_chosen = row->user_chosen};
    struct secrets_given given = {0};
    struct welcome welcome = {0};
    bool ok = welcome_make(&welcome, sandboxes->config->agent_jwt_secret, &source, err) &&
              secrets_given_read(&given, secrets_keyring(sandboxes->secrets), row->secrets, err) &&
              welcome_with(connection, &welcome.words, &given, err);
    secrets_given_end(&given);
    welcome_clear(&welcome);
    return ok;
}

static void note(struct sandbox_connection *connection, const struct store_connected *row)
{
    struct sandboxes *sandboxes = connection->sandboxes;
    log_info("agent.connected", LOG_TRACE(&connection->trace),
             LOG_STR("sandbox_id", connection->sandbox_id),
             LOG_INT("generation", connection->generation), LOG_INT("warm", row->is_warm));
    presence_seen(sandboxes->presence, connection->sandbox_id);
    sandboxes_locate(sandboxes, connection->sandbox_id, connection->gateway_id);
    sandbox_create_over(sandboxes, connection->sandbox_id);
    shift_agent_came(sandboxes->shifts, connection->sandbox_id);
    if (row->first) {
        reaper_hurry(sandboxes->reaper);
        sandboxes_publish(sandboxes, connection->sandbox_id);
    }
}

static void on_row(const PGresult *result, const struct err *err, void *arg)
{
    struct sandbox_connection *connection = arg;
    struct store_connected row;
    struct err failure = {0};
    if (err != NULL) {
        connection->done(NULL, err, connection->arg);
        return;
    }
    store_read_connected(result, &row);
    if (!check(&row, &failure)) {
        log_info("agent.refused", LOG_TRACE(&connection->trace),
                 LOG_STR("sandbox_id", connection->sandbox_id), LOG_ERR(&failure));
        connection->done(NULL, &failure, connection->arg);
        return;
    }
    CRASH_POINT("create.after_connect");
    note(connection, &row);
    if (!welcome(connection, &row, &failure)) {
        connection->done(NULL, &failure, connection->arg);
    }
}

bool sandbox_connect(struct sandboxes *sandboxes, struct sandbox_connection *connection,
                     const struct sandbox_agent_connect *request, sandbox_connected_fn *done,
                     void *arg, struct err *err)
{
    if (!agent_token_check(sandboxes->config->agent_jwt_secret, request->token, request->sandbox_id,
                           &connection->generation, err)) {
        log_info("agent.refused", LOG_TRACE(&connection->trace),
                 LOG_STR("sandbox_id", request->sandbox_id), LOG_ERR(err));
        return false;
    }
    connection->sandboxes = sandboxes;
    connection->done = done;
    connection->arg = arg;
    memcpy(connection->sandbox_id, request->sandbox_id, ID_SIZE);
    memcpy(connection->gateway_id, request->gateway_id, ID_SIZE);
    store_connect(sandboxes->store, &connection->row, request->sandbox_id, connection->generation,
                  on_row, connection);
    return true;
}
