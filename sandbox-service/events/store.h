/* sandbox-service/events/store.h: events and webhooks in PostgreSQL. */
#ifndef SANDBOX_EVENTS_STORE_H
#define SANDBOX_EVENTS_STORE_H

#include "common/contracts/events.h"
#include "common/db/pg.h"
#include "sandbox-service/events/event.h"

struct event_store;

struct event_store *event_store_open(struct loop *loop, const char *url,
                                     struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool event_store_fail_all(struct event_store *store);
/* After event_store_fail_all; NULL is fine. */
void event_store_close(struct event_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

enum {
    EVENT_NUMBER_MAX = 500,    /* events of one event_store_number */
    EVENT_CLEAN_MAX = 1000,    /* of one event_store_clean */
    WEBHOOK_BACKLOG_MAX = 1000 /* deliveries that wait, a webhook */
};

/* Rows: event_store_read_owner ("" for nobody) and event_store_read_count. */
bool event_store_number(struct event_store *store, pg_result_fn *done, void *arg,
                        struct err *err) MUST_CHECK;
const char *event_store_read_owner(const PGresult *result, int row);
int64_t event_store_read_count(const PGresult *result, int row);
/* One row: event_store_read_cleaned. */
bool event_store_clean(struct event_store *store, int64_t keep_days, pg_result_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
int64_t event_store_read_cleaned(const PGresult *result);

/* At least one row, for event_store_read_page. */
bool event_store_list(struct event_store *store, const struct event_list *request,
                      pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
struct event_store_page {
    int64_t newest; /* number of the owner's newest event, 0: there is none */
    bool is_ended;  /* one sandbox was asked for, and no event of it will come that has no number */
    int count;      /* of events: rows of event_store_page_event */
};
void event_store_read_page(const PGresult *result, struct event_store_page *out);
struct event_row event_store_page_event(const PGresult *result, int row);

/* One row, for webhook_store_write; webhook_store_read_is_new: it was made now. */
bool webhook_store_create(struct event_store *store, const struct webhook_create *request,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
bool webhook_store_read_is_new(const PGresult *result);
/* A row for each webhook of the user, the oldest first. */
bool webhook_store_list(struct event_store *store, const char user_id[ID_SIZE], pg_result_fn *done,
                        void *arg, struct err *err) MUST_CHECK;
void webhook_store_write(const PGresult *result, int row, struct json_writer *writer);
const char *webhook_store_read_id(const PGresult *result, int row);

/* No row: it is not the user's. */
bool webhook_store_remove(struct event_store *store, const struct webhook_name *request,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* One row: webhook_store_read_queued; -1: it is not the user's. */
bool webhook_store_redeliver(struct event_store *store, const struct webhook_name *request,
                             pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
int64_t webhook_store_read_queued(const PGresult *result);

/* Dead deliveries behind a number (0: from the newest on), the newest first. No row: it is not the
 * user's; one without a delivery: there is none. */
bool webhook_store_dead(struct event_store *store, const struct webhook_dead_letters *request,
                        int64_t before, pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* 0: this row is without one. */
int64_t webhook_store_read_dead_id(const PGresult *result, int row);
void webhook_store_write_dead(const PGresult *result, int row, struct json_writer *writer);

/* Rows for webhook_store_read_due: the next delivery of at most that many webhooks, nobody else's
 * for lease_ms. */
bool webhook_store_take(struct event_store *store, int64_t most, int64_t lease_ms,
                        pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
struct webhook_due {
    int64_t delivery;
    char webhook_id[ID_SIZE];
    const char *url;  /* points into the result */
    int64_t attempts; /* before this one */
    struct event_row event;
};
/* False for a row that can't be read. */
bool webhook_store_read_due(const PGresult *result, int row, struct webhook_due *out) MUST_CHECK;

bool webhook_store_delivered(struct event_store *store, int64_t delivery, pg_result_fn *done,
                             void *arg, struct err *err) MUST_CHECK;
struct webhook_failure {
    int status;        /* of the answer; 0: there was none */
    const char *error; /* for its owner */
    int64_t delay_ms;  /* until the next try; -1: it is given up */
    int64_t rest_ms;   /* in which the webhook delivers nothing */
    bool is_gone;      /* the receiver said so */
};
bool webhook_store_failed(struct event_store *store, int64_t delivery,
                          const struct webhook_failure *failure, pg_result_fn *done, void *arg,
                          struct err *err) MUST_CHECK;

#endif
