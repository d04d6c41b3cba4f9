#include "sandbox-service/agent/listing.h"

#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/entry.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/path.h"
#include "sandbox-service/agent/trees.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLICE = 256 };

struct found {
    struct entry entry;
    int64_t depth;
};

/* The first entries in the order of their paths. What is in a folder comes behind the folder, so
 * what was found is also the line of folders still to be looked into: one that a bound has cut off
 * holds nothing that would not be cut off too. */
struct listing {
    struct chore chore;
    struct trees *all;
    struct reply reply;
    struct user user;
    char path[PATH_SIZE]; /* without a slash at the end; "" is "/" */
    int64_t depth_max;
    size_t limit;
    int root;
    DIR *folder;             /* owned; the one that is being read */
    size_t folder_len;       /* of its path */
    char current[PATH_SIZE]; /* its path, and then the names in it */
    int64_t depth;           /* of what is in it */
    struct found **found;    /* owned; in order, with room for one over the limit */
    size_t count;
    size_t next; /* of them, the first that may be a folder not looked into */
    size_t bytes;
    char *end; /* owned; nothing from this path on is told. NULL: no bound was reached */
    bool truncated;
};

static void free_found(struct found *found)
{
    entry_free(&found->entry);
    free(found);
}

static void free_listing(void *object)
{
    struct listing *listing = object;
    for (size_t i = 0; i < listing->count; i++) {
        free_found(listing->found[i]);
    }
    free((void *)listing->found);
    free(listing->end);
    if (listing->folder != NULL) {
        (void)closedir(listing->folder);
    }
    close_fd(&listing->root);
    trees_leave(listing->all);
    free(listing);
}

/* Reads the folder at path from now on. Takes fd. */
static bool enter(struct listing *listing, int fd, const char *path, int64_t depth)
{
    listing->folder = fd < 0 || open_is_our_own(fd) ? NULL : fdopendir(fd);
    if (listing->folder == NULL) {
        close_fd(&fd);
        return false;
    }
    listing->folder_len = (size_t)snprintf(listing->current, sizeof listing->current, "%s", path);
    listing->depth = depth;
    return true;
}

static void enter_next(struct listing *listing)
{
    while (listing->folder == NULL && listing->next < listing->count) {
        const struct found *found = listing->found[listing->next++];
        if (S_ISDIR(found->entry.mode) && found->depth < listing->depth_max) {
            const char *below = found->entry.path + strlen(listing->path) + 1;
            int fd = open_beneath(listing->root, below, O_RDONLY | O_DIRECTORY);
            (void)enter(listing, fd, found->entry.path, found->depth + 1);
        }
    }
}

