#include "sandbox-service/sandbox/end.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/store.h"

#include <stdlib.h>

enum {
    EXIT_KILLED = 137, /* by SIGKILL: what the kernel's OOM killer sends */
    EXIT_UNKNOWN = 255 /* the engine's word for "it was gone when I came back" */
};

/* Two steps: the engine says how the container is, then the row is ended. */
struct ending {
    struct sandboxes *sandboxes; /* borrowed */
    enum end_hint hint;
    struct container_call container;
    struct store_call row;
    const char *reason;
    char sandbox_id[ID_SIZE];
    sandbox_end_fn *done;
    void *arg;
};

/* The only way out. */
static void finish(struct ending *ending)
{
    if (ending->done != NULL) {
        ending->done(ending->arg);
    }
    free(ending);
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct ending *ending = arg;
    if (err != NULL) {
        log_warn("sandbox.end_failed", LOG_STR("sandbox_id", ending->sandbox_id), LOG_ERR(err));
    } else if (pg_rows(result) == 1) {
        CRASH_POINT("end.after_row");
        log_info("sandbox.ended", LOG_STR("sandbox_id", ending->sandbox_id),
                 LOG_STR("reason", ending->reason));
        sandbox_clear_away(ending->sandboxes, ending->sandbox_id, &trace_none);
    }
    finish(ending);
}

static const char *reason_of(enum end_hint hint, const struct wire_container *container)
{
    int64_t exit_code = container == NULL ? 0 : container->exit_code;
    if (exit_code == EXIT_KILLED && container->oom_killed) {
        return "oom";
    }
    bool engine_took_it = hint == END_ENGINE_RESTART ||
                          (hint == END_MISSED && exit_code == EXIT_UNKNOWN) ||
                          (hint == END_DIED_OR_TAKEN && exit_code == EXIT_KILLED);
    return engine_took_it ? "engine_restart" : "error";
}

static void on_inspected(const struct wire_container *container, const struct err *err, void *arg)
{
    struct ending *ending = arg;
    if (err != NULL) {
        log_warn("sandbox.inspect_failed", LOG_STR("sandbox_id", ending->sandbox_id), LOG_ERR(err));
        finish(ending);
        return;
    }
    if (container != NULL && (container->running || strcmp(container->status, "created") == 0)) {
        finish(ending);
        return;
    }
    ending->reason = reason_of(ending->hint, container);
    const struct store_end end = {
        .reason = ending->reason,
        .container_status = container == NULL ? "removed" : container->status,
        .has_exit_code = container != NULL,
        .exit_code = container == NULL ? 0 : container->exit_code,
        .error = container == NULL ? "" : container->error,
        .is_gone = container == NULL,
    };
    store_end(ending->sandboxes->store, &ending->row, ending->sandbox_id, &end, on_ended, ending);
}

static struct ending *begin(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                            sandbox_end_fn *done, void *arg)
{
    struct ending *ending = calloc(1, sizeof *ending);
    if (ending == NULL) {
        log_error("sandbox.end_failed", LOG_STR("sandbox_id", sandbox_id),
                  LOG_STR("error", "out of memory"));
        if (done != NULL) {
            done(arg);
        }
        return NULL;
    }
    ending->sandboxes = sandboxes;
    ending->done = done;
    ending->arg = arg;
    memcpy(ending->sandbox_id, sandbox_id, ID_SIZE);
    return ending;
}

void sandbox_check_end(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                       enum end_hint hint, sandbox_end_fn *done, void *arg)
{
    char name[CONTAINER_NAME_SIZE];
    struct ending *ending = begin(sandboxes, sandbox_id, done, arg);
    if (ending == NULL) {
        return;
    }
    ending->hint = hint;
    container_name(sandbox_id, name);
    container_inspect(sandboxes->docker, &ending->container, name, on_inspected, ending);
}

void sandbox_end(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE], const char *reason,
                 sandbox_end_fn *done, void *arg)
{
    struct ending *ending = begin(sandboxes, sandbox_id, done, arg);
    if (ending == NULL) {
        return;
    }
    ending->reason = reason;
    const struct store_end end = {
        .reason = reason, .container_status = "removed", .error = "", .is_gone = true};
    store_end(sandboxes->store, &ending->row, sandbox_id, &end, on_ended, ending);
}

void sandbox_end_creating(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                          sandbox_end_fn *done, void *arg)
{
    struct ending *ending = begin(sandboxes, sandbox_id, done, arg);
    if (ending != NULL) {
        ending->reason = "error";
        store_fail(sandboxes->store, &ending->row, sandbox_id, ending->reason, on_ended, ending);
    }
}
