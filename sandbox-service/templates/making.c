#include "sandbox-service/templates/making.h"

#include "common/base/crash_point.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "sandbox-service/config.h"
#include "sandbox-service/docker/container.h"
#include "sandbox-service/templates/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ARCHIVE_ROOM = 4 * ARCHIVE_BLOCK, /* of an archive beside its files' content */
    CPU_PERIOD_US = 100000,
    SHM_BYTES = 64 * 1024 * 1024,
    REPLACED_MAX = 128 * 1024, /* a Dockerfile with ids for names */
    BYTES_PER_MB = 1024 * 1024,
    BODY_SIZE = 512,
};

/* In the order of what happens: the images it begins from, one by one; tagged or built from; a look
 * at what came of it. */
struct making {
    const struct making_shared *shared; /* borrowed */
    const char *refusal;                /* why the image does not stay */
    struct making_source source;
    struct progress *progress; /* borrowed */
    char image[MAKING_IMAGE_SIZE];
    char container[CONTAINER_NAME_SIZE]; /* "": none, as of the next */
    char copied[MAKING_IMAGE_SIZE];
    struct dockerfile dockerfile;
    struct reference references[DOCKERFILE_IMAGES_MAX];
    char ids[DOCKERFILE_IMAGES_MAX][IMAGE_ID_SIZE];
    size_t count;
    size_t fetched;
    struct image_fetch fetch;
    struct docker_call call;
    struct str archive; /* owned; what the engine builds from */
    char file_name[MAKING_FILE_NAME_SIZE];
    struct timer begin; /* due at once: done comes from the loop alone */
    struct timer deadline;
    making_news_fn *news;
    making_done_fn *done;
    void *arg;
};

static bool is_build(const struct making *making)
{
    return making->source.reference.len == 0;
}

/* The only way to done. */
static void finish(struct making *making, const char *failure, int64_t size_bytes)
{
    timer_disarm(&making->deadline);
    timer_disarm(&making->begin);
    making->done(failure, size_bytes, making->arg);
}

/* Codes of ours go to the client as they are. */
static void fail(struct making *making, const struct err *err)
{
    log_info("template.making_failed", LOG_STR("image", making->image), LOG_ERR(err));
    finish(making, err->code == ERR_INTERNAL ? "internal" : err->reason, 0);
}

static void on_deadline(void *arg)
{
    struct making *making = arg;
    image_fetch_cancel(&making->fetch);
    docker_cancel(&making->call);
    progress_say(making->progress, "It took too long.");
    finish(making, "template_timeout", 0);
}

static void on_removed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "remove the image", &failure)) {
        log_info("template.image_left", LOG_STR("image", making->image), LOG_ERR(&failure));
    }
    finish(making, making->refusal, 0);
}

static void remove_image(struct making *making, const char *refusal)
{
    making->refusal = refusal;
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/images/%s", making->image);
    const struct docker_request request = {.method = "DELETE", .path = path};
    docker_send(making->shared->docker, &making->call, &request, on_removed, making);
}

static void on_inspected(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct image_facts facts;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "image", &failure) ||
        !image_facts_read(reply->body, &facts, &failure)) {
        if (failure.code == ERR_NOT_FOUND) {
            err_set_reason(&failure, ERR_UNAVAILABLE, "build_failed", "no image came of it");
        }
        fail(making, &failure);
    } else if (facts.size_bytes / BYTES_PER_MB >= making->shared->image_mb) {
        progress_say(making->progress, "The image is larger than %" PRId64 " MB.",
                     making->shared->image_mb);
        remove_image(making, "image_too_large");
    } else if (facts.has_volumes) {
        progress_say(making->progress, "What is written to an image's volumes (VOLUME) has no "
                                       "limit: none may have such.");
        remove_image(making, "image_has_volumes");
    } else {
        progress_say(making->progress, "The template is ready.");
        finish(making, NULL, facts.size_bytes);
    }
}

static void look_at_image(struct making *making)
{
    image_inspect(making->shared->docker, &making->call, making->image, on_inspected, making);
}

static void on_tagged(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "tag", &failure)) {
        CRASH_POINT("template.after_tag");
        look_at_image(making);
    } else if (failure.code == ERR_NOT_FOUND) { /* the snapshot has gone meanwhile */
        finish(making, "image_not_found", 0);
    } else {
        fail(making, &failure);
    }
}

static void tag(struct making *making)
{
    char path[DOCKER_PATH_SIZE];
    const char *colon = strrchr(making->image, ':');
    (void)snprintf(path, sizeof path, "/images/%s/tag?repo=%.*s&tag=%s",
                   making->copied[0] != '\0' ? making->copied : making->ids[0],
                   (int)(colon - making->image), making->image, colon + 1);
    const struct docker_request request = {.method = "POST", .path = path};
    docker_send(making->shared->docker, &making->call, &request, on_tagged, making);
}

