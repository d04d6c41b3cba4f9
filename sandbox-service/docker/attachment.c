#include "sandbox-service/docker/attachment.h"

#include "common/json/scan.h"
#include "common/json/write.h"
#include "sandbox-service/docker/wire.h"
#include "sandbox-service/network/cidr.h"

#include <stdio.h>

enum { BODY_MAX = 4096, JOIN_TIMEOUT_MS = 10000 };

/* The engine has no code of its own for these. */
static bool is_so_already(const struct attachment_call *call, const struct err *err)
{
    return call->is_join ? strstr(err->message, "already exists in network") != NULL
                         : strstr(err->message, "is not connected to") != NULL;
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct attachment_call *call = arg;
    struct err failure = {0};
    bool ok = docker_succeeded(reply, err, call->is_join ? "join the network" : "leave the network",
                               &failure) ||
              is_so_already(call, &failure);
    call->done(ok ? NULL : &failure, call->arg);
}

static void write_body(struct str *body, const char *container, const char *address)
{
    struct json_writer json = json_writer_on(body);
    json_begin_object(&json, NULL);
    json_string(&json, "Container", view_of(container));
    if (address != NULL) {
        json_begin_object(&json, "EndpointConfig");
        json_begin_object(&json, "IPAMConfig");
        json_string(&json, "IPv4Address", view_of(address));
        json_end_object(&json);
        json_end_object(&json);
    }
    json_end_object(&json);
}

static void send_call(struct docker *docker, struct attachment_call *call, const char *network,
                      const char *container, const char *address)
{
    char path[DOCKER_PATH_SIZE];
    struct str body = STR_INIT(BODY_MAX);
    write_body(&body, container, address);
    (void)snprintf(path, sizeof path, "/networks/%s/%s", network,
                   call->is_join ? "connect" : "disconnect");
    const struct docker_request request = {
        .method = "POST", .path = path, .body = str_view(&body), .timeout_ms = JOIN_TIMEOUT_MS};
    docker_send(docker, &call->call, &request, on_reply, call);
    str_free(&body);
}

void attachment_join(struct docker *docker, struct attachment_call *call, const char *network,
                     const char *container, const char *address, attachment_fn *done, void *arg)
{
    call->is_join = true;
    call->done = done;
    call->arg = arg;
    send_call(docker, call, network, container, address);
}

void attachment_leave(struct docker *docker, struct attachment_call *call, const char *network,
                      const char *container, attachment_fn *done, void *arg)
{
    call->is_join = false;
    call->done = done;
    call->arg = arg;
    send_call(docker, call, network, container, NULL);
}

struct address_reader {
    const char *network;
    attachment_address_fn *on_address;
    void *arg;
    bool ok;
    struct err *err; /* borrowed */
};

struct connected {
    struct json_strings names;
    struct json_pairs labels;
    struct view settings;
};
static const struct json_field connected_fields[] = {
    JSON_STRINGS(struct connected, names, "Names", .nullable = true),
    JSON_PAIRS(struct connected, labels, "Labels", .nullable = true),
    JSON_OBJECT(struct connected, settings, "NetworkSettings", .nullable = true),
};

/* The object that a member is; empty where there is none. The caller releases the document. */
static struct json_doc *open_member(struct view object, const char *name, struct view *out)
{
    struct member {
        struct view object;
    } member;
    const struct json_field fields[] = {
        JSON_OBJECT(struct member, object, name, .nullable = true),
    };
    const struct json_schema schema = JSON_SCHEMA(fields);
    struct err ignored = {0};
    struct json_doc *doc = json_read(object, &schema, &member, NULL, &ignored);
    *out = doc == NULL ? VIEW("") : member.object;
    return doc;
}

static bool find_address(struct view settings, const char *network, uint32_t *out)
{
    struct endpoint {
        struct view address;
    } endpoint;
    static const struct json_field fields[] = {
        JSON_STRING(struct endpoint, address, "IPAddress"),
    };
    const struct json_schema schema = JSON_SCHEMA(fields);
    struct err ignored = {0};
    struct view networks;
    struct view wanted;
    AUTO(json_doc_release) struct json_doc *outer = open_member(settings, "Networks", &networks);
    AUTO(json_doc_release) struct json_doc *inner = open_member(networks, network, &wanted);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(wanted, &schema, &endpoint, NULL, &ignored);
    return outer != NULL && inner != NULL && doc != NULL && address_parse(endpoint.address, out);
}

static void on_item(struct view item, void *arg)
{
    struct address_reader *reader = arg;
    const struct json_schema schema = JSON_SCHEMA(connected_fields);
    struct connected container;
    char id[ID_SIZE];
    uint32_t address;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &schema, &container, NULL, reader->err);
    reader->ok = reader->ok && doc != NULL;
    if (reader->ok && wire_find_sandbox(&container.labels, &container.names, id) &&
        find_address(container.settings, reader->network, &address)) {
        reader->on_address(id, address, reader->arg);
    }
}

bool attachment_read_addresses(struct view body, const char *network,
                               attachment_address_fn *on_address, void *arg, struct err *err)
{
    struct address_reader reader = {network, on_address, arg, true, err};
    if (body.len == 0 || body.ptr[0] != '[') {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable",
                              "docker's answer: not a list");
    }
    return json_scan_items(body, on_item, &reader, err) && reader.ok;
}
