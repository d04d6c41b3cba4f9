#include "common/base/clock.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/place.h"
#include "sandbox-service/agent/trees.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { OWN_FOLDER_MODE = 0700 };

struct removal {
    struct chore chore;
    struct trees *all;
    struct reply reply;
    struct user user;
    char path[PATH_SIZE];
    struct walk walk;
};

struct trees *trees_new(struct chores *chores, struct err *err)
{
    struct trees *trees = calloc(1, sizeof *trees);
    if (trees == NULL) {
        err_set(err, ERR_INTERNAL, "trees: out of memory");
        return NULL;
    }
    trees->chores = chores;
    return trees;
}

void trees_free(struct trees *trees)
{
    assert(trees == NULL || trees->count == 0);
    free(trees);
}

bool trees_enter(struct trees *trees, struct err *err)
{
    if (trees->count >= TREES_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "%d folders are being worked on", TREES_MAX);
    }
    trees->count++;
    return true;
}

void trees_leave(struct trees *trees)
{
    assert(trees->count > 0);
    trees->count--;
}

int tree_open_parent(const char *path, char name[PATH_COMPONENT_MAX + 1], struct err *err)
{
    char trimmed[PATH_SIZE];
    struct place place;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    memcpy(trimmed, path, len);
    trimmed[len] = '\0';
    if (!place_split(trimmed, &place, err)) {
        return -1;
    }
    int folder = place_open_folder(place.folder, false);
    if (folder < 0) {
        open_failed(err, errno, path);
    }
    (void)snprintf(name, PATH_COMPONENT_MAX + 1, "%s", place.name);
    return folder;
}

void tree_answer(const struct reply *reply, const char *type, const char *path)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, type);
    json_string(&writer, "path", view_of(path));
    reply_end(reply, &writer);
}

static bool remove_name(const struct walk_step *step, int flags, struct err *err)
{
    return unlinkat(step->folder, step->name, flags) == 0 || errno == ENOENT ||
           open_failed(err, errno, step->name);
}

enum tree_progress tree_remove_slice(struct walk *walk, bool force, struct err *err)
{
    int64_t end_ms = clock_monotonic_ms() + TREE_SLICE_MS;
    for (int i = 0; i < TREE_SLICE && clock_monotonic_ms() < end_ms; i++) {
        struct walk_step step;
        bool removed = true;
        switch (walk_next(walk, &step, err)) {
        case WALK_ENTER:
            if (force) {
                (void)fchmod(step.fd, OWN_FOLDER_MODE);
            }
            break;
        case WALK_ITEM:
            removed = remove_name(&step, 0, err);
            break;
        case WALK_LEAVE:
            removed = remove_name(&step, AT_REMOVEDIR, err);
            break;
        case WALK_END:
            return TREE_DONE;
        case WALK_FAILED:
            return TREE_FAILED;
        }
        if (!removed) {
            return TREE_FAILED;
        }
    }
    return TREE_MORE;
}

static void free_removal(void *object)
{
    struct removal *removal = object;
    walk_close(&removal->walk);
    trees_leave(removal->all);
    free(removal);
}

static bool on_step(void *arg)
{
    struct removal *removal = arg;
    struct acting acting;
    struct err err;
    enum tree_progress progress = TREE_FAILED;
    if (acting_begin(&acting, &removal->user, &err)) {
        progress = tree_remove_slice(&removal->walk, false, &err);
        acting_end(&acting);
    }
    if (progress == TREE_MORE) {
        return true;
    }
    if (progress == TREE_DONE) {
        tree_answer(&removal->reply, "removeResponse", removal->path);
    } else {
        reply_error(&removal->reply, &err);
    }
    free_removal(removal);
    return false;
}

/* One thing, a folder only when it is empty. False with err, or with is_full for a folder that is
 * not. */
static bool remove_one(int folder, const char *name, const char *path, bool *is_full,
                       struct err *err)
{
    int result = unlinkat(folder, name, 0);
    if (result != 0 && errno == EISDIR) {
        result = unlinkat(folder, name, AT_REMOVEDIR);
    }
    if (result != 0) {
        *is_full = errno == ENOTEMPTY || errno == EEXIST;
        return open_failed(err, errno, path);
    }
    return true;
}

static bool begin_removal(struct trees *trees, const struct reply *reply, const struct user *user,
                          const char *path, int folder, const char *name, struct err *err)
{
    if (!trees_enter(trees, err)) {
        close_fd(&folder);
        return false;
    }
    struct removal *removal = calloc(1, sizeof *removal);
    if (removal == NULL) {
        trees_leave(trees);
        close_fd(&folder);
        return err_set(err, ERR_INTERNAL, "remove: out of memory");
    }
    removal->chore = (struct chore){.step = on_step, .drop = free_removal, .arg = removal};
    removal->all = trees;
    removal->reply = *reply;
    removal->user = *user;
    (void)snprintf(removal->path, sizeof removal->path, "%s", path);
    walk_open(&removal->walk, folder, name, true);
    chore_start(trees->chores, &removal->chore);
    return true;
}

void tree_remove(struct trees *trees, const struct reply *reply, const struct user *user,
                 const char *path, bool recursive)
{
    char name[PATH_COMPONENT_MAX + 1];
    struct acting acting;
    struct err err;
    AUTO(close_fd) int folder = -1;
    bool removed = false;
    bool is_full = false;
    if (acting_begin(&acting, user, &err)) {
        folder = tree_open_parent(path, name, &err);
        removed = folder >= 0 && remove_one(folder, name, path, &is_full, &err);
        acting_end(&acting);
    }
    if (removed) {
        tree_answer(reply, "removeResponse", path);
    } else if (!recursive || !is_full ||
               !begin_removal(trees, reply, user, path, take_fd(&folder), name, &err)) {
        reply_error(reply, &err);
    }
}
