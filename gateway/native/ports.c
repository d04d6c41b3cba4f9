/* Exposed ports of a sandbox: POST expose, GET and DELETE ports. The sandbox-service keeps them;
 * this gateway listens on their host ports before it says that they are there. */
#include "common/contracts/ports.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/config.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"
#include "gateway/ports/host_ports.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 30 * 1000,
    AGENT_TIMEOUT_MS = 15 * 1000,
    HOST_PORT_TRIES_MAX = 64, /* ports of the range that turned out to be somebody else's */
    ANSWER_MAX = 128 * 1024,
    URL_SIZE = 2 * CONFIG_PATH_SIZE,
    PORT_DIGITS_MAX = 5,
};

struct expose_body {
    struct view visibility;
    int64_t container_port;
};
static const char *const visibilities[] = {PORT_PUBLIC, PORT_TOKEN, NULL};
static const struct json_field expose_fields[] = {
    JSON_STRING(struct expose_body, visibility, "visibility", .one_of = visibilities,
                .nullable = true),
    JSON_INT(struct expose_body, container_port, "containerPort", .required = true, .min = 1,
             .max = PORT_NUMBER_MAX),
};

/* The work of a request that exposes or closes a port. */
struct port_work {
    struct request *request;      /* borrowed */
    struct host_ports_wait *wait; /* NULL: none */
    bool is_public;
    int tries;
    int64_t taken_port;
    int64_t container_port;
    struct exposed_port port; /* as the sandbox-service has it */
};

static void end_work(void *work)
{
    struct port_work *ports = work;
    if (ports->wait != NULL) {
        host_ports_wait_cancel(ports->wait);
    }
}

/* NULL: the request has failed. */
static struct port_work *begin_work(struct request *request, int64_t container_port)
{
    struct port_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        struct err err = {0};
        err_set(&err, ERR_INTERNAL, "ports: out of memory");
        request_fail(request, &err);
        return NULL;
    }
    work->request = request;
    work->container_port = container_port;
    request_set_work(request, work, end_work);
    return work;
}

static bool has_host_ports(const struct request *request)
{
    return request->gateway->config->host_port_first != 0;
}

/* Its host ports are listened on when its agent comes. */
static bool rests_on_disk(const struct request *request)
{
    return sandbox_status_is_resting(view_of(request->sandbox.status)) &&
           !hub_is_ready(request->gateway->hub, request->id);
}

/* False: the request has failed. */
static bool is_alive(struct request *request)
{
    const struct sandbox_meta *sandbox = &request->sandbox;
    struct err err = {0};
    if (sandbox->is_live) {
        return true;
    }
    err_set_reason(&err, ERR_CONFLICT, "sandbox_ended", "The sandbox has ended (%s).",
                   sandbox->end_reason);
    request_fail(request, &err);
    return false;
}

static void write_preview_url(const struct request *request, const struct exposed_port *port,
                              char out[URL_SIZE])
{
    const struct gateway_config *config = request->gateway->config;
    bool is_https = strcmp(config->preview_scheme, "https") == 0;
    char id32[ID32_SIZE];
    char port_text[16] = "";
    if (config->preview_port != (is_https ? 443 : 80)) {
        (void)snprintf(port_text, sizeof port_text, ":%d", (int)config->preview_port);
    }
    id_to_id32(request->id, id32);
    (void)snprintf(out, URL_SIZE, "%s://%u-%s.%s%s", config->preview_scheme,
                   (unsigned)port->container_port, id32, config->preview_domain, port_text);
}

/* For clients on this machine's network: what listens on all addresses has the preview's name. */
static void write_url(const struct request *request, const struct exposed_port *port,
                      char out[URL_SIZE])
{
    const struct gateway_config *config = request->gateway->config;
    const char *host = config->host_port_address;
    if (port->host_port == 0) {
        write_preview_url(request, port, out);
        return;
    }
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
        host = config->preview_domain;
    }
    bool is_ipv6 = strchr(host, ':') != NULL;
    (void)snprintf(out, URL_SIZE, "http://%s%s%s:%u", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
                   (unsigned)port->host_port);
}

