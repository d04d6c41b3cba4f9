#include "sandbox-service/events/calls.h"

#include "common/base/log.h"
#include "common/base/secret.h"
#include "sandbox-service/call.h"
#include "sandbox-service/events/events.h"
#include "sandbox-service/events/signature.h"
#include "sandbox-service/events/store.h"
#include "sandbox-service/events/target.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ITEMS_MAX = 3 * 1024 * 1024,
    WEBHOOK_MAX = 16 * 1024,
    CURSOR_SIZE = 24,
};

/* One call, until the database has answered. */
struct event_request {
    struct call call; /* its act's target is the webhook that it changes */
    int64_t after;    /* of a list of events, or of dead deliveries */
    int64_t limit;
    bool is_of_one; /* sandbox */
};

void events_calls_init(struct calls *calls, struct events *events)
{
    *calls = (struct calls){.part = events,
                            .audit = events_sandboxes(events)->audit,
                            .target_kind = "webhook",
                            .size = sizeof(struct event_request)};
}

static void finish_not_found(struct event_request *request)
{
    call_fail_with(&request->call, ERR_NOT_FOUND, "webhook_not_found", "There is no such webhook.");
}

static bool begin_act(struct event_request *request, enum audit_action action,
                      const char user_id[ID_SIZE], const char webhook_id[ID_SIZE])
{
    const struct call_act act = {
        .action = action, .user_id = user_id, .target = view_of(webhook_id)};
    return call_begin_act(&request->call, &act);
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
    call_finish_with(&request->call, &event_page_schema, &answer);
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    struct err failure = {0};
    struct event_store_page page;
    size_t ends[EVENT_LIST_MAX];
    AUTO(str_free) struct str texts = STR_INIT((size_t)EVENT_LIST_MAX * EVENT_TEXT_MAX);
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    event_store_read_page(result, &page);
    page.count = page.count < EVENT_LIST_MAX ? page.count : EVENT_LIST_MAX;
    if (write_page(result, page.count, &texts, ends, &failure)) {
        finish_page(request, result, &page, &texts, ends);
    } else {
        call_fail(&request->call, &failure);
    }
}

void events_handle_list(struct events *events, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct event_list body;
    struct err err = {0};
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &event_list_schema, &body);
    if (request == NULL) {
        return;
    }
    request->after = body.after;
    request->limit = body.limit;
    request->is_of_one = body.sandbox_id[0] != '\0';
    if (!event_store_list(events_store(events), &body, on_listed, request, &err)) {
        call_fail(&request->call, &err);
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
        call_fail(&request->call, err);
        return;
    }
    webhook_store_write(result, 0, &json);
    if (!str_check(&text, "a webhook", &failure) ||
        !write_secret(request->call.calls->part, webhook_store_read_id(result, 0), secret,
                      &failure)) {
        call_fail(&request->call, &failure);
        return;
    }
    if (webhook_store_read_is_new(result)) {
        log_info("webhook.created", LOG_STR("webhook_id", request->call.target));
    } else {
        call_forget_act(&request->call); /* it was asked for before */
    }
    const struct webhook_made made = {.webhook = str_view(&text), .secret = view_of(secret)};
    call_finish_with(&request->call, &webhook_made_schema, &made);
    secret_wipe(secret, sizeof secret);
}

void events_handle_webhook_create(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message)
{
    struct webhook_create body;
    struct err err = {0};
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &webhook_create_schema, &body);
    if (request == NULL) {
        return;
    }
    if (body.id[0] == '\0' && !id_new(body.id, &err)) {
        call_fail(&request->call, &err);
        return;
    }
    if (begin_act(request, AUDIT_WEBHOOK_CREATED, body.user_id, body.id) &&
        (!target_url_check(events_policy(events), body.url, &err) ||
         !webhook_store_create(events_store(events), &body, on_created, request, &err))) {
        call_fail(&request->call, &err);
    }
}

static void finish_items(struct event_request *request, const struct str *items,
                         const char *next_cursor)
{
    struct err err = {0};
    if (!str_check(items, "a list", &err)) {
        call_fail(&request->call, &err);
        return;
    }
    const struct webhook_array answer = {.items = str_view(items),
                                         .next_cursor = view_of(next_cursor)};
    call_finish_with(&request->call, &webhook_array_schema, &answer);
}

static void on_webhooks(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    AUTO(str_free) struct str items = STR_INIT(ITEMS_MAX);
    struct json_writer json = json_writer_on(&items);
    if (err != NULL) {
        call_fail(&request->call, err);
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
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &webhook_list_schema, &body);
    if (request != NULL &&
        !webhook_store_list(events_store(events), body.user_id, on_webhooks, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_removed(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        finish_not_found(request);
    } else {
        log_info("webhook.removed", LOG_STR("webhook_id", request->call.target));
        call_finish_empty(&request->call);
    }
}

void events_handle_webhook_remove(struct events *events, struct ipc_exchange *exchange,
                                  const struct ipc_request *message)
{
    struct webhook_name body;
    struct err err = {0};
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &webhook_name_schema, &body);
    if (request != NULL && begin_act(request, AUDIT_WEBHOOK_REMOVED, body.user_id, body.id) &&
        !webhook_store_remove(events_store(events), &body, on_removed, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_queued(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    const struct webhook_redelivered answer = {webhook_store_read_queued(result)};
    if (answer.queued < 0) {
        finish_not_found(request);
        return;
    }
    log_info("webhook.redelivered", LOG_STR("webhook_id", request->call.target),
             LOG_INT("queued", answer.queued));
    events_look(request->call.calls->part);
    call_finish_with(&request->call, &webhook_redelivered_schema, &answer);
}

void events_handle_webhook_redeliver(struct events *events, struct ipc_exchange *exchange,
                                     const struct ipc_request *message)
{
    struct webhook_name body;
    struct err err = {0};
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &webhook_name_schema, &body);
    if (request != NULL && begin_act(request, AUDIT_WEBHOOK_REDELIVERED, body.user_id, body.id) &&
        !webhook_store_redeliver(events_store(events), &body, on_queued, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_dead(const PGresult *result, const struct err *err, void *arg)
{
    struct event_request *request = arg;
    char cursor[CURSOR_SIZE] = "";
    AUTO(str_free) struct str items = STR_INIT(ITEMS_MAX);
    struct json_writer json = json_writer_on(&items);
    if (err != NULL) {
        call_fail(&request->call, err);
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
    struct event_request *request =
        call_begin(events_calls(events), exchange, message, &webhook_dead_letters_schema, &body);
    if (request == NULL) {
        return;
    }
    request->limit = body.limit;
    if (!read_cursor(body.cursor, &request->after, &err) ||
        !webhook_store_dead(events_store(events), &body, request->after, on_dead, request, &err)) {
        call_fail(&request->call, &err);
    }
}