static void on_built(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "build", &failure)) {
        /* What the engine finds wrong in the Dockerfile comes as 400, in its message. */
        progress_say(making->progress, "%s", failure.message);
        if (err == NULL) {
            err_set_reason(&failure, ERR_UNAVAILABLE, "build_failed", "%s", failure.message);
        }
        fail(making, &failure);
    } else if (making->progress->error[0] != '\0') {
        err_set_reason(&failure, ERR_UNAVAILABLE, "build_failed", "%s", making->progress->error);
        fail(making, &failure);
    } else {
        CRASH_POINT("build.after_image");
        look_at_image(making);
    }
}

static bool on_build_data(struct view data, void *arg)
{
    const struct docker_call *call = arg;
    struct making *making = call->arg;
    CRASH_POINT("build.after_progress");
    progress_take(making->progress, data);
    making->news(making->arg);
    return true;
}

static void on_committed(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "commit", &failure)) {
        CRASH_POINT("snapshot.after_image");
        look_at_image(making);
        return;
    }
    if (failure.code == ERR_NOT_FOUND || failure.code == ERR_CONFLICT) {
        err_set_reason(&failure, ERR_CONFLICT, "sandbox_gone", "it has ended meanwhile");
    }
    progress_say(making->progress, "The sandbox could not be kept.");
    fail(making, &failure);
}

/* Whose it is its caller keeps still. What the container's labels and environment say of a sandbox
 * is not said of those that begin from here. */
static void commit(struct making *making)
{
    const struct making_shared *shared = making->shared;
    char path[DOCKER_PATH_SIZE];
    char body[BODY_SIZE];
    const char *colon = strrchr(making->image, ':');
    (void)snprintf(path, sizeof path, "/commit?container=%s&repo=%.*s&tag=%s&pause=0",
                   making->container, (int)(colon - making->image), making->image, colon + 1);
    int length = snprintf(body, sizeof body,
                          "{\"Env\":[\"" AGENT_ENV_SANDBOX_ID "=\"],\"Labels\":{\"" LABEL_INSTANCE
                          "\":\"%s\",\"" LABEL_BUILD "\":\"%s\",\"" LABEL_SANDBOX
                          "\":\"\",\"" LABEL_NODE "\":\"\"}}",
                          shared->instance, shared->instance);
    const struct docker_request request = {.method = "POST",
                                           .path = path,
                                           .body = {body, (size_t)length},
                                           .timeout_ms = shared->timeout_ms};
    docker_send(shared->docker, &making->call, &request, on_committed, making);
}

static bool write_archive(struct making *making, struct err *err)
{
    const char *ids[DOCKERFILE_IMAGES_MAX];
    char nonce[ID_SIZE];
    char label[sizeof "LABEL " LABEL_BUILD "=" + INSTANCE_SIZE];
    AUTO(str_free) struct str text = STR_INIT(REPLACED_MAX);
    for (size_t i = 0; i < making->count; i++) {
        ids[i] = making->ids[i];
    }
    /* A name that nobody outside knows, so that no file of the folder takes its place. */
    if (!id_new(nonce, err)) {
        return false;
    }
    (void)snprintf(making->file_name, sizeof making->file_name, ".insien-%s", nonce);
    /* So that the sweep knows the layers that nobody has any more. */
    (void)snprintf(label, sizeof label, "LABEL " LABEL_BUILD "=%s", making->shared->instance);
    dockerfile_write(&making->dockerfile, ids, label, &text);
    making->archive = STR_INIT(REPLACED_MAX + ARCHIVE_ROOM + making->source.folder.len);
    if (!str_check(&text, "the Dockerfile", err) ||
        !archive_add_file(&making->archive, making->file_name, str_view(&text), err)) {
        return false;
    }
    str_append_view(&making->archive, making->source.folder);
    archive_end(&making->archive);
    return str_check(&making->archive, "the folder's archive", err);
}

/* Steps run with limits, on the sandboxes' own network or none. forcerm: nothing stays of steps
 * that failed. The labels' JSON has no character but the quotes and braces that a query must not
 * have. */
