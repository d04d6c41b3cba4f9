#include "sandbox-service/life/shift.h"

#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "sandbox-service/credential/token.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/mount_check.h"
#include "sandbox-service/life/reaper.h"
#include "sandbox-service/life/still.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/sandbox/end.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/starts.h"

#include <stdlib.h>

enum {
    LOOKS = 4, /* that must agree, when an act was refused because it seemed done */
    LOOK_AGAIN_MS = 250,
    ACTS_MAX = 3,
};

struct shifts {
    struct sandboxes *sandboxes; /* borrowed */
    struct starts *turns;        /* of all but starts, which have their own */
    struct map by_id;
};

/* In the order of what happens: perhaps the row is looked at; one that is kept still is waited for;
 * so is its turn; the container is acted on, and looked at when that went wrong; from disk, the
 * agent is waited for; the row says what is reached. */
struct shift {
    struct map_node by_id;
    struct shifts *shifts; /* borrowed */
    struct trace trace;
    struct list waiters;
    struct shift_order order;
    bool row_is_right; /* it is `paused`, only the container was not */
    bool goes_back;    /* it did not resume, and rests again: the failure stays */
    bool waits_for_agent;
    bool agent_came;
    struct container_call container;
    struct mount_check mounts;
    struct store_call row;
    struct still_wait still; /* linked while it is kept still */
    struct starts *queue;    /* in which its turn is, or was; NULL: it had none yet */
    struct start_turn turn;
    struct timer deadline; /* armed while it waits for the agent */
    struct timer look_due;
    bool looks_again; /* look_due is armed */
    int looks;        /* that found it done, since the act */
    int acts;
    int64_t began_ms;
    char sandbox_id[ID_SIZE];
    struct err err; /* the first failure */
};

static void act(struct shift *shift);
static void settle(struct shift *shift);
static void refuse(struct shift *shift);

static struct shift *find(const struct shifts *shifts, const char *sandbox_id)
{
    struct map_node *node = map_find(&shifts->by_id, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct shift, by_id);
}

static const char *what(const struct shift *shift)
{
    return shift->order.is_resuming ? "resume" : "pause";
}

enum point { POINT_ROW, POINT_CONTAINER, POINT_END };

/* Where a test may kill the process. */
static void pass(const struct shift *shift, enum point point)
{
    bool resumes = shift->order.is_resuming;
    if (point == POINT_ROW && resumes) {
        CRASH_POINT("resume.after_row");
    } else if (point == POINT_ROW) {
        CRASH_POINT("pause.after_row");
    } else if (point == POINT_CONTAINER && resumes) {
        CRASH_POINT("resume.after_container");
    } else if (point == POINT_CONTAINER) {
        CRASH_POINT("pause.after_container");
    } else if (resumes) {
        CRASH_POINT("resume.after_end");
    } else {
        CRASH_POINT("pause.after_end");
    }
}

static void leave_turn(struct shift *shift)
{
    if (shift->queue != NULL) {
        starts_leave(shift->queue, &shift->turn);
    }
}

/* The only way out. Whoever waits may begin another. */
static void finish(struct shift *shift)
{
    struct list waiters;
    struct list *node;
    const struct err *err = shift->err.code == ERR_NONE ? NULL : &shift->err;
    if (err != NULL) {
        log_warn("sandbox.shift_failed", LOG_TRACE(&shift->trace),
                 LOG_STR("sandbox_id", shift->sandbox_id), LOG_STR("what", what(shift)),
                 LOG_ERR(err));
    } else {
        log_info(shift->order.is_resuming ? "sandbox.resumed" : "sandbox.paused",
                 LOG_TRACE(&shift->trace), LOG_STR("sandbox_id", shift->sandbox_id),
                 LOG_INT("on_disk", shift->order.on_disk),
                 LOG_INT("duration_ms", clock_monotonic_ms() - shift->began_ms));
    }
    list_init(&waiters);
    list_append_all(&waiters, &shift->waiters);
    map_remove(&shift->shifts->by_id, &shift->by_id);
    leave_turn(shift);
    timer_close(&shift->deadline);
    timer_close(&shift->look_due);
    sandboxes_publish(shift->shifts->sandboxes, shift->sandbox_id);
    reaper_hurry(shift->shifts->sandboxes->reaper); /* its clock stands, or goes on */
    while ((node = list_pop(&waiters)) != NULL) {
        struct shift_waiter *waiter = LIST_ENTRY(node, struct shift_waiter, node);
        waiter->over(err, waiter->arg);
    }
    free(shift);
}

static void note_failure(struct shift *shift, const struct err *err)
{
    if (shift->err.code == ERR_NONE) {
        shift->err = *err;
    }
}

