/* sandbox-service/agent/spool.h: the last output of a process, bounded, in the order in which it
 * was read, for any number of readers.
 *
 * Each kind of output counts its own bytes from 0. What no open reader still needs goes first when
 * there is no room; what one needs stays, and then nothing more is taken. */
#ifndef SANDBOX_AGENT_SPOOL_H
#define SANDBOX_AGENT_SPOOL_H

#include "common/base/list.h"
#include "common/base/view.h"
#include "common/contracts/agent.h"

#include <stdint.h>

enum {
    SPOOL_KINDS = 2,
    SPOOL_RESERVE = 4 * 1024,   /* what each that is written to may have, whatever others have */
    SPOOL_ROOM_MIN = 56,        /* bytes; spool_reserve gives no less */
    SPOOLS_OPEN_MAX = 1024,     /* so many may be written to at once */
    SPOOL_READ_MAX = 64 * 1024, /* of one spool_read */
    SPOOLS_BYTES_MAX = 32 * 1024 * 1024, /* of all together */
    /* Of that, what is not in the reserves. These come on top: once for each spool that is written
     * to, once for each finished one whose reader does not read, and for those kept unread. */
    SPOOLS_SHARED_MAX = 22 * 1024 * 1024,
};

struct spool_chunk;

/* All spools, and the memory they have together. */
struct spool_pool {
    struct list spools;        /* struct spool.node */
    size_t used;               /* bytes */
    size_t shared;             /* of them, beyond the reserves */
    struct spool_chunk *spare; /* owned; a big one for the next that needs one, while any is used */
};

struct spool {
    struct list node;
    struct spool_pool *pool; /* borrowed */
    struct list chunks;      /* owned; the oldest first */
    struct list readers;     /* struct spool_reader.node */
    size_t used;             /* bytes of memory */
    size_t bound;
    bool sealed;
    uint64_t begin[SPOOL_KINDS]; /* of the oldest byte kept */
    uint64_t end[SPOOL_KINDS];   /* of the next byte to come */
};

/* A place in a spool; lies in the reader's own struct. */
struct spool_reader {
    struct list node;
    struct spool *spool;       /* borrowed until spool_reader_close */
    struct spool_chunk *chunk; /* borrowed; NULL: there was none yet */
    size_t at;                 /* in the chunk: of a run */
    size_t taken;              /* of this run */
    uint64_t here[SPOOL_KINDS];
    uint64_t wanted[SPOOL_KINDS]; /* bytes before it are skipped */
};

void spool_pool_init(struct spool_pool *pool);

/* No memory is taken before there is output. bound is from SPOOL_MIN to SPOOL_MAX. At
 * most SPOOLS_OPEN_MAX spools of a pool are not sealed. */
void spool_open(struct spool *spool, struct spool_pool *pool, size_t bound);
/* Its readers must be closed. Accepts one that was never opened (zero). */
void spool_close(struct spool *spool);

/* Where output of this kind may be read to, and how much of it. NULL when the spool is full of what
 * an open reader has not had, or when there is no memory. */
char *spool_reserve(struct spool *spool, unsigned kind, size_t *room);
/* So much of it was filled; over 0. */
void spool_commit(struct spool *spool, unsigned kind, size_t len);

/* Whether some open reader has not had everything. */
bool spool_waits_for_reader(struct spool *spool);

/* Nothing more will be written. */
void spool_seal(struct spool *spool);
/* Drops the oldest output that no open reader needs until at most so much memory is used. */
void spool_trim(struct spool *spool, size_t max);

/* Begins at these offsets, each at most spool->end. What is not kept any more is left out. */
void spool_reader_open(struct spool_reader *reader, struct spool *spool,
                       const uint64_t from[SPOOL_KINDS]);
/* Accepts one that was never opened or is closed. */
void spool_reader_close(struct spool_reader *reader);

/* The next bytes for a reader, all of one kind, at most max and SPOOL_READ_MAX; false when it has
 * had everything. They stay until spool_reader_advance. */
bool spool_read(struct spool_reader *reader, size_t max, unsigned *kind, struct view *bytes);
/* The first len of them are done with. */
void spool_reader_advance(struct spool_reader *reader, unsigned kind, size_t len);

#endif
