/* sandbox-service/system/room.h: how much room is left on the disk where the engine keeps what
 * containers write. It is looked at every few seconds, on a worker, so that whoever asks waits for
 * nothing. */
#ifndef SANDBOX_SYSTEM_ROOM_H
#define SANDBOX_SYSTEM_ROOM_H

#include "common/event/loop.h"
#include "common/event/worker.h"

enum { ROOM_UNKNOWN = -1 };

struct room;

struct room_options {
    struct loop *loop; /* borrowed for the room's life, as all of these */
    struct worker_pool *workers;
    const char *dir;      /* "": the engine says, by room_watch */
    int64_t keep_free_mb; /* 0: never short */
};

struct room *room_open(const struct room_options *options, struct err *err) MUST_CHECK;
/* Behind the workers' end. NULL is fine. */
void room_close(struct room *room);

/* The folder where the engine keeps its data; copies. Looks at once, unless the options name one.
 */
void room_watch(struct room *room, const char *dir);

/* In MB, as of the latest look; ROOM_UNKNOWN before the first, and where the folder can't be seen
 * from here. NULL: unknown. */
int64_t room_free_mb(const struct room *room);
int64_t room_total_mb(const struct room *room);
/* Less than keep_free_mb is left, or few files. What is unknown is not short. */
bool room_is_short(const struct room *room);

/* Whether a file system that can have all files (0: it has no such bound) has so few left that who
 * fills it with empty ones is to be stopped. */
bool room_has_few_files(uint64_t available, uint64_t all);

#endif
