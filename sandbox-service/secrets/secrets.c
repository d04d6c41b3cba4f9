#include "sandbox-service/secrets/secrets.h"

#include "sandbox-service/call.h"
#include "sandbox-service/secrets/given.h"
#include "sandbox-service/secrets/reseal.h"
#include "sandbox-service/secrets/store.h"

#include <stdlib.h>

enum { LIST_MAX = 64 * 1024 }; /* a list of SECRETS_PER_USER_MAX takes a quarter of it */

struct secrets {
    const struct keyring *keyring; /* borrowed */
    struct secret_store *store;    /* owned */
    struct reseal *reseal;         /* owned */
    struct calls calls;
};

/* One call, until the database has answered. */
struct secret_request {
    struct call call;
    char name[SECRET_NAME_MAX + 1];
};

struct secrets *secrets_open(const struct secrets_options *options, struct err *err)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);
    if (secrets == NULL) {
        err_set(err, ERR_INTERNAL, "secrets: out of memory");
        return NULL;
    }
    secrets->keyring = options->keyring;
    secrets->calls = (struct calls){.part = secrets,
                                    .audit = options->audit,
                                    .target_kind = "secret",
                                    .size = sizeof(struct secret_request),
                                    .are_secret = true};
    secrets->store = secret_store_open(options->loop, options->database_url, err);
    secrets->reseal = secrets->store == NULL
                          ? NULL
                          : reseal_open(options->loop, secrets->store, options->keyring, err);
    if (secrets->reseal == NULL) {
        secrets_close(secrets);
        return NULL;
    }
    return secrets;
}

bool secrets_fail_all(struct secrets *secrets)
{
    return secret_store_fail_all(secrets->store);
}

void secrets_close(struct secrets *secrets)
{
    if (secrets != NULL) {
        secret_store_close(secrets->store);
        reseal_close(secrets->reseal);
        free(secrets);
    }
}

size_t secrets_open_requests(const struct secrets *secrets)
{
    return secrets->calls.open;
}

const struct keyring *secrets_keyring(const struct secrets *secrets)
{
    return secrets->keyring;
}

bool secrets_check(const struct secrets *secrets, struct view lines, struct err *err)
{
    return lines.len == 0 || secrets_given_check(secrets->keyring, lines, err);
}

/* False: it is answered. The schema has checked the name's length. */
static bool begin_act(struct secret_request *request, enum audit_action action, const char *user_id,
                      const char *key_id, struct view name)
{
    const struct call_act act = {action, user_id, key_id, name};
    if (!view_copy(name, request->name, sizeof request->name)) {
        request->name[0] = '\0';
    }
    return call_begin_act(&request->call, &act);
}

static void on_set(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    struct secret_info info;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    secret_store_read_set(result, &info);
    info.name = view_of(request->name);
    call_finish_with(&request->call, &secret_info_schema, &info);
}

static bool seal_and_store(struct secret_request *request, const struct secret_set *body,
                           struct err *err)
{
    const struct secrets *secrets = request->call.calls->part;
    uint8_t sealed[SECRET_SEALED_MAX];
    const struct keyring_place place = {body->user_id, body->name};
    const struct secret_row row = {
        .user_id = body->user_id,
        .name = request->name,
        .key_id = keyring_current(secrets->keyring),
        .sealed = {(const char *)sealed, body->value.len + KEYRING_OVERHEAD},
    };
    return keyring_seal(secrets->keyring, &place, body->value, sealed, err) &&
           secret_store_set(secrets->store, &row, on_set, request, err);
}

void secrets_handle_set(struct secrets *secrets, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct secret_set body;
    struct err err = {0};
    struct secret_request *request =
        call_begin(&secrets->calls, exchange, message, &secret_set_schema, &body);
    if (request != NULL &&
        begin_act(request, AUDIT_SECRET_SET, body.user_id, body.actor_key_id, body.name) &&
        !seal_and_store(request, &body, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    struct err failure = {0};
    AUTO(str_free) struct str list = STR_INIT(LIST_MAX);
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (!secret_store_write_list(result, &list, &failure)) {
        call_fail(&request->call, &failure);
    } else {
        const struct secret_list_answer answer = {str_view(&list)};
        call_finish_with(&request->call, &secret_list_answer_schema, &answer);
    }
}

void secrets_handle_list(struct secrets *secrets, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct secret_list body;
    struct err err = {0};
    struct secret_request *request =
        call_begin(&secrets->calls, exchange, message, &secret_list_schema, &body);
    if (request != NULL &&
        !secret_store_list(secrets->store, body.user_id, on_listed, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        call_fail_with(&request->call, ERR_NOT_FOUND, "secret_not_found",
                       "there is no such secret");
    } else {
        call_finish_empty(&request->call);
    }
}

void secrets_handle_delete(struct secrets *secrets, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct secret_delete body;
    struct err err = {0};
    struct secret_request *request =
        call_begin(&secrets->calls, exchange, message, &secret_delete_schema, &body);
    if (request != NULL &&
        begin_act(request, AUDIT_SECRET_DELETED, body.user_id, body.actor_key_id, body.name) &&
        !secret_store_delete(secrets->store, body.user_id, request->name, on_deleted, request,
                             &err)) {
        call_fail(&request->call, &err);
    }
}
