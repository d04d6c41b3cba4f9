#include "common/audit/writer.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 2000,
    REFUSALS_MAX = 5, /* by a server that does answer; then the record stands in the log alone */
};

struct audit_act {
    struct list node; /* in waiting or in sent, once ended */
    struct audit_writer *writer;
    struct audit_record record;
    uint8_t salt[AUDIT_SALT_BYTES];
    int64_t ended_ms; /* monotonic */
    int refusals;
};

struct audit_writer {
    struct audit_sink sink; /* owned */
    struct list waiting;    /* acts that ended, owned */
    struct list sent;       /* those of the batch under way, owned; empty: there is none */
    size_t sent_count;
    size_t count;       /* of all, those under way too */
    size_t under_way;   /* acts that have not ended */
    size_t batch_limit; /* 1 when a batch was refused, until it is known by which record */
    bool stopped;
    int64_t second_ms; /* monotonic: when this second of notes began */
    int notes;         /* in it */
    size_t dropped;    /* notes that the log does not know of yet */
    struct timer retry;
    int64_t backoff_ms;
    audit_drained_fn *on_drained; /* NULL until it drains */
    void *drained_arg;
};

static void write_next(struct audit_writer *writer);

static void free_act(struct audit_act *act)
{
    act->writer->count--;
    free(act);
}

/* So that the record is somewhere. Its personal part stays out of the log. */
static void log_record(const struct audit_act *act)
{
    const struct audit_record *record = &act->record;
    log_error("audit.not_stored", LOG_STR("action", audit_action_name(record->action)),
              LOG_STR("result", audit_result_name(record->result)),
              LOG_STR("actor_user", record->actor_user), LOG_STR("actor_key", record->actor_key),
              LOG_STR("target_kind", record->target_kind), LOG_STR("target", record->target),
              LOG_STR("detail", record->detail), LOG_STR("request_id", record->request_id));
}

static void on_retry(void *arg)
{
    write_next(arg);
}

struct audit_writer *audit_writer_open_to(struct loop *loop, const struct audit_sink *sink,
                                          struct err *err)
{
    struct audit_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        sink->close(sink->arg);
        err_set(err, ERR_INTERNAL, "audit: out of memory");
        return NULL;
    }
    writer->sink = *sink;
    writer->batch_limit = AUDIT_BATCH_MAX;
    writer->backoff_ms = BACKOFF_FIRST_MS;
    list_init(&writer->waiting);
    list_init(&writer->sent);
    if (!timer_open(&writer->retry, loop, on_retry, writer, err)) {
        sink->close(sink->arg);
        free(writer);
        return NULL;
    }
    return writer;
}

static void tell_when_drained(struct audit_writer *writer)
{
    if (writer->on_drained != NULL && writer->count == 0) {
        audit_drained_fn *on_drained = TAKE(writer->on_drained);
        on_drained(writer->drained_arg);
    }
}

void audit_writer_drain(struct audit_writer *writer, audit_drained_fn *done, void *arg)
{
    writer->on_drained = done;
    writer->drained_arg = arg;
    tell_when_drained(writer);
}

static size_t count_waiting(const struct audit_writer *writer)
{
    return writer->count - writer->under_way;
}

size_t audit_writer_count(const struct audit_writer *writer)
{
    return writer->count;
}

void audit_writer_stop(struct audit_writer *writer)
{
    if (writer != NULL) {
        writer->stopped = true;
    }
}

static void take_back(struct audit_writer *writer)
{
    list_append_all(&writer->sent, &writer->waiting);
    list_append_all(&writer->waiting, &writer->sent);
    writer->sent_count = 0;
}

void audit_writer_close(struct audit_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    take_back(writer);
    struct list *node;
    while ((node = list_pop(&writer->waiting)) != NULL) {
        struct audit_act *act = LIST_ENTRY(node, struct audit_act, node);
        log_record(act);
        free_act(act);
    }
    assert(writer->count == 0);
    timer_close(&writer->retry);
    writer->sink.close(writer->sink.arg);
    free(writer);
}

static void on_stored(struct audit_writer *writer)
{
    struct list *node;
    while ((node = list_pop(&writer->sent)) != NULL) {
        free_act(LIST_ENTRY(node, struct audit_act, node));
    }
    writer->sent_count = 0;
    writer->backoff_ms = BACKOFF_FIRST_MS;
    writer->batch_limit =
        writer->batch_limit * 2 < AUDIT_BATCH_MAX ? writer->batch_limit * 2 : AUDIT_BATCH_MAX;
    if (writer->dropped > 0) {
        log_warn("audit.dropped", LOG_INT("count", writer->dropped));
        writer->dropped = 0;
    }
    write_next(writer);
    tell_when_drained(writer);
}

static bool is_away(const struct err *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_LIMIT;
}

/* Of the one record that was sent: the one that is refused again and again does not keep the others
 * for ever. */
