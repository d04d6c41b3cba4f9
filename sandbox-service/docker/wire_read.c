#include "sandbox-service/docker/wire.h"

#include "common/base/encode.h"
#include "common/base/utf8.h"
#include "common/json/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* The engine's answers are long; what is not named here is skipped. */
#define READ(text, table, out, err) read_by(text, table, sizeof(table) / sizeof(table)[0], out, err)

static struct json_doc *read_by(struct view text, const struct json_field *fields, size_t count,
                                void *out, struct err *err)
{
    const struct json_schema schema = {.fields = fields, .field_count = count};
    struct json_doc *doc = json_read(text, &schema, out, NULL, err);
    if (doc == NULL) {
        /* Not the client's mistake. */
        struct err read = *err;
        err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable", "docker's answer: %s",
                       read.message);
    }
    return doc;
}

static bool keep(struct view text, char *out, size_t size, const char *what, struct err *err)
{
    return view_copy(text, out, size) ||
           err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable",
                          "docker's answer: %s is over %zu bytes or holds NUL", what, size - 1);
}

/* What is only shown may be cut, though not inside of a character: it may go into the database. */
static void keep_start(struct view text, char *out, size_t size)
{
    const struct view start = {text.ptr, text.len < size ? text.len : size - 1};
    size_t len = utf8_prefix(start, NULL);
    for (size_t i = 0; i < len; i++) {
        bool is_control = iscntrl((unsigned char)text.ptr[i]) != 0;
        out[i] = ' ';
        if (!is_control) {
            out[i] = text.ptr[i];
        }
    }
    out[len] = '\0';
}

static struct view find_value(const struct json_pairs *pairs, struct view name)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (view_equal(pairs->items[i].name, name)) {
            return pairs->items[i].value;
        }
    }
    return (struct view){0};
}

/* Whose container it is: the label says it, and the name, which no image brings along. */
static void find_sandbox(const struct json_pairs *labels, struct view name, char id[ID_SIZE])
{
    const struct view prefix = VIEW(CONTAINER_NAME_PREFIX);
    if (!id_parse(find_value(labels, VIEW(LABEL_SANDBOX)), id) || !view_starts_with(name, prefix) ||
        !view_equal(view_from(name, prefix.len), view_of(id))) {
        id[0] = '\0';
    }
}

bool wire_find_sandbox(const struct json_pairs *labels, const struct json_strings *names,
                       char id[ID_SIZE])
{
    id[0] = '\0';
    for (size_t i = 0; i < names->count && id[0] == '\0'; i++) {
        if (view_starts_with(names->items[i], VIEW("/"))) {
            find_sandbox(labels, view_from(names->items[i], 1), id);
        }
    }
    return id[0] != '\0';
}

bool wire_read_id(struct view body, char id[WIRE_ID_SIZE], struct err *err)
{
    struct created {
        struct view id;
    } created;
    static const struct json_field fields[] = {
        JSON_STRING(struct created, id, "Id", .required = true, .not_empty = true),
    };
    AUTO(json_doc_release) struct json_doc *doc = READ(body, fields, &created, err);
    return doc != NULL && keep(created.id, id, WIRE_ID_SIZE, "Id", err);
}

void wire_read_message(struct view body, char *out, size_t size)
{
    struct failure {
        struct view message;
    } failure;
    static const struct json_field fields[] = {
        JSON_STRING(struct failure, message, "message", .required = true),
    };
    struct err ignored = {0};
    AUTO(json_doc_release) struct json_doc *doc = READ(body, fields, &failure, &ignored);
    keep_start(doc == NULL ? body : failure.message, out, size);
}

bool wire_read_exit(struct view body, int64_t *exit_code, struct err *err)
{
    struct ended {
        int64_t status_code;
    } ended;
    static const struct json_field fields[] = {
        JSON_INT(struct ended, status_code, "StatusCode", .required = true),
    };
    AUTO(json_doc_release) struct json_doc *doc = READ(body, fields, &ended, err);
    *exit_code = doc == NULL ? -1 : ended.status_code;
    return doc != NULL;
}

struct state {
    struct view status;
    bool running;
    bool oom_killed;
    int64_t exit_code;
    struct view error;
};
static const struct json_field state_fields[] = {
    JSON_STRING(struct state, status, "Status", .required = true),
    JSON_BOOL(struct state, running, "Running", .required = true),
    JSON_BOOL(struct state, oom_killed, "OOMKilled"),
    JSON_INT(struct state, exit_code, "ExitCode"),
    JSON_STRING(struct state, error, "Error"),
};
struct networking {
    struct view networks;
};
static const struct json_field networking_fields[] = {
    JSON_OBJECT(struct networking, networks, "Networks", .nullable = true),
};
struct inspected {
    struct state state;
    struct networking networking;
    int64_t written_bytes;
};
static const struct json_field inspected_fields[] = {
    JSON_STRUCT(struct inspected, state, "State", state_fields, .required = true),
    JSON_STRUCT(struct inspected, networking, "NetworkSettings", networking_fields,
                .nullable = true),
    JSON_INT(struct inspected, written_bytes, "SizeRw", .fallback = -1),
};

