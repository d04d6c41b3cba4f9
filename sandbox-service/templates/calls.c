#include "sandbox-service/templates/calls.h"

#include "common/audit/act.h"
#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/json/write.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/templates/templates.h"

#include <stdlib.h>

enum { ANSWER_MAX = 3 * 1024 * 1024, LOG_LEAST_MS = 1000 };

/* One call that takes more than this turn of the loop. */
struct request {
    struct templates *templates; /* borrowed */
    struct ipc_exchange *exchange;
    struct trace trace;
    struct audit_act *act; /* owned; of those that change something, until it is done */
    struct work *work;     /* of a create: owned until it is taken */
    char template_id[ID_SIZE];
    uint64_t from; /* of a log, as the next two */
    struct work_listener listener;
    struct timer wait;
};

size_t templates_open_requests(const struct templates *templates)
{
    return templates->open_requests;
}

/* The only two ways out of a request. */
static void release(struct request *request)
{
    request->templates->open_requests--;
    list_remove(&request->listener.node);
    timer_close(&request->wait);
    work_free(request->work);
    free(request);
}

static void finish(struct request *request, struct view body)
{
    audit_act_end_with(request->act, request->template_id, NULL);
    ipc_reply_ok(request->exchange, body);
    release(request);
}

static void finish_failed(struct request *request, const struct err *err)
{
    audit_act_end_with(request->act, request->template_id, err);
    ipc_reply_error(request->exchange, err);
    release(request);
}

static void finish_not_found(struct request *request)
{
    struct err err = {0};
    err_set_reason(&err, ERR_NOT_FOUND, "template_not_found", "there is no such template");
    finish_failed(request, &err);
}

