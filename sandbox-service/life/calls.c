#include "sandbox-service/life/calls.h"

#include "sandbox-service/call.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ASKS_MAX = 4, /* how often a caller may come upon another's opposite order */
    MODE_SIZE = 8,
    AGE_TEXT_SIZE = ACTIVE_AGE_DIGITS_MAX + 1,
    ACTIVE_IDS_TEXT_MAX = ACTIVE_IDS_MAX * ID_SIZE + 2,
    ACTIVE_AGES_TEXT_MAX = ACTIVE_IDS_MAX * AGE_TEXT_SIZE + 2,
};

struct life_calls {
    struct sandboxes *sandboxes; /* borrowed */
    struct calls calls;
};

/* One call. A pause or resume: the row is ordered, and the shift waited for; behind one of somebody
 * else's the row is ordered again. Then its state is the answer. */
struct life_request {
    struct call call;
    struct sandboxes *sandboxes; /* borrowed */
    struct store_call row;
    struct shift_waiter waiter;
    bool resumes; /* else it pauses */
    int asked;
    char mode[MODE_SIZE];
    struct sandbox_pause pause;   /* its mode is the member above */
    struct sandbox_resume resume; /* of one that resumes */
    char sandbox_id[ID_SIZE];
    char api_key_id[ID_SIZE]; /* of the caller; "": none */
};

static void order(struct life_request *request);