static void on_network(const struct json_member *member, void *arg)
{
    struct endpoint {
        struct view address;
    } endpoint;
    static const struct json_field fields[] = {
        JSON_STRING(struct endpoint, address, "IPAddress"),
    };
    struct wire_container *out = arg;
    struct err ignored = {0};
    AUTO(json_doc_release) struct json_doc *doc = READ(member->value, fields, &endpoint, &ignored);
    if (doc != NULL && out->address[0] == '\0' &&
        !view_copy(endpoint.address, out->address, sizeof out->address)) {
        out->address[0] = '\0';
    }
}

bool wire_read_container(struct view body, struct wire_container *out, struct err *err)
{
    struct inspected inspected;
    AUTO(json_doc_release) struct json_doc *doc = READ(body, inspected_fields, &inspected, err);
    if (doc == NULL) {
        return false;
    }
    const struct state *state = &inspected.state;
    *out = (struct wire_container){
        .running = state->running,
        .exit_code = state->exit_code,
        .oom_killed = state->oom_killed,
        .written_bytes = inspected.written_bytes,
    };
    keep_start(state->error, out->error, sizeof out->error);
    if (inspected.networking.networks.len > 0 &&
        !json_scan(inspected.networking.networks, on_network, out, err)) {
        return false;
    }
    return keep(state->status, out->status, sizeof out->status, "State.Status", err);
}

struct mounted {
    struct view mounts;
};
static const struct json_field mounted_fields[] = {
    JSON_ARRAY(struct mounted, mounts, "Mounts", .required = true),
};
struct mount_reader {
    wire_mount_fn *on_mount;
    void *arg;
    bool ok;
    struct err *err; /* borrowed */
};

static void on_mounted(struct view item, void *arg)
{
    struct mount {
        struct view target;
    } mount;
    static const struct json_field fields[] = {
        JSON_STRING(struct mount, target, "Destination", .required = true),
    };
    struct mount_reader *reader = arg;
    AUTO(json_doc_release)
    struct json_doc *doc = reader->ok ? READ(item, fields, &mount, reader->err) : NULL;
    reader->ok = doc != NULL;
    if (reader->ok) {
        reader->on_mount(mount.target, reader->arg);
    }
}

bool wire_read_mounts(struct view body, wire_mount_fn *on_mount, void *arg, struct err *err)
{
    struct mounted mounted;
    struct mount_reader reader = {on_mount, arg, true, err};
    AUTO(json_doc_release) struct json_doc *doc = READ(body, mounted_fields, &mounted, err);
    return doc != NULL && json_scan_items(mounted.mounts, on_mounted, &reader, err) && reader.ok;
}

bool wire_read_path_stat(struct view header, bool *is_folder, struct err *err)
{
    enum { HEADER_MAX = 8 * 1024 };
    static const int64_t mode_folder = INT64_C(1) << 31; /* of Go's os.FileMode */
    struct stated {
        int64_t mode;
    } stated;
    static const struct json_field fields[] = {
        JSON_INT(struct stated, mode, "mode", .required = true),
    };
    uint8_t text[ENCODE_BASE64_DECODED_MAX(HEADER_MAX)];
    size_t len = 0;
    if (header.len > HEADER_MAX || !encode_base64_decode(ENCODE_BASE64, header, text, &len)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable",
                              "docker's answer: what a path is can't be read");
    }
    AUTO(json_doc_release)
    struct json_doc *doc = READ(((struct view){(const char *)text, len}), fields, &stated, err);
    *is_folder = doc != NULL && (stated.mode & mode_folder) != 0;
    return doc != NULL;
}

/* A list of names, with commas. */
struct names {
    char *out;
    size_t size;
};

/* What does not fit is left out. */
static void on_name(const struct json_member *member, void *arg)
{
    const struct names *names = arg;
    size_t len = strlen(names->out);
    if (member->name.len > 0 && member->name.len < names->size - len - 1) {
        (void)snprintf(names->out + len, names->size - len, "%s%.*s", len > 0 ? "," : "",
                       (int)member->name.len, member->name.ptr);
    }
}

/* The names of an object's members. */
static bool keep_names(struct view object, char *out, size_t size, struct err *err)
{
    struct names names = {out, size};
    out[0] = '\0';
    return object.len == 0 || json_scan(object, on_name, &names, err);
}

