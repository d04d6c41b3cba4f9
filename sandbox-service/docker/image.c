#include "sandbox-service/docker/image.h"

#include "common/base/clock.h"
#include "common/base/map.h"

#include <stdio.h>
#include <stdlib.h>

struct remembered {
    struct map_node by_name;
    char name[IMAGE_NAME_SIZE];
    int64_t asked_ms; /* monotonic */
    struct wire_image image;
};

struct images {
    struct docker *docker; /* borrowed */
    struct map known;
};

struct images *images_new(struct docker *docker, struct err *err)
{
    struct images *images = calloc(1, sizeof *images);
    if (images == NULL) {
        err_set(err, ERR_INTERNAL, "images: out of memory");
        return NULL;
    }
    images->docker = docker;
    if (!map_init(&images->known, err)) {
        free(images);
        return NULL;
    }
    return images;
}

static void forget(struct map_node *node, void *arg)
{
    struct images *images = arg;
    map_remove(&images->known, node);
    free(MAP_ENTRY(node, struct remembered, by_name));
}

void images_free(struct images *images)
{
    if (images != NULL) {
        map_each(&images->known, forget, images);
        map_free(&images->known);
        free(images);
    }
}

const struct wire_image *images_recall(struct images *images, const char *name)
{
    struct map_node *node = map_find(&images->known, view_of(name));
    struct remembered *found = node == NULL ? NULL : MAP_ENTRY(node, struct remembered, by_name);
    bool fresh = found != NULL && clock_monotonic_ms() - found->asked_ms < IMAGE_FRESH_MS;
    return fresh ? &found->image : NULL;
}

static void remember(struct images *images, const char *name, const struct wire_image *image)
{
    struct map_node *node = map_find(&images->known, view_of(name));
    if (node == NULL) {
        if (images->known.count >= IMAGES_MAX) {
            map_each(&images->known, forget, images);
        }
        struct remembered *new = calloc(1, sizeof *new);
        if (new == NULL) {
            return; /* asked for again next time */
        }
        (void)snprintf(new->name, sizeof new->name, "%s", name);
        map_insert(&images->known, &new->by_name, view_of(new->name));
        node = &new->by_name;
    }
    struct remembered *entry = MAP_ENTRY(node, struct remembered, by_name);
    entry->image = *image;
    entry->asked_ms = clock_monotonic_ms();
}

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct image_call *call = arg;
    struct err failure = {0};
    struct wire_image image;
    if (docker_succeeded(reply, err, "image", &failure) &&
        wire_read_image(reply->body, &image, &failure)) {
        remember(call->images, call->name, &image);
        call->done(&image, NULL, call->arg);
        return;
    }
    if (failure.code == ERR_NOT_FOUND) {
        err_set_reason(&failure, ERR_NOT_FOUND, "image_not_found", "there is no image %s",
                       call->name);
    }
    call->done(NULL, &failure, call->arg);
}

/* The name becomes part of a URL. */
static bool is_image_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < IMAGE_NAME_SIZE && name[0] != '/' && strstr(name, "..") == NULL &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") ==
               len;
}

bool image_ask(struct images *images, struct image_call *call, const char *name,
               image_told_fn *done, void *arg, struct err *err)
{
    if (!is_image_name(name)) {
        return err_set_reason(err, ERR_NOT_FOUND, "image_not_found", "\"%.80s\" names no image",
                              name);
    }
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/images/%s/json", name);
    (void)snprintf(call->name, sizeof call->name, "%s", name);
    call->images = images;
    call->done = done;
    call->arg = arg;
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(images->docker, &call->call, &request, on_reply, call);
    return true;
}
