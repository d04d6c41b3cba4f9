#include "sandbox-service/templates/keeping.h"

#include "common/base/crash_point.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/templates/templates.h"

/* The only way to done. */
static void finish(struct keeping *keeping, const struct err *err)
{
    keeping->done(err, keeping->arg);
}

static void on_weighed(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct keeping *keeping = arg;
    keeping->query = NULL;
    if (err == NULL) {
        CRASH_POINT("snapshot.after_weight");
    }
    finish(keeping, err);
}

static void on_measured(const struct wire_container *container, const struct err *err, void *arg)
{
    struct keeping *keeping = arg;
    struct err failure = {0};
    if (err != NULL) {
        finish(keeping, err);
        return;
    }
    if (container == NULL) {
        err_set_reason(&failure, ERR_CONFLICT, "sandbox_gone", "it has ended meanwhile");
        finish(keeping, &failure);
        return;
    }
    if (container->written_bytes < 0) {
        err_set_reason(&failure, ERR_UNAVAILABLE, "docker_unavailable",
                       "the engine does not tell what the sandbox has written");
        finish(keeping, &failure);
        return;
    }
    keeping->query = template_store_weigh(keeping->templates->store, keeping->template_id,
                                          container->written_bytes, on_weighed, keeping, &failure);
    if (keeping->query == NULL) {
        finish(keeping, &failure);
    }
}

static void on_still(const struct err *err, void *arg)
{
    struct keeping *keeping = arg;
    char name[CONTAINER_NAME_SIZE];
    if (err != NULL) {
        finish(keeping, err);
        return;
    }
    CRASH_POINT("snapshot.after_still");
    container_name(keeping->sandbox_id, name);
    container_measure(keeping->templates->sandboxes->docker, &keeping->container, name, on_measured,
                      keeping);
}

bool keeping_begin(struct keeping *keeping, struct templates *templates, const char *template_id,
                   const char sandbox_id[ID_SIZE], keeping_done_fn *done, void *arg,
                   struct err *err)
{
    *keeping = (struct keeping){
        .templates = templates, .template_id = template_id, .done = done, .arg = arg};
    memcpy(keeping->sandbox_id, sandbox_id, ID_SIZE);
    return still_begin(templates->sandboxes->stills, sandbox_id, &keeping->still, on_still, keeping,
                       err);
}

void keeping_end(struct keeping *keeping)
{
    docker_cancel(&keeping->container.call);
    if (keeping->query != NULL) {
        pg_query_cancel(keeping->query);
        keeping->query = NULL;
    }
    still_end(&keeping->still);
}
