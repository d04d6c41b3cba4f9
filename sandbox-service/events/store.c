#include "sandbox-service/events/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 2,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
    TYPES_TEXT_MAX = 8 * 1024,
    FAILING_DAYS = 5, /* in which nothing arrived: then a webhook is disabled */
    REDELIVER_MAX = 1000,
};

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define WEBHOOK_COLUMNS                                                                            \
    "w.id, w.url, array_to_json(w.types), w.description, " ISO("w.created_at") ", " ISO(           \
        "w.delivered_at") ", " ISO("w.failing_since") ", " ISO("w.disabled_at") ", "               \
                                                                                "w.disabled_"      \
                                                                                "reason, "         \
                                                                                "w.dropped, " ISO( \
                                                                                    "w.dropped_"   \
                                                                                    "at")
enum {
    WEBHOOK_ID,
    WEBHOOK_URL,
    WEBHOOK_TYPES,
    WEBHOOK_DESCRIPTION,
    WEBHOOK_CREATED_AT,
    WEBHOOK_DELIVERED_AT,
    WEBHOOK_FAILING_SINCE,
    WEBHOOK_DISABLED_AT,
    WEBHOOK_DISABLED_REASON,
    WEBHOOK_DROPPED,
    WEBHOOK_DROPPED_AT,
    WEBHOOK_IS_NEW, /* of webhook_create alone */
};
enum { NUMBER_OWNER, NUMBER_COUNT };
enum { PAGE_NEWEST, PAGE_IS_ENDED, PAGE_EVENT };
enum { DEAD_ID, DEAD_ATTEMPTS, DEAD_STATUS, DEAD_ERROR, DEAD_TRIED_AT, DEAD_AT, DEAD_EVENT };
enum { DUE_ID, DUE_WEBHOOK_ID, DUE_URL, DUE_ATTEMPTS, DUE_EVENT };

static const struct pg_statement statements[] = {
    {"event_number", "SELECT owner, events FROM event_number($1, $2)"},
    {"event_clean", "SELECT event_clean($1, $2)"},
    {"event_list_user",
     "SELECT known.newest, false, " EVENT_COLUMNS " FROM (SELECT coalesce(max(seq), 0) AS newest "
     "FROM sandbox_events WHERE user_id = $1) AS known LEFT JOIN LATERAL "
     "(SELECT * FROM sandbox_events WHERE user_id = $1 AND $2::bigint >= 0 AND seq > $2 "
     "ORDER BY seq LIMIT $3::integer) AS e ON true ORDER BY e.seq"},
    {"event_list_sandbox",
     "SELECT known.newest, EXISTS (SELECT FROM sandboxes WHERE id = $4 "
     "AND status IN ('destroyed', 'failed')) AND NOT EXISTS (SELECT FROM sandbox_events "
     "WHERE sandbox_id = $4 AND seq IS NULL), " EVENT_COLUMNS
     " FROM (SELECT coalesce(max(seq), 0) AS newest FROM sandbox_events "
     "WHERE user_id = $1 AND sandbox_id = $4) AS known LEFT JOIN LATERAL "
     "(SELECT * FROM sandbox_events WHERE user_id = $1 AND sandbox_id = $4 AND $2::bigint >= 0 "
     "AND seq > $2 ORDER BY seq LIMIT $3::integer) AS e ON true ORDER BY e.seq"},
    /* now() is when its transaction began. */
    {"webhook_create", "SELECT " WEBHOOK_COLUMNS ", w.created_at = now() "
                       "FROM webhook_create($1, $2, $3, "
                       "ARRAY (SELECT json_array_elements_text($4::json)), $5, $6) AS w"},
    {"webhook_list", "SELECT " WEBHOOK_COLUMNS " FROM webhooks w WHERE w.user_id = $1 "
                     "ORDER BY w.created_at, w.id"},
    {"webhook_remove", "DELETE FROM webhooks WHERE id = $1 AND user_id = $2 RETURNING id"},
    {"webhook_redeliver", "SELECT webhook_redeliver($1, $2, $3)"},
    {"webhook_dead",
     "SELECT d.id, d.attempts, d.last_status, d.last_error, " ISO("d.tried_at") ", " ISO(
         "d.dead_at") ", " EVENT_COLUMNS " FROM webhooks w LEFT JOIN LATERAL (SELECT * FROM "
                      "webhook_outbox o WHERE o.webhook_id = w.id AND o.dead_at IS NOT NULL "
                      "AND ($3::bigint = 0 OR o.id < $3) ORDER BY o.id DESC LIMIT $4::integer) "
                      "AS d ON true LEFT JOIN sandbox_events e ON e.id = d.event_id "
                      "WHERE w.id = $1 AND w.user_id = $2 ORDER BY d.id DESC"},
    {"webhook_take", "SELECT t.delivery, t.webhook, t.target, t.tried, " EVENT_COLUMNS
                     " FROM webhook_take($1, $2) AS t CROSS JOIN LATERAL (SELECT (t.event).*) e"},
    {"webhook_delivered", "SELECT webhook_delivered($1)"},
    {"webhook_failed", "SELECT webhook_failed($1, $2, $3, $4, $5, $6, $7)"},
};

