#include "sandbox-service/system/leftover_list.h"

#include "common/json/read.h"
#include "common/json/scan.h"
#include "sandbox-service/docker/empty_image.h"

#include <time.h>

#define AGENT_VOLUME_PREFIX "insien-agent-"
#define LABEL_IMAGE "insien.image" /* of those that deploy/images makes */
#define DEPLOYMENT_TAG "for-"      /* begins the tag that a deployment gives its present ones */
#define BASE_OF_ALL "debian"       /* what the others are made from, the next time too */
#define NO_TAG "<none>:<none>"

static const char *const kind_names[] = {[LEFTOVER_CONTAINER] = "container",
                                         [LEFTOVER_PORT] = "port",
                                         [LEFTOVER_VOLUME] = "volume",
                                         [LEFTOVER_IMAGE] = "image",
                                         [LEFTOVER_DISK] = "disk"};

struct leftover *leftover_list_add(struct leftover_list *leftovers, enum leftover_kind kind,
                                   struct view name)
{
    if (leftovers->count == LEFTOVERS_MAX) {
        leftovers->truncated = true;
        return NULL;
    }
    struct leftover *leftover = &leftovers->items[leftovers->count];
    *leftover = (struct leftover){.kind = kind};
    if (name.len == 0 || !view_copy(name, leftover->name, sizeof leftover->name)) {
        return NULL;
    }
    leftovers->count++;
    return leftover;
}

static struct leftover *find(struct leftover_list *leftovers, enum leftover_kind kind,
                             struct view name)
{
    for (size_t i = 0; i < leftovers->count; i++) {
        if (leftovers->items[i].kind == kind &&
            view_equal(name, view_of(leftovers->items[i].name))) {
            return &leftovers->items[i];
        }
    }
    return NULL;
}

void leftover_list_drop(struct leftover_list *leftovers, enum leftover_kind kind, struct view name)
{
    struct leftover *leftover = find(leftovers, kind, name);
    if (leftover != NULL) {
        *leftover = leftovers->items[--leftovers->count];
    }
}

/* What one answer of the engine is read into. */
struct reading {
    struct leftover_list *leftovers;
    const struct leftover_policy *policy;
    struct err *err;
    bool ok;
};

static bool read_items(struct view array, json_item_fn *on_item, struct reading *reading)
{
    bool scanned = array.len == 0 || json_scan_items(array, on_item, reading, reading->err);
    return scanned && reading->ok;
}

/* "2026-11-23T10:00:00+01:00": the zone does not matter where days do. */
static bool is_before(struct view text, int64_t before)
{
    char copy[40];
    struct tm parts = {0};
    if (!view_copy(text, copy, sizeof copy) ||
        strptime(copy, "%Y-%m-%dT%H:%M:%S", &parts) == NULL) {
        return false;
    }
    return (int64_t)timegm(&parts) < before;
}

static void on_volume(struct view item, void *arg)
{
    struct reading *reading = arg;
    struct volume {
        struct view name;
        struct view created_at;
    } volume;
    static const struct json_field fields[] = {
        JSON_STRING(struct volume, name, "Name", .required = true),
        JSON_STRING(struct volume, created_at, "CreatedAt"),
    };
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &schema, &volume, NULL, reading->err);
    if (doc == NULL) {
        reading->ok = false;
        return;
    }
    if (view_starts_with(volume.name, VIEW(AGENT_VOLUME_PREFIX)) &&
        !view_equal(volume.name, view_of(reading->policy->agent_volume)) &&
        is_before(volume.created_at, reading->policy->before)) {
        (void)leftover_list_add(reading->leftovers, LEFTOVER_VOLUME, volume.name);
    }
}

bool leftover_list_add_volumes(struct leftover_list *leftovers, struct view body,
                               const struct leftover_policy *policy, struct err *err)
{
    struct volumes {
        struct view volumes;
    } listed;
    static const struct json_field fields[] = {
        JSON_ARRAY(struct volumes, volumes, "Volumes", .nullable = true),
    };
    const struct json_schema schema = JSON_SCHEMA(fields);
    struct reading reading = {leftovers, policy, err, true};
    AUTO(json_doc_release) struct json_doc *doc = json_read(body, &schema, &listed, NULL, err);
    return doc != NULL && read_items(listed.volumes, on_volume, &reading);
}

