/* POST /sandbox/{id}/fork: copies of a sandbox. What is on its disk becomes an image that is there
 * for them alone, and the copies begin from it, all at a time. Their ids follow from the fork's, so
 * that whoever asks again with the same Idempotency-Key finds them. */
#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/contracts/templates.h"
#include "common/json/write.h"
#include "gateway/native/create.h"
#include "gateway/native/errors.h"
#include "gateway/native/making.h"
#include "gateway/native/repeat.h"
#include "gateway/native/routes.h"
#include "gateway/native/sandbox_discard.h"
#include "gateway/native/service.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    LOG_WAIT_MS = 10 * 1000,
    COPIES_MAX = 50,
    ANSWER_MAX = 64 * 1024,
    NAME_SIZE = 32,
    NAMED_MAX = 256,
    DIGEST_LEN = 32,
};

struct fork;

struct copy {
    struct fork *fork; /* borrowed */
    char id[ID_SIZE];
    struct making *making; /* under way */
    bool exists;
    struct sandbox_meta sandbox; /* of one that does */
    struct err err;              /* of one that could not be made */
};

/* The work of a request. In the order of what happens: the image is asked for, and listened to
 * until it is there; the copies are made. */
struct fork {
    struct request *request; /* borrowed */
    char template_id[ID_SIZE];
    int64_t log_from;
    bool has_template; /* or may have */
    struct copy copies[COPIES_MAX];
    size_t count;
    size_t waiting; /* copies under way */
    bool is_told;   /* the client hears of the copies */
};

struct fork_body {
    int64_t count;
};
static const struct json_field body_fields[] = {
    JSON_INT(struct fork_body, count, "count", .fallback = 1, .min = 1, .max = COPIES_MAX),
};

static void on_template_gone(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    (void)arg;
    if (err != NULL && err->code != ERR_NOT_FOUND) { /* it goes by itself, later */
        log_debug("fork.not_undone", LOG_ERR(err));
    }
}

static void discard_template(struct fork *fork)
{
    struct request *request = fork->request;
    struct err err = {0};
    struct template_named message = {.template_name = view_of(fork->template_id)};
    AUTO(str_free) struct str text = STR_INIT(NAMED_MAX);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &template_named_schema, &message);
    json_end_object(&writer);
    const struct ipc_call_options options = {.method = TEMPLATE_DELETE,
                                             .trace = &request->trace,
                                             .actor = request_actor(request),
                                             .timeout_ms = CALL_TIMEOUT_MS};
    if (ipc_call_begin(request->gateway->sandbox_service, &options, str_view(&text),
                       on_template_gone, NULL, &err) == NULL) {
        log_debug("fork.not_undone", LOG_ERR(&err));
    }
}

/* However the request ends. What an earlier try may have told of stays. */
static void end_fork(void *work)
{
    struct fork *fork = work;
    bool stays = fork->is_told || repeat_is_again(fork->request);
    for (size_t i = 0; i < fork->count; i++) {
        struct copy *copy = &fork->copies[i];
        bool may_exist = copy->exists || copy->making != NULL;
        if (copy->making != NULL) {
            making_cancel(TAKE(copy->making));
        }
        if (!stays && may_exist) {
            sandbox_discard(fork->request, copy->id);
        }
    }
    if (!stays && fork->has_template) {
        discard_template(fork);
    }
}

/* Whoever left and has an Idempotency-Key comes back for the answer. */
static bool nobody_will_know(const struct request *request)
{
    return request->exchange == NULL && request->repeat == NULL;
}

static void write_failed(const struct copy *copy, struct json_writer *writer)
{
    json_begin_object(writer, NULL);
    json_string(writer, "error", view_of(errors_sentence(&copy->err)));
    json_string(writer, "code", view_of(errors_code(&copy->err)));
    json_end_object(writer);
}

static void write_copies(const struct fork *fork, struct json_writer *writer)
{
    json_begin_object(writer, NULL);
    json_begin_array(writer, "sandboxes");
    for (size_t i = 0; i < fork->count; i++) {
        if (fork->copies[i].exists) {
            create_write_answer(fork->request->gateway, &fork->copies[i].sandbox, writer);
        }
    }
    json_end_array(writer);
    json_begin_array(writer, "failed");
    for (size_t i = 0; i < fork->count; i++) {
        if (!fork->copies[i].exists) {
            write_failed(&fork->copies[i], writer);
        }
    }
    json_end_array(writer);
    json_end_object(writer);
}

