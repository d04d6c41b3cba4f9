#include "sandbox-service/templates/sweep.h"

#include "common/base/log.h"
#include "common/json/read.h"
#include "common/json/scan.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/templates/templates.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SWEEP_SOON_MS = 15 * 1000,
    SWEEP_INTERVAL_MS = 10 * 60 * 1000,
    SWEEP_IMAGES_MAX = 4096, /* looked at each time; the next look goes on behind these */
    PRUNE_MS = 5 * 60 * 1000,
    THERE_TEXT_MAX = SWEEP_IMAGES_MAX * ID_SIZE + 8,
};

#define LAYERS_KEPT "24h" /* behind their making */

/* In the order of what happens: the engine's images, then the rows, then the layers of builds that
 * nothing has been built on. Rows are written before their images, and leave a mark when they go:
 * an image that was there, and has a mark and no row now, is nobody's. */
struct sweep {
    struct templates *templates; /* borrowed */
    struct timer due;
    struct docker_call call;
    bool is_running;
    bool again;  /* soon */
    size_t from; /* so many images were looked at before */
    size_t seen;
    char (*ids)[ID_SIZE]; /* owned; those of images */
    size_t count;
    struct str there; /* the same, as PostgreSQL reads them */
};

static void finish(struct sweep *sweep)
{
    free(TAKE(sweep->ids));
    str_free(&sweep->there);
    sweep->count = 0;
    sweep->is_running = false;
    if (!sweep->templates->closing) {
        timer_arm(&sweep->due, sweep->again ? SWEEP_SOON_MS : SWEEP_INTERVAL_MS);
    }
}

static void fail(struct sweep *sweep, const struct err *err)
{
    log_info("templates.not_swept", LOG_ERR(err));
    sweep->again = true;
    finish(sweep);
}

static void on_pruned(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct sweep *sweep = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "prune", &failure)) {
        finish(sweep);
    } else {
        fail(sweep, &failure);
    }
}

/* {"dangling":["true"],"label":["insien.build=<instance>"],"until":["24h"]} */
static void prune(struct sweep *sweep)
{
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path,
                   "/images/prune?filters=%%7B%%22dangling%%22%%3A%%5B%%22true%%22%%5D%%2C"
                   "%%22label%%22%%3A%%5B%%22" LABEL_BUILD "%%3D%s%%22%%5D%%2C"
                   "%%22until%%22%%3A%%5B%%22" LAYERS_KEPT "%%22%%5D%%7D",
                   sweep->templates->sandboxes->config->instance);
    const struct docker_request request = {.method = "POST", .path = path, .timeout_ms = PRUNE_MS};
    docker_send(sweep->templates->sandboxes->docker, &sweep->call, &request, on_pruned, sweep);
}

enum image_state { IMAGE_KEPT, IMAGE_GONE, IMAGE_UNKNOWN };

