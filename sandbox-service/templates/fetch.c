#include "sandbox-service/templates/fetch.h"

#include "common/json/read.h"

#include <stdio.h>
#include <string.h>

struct image_config {
    struct json_strings triggers;
    struct view volumes;
};
struct image_told {
    struct view id;
    int64_t size;
    struct image_config config;
};
static const struct json_field config_fields[] = {
    JSON_STRINGS(struct image_config, triggers, "OnBuild", .nullable = true),
    JSON_OBJECT(struct image_config, volumes, "Volumes", .nullable = true),
};
static const struct json_field told_fields[] = {
    JSON_STRING(struct image_told, id, "Id", .required = true),
    JSON_INT(struct image_told, size, "Size", .min = 0, .max = -1),
    JSON_STRUCT(struct image_told, config, "Config", config_fields, .nullable = true),
};

bool image_facts_read(struct view body, struct image_facts *out, struct err *err)
{
    struct image_told told = {0};
    const struct json_schema schema = JSON_SCHEMA(told_fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(body, &schema, &told, NULL, err);
    if (doc == NULL) {
        return err_set_reason(err, ERR_UNAVAILABLE, "docker_unavailable",
                              "the engine told of an image what can't be read");
    }
    struct view volumes = told.config.volumes;
    *out = (struct image_facts){
        .size_bytes = told.size,
        .has_triggers = told.config.triggers.count > 0,
        .has_volumes = volumes.len > 0 && memchr(volumes.ptr, '"', volumes.len) != NULL,
    };
    return view_copy(told.id, out->id, sizeof out->id) ||
           err_set(err, ERR_INTERNAL, "the engine's id of an image is too long");
}

void image_inspect(struct docker *docker, struct docker_call *call, const char *name,
                   http_reply_fn *done, void *arg)
{
    char path[DOCKER_PATH_SIZE + REFERENCE_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "/images/%s/json", name);
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(docker, call, &request, done, arg);
}

static bool is_below(const char *repository, const char *owner)
{
    size_t len = strlen(owner);
    return strncmp(repository, owner, len) == 0 && repository[len] == '/';
}

/* Whoever has our names in a registry must not get at what they mean here: a pull changes that. */
static bool can_pull(const struct image_policy *policy, const struct reference *reference)
{
    bool is_ours = strcmp(reference->registry, REFERENCE_REGISTRY_DEFAULT) == 0 &&
                   (is_below(reference->repository, "insien") ||
                    is_below(reference->repository, policy->instance));
    return !is_ours && reference_registry_is_among(reference, policy->registries);
}

bool image_policy_check(const struct image_policy *policy, const struct reference *reference,
                        struct err *err)
{
    return reference_is_among(reference, policy->local) || can_pull(policy, reference) ||
           err_set_reason(err, ERR_INVALID, "registry_not_allowed",
                          "images are not taken from %s here", reference->registry);
}

static void finish(struct image_fetch *fetch, const struct image_facts *facts,
                   const struct err *err)
{
    fetch->done(facts, err, fetch->arg);
}

static void on_inspected(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct image_fetch *fetch = arg;
    struct image_facts facts;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "image", &failure) &&
        image_facts_read(reply->body, &facts, &failure)) {
        finish(fetch, &facts, NULL);
        return;
    }
    if (failure.code == ERR_NOT_FOUND) {
        err_set_reason(&failure, ERR_NOT_FOUND, "image_not_found", "there is no such image");
    }
    finish(fetch, NULL, &failure);
}

static void inspect(struct image_fetch *fetch, http_reply_fn *done)
{
    char name[REFERENCE_TEXT_SIZE];
    reference_write(&fetch->reference, name);
    image_inspect(fetch->docker, &fetch->call, name, done, fetch);
}

/* The engine says 200 before it knows: what went wrong is in the stream. */
static void on_pulled(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct image_fetch *fetch = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "pull", &failure)) {
        if (failure.code == ERR_NOT_FOUND) {
            progress_say(fetch->progress, "There is no such image, or not for everybody.");
            err_set_reason(&failure, ERR_NOT_FOUND, "image_not_found", "there is no such image");
        } else if (err == NULL) {
            progress_say(fetch->progress, "The registry can't be reached, or does not answer.");
            err_set_reason(&failure, ERR_UNAVAILABLE, "pull_failed", "%s", failure.message);
        }
        finish(fetch, NULL, &failure);
        return;
    }
    if (fetch->progress->error[0] != '\0') {
        err_set_reason(&failure, ERR_UNAVAILABLE, "pull_failed", "%s", fetch->progress->error);
        finish(fetch, NULL, &failure);
        return;
    }
    inspect(fetch, on_inspected);
}

static bool on_pull_data(struct view data, void *arg)
{
    /* The call's own argument: docker.c passes itself through. */
    const struct docker_call *call = arg;
    struct image_fetch *fetch = call->arg;
    progress_take(fetch->progress, data);
    return true;
}

/* Of a reference only characters come here that mean themselves in a query. */
static void pull(struct image_fetch *fetch)
{
    const struct reference *reference = &fetch->reference;
    char path[DOCKER_PATH_SIZE + REFERENCE_TEXT_SIZE];
    bool has_digest = reference->digest[0] != '\0';
    (void)snprintf(path, sizeof path, "/images/create?fromImage=%s/%s&tag=%s", reference->registry,
                   reference->repository, has_digest ? reference->digest : reference->tag);
    const struct docker_request request = {
        .method = "POST", .path = path, .is_stream = true, .on_data = on_pull_data};
    char name[REFERENCE_TEXT_SIZE];
    reference_write(reference, name);
    progress_say(fetch->progress, "Pulling %s", name);
    docker_send(fetch->docker, &fetch->call, &request, on_pulled, fetch);
}

static void on_looked(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct image_fetch *fetch = arg;
    struct err failure = {0};
    bool there = docker_succeeded(reply, err, "image", &failure);
    if (!there && failure.code == ERR_NOT_FOUND && can_pull(fetch->policy, &fetch->reference)) {
        pull(fetch);
        return;
    }
    on_inspected(reply, err, arg);
}

void image_fetch_begin(struct image_fetch *fetch, struct docker *docker,
                       const struct image_policy *policy, struct progress *progress,
                       const struct reference *reference, image_fetched_fn *done, void *arg)
{
    *fetch = (struct image_fetch){.docker = docker,
                                  .policy = policy,
                                  .progress = progress,
                                  .reference = *reference,
                                  .done = done,
                                  .arg = arg};
    if (reference_is_among(reference, policy->local)) {
        inspect(fetch, on_looked);
    } else {
        pull(fetch);
    }
}

void image_fetch_cancel(struct image_fetch *fetch)
{
    docker_cancel(&fetch->call);
}
