#include "sandbox-service/events/delivery.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/http/client.h"
#include "sandbox-service/events/signature.h"
#include "sandbox-service/events/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LEASE_MS = 4 * DELIVERY_TIMEOUT_MS, /* of a webhook: then another process may try */
    REST_MS = 5000,                     /* of a webhook that failed */
    ANSWER_MAX = 16 * 1024,             /* more of it is not read */
    PAYLOAD_MAX = 2 * EVENT_OBJECT_MAX,
    HEADER_SIZE = 128,
    STATUS_GONE = 410,
    STATUS_TOO_MANY = 429,
    STATUS_UNAVAILABLE = 503,
    HEADER_COUNT = 3,
};

struct deliveries {
    struct deliveries_options options;
    struct http_client *http; /* owned */
    struct list under_way;
    int64_t count;  /* of those */
    bool is_asking; /* for what is due */
    bool ask_again; /* something came meanwhile */
    bool is_stopped;
};

/* From its begin until the database knows how it ended. */
struct delivery {
    struct list node;
    struct deliveries *deliveries; /* borrowed */
    int64_t id;
    int64_t tries; /* before this one */
    char webhook_id[ID_SIZE];
    bool is_plain;
};

int64_t delivery_pause_ms(int64_t tries)
{
    static const int64_t pauses_s[DELIVERY_TRIES_MAX - 1] = {5,    30,    120,   600,  1800,
                                                             7200, 18000, 28800, 43200};
    return tries < 1 || tries >= DELIVERY_TRIES_MAX ? -1 : pauses_s[tries - 1] * 1000;
}

struct deliveries *deliveries_open(const struct deliveries_options *options, struct err *err)
{
    struct deliveries *deliveries = calloc(1, sizeof *deliveries);
    if (deliveries == NULL) {
        err_set(err, ERR_INTERNAL, "deliveries: out of memory");
        return NULL;
    }
    deliveries->options = *options;
    list_init(&deliveries->under_way);
    deliveries->http = http_client_open(options->loop, NULL, DELIVERIES_MAX, err);
    if (deliveries->http == NULL) {
        deliveries_close(deliveries);
        return NULL;
    }
    return deliveries;
}

void deliveries_stop(struct deliveries *deliveries)
{
    deliveries->is_stopped = true;
}

/* The only way out of a delivery. */
static void finish(struct delivery *delivery)
{
    list_remove(&delivery->node);
    delivery->deliveries->count--;
    free(delivery);
}

void deliveries_close(struct deliveries *deliveries)
{
    if (deliveries == NULL) {
        return;
    }
    http_client_close(deliveries->http);
    for (LIST_EACH(node, &deliveries->under_way)) {
        finish(LIST_ENTRY(node, struct delivery, node));
    }
    free(deliveries);
}

static void on_recorded(const PGresult *result, const struct err *err, void *arg)
{
    struct delivery *delivery = arg;
    struct deliveries *deliveries = delivery->deliveries;
    (void)result;
    if (err != NULL) {
        log_warn("webhook.not_recorded", LOG_STR("webhook_id", delivery->webhook_id),
                 LOG_ERR(err)); /* it is delivered again */
    }
    finish(delivery);
    if (err == NULL) {
        deliveries_look(deliveries);
    }
}

/* A quarter more at most: receivers that fail together do not come back together. */
static int64_t spread(int64_t delay_ms)
{
    struct err ignored = {0};
    uint16_t chance = 0;
    if (!secret_random(&chance, sizeof chance, &ignored)) {
        chance = 0;
    }
    return delay_ms + delay_ms / 4 * chance / UINT16_MAX;
}

static void record_failure(struct delivery *delivery, int status, int64_t retry_after_s,
                           const char *why)
{
    struct err err = {0};
    int64_t pause_ms = delivery_pause_ms(delivery->tries + 1);
    int64_t asked_ms =
        status == STATUS_TOO_MANY || status == STATUS_UNAVAILABLE ? retry_after_s * 1000 : 0;
    struct webhook_failure failure = {.status = status,
                                      .error = why,
                                      .delay_ms = pause_ms < 0 ? -1 : spread(pause_ms),
                                      .rest_ms = REST_MS,
                                      .is_gone = status == STATUS_GONE};
    if (failure.is_gone) {
        failure.delay_ms = -1;
    } else if (failure.delay_ms >= 0 && failure.delay_ms < asked_ms) {
        failure.delay_ms = asked_ms;
    }
    log_info("webhook.failed", LOG_STR("webhook_id", delivery->webhook_id),
             LOG_INT("answered", status), LOG_STR("why", why),
             LOG_INT("tries", delivery->tries + 1));
    if (!webhook_store_failed(delivery->deliveries->options.store, delivery->id, &failure,
                              on_recorded, delivery, &err)) {
        on_recorded(NULL, &err, delivery);
    }
}

static const char *why_no_answer(const struct err *err)
{
    switch (err->code) {
    case ERR_DENIED:
        return "the address is not allowed";
    case ERR_TIMEOUT:
        return "no answer in time";
    case ERR_LIMIT:
        return "the answer is too long";
    default:
        return "no connection";
    }
}

