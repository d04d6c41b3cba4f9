#include "sandbox-service/templates/templates.h"

#include "common/base/crash_point.h"
#include "common/base/log.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/system/room.h"
#include "sandbox-service/templates/calls.h"
#include "sandbox-service/templates/forks.h"
#include "sandbox-service/templates/sweep.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WRITE_AGAIN_MS = 2000, /* the end of a making is written down until it is */
    BUILD_CPU_MILLI = 2000,
    BYTES_PER_MB = 1024 * 1024,
    BUILD_MEMORY_MB = 2048,
    ROOM_LOOK_MS = 1000,
};

/* One image on its way out. */
struct removal {
    struct list node;
    struct templates *templates; /* borrowed */
    struct docker_call call;
    char image[MAKING_IMAGE_SIZE];
};

static void start_next(struct templates *templates);

void template_image(const struct templates *templates, const char id[ID_SIZE],
                    char out[MAKING_IMAGE_SIZE])
{
    char id32[ID32_SIZE];
    id_to_id32(id, id32);
    (void)snprintf(out, MAKING_IMAGE_SIZE, "%s/template:%s", templates->sandboxes->config->instance,
                   id32);
}

struct work *work_find(const struct templates *templates, const char id[ID_SIZE])
{
    struct map_node *node = map_find(&templates->works, view_of(id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct work, by_id);
}

static void tell_listeners(struct list *listeners)
{
    while (!list_is_empty(listeners)) {
        struct work_listener *listener = LIST_ENTRY(listeners->next, struct work_listener, node);
        list_remove(&listener->node);
        listener->on_news(listener->arg);
    }
}

static void release_folder(struct work *work)
{
    str_free(&work->folder);
    if (work->has_folder) {
        work->has_folder = false;
        work->templates->folders--;
    }
}

/* What is made of what is there already takes little: it does not wait for what is pulled or built.
 */
static size_t *running_of(const struct work *work)
{
    struct templates *templates = work->templates;
    return work->is_snapshot || work->is_copy ? &templates->running_kept : &templates->running;
}

static void give_place_back(struct work *work)
{
    if (work->is_running) {
        work->is_running = false;
        --*running_of(work);
    }
}

void work_free(struct work *work)
{
    if (work == NULL) {
        return;
    }
    map_remove(&work->templates->works, &work->by_id);
    list_remove(&work->node);
    give_place_back(work);
    keeping_end(&work->keeping);
    making_free(work->making);
    release_folder(work);
    timer_close(&work->due);
    progress_close(&work->progress);
    str_free(&work->source);
    free(work);
}

static void on_written(const PGresult *result, const struct err *err, void *arg);

/* Asks for its row's end, now or, when that can't begin, later. */
static void write_end(struct work *work)
{
    struct err err = {0};
    uint64_t from = 0;
    const struct template_end end = {
        .id = work->id,
        .failure = work->failure,
        .size_bytes = work->size_bytes,
        .log = work->is_log_refused ? (struct view){0} : progress_log(&work->progress, &from)};
    work->is_writing = template_store_made(work->templates->store, &end, on_written, work, &err);
    if (!work->is_writing) {
        timer_arm(&work->due, WRITE_AGAIN_MS);
    }
}

/* A database that is away is waited for. One that refuses the end is told it once more, without the
 * log: better that than never. Refused again, the row stays as it is until its user removes it or
 * the next process finds it. */
static bool may_write_again(struct work *work, const struct err *err)
{
    bool is_away = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
    if (!is_away && work->is_log_refused) {
        log_error("template.end_refused", LOG_STR("template_id", work->id), LOG_ERR(err));
        return false;
    }
    work->is_log_refused = !is_away || work->is_log_refused;
    log_warn("template.end_not_written", LOG_STR("template_id", work->id), LOG_ERR(err));
    return true;
}

static void on_written(const PGresult *result, const struct err *err, void *arg)
{
    struct work *work = arg;
    struct templates *templates = work->templates;
    work->is_writing = false;
    if (err != NULL && !templates->closing && may_write_again(work, err)) {
        timer_arm(&work->due, WRITE_AGAIN_MS);
        return;
    }
    CRASH_POINT("template.after_end");
    if (err == NULL && !template_store_moved(result) && work->failure == NULL) {
        sweep_soon(templates->sweep); /* the row is gone, or has its end from another process */
    }
    tell_listeners(&work->listeners);
    work_free(work);
    start_next(templates);
}

/* failure NULL: it is ready. The work goes when its row says so. */
static void end(struct work *work, const char *failure, int64_t size_bytes)
{
    work->ended = true;
    work->size_bytes = size_bytes;
    if (failure != NULL) {
        (void)snprintf(work->failure_text, sizeof work->failure_text, "%s", failure);
        work->failure = work->failure_text;
    }
    log_info("template.made", LOG_STR("template_id", work->id),
             LOG_STR("failure", failure == NULL ? "" : failure), LOG_INT("bytes", size_bytes));
    making_free(TAKE(work->making));
    keeping_end(&work->keeping);
    release_folder(work);
    give_place_back(work); /* the others do not wait for the database */
    write_end(work);
    start_next(work->templates);
}

static void on_due(void *arg)
{
    struct work *work = arg;
    if (work->ended) {
        write_end(work);
    } else {
        end(work, "folder_missing", 0);
    }
}

static void on_news(void *arg)
{
    struct work *work = arg;
    tell_listeners(&work->listeners);
}

static void on_made(const char *failure, int64_t size_bytes, void *arg)
{
    end(arg, failure, size_bytes);
}

static void make(struct work *work)
{
    struct templates *templates = work->templates;
    const struct network *network = templates->sandboxes->network;
    struct err err = {0};
    struct view source = str_view(&work->source);
    char container[CONTAINER_NAME_SIZE];
    char copied[MAKING_IMAGE_SIZE];
    if (work->is_snapshot) {
        container_name(work->source.data, container);
    }
    if (work->is_copy) {
        template_image(templates, work->source.data, copied);
    }
    const struct making_source of = {
        .container = work->is_snapshot ? container : NULL,
        .copied = work->is_copy ? copied : NULL,
        .reference = work->is_build ? (struct view){0} : source,
        .dockerfile = work->is_build ? source : (struct view){0},
        .folder = str_view(&work->folder),
        .network = network_is_open(network) ? network_name(network) : NULL,
    };
    work->making = making_begin(&templates->shared, &of, work->image, &work->progress, on_news,
                                on_made, work, &err);
    if (work->making == NULL) {
        log_warn("template.not_begun", LOG_STR("template_id", work->id), LOG_ERR(&err));
        end(work, "internal", 0);
    }
}

/* What is kept of sandboxes is within their limits. */
static void end_growing(struct map_node *node, void *arg)
{
    (void)arg;
    struct work *work = MAP_ENTRY(node, struct work, by_id);
    if (work->is_running && !work->ended && !work->is_snapshot && !work->is_copy) {
        progress_say(&work->progress, "The server's disk is nearly full.");
        end(work, "node_disk_full", 0);
    }
}

/* No step has a limit on what it writes, and no image is known before it is whole. */
static void on_room_look(void *arg)
{
    struct templates *templates = arg;
    if (room_is_short(templates->sandboxes->room)) {
        map_each(&templates->works, end_growing, NULL);
    }
    if (templates->running > 0) {
        timer_arm(&templates->room_look, ROOM_LOOK_MS);
    }
}

static void end_with(struct work *work, const struct err *err)
{
    log_info("template.not_begun", LOG_STR("template_id", work->id), LOG_ERR(err));
    end(work, err->code == ERR_INTERNAL ? "internal" : err->reason, 0);
}

static void on_kept(const struct err *err, void *arg)
{
    struct work *work = arg;
    if (err == NULL) {
        make(work);
    } else {
        progress_say(&work->progress, "The sandbox could not be kept.");
        end_with(work, err);
    }
}

static void start(struct work *work)
{
    struct templates *templates = work->templates;
    struct err err = {0};
    work->is_running = true;
    ++*running_of(work);
    timer_arm(&templates->room_look, ROOM_LOOK_MS);
    if (!work->is_snapshot) {
        make(work);
    } else if (!keeping_begin(&work->keeping, templates, work->id, work->source.data, on_kept, work,
                              &err)) {
        end_with(work, &err);
    }
}

/* The first in the queue for which there is a place; NULL: none. */
static struct work *find_next(const struct templates *templates)
{
    size_t most = (size_t)templates->sandboxes->config->template_concurrency;
    for (LIST_EACH(node, &templates->queue)) {
        struct work *work = LIST_ENTRY(node, struct work, node);
        const size_t *running = running_of(work);
        if (*running < (running == &templates->running ? most : KEPT_AT_A_TIME)) {
            return work;
        }
    }
    return NULL;
}

/* One that ends at once comes back here: the queue is looked at anew for each. */
static void start_next(struct templates *templates)
{
    struct work *work;
    while (!templates->closing && (work = find_next(templates)) != NULL) {
        list_remove(&work->node);
        start(work);
    }
}

void work_enqueue(struct work *work)
{
    timer_disarm(&work->due);
    list_append(&work->templates->queue, &work->node);
    start_next(work->templates);
}

void work_begin(struct work *work)
{
    list_remove(&work->node);
    map_insert(&work->templates->works, &work->by_id, view_of(work->id));
    if (work->has_folder) {
        timer_arm(&work->due, FOLDER_BEGIN_MS);
    } else {
        work_enqueue(work);
    }
}

bool work_add_piece(struct work *work, int64_t offset, struct view bytes, struct err *err)
{
    if (!work->has_folder || work->is_whole) {
        return err_set_reason(err, ERR_CONFLICT, "template_not_waiting",
                              "the template waits for no folder");
    }
    if (offset + (int64_t)bytes.len <= (int64_t)work->folder.len) {
        return true; /* it came before */
    }
    if (offset != (int64_t)work->folder.len) {
        return err_set_reason(err, ERR_CONFLICT, "wrong_offset", "the folder goes on at %zu",
                              work->folder.len);
    }
    if (bytes.len > work->folder.ceiling - work->folder.len) {
        return err_set_reason(err, ERR_LIMIT, "template_context_too_large",
                              "a folder has at most %zu MB", work->folder.ceiling / BYTES_PER_MB);
    }
    if (work->folder.len == 0) { /* whoever sends it bit by bit gets no more time */
        timer_arm(&work->due, FOLDER_WAIT_MS);
    }
    str_append_view(&work->folder, bytes);
    return str_check(&work->folder, "the folder", err);
}

void work_drop(struct work *work)
{
    struct templates *templates = work->templates;
    work->ended = true;
    work->failure = "template_removed";
    tell_listeners(&work->listeners);
    if (!work->is_writing) { /* else it goes behind that */
        work_free(work);
        start_next(templates);
    }
}

/* What one user has under way. */
struct share {
    const char *user_id;
    size_t works;
    size_t folders;
};

static void count_work(struct share *share, const struct work *work)
{
    if (strcmp(work->user_id, share->user_id) == 0) {
        share->works++;
        share->folders += work->has_folder ? 1 : 0;
    }
}

static void count_share(struct map_node *node, void *arg)
{
    count_work(arg, MAP_ENTRY(node, struct work, by_id));
}

/* Nobody keeps the others waiting with more than a few. */
static bool check_share(struct templates *templates, const struct template_create *create,
                        struct err *err)
{
    struct share share = {.user_id = create->user_id};
    map_each(&templates->works, count_share, &share);
    for (LIST_EACH(node, &templates->asked)) {
        const struct work *work = LIST_ENTRY(node, struct work, node);
        if (strcmp(work->id, create->template_id) != 0) { /* else it is the same, asked for again */
            count_work(&share, work);
        }
    }
    return (share.works < WORKS_OF_USER_MAX &&
            (!create->waits || share.folders < FOLDERS_OF_USER_MAX)) ||
           work_find(templates, create->template_id) != NULL ||
           err_set_reason(err, ERR_LIMIT, "templates_in_making",
                          "other templates of the user are being made");
}

static bool take_folder(struct work *work, struct err *err)
{
    struct templates *templates = work->templates;
    if (templates->folders >= FOLDERS_MAX) {
        return err_set_reason(err, ERR_UNAVAILABLE, "template_queue_full",
                              "too many folders are being received");
    }
    templates->folders++;
    work->has_folder = true;
    work->folder =
        STR_INIT((size_t)templates->sandboxes->config->template_folder_mb * BYTES_PER_MB);
    return true;
}

struct work *work_new(struct templates *templates, const struct template_create *create,
                      struct err *err)
{
    if (templates->works.count >= WORKS_MAX || templates->closing) {
        err_set_reason(err, ERR_UNAVAILABLE, "template_queue_full",
                       "too many templates are being made");
        return NULL;
    }
    if (!templates->recovered) {
        err_set(err, ERR_UNAVAILABLE, "templates of an earlier process are being looked for");
        return NULL;
    }
    if (!check_share(templates, create, err)) {
        return NULL;
    }
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        err_set(err, ERR_INTERNAL, "work: out of memory");
        return NULL;
    }
    work->templates = templates;
    list_init(&work->listeners);
    progress_open(&work->progress);
    memcpy(work->id, create->template_id, ID_SIZE);
    memcpy(work->user_id, create->user_id, ID_SIZE);
    template_image(templates, work->id, work->image);
    work->is_build = view_equal(create->source, VIEW(TEMPLATE_FROM_DOCKERFILE));
    work->is_snapshot = view_equal(create->source, VIEW(TEMPLATE_FROM_SNAPSHOT)) ||
                        view_equal(create->source, VIEW(TEMPLATE_FROM_FORK));
    work->is_copy = view_equal(create->source, VIEW(TEMPLATE_FROM_COPY));
    work->source = STR_INIT(TEMPLATE_REFERENCE_MAX);
    str_append_view(&work->source, create->reference);
    if (!str_check(&work->source, "the template's source", err) ||
        !timer_open(&work->due, templates->sandboxes->loop, on_due, work, err) ||
        (create->waits && !take_folder(work, err))) {
        work_free(work);
        return NULL;
    }
    list_append(&templates->asked, &work->node);
    return work;
}

