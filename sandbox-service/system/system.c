#include "sandbox-service/system/system.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/contracts/quota.h"
#include "common/contracts/system.h"
#include "sandbox-service/call.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/starts.h"
#include "sandbox-service/system/cleanup.h"
#include "sandbox-service/system/room.h"
#include "sandbox-service/system/store.h"

#include <stdlib.h>

enum {
    ANSWER_MAX = 512 * 1024,
    CLEANUP_SPARE_MS = 2000, /* of the deadline, for the answer */
};

struct system {
    struct sandboxes *sandboxes; /* borrowed */
    struct calls calls;
    bool cleaning;
};

/* Of this instance on the engine, and this node's or another's. */
struct counted {
    bool known;
    int64_t running;
    int64_t paused;
    int64_t other;
};

/* One call. */
struct system_request {
    struct call call;
    struct system *system; /* borrowed */
    struct container_call containers;
    struct store_call row;
    struct counted counted;
    bool dry_run;
};

struct system *system_open(struct sandboxes *sandboxes, struct err *err)
{
    struct system *system = calloc(1, sizeof *system);
    if (system == NULL) {
        err_set(err, ERR_INTERNAL, "system: out of memory");
        return NULL;
    }
    system->sandboxes = sandboxes;
    system->calls = (struct calls){.part = system,
                                   .audit = sandboxes->audit,
                                   .target_kind = "node",
                                   .size = sizeof(struct system_request)};
    return system;
}

void system_close(struct system *system)
{
    free(system);
}

size_t system_open_requests(const struct system *system)
{
    return system->calls.open;
}

/* NULL: answered with what is wrong. */
static struct system_request *begin(struct system *system, struct ipc_exchange *exchange,
                                    const struct ipc_request *message,
                                    const struct json_schema *schema, void *body)
{
    struct system_request *request = call_begin(&system->calls, exchange, message, schema, body);
    if (request != NULL) {
        request->system = system;
    }
    return request;
}

static void write_known(struct json_writer *json, const char *name, int64_t value, int64_t unknown)
{
    if (value == unknown) {
        json_null(json, name);
    } else {
        json_int(json, name, value);
    }
}

static void write_containers(struct json_writer *json, const struct counted *counted)
{
    if (!counted->known) {
        json_null(json, "containers");
        return;
    }
    json_begin_object(json, "containers");
    json_int(json, "running", counted->running);
    json_int(json, "paused", counted->paused);
    json_int(json, "other", counted->other);
    json_end_object(json);
}

static void write_room(struct json_writer *json, const struct sandboxes *sandboxes)
{
    json_begin_object(json, "disk");
    write_known(json, "freeMB", room_free_mb(sandboxes->room), ROOM_UNKNOWN);
    write_known(json, "totalMB", room_total_mb(sandboxes->room), ROOM_UNKNOWN);
    json_int(json, "keepFreeMB", sandboxes->config->free_disk_mb);
    json_end_object(json);
}

static void write_work(struct json_writer *json, const struct sandboxes *sandboxes)
{
    size_t removals = sandboxes->removing.count;
    json_begin_object(json, "queue");
    json_int(json, "waiting", (int64_t)starts_waiting(sandboxes->starts));
    json_int(json, "starting", (int64_t)starts_at_it(sandboxes->starts));
    json_int(json, "expectedMs", starts_expected_ms(sandboxes->starts));
    json_int(json, "removals", (int64_t)removals);
    json_end_object(json);
}

static void write_stats(struct json_writer *json, const struct system_request *request,
                        const struct node_state *state)
{
    const struct sandboxes *sandboxes = request->system->sandboxes;
    json_begin_object(json, "answer");
    json_string(json, "node", view_of(sandboxes->config->node_name));
    json_raw(json, "draining", state->draining);
    json_raw(json, "sandboxes", state->sandboxes);
    write_containers(json, &request->counted);
    json_raw(json, "promised", state->promised);
    json_begin_object(json, "limits");
    write_known(json, "nodeMemoryMB", sandboxes->abilities.memory_mb, 0);
    write_known(json, "totalMemoryMB", sandboxes->config->total_memory_mb, 0);
    write_known(json, "processors", sandboxes->abilities.cpus, 0);
    json_end_object(json);
    write_room(json, sandboxes);
    write_work(json, sandboxes);
    json_end_object(json);
}

static void on_state(const PGresult *result, const struct err *err, void *arg)
{
    struct system_request *request = arg;
    struct node_state state;
    AUTO(str_free) struct str body = STR_INIT(ANSWER_MAX);
    struct json_writer json = json_writer_on(&body);
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    store_read_node_state(result, &state);
    json_begin_object(&json, NULL);
    write_stats(&json, request, &state);
    json_end_object(&json);
    call_finish_text(&request->call, &body);
}

static void ask_state(struct system_request *request)
{
    const struct sandboxes *sandboxes = request->system->sandboxes;
    store_node_state(sandboxes->store, &request->row, sandboxes->config, on_state, request);
}

