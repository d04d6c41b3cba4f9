/* /api/volumes/{name}/archive: all of a volume out as one archive, and an archive into it. A
 * sandbox that is made for it does the work, so that whatever the archive holds stays inside, and
 * the disk's size is its end. */
#include "common/contracts/volumes.h"
#include "gateway/native/archive.h"
#include "gateway/native/routes.h"

#include <stdio.h>

/* Archives take their name from it. */
#define VOLUME_FOLDER "/volume/"

static void on_sandbox(const struct err *err, void *arg)
{
    struct archive *archive = arg;
    if (err == NULL) {
        archive_begin(archive);
    } else {
        archive_fail(archive, err);
    }
}

/* One that is packed may have a writer beside it; into one that is unpacked nobody else writes. */
static bool make_sandbox(struct archive *archive, struct err *err)
{
    char use[VOLUME_USE_MAX + 1];
    (void)snprintf(use, sizeof use, "%.*s:%s", (int)archive->volume.len, archive->volume.ptr,
                   archive->packs ? "ro" : "rw");
    const struct json_pair volume = {view_of(archive->name.path), view_of(use)};
    struct sandbox_create wanted = {
        .template_name = VIEW("base"),
        .network = VIEW("none"),
        .metadata = VIEW("{\"purpose\":\"volume archive\"}"),
        .volumes = {&volume, 1},
    };
    return own_sandbox_begin(&archive->own, archive->request, &wanted, on_sandbox, archive, err);
}

static void begin(struct request *request, bool packs)
{
    const char *problem = "";
    struct err err = {0};
    struct parameters parameters;
    struct archive *archive = archive_new(request, &parameters, packs);
    if (archive == NULL) {
        return;
    }
    if (!volume_name_check(request->item, &problem)) {
        request_fail_member(request, "name", problem);
        return;
    }
    archive->volume = request->item;
    (void)snprintf(archive->name.path, sizeof archive->name.path, VOLUME_FOLDER "%.*s",
                   (int)request->item.len, request->item.ptr);
    if (packs) { /* whoever has written what lies there */
        (void)snprintf(archive->name.user, sizeof archive->name.user, "root");
    } else {
        parameter_text(&parameters, "user", PARAMETER_OPTIONAL, archive->name.user,
                       sizeof archive->name.user);
    }
    if (!parameters_check(&parameters, &err) || !make_sandbox(archive, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
    }
}

void volume_archive_get_handle(struct request *request)
{
    begin(request, true);
}

void volume_archive_put_handle(struct request *request)
{
    begin(request, false);
}