struct image {
    struct view id;
    struct json_strings tags;
    struct json_pairs labels;
    int64_t created;
};
static const struct json_field image_fields[] = {
    JSON_STRING(struct image, id, "Id", .required = true),
    JSON_STRINGS(struct image, tags, "RepoTags", .nullable = true),
    JSON_PAIRS(struct image, labels, "Labels", .nullable = true),
    JSON_INT(struct image, created, "Created", .required = true),
};

/* What it is among those that come with a deployment; "": none of them. */
static struct view kind_of(const struct image *image)
{
    for (size_t i = 0; i < image->labels.count; i++) {
        if (view_equal(image->labels.items[i].name, VIEW(LABEL_IMAGE))) {
            return image->labels.items[i].value;
        }
    }
    return VIEW("");
}

/* "insien/base:for-<instance>", "insien/base:latest". */
static bool is_present(struct view tag)
{
    struct view version = tag;
    (void)view_cut(&version, ':');
    return view_starts_with(version, VIEW(DEPLOYMENT_TAG)) || view_equal(version, VIEW("latest"));
}

/* "<instance>/template:<id32>". */
static bool is_template(struct view tag, const char *instance)
{
    struct view rest = tag;
    return view_equal(view_cut(&rest, '/'), view_of(instance)) &&
           view_starts_with(rest, VIEW("template:"));
}

/* What some tag says keeps the image, whatever its other tags are. */
static bool is_in_use(const struct image *image, const char *instance)
{
    struct view kind = kind_of(image);
    if (view_equal(kind, VIEW(BASE_OF_ALL))) {
        return true;
    }
    for (size_t i = 0; i < image->tags.count; i++) {
        struct view tag = image->tags.items[i];
        if (view_equal(tag, VIEW(EMPTY_IMAGE)) || is_template(tag, instance) ||
            (kind.len > 0 && is_present(tag))) {
            return true;
        }
    }
    return false;
}

static void add_image(struct leftover_list *leftovers, const struct image *image)
{
    bool has_tag = false;
    for (size_t i = 0; i < image->tags.count; i++) {
        struct view tag = image->tags.items[i];
        if (!view_equal(tag, VIEW(NO_TAG))) {
            has_tag = true;
            (void)leftover_list_add(leftovers, LEFTOVER_IMAGE, tag);
        }
    }
    if (!has_tag) {
        (void)leftover_list_add(leftovers, LEFTOVER_IMAGE, image->id);
    }
}

static void on_image(struct view item, void *arg)
{
    struct reading *reading = arg;
    struct image image;
    const struct json_schema schema = JSON_SCHEMA(image_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &schema, &image, NULL, reading->err);
    reading->ok = reading->ok && doc != NULL;
    if (doc != NULL && image.created < reading->policy->before &&
        !is_in_use(&image, reading->policy->instance)) {
        add_image(reading->leftovers, &image);
    }
}

bool leftover_list_add_images(struct leftover_list *leftovers, struct view body,
                              const struct leftover_policy *policy, struct err *err)
{
    struct reading reading = {leftovers, policy, err, true};
    return read_items(body, on_image, &reading);
}

void leftover_list_write_names(const struct leftover_list *leftovers, enum leftover_kind kind,
                               struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < leftovers->count; i++) {
        if (leftovers->items[i].kind == kind) {
            json_string(&json, NULL, view_of(leftovers->items[i].name));
        }
    }
    json_end_array(&json);
}

void leftover_list_write(const struct leftover_list *leftovers, struct json_writer *json)
{
    json_begin_array(json, "leftovers");
    for (size_t i = 0; i < leftovers->count; i++) {
        const struct leftover *leftover = &leftovers->items[i];
        json_begin_object(json, NULL);
        json_string(json, "kind", view_of(kind_names[leftover->kind]));
        json_string(json, "name", view_of(leftover->name));
        json_bool(json, "unknown", leftover->unknown);
        json_bool(json, "removed", leftover->removed);
        json_end_object(json);
    }
    json_end_array(json);
    json_bool(json, "truncated", leftovers->truncated);
}