/* The row was to be in the state that the shift's statement leaves: it is not any more, and that is
 * why whatever failed before has. */
static void finish_ended(struct shift *shift)
{
    err_set_reason(&shift->err, ERR_CONFLICT, "sandbox_ended", "ended during its %s", what(shift));
    finish(shift);
}

static void on_settled(const PGresult *result, const struct err *err, void *arg)
{
    struct shift *shift = arg;
    if (err != NULL) {
        note_failure(shift, err); /* the reconciler takes it up */
        finish(shift);
    } else if (pg_rows(result) == 0) {
        finish_ended(shift);
    } else {
        pass(shift, POINT_END);
        finish(shift);
    }
}

static void wait_for_agent(struct shift *shift)
{
    if (shift->agent_came) {
        finish(shift);
        return;
    }
    shift->waits_for_agent = true;
    timer_arm(&shift->deadline, SHIFT_AGENT_MAX_MS);
}

/* The container is as it was to be. */
static void settle(struct shift *shift)
{
    struct store *store = shift->shifts->sandboxes->store;
    if (shift->row_is_right) {
        finish(shift);
    } else if (!shift->order.is_resuming) {
        life_store_paused(store, &shift->row, shift->sandbox_id, on_settled, shift);
    } else if (shift->order.on_disk) {
        wait_for_agent(shift);
    } else {
        life_store_resumed(store, &shift->row, shift->sandbox_id, on_settled, shift);
    }
}

/* Back to rest, in the same way as it rested before. */
static void on_resume_refused(const PGresult *result, const struct err *err, void *arg)
{
    struct shift *shift = arg;
    if (err != NULL) {
        finish(shift); /* the reconciler takes it up */
        return;
    }
    if (pg_rows(result) == 0) {
        finish_ended(shift);
        return;
    }
    shift->order.is_resuming = false;
    shift->goes_back = true;
    act(shift);
}

/* The container is not as it was to be, and does not get so. */
static void refuse(struct shift *shift)
{
    struct store *store = shift->shifts->sandboxes->store;
    const struct err cause = shift->err;
    if (strcmp(cause.reason, "docker_unavailable") != 0 &&
        strcmp(cause.reason, "volume_path_unsafe") != 0) {
        err_set_reason(&shift->err, ERR_UNAVAILABLE,
                       shift->order.is_resuming ? "resume_failed" : "pause_failed", "%s",
                       cause.message);
    }
    if (shift->row_is_right) {
        finish(shift);
    } else if (shift->order.is_resuming) {
        life_store_not_resumed(store, &shift->row, shift->sandbox_id, on_resume_refused, shift);
    } else {
        life_store_not_paused(store, &shift->row, shift->sandbox_id, on_settled, shift);
    }
}

static bool is_reached(const struct shift *shift, const struct wire_container *container)
{
    bool is_frozen = strcmp(container->status, "paused") == 0;
    if (shift->order.is_resuming) {
        return container->running && !is_frozen;
    }
    return shift->order.on_disk ? !container->running : is_frozen;
}

/* It is as it was to be, though the act failed. */
static void on_found_done(struct shift *shift)
{
    if (++shift->looks < LOOKS) {
        shift->looks_again = true;
        timer_arm(&shift->look_due, LOOK_AGAIN_MS);
        return;
    }
    if (!shift->goes_back) {
        shift->err = (struct err){0};
    }
    settle(shift);
}

/* What the engine says of a container may be behind: news of the last act, late, undoes in its
 * books what the present one has done, until the news of that comes too (dockerd 20.10). An act in
 * between is refused, as if it were done. So it is believed when it lasts, and done again when it
 * does not. */
static void on_inspected(const struct wire_container *container, const struct err *err, void *arg)
{
    struct shift *shift = arg;
    if (err != NULL) {
        refuse(shift);
        return;
    }
    if (container != NULL && is_reached(shift, container)) {
        on_found_done(shift);
        return;
    }
    if (container != NULL && shift->looks > 0 && shift->acts < ACTS_MAX) {
        if (!shift->goes_back) {
            shift->err = (struct err){0};
        }
        act(shift);
        return;
    }
    if (container == NULL || (!container->running && !shift->order.on_disk)) {
        /* It has ended meanwhile; this ends the row if nothing has yet. */
        sandbox_check_end(shift->shifts->sandboxes, shift->sandbox_id, END_MISSED, NULL, NULL);
        shift->err.code = ERR_NONE;
        finish_ended(shift);
        return;
    }
    refuse(shift);
}