struct event_store {
    struct pg_pool *pool; /* owned */
};

struct event_store *event_store_open(struct loop *loop, const char *url, struct err *err)
{
    struct event_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "event store: out of memory");
        return NULL;
    }
    const struct pg_options options = {
        .url = url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->pool = pg_pool_open(loop, &options, err);
    if (store->pool == NULL) {
        event_store_close(store);
        return NULL;
    }
    return store;
}

bool event_store_fail_all(struct event_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void event_store_close(struct event_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

static void write_int(int64_t value, char out[INT_SIZE])
{
    (void)snprintf(out, INT_SIZE, "%" PRId64, value);
}

bool event_store_number(struct event_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    char most[INT_SIZE];
    char backlog[INT_SIZE];
    write_int(EVENT_NUMBER_MAX, most);
    write_int(WEBHOOK_BACKLOG_MAX, backlog);
    const struct pg_parameters parameters = {{most, backlog}, 2};
    return pg_ask(store->pool, "event_number", &parameters, done, arg, err);
}

const char *event_store_read_owner(const PGresult *result, int row)
{
    return pg_text(result, row, NUMBER_OWNER);
}

int64_t event_store_read_count(const PGresult *result, int row)
{
    return pg_int(result, row, NUMBER_COUNT);
}

bool event_store_clean(struct event_store *store, int64_t keep_days, pg_result_fn *done, void *arg,
                       struct err *err)
{
    char days[INT_SIZE];
    char most[INT_SIZE];
    write_int(keep_days, days);
    write_int(EVENT_CLEAN_MAX, most);
    const struct pg_parameters parameters = {{days, most}, 2};
    return pg_ask(store->pool, "event_clean", &parameters, done, arg, err);
}

int64_t event_store_read_cleaned(const PGresult *result)
{
    return pg_int(result, 0, 0);
}

bool event_store_list(struct event_store *store, const struct event_list *request,
                      pg_result_fn *done, void *arg, struct err *err)
{
    char after[INT_SIZE];
    char limit[INT_SIZE];
    bool is_of_one = request->sandbox_id[0] != '\0';
    write_int(request->after, after);
    write_int(request->limit, limit);
    const struct pg_parameters parameters = {{request->user_id, after, limit, request->sandbox_id},
                                             is_of_one ? 4 : 3};
    return pg_ask(store->pool, is_of_one ? "event_list_sandbox" : "event_list_user", &parameters,
                  done, arg, err);
}

void event_store_read_page(const PGresult *result, struct event_store_page *out)
{
    *out = (struct event_store_page){
        .newest = pg_int(result, 0, PAGE_NEWEST),
        .is_ended = pg_bool(result, 0, PAGE_IS_ENDED),
        .count = pg_is_null(result, 0, PAGE_EVENT) ? 0 : pg_rows(result),
    };
}

struct event_row event_store_page_event(const PGresult *result, int row)
{
    return (struct event_row){result, row, PAGE_EVENT};
}

static void write_types(const struct json_strings *types, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < types->count; i++) {
        json_string(&json, NULL, types->items[i]);
    }
    json_end_array(&json);
}

bool webhook_store_create(struct event_store *store, const struct webhook_create *request,
                          pg_result_fn *done, void *arg, struct err *err)
{
    char url[WEBHOOK_URL_MAX + 1];
    char description[WEBHOOK_DESCRIPTION_BYTES + 1];
    char most[INT_SIZE];
    AUTO(str_free) struct str types = STR_INIT(TYPES_TEXT_MAX);
    write_types(&request->types, &types);
    write_int(WEBHOOKS_MAX, most);
    if (!view_copy(request->url, url, sizeof url) ||
        !view_copy(request->description, description, sizeof description)) {
        return err_set(err, ERR_INVALID, "a text of the webhook is too long");
    }
    const struct pg_parameters parameters = {
        {request->id, request->user_id, url, types.data, description, most}, 6};
    return str_check(&types, "types of a webhook", err) &&
           pg_ask(store->pool, "webhook_create", &parameters, done, arg, err);
}

bool webhook_store_list(struct event_store *store, const char user_id[ID_SIZE], pg_result_fn *done,
                        void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{user_id}, 1};
    return pg_ask(store->pool, "webhook_list", &parameters, done, arg, err);
}