static void count_refusal(struct audit_writer *writer)
{
    struct list *node = list_pop(&writer->sent);
    struct audit_act *act = node == NULL ? NULL : LIST_ENTRY(node, struct audit_act, node);
    if (act != NULL && ++act->refusals < REFUSALS_MAX) {
        list_append(&writer->sent, node);
    } else if (act != NULL) {
        log_record(act);
        free_act(act);
    }
}

/* A server that is away is waited for. One that refuses a batch gets it record by record. */
static void on_not_stored(struct audit_writer *writer, const struct err *err)
{
    if (!is_away(err)) {
        log_error("audit.refused", LOG_INT("records", writer->sent_count), LOG_ERR(err));
        writer->batch_limit = 1;
        if (writer->sent_count == 1) {
            count_refusal(writer);
        }
    }
    take_back(writer);
    timer_arm(&writer->retry, writer->backoff_ms);
    writer->backoff_ms =
        writer->backoff_ms * 2 < BACKOFF_MAX_MS ? writer->backoff_ms * 2 : BACKOFF_MAX_MS;
    tell_when_drained(writer);
}

static void on_answer(const struct err *err, void *arg)
{
    struct audit_writer *writer = arg;
    if (err == NULL) {
        on_stored(writer);
    } else {
        on_not_stored(writer, err);
    }
}

static bool send_batch(struct audit_writer *writer, struct err *err)
{
    struct audit_item items[AUDIT_BATCH_MAX];
    size_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    for (LIST_EACH(node, &writer->sent)) {
        const struct audit_act *act = LIST_ENTRY(node, struct audit_act, node);
        items[count++] = (struct audit_item){&act->record, act->salt, now_ms - act->ended_ms};
    }
    return writer->sink.store(writer->sink.arg, items, count, on_answer, writer, err);
}

/* One batch at a time, so that the order stays. */
static void write_next(struct audit_writer *writer)
{
    if (writer->stopped || !list_is_empty(&writer->sent) || list_is_empty(&writer->waiting)) {
        return;
    }
    while (writer->sent_count < writer->batch_limit && !list_is_empty(&writer->waiting)) {
        list_append(&writer->sent, list_pop(&writer->waiting));
        writer->sent_count++;
    }
    struct err err;
    if (!send_batch(writer, &err)) {
        /* Nothing was refused: the next try may have the memory, or the place in the pool. */
        log_warn("audit.delayed", LOG_ERR(&err));
        take_back(writer);
        timer_arm(&writer->retry, BACKOFF_MAX_MS);
    }
}

static struct audit_act *new_act(struct audit_writer *writer, struct err *err)
{
    struct audit_act *act = calloc(1, sizeof *act);
    if (act == NULL || !secret_random(act->salt, sizeof act->salt, err)) {
        free(act);
        err_set_reason(err, ERR_UNAVAILABLE, "audit_unavailable",
                       "audit: no memory or no randomness for a record");
        return NULL;
    }
    act->writer = writer;
    writer->count++;
    writer->under_way++;
    return act;
}

struct audit_act *audit_act_begin(struct audit_writer *writer, struct err *err)
{
    if (count_waiting(writer) >= AUDIT_QUEUE_MAX || writer->under_way >= AUDIT_ACTS_MAX) {
        err_set_reason(err, ERR_UNAVAILABLE, "audit_unavailable",
                       "audit: %zu records wait to be stored, %zu acts are under way",
                       count_waiting(writer), writer->under_way);
        return NULL;
    }
    return new_act(writer, err);
}

void audit_act_set_once(struct audit_act *act, struct view text)
{
    unsigned int length = sizeof act->salt;
    int made = EVP_Digest(text.ptr, text.len, act->salt, &length, EVP_sha256(), NULL);
    assert(made == 1 && length == sizeof act->salt);
}

struct audit_record *audit_act_record(struct audit_act *act)
{
    return &act->record;
}

void audit_act_end(struct audit_act *act)
{
    struct audit_writer *writer = act->writer;
    writer->under_way--;
    audit_record_clean(&act->record);
    act->ended_ms = clock_monotonic_ms();
    list_append(&writer->waiting, &act->node);
    if (!timer_is_armed(&writer->retry)) {
        write_next(writer);
    }
}

void audit_act_cancel(struct audit_act *act)
{
    if (act != NULL) {
        struct audit_writer *writer = act->writer;
        writer->under_way--;
        free_act(act);
        tell_when_drained(writer);
    }
}

static bool has_room_for_note(struct audit_writer *writer)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - writer->second_ms >= 1000) {
        writer->second_ms = now_ms;
        writer->notes = 0;
    }
    if (count_waiting(writer) >= AUDIT_NOTES_MAX || writer->notes == AUDIT_NOTES_PER_S) {
        return false;
    }
    writer->notes++;
    return true;
}

void audit_note(struct audit_writer *writer, const struct audit_record *record)
{
    struct err err;
    struct audit_act *act = has_room_for_note(writer) ? new_act(writer, &err) : NULL;
    if (act == NULL) {
        writer->dropped++;
        return;
    }
    act->record = *record;
    audit_act_end(act);
}
