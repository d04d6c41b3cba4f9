/* POST /sandbox/execute: a program, run once in a sandbox of its own.
 * POST /sandbox/execute/batch: several such, a few at a time; each has its own answer or error. */
#include "common/json/scan.h"
#include "common/json/write.h"
#include "gateway/native/errors.h"
#include "gateway/native/execution.h"
#include "gateway/native/routes.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BATCH_MAX = 20,
    BATCH_AT_A_TIME = 4,
    BATCH_ANSWER_MAX = 2 * EXECUTION_ANSWER_MAX,
    BATCH_FRAME_MAX = 64, /* of it, besides the items and their commas */
};
static_assert(BATCH_ANSWER_MAX / BATCH_MAX > EXECUTION_ANSWER_LEAST, "each item has enough");

/* The work of a request for one. */
struct single {
    struct execute_order order;
    struct execution *execution; /* NULL when it is over */
};

static void end_single(void *work)
{
    struct single *single = work;
    if (single->execution != NULL) {
        execution_cancel(TAKE(single->execution));
    }
    execute_order_free(&single->order);
}

static void on_single_done(const struct view *answer, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct single *single = request->work;
    single->execution = NULL;
    if (err != NULL) {
        request_fail(request, err);
        return;
    }
    const struct http_response response = {.status = 200, .body = *answer};
    request_respond(request, &response);
}

static void fail_without_memory(struct request *request)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, "execute: out of memory");
    request_fail(request, &err);
}

void sandbox_execute_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {.count = 0};
    struct single *single = calloc(1, sizeof *single);
    if (single == NULL) {
        fail_without_memory(request);
        return;
    }
    request_set_work(request, single, end_single);
    if (execute_order_read(request->body, &single->order, &violations, &err)) {
        request_add_detail(request, "language", view_of(single->order.language->name));
        single->execution = execution_begin(request, &single->order, EXECUTION_ANSWER_MAX,
                                            on_single_done, request, &err);
    }
    if (single->execution == NULL) {
        request_fail_validation(request, &err, &violations);
    }
}

struct batch;

struct batch_item {
    struct batch *batch; /* borrowed */
    enum { ITEM_WAITS, ITEM_RUNS, ITEM_OVER } state;
    struct execute_order order;
    struct execution *execution; /* of one that runs */
    struct str answer;           /* of one that is over */
};

/* The work of a request for many. */
struct batch {
    struct request *request; /* borrowed */
    struct batch_item items[BATCH_MAX];
    size_t count;
    size_t running;
    size_t at_a_time; /* less, once that is more than the caller may have */
    struct json_violations violations;
    int64_t runs_ms; /* of all, each for as long as it may */
    struct err err;  /* of the first item that can't be read */
};

static void end_batch(void *work)
{
    struct batch *batch = work;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        if (item->execution != NULL) {
            execution_cancel(TAKE(item->execution));
        }
        execute_order_free(&item->order);
        str_free(&item->answer);
    }
}

static void write_error(struct batch_item *item, const struct err *err)
{
    struct json_writer writer = json_writer_on(&item->answer);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "success", false);
    json_string(&writer, "error", view_of(errors_sentence(err)));
    json_string(&writer, "code", view_of(errors_code(err)));
    json_end_object(&writer);
}

static void answer_batch(struct batch *batch)
{
    AUTO(str_free) struct str out = STR_INIT(BATCH_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_begin_array(&writer, "results");
    for (size_t i = 0; i < batch->count; i++) {
        json_raw(&writer, NULL, str_view(&batch->items[i].answer));
        str_free(&batch->items[i].answer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
    request_respond_json(batch->request, 200, &out);
}

/* The caller has no room for one more: it waits for one of the others to end, if there are any. */
static bool wants_room(const struct batch *batch, const struct err *err)
{
    bool is_full = strcmp(err->reason, "quota_exceeded") == 0 ||
                   strcmp(err->reason, "key_quota_exceeded") == 0;
    return is_full && batch->running > 0;
}

static void run_waiting(struct batch *batch);

static void on_item_done(const struct view *answer, const struct err *err, void *arg)
{
    struct batch_item *item = arg;
    struct batch *batch = item->batch;
    item->execution = NULL;
    item->state = ITEM_OVER;
    batch->running--;
    if (err == NULL) {
        str_append_view(&item->answer, *answer);
    } else if (wants_room(batch, err)) {
        item->state = ITEM_WAITS;
        batch->at_a_time = batch->running;
    } else {
        write_error(item, err);
    }
    run_waiting(batch);
}

/* Each item has the same share, so that one with much to say takes no other's. */
static size_t item_answer_max(const struct batch *batch)
{
    size_t share = (BATCH_ANSWER_MAX - BATCH_FRAME_MAX) / batch->count - 1;
    return share < EXECUTION_ANSWER_MAX ? share : EXECUTION_ANSWER_MAX;
}

static void run_item(struct batch_item *item)
{
    struct err err = {0};
    item->execution = execution_begin(item->batch->request, &item->order,
                                      item_answer_max(item->batch), on_item_done, item, &err);
    if (item->execution == NULL) {
        item->state = ITEM_OVER;
        write_error(item, &err);
        return;
    }
    item->state = ITEM_RUNS;
    item->batch->running++;
}

static void run_waiting(struct batch *batch)
{
    for (size_t i = 0; i < batch->count && batch->running < batch->at_a_time; i++) {
        if (batch->items[i].state == ITEM_WAITS) {
            run_item(&batch->items[i]);
        }
    }
    if (batch->running == 0) {
        answer_batch(batch);
    }
}

static void on_item(struct view text, void *arg)
{
    struct batch *batch = arg;
    if (batch->err.code != ERR_NONE) {
        return;
    }
    if (batch->count == BATCH_MAX) {
        err_set_reason(&batch->err, ERR_INVALID, "validation_failed", "items must be at most %d",
                       BATCH_MAX);
        return;
    }
    struct batch_item *item = &batch->items[batch->count];
    *item = (struct batch_item){.batch = batch, .answer = STR_INIT(EXECUTION_ANSWER_MAX)};
    batch->count++;
    if (!execute_order_read(text, &item->order, &batch->violations, &batch->err)) {
        err_wrap(&batch->err, "items[%zu]", batch->count - 1);
    }
    batch->runs_ms += execute_order_runs_ms(&item->order);
}

static bool check_batch(const struct batch *batch, struct err *err)
{
    if (batch->err.code != ERR_NONE) {
        *err = batch->err;
        return false;
    }
    if (batch->count == 0) {
        return err_set_reason(err, ERR_INVALID, "validation_failed", "items must not be empty");
    }
    return batch->runs_ms <= EXECUTE_TOTAL_MS_MAX ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "timeouts must be less: all items together may take %d ms at most",
                          EXECUTE_TOTAL_MS_MAX);
}

static bool read_batch(struct batch *batch, struct err *err)
{
    struct body {
        struct view items;
    } body;
    static const struct json_field fields[] = {
        JSON_ARRAY(struct body, items, "items", .required = true),
    };
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(batch->request->body, &schema, &body, &batch->violations, err);
    return doc != NULL && json_scan_items(body.items, on_item, batch, err) &&
           check_batch(batch, err);
}

void sandbox_execute_batch_handle(struct request *request)
{
    struct err err = {0};
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        fail_without_memory(request);
        return;
    }
    batch->request = request;
    batch->at_a_time = BATCH_AT_A_TIME;
    request_set_work(request, batch, end_batch);
    if (read_batch(batch, &err)) {
        run_waiting(batch);
    } else {
        request_fail_validation(request, &err, &batch->violations);
    }
}