/* Of a repeat alone: a copy that failed and may be there all the same, since an earlier try made
 * it. NULL: none. */
static const struct copy *find_open(const struct fork *fork)
{
    for (size_t i = 0; i < fork->count && repeat_is_again(fork->request); i++) {
        if (!fork->copies[i].exists && fork->copies[i].err.code >= ERR_UNAVAILABLE) {
            return &fork->copies[i];
        }
    }
    return NULL;
}

/* All copies are there, or have failed. */
static void answer(struct fork *fork)
{
    struct request *request = fork->request;
    const struct copy *open = find_open(fork);
    size_t made = 0;
    for (size_t i = 0; i < fork->count; i++) {
        made += fork->copies[i].exists ? 1 : 0;
    }
    if (made == 0 || open != NULL || nobody_will_know(request)) {
        struct err err = open != NULL ? open->err : fork->copies[0].err;
        if (err.code == ERR_NONE) {
            err_set(&err, ERR_CONFLICT, "nobody waits for the copies");
        }
        request_fail(request, &err);
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    write_copies(fork, &writer);
    fork->is_told = !out.failed;
    request_respond_json(request, 201, &out);
}

static void answer_if_over(struct fork *fork)
{
    if (--fork->waiting == 0) {
        answer(fork);
    }
}

static void on_copied(const struct sandbox_meta *sandbox, const struct err *err, void *arg)
{
    struct copy *copy = arg;
    copy->making = NULL;
    if (err != NULL) {
        copy->err = *err;
    } else {
        copy->exists = true;
        copy->sandbox = *sandbox;
        sandbox_cache_prefetch(copy->fork->request->gateway->sandboxes, sandbox->id);
    }
    answer_if_over(copy->fork);
}

static void make_copy(struct copy *copy)
{
    struct fork *fork = copy->fork;
    struct json_violations violations = {0};
    const struct create_of of = {.sandbox_id = copy->id, .template_id = fork->template_id};
    struct sandbox_create message;
    AUTO(json_doc_release)
    struct json_doc *doc = create_read(fork->request, of, &message, &violations, &copy->err);
    if (doc != NULL) {
        copy->making = making_begin(fork->request, &message, on_copied, copy, &copy->err);
    }
    fork->waiting += copy->making == NULL ? 0 : 1;
}

static void make_copies(struct fork *fork)
{
    fork->waiting = 1; /* none of them is the last before all have begun */
    for (size_t i = 0; i < fork->count; i++) {
        make_copy(&fork->copies[i]);
    }
    answer_if_over(fork);
}

/* Why there is no image, as a client of the fork is told. */
static void explain(struct view failure, struct err *err)
{
    static const struct {
        const char *failure;
        enum err_code code;
        const char *reason;
        const char *message;
    } known[] = {
        {"snapshot_quota_exceeded", ERR_LIMIT, "snapshot_quota_exceeded",
         "Your snapshots would take more room than you have."},
        {"quota_exceeded", ERR_LIMIT, "quota_exceeded", "You have no room for another sandbox."},
        {"image_too_large", ERR_LIMIT, "snapshot_quota_exceeded",
         "The sandbox has more on its disk than an image may have."},
        {"sandbox_gone", ERR_CONFLICT, "sandbox_ended", "The sandbox has ended."},
        {"sandbox_busy", ERR_CONFLICT, "sandbox_busy",
         "The sandbox is paused and resumed by turns."},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (view_equal(failure, view_of(known[i].failure))) {
            err_set_reason(err, known[i].code, known[i].reason, "%s", known[i].message);
            return;
        }
    }
    err_set_reason(err, ERR_UNAVAILABLE, "fork_failed", "what is on its disk could not be kept");
}

static void listen_on(struct fork *fork);

static void on_log(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct fork *fork = request->work;
    struct template_log_answer log;
    struct err failure = {0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &template_log_answer_schema, &log);
    if (doc == NULL) {
        return;
    }
    fork->log_from = log.next;
    if (view_equal(log.status, VIEW(TEMPLATE_FAILED)) || nobody_will_know(request)) {
        explain(log.failure, &failure);
        request_fail(request, &failure);
    } else if (view_equal(log.status, VIEW(TEMPLATE_READY))) {
        make_copies(fork);
    } else {
        listen_on(fork);
    }
}

static void listen_on(struct fork *fork)
{
    struct request *request = fork->request;
    struct template_log message = {.from = fork->log_from, .wait_ms = LOG_WAIT_MS};
    memcpy(message.template_id, fork->template_id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_LOG,
        .timeout_ms = LOG_WAIT_MS + CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_log_schema,
        .message = &message,
    };
    service_ask(request, &question, on_log);
}

static void on_begun(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct fork *fork = request->work;
    struct template_shown shown;
    fork->has_template = err == NULL || err->code >= ERR_UNAVAILABLE;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &template_shown_schema, &shown);
    if (doc != NULL) {
        listen_on(fork);
    }
}

