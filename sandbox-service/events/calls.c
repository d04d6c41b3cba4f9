#include "sandbox-service/events/calls.h"

#include "common/audit/act.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "sandbox-service/events/events.h"
#include "sandbox-service/events/signature.h"
#include "sandbox-service/events/store.h"
#include "sandbox-service/events/target.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ANSWER_MAX = 3 * 1024 * 1024 + 64 * 1024,
    ITEMS_MAX = 3 * 1024 * 1024,
    WEBHOOK_MAX = 16 * 1024,
    CURSOR_SIZE = 24,
};

/* One call, until the database has answered. */
struct event_request {
    struct events *events;         /* borrowed */
    struct ipc_exchange *exchange; /* answered once */
    struct audit_act *act;         /* owned; of those that change something, until it is done */
    char webhook_id[ID_SIZE];      /* which they change */
    int64_t after;                 /* of a list of events, or of dead deliveries */
    int64_t limit;
    bool is_of_one; /* sandbox */
};

/* The only two ways out of a request. */
static void finish(struct event_request *request, struct view body)
{
    audit_act_end_with(request->act, request->webhook_id, NULL);
    ipc_reply_ok(request->exchange, body);
    events_request_ended(request->events);
    free(request);
}

static void finish_failed(struct event_request *request, const struct err *err)
{
    audit_act_end_with(request->act, request->webhook_id, err);
    ipc_reply_error(request->exchange, err);
    events_request_ended(request->events);
    free(request);
}

