#include "sandbox-service/system/room.h"

#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    LOOK_MS = 3000,
    DIR_SIZE = 1024,
    MB = 1024 * 1024,
    FREE_FILES_PERCENT = 5, /* of those that a file system can have */
};

struct room {
    struct room_options options;
    struct timer due;
    struct worker_job look;
    char dir[DIR_SIZE];    /* "": not known yet */
    char looked[DIR_SIZE]; /* the worker's copy */
    int64_t found_free_mb; /* the worker's, as the next, until done */
    int64_t found_total_mb;
    bool found_few_files;
    int64_t free_mb;
    int64_t total_mb;
    bool few_files;
    bool looking;
    bool was_short;
};

static int64_t to_mb(unsigned long long blocks, unsigned long long block_bytes)
{
    return (int64_t)(blocks / MB * block_bytes + blocks % MB * block_bytes / MB);
}

/* Its root's folder is one that a remapping engine shows to nobody: the nearest that is shown lies
 * on the same disk. */
static bool look_at(const char *dir, struct statvfs *found)
{
    char shown[DIR_SIZE];
    (void)snprintf(shown, sizeof shown, "%s", dir);
    while (statvfs(shown, found) != 0) {
        char *slash = errno == EACCES ? strrchr(shown, '/') : NULL;
        if (slash == NULL || slash == shown) {
            return false;
        }
        *slash = '\0';
    }
    return true;
}

bool room_has_few_files(uint64_t available, uint64_t all)
{
    return all > 0 && available < all / 100 * FREE_FILES_PERCENT;
}

/* On a worker: a disk may let one wait. */
static void run(struct worker_job *job)
{
    struct room *room = LIST_ENTRY(job, struct room, look);
    struct statvfs found;
    room->found_free_mb = ROOM_UNKNOWN;
    room->found_total_mb = ROOM_UNKNOWN;
    room->found_few_files = false;
    if (look_at(room->looked, &found)) {
        /* What is kept back for root is no room either: others need it to stop in order. */
        room->found_free_mb = to_mb(found.f_bavail, found.f_frsize);
        room->found_total_mb = to_mb(found.f_blocks, found.f_frsize);
        room->found_few_files = room_has_few_files(found.f_favail, found.f_files);
    }
}

static void on_looked(struct worker_job *job)
{
    struct room *room = LIST_ENTRY(job, struct room, look);
    room->looking = false;
    if (room->found_free_mb == ROOM_UNKNOWN && room->free_mb != ROOM_UNKNOWN) {
        log_warn("room.not_seen", LOG_STR("dir", room->looked));
    }
    room->free_mb = room->found_free_mb;
    room->total_mb = room->found_total_mb;
    room->few_files = room->found_few_files;
    if (room_is_short(room) != room->was_short) {
        room->was_short = !room->was_short;
        if (room->was_short) {
            log_error("room.short", LOG_STR("dir", room->looked), LOG_INT("free_mb", room->free_mb),
                      LOG_INT("keep_free_mb", room->options.keep_free_mb),
                      LOG_INT("few_files", room->few_files));
        } else {
            log_info("room.enough", LOG_INT("free_mb", room->free_mb));
        }
    }
}

static void on_due(void *arg)
{
    struct room *room = arg;
    struct err err = {0};
    timer_arm(&room->due, LOOK_MS);
    if (room->looking || room->dir[0] == '\0') {
        return;
    }
    memcpy(room->looked, room->dir, sizeof room->looked);
    room->look.run = run;
    room->look.done = on_looked;
    room->looking = worker_submit(room->options.workers, &room->look, &err);
    if (!room->looking) {
        log_warn("room.not_looked", LOG_ERR(&err)); /* what was seen last holds */
    }
}

struct room *room_open(const struct room_options *options, struct err *err)
{
    struct room *room = calloc(1, sizeof *room);
    if (room == NULL) {
        err_set(err, ERR_INTERNAL, "room: out of memory");
        return NULL;
    }
    room->options = *options;
    room->free_mb = ROOM_UNKNOWN;
    room->total_mb = ROOM_UNKNOWN;
    (void)snprintf(room->dir, sizeof room->dir, "%s", options->dir);
    if (!timer_open(&room->due, options->loop, on_due, room, err)) {
        free(room);
        return NULL;
    }
    timer_arm(&room->due, 0);
    return room;
}

void room_close(struct room *room)
{
    if (room != NULL) {
        timer_close(&room->due);
        free(room);
    }
}

void room_watch(struct room *room, const char *dir)
{
    if (room != NULL && room->options.dir[0] == '\0') {
        (void)snprintf(room->dir, sizeof room->dir, "%s", dir);
        timer_arm(&room->due, 0);
    }
}

int64_t room_free_mb(const struct room *room)
{
    return room == NULL ? ROOM_UNKNOWN : room->free_mb;
}

int64_t room_total_mb(const struct room *room)
{
    return room == NULL ? ROOM_UNKNOWN : room->total_mb;
}

bool room_is_short(const struct room *room)
{
    int64_t free_mb = room_free_mb(room);
    return free_mb != ROOM_UNKNOWN && room->options.keep_free_mb > 0 &&
           (free_mb < room->options.keep_free_mb || room->few_files);
}
