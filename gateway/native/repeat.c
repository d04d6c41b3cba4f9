#include "gateway/native/repeat.h"

#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/contracts/idempotency.h"
#include "common/event/loop.h"
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
    LEASE_MS = 8 * 1000,      /* so long a repeat waits when the gateway dies */
    RUN_LEASE_MS = 30 * 1000, /* of what would be done twice */
    RENEW_MS = 2 * 1000,
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
    bool is_again;     /* the id was another try's too */
    bool is_ours;      /* claimed, and neither finished nor released */
    bool is_undone;    /* what was made with resource_id */
    int status;        /* of the answer that is being kept */
    bool no_store;     /* the same */
    struct str answer; /* the same */
    request_handler_fn *next;
    struct timer renewal; /* of a claim that is ours */
    struct ipc_call *renewing;
};

static void stop_renewing(struct repeat *repeat)
{
    if (repeat->renewing != NULL) {
        ipc_call_cancel(TAKE(repeat->renewing));
    }
    timer_close(&repeat->renewal);
}

void repeat_free(struct repeat *repeat)
{
    if (repeat == NULL) {
        return;
    }
    stop_renewing(repeat);
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

bool repeat_choose_id(const struct request *request, char out[ID_SIZE], struct err *err)
{
    const char *id = repeat_resource_id(request);
    if (id == NULL) {
        return id_new(out, err);
    }
    memcpy(out, id, ID_SIZE);
    return true;
}

static bool is_run(const struct request *request)
{
    return (request->route->needs & ROUTE_RUNS) != 0;
}

bool repeat_is_again(const struct request *request)
{
    return request->repeat != NULL && request->repeat->is_again && !is_run(request);
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

/* Views into the request's repeat. */
static struct idempotency_claim claim_of(const struct request *request)
{
    const struct repeat *repeat = request->repeat;
    struct idempotency_claim claim = {.key = view_of(repeat->key),
                                      .request = view_of(repeat->digest),
                                      .lease_ms = is_run(request) ? RUN_LEASE_MS : LEASE_MS};
    memcpy(claim.user_id, request->caller.user_id, ID_SIZE);
    memcpy(claim.claim, repeat->claim, ID_SIZE);
    return claim;
}

/* When it can't be had again, the answer can't be kept, and a repeat may do it once more. */
static void on_renewed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct repeat *repeat = arg;
    repeat->renewing = NULL;
    if (err != NULL) {
        log_info("idempotency.not_renewed", LOG_ERR(err));
    }
}

static void renew(void *arg)
{
    const struct request *request = arg;
    struct repeat *repeat = request->repeat;
    struct err err = {0};
    const struct idempotency_claim message = claim_of(request);
    timer_arm_common(&repeat->renewal, RENEW_MS);
    if (repeat->renewing != NULL) {
        return;
    }
    repeat->renewing = tell(request, IDEMPOTENCY_RENEW, &idempotency_claim_schema, &message,
                            on_renewed, repeat, &err);
    if (repeat->renewing == NULL) {
        log_info("idempotency.not_renewed", LOG_TRACE(&request->trace), LOG_ERR(&err));
    }
}

static bool renew_regularly(struct request *request, struct err *err)
{
    struct timer *renewal = &request->repeat->renewal;
    if (!timer_open(renewal, request->gateway->loop, renew, request, err)) {
        return false;
    }
    timer_arm_common(renewal, RENEW_MS);
    return true;
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
    request->repeat->is_again = claimed.is_again;
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
    if (!renew_regularly(request, &refusal)) {
        request_fail(request, &refusal);
        return;
    }
    request->repeat->next(request);
}

void repeat_begin(struct request *request, request_handler_fn *next)
{
    struct err err = {0};
    struct repeat *repeat = calloc(1, sizeof *repeat);
    if (repeat == NULL) {
        err_set(&err, ERR_INTERNAL, "idempotency: out of memory");
        request_fail(request, &err);
        return;
    }
    request->repeat = repeat;
    repeat->next = next;
    request->outlives_client = true;
    if (!open_repeat(request, repeat, &err)) {
        request_fail(request, &err);
        return;
    }
    const struct idempotency_claim message = claim_of(request);
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

static void on_released(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    if (err != NULL) { /* The claim ends by itself. */
        log_info("idempotency.not_released", LOG_ERR(err));
    }
}

static void release_claim(const struct request *request, bool keeps_id)
{
    const struct repeat *repeat = request->repeat;
    struct err failure = {0};
    struct idempotency_release message = {.key = view_of(repeat->key), .keeps_id = keeps_id};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.claim, repeat->claim, ID_SIZE);
    if (tell(request, IDEMPOTENCY_RELEASE, &idempotency_release_schema, &message, on_released, NULL,
             &failure) == NULL) {
        log_info("idempotency.not_released", LOG_TRACE(&request->trace), LOG_ERR(&failure));
    }
}

/* What was made is there, so the client is to hear of it: a repeat has to wait until the claim is
 * over, and then finds it by its id; a run is run again. But not of a credential: that repeat will
 * give it another secret. True: the request is over. */
static bool fail_unkept(struct request *request, const struct err *err)
{
    struct err failure = {0};
    log_warn("idempotency.not_kept", LOG_TRACE(&request->trace), LOG_ERR(err));
    if (is_run(request)) {
        release_claim(request, false);
    }
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
    stop_renewing(repeat);
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

/* Whether nobody knows what was made. */
static bool leaves_open(const struct err *err)
{
    return err->code >= ERR_UNAVAILABLE;
}

void repeat_undo(const struct request *request)
{
    if (request->repeat != NULL) {
        request->repeat->is_undone = true;
    }
}

void repeat_release(const struct request *request, const struct err *err)
{
    struct repeat *repeat = request->repeat;
    bool is_secret = (request->route->needs & ROUTE_SECRET) != 0;
    if (repeat == NULL || !repeat->is_ours || (is_secret && leaves_open(err))) {
        return;
    }
    repeat->is_ours = false;
    stop_renewing(repeat);
    release_claim(request, leaves_open(err) && !is_run(request) && !repeat->is_undone);
}