static void finish_with(struct event_request *request, const struct json_schema *schema,
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

static void finish_not_found(struct event_request *request)
{
    struct err err = {0};
    err_set_reason(&err, ERR_NOT_FOUND, "webhook_not_found", "There is no such webhook.");
    finish_failed(request, &err);
}

/* Reads the message into body. NULL: answered with what is wrong. */
static struct event_request *begin(struct events *events, struct ipc_exchange *exchange,
                                   const struct ipc_request *message,
                                   const struct json_schema *schema, void *body,
                                   struct json_doc **doc)
{
    struct err err = {0};
    *doc = json_read(message->body, schema, body, NULL, &err);
    struct event_request *request = *doc == NULL ? NULL : calloc(1, sizeof *request);
    if (request == NULL) {
        if (*doc != NULL) {
            err_set(&err, ERR_INTERNAL, "request: out of memory");
        }
        log_warn("ipc.unreadable", LOG_STR("method", message->method), LOG_TRACE(&message->trace),
                 LOG_ERR(&err));
        ipc_reply_error(exchange, &err);
        return NULL;
    }
    request->events = events;
    request->exchange = exchange;
    events_request_began(events);
    return request;
}

/* False, and the request is answered, when there is no room for its record. */
static bool begin_act(struct event_request *request, enum audit_action action,
                      const struct ipc_request *message, const char user_id[ID_SIZE],
                      const char webhook_id[ID_SIZE])
{
    struct err err = {0};
    memcpy(request->webhook_id, webhook_id, ID_SIZE);
    request->act = audit_act_begin_by(events_sandboxes(request->events)->audit, action, "webhook",
                                      &message->actor, message->trace.request_id, &err);
    if (request->act == NULL) {
        finish_failed(request, &err);
        return false;
    }
    memcpy(audit_act_record(request->act)->actor_user, user_id, ID_SIZE);
    return true;
}

/* All texts of a page lie in one buffer, each behind the other. */
static bool write_page(const PGresult *result, int count, struct str *texts,
                       size_t ends[EVENT_LIST_MAX], struct err *err)
{
    for (int row = 0; row < count; row++) {
        const struct event_row event = event_store_page_event(result, row);
        event_text_write(&event, texts);
        ends[row] = texts->len;
    }
    return str_check(texts, "a page of events", err);
}

static void finish_page(struct event_request *request, const PGresult *result,
                        const struct event_store_page *page, const struct str *texts,
                        const size_t ends[EVENT_LIST_MAX])
{
    struct view items[EVENT_LIST_MAX];
    struct event_page answer = {.events = {items, (size_t)page->count},
                                .next = request->after,
                                .is_over = page->is_ended && request->is_of_one &&
                                           page->count < request->limit};
    for (int row = 0; row < page->count; row++) {
        size_t begins = row == 0 ? 0 : ends[row - 1];
        items[row] = (struct view){texts->data + begins, ends[row] - begins};
    }
    if (page->count > 0) {
        const struct event_row last = event_store_page_event(result, page->count - 1);
        answer.next = pg_int(result, last.row, last.first + EVENT_SEQ);
    } else if (request->after == EVENT_LIST_NEWEST) {
        answer.next = page->newest;
        answer.is_over = false;
    }
    finish_with(request, &event_page_schema, &answer);
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    struct err failure = {0};
    struct event_store_page page;
    size_t ends[EVENT_LIST_MAX];
    AUTO(str_free) struct str texts = STR_INIT((size_t)EVENT_LIST_MAX * EVENT_TEXT_MAX);
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    event_store_read_page(result, &page);
    page.count = page.count < EVENT_LIST_MAX ? page.count : EVENT_LIST_MAX;
    if (write_page(result, page.count, &texts, ends, &failure)) {
        finish_page(request, result, &page, &texts, ends);
    } else {
        finish_failed(request, &failure);
    }
}

void events_handle_list(struct events *events, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct event_list body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &event_list_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    request->after = body.after;
    request->limit = body.limit;
    request->is_of_one = body.sandbox_id[0] != '\0';
    if (!event_store_list(events_store(events), &body, on_listed, request, &err)) {
        finish_failed(request, &err);
    }
}

static bool write_secret(const struct events *events, const char *webhook_id,
                         char out[WEBHOOK_SECRET_SIZE], struct err *err)
{
    struct signature_key key;
    char id[ID_SIZE];
    struct view secret = view_of(events_sandboxes(events)->config->agent_jwt_secret);
    if (!id_parse(view_of(webhook_id), id)) {
        return err_set(err, ERR_INTERNAL, "the id of a webhook can't be read");
    }
    bool ok = signature_key_derive(secret, id, &key, err);
    if (ok) {
        signature_key_write(&key, out);
    }
    secret_wipe(&key, sizeof key);
    return ok;
}

static void on_created(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    struct err failure = {0};
    char secret[WEBHOOK_SECRET_SIZE];
    AUTO(str_free) struct str text = STR_INIT(WEBHOOK_MAX);
    struct json_writer json = json_writer_on(&text);
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    webhook_store_write(result, 0, &json);
    if (!str_check(&text, "a webhook", &failure) ||
        !write_secret(request->events, webhook_store_read_id(result, 0), secret, &failure)) {
        finish_failed(request, &failure);
        return;
    }
    if (webhook_store_read_is_new(result)) {
        log_info("webhook.created", LOG_STR("webhook_id", request->webhook_id));
    } else {
        audit_act_cancel(TAKE(request->act)); /* it was asked for before */
    }
    const struct webhook_made made = {.webhook = str_view(&text), .secret = view_of(secret)};
    finish_with(request, &webhook_made_schema, &made);
    secret_wipe(secret, sizeof secret);
}

void events_handle_webhook_create(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message)
{
    struct webhook_create body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &webhook_create_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    if (body.id[0] == '\0' && !id_new(body.id, &err)) {
        finish_failed(request, &err);
        return;
    }
    if (begin_act(request, AUDIT_WEBHOOK_CREATED, message, body.user_id, body.id) &&
        (!target_url_check(events_policy(events), body.url, &err) ||
         !webhook_store_create(events_store(events), &body, on_created, request, &err))) {
        finish_failed(request, &err);
    }
}

static void finish_items(struct event_request *request, const struct str *items,
                         const char *next_cursor)
{
    struct err err = {0};
    if (!str_check(items, "a list", &err)) {
        finish_failed(request, &err);
        return;
    }
    const struct webhook_array answer = {.items = str_view(items),
                                         .next_cursor = view_of(next_cursor)};
    finish_with(request, &webhook_array_schema, &answer);
}

static void on_webhooks(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    AUTO(str_free) struct str items = STR_INIT(ITEMS_MAX);
    struct json_writer json = json_writer_on(&items);
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        webhook_store_write(result, row, &json);
    }
    json_end_array(&json);
    finish_items(request, &items, "");
}