static void finish_not_found(struct life_request *request)
{
    call_fail_with(&request->call, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
}

static void finish_conflict(struct life_request *request, const char *reason, const char *message)
{
    call_fail_with(&request->call, ERR_CONFLICT, reason, message);
}

static void on_state(const PGresult *result, const struct err *err, void *arg)
{
    struct life_request *request = arg;
    struct life_state state;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    if (pg_rows(result) == 0) {
        finish_not_found(request);
        return;
    }
    life_read_state(result, &state);
    call_finish_with(&request->call, &life_state_schema, &state);
}

static void answer_state(struct life_request *request)
{
    life_store_state(request->sandboxes->store, &request->row, request->sandbox_id, on_state,
                     request);
}

/* Of another's shift. */
static void on_joined_over(const struct err *err, void *arg)
{
    struct life_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else {
        order(request);
    }
}

/* It is done, whatever somebody else has ordered since. */
static void on_own_over(const struct err *err, void *arg)
{
    struct life_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else {
        answer_state(request);
    }
}

static void join(struct life_request *request)
{
    struct err err = {0};
    request->waiter = (struct shift_waiter){.over = on_joined_over, .arg = request};
    if (!shift_join(request->sandboxes->shifts, request->sandbox_id, &request->call.message->trace,
                    &request->waiter, &err)) {
        call_fail(&request->call, &err);
    }
}

/* By its own statement. */
static void begin_shift(struct life_request *request, const struct life_moved *row)
{
    struct err err = {0};
    bool on_disk =
        request->resumes ? row->on_disk : view_equal(request->pause.mode, VIEW(PAUSE_DISK));
    struct shift_order shift = {
        .is_resuming = request->resumes, .on_disk = on_disk, .generation = row->generation};
    memcpy(shift.user_id, request->resumes ? request->resume.user_id : request->pause.user_id,
           ID_SIZE);
    bool is_own = !shift_is_under_way(request->sandboxes->shifts, request->sandbox_id);
    request->waiter =
        (struct shift_waiter){.over = is_own ? on_own_over : on_joined_over, .arg = request};
    if (!shift_begin(request->sandboxes->shifts, request->sandbox_id, &shift,
                     &request->call.message->trace, &request->waiter, &err)) {
        call_fail(&request->call, &err);
    }
}

/* What to do with a row that the statement left as it was. */
static void follow(struct life_request *request, struct view status)
{
    struct view wanted = request->resumes ? VIEW("running") : VIEW("paused");
    if (view_equal(status, wanted)) {
        answer_state(request);
    } else if (view_equal(status, VIEW("pausing")) || view_equal(status, VIEW("resuming"))) {
        join(request);
    } else if (view_equal(status, VIEW("creating"))) {
        finish_conflict(request, "sandbox_starting", "the sandbox is being created");
    } else if (view_equal(status, VIEW("paused"))) {
        finish_conflict(request, "sandbox_paused", "the sandbox is paused and stays so");
    } else {
        finish_conflict(request, "sandbox_ended", "the sandbox has ended");
    }
}

static void on_ordered(const PGresult *result, const struct err *err, void *arg)
{
    struct life_request *request = arg;
    struct life_moved row;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    if (pg_rows(result) == 0) {
        finish_not_found(request);
        return;
    }
    life_read_moved(result, &row);
    if (row.moved) {
        begin_shift(request, &row);
    } else {
        follow(request, row.status);
    }
}

static void order(struct life_request *request)
{
    struct store *store = request->sandboxes->store;
    if (++request->asked > ASKS_MAX) {
        finish_conflict(request, "sandbox_busy", "the sandbox is paused and resumed by turns");
    } else if (request->resumes) {
        life_store_resume(store, &request->row, &request->resume, request->api_key_id, on_ordered,
                          request);
    } else {
        life_store_pause(store, &request->row, &request->pause, request->api_key_id, on_ordered,
                         request);
    }
}

/* NULL: answered with what is wrong. */
static struct life_request *begin(struct life_calls *calls, struct ipc_exchange *exchange,
                                  const struct ipc_request *message,
                                  const struct json_schema *schema, void *body)
{
    struct life_request *request = call_begin(&calls->calls, exchange, message, schema, body);
    if (request != NULL) {
        request->sandboxes = calls->sandboxes;
        memcpy(request->sandbox_id, body, ID_SIZE);
        memcpy(request->api_key_id, message->actor.api_key_id, ID_SIZE);
    }
    return request;
}

void life_handle_pause(struct life_calls *calls, struct ipc_exchange *exchange,
                       const struct ipc_request *message)
{
    struct sandbox_pause body;
    struct life_request *request = begin(calls, exchange, message, &sandbox_pause_schema, &body);
    if (request == NULL) {
        return;
    }
    bool fits = view_copy(body.mode, request->mode, sizeof request->mode);
    request->pause = body;
    request->pause.mode = fits ? view_of(request->mode) : VIEW(PAUSE_FREEZE);
    order(request);
}

void life_handle_resume(struct life_calls *calls, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct sandbox_resume body;
    struct life_request *request = begin(calls, exchange, message, &sandbox_resume_schema, &body);
    if (request == NULL) {
        return;
    }
    request->resumes = true;
    request->resume = body;
    order(request);
}

static void on_times_set(const PGresult *result, const struct err *err, void *arg)
{
    struct life_request *request = arg;
    struct sandboxes *sandboxes = request->sandboxes;
    struct life_moved row;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    if (pg_rows(result) == 0) {
        finish_not_found(request);
        return;
    }
    life_read_moved(result, &row);
    if (!row.moved) {
        finish_conflict(request, "sandbox_ended", "the sandbox has ended");
        return;
    }
    sandboxes_publish(sandboxes, request->sandbox_id);
    reaper_hurry(sandboxes->reaper);
    answer_state(request);
}

void life_handle_times(struct life_calls *calls, struct ipc_exchange *exchange,
                       const struct ipc_request *message)
{
    struct sandbox_times body;
    struct life_request *request = begin(calls, exchange, message, &sandbox_times_schema, &body);
    if (request != NULL) {
        life_store_set_times(calls->sandboxes->store, &request->row, &body, on_times_set, request);
    }
}

static void on_active_noted(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    if (err == NULL) {
        call_finish_empty(arg);
    } else {
        call_fail(arg, err);
    }
}

/* Two array literals of PostgreSQL; what is no such pair is left out. */
static void write_active(const struct json_pairs *active, struct str *ids, struct str *ages)
{
    const char *separator = "{";
    for (size_t i = 0; i < active->count; i++) {
        char id[ID_SIZE];
        char age[24];
        int64_t age_ms;
        if (sandbox_active_read(&active->items[i], id, &age_ms)) {
            (void)snprintf(age, sizeof age, "%s%" PRId64, separator, age_ms);
            str_append_string(ids, separator);
            str_append_string(ids, id);
            str_append_string(ages, age);
            separator = ",";
        }
    }
    str_append_string(ids, separator[0] == '{' ? "{}" : "}");
    str_append_string(ages, separator[0] == '{' ? "{}" : "}");
}

void life_handle_active(struct life_calls *calls, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct sandbox_active body;
    struct err err = {0};
    struct life_request *request = begin(calls, exchange, message, &sandbox_active_schema, &body);
    if (request == NULL) {
        return;
    }
    AUTO(str_free) struct str ids = STR_INIT(ACTIVE_IDS_TEXT_MAX);
    AUTO(str_free) struct str ages = STR_INIT(ACTIVE_AGES_TEXT_MAX);
    write_active(&body.active, &ids, &ages);
    if (!str_check(&ids, "the active", &err) || !str_check(&ages, "the active", &err)) {
        call_fail(&request->call, &err);
        return;
    }
    life_store_active(calls->sandboxes->store, &request->row, ids.data, ages.data, on_active_noted,
                      request);
}

struct life_calls *life_calls_new(struct sandboxes *sandboxes, struct err *err)
{
    struct life_calls *calls = calloc(1, sizeof *calls);
    if (calls == NULL) {
        err_set(err, ERR_INTERNAL, "life calls: out of memory");
        return NULL;
    }
    calls->sandboxes = sandboxes;
    calls->calls = (struct calls){.part = calls, .size = sizeof(struct life_request)};
    return calls;
}

void life_calls_free(struct life_calls *calls)
{
    free(calls);
}

size_t life_calls_open(const struct life_calls *calls)
{
    return calls->calls.open;
}
