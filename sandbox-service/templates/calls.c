#include "sandbox-service/templates/calls.h"

#include "common/base/crash_point.h"
#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/json/write.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/network/policy.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/templates/templates.h"

#include <stdlib.h>

enum {
    LIST_MAX = 3 * 1024 * 1024,
    LOG_LEAST_MS = 1000,
    LOG_LOOK_MS = 2000, /* between looks at the row of a template that is not made here */
};

/* One call that takes more than this turn of the loop. */
struct request {
    struct call call;
    struct templates *templates; /* borrowed */
    struct work *work;           /* of a create: owned until it is taken */
    char template_id[ID_SIZE];
    char user_id[ID_SIZE]; /* of a log, as the next four */
    uint64_t from;
    int64_t wait_ms;
    struct work_listener listener;
    struct timer wait;
};

size_t templates_open_requests(const struct templates *templates)
{
    return templates->calls.open;
}

static void release(struct call *call)
{
    struct request *request = (struct request *)call;
    list_remove(&request->listener.node);
    timer_close(&request->wait);
    work_free(request->work);
}

void templates_calls_init(struct templates *templates)
{
    templates->calls = (struct calls){.part = templates,
                                      .audit = templates->sandboxes->audit,
                                      .target_kind = "template",
                                      .size = sizeof(struct request),
                                      .release = release};
}

static void finish_not_found(struct request *request)
{
    call_fail_with(&request->call, ERR_NOT_FOUND, "template_not_found",
                   "there is no such template");
}

/* NULL: answered with what is wrong. */
static struct request *begin(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message, const struct json_schema *schema,
                             void *body)
{
    struct request *request = call_begin(&templates->calls, exchange, message, schema, body);
    if (request != NULL) {
        request->templates = templates;
    }
    return request;
}

/* The template is the request's, when it is known. False: it is answered. */
static bool begin_act(struct request *request, enum audit_action action, const char *user_id)
{
    const struct call_act act = {
        .action = action, .user_id = user_id, .target = view_of(request->template_id)};
    return call_begin_act(&request->call, &act);
}

/* One that the operator offers, and that the engine has. */
static bool check_runtime(const struct templates *templates, struct view runtime, struct err *err)
{
    const struct sandboxes *sandboxes = templates->sandboxes;
    if (!wire_list_has(sandboxes->config->template_runtimes, runtime)) {
        return err_set_reason(err, ERR_INVALID, "runtime_not_allowed",
                              "this runtime is not offered here");
    }
    return wire_list_has(sandboxes->runtimes, runtime) ||
           err_set_reason(err, ERR_UNAVAILABLE, "runtime_unavailable",
                          "the engine does not have this runtime");
}

static bool check_allow(const struct template_settings *settings, struct err *err)
{
    struct policy *policy = policy_read(&settings->allow, err);
    free(policy);
    return policy != NULL;
}