static void look(void *arg)
{
    char name[CONTAINER_NAME_SIZE];
    struct shift *shift = arg;
    shift->looks_again = false;
    container_name(shift->sandbox_id, name);
    container_inspect(shift->shifts->sandboxes->docker, &shift->container, name, on_inspected,
                      shift);
}

static void on_acted(const struct err *err, void *arg)
{
    struct shift *shift = arg;
    leave_turn(shift);
    if (err == NULL) {
        pass(shift, POINT_CONTAINER);
        settle(shift);
        return;
    }
    note_failure(shift, err);
    shift->looks = 0;
    look(shift);
}

/* The agent has lost what it knew, with its memory. */
static bool renew_token(struct shift *shift)
{
    const struct sandboxes *sandboxes = shift->shifts->sandboxes;
    AUTO(secret_free_string)
    char *token =
        agent_token_sign(sandboxes->config->agent_jwt_secret, shift->sandbox_id,
                         shift->order.generation + 1, AGENT_TOKEN_FIRST_LIFE_S, &shift->err);
    return token != NULL && agent_dir_renew(sandboxes->dirs, shift->sandbox_id, token, &shift->err);
}

/* Whoever was inside may have put links where volumes are mounted. */
static void on_mounts_checked(const struct err *err, void *arg)
{
    char name[CONTAINER_NAME_SIZE];
    struct shift *shift = arg;
    if (err != NULL) {
        on_acted(err, shift);
        return;
    }
    container_name(shift->sandbox_id, name);
    container_start(shift->shifts->sandboxes->docker, &shift->container, name, on_acted, shift);
}

static void on_turn(void *arg)
{
    char name[CONTAINER_NAME_SIZE];
    struct shift *shift = arg;
    struct docker *docker = shift->shifts->sandboxes->docker;
    container_name(shift->sandbox_id, name);
    if (!shift->order.is_resuming && shift->order.on_disk) {
        container_stop(docker, &shift->container, name, on_acted, shift);
    } else if (!shift->order.is_resuming) {
        container_pause(docker, &shift->container, name, on_acted, shift);
    } else if (!shift->order.on_disk) {
        container_unpause(docker, &shift->container, name, on_acted, shift);
    } else if (renew_token(shift)) {
        CRASH_POINT("resume.after_token");
        mount_check_stopped(&shift->mounts, docker, name, on_mounts_checked, shift);
    } else {
        leave_turn(shift);
        refuse(shift);
    }
}

static void take_turn(struct shift *shift)
{
    const struct shift_order *order = &shift->order;
    struct err err = {0};
    bool is_start = order->is_resuming && order->on_disk;
    shift->queue = is_start ? shift->shifts->sandboxes->starts : shift->shifts->turns;
    if (order->user_id[0] == '\0' || shift->goes_back) { /* it must not be refused */
        starts_enter_behind(shift->queue, &shift->turn, on_turn, shift);
    } else if (!starts_enter(shift->queue, &shift->turn, order->user_id, on_turn, shift, &err)) {
        note_failure(shift, &err);
        refuse(shift);
    }
}

static void on_let_go(void *arg)
{
    act(arg);
}

static void act(struct shift *shift)
{
    shift->acts++;
    shift->still = (struct still_wait){.let_go = on_let_go, .arg = shift};
    if (!shift->order.is_resuming ||
        !still_await(shift->shifts->sandboxes->stills, shift->sandbox_id, &shift->still)) {
        take_turn(shift);
    }
}

static void on_agent_missing(void *arg)
{
    struct shift *shift = arg;
    shift->waits_for_agent = false;
    err_set_reason(&shift->err, ERR_UNAVAILABLE, "resume_failed", "its agent did not come");
    refuse(shift);
}

/* NULL: out of memory. */
static struct shift *add(struct shifts *shifts, const char sandbox_id[ID_SIZE],
                         const struct trace *trace, struct shift_waiter *waiter, struct err *err)
{
    struct shift *shift = calloc(1, sizeof *shift);
    if (shift == NULL) {
        err_set(err, ERR_INTERNAL, "shift: out of memory");
        return NULL;
    }
    shift->shifts = shifts;
    shift->trace = *trace;
    shift->began_ms = clock_monotonic_ms();
    memcpy(shift->sandbox_id, sandbox_id, ID_SIZE);
    list_init(&shift->waiters);
    if (!timer_open(&shift->deadline, shifts->sandboxes->loop, on_agent_missing, shift, err) ||
        !timer_open(&shift->look_due, shifts->sandboxes->loop, look, shift, err)) {
        timer_close(&shift->deadline);
        free(shift);
        return NULL;
    }
    if (waiter != NULL) {
        list_append(&shift->waiters, &waiter->node);
    }
    map_insert(&shifts->by_id, &shift->by_id, view_of(shift->sandbox_id));
    return shift;
}

