#include "sandbox-service/secrets/secrets.h"

#include "common/audit/act.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/json/write.h"
#include "sandbox-service/secrets/reseal.h"
#include "sandbox-service/secrets/store.h"

#include <stdlib.h>

enum { ANSWER_MAX = 64 * 1024 }; /* a list of SECRETS_PER_USER_MAX takes a quarter of it */

struct secrets {
    const struct keyring *keyring; /* borrowed */
    struct audit_writer *audit;    /* borrowed */
    struct secret_store *store;    /* owned */
    struct reseal *reseal;         /* owned */
    size_t open_requests;
};

/* One call, until the database has answered. */
struct secret_request {
    struct secrets *secrets;       /* borrowed */
    struct ipc_exchange *exchange; /* ours until it is answered */
    struct audit_act *act;         /* owned; NULL: of those that change nothing */
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
    secrets->audit = options->audit;
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
    return secrets->open_requests;
}

const struct keyring *secrets_keyring(const struct secrets *secrets)
{
    return secrets->keyring;
}

/* The only two ways out of a request. */
static void finish(struct secret_request *request, struct view body)
{
    audit_act_end_with(request->act, request->name, NULL);
    ipc_reply_ok(request->exchange, body);
    request->secrets->open_requests--;
    free(request);
}

static void finish_failed(struct secret_request *request, const struct err *err)
{
    audit_act_end_with(request->act, request->name, err);
    ipc_reply_error(request->exchange, err);
    request->secrets->open_requests--;
    free(request);
}

static void finish_with(struct secret_request *request, const struct json_schema *schema,
                        const void *answer)
{
    struct err err = {0};
    AUTO(str_free) struct str body = STR_INIT(ANSWER_MAX);
    struct json_writer json = json_writer_on(&body);
    json_begin_object(&json, NULL);
    json_struct(&json, schema, answer);
    json_end_object(&json);
    if (str_check(&body, "the answer", &err)) {
        finish(request, str_view(&body));
    } else {
        finish_failed(request, &err);
    }
}

/* Reads the message into body. NULL: answered with what is wrong. */
static struct secret_request *begin(struct secrets *secrets, struct ipc_exchange *exchange,
                                    const struct ipc_request *message,
                                    const struct json_schema *schema, void *body,
                                    struct json_doc **doc)
{
    struct err err = {0};
    *doc = json_read(message->body, schema, body, NULL, &err);
    json_doc_mark_secret(*doc);
    struct secret_request *request = *doc == NULL ? NULL : calloc(1, sizeof *request);
    if (request == NULL) {
        if (*doc != NULL) {
            err_set(&err, ERR_INTERNAL, "request: out of memory");
        }
        log_warn("ipc.unreadable", LOG_STR("method", message->method), LOG_TRACE(&message->trace),
                 LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    request->secrets = secrets;
    request->exchange = exchange;
    secrets->open_requests++;
    return request;
}

/* False, and the request is answered, when there is no room for its record. */
static bool begin_act(struct secret_request *request, enum audit_action action,
                      const struct ipc_request *message, const char *user_id, const char *key_id)
{
    struct err err = {0};
    request->act = audit_act_begin_by(request->secrets->audit, action, "secret", &message->actor,
                                      message->trace.request_id, &err);
    if (request->act == NULL) {
        finish_failed(request, &err);
        return false;
    }
    memcpy(audit_act_record(request->act)->actor_user, user_id, ID_SIZE);
    memcpy(audit_act_record(request->act)->actor_key, key_id, ID_SIZE);
    return true;
}

/* The schema has checked the length. */
static void keep_name(struct secret_request *request, struct view name)
{
    if (!view_copy(name, request->name, sizeof request->name)) {
        request->name[0] = '\0';
    }
}

static void on_set(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    struct secret_info info;
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    secret_store_read_set(result, &info);
    info.name = view_of(request->name);
    finish_with(request, &secret_info_schema, &info);
}

static bool seal_and_store(struct secret_request *request, const struct secret_set *body,
                           struct err *err)
{
    struct secrets *secrets = request->secrets;
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
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct secret_request *request =
        begin(secrets, exchange, message, &secret_set_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    keep_name(request, body.name);
    if (begin_act(request, AUDIT_SECRET_SET, message, body.user_id, body.actor_key_id) &&
        !seal_and_store(request, &body, &err)) {
        finish_failed(request, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    struct err failure = {0};
    AUTO(str_free) struct str list = STR_INIT(ANSWER_MAX);
    if (err != NULL) {
        finish_failed(request, err);
    } else if (!secret_store_write_list(result, &list, &failure)) {
        finish_failed(request, &failure);
    } else {
        const struct secret_list_answer answer = {str_view(&list)};
        finish_with(request, &secret_list_answer_schema, &answer);
    }
}

void secrets_handle_list(struct secrets *secrets, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct secret_list body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct secret_request *request =
        begin(secrets, exchange, message, &secret_list_schema, &body, &doc);
    if (request != NULL &&
        !secret_store_list(secrets->store, body.user_id, on_listed, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    struct secret_request *request = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish_failed(request, err);
    } else if (pg_rows(result) == 0) {
        err_set_reason(&failure, ERR_NOT_FOUND, "secret_not_found", "there is no such secret");
        finish_failed(request, &failure);
    } else {
        finish(request, VIEW("{}"));
    }
}

void secrets_handle_delete(struct secrets *secrets, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct secret_delete body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct secret_request *request =
        begin(secrets, exchange, message, &secret_delete_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    keep_name(request, body.name);
    if (begin_act(request, AUDIT_SECRET_DELETED, message, body.user_id, body.actor_key_id) &&
        !secret_store_delete(secrets->store, body.user_id, request->name, on_deleted, request,
                             &err)) {
        finish_failed(request, &err);
    }
}