bool wire_list_has(const char *list, struct view name)
{
    struct view rest = view_of(list);
    while (rest.len > 0) {
        if (view_equal(view_cut(&rest, ','), name)) {
            return true;
        }
    }
    return false;
}

struct listed {
    struct view id;
    struct json_strings names;
    struct json_pairs labels;
    struct view state;
    struct networking networking;
};
static const struct json_field listed_fields[] = {
    JSON_STRING(struct listed, id, "Id", .required = true),
    JSON_STRINGS(struct listed, names, "Names", .nullable = true),
    JSON_PAIRS(struct listed, labels, "Labels", .nullable = true),
    JSON_STRING(struct listed, state, "State", .required = true),
    JSON_STRUCT(struct listed, networking, "NetworkSettings", networking_fields, .nullable = true),
};

struct list_reader {
    wire_listed_fn *on_container;
    void *arg;
    bool ok;
    struct err *err; /* borrowed */
};

static void on_listed(struct view item, void *arg)
{
    struct list_reader *reader = arg;
    struct listed listed;
    struct wire_listed out;
    if (!reader->ok) {
        return;
    }
    AUTO(json_doc_release)
    struct json_doc *doc = READ(item, listed_fields, &listed, reader->err);
    reader->ok =
        doc != NULL && keep(listed.id, out.id, sizeof out.id, "Id", reader->err) &&
        keep(listed.state, out.state, sizeof out.state, "State", reader->err) &&
        keep_names(listed.networking.networks, out.networks, sizeof out.networks, reader->err);
    if (reader->ok) {
        (void)wire_find_sandbox(&listed.labels, &listed.names, out.sandbox_id);
        reader->on_container(&out, reader->arg);
    }
}

bool wire_read_list(struct view body, wire_listed_fn *on_container, void *arg, struct err *err)
{
    struct list_reader reader = {on_container, arg, true, err};
    if (body.len == 0 || body.ptr[0] != '[') {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable",
                              "docker's answer: not a list");
    }
    return json_scan_items(body, on_listed, &reader, err) && reader.ok;
}

struct actor {
    struct json_pairs attributes;
};
static const struct json_field actor_fields[] = {
    JSON_PAIRS(struct actor, attributes, "Attributes", .nullable = true),
};
struct happening {
    struct view action;
    struct actor actor;
};
static const struct json_field happening_fields[] = {
    JSON_STRING(struct happening, action, "Action", .required = true),
    JSON_STRUCT(struct happening, actor, "Actor", actor_fields),
};

bool wire_read_event(struct view line, struct wire_event *out, struct err *err)
{
    struct happening happening;
    AUTO(json_doc_release) struct json_doc *doc = READ(line, happening_fields, &happening, err);
    if (doc == NULL) {
        return false;
    }
    if (!view_copy(happening.action, out->action, sizeof out->action)) {
        out->action[0] = '\0';
    }
    const struct json_pairs *attributes = &happening.actor.attributes;
    find_sandbox(attributes, find_value(attributes, VIEW("name")), out->sandbox_id);
    return true;
}

/* The whole text as a number of at most nine digits. */
static bool read_number(struct view text, uint32_t *out)
{
    enum { DIGITS_MAX = 9 };
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return text.len > 0 && text.len <= DIGITS_MAX;
}

/* A remapping engine keeps its data in <root>/<uid>.<gid>. */
static void read_remap(struct view root_dir, struct wire_info *out)
{
    size_t at = root_dir.len;
    while (at > 0 && root_dir.ptr[at - 1] != '/') {
        at--;
    }
    struct view name = view_from(root_dir, at);
    const char *dot = name.len == 0 ? NULL : memchr(name.ptr, '.', name.len);
    size_t uid_len = dot == NULL ? 0 : (size_t)(dot - name.ptr);
    if (dot == NULL || !read_number((struct view){name.ptr, uid_len}, &out->remapped_uid) ||
        !read_number(view_from(name, uid_len + 1), &out->remapped_gid)) {
        out->remapped_uid = 0;
        out->remapped_gid = 0;
    }
}

struct commit {
    struct view id;
};
static const struct json_field commit_fields[] = {
    JSON_STRING(struct commit, id, "ID"),
};

/* "1.1.5+ds1-1", "v1.1.12-0-g51d5e94"; older engines tell the hash of a commit, which says nothing.
 */
static void keep_runc(struct view id, struct wire_info *out)
{
    bool is_version = id.len > 0 && memchr(id.ptr, '.', id.len) != NULL;
    keep_start(is_version ? id : VIEW(""), out->runc, sizeof out->runc);
}

