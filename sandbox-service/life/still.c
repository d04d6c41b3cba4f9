#include "sandbox-service/life/still.h"

#include "common/base/log.h"
#include "common/event/loop.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/life/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum { ASKS_MAX = 8 }; /* how often a sandbox may be found to be moving between */

struct stills {
    struct sandboxes *sandboxes; /* borrowed */
    struct map by_id;
    struct timer due;
    struct store_call left;
    bool is_looking;
    bool ended;
};

/* In the order of what happens: the row is asked, and shifts are waited for, until it rests; those
 * who keep it still hear so; the last lets go, and the row is asked to move on. */
struct still {
    struct map_node by_id;
    struct stills *stills; /* borrowed */
    struct list coming;    /* holds that have not heard yet */
    struct list keeping;   /* holds that have */
    struct list waits;
    bool stands;
    bool is_pausing; /* by a shift of its own: it stands as soon as that is over */
    bool is_asking;  /* a call of the next two is open */
    struct store_call row;
    struct shift_waiter shift;
    struct timer turn; /* due at once: holds hear from the loop alone */
    int asked;
    char sandbox_id[ID_SIZE];
};

static struct still *find(const struct stills *stills, const char *sandbox_id)
{
    struct map_node *node = map_find(&stills->by_id, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct still, by_id);
}

static void forget(struct still *still)
{
    map_remove(&still->stills->by_id, &still->by_id);
    timer_close(&still->turn);
    free(still);
}

static void tell_waits(struct still *still)
{
    struct list waits;
    struct list *node;
    list_init(&waits);
    list_append_all(&waits, &still->waits);
    while ((node = list_pop(&waits)) != NULL) {
        struct still_wait *wait = LIST_ENTRY(node, struct still_wait, node);
        wait->let_go(wait->arg);
    }
}

static void order(struct still *still);

static void on_moved_on(const PGresult *result, const struct err *err, void *arg)
{
    struct still *still = arg;
    struct stills *stills = still->stills;
    struct err failure = {0};
    still->is_asking = false;
    if (err == NULL && pg_rows(result) > 0) {
        struct life_moved row;
        life_read_moved(result, &row);
        const struct shift_order resume = {
            .is_resuming = true, .on_disk = row.on_disk, .generation = row.generation};
        if (row.moved && !shift_begin(stills->sandboxes->shifts, still->sandbox_id, &resume,
                                      &trace_none, NULL, &failure)) {
            log_warn("sandbox.shift_failed", LOG_STR("sandbox_id", still->sandbox_id),
                     LOG_ERR(&failure));
        }
    }
    if (list_is_empty(&still->coming)) {
        forget(still); /* after a failure it is found by the next look */
    } else {
        still->asked = 0;
        order(still);
    }
}

/* Nobody keeps it any more: at the end of the process it is forgotten. What is open comes back
 * here.
 */
static void let_go(struct still *still)
{
    if (still->is_asking || !list_is_empty(&still->coming) || !list_is_empty(&still->keeping)) {
        return;
    }
    timer_disarm(&still->turn);
    still->stands = false;
    tell_waits(still);
    if (still->stills->ended) {
        forget(still);
        return;
    }
    still->is_asking = true;
    life_store_move_on(still->stills->sandboxes->store, &still->row, still->sandbox_id, on_moved_on,
                       still);
}

static void fail(struct still *still, const struct err *err)
{
    struct list *node;
    struct list holds;
    list_init(&holds);
    list_append_all(&holds, &still->coming);
    for (LIST_EACH(each, &holds)) {
        LIST_ENTRY(each, struct still_hold, node)->still = NULL;
    }
    let_go(still); /* perhaps it was paused for it, and what came next failed */
    while ((node = list_pop(&holds)) != NULL) {
        struct still_hold *hold = LIST_ENTRY(node, struct still_hold, node);
        hold->ready(err, hold->arg);
    }
}