void events_handle_webhook_list(struct events *events, struct ipc_exchange *exchange,
                                const struct ipc_request *message)
{
    struct webhook_list body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &webhook_list_schema, &body, &doc);
    if (request != NULL &&
        !webhook_store_list(events_store(events), body.user_id, on_webhooks, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_removed(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    if (err != NULL) {
        finish_failed(request, err);
    } else if (pg_rows(result) == 0) {
        finish_not_found(request);
    } else {
        log_info("webhook.removed", LOG_STR("webhook_id", request->webhook_id));
        finish(request, VIEW("{}"));
    }
}

void events_handle_webhook_remove(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message)
{
    struct webhook_name body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &webhook_name_schema, &body, &doc);
    if (request != NULL &&
        begin_act(request, AUDIT_WEBHOOK_REMOVED, message, body.user_id, body.id) &&
        !webhook_store_remove(events_store(events), &body, on_removed, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_queued(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    const struct webhook_redelivered answer = {webhook_store_read_queued(result)};
    if (answer.queued < 0) {
        finish_not_found(request);
        return;
    }
    events_look(request->events);
    finish_with(request, &webhook_redelivered_schema, &answer);
}

void events_handle_webhook_redeliver(struct events *events, struct ipc_exchange *exchange,
                                     const struct ipc_request *message)
{
    struct webhook_name body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &webhook_name_schema, &body, &doc);
    if (request != NULL &&
        !webhook_store_redeliver(events_store(events), &body, on_queued, request, &err)) {
        finish_failed(request, &err);
    }
}

static void on_dead(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    char cursor[CURSOR_SIZE] = "";
    AUTO(str_free) struct str items = STR_INIT(ITEMS_MAX);
    struct json_writer json = json_writer_on(&items);
    if (err != NULL) {
        finish_failed(request, err);
        return;
    }
    if (pg_rows(result) == 0) {
        finish_not_found(request);
        return;
    }
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        int64_t id = webhook_store_read_dead_id(result, row);
        if (id != 0 && row < request->limit) {
            webhook_store_write_dead(result, row, &json);
        } else if (row == request->limit) {
            (void)snprintf(cursor, sizeof cursor, "%" PRId64,
                           webhook_store_read_dead_id(result, row - 1));
        }
    }
    json_end_array(&json);
    finish_items(request, &items, cursor);
}

/* A cursor is the number of the last delivery shown. */
static bool read_cursor(struct view cursor, int64_t *out, struct err *err)
{
    enum { DIGITS_MAX = 18 };
    bool is_number = cursor.len <= DIGITS_MAX;
    *out = 0;
    for (size_t i = 0; is_number && i < cursor.len; i++) {
        is_number = cursor.ptr[i] >= '0' && cursor.ptr[i] <= '9';
        *out = *out * 10 + (cursor.ptr[i] - '0');
    }
    return (is_number && (*out > 0 || cursor.len == 0)) ||
           err_set_reason(err, ERR_INVALID, "invalid_cursor", "The cursor is not one of ours.");
}

void events_handle_webhook_dead(struct events *events, struct ipc_exchange *exchange,
                                const struct ipc_request *message)
{
    struct webhook_dead_letters body;
    struct err err = {0};
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    struct event_request *request =
        begin(events, exchange, message, &webhook_dead_letters_schema, &body, &doc);
    if (request == NULL) {
        return;
    }
    request->limit = body.limit;
    if (!read_cursor(body.cursor, &request->after, &err) ||
        !webhook_store_dead(events_store(events), &body, request->after, on_dead, request, &err)) {
        finish_failed(request, &err);
    }
}
