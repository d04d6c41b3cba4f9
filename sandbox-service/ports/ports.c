#include "sandbox-service/ports/ports.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "common/json/write.h"
#include "common/redis/redis.h"
#include "sandbox-service/call.h"
#include "sandbox-service/ports/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MIRROR_MAX = 32 * 1024,
    PORT_TARGET_SIZE = ID_SIZE + 8,
    MIRROR_LIFE_S = 24 * 3600, /* what nobody removed goes away */
    MIRROR_TIMEOUT_MS = 1000,
};

struct ports {
    struct sandboxes *sandboxes; /* borrowed */
    struct port_store *store;    /* owned */
    struct calls calls;
    size_t mirrors; /* that are being written behind an answer */
};

/* One call, until the database has answered. */
struct port_request {
    struct call call;
    char sandbox_id[ID_SIZE];
};

/* Nobody waits, the copy in Redis is due. */
struct mirroring {
    struct ports *ports; /* borrowed */
    char sandbox_id[ID_SIZE];
};

struct ports *ports_open(struct sandboxes *sandboxes, struct err *err)
{
    struct ports *ports = calloc(1, sizeof *ports);
    if (ports == NULL) {
        err_set(err, ERR_INTERNAL, "ports: out of memory");
        return NULL;
    }
    ports->sandboxes = sandboxes;
    ports->calls = (struct calls){.part = ports,
                                  .audit = sandboxes->audit,
                                  .target_kind = "port",
                                  .size = sizeof(struct port_request)};
    ports->store = port_store_open(sandboxes->loop, sandboxes->config->database_url, err);
    if (ports->store == NULL) {
        ports_close(ports);
        return NULL;
    }
    return ports;
}

bool ports_fail_all(struct ports *ports)
{
    return port_store_fail_all(ports->store);
}

void ports_close(struct ports *ports)
{
    if (ports != NULL) {
        port_store_close(ports->store);
        free(ports);
    }
}

size_t ports_open_requests(const struct ports *ports)
{
    return ports->calls.open + ports->mirrors;
}

/* Reads the message into body, which begins with the sandbox's id. NULL: answered with what is
 * wrong. */
static struct port_request *begin(struct ports *ports, struct ipc_exchange *exchange,
                                  const struct ipc_request *message,
                                  const struct json_schema *schema, void *body)
{
    struct port_request *request = call_begin(&ports->calls, exchange, message, schema, body);
    if (request != NULL) {
        memcpy(request->sandbox_id, body, ID_SIZE);
    }
    return request;
}

static void tell_redis(struct ports *ports, const struct view *words, size_t count)
{
    struct err err = {0};
    if (!redis_send(ports->sandboxes->redis, words, count, MIRROR_TIMEOUT_MS, NULL, NULL, &err)) {
        log_debug("ports.not_mirrored", LOG_ERR(&err));
    }
}

void ports_forget(struct ports *ports, const char sandbox_id[ID_SIZE])
{
    char key[SANDBOX_KEY_SIZE];
    if (ports != NULL) {
        sandboxes_ports_key(ports->sandboxes, sandbox_id, key);
        const struct view words[] = {VIEW("DEL"), view_of(key)};
        tell_redis(ports, words, sizeof words / sizeof words[0]);
    }
}

/* The copy is written anew, or removed, by each reading of the rows: what Redis lost comes back. */
static void mirror(struct ports *ports, const char sandbox_id[ID_SIZE], const PGresult *result)
{
    char key[SANDBOX_KEY_SIZE];
    char life[16];
    AUTO(str_free) struct str text = STR_INIT(MIRROR_MAX);
    struct json_writer json = json_writer_on(&text);
    if (!port_store_has_port(result, 0)) {
        ports_forget(ports, sandbox_id);
        return;
    }
    json_begin_object(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        struct port_row port;
        char name[8];
        port_store_read_row(result, row, &port);
        (void)snprintf(name, sizeof name, "%u", (unsigned)port.container_port);
        json_int(&json, name, port.host_port);
    }
    json_end_object(&json);
    (void)snprintf(life, sizeof life, "%d", MIRROR_LIFE_S);
    sandboxes_ports_key(ports->sandboxes, sandbox_id, key);
    const struct view words[] = {VIEW("SET"), view_of(key), str_view(&text), VIEW("EX"),
                                 view_of(life)};
    if (!text.failed) {
        tell_redis(ports, words, sizeof words / sizeof words[0]);
    }
}

static void on_mirrored(const PGresult *result, const struct err *err, void *arg)
{
    struct mirroring *mirroring = arg;
    if (err != NULL) {
        log_debug("ports.not_mirrored", LOG_ERR(err));
    } else if (pg_rows(result) > 0) {
        mirror(mirroring->ports, mirroring->sandbox_id, result);
    }
    mirroring->ports->mirrors--;
    free(mirroring);
}

/* The rows have changed: tells the gateways, and writes the copy anew behind the answer. */
static void tell_changed(struct ports *ports, const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    sandboxes_publish(ports->sandboxes, sandbox_id);
    struct mirroring *mirroring = calloc(1, sizeof *mirroring);
    if (mirroring == NULL) {
        return;
    }
    mirroring->ports = ports;
    memcpy(mirroring->sandbox_id, sandbox_id, ID_SIZE);
    if (!port_store_list(ports->store, sandbox_id, on_mirrored, mirroring, &err)) {
        log_debug("ports.not_mirrored", LOG_ERR(&err));
        free(mirroring);
        return;
    }
    ports->mirrors++;
}