bool shift_begin(struct shifts *shifts, const char sandbox_id[ID_SIZE],
                 const struct shift_order *order, const struct trace *trace,
                 struct shift_waiter *waiter, struct err *err)
{
    struct shift *shift = find(shifts, sandbox_id);
    if (shift != NULL) {
        /* It has changed the row, and its callback is on its way: that row is looked at anew. */
        return shift_join(shifts, sandbox_id, trace, waiter, err);
    }
    shift = add(shifts, sandbox_id, trace, waiter, err);
    if (shift == NULL) {
        return false;
    }
    shift->order = *order;
    pass(shift, POINT_ROW);
    sandboxes_publish(shifts->sandboxes, sandbox_id); /* what comes from here on wakes it */
    act(shift);
    return true;
}

static void on_looked(const PGresult *result, const struct err *err, void *arg)
{
    struct shift *shift = arg;
    struct life_moved row;
    if (err != NULL) {
        note_failure(shift, err);
        finish(shift);
        return;
    }
    if (pg_rows(result) == 0) {
        finish_ended(shift);
        return;
    }
    life_read_moved(result, &row);
    shift->row_is_right = view_equal(row.status, VIEW("paused"));
    shift->order = (struct shift_order){.is_resuming = view_equal(row.status, VIEW("resuming")),
                                        .on_disk = row.on_disk,
                                        .generation = row.generation};
    memcpy(shift->order.user_id, life_read_owner(result), ID_SIZE);
    if (shift->row_is_right || shift->order.is_resuming ||
        view_equal(row.status, VIEW("pausing"))) {
        act(shift);
    } else if (view_equal(row.status, VIEW("running"))) {
        finish(shift);
    } else {
        finish_ended(shift);
    }
}

bool shift_join(struct shifts *shifts, const char sandbox_id[ID_SIZE], const struct trace *trace,
                struct shift_waiter *waiter, struct err *err)
{
    struct shift *shift = find(shifts, sandbox_id);
    if (shift != NULL) {
        if (waiter != NULL) {
            list_append(&shift->waiters, &waiter->node);
        }
        return true;
    }
    shift = add(shifts, sandbox_id, trace, waiter, err);
    if (shift == NULL) {
        return false;
    }
    life_store_look(shifts->sandboxes->store, &shift->row, sandbox_id, on_looked, shift);
    return true;
}

bool shift_is_under_way(const struct shifts *shifts, const char sandbox_id[ID_SIZE])
{
    return find(shifts, sandbox_id) != NULL;
}

void shift_agent_came(struct shifts *shifts, const char sandbox_id[ID_SIZE])
{
    struct shift *shift = find(shifts, sandbox_id);
    if (shift != NULL) {
        shift->agent_came = true;
        if (shift->waits_for_agent) {
            finish(shift);
        }
    }
}

void shift_abort(struct shifts *shifts, const char sandbox_id[ID_SIZE])
{
    struct shift *shift = find(shifts, sandbox_id);
    if (shift != NULL && (shift->waits_for_agent || list_is_linked(&shift->turn.node))) {
        finish_ended(shift);
    }
}

static void end_waiting(struct map_node *node, void *arg)
{
    (void)arg;
    struct shift *shift = MAP_ENTRY(node, struct shift, by_id);
    if (shift->waits_for_agent || shift->looks_again || list_is_linked(&shift->still.node) ||
        list_is_linked(&shift->turn.node)) {
        list_remove(&shift->still.node);
        err_set_reason(&shift->err, ERR_UNAVAILABLE, "shutting_down", "the service is stopping");
        finish(shift);
    }
}

void shifts_end(struct shifts *shifts)
{
    if (shifts != NULL) {
        map_each(&shifts->by_id, end_waiting, NULL);
    }
}

size_t shifts_count(const struct shifts *shifts)
{
    return shifts->by_id.count;
}

struct shifts *shifts_new(struct sandboxes *sandboxes, struct err *err)
{
    struct shifts *shifts = calloc(1, sizeof *shifts);
    if (shifts == NULL) {
        err_set(err, ERR_INTERNAL, "shifts: out of memory");
        return NULL;
    }
    shifts->sandboxes = sandboxes;
    shifts->turns = starts_new(sandboxes->loop, SHIFTS_AT_A_TIME, err);
    if (shifts->turns == NULL || !map_init(&shifts->by_id, err)) {
        shifts_free(shifts);
        return NULL;
    }
    return shifts;
}

void shifts_free(struct shifts *shifts)
{
    if (shifts != NULL) {
        map_free(&shifts->by_id);
        starts_free(shifts->turns);
        free(shifts);
    }
}
