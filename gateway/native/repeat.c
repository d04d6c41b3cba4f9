#include "gateway/native/repeat.h"

#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/contracts/idempotency.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "gateway/native/once.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 5 * 1000,
    LEASE_MS = 90 * 1000, /* a create takes a minute at most */
    DIGEST_LEN = 32,
    READER_SIZE = ID_SIZE + 24,
    STATUS_OK = 200,
    STATUS_REDIRECT = 300,
};

static_assert(IDEMPOTENCY_REQUEST_LEN == 2 * DIGEST_LEN, "the digest of a request in hex");
static_assert((int)IDEMPOTENCY_KEY_MAX == (int)ONCE_KEY_MAX, "one rule for all keys");

struct repeat {
    char key[IDEMPOTENCY_KEY_MAX + 1];
    char digest[IDEMPOTENCY_REQUEST_LEN + 1]; /* of the request */
    char claim[ID_SIZE];
    char resource_id[ID_SIZE];
    bool is_ours;      /* claimed, and neither finished nor released */
    int status;        /* of the answer that is being kept */
    bool no_store;     /* the same */
    struct str answer; /* the same */
};

void repeat_free(struct repeat *repeat)
{
    if (repeat == NULL) {
        return;
    }
    if (repeat->answer.data != NULL) {
        secret_wipe(repeat->answer.data, repeat->answer.capacity);
    }
    str_free(&repeat->answer);
    secret_wipe(repeat, sizeof *repeat);
    free(repeat);
}

static struct view key_of(const struct request *request)
{
    return http_exchange_header(request->exchange, "Idempotency-Key");
}

bool repeat_is_asked_for(const struct request *request)
{
    return (request->route->needs & ROUTE_CREATES) != 0 && key_of(request).ptr != NULL;
}

const char *repeat_resource_id(const struct request *request)
{
    return request->repeat == NULL ? NULL : request->repeat->resource_id;
}

static void free_digest(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

static bool add(EVP_MD_CTX *context, struct view bytes)
{
    return bytes.len == 0 || EVP_DigestUpdate(context, bytes.ptr, bytes.len) == 1;
}

/* For whom the answer is: a credential for who asked with the same rights, and what is made with a
 * client token for that token alone. */
static void write_reader(const struct request *request, char out[READER_SIZE])
{
    const struct caller *caller = &request->caller;
    bool is_secret = (request->route->needs & ROUTE_SECRET) != 0;
    (void)snprintf(out, READER_SIZE, "%s/%" PRId64, is_secret ? caller->api_key_id : "",
                   caller_is_client(caller) ? caller->expires_ms : 0);
}

/* Of all that decides what is made. A path holds neither blank nor line end. */
static bool digest_request(const struct request *request, char out[IDEMPOTENCY_REQUEST_LEN + 1],
                           struct err *err)
{
    const struct http_head *head = http_exchange_head(request->exchange);
    uint8_t digest[DIGEST_LEN];
    char reader[READER_SIZE];
    write_reader(request, reader);
    AUTO(free_digest) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
        !add(context, view_of(request->route->path)) || !add(context, VIEW("\n")) ||
        !add(context, head->path) || !add(context, VIEW("\n")) || !add(context, head->query) ||
        !add(context, VIEW("\n")) || !add(context, view_of(reader)) || !add(context, VIEW("\n")) ||
        !add(context, request->body) || EVP_DigestFinal_ex(context, digest, NULL) != 1) {
        return err_set(err, ERR_INTERNAL, "SHA-256 failed");
    }
    encode_hex(digest, sizeof digest, out);
    return true;
}

static bool open_repeat(const struct request *request, struct repeat *repeat, struct err *err)
{
    repeat->answer = STR_INIT(IDEMPOTENCY_ANSWER_MAX);
    return once_copy_key(key_of(request), repeat->key, err) &&
           digest_request(request, repeat->digest, err) && id_new(repeat->claim, err);
}

static void on_claimed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct idempotency_claimed claimed;
    struct err refusal = {0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &idempotency_claimed_schema, &claimed);
    if (doc == NULL) {
        return;
    }
    memcpy(request->repeat->resource_id, claimed.resource_id, ID_SIZE);
    request->repeat->is_ours = claimed.status == 0;
    if (request->is_revoked || request->exchange == NULL) {
        request_error_revoked(request, &refusal); /* or nobody hears it */
        request_fail(request, &refusal);
        return;
    }
    if (claimed.status != 0) {
        const struct http_response response = {
            .status = (int)claimed.status, .body = claimed.answer, .no_store = true};
        request_respond(request, &response);
        return;
    }
    request->route->handle(request);
}

