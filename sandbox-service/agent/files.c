#include "sandbox-service/agent/files.h"

#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/draft.h"
#include "sandbox-service/agent/open.h"

bool files_read(const char *path, const struct user *user, struct str *out, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    AUTO(close_fd) int fd = open_regular(path, O_RDONLY, NULL, err);
    bool succeeded = fd >= 0 && open_read_all(fd, out, err);
    acting_end(&acting);
    return succeeded;
}

static bool replace(struct draft *draft, struct view content, struct err *err)
{
    if (!draft_write(draft, content, err)) {
        return false;
    }
    enum draft_end end = draft_finish(draft, err);
    while (end == DRAFT_POUR) {
        end = draft_pour(draft, err);
    }
    return end == DRAFT_DONE;
}

static bool write_as_acting(const char *path, const struct user *user, struct view content,
                            struct err *err)
{
    static const struct draft_options options = {.parents = true};
    struct draft draft;
    if (!draft_open(&draft, path, user, &options, err)) {
        return false;
    }
    bool succeeded =
        draft.fd < 0 ? draft_rewrite(&draft, content, err) : replace(&draft, content, err);
    draft_close(&draft);
    return succeeded;
}

bool files_write(const char *path, const struct user *user, struct view content, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    bool succeeded = write_as_acting(path, user, content, err);
    acting_end(&acting);
    return succeeded;
}