static void fail_with(struct still *still, const char *reason, const char *message)
{
    struct err err = {0};
    err_set_reason(&err, ERR_CONFLICT, reason, "%s", message);
    fail(still, &err);
}

static void on_turn(void *arg)
{
    struct still *still = arg;
    struct list *node = still->stands ? list_pop(&still->coming) : NULL;
    if (node == NULL) {
        return;
    }
    struct still_hold *hold = LIST_ENTRY(node, struct still_hold, node);
    list_append(&still->keeping, &hold->node);
    if (!list_is_empty(&still->coming)) {
        timer_arm(&still->turn, 0);
    }
    hold->ready(NULL, hold->arg);
}

static void stand(struct still *still)
{
    still->stands = true;
    timer_arm(&still->turn, 0);
    let_go(still); /* if nobody waits for it any more */
}

/* Of its own pause nobody else has heard yet: whoever resumes it finds that it stands. */
static void on_shift_over(const struct err *err, void *arg)
{
    struct still *still = arg;
    still->is_asking = false;
    if (list_is_empty(&still->coming)) {
        let_go(still);
    } else if (err == NULL && still->is_pausing) {
        stand(still);
    } else if (err != NULL && err->code == ERR_CONFLICT) {
        fail_with(still, "sandbox_gone", err->message);
    } else if (err != NULL && still->is_pausing) {
        fail(still, err);
    } else {
        order(still); /* whatever the shift of somebody else has come to */
    }
}

/* Its own pause, or what is under way. */
static void wait_for_shift(struct still *still, bool is_ours)
{
    static const struct shift_order freeze = {0};
    struct shifts *shifts = still->stills->sandboxes->shifts;
    struct err err = {0};
    still->shift = (struct shift_waiter){.over = on_shift_over, .arg = still};
    still->is_pausing = is_ours && !shift_is_under_way(shifts, still->sandbox_id);
    still->is_asking =
        is_ours ? shift_begin(shifts, still->sandbox_id, &freeze, &trace_none, &still->shift, &err)
                : shift_join(shifts, still->sandbox_id, &trace_none, &still->shift, &err);
    if (!still->is_asking) {
        fail(still, &err);
    }
}

static void on_ordered(const PGresult *result, const struct err *err, void *arg)
{
    struct still *still = arg;
    struct shifts *shifts = still->stills->sandboxes->shifts;
    struct life_moved row = {0};
    still->is_asking = false;
    if (err != NULL) {
        fail(still, err);
        return;
    }
    if (pg_rows(result) > 0) {
        life_read_moved(result, &row);
    }
    if (row.moved) {
        wait_for_shift(still, true);
    } else if (view_equal(row.status, VIEW("pausing")) ||
               view_equal(row.status, VIEW("resuming")) ||
               (view_equal(row.status, VIEW("paused")) &&
                shift_is_under_way(shifts, still->sandbox_id))) {
        wait_for_shift(still, false);
    } else if (view_equal(row.status, VIEW("paused"))) {
        stand(still);
    } else {
        fail_with(still, "sandbox_gone", "it has ended meanwhile");
    }
}

static void order(struct still *still)
{
    if (++still->asked > ASKS_MAX) {
        fail_with(still, "sandbox_busy", "it is paused and resumed by turns");
        return;
    }
    still->is_asking = true;
    life_store_still(still->stills->sandboxes->store, &still->row, still->sandbox_id, on_ordered,
                     still);
}

static struct still *add(struct stills *stills, const char sandbox_id[ID_SIZE], struct err *err)
{
    struct still *still = calloc(1, sizeof *still);
    if (still == NULL) {
        err_set(err, ERR_INTERNAL, "still: out of memory");
        return NULL;
    }
    still->stills = stills;
    list_init(&still->coming);
    list_init(&still->keeping);
    list_init(&still->waits);
    memcpy(still->sandbox_id, sandbox_id, ID_SIZE);
    if (!timer_open(&still->turn, stills->sandboxes->loop, on_turn, still, err)) {
        free(still);
        return NULL;
    }
    map_insert(&stills->by_id, &still->by_id, view_of(still->sandbox_id));
    return still;
}

