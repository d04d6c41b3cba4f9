/* sandbox-service/templates/fetch.h: an image by its name, from the engine or from a registry. */
#ifndef SANDBOX_TEMPLATES_FETCH_H
#define SANDBOX_TEMPLATES_FETCH_H

#include "sandbox-service/docker/docker.h"
#include "sandbox-service/templates/progress.h"
#include "sandbox-service/templates/reference.h"

enum { IMAGE_ID_SIZE = REFERENCE_DIGEST_SIZE };

struct image_facts {
    char id[IMAGE_ID_SIZE]; /* "sha256:..." */
    int64_t size_bytes;
    bool has_triggers; /* ONBUILD: what is built from it does more than its Dockerfile says */
    bool has_volumes;  /* VOLUME: what its containers write there is in no limit of theirs */
};

/* Which images anybody may begin from. What lies on the engine is the operator's or other users'
 * and is not given away, unless the operator says so. */
struct image_policy {
    const char *local;      /* patterns of what is taken from the engine: reference_is_among */
    const char *registries; /* from where the rest is pulled, as anybody: without credentials */
    const char *instance;   /* names below insien/ and <instance>/ are ours: never pulled */
};

/* ERR_INVALID "registry_not_allowed" when the policy leaves no way to it. */
bool image_policy_check(const struct image_policy *policy, const struct reference *reference,
                        struct err *err) MUST_CHECK;

/* facts is NULL when err is not: ERR_NOT_FOUND "image_not_found", ERR_UNAVAILABLE "pull_failed",
 * "docker_unavailable". */
typedef void image_fetched_fn(const struct image_facts *facts, const struct err *err, void *arg);

/* Lies in the caller's; belongs to fetch until done. */
struct image_fetch {
    struct docker *docker; /* borrowed, as the next two */
    const struct image_policy *policy;
    struct progress *progress;
    struct reference reference;
    struct docker_call call;
    image_fetched_fn *done;
    void *arg;
};

/* done comes exactly once, later, on the loop. No deadline of its own: the caller cancels. */
void image_fetch_begin(struct image_fetch *fetch, struct docker *docker,
                       const struct image_policy *policy, struct progress *progress,
                       const struct reference *reference, image_fetched_fn *done, void *arg);
/* done is not called any more; the engine stops pulling. */
void image_fetch_cancel(struct image_fetch *fetch);

/* GET /images/x/json. */
bool image_facts_read(struct view body, struct image_facts *out, struct err *err) MUST_CHECK;
/* Asks for it: done reads the reply with image_facts_read. */
void image_inspect(struct docker *docker, struct docker_call *call, const char *name,
                   http_reply_fn *done, void *arg);

#endif