/* What can be said before anything is written down. */
static bool check_create(const struct templates *templates, const struct template_create *create,
                         struct err *err)
{
    struct template_settings settings = {0};
    const struct sandbox_config *config = templates->sandboxes->config;
    char sandbox_id[ID_SIZE];
    bool is_build = view_equal(create->source, VIEW(TEMPLATE_FROM_DOCKERFILE));
    bool is_snapshot = view_equal(create->source, VIEW(TEMPLATE_FROM_SNAPSHOT)) ||
                       view_equal(create->source, VIEW(TEMPLATE_FROM_FORK));
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(create->settings, &template_settings_schema, &settings, NULL, err);
    if (doc == NULL || !template_settings_check(&settings, err)) {
        return false;
    }
    if (!check_allow(&settings, err)) {
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
    return view_equal(create->source, VIEW(TEMPLATE_FROM_COPY)) ||
           making_check(&templates->shared, is_build ? (struct view){0} : create->reference,
                        is_build ? create->reference : (struct view){0}, err);
}

static bool is_over(struct view status)
{
    return view_equal(status, VIEW(TEMPLATE_READY)) || view_equal(status, VIEW(TEMPLATE_FAILED));
}

/* Asked again, the row may be there, and its work too, or it is made elsewhere: then nothing new
 * begins. */
static void on_begun(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    CRASH_POINT("template.after_row");
    if (!is_over(template_store_status(result)) && template_store_is_here(result) &&
        work_find(request->templates, request->template_id) == NULL) {
        struct work *work = TAKE(request->work);
        if (work->is_copy) { /* the name was for the database to look for */
            str_clear(&work->source);
            str_append_view(&work->source, template_store_reference(result));
        }
        work_begin(work);
    }
    const struct template_shown answer = {template_store_shown(result, 0)};
    call_finish_with(&request->call, &template_shown_schema, &answer);
}

void templates_handle_create(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message)
{
    struct template_create body;
    struct err err = {0};
    struct request *request = begin(templates, exchange, message, &template_create_schema, &body);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    if (!begin_act(request, AUDIT_TEMPLATE_CREATED, body.user_id)) {
        return;
    }
    audit_record_add_detail(audit_act_record(request->call.act), "name", body.name);
    audit_record_add_detail(audit_act_record(request->call.act), "source", body.source);
    if (!check_create(templates, &body, &err) ||
        (request->work = work_new(templates, &body, &err)) == NULL ||
        !template_store_begin(templates->store, &body, request->work->image, on_begun, request,
                              &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_got(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        finish_not_found(request);
    } else {
        const struct template_shown answer = {template_store_shown(result, 0)};
        call_finish_with(&request->call, &template_shown_schema, &answer);
    }
}

void templates_handle_get(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message)
{
    struct template_named body;
    struct err err = {0};
    struct request *request = begin(templates, exchange, message, &template_named_schema, &body);
    if (request != NULL && !template_store_get(templates->store, body.user_id, body.template_name,
                                               on_got, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    AUTO(str_free) struct str items = STR_INIT(LIST_MAX);
    struct json_writer json = json_writer_on(&items);
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_raw(&json, NULL, template_store_shown(result, row));
    }
    json_end_array(&json);
    if (!str_check(&items, "the templates", &failure)) {
        call_fail(&request->call, &failure);
        return;
    }
    const struct template_page page = {str_view(&items)};
    call_finish_with(&request->call, &template_page_schema, &page);
}

void templates_handle_list(struct templates *templates, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct template_list body;
    struct err err = {0};
    struct request *request = begin(templates, exchange, message, &template_list_schema, &body);
    if (request != NULL &&
        !template_store_list(templates->store, &body, on_listed, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_deleted(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    char image[MAKING_IMAGE_SIZE];
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    CRASH_POINT("template_removal.after_row");
    template_store_removed_id(result, request->template_id);
    call_set_target(&request->call, view_of(request->template_id));
    struct work *work = work_find(request->templates, request->template_id);
    if (work != NULL) {
        work_drop(work);
    }
    if (view_copy(template_store_removed_image(result), image, sizeof image)) {
        templates_remove_image(request->templates, image);
    }
    log_info("template.removed", LOG_TRACE(&request->call.message->trace),
             LOG_STR("template_id", request->template_id));
    call_finish_empty(&request->call);
}

void templates_handle_delete(struct templates *templates, struct ipc_exchange *exchange,
                             const struct ipc_request *message)
{
    struct template_named body;
    struct err err = {0};
    struct request *request = begin(templates, exchange, message, &template_named_schema, &body);
    if (request == NULL || !begin_act(request, AUDIT_TEMPLATE_REMOVED, body.user_id)) {
        return;
    }
    audit_record_add_detail(audit_act_record(request->call.act), "name", body.template_name);
    if (!template_store_remove(templates->store, body.user_id, body.template_name, on_deleted,
                               request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_taken_up(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct err failure = {0};
    struct work *work = work_find(request->templates, request->template_id);
    if (work != NULL && work->ended) {
        work = NULL; /* it waited for too long while the row was asked */
    }
    if (err != NULL || work == NULL || !template_store_moved(result)) {
        err_set_reason(&failure, ERR_CONFLICT, "template_not_waiting",
                       "the template waits for no folder");
        if (work != NULL) {
            work->is_whole = false; /* the last piece may come again */
        }
        call_fail(&request->call, err == NULL ? &failure : err);
        return;
    }
    work_enqueue(work);
    call_finish_empty(&request->call);
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
    call_fail(&request->call, err == NULL ? &failure : err);
}

/* Those of others are not there. */
static void refuse_piece(struct request *request, const struct template_piece *piece)
{
    struct err err = {0};
    if (!template_store_get(request->templates->store, piece->user_id, view_of(piece->template_id),
                            on_not_waiting, request, &err)) {
        call_fail(&request->call, &err);
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
    struct request *request = begin(templates, exchange, message, &template_piece_schema, &body);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    struct work *work = work_find(templates, body.template_id);
    if (work == NULL || strcmp(work->user_id, body.user_id) != 0) {
        refuse_piece(request, &body);
    } else if (!add_piece(work, &body, &err)) {
        call_fail(&request->call, &err);
    } else if (!body.last) {
        call_finish_empty(&request->call);
    } else {
        work->is_whole = true;
        if (!template_store_take_up(templates->store, body.template_id, body.user_id, on_taken_up,
                                    request, &err)) {
            work->is_whole = false; /* the last piece may come again */
            call_fail(&request->call, &err);
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
    call_finish_with(&request->call, &template_log_answer_schema, &answer);
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

static void finish_with_row(struct request *request, const PGresult *result)
{
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
    call_finish_with(&request->call, &template_log_answer_schema, &answer);
}

/* on_due comes behind delay_ms, or when listeners are told. */
static void await(struct request *request, struct list *listeners, int64_t delay_ms,
                  void (*on_due)(void *arg))
{
    struct err err = {0};
    timer_close(&request->wait);
    if (!timer_open(&request->wait, request->templates->sandboxes->loop, on_due, request, &err)) {
        call_fail(&request->call, &err);
        return;
    }
    timer_arm(&request->wait, delay_ms);
    request->listener.on_news = on_due;
    request->listener.arg = request;
    list_append(listeners, &request->listener.node);
}

static pg_result_fn on_logged;

static void look_at_row(struct request *request)
{
    struct err err = {0};
    if (!template_store_get(request->templates->store, request->user_id,
                            view_of(request->template_id), on_logged, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static int64_t look_delay_ms(const struct request *request)
{
    return request->wait_ms < LOG_LOOK_MS ? request->wait_ms : LOG_LOOK_MS;
}

static void on_look(void *arg)
{
    struct request *request = arg;
    list_remove(&request->listener.node);
    request->wait_ms -= look_delay_ms(request);
    look_at_row(request);
}

/* One that is made elsewhere has nothing to say before its end: whoever listens is not answered
 * sooner than asked for, as they ask again at once. */
static void on_logged(const PGresult *result, const struct err *err, void *arg)
{
    struct request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        finish_not_found(request);
    } else if (!is_over(template_store_status(result)) && request->wait_ms >= LOG_LEAST_MS) {
        await(request, &request->templates->lookers, look_delay_ms(request), on_look);
    } else {
        finish_with_row(request, result);
    }
}

/* Waits when there is nothing to say yet. */
static void listen_to(struct request *request, struct work *work)
{
    if (work->ended || progress_log_end(&work->progress) > request->from ||
        request->wait_ms < LOG_LEAST_MS) {
        finish_with_work(request, work);
    } else {
        await(request, &work->listeners, request->wait_ms, on_news);
    }
}

void templates_handle_log(struct templates *templates, struct ipc_exchange *exchange,
                          const struct ipc_request *message)
{
    struct template_log body;
    struct request *request = begin(templates, exchange, message, &template_log_schema, &body);
    if (request == NULL) {
        return;
    }
    memcpy(request->template_id, body.template_id, ID_SIZE);
    memcpy(request->user_id, body.user_id, ID_SIZE);
    request->from = (uint64_t)body.from;
    request->wait_ms = body.wait_ms;
    struct work *work = work_find(templates, body.template_id);
    if (work != NULL && strcmp(work->user_id, body.user_id) == 0) {
        listen_to(request, work);
    } else {
        look_at_row(request);
    }
}