void webhook_store_write(const PGresult *result, int row, struct json_writer *writer)
{
    json_begin_object(writer, NULL);
    json_string(writer, "id", view_of(pg_text(result, row, WEBHOOK_ID)));
    json_string(writer, "url", view_of(pg_text(result, row, WEBHOOK_URL)));
    json_raw(writer, "types", view_of(pg_text(result, row, WEBHOOK_TYPES)));
    json_string(writer, "description", view_of(pg_text(result, row, WEBHOOK_DESCRIPTION)));
    json_string(writer, "createdAt", view_of(pg_text(result, row, WEBHOOK_CREATED_AT)));
    json_string_or_null(writer, "deliveredAt", pg_text(result, row, WEBHOOK_DELIVERED_AT));
    json_string_or_null(writer, "failingSince", pg_text(result, row, WEBHOOK_FAILING_SINCE));
    json_string_or_null(writer, "disabledAt", pg_text(result, row, WEBHOOK_DISABLED_AT));
    json_string_or_null(writer, "disabledReason", pg_text(result, row, WEBHOOK_DISABLED_REASON));
    json_int(writer, "dropped", pg_int(result, row, WEBHOOK_DROPPED));
    json_string_or_null(writer, "droppedAt", pg_text(result, row, WEBHOOK_DROPPED_AT));
    json_end_object(writer);
}

bool webhook_store_read_is_new(const PGresult *result)
{
    return pg_bool(result, 0, WEBHOOK_IS_NEW);
}

const char *webhook_store_read_id(const PGresult *result, int row)
{
    return pg_text(result, row, WEBHOOK_ID);
}

bool webhook_store_remove(struct event_store *store, const struct webhook_name *request,
                          pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{request->id, request->user_id}, 2};
    return pg_ask(store->pool, "webhook_remove", &parameters, done, arg, err);
}

bool webhook_store_redeliver(struct event_store *store, const struct webhook_name *request,
                             pg_result_fn *done, void *arg, struct err *err)
{
    char most[INT_SIZE];
    write_int(REDELIVER_MAX, most);
    const struct pg_parameters parameters = {{request->id, request->user_id, most}, 3};
    return pg_ask(store->pool, "webhook_redeliver", &parameters, done, arg, err);
}

int64_t webhook_store_read_queued(const PGresult *result)
{
    return pg_is_null(result, 0, 0) ? -1 : pg_int(result, 0, 0);
}