/* The members of one port, inside an object. */
static bool write_port(struct json_writer *writer, const struct request *request,
                       const struct exposed_port *port, struct err *err)
{
    char url[URL_SIZE];
    char preview_url[URL_SIZE];
    char preview_path[ID_SIZE + 32];
    char token[EXPOSED_TOKEN_SIZE];
    write_url(request, port, url);
    write_preview_url(request, port, preview_url);
    (void)snprintf(preview_path, sizeof preview_path, "/preview/%s/%u/", request->id,
                   (unsigned)port->container_port);
    json_string(writer, "sandboxId", view_of(request->id));
    json_int(writer, "containerPort", port->container_port);
    if (port->host_port == 0) {
        json_null(writer, "hostPort");
    } else {
        json_int(writer, "hostPort", port->host_port);
    }
    json_string(writer, "url", view_of(url));
    json_string(writer, "previewUrl", view_of(preview_url));
    json_string(writer, "previewPath", view_of(preview_path));
    json_string(writer, "visibility", port->is_public ? VIEW(PORT_PUBLIC) : VIEW(PORT_TOKEN));
    json_string(writer, "createdAt", view_of(port->created_at));
    if (port->is_public) {
        return true;
    }
    if (!exposed_token_write(request->gateway->exposed, request->id, port, token, err)) {
        return false;
    }
    json_string(writer, "token", view_of(token));
    return true;
}

/* Tokens must not lie in anybody's cache. */
static void respond_uncached(struct request *request, const struct str *body, bool ok,
                             struct err *err)
{
    const struct http_response response = {.status = 200, .body = str_view(body), .no_store = true};
    if (ok && str_check(body, "answer", err)) {
        request_respond(request, &response);
    } else {
        request_fail(request, err);
    }
}

static void respond_exposed(const struct port_work *work)
{
    struct request *request = work->request;
    struct err err = {0};
    AUTO(str_free) struct str body = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    bool ok = write_port(&writer, request, &work->port, &err);
    json_end_object(&writer);
    respond_uncached(request, &body, ok, &err);
}

static void fail_lost(struct request *request)
{
    struct err lost = {0};
    err_set_reason(&lost, ERR_UNAVAILABLE, "agent_lost", "the agent's connection broke");
    request_fail(request, &lost);
}

static void on_explained(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    (void)err; /* Then it is just not known. */
    struct request *request = arg;
    request->fetch = NULL;
    if (meta == NULL) {
        fail_lost(request);
        return;
    }
    request->sandbox = *meta;
    if (is_alive(request)) {
        fail_lost(request);
    }
}

/* The agent went while its port was opened: of a sandbox that has ended, that is what is said. */
static void explain_lost(struct request *request)
{
    struct sandbox_cache *sandboxes = request->gateway->sandboxes;
    struct err ignored = {0};
    sandbox_cache_forget(sandboxes, request->id);
    request->fetch = sandbox_fetch_begin(sandboxes, request->id, &request->trace, on_explained,
                                         request, &ignored);
    if (request->fetch == NULL) {
        fail_lost(request);
    }
}

static void ask_expose(struct port_work *work);

static void on_listening(const struct err *err, void *arg)
{
    struct port_work *work = arg;
    struct err failure = {0};
    work->wait = NULL;
    if (err == NULL) {
        respond_exposed(work);
    } else if (strcmp(err->reason, "agent_lost") == 0) {
        explain_lost(work->request);
    } else if (strcmp(err->reason, "host_port_taken") != 0) {
        request_fail(work->request, err);
    } else if (++work->tries < HOST_PORT_TRIES_MAX) {
        work->taken_port = work->port.host_port;
        ask_expose(work);
    } else {
        err_set_reason(&failure, ERR_LIMIT, "host_ports_exhausted", "every port tried was taken");
        request_fail(work->request, &failure);
    }
}

static void on_exposed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct port_work *work = request->work;
    struct port_answer answer;
    struct err failure = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &port_answer_schema, &answer);
    if (doc == NULL) {
        return;
    }
    exposed_forget(request->gateway->exposed, request->id);
    if (!exposed_port_read(answer.port, &work->port, &failure)) {
        err_set(&failure, ERR_INTERNAL, "the sandbox-service's port can't be read");
        request_fail(request, &failure);
        return;
    }
    if (work->port.host_port == 0 || rests_on_disk(request)) {
        respond_exposed(work);
        return;
    }
    work->wait = host_ports_wait_begin(request->gateway->host_ports, request->id,
                                       work->port.container_port, on_listening, work, &failure);
    if (work->wait == NULL) {
        on_listening(&failure, work);
    }
}

static void ask_expose(struct port_work *work)
{
    struct request *request = work->request;
    const struct gateway_config *config = request->gateway->config;
    struct port_expose message = {.visibility =
                                      work->is_public ? VIEW(PORT_PUBLIC) : VIEW(PORT_TOKEN),
                                  .container_port = work->container_port,
                                  .host_port_first = config->host_port_first,
                                  .host_port_last = config->host_port_last,
                                  .taken_port = work->taken_port};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = PORT_EXPOSE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &port_expose_schema,
        .message = &message,
    };
    service_ask(request, &question, on_exposed);
}