static void on_image_removed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct removal *removal = arg;
    struct err failure = {0};
    CRASH_POINT("template_removal.after_image");
    if (!docker_succeeded(reply, err, "remove the image", &failure) &&
        failure.code != ERR_NOT_FOUND) {
        log_info("template.image_left", LOG_STR("image", removal->image), LOG_ERR(&failure));
    }
    if (failure.code == ERR_CONFLICT) {
        sweep_soon(removal->templates->sweep);
    }
    list_remove(&removal->node);
    free(removal);
}

void templates_remove_image(struct templates *templates, const char *image)
{
    char path[DOCKER_PATH_SIZE];
    struct removal *removal = calloc(1, sizeof *removal);
    if (removal == NULL) {
        return; /* it stays until it is looked for */
    }
    removal->templates = templates;
    (void)snprintf(removal->image, sizeof removal->image, "%s", image);
    (void)snprintf(path, sizeof path, "/images/%s", removal->image);
    list_append(&templates->removals, &removal->node);
    const struct docker_request request = {.method = "DELETE", .path = path};
    docker_send(templates->sandboxes->docker, &removal->call, &request, on_image_removed, removal);
}

static void on_interrupted(const PGresult *result, const struct err *err, void *arg)
{
    struct templates *templates = arg;
    if (err != NULL && !templates->closing) {
        timer_arm(&templates->recovery, WRITE_AGAIN_MS);
    } else if (err == NULL) {
        templates->recovered = true;
        sweep_now(templates->sweep);
        log_info("templates.recovered", LOG_INT("interrupted", pg_int(result, 0, 0)));
    }
}