static void ask_for_image(struct fork *fork)
{
    struct request *request = fork->request;
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "fork-%.13s", fork->template_id);
    struct template_create message = {
        .name = view_of(name),
        .source = VIEW(TEMPLATE_FROM_FORK),
        .reference = view_of(request->id),
        .settings = VIEW("{}"),
    };
    memcpy(message.template_id, fork->template_id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = TEMPLATE_CREATE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &template_create_schema,
        .message = &message,
    };
    request->outlives_client = true;
    service_ask(request, &question, on_begun);
}

/* A UUID of version 8 that follows from the fork's id and the copy's place. */
static bool derive_id(const char fork_id[ID_SIZE], size_t place, char out[ID_SIZE], struct err *err)
{
    char text[ID_SIZE + 24];
    char hex[2 * DIGEST_LEN + 1];
    uint8_t digest[DIGEST_LEN];
    int length = snprintf(text, sizeof text, "%s/%zu", fork_id, place);
    if (EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha256(), NULL) != 1) {
        return err_set(err, ERR_INTERNAL, "SHA-256 failed");
    }
    digest[6] = (uint8_t)((digest[6] & 0x0FU) | 0x80U);
    digest[8] = (uint8_t)((digest[8] & 0x3FU) | 0x80U);
    encode_hex(digest, sizeof digest, hex);
    return id_from_id32((struct view){hex, ID32_SIZE - 1}, out) ||
           err_set(err, ERR_INTERNAL, "the digest is no id");
}

static bool choose_ids(struct fork *fork, struct err *err)
{
    if (!repeat_choose_id(fork->request, fork->template_id, err)) {
        return false;
    }
    for (size_t i = 0; i < fork->count; i++) {
        fork->copies[i].fork = fork;
        if (!derive_id(fork->template_id, i, fork->copies[i].id, err)) {
            return false;
        }
    }
    return true;
}

/* All that can be said of the body before anything begins. */
static bool read_body(struct fork *fork, struct json_violations *violations, struct err *err)
{
    const struct request *request = fork->request;
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    const struct create_of of = {.sandbox_id = request->id, .template_id = request->id};
    struct fork_body body;
    struct sandbox_create ignored;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body.len == 0 ? VIEW("{}") : request->body, &schema,
                                     &body, violations, err);
    AUTO(json_doc_release)
    struct json_doc *create =
        doc == NULL ? NULL : create_read(request, of, &ignored, violations, err);
    if (create == NULL) {
        return false;
    }
    fork->count = (size_t)body.count;
    return choose_ids(fork, err);
}

void fork_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    if (caller_is_client(&request->caller)) { /* it is of a sandbox, not of a user */
        errors_client_refused(&err);
        request_fail(request, &err);
        return;
    }
    struct fork *fork = calloc(1, sizeof *fork);
    if (fork == NULL) {
        err_set(&err, ERR_INTERNAL, "fork: out of memory");
        request_fail(request, &err);
        return;
    }
    fork->request = request;
    request_set_work(request, fork, end_fork);
    if (read_body(fork, &violations, &err)) {
        ask_for_image(fork);
    } else {
        request_fail_validation(request, &err, &violations);
    }
}