/* Where path belongs. */
static size_t place_of(const struct listing *listing, const char *path)
{
    size_t low = 0;
    for (size_t high = listing->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(listing->found[middle]->entry.path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t bytes_of(const struct found *found)
{
    const struct entry *entry = &found->entry;
    return strlen(entry->path) + (entry->target == NULL ? 0 : strlen(entry->target));
}

static void drop_last(struct listing *listing)
{
    struct found *last = listing->found[--listing->count];
    listing->bytes -= bytes_of(last);
    free(listing->end);
    listing->end = TAKE(last->entry.path);
    listing->truncated = true;
    free_found(last);
}

/* Takes found. What is in a folder belongs behind it, so next stays right. */
static void insert(struct listing *listing, struct found *found)
{
    size_t at = place_of(listing, found->entry.path);
    struct found **place = listing->found + at;
    memmove((void *)(place + 1), (const void *)place, (listing->count - at) * sizeof(void *));
    *place = found;
    listing->count++;
    listing->bytes += bytes_of(found);
    while (listing->count > listing->limit || listing->bytes > LISTING_BYTES_MAX) {
        drop_last(listing);
    }
}

/* One that vanished meanwhile is none. */
static void add(struct listing *listing, const char *name)
{
    size_t room = sizeof listing->current - listing->folder_len;
    int len = snprintf(listing->current + listing->folder_len, room, "/%s", name);
    bool fits = len > 0 && (size_t)len < room;
    if (!fits || (listing->end != NULL && strcmp(listing->current, listing->end) >= 0)) {
        listing->truncated = true;
        return;
    }
    struct found *found = calloc(1, sizeof *found);
    if (found == NULL) {
        listing->truncated = true;
    } else if (entry_load(&found->entry, dirfd(listing->folder), name, listing->current)) {
        found->depth = listing->depth;
        insert(listing, found);
    } else {
        free(found);
    }
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* True: there is more to be read. */
static bool read_slice(struct listing *listing)
{
    for (int i = 0; i < SLICE && listing->folder != NULL; i++) {
        const struct dirent *item = readdir(listing->folder);
        if (item != NULL && !is_dots(item->d_name)) {
            add(listing, item->d_name);
        }
        bool is_cut_off = listing->next > listing->count; /* the folder itself, with its names */
        if (item == NULL || is_cut_off) {
            (void)closedir(TAKE(listing->folder));
            enter_next(listing);
        }
    }
    return listing->folder != NULL;
}

static bool answer_with(const struct listing *listing, size_t count, struct names *names)
{
    struct str out;
    struct json_writer writer = reply_begin(&listing->reply, &out, "listResponse");
    json_string(&writer, "path", view_of(listing->path[0] == '\0' ? "/" : listing->path));
    json_begin_array(&writer, "entries");
    for (size_t i = 0; i < count; i++) {
        entry_write(&writer, NULL, &listing->found[i]->entry, names);
    }
    json_end_array(&writer);
    json_bool(&writer, "truncated", listing->truncated || count < listing->count);
    return reply_end_if_fits(&listing->reply, &writer);
}

/* Names that need many escapes may make the answer too long for a message. */
static void answer(struct listing *listing)
{
    struct names names;
    size_t count = listing->count;
    names_load(&names);
    while (!answer_with(listing, count, &names) && count > 0) {
        count /= 2;
    }
    names_free(&names);
}

static bool on_step(void *arg)
{
    struct listing *listing = arg;
    struct acting acting;
    struct err err;
    if (!acting_begin(&acting, &listing->user, &err)) {
        reply_error(&listing->reply, &err);
        free_listing(listing);
        return false;
    }
    bool more = read_slice(listing);
    acting_end(&acting);
    if (!more) {
        answer(listing);
        free_listing(listing);
    }
    return more;
}

static struct listing *new_listing(struct trees *trees, size_t limit, struct err *err)
{
    if (!trees_enter(trees, err)) {
        return NULL;
    }
    struct listing *listing = calloc(1, sizeof *listing);
    struct found **found = (struct found **)calloc(limit + 1, sizeof(void *));
    if (listing == NULL || found == NULL) {
        free(listing);
        free((void *)found);
        trees_leave(trees);
        err_set(err, ERR_INTERNAL, "list: out of memory");
        return NULL;
    }
    listing->all = trees;
    listing->found = found;
    listing->limit = limit;
    listing->chore = (struct chore){.step = on_step, .drop = free_listing, .arg = listing};
    listing->root = -1;
    return listing;
}

static bool open_root(struct listing *listing, const char *path, struct err *err)
{
    struct acting acting;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    memcpy(listing->path, path, len);
    listing->path[len] = '\0';
    if (!acting_begin(&acting, &listing->user, err)) {
        return false;
    }
    listing->root = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    int error_number = listing->root < 0 ? errno : EACCES;
    int fd = listing->root < 0 ? -1 : fcntl(listing->root, F_DUPFD_CLOEXEC, 0);
    bool entered = enter(listing, fd, listing->path, 1);
    acting_end(&acting);
    return entered || open_failed(err, error_number, path);
}

void listing_begin(struct trees *trees, const struct reply *reply, const char *path,
                   const struct user *user, const struct agent_list *request)
{
    struct err err;
    struct listing *listing = new_listing(trees, (size_t)request->limit, &err);
    if (listing == NULL) {
        reply_error(reply, &err);
        return;
    }
    listing->reply = *reply;
    listing->user = *user;
    listing->depth_max = request->depth;
    if (!open_root(listing, path, &err)) {
        reply_error(reply, &err);
        free_listing(listing);
    } else if (on_step(listing)) {
        chore_start(trees->chores, &listing->chore);
    }
}