static void on_recovery(void *arg)
{
    struct templates *templates = arg;
    struct err err = {0};
    if (!template_store_interrupt(templates->store, on_interrupted, templates, &err)) {
        timer_arm(&templates->recovery, WRITE_AGAIN_MS);
    }
}

struct templates *templates_open(struct sandboxes *sandboxes, const char *limits, struct err *err)
{
    const struct sandbox_config *config = sandboxes->config;
    struct templates *templates = calloc(1, sizeof *templates);
    if (templates == NULL) {
        err_set(err, ERR_INTERNAL, "templates: out of memory");
        return NULL;
    }
    const struct template_store_options store = {.url = config->database_url,
                                                 .instance = config->instance,
                                                 .node = config->node_name,
                                                 .limits = limits,
                                                 .most = config->templates_per_user};
    templates->sandboxes = sandboxes;
    templates_calls_init(templates);
    list_init(&templates->asked);
    list_init(&templates->queue);
    list_init(&templates->lookers);
    list_init(&templates->removals);
    templates->shared = (struct making_shared){
        .loop = sandboxes->loop,
        .docker = sandboxes->docker,
        .policy = {.local = config->template_local_images,
                   .registries = config->template_registries,
                   .instance = config->instance},
        .instance = config->instance,
        .timeout_ms = config->template_timeout_s * 1000,
        .image_mb = config->template_image_mb,
        .build_memory = (int64_t)BUILD_MEMORY_MB * BYTES_PER_MB,
        .build_cpu_milli = BUILD_CPU_MILLI,
    };
    if (!map_init(&templates->works, err)) {
        free(templates);
        return NULL;
    }
    templates->store = template_store_open(sandboxes->loop, &store, err);
    if (templates->store == NULL ||
        !timer_open(&templates->recovery, sandboxes->loop, on_recovery, templates, err) ||
        !timer_open(&templates->room_look, sandboxes->loop, on_room_look, templates, err) ||
        (templates->sweep = sweep_open(templates, err)) == NULL ||
        (templates->forks = forks_open(templates, err)) == NULL) {
        templates_close(templates);
        return NULL;
    }
    timer_arm(&templates->recovery, 0);
    return templates;
}

bool templates_fail_all(struct templates *templates)
{
    templates->closing = true;
    tell_listeners(&templates->lookers);
    return template_store_fail_all(templates->store);
}

static void free_work(struct map_node *node, void *arg)
{
    (void)arg;
    struct work *work = MAP_ENTRY(node, struct work, by_id);
    tell_listeners(&work->listeners);
    work_free(work);
}

void templates_close(struct templates *templates)
{
    if (templates == NULL) {
        return;
    }
    templates->closing = true;
    if (templates->store != NULL) {
        (void)template_store_fail_all(templates->store);
    }
    map_each(&templates->works, free_work, NULL);
    for (LIST_EACH(node, &templates->removals)) {
        struct removal *removal = LIST_ENTRY(node, struct removal, node);
        docker_cancel(&removal->call);
        list_remove(&removal->node);
        free(removal);
    }
    sweep_close(templates->sweep);
    forks_close(templates->forks);
    timer_close(&templates->recovery);
    timer_close(&templates->room_look);
    template_store_close(templates->store);
    map_free(&templates->works);
    free(templates);
}
