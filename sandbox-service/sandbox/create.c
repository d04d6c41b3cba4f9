#include "sandbox-service/sandbox/create.h"

#include "common/audit/act.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/sandbox/creation.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/metadata.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/room.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 1024 * 1024 };

static struct creation *find(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    struct map_node *node = map_find(&sandboxes->creating, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct creation, by_key);
}

void creation_release(struct creation *creation)
{
    map_remove(&creation->sandboxes->creating, &creation->by_key);
    audit_act_cancel(creation->act);
    volume_hold_end(&creation->volumes);
    timer_close(&creation->deadline);
    timer_close(&creation->repeat);
    str_free(&creation->info);
    placement_free(creation->placement);
    str_free(&creation->message);
    free(creation);
}

/* After the answer the deadline is armed unless the creation is just failing, and then it releases
 * itself. */
void creation_release_if_over(struct creation *creation)
{
    if (creation->answered && (creation->connected || creation->aborted) &&
        timer_is_armed(&creation->deadline) && list_is_empty(&creation->waiters)) {
        creation_release(creation);
    }
}

static void on_row_failed(const PGresult *result, const struct err *err, void *arg)
{
    struct creation *creation = arg;
    if (err == NULL && pg_rows(result) == 1) {
        log_warn("sandbox.agent_never_came", LOG_TRACE(&creation->trace),
                 LOG_STR("sandbox_id", creation->sandbox_id));
        sandbox_clear_away(creation->sandboxes, creation->sandbox_id, &creation->trace);
    }
    creation_answer(creation, NULL);
    creation_release(creation);
}

void creation_give_up(struct creation *creation)
{
    err_set_reason(&creation->err, ERR_UNAVAILABLE, "shutting_down", "the service is stopping");
    creation_fail(creation);
}

/* Before the start: it waited too long. After the answer: the agent never came. */
void creation_deadline(void *arg)
{
    struct creation *creation = arg;
    if (!creation->answered) {
        err_set_reason(&creation->err, ERR_UNAVAILABLE, "overloaded", "waited too long to start");
        creation_fail(creation);
        return;
    }
    store_fail(creation->sandboxes->store, &creation->row, creation->sandbox_id, "agent_lost",
               on_row_failed, creation);
}

static void on_repeat(void *arg)
{
    struct creation *creation = arg;
    creation_answer(creation, NULL);
    creation_release_if_over(creation);
}

/* Whether it can be done now, before anything is written down. */
static bool is_possible(const struct sandboxes *sandboxes, const struct sandbox_create *request,
                        struct err *err)
{
    if (!sandboxes->engine_ready || !docker_is_up(sandboxes->docker)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable", "docker is not ready");
    }
    if (sandboxes->draining) {
        return err_set_reason(err, ERR_UNAVAILABLE, "shutting_down", "the service is stopping");
    }
    if (room_is_short(sandboxes->room)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "node_disk_full", "%lld MB are left",
                              (long long)room_free_mb(sandboxes->room));
    }
    return env_size_check(&request->env, err) && sandbox_extras_check(request, err) &&
           metadata_check(request->metadata, err);
}

/* "": what the template says, or else the server's. */
static bool choose_network(struct view wanted, const char **out, struct err *err)
{
    if (wanted.len == 0) {
        *out = "";
        return true;
    }
    *out = network_mode(wanted);
    return view_equal(wanted, view_of(*out)) ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "network must be one of none, restricted, open");
}

/* What those that wait do not have, and what can't be given to them any more. */
static bool needs_its_own(const struct sandbox_create *request)
{
    return request->mode.len > 0 || request->volumes.count > 0 || request->secret_env.count > 0 ||
           request->secret_files.count > 0 || view_equal(request->network, VIEW("restricted"));
}

/* Which containers will do: none that would have to wait for longer than the caller does. */
static bool choose_mode(const struct sandboxes *sandboxes, const struct sandbox_create *request,
                        int64_t deadline_ms, const char **out, struct err *err)
{
    bool is_too_long = starts_expected_ms(sandboxes->starts) > deadline_ms;
    *out = needs_its_own(request) ? "cold" : is_too_long ? "warm" : "any";
    return !is_too_long || (*out)[0] == 'w' ||
           err_set_reason(err, ERR_UNAVAILABLE, "overloaded", "too many starts wait");
}

struct creation *creation_new(struct sandboxes *sandboxes, const char key[ID_SIZE],
                              int64_t deadline_ms, struct err *err)
{
    struct creation *creation = calloc(1, sizeof *creation);
    if (creation == NULL) {
        err_set(err, ERR_INTERNAL, "create: out of memory");
        return NULL;
    }
    creation->sandboxes = sandboxes;
    creation->began_ms = clock_monotonic_ms();
    creation->until_ms = creation->began_ms + deadline_ms;
    creation->message = STR_INIT(MESSAGE_MAX);
    list_init(&creation->waiters);
    memcpy(creation->key, key, ID_SIZE);
    memcpy(creation->sandbox_id, key, ID_SIZE);
    if (!timer_open(&creation->deadline, sandboxes->loop, creation_deadline, creation, err) ||
        !timer_open(&creation->repeat, sandboxes->loop, on_repeat, creation, err)) {
        creation_release(creation);
        return NULL;
    }
    map_insert(&sandboxes->creating, &creation->by_key, view_of(creation->key));
    return creation;
}