static void finish_list(struct port_request *request, const PGresult *result)
{
    char texts[SANDBOX_PORTS_MAX][PORT_ROW_TEXT_SIZE];
    struct view views[SANDBOX_PORTS_MAX];
    struct port_owner owner;
    size_t count = 0;
    for (int row = 0; row < pg_rows(result) && count < SANDBOX_PORTS_MAX; row++) {
        struct port_row port;
        if (port_store_has_port(result, row)) {
            port_store_read_row(result, row, &port);
            port_row_write(&port, texts[count]);
            views[count] = view_of(texts[count]);
            count++;
        }
    }
    port_store_read_owner(result, &owner);
    struct port_list_answer answer = {.ports = {views, count}, .is_live = owner.is_live};
    memcpy(answer.user_id, owner.user_id, ID_SIZE);
    call_finish_with(&request->call, &port_list_answer_schema, &answer);
}

static void on_listed(const PGresult *result, const struct err *err, void *arg)
{
    struct port_request *request = arg;
    struct err failure = {0};
    if (err == NULL && pg_rows(result) > 0) {
        mirror(request->call.calls->part, request->sandbox_id, result);
        finish_list(request, result);
        return;
    }
    err_set_reason(&failure, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
    call_fail(&request->call, err == NULL ? &failure : err);
}

void ports_handle_list(struct ports *ports, struct ipc_exchange *exchange,
                       const struct ipc_request *message)
{
    struct port_list body;
    struct err err = {0};
    struct port_request *request = begin(ports, exchange, message, &port_list_schema, &body);
    if (request != NULL &&
        !port_store_list(ports->store, body.sandbox_id, on_listed, request, &err)) {
        call_fail(&request->call, &err);
    }
}

/* False: it is answered. */
static bool begin_act(struct port_request *request, enum audit_action action, const char *user_id,
                      int64_t port)
{
    char target[PORT_TARGET_SIZE]; /* "<sandbox id>/<port>" */
    (void)snprintf(target, sizeof target, "%s/%u", request->sandbox_id, (unsigned)(uint16_t)port);
    const struct call_act act = {.action = action, .user_id = user_id, .target = view_of(target)};
    return call_begin_act(&request->call, &act);
}

static void on_exposed(const PGresult *result, const struct err *err, void *arg)
{
    struct port_request *request = arg;
    struct port_row row;
    char text[PORT_ROW_TEXT_SIZE];
    if (err != NULL) {
        call_fail(&request->call, err);
        return;
    }
    CRASH_POINT("expose.after_row");
    port_store_read_row(result, 0, &row);
    port_row_write(&row, text);
    log_info("port.exposed", LOG_TRACE(&request->call.message->trace),
             LOG_STR("sandbox_id", request->sandbox_id),
             LOG_INT("container_port", row.container_port), LOG_INT("host_port", row.host_port));
    tell_changed(request->call.calls->part, request->sandbox_id);
    CRASH_POINT("expose.after_news");
    const struct port_answer answer = {view_of(text)};
    call_finish_with(&request->call, &port_answer_schema, &answer);
}

void ports_handle_expose(struct ports *ports, struct ipc_exchange *exchange,
                         const struct ipc_request *message)
{
    struct port_expose body;
    struct err err = {0};
    struct port_request *request = begin(ports, exchange, message, &port_expose_schema, &body);
    if (request == NULL ||
        !begin_act(request, AUDIT_PORT_EXPOSED, body.user_id, body.container_port)) {
        return;
    }
    audit_record_add_detail(audit_act_record(request->call.act), "visibility", body.visibility);
    if (!port_store_expose(ports->store, &body, on_exposed, request, &err)) {
        call_fail(&request->call, &err);
    }
}

static void on_removed(const PGresult *result, const struct err *err, void *arg)
{
    struct port_request *request = arg;
    if (err != NULL) {
        call_fail(&request->call, err);
    } else if (pg_rows(result) == 0) {
        call_fail_with(&request->call, ERR_NOT_FOUND, "sandbox_not_found",
                       "there is no such sandbox");
    } else if (!port_store_read_removed(result)) {
        call_fail_with(&request->call, ERR_NOT_FOUND, "port_not_found", "the port is not exposed");
    } else {
        CRASH_POINT("close.after_row");
        log_info("port.closed", LOG_TRACE(&request->call.message->trace),
                 LOG_STR("sandbox_id", request->sandbox_id));
        tell_changed(request->call.calls->part, request->sandbox_id);
        call_finish_empty(&request->call);
    }
}

void ports_handle_close(struct ports *ports, struct ipc_exchange *exchange,
                        const struct ipc_request *message)
{
    struct port_close body;
    struct err err = {0};
    struct port_request *request = begin(ports, exchange, message, &port_close_schema, &body);
    if (request != NULL &&
        begin_act(request, AUDIT_PORT_CLOSED, body.user_id, body.container_port) &&
        !port_store_remove(ports->store, &body, on_removed, request, &err)) {
        call_fail(&request->call, &err);
    }
}