bool still_begin(struct stills *stills, const char sandbox_id[ID_SIZE], struct still_hold *hold,
                 still_ready_fn *ready, void *arg, struct err *err)
{
    struct still *still = find(stills, sandbox_id);
    bool is_new = still == NULL;
    if (stills->ended) {
        return err_set_reason(err, ERR_UNAVAILABLE, "shutting_down", "the service is stopping");
    }
    if (is_new && (still = add(stills, sandbox_id, err)) == NULL) {
        return false;
    }
    *hold = (struct still_hold){.still = still, .ready = ready, .arg = arg};
    list_append(&still->coming, &hold->node);
    if (is_new) {
        order(still);
    } else if (still->stands) {
        timer_arm(&still->turn, 0);
    }
    return true;
}

void still_end(struct still_hold *hold)
{
    struct still *still = hold->still;
    list_remove(&hold->node);
    hold->still = NULL;
    if (still != NULL) {
        let_go(still);
    }
}

bool still_await(struct stills *stills, const char sandbox_id[ID_SIZE], struct still_wait *wait)
{
    struct still *still = stills == NULL ? NULL : find(stills, sandbox_id);
    if (still == NULL || !still->stands) {
        return false;
    }
    list_append(&still->waits, &wait->node);
    return true;
}

/* One that is kept still by nobody: by whoever was, in an earlier process. */
static void move_on(struct stills *stills, const char *sandbox_id)
{
    struct err err = {0};
    char id[ID_SIZE];
    if (!id_parse(view_of(sandbox_id), id) || find(stills, id) != NULL ||
        shift_is_under_way(stills->sandboxes->shifts, id)) { /* the next look finds it */
        return;
    }
    struct still *still = add(stills, id, &err);
    if (still != NULL) {
        let_go(still);
    }
}

static void on_left(const PGresult *result, const struct err *err, void *arg)
{
    struct stills *stills = arg;
    stills->is_looking = false;
    for (int row = 0; err == NULL && !stills->ended && row < pg_rows(result); row++) {
        move_on(stills, store_read_id(result, row));
    }
    if (!stills->ended) {
        timer_arm(&stills->due, STILL_LOOK_MS);
    }
}

static void on_due(void *arg)
{
    struct stills *stills = arg;
    const struct sandboxes *sandboxes = stills->sandboxes;
    if (!sandboxes->engine_ready || !docker_is_up(sandboxes->docker) || sandboxes->draining) {
        timer_arm(&stills->due, STILL_LOOK_MS / 10);
        return;
    }
    stills->is_looking = true;
    life_store_left_still(sandboxes->store, &stills->left, STILLS_AT_A_TIME, on_left, stills);
}

struct stills *stills_open(struct sandboxes *sandboxes, struct err *err)
{
    struct stills *stills = calloc(1, sizeof *stills);
    if (stills == NULL || !map_init(&stills->by_id, err)) {
        if (stills == NULL) {
            err_set(err, ERR_INTERNAL, "stills: out of memory");
        }
        free(stills);
        return NULL;
    }
    stills->sandboxes = sandboxes;
    if (!timer_open(&stills->due, sandboxes->loop, on_due, stills, err)) {
        stills_close(stills);
        return NULL;
    }
    timer_arm(&stills->due, 0);
    return stills;
}

void stills_end(struct stills *stills)
{
    if (stills != NULL) {
        stills->ended = true;
        timer_disarm(&stills->due);
    }
}

static void forget_node(struct map_node *node, void *arg)
{
    (void)arg;
    forget(MAP_ENTRY(node, struct still, by_id));
}

void stills_close(struct stills *stills)
{
    if (stills != NULL) {
        map_each(&stills->by_id, forget_node, NULL);
        map_free(&stills->by_id);
        timer_close(&stills->due);
        free(stills);
    }
}