/* The same request once more. */
static bool join(struct creation *creation, const struct sandbox_create *request,
                 struct create_waiter *waiter, struct err *err)
{
    if (strcmp(creation->user_id, request->user_id) != 0) {
        return err_set_reason(err, ERR_CONFLICT, "sandbox_exists", "the id is taken");
    }
    list_append(&creation->waiters, &waiter->node);
    if (creation->answered) {
        timer_arm(&creation->repeat, 0);
    }
    return true;
}

/* Takes act, also when it fails. */
static bool create(struct sandboxes *sandboxes, const struct sandbox_create *request,
                   int64_t deadline_ms, struct create_waiter *waiter, struct audit_act *act,
                   struct err *err)
{
    const char *network = "none";
    const char *mode = "any";
    bool is_fine = is_possible(sandboxes, request, err) &&
                   choose_network(request->network, &network, err) &&
                   networks_offer(sandboxes->networks, view_of(network), &request->allow, err) &&
                   choose_mode(sandboxes, request, deadline_ms, &mode, err);
    struct creation *creation =
        is_fine ? creation_new(sandboxes, request->sandbox_id, deadline_ms, err) : NULL;
    if (creation != NULL && strcmp(network, "restricted") == 0 &&
        (creation->placement = placement_new(&request->allow, err)) == NULL) {
        creation_release(creation);
        creation = NULL;
    }
    if (creation == NULL) {
        audit_act_end_with(act, request->sandbox_id, err);
        return false;
    }
    memcpy(creation->user_id, request->user_id, ID_SIZE);
    creation->act = act;
    creation->trace = waiter->trace;
    list_append(&creation->waiters, &waiter->node);
    creation_begin(creation, request, network, mode);
    return true;
}

bool sandbox_create(struct sandboxes *sandboxes, const struct sandbox_create *request,
                    int64_t deadline_ms, struct create_waiter *waiter, struct err *err)
{
    struct creation *creation = find(sandboxes, request->sandbox_id);
    if (creation != NULL) {
        return join(creation, request, waiter, err);
    }
    struct audit_act *act = audit_act_begin_by(sandboxes->audit, AUDIT_SANDBOX_CREATED, "sandbox",
                                               waiter->actor, waiter->trace.request_id, err);
    if (act == NULL) {
        return false;
    }
    struct audit_record *record = audit_act_record(act);
    memcpy(record->actor_user, request->user_id, ID_SIZE);
    memcpy(record->actor_key, request->api_key_id, ID_SIZE);
    audit_record_add_detail(record, "template", request->template_name);
    return create(sandboxes, request, deadline_ms, waiter, act, err);
}

bool sandbox_create_warm(struct sandboxes *sandboxes, const struct store_warm *warm,
                         struct create_waiter *waiter, struct err *err)
{
    char id[ID_SIZE];
    struct creation *creation =
        id_new(id, err) ? creation_new(sandboxes, id, CREATE_MAX_MS, err) : NULL;
    if (creation == NULL) {
        return false;
    }
    creation->trace = waiter->trace;
    list_append(&creation->waiters, &waiter->node);
    creation_begin_warm(creation, warm);
    return true;
}

bool sandbox_is_being_created(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    return find(sandboxes, sandbox_id) != NULL;
}

bool sandbox_is_being_started(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    const struct creation *creation = find(sandboxes, sandbox_id);
    return creation != NULL && !creation->answered;
}

void sandbox_create_over(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    struct creation *creation = find(sandboxes, sandbox_id);
    if (creation != NULL) {
        creation->connected = true;
        creation_release_if_over(creation);
    }
}

void sandbox_create_abort(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE])
{
    struct creation *creation = find(sandboxes, sandbox_id);
    if (creation != NULL) {
        creation->aborted = true;
        creation_release_if_over(creation);
    }
}

bool sandbox_create_abandon(struct sandboxes *sandboxes, const char key[ID_SIZE],
                            const char user_id[ID_SIZE], struct create_waiter *waiter)
{
    struct creation *creation = find(sandboxes, key);
    if (creation == NULL || creation->answered || strcmp(creation->user_id, user_id) != 0) {
        return false;
    }
    creation->aborted = true;
    if (waiter != NULL) {
        list_append(&creation->waiters, &waiter->node);
    }
    return true;
}

static void count_unanswered(struct map_node *node, void *arg)
{
    size_t *count = arg;
    *count += MAP_ENTRY(node, struct creation, by_key)->answered ? 0 : 1;
}

size_t sandbox_creates_unanswered(struct sandboxes *sandboxes)
{
    size_t count = 0;
    map_each(&sandboxes->creating, count_unanswered, &count);
    return count;
}

static void end_creation(struct map_node *node, void *arg)
{
    (void)arg;
    struct creation *creation = MAP_ENTRY(node, struct creation, by_key);
    if (list_is_linked(&creation->turn.node)) {
        creation_give_up(creation);
    } else if (creation->answered && timer_is_armed(&creation->deadline)) {
        creation_answer(creation, NULL);
        creation_release(creation);
    }
}

void sandbox_creates_end(struct sandboxes *sandboxes)
{
    map_each(&sandboxes->creating, end_creation, NULL);
}