bool webhook_store_dead(struct event_store *store, const struct webhook_dead_letters *request,
                        int64_t before, pg_result_fn *done, void *arg, struct err *err)
{
    char id[INT_SIZE];
    char limit[INT_SIZE];
    write_int(before, id);
    write_int(request->limit + 1, limit); /* whether there is more */
    const struct pg_parameters parameters = {{request->id, request->user_id, id, limit}, 4};
    return pg_ask(store->pool, "webhook_dead", &parameters, done, arg, err);
}

int64_t webhook_store_read_dead_id(const PGresult *result, int row)
{
    return pg_int(result, row, DEAD_ID);
}

static void write_status(const PGresult *result, int row, int column, struct json_writer *writer)
{
    if (pg_is_null(result, row, column)) {
        json_null(writer, "lastStatus");
    } else {
        json_int(writer, "lastStatus", pg_int(result, row, column));
    }
}

void webhook_store_write_dead(const PGresult *result, int row, struct json_writer *writer)
{
    const struct event_row event = {result, row, DEAD_EVENT};
    json_begin_object(writer, NULL);
    json_string(writer, "id", view_of(pg_text(result, row, DEAD_ID)));
    json_int(writer, "attempts", pg_int(result, row, DEAD_ATTEMPTS));
    write_status(result, row, DEAD_STATUS, writer);
    json_string_or_null(writer, "lastError", pg_text(result, row, DEAD_ERROR));
    json_string_or_null(writer, "lastTriedAt", pg_text(result, row, DEAD_TRIED_AT));
    json_string(writer, "givenUpAt", view_of(pg_text(result, row, DEAD_AT)));
    json_begin_object(writer, "event");
    json_string(writer, "type", view_of(pg_text(result, row, DEAD_EVENT + EVENT_TYPE)));
    event_write_members(&event, writer);
    json_end_object(writer);
    json_end_object(writer);
}

bool webhook_store_take(struct event_store *store, int64_t most, int64_t lease_ms,
                        pg_result_fn *done, void *arg, struct err *err)
{
    char count[INT_SIZE];
    char lease[INT_SIZE];
    write_int(most, count);
    write_int(lease_ms, lease);
    const struct pg_parameters parameters = {{count, lease}, 2};
    return pg_ask(store->pool, "webhook_take", &parameters, done, arg, err);
}

bool webhook_store_read_due(const PGresult *result, int row, struct webhook_due *out)
{
    *out = (struct webhook_due){
        .delivery = pg_int(result, row, DUE_ID),
        .url = pg_text(result, row, DUE_URL),
        .attempts = pg_int(result, row, DUE_ATTEMPTS),
        .event = {result, row, DUE_EVENT},
    };
    return id_parse(view_of(pg_text(result, row, DUE_WEBHOOK_ID)), out->webhook_id);
}

bool webhook_store_delivered(struct event_store *store, int64_t delivery, pg_result_fn *done,
                             void *arg, struct err *err)
{
    char id[INT_SIZE];
    write_int(delivery, id);
    const struct pg_parameters parameters = {{id}, 1};
    return pg_ask(store->pool, "webhook_delivered", &parameters, done, arg, err);
}

bool webhook_store_failed(struct event_store *store, int64_t delivery,
                          const struct webhook_failure *failure, pg_result_fn *done, void *arg,
                          struct err *err)
{
    char id[INT_SIZE];
    char status[INT_SIZE];
    char delay[INT_SIZE];
    char rest[INT_SIZE];
    char days[INT_SIZE];
    write_int(delivery, id);
    write_int(failure->status, status);
    write_int(failure->delay_ms, delay);
    write_int(failure->rest_ms, rest);
    write_int(FAILING_DAYS, days);
    const struct pg_parameters parameters = {{id, failure->status == 0 ? NULL : status,
                                              failure->error, failure->delay_ms < 0 ? NULL : delay,
                                              rest, failure->is_gone ? "true" : "false", days},
                                             7};
    return pg_ask(store->pool, "webhook_failed", &parameters, done, arg, err);
}
