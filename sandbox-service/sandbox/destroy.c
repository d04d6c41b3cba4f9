#include "sandbox-service/sandbox/destroy.h"

#include "common/audit/act.h"
#include "common/base/crash_point.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/removal.h"
#include "sandbox-service/sandbox/sandboxes.h"

void sandbox_clear_away(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                        const struct trace *trace)
{
    sandboxes_publish(sandboxes, sandbox_id);
    ports_forget(sandboxes->ports, sandbox_id);
    sandbox_create_abort(sandboxes, sandbox_id);
    shift_abort(sandboxes->shifts, sandbox_id);
    sandbox_remove(sandboxes, sandbox_id, trace);
}

static void finish(struct sandbox_destruction *destruction, const struct err *err)
{
    audit_act_end_with(TAKE(destruction->act), destruction->sandbox_id, err);
    destruction->done(err, destruction->arg);
}

static void on_removed(void *arg)
{
    finish(arg, NULL);
}

static void ask(struct sandbox_destruction *destruction);

/* However it ended: what there is of it has its row now. */
static void on_creation_over(const struct view *info, const struct err *err, void *arg)
{
    (void)info;
    (void)err;
    ask(arg);
}

/* Of a create that is under way the row may come yet, or another in the place of the one found. */
static bool wait_for_creation(struct sandbox_destruction *destruction, const PGresult *result)
{
    const struct sandbox_destroy *request = &destruction->request;
    if (pg_rows(result) == 1 && (store_read_moved(result) ||
                                 strcmp(store_read_destroyed(result), request->sandbox_id) == 0)) {
        return false;
    }
    destruction->creation = (struct create_waiter){.done = on_creation_over, .arg = destruction};
    return sandbox_create_abandon(destruction->sandboxes, request->sandbox_id, request->user_id,
                                  &destruction->creation);
}

static void on_row(const PGresult *result, const struct err *err, void *arg)
{
    struct sandbox_destruction *destruction = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish(destruction, err);
        return;
    }
    if (wait_for_creation(destruction, result)) {
        return;
    }
    if (pg_rows(result) == 0) {
        err_set_reason(&failure, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
        finish(destruction, &failure);
        return;
    }
    (void)view_copy(view_of(store_read_destroyed(result)), destruction->sandbox_id, ID_SIZE);
    if (store_read_moved(result)) {
        CRASH_POINT("destroy.after_row");
        sandbox_clear_away(destruction->sandboxes, destruction->sandbox_id, &destruction->trace);
    } else {
        audit_act_cancel(TAKE(destruction->act)); /* it had ended before */
    }
    destruction->removal = (struct removal_waiter){.over = on_removed, .arg = destruction};
    if (!destruction->request.waits ||
        !sandbox_removal_wait(destruction->sandboxes, destruction->sandbox_id,
                              &destruction->removal)) {
        finish(destruction, NULL);
    }
}

static void ask(struct sandbox_destruction *destruction)
{
    const struct sandbox_destroy *request = &destruction->request;
    store_destroy(destruction->sandboxes->store, &destruction->row, request->sandbox_id,
                  request->user_id, audit_act_record(destruction->act)->actor_key, on_row,
                  destruction);
}

static void begin(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                  const char sandbox_id[ID_SIZE], sandbox_destroyed_fn *done, void *arg)
{
    destruction->sandboxes = sandboxes;
    destruction->done = done;
    destruction->arg = arg;
    memcpy(destruction->sandbox_id, sandbox_id, ID_SIZE);
}

void sandbox_destroy(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                     const struct sandbox_destroy *request, sandbox_destroyed_fn *done, void *arg)
{
    begin(sandboxes, destruction, request->sandbox_id, done, arg);
    destruction->request = *request;
    (void)sandbox_create_abandon(sandboxes, request->sandbox_id, request->user_id, NULL);
    ask(destruction);
}

void sandbox_destroy_any(struct sandboxes *sandboxes, struct sandbox_destruction *destruction,
                         const struct admin_destroy_sandbox *request, sandbox_destroyed_fn *done,
                         void *arg)
{
    begin(sandboxes, destruction, request->sandbox_id, done, arg);
    store_destroy_any(sandboxes->store, &destruction->row, request->sandbox_id, request->admin_id,
                      on_row, destruction);
}