static void on_answer(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct delivery *delivery = arg;
    struct err failure = {0};
    char why[HEADER_SIZE];
    if (err != NULL) {
        record_failure(delivery, 0, 0, why_no_answer(err));
        return;
    }
    if (reply->status / 100 != 2) {
        (void)snprintf(why, sizeof why, "the answer was %d", reply->status);
        record_failure(delivery, reply->status, reply->retry_after_s, why);
        return;
    }
    log_info("webhook.delivered", LOG_STR("webhook_id", delivery->webhook_id),
             LOG_INT("tries", delivery->tries + 1));
    if (!webhook_store_delivered(delivery->deliveries->options.store, delivery->id, on_recorded,
                                 delivery, &failure)) {
        on_recorded(NULL, &failure, delivery);
    }
}

static bool allow_address(const struct sockaddr *address, void *arg)
{
    const struct delivery *delivery = arg;
    return target_address_is_allowed(delivery->deliveries->options.policy, address,
                                     delivery->is_plain);
}

/* What a receiver checks: the id stays the same over all tries, the time does not. */
static bool write_headers(const struct delivery *delivery, const char *event_number,
                          struct view body, char lines[HEADER_COUNT][HEADER_SIZE], struct err *err)
{
    struct signature_key key;
    char id[HEADER_SIZE / 2];
    char timestamp[HEADER_SIZE / 2];
    char signature[SIGNATURE_SIZE];
    (void)snprintf(id, sizeof id, "evt_%s", event_number);
    (void)snprintf(timestamp, sizeof timestamp, "%" PRId64, clock_wall_ms() / 1000);
    const struct signature_subject subject = {view_of(id), view_of(timestamp), body};
    bool ok = signature_key_derive(delivery->deliveries->options.secret, delivery->webhook_id, &key,
                                   err) &&
              signature_write(&key, &subject, signature, err);
    secret_wipe(&key, sizeof key);
    if (ok) {
        (void)snprintf(lines[0], HEADER_SIZE, "webhook-id: %s", id);
        (void)snprintf(lines[1], HEADER_SIZE, "webhook-timestamp: %s", timestamp);
        (void)snprintf(lines[2], HEADER_SIZE, "webhook-signature: %s", signature);
    }
    return ok;
}

static bool send_payload(struct delivery *delivery, const struct webhook_due *due, struct err *err)
{
    char lines[HEADER_COUNT][HEADER_SIZE];
    const char *const headers[] = {lines[0], lines[1], lines[2], NULL};
    AUTO(str_free) struct str body = STR_INIT(PAYLOAD_MAX);
    event_payload_write(&due->event, &body);
    if (!str_check(&body, "payload of a webhook", err) ||
        !write_headers(delivery,
                       pg_text(due->event.result, due->event.row, due->event.first + EVENT_SEQ),
                       str_view(&body), lines, err)) {
        return false;
    }
    const struct http_call_options options = {.method = "POST",
                                              .url = due->url,
                                              .headers = headers,
                                              .body = str_view(&body),
                                              .timeout_ms = DELIVERY_TIMEOUT_MS,
                                              .response_max = ANSWER_MAX,
                                              .head_is_enough = true,
                                              .allow_address = allow_address};
    return http_call_begin(delivery->deliveries->http, &options, on_answer, delivery, err) != NULL;
}

/* What can't begin is tried again when its lease ends. */
static void begin(struct deliveries *deliveries, const struct webhook_due *due)
{
    struct err err = {0};
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL) {
        log_warn("webhook.not_begun", LOG_STR("webhook_id", due->webhook_id));
        return;
    }
    delivery->deliveries = deliveries;
    delivery->id = due->delivery;
    delivery->tries = due->attempts;
    delivery->is_plain = target_is_plain(view_of(due->url));
    memcpy(delivery->webhook_id, due->webhook_id, ID_SIZE);
    list_append(&deliveries->under_way, &delivery->node);
    deliveries->count++;
    if (!send_payload(delivery, due, &err)) {
        log_warn("webhook.not_begun", LOG_STR("webhook_id", due->webhook_id), LOG_ERR(&err));
        finish(delivery);
    }
}

static void on_taken(const PGresult *result, const struct err *err, void *arg)
{
    struct deliveries *deliveries = arg;
    struct webhook_due due;
    deliveries->is_asking = false;
    if (err != NULL) {
        log_debug("webhook.not_taken", LOG_ERR(err));
        return;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        if (webhook_store_read_due(result, row, &due)) {
            begin(deliveries, &due);
        }
    }
    if (deliveries->ask_again) {
        deliveries_look(deliveries);
    }
}

void deliveries_look(struct deliveries *deliveries)
{
    struct err err = {0};
    deliveries->ask_again = deliveries->is_asking;
    if (deliveries->is_stopped || deliveries->is_asking || deliveries->count >= DELIVERIES_MAX) {
        return; /* each one that ends looks again */
    }
    deliveries->is_asking =
        webhook_store_take(deliveries->options.store, DELIVERIES_MAX - deliveries->count, LEASE_MS,
                           on_taken, deliveries, &err);
    if (!deliveries->is_asking) {
        log_debug("webhook.not_taken", LOG_ERR(&err));
    }
}
