#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/entry.h"
#include "sandbox-service/agent/listing.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/place.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/tree.h"

#include <errno.h>

void request_list(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_list request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_list_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    listing_begin(requests->trees, reply, target.path, &target.user, &request);
}

static bool load_entry(const char *path, const struct user *user, bool follow, struct entry *entry,
                       struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    AUTO(close_fd)
    int fd = open_at(AT_FDCWD, path, follow ? O_PATH : O_PATH | O_NOFOLLOW, 0);
    bool is_own = fd >= 0 && open_is_our_own(fd);
    bool loaded = fd >= 0 && !is_own && entry_load(entry, fd, "", path);
    int error_number = is_own ? EACCES : errno;
    acting_end(&acting);
    return loaded || open_failed(err, error_number, path);
}

void request_stat(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_stat request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    struct entry entry;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_stat_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    if (!load_entry(target.path, &target.user, request.follow, &entry, &err)) {
        reply_error(reply, &err);
        return;
    }
    struct names names;
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "statResponse");
    names_load(&names);
    entry_write(&writer, "entry", &entry, &names);
    names_free(&names);
    entry_free(&entry);
    reply_end(reply, &writer);
}

/* Like mkdir, or mkdir -p. False with errno. */
static bool make_folder(const char *path, const struct agent_mkdir *request)
{
    char trimmed[PATH_SIZE];
    struct place place;
    struct err ignored;
    struct stat status;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    memcpy(trimmed, path, len);
    trimmed[len] = '\0';
    bool is_placed = place_split(trimmed, &place, &ignored);
    if (request->parents && is_placed && !place_make_folders(place.folder)) {
        return false;
    }
    mode_t mode = agent_file_mode(request->mode, PLACE_FOLDER_MODE);
    if (mkdir(trimmed, mode) == 0) {
        /* Creation went through the umask. */
        return request->mode.len == 0 || chmod(trimmed, mode) == 0;
    }
    if (!request->parents || errno != EEXIST) {
        return false;
    }
    bool is_there = stat(trimmed, &status) == 0 && S_ISDIR(status.st_mode);
    errno = EEXIST;
    return is_there;
}

static bool make_folder_as(const char *path, const struct user *user,
                           const struct agent_mkdir *request, struct err *err)
{
    struct acting acting;
    if (!acting_begin(&acting, user, err)) {
        return false;
    }
    bool made = make_folder(path, request);
    int error_number = errno;
    acting_end(&acting);
    return made || open_failed(err, error_number, path);
}

void request_mkdir(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_mkdir request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_mkdir_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    if (!make_folder_as(target.path, &target.user, &request, &err)) {
        reply_error(reply, &err);
        return;
    }
    tree_answer(reply, "mkdirResponse", target.path);
}

void request_remove(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_remove request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_remove_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    tree_remove(requests->trees, reply, &target.user, target.path, request.recursive);
}

typedef void tree_fn(struct trees *trees, const struct reply *reply, const struct user *user,
                     const struct tree_target *target);

static void move_or_copy(const struct requests *requests, const struct reply *reply,
                         struct view text, const struct json_schema *schema, tree_fn *begin)
{
    struct agent_rename request = {.recursive = false}; /* which rename does not have */
    struct request_target from = {.asked_user = &request.user, .asked_path = &request.path};
    char to[PATH_SIZE];
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse_target(requests, reply, text, schema, &request, &from);
    if (doc == NULL) {
        return;
    }
    if (!path_resolve(request.to, settings_work_dir(requests->settings), from.user.home, to,
                      &err)) {
        reply_error(reply, &err);
        return;
    }
    const struct tree_target target = {from.path, to, request.overwrite, request.recursive};
    begin(requests->trees, reply, &from.user, &target);
}

void request_rename(const struct requests *requests, const struct reply *reply, struct view text)
{
    move_or_copy(requests, reply, text, &agent_rename_schema, tree_rename);
}

void request_copy(const struct requests *requests, const struct reply *reply, struct view text)
{
    move_or_copy(requests, reply, text, &agent_copy_schema, tree_copy);
}
