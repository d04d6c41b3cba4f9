#include "sandbox-service/templates/forks.h"

#include "common/base/log.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/templates/templates.h"

#include <stdlib.h>

struct forks {
    struct templates *templates; /* borrowed */
    struct timer due;
};

static void look_again(struct forks *forks)
{
    if (!forks->templates->closing) {
        timer_arm(&forks->due, FORKS_LOOK_MS);
    }
}

static void on_dropped(const PGresult *result, const struct err *err, void *arg)
{
    struct forks *forks = arg;
    char id[ID_SIZE];
    char image[MAKING_IMAGE_SIZE];
    if (err != NULL) {
        log_info("forks.not_looked_at", LOG_ERR(err));
    }
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        if (id_parse(view_of(template_store_image_id(result, row)), id)) {
            template_image(forks->templates, id, image);
            log_info("fork.over", LOG_STR("template_id", id));
            templates_remove_image(forks->templates, image); /* else the sweep does */
        }
    }
    look_again(forks);
}

static void on_due(void *arg)
{
    struct forks *forks = arg;
    struct err err = {0};
    if (!template_store_drop_forks(forks->templates->store, FORKS_GRACE_S, on_dropped, forks,
                                   &err)) {
        look_again(forks);
    }
}

struct forks *forks_open(struct templates *templates, struct err *err)
{
    struct forks *forks = calloc(1, sizeof *forks);
    if (forks == NULL) {
        err_set(err, ERR_INTERNAL, "forks: out of memory");
        return NULL;
    }
    forks->templates = templates;
    if (!timer_open(&forks->due, templates->sandboxes->loop, on_due, forks, err)) {
        free(forks);
        return NULL;
    }
    timer_arm(&forks->due, FORKS_LOOK_MS);
    return forks;
}

void forks_close(struct forks *forks)
{
    if (forks != NULL) {
        timer_close(&forks->due);
        free(forks);
    }
}
