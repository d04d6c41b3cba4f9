/* gateway/cache/sandbox_cache.h: what the sandbox-service says of a sandbox, kept until its row
 * changes (told on the invalidation channel), and for 5 s at most. */
#ifndef GATEWAY_CACHE_SANDBOX_CACHE_H
#define GATEWAY_CACHE_SANDBOX_CACHE_H

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/contracts/quota.h"

#include <stdint.h>

struct ipc_client;
struct sandbox_cache;
struct sandbox_fetch;
struct trace;

enum {
    SANDBOX_CACHE_TTL_MS = 5 * 1000,
    SANDBOX_CACHE_ENTRIES_MAX = 65536,
    SANDBOX_WORD_SIZE = 24,
    SANDBOX_ERROR_SIZE = 160,
};

struct sandbox_meta {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char status[SANDBOX_WORD_SIZE];
    char end_reason[SANDBOX_WORD_SIZE]; /* "" while it lives */
    char tier[SANDBOX_WORD_SIZE];
    char created_at[CLOCK_ISO_SIZE];
    char expires_at[CLOCK_ISO_SIZE]; /* "" while it is paused */
    char warned_of[CLOCK_ISO_SIZE];  /* the end that is near, and announced; "": none */
    char ended_at[CLOCK_ISO_SIZE];   /* "" while it lives */
    bool is_live;                    /* sandbox_status_is_live */
    bool has_start;                  /* its template starts something in it */
    struct resource_limits limits;
    bool container_running;
    char container_status[SANDBOX_WORD_SIZE];
    int64_t exit_code;
    char container_error[SANDBOX_ERROR_SIZE];
};

struct sandbox_cache *sandbox_cache_new(struct ipc_client *sandbox_service,
                                        struct err *err) MUST_CHECK;
/* Every sandbox_fetch that has a caller must be over. */
void sandbox_cache_free(struct sandbox_cache *cache);

/* NULL when it must be fetched. Valid until the loop's next turn. */
const struct sandbox_meta *sandbox_cache_find(struct sandbox_cache *cache, const char id[ID_SIZE]);

/* meta is NULL when err is not: ERR_NOT_FOUND "sandbox_not_found", ERR_UNAVAILABLE, ... */
typedef void sandbox_fetch_fn(const struct sandbox_meta *meta, const struct err *err, void *arg);
/* done comes once, later, on the loop. NULL when it can't begin. */
struct sandbox_fetch *sandbox_fetch_begin(struct sandbox_cache *cache, const char id[ID_SIZE],
                                          const struct trace *trace, sandbox_fetch_fn *done,
                                          void *arg, struct err *err) MUST_CHECK;
void sandbox_fetch_cancel(struct sandbox_fetch *fetch);

/* Asks now for what the next request will want; nobody hears of a failure. */
void sandbox_cache_prefetch(struct sandbox_cache *cache, const char id[ID_SIZE]);

/* Reads a sandbox_info message, of whatever call. */
bool sandbox_meta_read(struct view body, struct sandbox_meta *out, struct err *err) MUST_CHECK;

void sandbox_cache_forget(struct sandbox_cache *cache, const char id[ID_SIZE]);
void sandbox_cache_set_trusted(struct sandbox_cache *cache, bool trusted);

#endif