/* Rows come by id. */
static enum image_state state_of(const PGresult *result, const char id[ID_SIZE])
{
    int low = 0;
    int high = pg_rows(result);
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(template_store_image_id(result, middle), id);
        if (order == 0) {
            return template_store_image_is_gone(result, middle) ? IMAGE_GONE : IMAGE_KEPT;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return IMAGE_UNKNOWN;
}

/* What the database has never heard of stays until the operator says otherwise: it was restored
 * from before that template was made (as containers: reconcile/unknown.h). */
static void judge(struct templates *templates, const PGresult *result, const char id[ID_SIZE])
{
    enum image_state state = state_of(result, id);
    char image[MAKING_IMAGE_SIZE];
    if (state == IMAGE_KEPT || work_find(templates, id) != NULL) {
        return;
    }
    template_image(templates, id, image);
    if (state == IMAGE_UNKNOWN &&
        strcmp(templates->sandboxes->config->reconcile_unknown, "remove") != 0) {
        log_warn("template.image_unknown", LOG_STR("image", image));
        return;
    }
    log_info("template.image_swept", LOG_STR("image", image));
    templates_remove_image(templates, image);
}

static void on_forgotten(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct sweep *sweep = arg;
    if (err != NULL) {
        fail(sweep, err);
    } else {
        prune(sweep);
    }
}

static void forget_gone(struct sweep *sweep)
{
    struct err err = {0};
    bool is_all = sweep->from == 0 && sweep->seen == sweep->count;
    sweep->from = sweep->from + sweep->count < sweep->seen ? sweep->from + sweep->count : 0;
    if (!is_all) {
        prune(sweep);
    } else if (!template_store_forget_images(sweep->templates->store, sweep->there.data,
                                             on_forgotten, sweep, &err)) {
        fail(sweep, &err);
    }
}

static void on_rows(const PGresult *result, const struct err *err, void *arg)
{
    struct sweep *sweep = arg;
    if (err != NULL) {
        fail(sweep, err);
        return;
    }
    for (size_t i = 0; i < sweep->count; i++) {
        judge(sweep->templates, result, sweep->ids[i]);
    }
    forget_gone(sweep);
}

/* "<instance>/template:<id32>". */
static void note_tag(struct sweep *sweep, struct view tag)
{
    const char *instance = sweep->templates->sandboxes->config->instance;
    char prefix[INSTANCE_SIZE + sizeof "/template:"];
    (void)snprintf(prefix, sizeof prefix, "%s/template:", instance);
    char id[ID_SIZE];
    if (!view_starts_with(tag, view_of(prefix)) ||
        !id_from_id32(view_from(tag, strlen(prefix)), id)) {
        return;
    }
    if (sweep->seen++ >= sweep->from && sweep->count < SWEEP_IMAGES_MAX) {
        memcpy(sweep->ids[sweep->count++], id, ID_SIZE);
    }
}

struct listed_image {
    struct json_strings tags;
};
static const struct json_field listed_fields[] = {
    JSON_STRINGS(struct listed_image, tags, "RepoTags", .nullable = true),
};

static void note_image(struct view text, void *arg)
{
    struct sweep *sweep = arg;
    struct listed_image image;
    struct err err = {0};
    const struct json_schema schema = JSON_SCHEMA(listed_fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &schema, &image, NULL, &err);
    for (size_t i = 0; doc != NULL && i < image.tags.count; i++) {
        note_tag(sweep, image.tags.items[i]);
    }
}

static bool ask_rows(struct sweep *sweep, struct err *err)
{
    sweep->there = STR_INIT(THERE_TEXT_MAX);
    str_append_char(&sweep->there, '{');
    for (size_t i = 0; i < sweep->count; i++) {
        str_append_string(&sweep->there, i == 0 ? "" : ",");
        str_append_string(&sweep->there, sweep->ids[i]);
    }
    str_append_char(&sweep->there, '}');
    return str_check(&sweep->there, "the images", err) &&
           template_store_images(sweep->templates->store, sweep->there.data, on_rows, sweep, err);
}

static void on_images(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct sweep *sweep = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "images", &failure)) {
        fail(sweep, &failure);
        return;
    }
    sweep->seen = 0;
    sweep->ids = calloc(SWEEP_IMAGES_MAX, ID_SIZE);
    bool listed = sweep->ids != NULL ? json_scan_items(reply->body, note_image, sweep, &failure)
                                     : err_set(&failure, ERR_INTERNAL, "sweep: out of memory");
    if (!listed || !ask_rows(sweep, &failure)) {
        fail(sweep, &failure);
    }
}

static void on_due(void *arg)
{
    struct sweep *sweep = arg;
    char path[DOCKER_PATH_SIZE];
    /* {"reference":["<instance>/template"]} */
    (void)snprintf(path, sizeof path,
                   "/images/json?filters=%%7B%%22reference%%22%%3A%%5B%%22%s%%2Ftemplate%%22"
                   "%%5D%%7D",
                   sweep->templates->sandboxes->config->instance);
    const struct docker_request request = {.method = "GET", .path = path};
    sweep->is_running = true;
    sweep->again = false;
    docker_send(sweep->templates->sandboxes->docker, &sweep->call, &request, on_images, sweep);
}

void sweep_now(struct sweep *sweep)
{
    timer_arm(&sweep->due, 0);
}

void sweep_soon(struct sweep *sweep)
{
    sweep->again = true;
    if (!sweep->is_running && !sweep->templates->closing) {
        timer_arm(&sweep->due, SWEEP_SOON_MS);
    }
}

struct sweep *sweep_open(struct templates *templates, struct err *err)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL) {
        err_set(err, ERR_INTERNAL, "sweep: out of memory");
        return NULL;
    }
    sweep->templates = templates;
    if (!timer_open(&sweep->due, templates->sandboxes->loop, on_due, sweep, err)) {
        free(sweep);
        return NULL;
    }
    return sweep;
}

void sweep_close(struct sweep *sweep)
{
    if (sweep != NULL) {
        docker_cancel(&sweep->call);
        timer_close(&sweep->due);
        free(sweep->ids);
        str_free(&sweep->there);
        free(sweep);
    }
}