void repeat_begin(struct request *request)
{
    struct err err = {0};
    struct repeat *repeat = calloc(1, sizeof *repeat);
    if (repeat == NULL) {
        err_set(&err, ERR_INTERNAL, "idempotency: out of memory");
        request_fail(request, &err);
        return;
    }
    request->repeat = repeat;
    request->outlives_client = true;
    if (!open_repeat(request, repeat, &err)) {
        request_fail(request, &err);
        return;
    }
    struct idempotency_claim message = {
        .key = view_of(repeat->key), .request = view_of(repeat->digest), .lease_ms = LEASE_MS};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.claim, repeat->claim, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->auth_service,
        .method = IDEMPOTENCY_CLAIM,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &idempotency_claim_schema,
        .message = &message,
    };
    service_ask(request, &question, on_claimed);
}

static struct ipc_call *tell(const struct request *request, const char *method,
                             const struct json_schema *schema, const void *message,
                             ipc_reply_fn *on_reply, void *arg, struct err *err)
{
    AUTO(str_free) struct str body = STR_INIT(IPC_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, schema, message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = method,
                                             .trace = &request->trace,
                                             .timeout_ms = CALL_TIMEOUT_MS,
                                             .repeatable = true};
    return str_check(&body, method, err) ? ipc_call_begin(request->gateway->auth_service, &options,
                                                          str_view(&body), on_reply, arg, err)
                                         : NULL;
}

/* What was made is there, so the client is to hear of it: a repeat has to wait until the claim is
 * over, and then finds it by its id. But not of a credential: that repeat will give it another
 * secret. True: the request is over. */
static bool fail_unkept(struct request *request, const struct err *err)
{
    struct err failure = {0};
    log_warn("idempotency.not_kept", LOG_TRACE(&request->trace), LOG_ERR(err));
    if ((request->route->needs & ROUTE_SECRET) == 0) {
        return false;
    }
    err_set(&failure, ERR_UNAVAILABLE, "the answer can't be kept");
    request_fail(request, &failure);
    return true;
}

static void on_kept(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    const struct repeat *repeat = request->repeat;
    request->ipc_call = NULL;
    if (err != NULL && fail_unkept(request, err)) {
        return;
    }
    const struct http_response response = {
        .status = repeat->status, .body = str_view(&repeat->answer), .no_store = repeat->no_store};
    request_respond(request, &response);
}

bool repeat_keep(struct request *request, const struct http_response *response)
{
    struct repeat *repeat = request->repeat;
    struct err err = {0};
    if (repeat == NULL || !repeat->is_ours) {
        return false;
    }
    if (response->status < STATUS_OK || response->status >= STATUS_REDIRECT) {
        const struct err refused = {.code = ERR_INVALID};
        repeat_release(request, &refused);
        return false;
    }
    repeat->is_ours = false;
    repeat->status = response->status;
    repeat->no_store = response->no_store;
    str_append_view(&repeat->answer, response->body);
    struct idempotency_finish message = {.key = view_of(repeat->key),
                                         .request = view_of(repeat->digest),
                                         .status = response->status,
                                         .answer = response->body};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.claim, repeat->claim, ID_SIZE);
    if (str_check(&repeat->answer, "answer to keep", &err)) {
        request->ipc_call = tell(request, IDEMPOTENCY_FINISH, &idempotency_finish_schema, &message,
                                 on_kept, request, &err);
    }
    return request->ipc_call != NULL || fail_unkept(request, &err);
}

static void on_released(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    if (err != NULL) { /* The claim ends by itself. */
        log_info("idempotency.not_released", LOG_ERR(err));
    }
}

static bool leaves_open(const struct request *request, const struct err *err)
{
    return (request->route->needs & ROUTE_SECRET) != 0 && err->code >= ERR_UNAVAILABLE;
}

void repeat_release(const struct request *request, const struct err *err)
{
    struct repeat *repeat = request->repeat;
    struct err failure = {0};
    if (repeat == NULL || !repeat->is_ours || leaves_open(request, err)) {
        return;
    }
    repeat->is_ours = false;
    struct idempotency_release message = {.key = view_of(repeat->key)};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.claim, repeat->claim, ID_SIZE);
    if (tell(request, IDEMPOTENCY_RELEASE, &idempotency_release_schema, &message, on_released, NULL,
             &failure) == NULL) {
        log_info("idempotency.not_released", LOG_TRACE(&request->trace), LOG_ERR(&failure));
    }
}