bool wire_read_info(struct view body, struct wire_info *out, struct err *err)
{
    struct info {
        struct view root_dir;
        bool live_restore;
        struct view version;
        struct view driver;
        int64_t memory_bytes;
        int64_t cpus;
        struct view runtimes;
        struct commit runc;
    } info;
    static const struct json_field fields[] = {
        JSON_STRING(struct info, root_dir, "DockerRootDir", .required = true),
        JSON_BOOL(struct info, live_restore, "LiveRestoreEnabled"),
        JSON_STRING(struct info, version, "ServerVersion"),
        JSON_STRING(struct info, driver, "Driver"),
        JSON_INT(struct info, memory_bytes, "MemTotal"),
        JSON_INT(struct info, cpus, "NCPU"),
        JSON_OBJECT(struct info, runtimes, "Runtimes", .nullable = true),
        JSON_STRUCT(struct info, runc, "RuncCommit", commit_fields, .nullable = true),
    };
    AUTO(json_doc_release) struct json_doc *doc = READ(body, fields, &info, err);
    if (doc == NULL) {
        return false;
    }
    out->live_restore = info.live_restore;
    out->memory_bytes = info.memory_bytes;
    out->cpus = info.cpus;
    if (!view_copy(info.driver, out->driver, sizeof out->driver)) {
        out->driver[0] = '\0';
    }
    if (!view_copy(info.root_dir, out->root_dir, sizeof out->root_dir)) {
        out->root_dir[0] = '\0';
    }
    keep_start(info.version, out->version, sizeof out->version);
    keep_runc(info.runc.id, out);
    read_remap(info.root_dir, out);
    return keep_names(info.runtimes, out->runtimes, sizeof out->runtimes, err);
}

struct image_config {
    struct view user;
    struct view work_dir;
};
static const struct json_field image_config_fields[] = {
    JSON_STRING(struct image_config, user, "User"),
    JSON_STRING(struct image_config, work_dir, "WorkingDir"),
};

bool wire_read_image(struct view body, struct wire_image *out, struct err *err)
{
    struct image {
        struct view id;
        struct image_config config;
    } image;
    static const struct json_field fields[] = {
        JSON_STRING(struct image, id, "Id"),
        JSON_STRUCT(struct image, config, "Config", image_config_fields, .nullable = true),
    };
    AUTO(json_doc_release) struct json_doc *doc = READ(body, fields, &image, err);
    return doc != NULL && keep(image.id, out->id, sizeof out->id, "Id", err) &&
           keep(image.config.user, out->user, sizeof out->user, "Config.User", err) &&
           keep(image.config.work_dir, out->work_dir, sizeof out->work_dir, "Config.WorkingDir",
                err);
}

static void on_pool(struct view item, void *arg)
{
    struct pool {
        struct view subnet;
    } pool;
    static const struct json_field fields[] = {
        JSON_STRING(struct pool, subnet, "Subnet"),
    };
    struct wire_network *out = arg;
    struct err ignored = {0};
    AUTO(json_doc_release) struct json_doc *doc = READ(item, fields, &pool, &ignored);
    if (doc != NULL && out->subnet[0] == '\0' &&
        !view_copy(pool.subnet, out->subnet, sizeof out->subnet)) {
        out->subnet[0] = '\0';
    }
}

static bool read_bridge(const struct json_pairs *options, struct wire_network *out, struct err *err)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct json_pair *option = &options->items[i];
        if (view_equal(option->name, VIEW("com.docker.network.bridge.enable_icc"))) {
            out->icc_off = view_equal(option->value, VIEW("false"));
        } else if (view_equal(option->name, VIEW("com.docker.network.bridge.name")) &&
                   !keep(option->value, out->bridge, sizeof out->bridge, "bridge.name", err)) {
            return false;
        }
    }
    return true;
}

struct ipam {
    struct view config;
};
static const struct json_field ipam_fields[] = {
    JSON_ARRAY(struct ipam, config, "Config", .nullable = true),
};
struct network {
    bool ipv6;
    struct json_pairs options;
    struct ipam ipam;
};
static const struct json_field network_fields[] = {
    JSON_BOOL(struct network, ipv6, "EnableIPv6"),
    JSON_PAIRS(struct network, options, "Options", .nullable = true),
    JSON_STRUCT(struct network, ipam, "IPAM", ipam_fields, .nullable = true),
};

bool wire_read_network(struct view body, struct wire_network *out, struct err *err)
{
    struct network network;
    AUTO(json_doc_release) struct json_doc *doc = READ(body, network_fields, &network, err);
    if (doc == NULL) {
        return false;
    }
    *out = (struct wire_network){.ipv6 = network.ipv6};
    return (network.ipam.config.len == 0 ||
            json_scan_items(network.ipam.config, on_pool, out, err)) &&
           read_bridge(&network.options, out, err);
}