static void build(struct making *making)
{
    const struct making_shared *shared = making->shared;
    struct err err = {0};
    char path[DOCKER_PATH_SIZE];
    if (!archive_check(making->source.folder, &err)) {
        progress_say(making->progress, "%s", err.message);
        fail(making, &err);
        return;
    }
    if (!write_archive(making, &err)) {
        fail(making, &err);
        return;
    }
    int length = snprintf(
        path, sizeof path,
        "/build?t=%s&dockerfile=%s&rm=1&forcerm=1&memory=%" PRId64 "&memswap=%" PRId64
        "&cpuperiod=%d&cpuquota=%" PRId64 "&shmsize=%d&networkmode=%s"
        "&labels=%%7B%%22" LABEL_INSTANCE "%%22%%3A%%22%s%%22%%7D",
        making->image, making->file_name, shared->build_memory, shared->build_memory, CPU_PERIOD_US,
        shared->build_cpu_milli * CPU_PERIOD_US / 1000, SHM_BYTES,
        making->source.network == NULL ? "none" : making->source.network, shared->instance);
    if (length < 0 || (size_t)length >= sizeof path) {
        err_set(&err, ERR_INTERNAL, "build: the path is too long");
        fail(making, &err);
        return;
    }
    const struct docker_request request = {.method = "POST",
                                           .path = path,
                                           .content_type = "application/x-tar",
                                           .body = str_view(&making->archive),
                                           .is_stream = true,
                                           .on_data = on_build_data};
    /* Copied: a call that is cancelled may still be read from for a moment. */
    docker_send(shared->docker, &making->call, &request, on_built, making);
    str_free(&making->archive);
}

static void fetch_next(struct making *making);

static void on_fetched(const struct image_facts *facts, const struct err *err, void *arg)
{
    struct making *making = arg;
    struct err failure = {0};
    if (err != NULL) {
        fail(making, err);
        return;
    }
    if (is_build(making) && facts->has_triggers) {
        progress_say(making->progress, "An image with ONBUILD triggers can't be built from.");
        err_set_reason(&failure, ERR_INVALID, "image_has_triggers", "triggers");
        fail(making, &failure);
        return;
    }
    memcpy(making->ids[making->fetched], facts->id, IMAGE_ID_SIZE);
    making->fetched++;
    making->news(making->arg);
    fetch_next(making);
}

static void fetch_next(struct making *making)
{
    if (making->fetched < making->count) {
        image_fetch_begin(&making->fetch, making->shared->docker, &making->shared->policy,
                          making->progress, &making->references[making->fetched], on_fetched,
                          making);
    } else if (is_build(making)) {
        build(making);
    } else {
        tag(making);
    }
}

static void on_begin(void *arg)
{
    struct making *making = arg;
    timer_arm(&making->deadline, making->shared->timeout_ms);
    if (making->container[0] != '\0') {
        commit(making);
    } else if (making->copied[0] != '\0') {
        tag(making);
    } else {
        fetch_next(making);
    }
}

/* All of its images, parsed and allowed. */
static bool read_source(const struct making_shared *shared, struct view reference, struct view text,
                        struct dockerfile *dockerfile, struct reference *references, size_t *count,
                        struct err *err)
{
    *dockerfile = (struct dockerfile){.images = {reference}, .image_count = 1};
    if (reference.len == 0 && !dockerfile_read(text, dockerfile, err)) {
        return false;
    }
    *count = dockerfile->image_count;
    for (size_t i = 0; i < *count; i++) {
        if (!reference_parse(dockerfile->images[i], &references[i], err) ||
            !image_policy_check(&shared->policy, &references[i], err)) {
            return false;
        }
    }
    return true;
}

bool making_check(const struct making_shared *shared, struct view reference, struct view dockerfile,
                  struct err *err)
{
    struct dockerfile read;
    struct reference references[DOCKERFILE_IMAGES_MAX];
    size_t count;
    return read_source(shared, reference, dockerfile, &read, references, &count, err);
}

struct making *making_begin(const struct making_shared *shared, const struct making_source *source,
                            const char *image, struct progress *progress, making_news_fn *news,
                            making_done_fn *done, void *arg, struct err *err)
{
    struct making *making = calloc(1, sizeof *making);
    if (making == NULL) {
        err_set(err, ERR_INTERNAL, "making: out of memory");
        return NULL;
    }
    making->shared = shared;
    making->source = *source;
    making->progress = progress;
    making->news = news;
    making->done = done;
    making->arg = arg;
    (void)snprintf(making->image, sizeof making->image, "%s", image);
    if (source->container != NULL) {
        (void)snprintf(making->container, sizeof making->container, "%s", source->container);
    }
    if (source->copied != NULL) {
        (void)snprintf(making->copied, sizeof making->copied, "%s", source->copied);
    }
    if ((source->container == NULL && source->copied == NULL &&
         !read_source(shared, source->reference, source->dockerfile, &making->dockerfile,
                      making->references, &making->count, err)) ||
        !timer_open(&making->deadline, shared->loop, on_deadline, making, err) ||
        !timer_open(&making->begin, shared->loop, on_begin, making, err)) {
        making_free(making);
        return NULL;
    }
    timer_arm(&making->begin, 0);
    return making;
}

void making_free(struct making *making)
{
    if (making != NULL) {
        image_fetch_cancel(&making->fetch);
        docker_cancel(&making->call);
        timer_close(&making->deadline);
        timer_close(&making->begin);
        str_free(&making->archive);
        free(making);
    }
}
