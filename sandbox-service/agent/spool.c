#include "sandbox-service/agent/spool.h"

#include "common/base/cleanup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CHUNK_MIN = 1024,
    CHUNK_MAX = SPOOL_READ_MAX + 4096, /* a whole pipe and the overhead, in whole pages */
    BOUND_CHUNKS = 4,                  /* a bound holds at least so many chunks */
};

/* A piece of memory with runs of output one behind the other: a struct run, then its bytes. */
struct spool_chunk {
    struct list node;
    size_t size; /* of the memory, this header included */
    size_t used; /* of bytes */
    size_t last; /* the last run; only when used > 0 */
    char bytes[];
};

struct run {
    uint32_t kind;
    uint32_t len;
};

enum { ROOM_MIN = SPOOL_ROOM_MIN + sizeof(struct run) }; /* for less a new chunk is begun */

static struct run run_at(const struct spool_chunk *chunk, size_t at)
{
    struct run run;
    memcpy(&run, chunk->bytes + at, sizeof run);
    return run;
}

static size_t room_of(const struct spool_chunk *chunk)
{
    return chunk->size - sizeof *chunk - chunk->used;
}

static struct spool_chunk *chunk_of(struct list *node)
{
    return LIST_ENTRY(node, struct spool_chunk, node);
}

static struct spool_chunk *oldest(struct spool *spool)
{
    return list_is_empty(&spool->chunks) ? NULL : chunk_of(spool->chunks.next);
}

static struct spool_chunk *newest(struct spool *spool)
{
    return list_is_empty(&spool->chunks) ? NULL : chunk_of(spool->chunks.previous);
}

static size_t shared_of(const struct spool *spool)
{
    size_t reserve = spool->sealed ? 0 : SPOOL_RESERVE;
    return spool->used <= reserve ? 0 : spool->used - reserve;
}

/* used changes nowhere else. */
static void account(struct spool *spool, size_t before, size_t after)
{
    struct spool_pool *pool = spool->pool;
    pool->shared -= shared_of(spool);
    pool->used = pool->used - before + after;
    spool->used = spool->used - before + after;
    pool->shared += shared_of(spool);
}