static void finish_with(struct request *request, const struct json_schema *schema,
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

/* NULL: answered with what is wrong. */
static struct request *begin(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message, const struct json_schema *schema,
                             void *body, struct json_doc **doc)
{
    struct err err = {0};
    *doc = json_read(message->body, schema, body, NULL, &err);
    struct request *request = *doc == NULL ? NULL : calloc(1, sizeof *request);
    if (request == NULL) {
        if (*doc != NULL) {
            err_set(&err, ERR_INTERNAL, "request: out of memory");
        }
        log_warn("ipc.unreadable", LOG_STR("method", message->method), LOG_TRACE(&message->trace),
                 LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    request->templates = templates;
    request->exchange = exchange;
    request->trace = message->trace;
    templates->open_requests++;
    return request;
}

/* False, and the request is answered, when there is no room for its record. */
static bool begin_act(struct request *request, enum audit_action action,
                      const struct ipc_request *message, const char *user_id)
{
    struct err err = {0};
    request->act = audit_act_begin_by(request->templates->sandboxes->audit, action, "template",
                                      &message->actor, message->trace.request_id, &err);
    if (request->act == NULL) {
        finish_failed(request, &err);
        return false;
    }
    memcpy(audit_act_record(request->act)->actor_user, user_id, ID_SIZE);
    return true;
}

/* One that the operator offers, and that the engine has. */
static bool check_runtime(const struct templates *templates, struct view runtime, struct err *err)
{
    const struct sandboxes *sandboxes = templates->sandboxes;
    if (!wire_has_runtime(sandboxes->config->template_runtimes, runtime)) {
        return err_set_reason(err, ERR_INVALID, "runtime_not_allowed",
                              "this runtime is not offered here");
    }
    return wire_has_runtime(sandboxes->runtimes, runtime) ||
           err_set_reason(err, ERR_UNAVAILABLE, "runtime_unavailable",
                          "the engine does not have this runtime");
}

/* What can be said before anything is written down. */
static bool check_create(const struct templates *templates, const struct template_create *create,
                         struct err *err)
{
    struct template_settings settings = {0};
    const struct sandbox_config *config = templates->sandboxes->config;
    char sandbox_id[ID_SIZE];
    bool is_build = view_equal(create->source, VIEW(TEMPLATE_FROM_DOCKERFILE));
    bool is_snapshot = view_equal(create->source, VIEW(TEMPLATE_FROM_SNAPSHOT));
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(create->settings, &template_settings_schema, &settings, NULL, err);
    if (doc == NULL || !template_settings_check(&settings, err)) {
        return false;
    }
    if (is_build && strcmp(config->template_builds, "on") != 0) {
        return err_set_reason(err, ERR_DENIED, "builds_not_allowed", "images are not built here");
    }
    if (create->reference.len == 0 || (create->waits && !is_build)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "a template needs an image, or a Dockerfile");
    }
    if (!docker_is_up(templates->sandboxes->docker) || templates->sandboxes->draining) {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable", "docker is not ready");
    }
    if (settings.runtime.len > 0 && !check_runtime(templates, settings.runtime, err)) {
        return false;
    }
    if (is_snapshot) {
        return id_parse(create->reference, sandbox_id) ||
               err_set_reason(err, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
    }
    return making_check(&templates->shared, is_build ? (struct view){0} : create->reference,
                        is_build ? create->reference : (struct view){0}, err);
}

/* Asked again, the row may be there, and its work too: then nothing new begins. */
static void on_begun(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    struct view status = template_store_status(result);
    bool is_over =
        view_equal(status, VIEW(TEMPLATE_READY)) || view_equal(status, VIEW(TEMPLATE_FAILED));
    if (!is_over && work_find(request->templates, request->template_id) == NULL) {
        work_begin(TAKE(request->work));
    }
    const struct template_shown answer = {template_store_shown(result, 0)};
    finish_with(request, &template_shown_schema, &answer);
}

void templates_handle_create(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message)
{
    struct template_create body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_create_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    if (!begin_act(request, AUDIT_TEMPLATE_CREATED, message, body.user_id)) {
        return;
    }
    audit_record_add_detail(audit_act_record(request->act), "name", body.name);
    audit_record_add_detail(audit_act_record(request->act), "source", body.source);
    if (!check_create(templates, &body, &err) ||
        (request->work = work_new(templates, &body, &err)) == NULL ||
        !template_store_begin(templates->store, &body, request->work->image, on_begun, request,
                              &err)) {
        finish_failed(request, &err);
    }
}

static void on_got(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL) {
        finish_failed(request, err);
    } else if (pg_rows(result) == 0) {
        finish_not_found(request);
    } else {
        const struct template_shown answer = {template_store_shown(result, 0)};
        finish_with(request, &template_shown_schema, &answer);
    }
}

void templates_handle_get(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message)
{
    struct template_named body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_named_schema, &body, &doc);
    if (request != NULL && !template_store_get(templates->store, body.user_id, body.template_name,
                                               on_got, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    AUTO(str_free) struct str items = STR_INIT(ANSWER_MAX);
    struct json_writer json = json_writer_on(&items);
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_raw(&json, NULL, template_store_shown(result, row));
    }
    json_end_array(&json);
    if (!str_check(&items, "the templates", &failure)) {
        finish_failed(request, &failure);
        return;
    }
    const struct template_page page = {str_view(&items)};
    finish_with(request, &template_page_schema, &page);
}

void templates_handle_list(struct templates *templates, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct template_list body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_list_schema, &body, &doc);
    if (request != NULL &&
        !template_store_list(templates->store, &body, on_listed, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    char image[MAKING_IMAGE_SIZE];
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    template_store_removed_id(result, request->template_id);
    struct work *work = work_find(request->templates, request->template_id);
    if (work != NULL) {
        work_drop(work);
    }
    if (view_copy(template_store_removed_image(result), image, sizeof image)) {
        templates_remove_image(request->templates, image);
    }
    log_info("template.removed", LOG_TRACE(&request->trace),
             LOG_STR("template_id", request->template_id));
    finish(request, VIEW("{}"));
}

void templates_handle_delete(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message)
{
    struct template_named body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_named_schema, &body, &doc);
    if (request == NULL || !begin_act(request, AUDIT_TEMPLATE_REMOVED, message, body.user_id)) {
        return;
    }
    audit_record_add_detail(audit_act_record(request->act), "name", body.template_name);
    if (!template_store_remove(templates->store, body.user_id, body.template_name, on_deleted,
                               request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_taken_up(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct work *work = work_find(request->templates, request->template_id);
    if (err != NULL || work == NULL || !template_store_moved(result)) {
        err_set_reason(&failure, ERR_CONFLICT, "template_not_waiting",
                       "the template waits for no folder");
        if (work != NULL) {
            work->is_whole = false; /* the last piece may come again */
        }
        finish_failed(request, err == NULL ? &failure : err);
        return;
    }
    work_enqueue(work);
    finish(request, VIEW("{}"));
}

static void on_not_waiting(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    if (err == NULL && pg_rows(result) == 0) {
        finish_not_found(request);
        return;
    }
    err_set_reason(&failure, ERR_CONFLICT, "template_not_waiting",
                   "the template waits for no folder");
    finish_failed(request, err == NULL ? &failure : err);
}

/* Those of others are not there. */
static void refuse_piece(struct request *request, const struct template_piece *piece)
{
    struct err err = {0};
    if (!template_store_get(request->templates->store, piece->user_id, view_of(piece->template_id),
                            on_not_waiting, request, &err)) {
        finish_failed(request, &err);
    }
}

/* Decodes and adds the piece. */
static bool add_piece(struct work *work, const struct template_piece *piece, struct err *err)
{
    size_t len = 0;
    uint8_t *bytes = malloc(ENCODE_BASE64_DECODED_MAX(piece->bytes.len));
    if (bytes == NULL) {
        return err_set(err, ERR_INTERNAL, "piece: out of memory");
    }
    bool ok =
        encode_base64_decode(ENCODE_BASE64, piece->bytes, bytes, &len)
            ? work_add_piece(work, piece->offset, (struct view){(const char *)bytes, len}, err)
            : err_set(err, ERR_INVALID, "a piece must be base64");
    free(bytes);
    return ok;
}

void templates_handle_piece(struct templates *templates, struct ipc_exchange *exchange,
                            const struct ipc_request *message)
{
    struct template_piece body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_piece_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    struct work *work = work_find(templates, body.template_id);
    if (work == NULL || strcmp(work->user_id, body.user_id) != 0) {
        refuse_piece(request, &body);
    } else if (!add_piece(work, &body, &err)) {
        finish_failed(request, &err);
    } else if (!body.last) {
        finish(request, VIEW("{}"));
    } else {
        work->is_whole = true;
        if (!template_store_take_up(templates->store, body.template_id, body.user_id, on_taken_up,
                                    request, &err)) {
            finish_failed(request, &err);
        }
    }
}

static struct view status_of(const struct work *work)
{
    if (work->ended) {
        return work->failure == NULL ? VIEW(TEMPLATE_READY) : VIEW(TEMPLATE_FAILED);
    }
    return work->has_folder && !work->is_whole ? VIEW(TEMPLATE_WAITING) : VIEW(TEMPLATE_MAKING);
}

static void finish_with_work(struct request *request, const struct work *work)
{
    uint64_t from = request->from;
    struct view text = progress_log(&work->progress, &from);
    struct template_log_answer answer = {
        .text = text,
        .from = (int64_t)from,
        .next = (int64_t)(from + text.len),
        .status = status_of(work),
        .failure = work->failure == NULL ? (struct view){0} : view_of(work->failure),
    };
    progress_bytes(&work->progress, &answer.bytes, &answer.bytes_total);
    finish_with(request, &template_log_answer_schema, &answer);
}

static void on_news(void *arg)
{
    struct request *request = arg;
    const struct work *work = work_find(request->templates, request->template_id);
    if (work == NULL) {
        finish_not_found(request);
    } else {
        finish_with_work(request, work);
    }
}

static void on_logged(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL || pg_rows(result) == 0) {
        if (err != NULL) {
            finish_failed(request, err);
        } else {
            finish_not_found(request);
        }
        return;
    }
    /* Only the end is kept, so that its places are not those of the making any more: who had heard
     * a part of it hears no more, and who begins hears what there is. */
    struct view text = request->from == 0 ? template_store_log(result) : (struct view){0};
    const struct template_log_answer answer = {
        .text = text,
        .from = (int64_t)request->from,
        .next = (int64_t)(request->from + text.len),
        .status = template_store_status(result),
        .failure = template_store_failure(result),
    };
    finish_with(request, &template_log_answer_schema, &answer);
}

/* Waits when there is nothing to say yet. */
static void listen_to(struct request *request, struct work *work, int64_t wait_ms)
{
    struct err err = {0};
    if (work->ended || progress_log_end(&work->progress) > request->from ||
        wait_ms < LOG_LEAST_MS) {
        finish_with_work(request, work);
        return;
    }
    if (!timer_open(&request->wait, request->templates->sandboxes->loop, on_news, request, &err)) {
        finish_failed(request, &err);
        return;
    }
    timer_arm(&request->wait, wait_ms);
    request->listener.on_news = on_news;
    request->listener.arg = request;
    list_append(&work->listeners, &request->listener.node);
}

void templates_handle_log(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message)
{
    struct template_log body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct request *request =
        begin(templates, exchange, message, &template_log_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    request->from = (uint64_t)body.from;
    struct work *work = work_find(templates, body.template_id);
    if (work != NULL && strcmp(work->user_id, body.user_id) == 0) {
        listen_to(request, work, body.wait_ms);
    } else if (!template_store_get(templates->store, body.user_id, view_of(body.template_id),
                                   on_logged, request, &err)) {
        finish_failed(request, &err);
    }
}