static void on_agent_ready(const struct err *err, void *arg)
{
    struct port_work *work = arg;
    work->request->hub_wait = NULL;
    if (err != NULL) {
        request_fail(work->request, err);
        return;
    }
    ask_expose(work);
}

void sandbox_expose_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct expose_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(expose_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &wanted, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    struct port_work *work = is_alive(request) ? begin_work(request, wanted.container_port) : NULL;
    if (work == NULL) {
        return;
    }
    work->is_public = view_equal(wanted.visibility, VIEW(PORT_PUBLIC));
    if (!has_host_ports(request) || rests_on_disk(request)) {
        ask_expose(work);
        return;
    }
    request->hub_wait = hub_wait_begin(request->gateway->hub, request->id, AGENT_TIMEOUT_MS,
                                       on_agent_ready, work, &err);
    if (request->hub_wait == NULL) {
        request_fail(request, &err);
    }
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct port_list_answer answer;
    struct err failure = {0};
    bool ok = true;
    AUTO(json_doc_release)
    struct json_doc *doc =
        service_read_answer(request, body, err, &port_list_answer_schema, &answer);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(request->id));
    json_begin_array(&writer, "ports");
    for (size_t i = 0; ok && i < answer.ports.count; i++) {
        struct exposed_port port;
        json_begin_object(&writer, NULL);
        ok = (exposed_port_read(answer.ports.items[i], &port, &failure) ||
              err_set(&failure, ERR_INTERNAL, "the sandbox-service's ports can't be read")) &&
             write_port(&writer, request, &port, &failure);
        json_end_object(&writer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
    respond_uncached(request, &out, ok, &failure);
}

void sandbox_ports_handle(struct request *request)
{
    struct port_list message = {0};
    if (!is_alive(request)) {
        return;
    }
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = PORT_LIST,
        .timeout_ms = CALL_TIMEOUT_MS,
        .repeatable = true,
        .schema = &port_list_schema,
        .message = &message,
    };
    service_ask(request, &question, on_listed);
}

static void respond_closed(const struct port_work *work)
{
    char answer[ID_SIZE + 80];
    (void)snprintf(answer, sizeof answer,
                   "{\"success\":true,\"sandboxId\":\"%s\",\"containerPort\":%d}",
                   work->request->id, (int)work->container_port);
    const struct http_response response = {.status = 200, .body = view_of(answer)};
    request_respond(work->request, &response);
}

/* Whatever went wrong, the row is gone, and the listener goes at the next look. */
static void on_not_listening(const struct err *err, void *arg)
{
    (void)err;
    struct port_work *work = arg;
    work->wait = NULL;
    respond_closed(work);
}

static void on_closed(const struct view *body, const struct err *err, void *arg)
{
    (void)body;
    struct request *request = arg;
    struct port_work *work = request->work;
    struct err ignored = {0};
    if (!service_answered(request, err)) {
        return;
    }
    exposed_forget(request->gateway->exposed, request->id);
    work->wait =
        host_ports_wait_begin(request->gateway->host_ports, request->id,
                              (uint16_t)work->container_port, on_not_listening, work, &ignored);
    if (work->wait == NULL) { /* Without its agent here nothing listens. */
        respond_closed(work);
    }
}

/* The {item} of the path. False: the request has failed. */
static bool read_container_port(struct request *request, int64_t *out)
{
    struct err err = {0};
    struct json_violations violations = {.count = 1};
    bool ok = request->item.len > 0 && request->item.len <= PORT_DIGITS_MAX;
    *out = 0;
    for (size_t i = 0; ok && i < request->item.len; i++) {
        ok = request->item.ptr[i] >= '0' && request->item.ptr[i] <= '9';
        *out = *out * 10 + (request->item.ptr[i] - '0');
    }
    if (ok && *out >= 1 && *out <= PORT_NUMBER_MAX) {
        return true;
    }
    (void)snprintf(violations.items[0].path, JSON_PATH_SIZE, "containerPort");
    (void)snprintf(violations.items[0].message, JSON_VIOLATION_MESSAGE_SIZE,
                   "must be a whole number from 1 to %d", PORT_NUMBER_MAX);
    err_set_reason(&err, ERR_INVALID, "validation_failed", "containerPort is out of range");
    request_fail_validation(request, &err, &violations);
    return false;
}

void sandbox_port_close_handle(struct request *request)
{
    struct port_close message = {0};
    if (!read_container_port(request, &message.container_port) || !is_alive(request) ||
        begin_work(request, message.container_port) == NULL) {
        return;
    }
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = PORT_CLOSE,
        .timeout_ms = CALL_TIMEOUT_MS,
        .schema = &port_close_schema,
        .message = &message,
    };
    service_ask(request, &question, on_closed);
}