/* Big ones are mapped, so that their memory goes back to the kernel whatever lies around them. */
static struct spool_chunk *new_chunk(struct spool_pool *pool, size_t size)
{
    if (size < CHUNK_MAX) {
        return malloc(size);
    }
    if (pool->spare != NULL) {
        return TAKE(pool->spare);
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap_spare(struct spool_pool *pool)
{
    if (pool->spare != NULL) {
        (void)munmap(pool->spare, CHUNK_MAX);
        pool->spare = NULL;
    }
}

/* A spool that is full drops a chunk to begin another: it gets the same memory. */
static void free_chunk(struct spool_pool *pool, struct spool_chunk *chunk)
{
    if (chunk->size < CHUNK_MAX) {
        free(chunk);
    } else {
        unmap_spare(pool);
        pool->spare = chunk;
    }
    if (pool->used == 0) {
        unmap_spare(pool);
    }
}

void spool_pool_init(struct spool_pool *pool)
{
    *pool = (struct spool_pool){.used = 0};
    list_init(&pool->spools);
}

void spool_open(struct spool *spool, struct spool_pool *pool, size_t bound)
{
    assert(bound >= SPOOL_MIN && bound <= SPOOL_MAX);
    *spool = (struct spool){.pool = pool, .bound = bound};
    list_init(&spool->chunks);
    list_init(&spool->readers);
    list_append(&pool->spools, &spool->node);
}

void spool_close(struct spool *spool)
{
    if (spool->pool == NULL) {
        return;
    }
    assert(list_is_empty(&spool->readers));
    spool_seal(spool);
    spool_trim(spool, 0);
    list_remove(&spool->node);
    spool->pool = NULL;
}

/* Puts a reader that is through with its chunk into the next one, if there is one. */
static void settle(struct spool_reader *reader)
{
    if (reader->chunk == NULL) {
        reader->chunk = oldest(reader->spool);
        return;
    }
    struct list *next = reader->chunk->node.next;
    if (reader->at == reader->chunk->used && next != &reader->spool->chunks) {
        reader->chunk = chunk_of(next);
        reader->at = 0;
    }
}

/* Moves over what is not wanted; false at the end. */
static bool find_wanted(struct spool_reader *reader, struct run *run)
{
    for (settle(reader); reader->chunk != NULL && reader->at < reader->chunk->used;
         settle(reader)) {
        *run = run_at(reader->chunk, reader->at);
        uint64_t rest = run->len - reader->taken;
        uint64_t here = reader->here[run->kind];
        uint64_t wanted = reader->wanted[run->kind];
        uint64_t skipped = wanted <= here ? 0 : wanted - here;
        skipped = skipped < rest ? skipped : rest;
        reader->here[run->kind] += skipped;
        reader->taken += skipped;
        /* The newest run may still grow. */
        bool is_open = reader->chunk == newest(reader->spool) && reader->at == reader->chunk->last;
        if (reader->taken < run->len) {
            return true;
        }
        if (is_open) {
            return false;
        }
        reader->at += sizeof *run + run->len;
        reader->taken = 0;
    }
    return false;
}

static bool may_drop(struct spool *spool, const struct spool_chunk *chunk)
{
    struct run run;
    for (LIST_EACH(node, &spool->readers)) {
        struct spool_reader *reader = LIST_ENTRY(node, struct spool_reader, node);
        bool has_more = find_wanted(reader, &run);
        bool is_through = !has_more && chunk == newest(spool);
        if (reader->chunk == chunk && !is_through) {
            return false;
        }
    }
    return true;
}

/* Readers that stand in it have had it all, and go on with what comes. */
static void drop(struct spool *spool, struct spool_chunk *chunk)
{
    for (LIST_EACH(node, &spool->readers)) {
        struct spool_reader *reader = LIST_ENTRY(node, struct spool_reader, node);
        if (reader->chunk == chunk) {
            reader->chunk = NULL;
            reader->at = 0;
            reader->taken = 0;
        }
    }
    for (size_t at = 0; at < chunk->used;) {
        struct run run = run_at(chunk, at);
        spool->begin[run.kind] += run.len;
        at += sizeof run + run.len;
    }
    list_remove(&chunk->node);
    account(spool, chunk->size, 0);
    free_chunk(spool->pool, chunk);
}

static bool drop_oldest(struct spool *spool)
{
    struct spool_chunk *chunk = oldest(spool);
    if (chunk == NULL || !may_drop(spool, chunk)) {
        return false;
    }
    drop(spool, chunk);
    return true;
}

void spool_trim(struct spool *spool, size_t max)
{
    while (spool->used > max && drop_oldest(spool)) {
    }
}

bool spool_waits_for_reader(struct spool *spool)
{
    struct run run;
    for (LIST_EACH(node, &spool->readers)) {
        if (find_wanted(LIST_ENTRY(node, struct spool_reader, node), &run)) {
            return true;
        }
    }
    return false;
}

void spool_seal(struct spool *spool)
{
    spool->pool->shared -= shared_of(spool);
    spool->sealed = true;
    spool->pool->shared += shared_of(spool);
}

static bool pool_has(const struct spool *spool, size_t size)
{
    size_t after = spool->used + size;
    size_t more = after <= SPOOL_RESERVE ? 0 : after - SPOOL_RESERVE - shared_of(spool);
    return more == 0 || spool->pool->shared + more <= SPOOLS_SHARED_MAX;
}

/* The one that has most, when that is more than this one would have. */
static struct spool *richest(struct spool *spool, size_t size)
{
    struct spool *found = NULL;
    size_t most = spool->used + size;
    for (LIST_EACH(node, &spool->pool->spools)) {
        struct spool *other = LIST_ENTRY(node, struct spool, node);
        if (other != spool && other->used > most && may_drop(other, oldest(other))) {
            found = other;
            most = other->used;
        }
    }
    return found;
}

/* Makes room for a chunk within the bound of this spool and of all. */
static bool make_room(struct spool *spool, size_t size)
{
    while (spool->used + size > spool->bound) {
        if (!drop_oldest(spool)) {
            return false;
        }
    }
    while (!pool_has(spool, size)) {
        struct spool *other = richest(spool, size);
        if (!drop_oldest(other != NULL ? other : spool)) {
            return false;
        }
    }
    return true;
}

/* They grow with what there is, so that little output takes little memory. */
static size_t next_size(const struct spool *spool)
{
    size_t most = spool->bound / BOUND_CHUNKS;
    size_t size = CHUNK_MIN;
    while (size < spool->used && size < SPOOL_READ_MAX) {
        size *= 2;
    }
    size = size < SPOOL_READ_MAX ? size : CHUNK_MAX;
    return size < most ? size : most;
}

static struct spool_chunk *add_chunk(struct spool *spool)
{
    size_t size = next_size(spool);
    if (!make_room(spool, size)) {
        size = CHUNK_MIN;
        if (!make_room(spool, size)) {
            return NULL;
        }
    }
    struct spool_chunk *chunk = new_chunk(spool->pool, size);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct spool_chunk){.size = size};
    list_append(&spool->chunks, &chunk->node);
    account(spool, 0, size);
    return chunk;
}

static bool continues(const struct spool_chunk *chunk, unsigned kind)
{
    return chunk->used > 0 && run_at(chunk, chunk->last).kind == kind;
}

char *spool_reserve(struct spool *spool, unsigned kind, size_t *room)
{
    struct spool_chunk *chunk = newest(spool);
    assert(!spool->sealed && kind < SPOOL_KINDS);
    if (chunk == NULL || room_of(chunk) < ROOM_MIN) {
        chunk = add_chunk(spool);
    }
    if (chunk == NULL) {
        return NULL;
    }
    size_t header = continues(chunk, kind) ? 0 : sizeof(struct run);
    *room = room_of(chunk) - header;
    return chunk->bytes + chunk->used + header;
}

void spool_commit(struct spool *spool, unsigned kind, size_t len)
{
    struct spool_chunk *chunk = newest(spool);
    struct run run = {.kind = kind};
    if (continues(chunk, kind)) {
        run = run_at(chunk, chunk->last);
    } else {
        chunk->last = chunk->used;
        chunk->used += sizeof run;
    }
    run.len += (uint32_t)len;
    memcpy(chunk->bytes + chunk->last, &run, sizeof run);
    chunk->used += len;
    spool->end[kind] += len;
}

void spool_reader_open(struct spool_reader *reader, struct spool *spool,
                       const uint64_t from[SPOOL_KINDS])
{
    *reader = (struct spool_reader){.spool = spool};
    for (unsigned kind = 0; kind < SPOOL_KINDS; kind++) {
        assert(from[kind] <= spool->end[kind]);
        reader->here[kind] = spool->begin[kind];
        reader->wanted[kind] = from[kind];
    }
    list_append(&spool->readers, &reader->node);
}

void spool_reader_close(struct spool_reader *reader)
{
    list_remove(&reader->node);
    reader->spool = NULL;
}

bool spool_read(struct spool_reader *reader, size_t max, unsigned *kind, struct view *bytes)
{
    struct run run;
    max = max < SPOOL_READ_MAX ? max : SPOOL_READ_MAX;
    if (max == 0 || !find_wanted(reader, &run)) {
        return false;
    }
    size_t rest = run.len - reader->taken;
    *kind = run.kind;
    bytes->ptr = reader->chunk->bytes + reader->at + sizeof run + reader->taken;
    bytes->len = rest < max ? rest : max;
    return true;
}

void spool_reader_advance(struct spool_reader *reader, unsigned kind, size_t len)
{
    reader->taken += len;
    reader->here[kind] += len;
    reader->wanted[kind] =
        reader->here[kind] > reader->wanted[kind] ? reader->here[kind] : reader->wanted[kind];
}