static void on_container(const struct wire_listed *container, void *arg)
{
    struct counted *counted = arg;
    if (strcmp(container->state, "running") == 0) {
        counted->running++;
    } else if (strcmp(container->state, "paused") == 0) {
        counted->paused++;
    } else {
        counted->other++;
    }
}

/* An engine that does not answer does not hide the rest. */
static void on_containers(const struct view *list, const struct err *err, void *arg)
{
    struct system_request *request = arg;
    struct err failure = {0};
    if (err == NULL) {
        request->counted.known = wire_read_list(*list, on_container, &request->counted, &failure);
    }
    ask_state(request);
}

static void answer_stats(struct system_request *request)
{
    struct sandboxes *sandboxes = request->system->sandboxes;
    if (docker_is_up(sandboxes->docker)) {
        container_list(sandboxes->docker, &request->containers, sandboxes->config->instance,
                       on_containers, request);
    } else {
        ask_state(request);
    }
}

void system_handle_stats(struct system *system, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct system_request *request = begin(system, exchange, message, NULL, NULL);
    if (request != NULL) {
        answer_stats(request);
    }
}

/* False, and the request has failed, when there is no place for the record. */
static bool begin_act(struct system_request *request, enum audit_action action,
                      const char *admin_id, const char *key_id)
{
    const char *node = request->system->sandboxes->config->node_name;
    const struct call_act act = {
        .action = action, .user_id = admin_id, .key_id = key_id, .target = view_of(node)};
    return call_begin_act(&request->call, &act);
}

static void on_draining_set(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct system_request *request = arg;
    if (err == NULL) {
        answer_stats(request);
    } else {
        call_fail(&request->call, err);
    }
}

void system_handle_drain(struct system *system, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct system_drain body;
    char reason[SYSTEM_REASON_BYTES_MAX + 1];
    const struct sandboxes *sandboxes = system->sandboxes;
    struct system_request *request = begin(system, exchange, message, &system_drain_schema, &body);
    if (request == NULL ||
        !begin_act(request, AUDIT_NODE_DRAINING, body.admin_id, body.admin_key_id)) {
        return;
    }
    struct audit_record *record = audit_act_record(request->call.act);
    audit_record_set_detail(record, "draining", body.draining ? VIEW("true") : VIEW("false"));
    audit_record_add_detail(record, "reason", body.reason);
    const struct node_draining wanted = {
        .admin_id = body.admin_id,
        .draining = body.draining,
        .reason = view_copy(body.reason, reason, sizeof reason) ? reason : "",
    };
    log_info("node.draining_set", LOG_TRACE(&message->trace), LOG_INT("draining", body.draining));
    store_set_draining(sandboxes->store, &request->row, sandboxes->config, &wanted, on_draining_set,
                       request);
}

static void on_cleaned(const struct leftover_list *leftovers, const struct err *err, void *arg)
{
    struct system_request *request = arg;
    AUTO(str_free) struct str body = STR_INIT(ANSWER_MAX);
    struct json_writer json = json_writer_on(&body);
    request->system->cleaning = false;
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    json_begin_object(&json, NULL);
    json_begin_object(&json, "answer");
    json_bool(&json, "dryRun", request->dry_run);
    leftover_list_write(leftovers, &json);
    json_end_object(&json);
    json_end_object(&json);
    call_finish_text(&request->call, &body);
}

static bool clean(struct system_request *request, const struct system_cleanup *body,
                  const struct trace *trace, struct err *err)
{
    struct system *system = request->system;
    if (system->cleaning) {
        return err_set_reason(err, ERR_CONFLICT, "cleanup_running",
                              "a clean-up is under way already");
    }
    struct cleanup_options options = {
        .sandboxes = system->sandboxes,
        .dry_run = body->dry_run,
        .unknown = body->unknown,
        .until_ms = clock_monotonic_ms() + ipc_exchange_remaining_ms(request->call.exchange) -
                    CLEANUP_SPARE_MS,
        .trace = *trace,
        .done = on_cleaned,
        .arg = request,
    };
    memcpy(options.admin_id, body->admin_id, ID_SIZE);
    system->cleaning = cleanup_begin(&options, err);
    return system->cleaning;
}

void system_handle_cleanup(struct system *system, struct ipc_exchange *exchange,
                           const struct ipc_request *message)
{
    struct system_cleanup body;
    struct err err = {0};
    struct system_request *request =
        begin(system, exchange, message, &system_cleanup_schema, &body);
    if (request == NULL || (!body.dry_run && !begin_act(request, AUDIT_NODE_CLEANED, body.admin_id,
                                                        body.admin_key_id))) {
        return;
    }
    request->dry_run = body.dry_run;
    if (!clean(request, &body, &message->trace, &err)) {
        call_fail(&request->call, &err);
    }
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the clean-up has it, as its arg */
}
