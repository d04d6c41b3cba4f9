#include "gateway/cache/sandbox_cache.h"

#include "common/contracts/sandbox.h"
#include "gateway/cache/known.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUESTION_SIZE = ID_SIZE + 32 };

struct entry {
    struct known_entry known;
    struct sandbox_meta meta;
};

struct sandbox_cache {
    struct known known;
};

struct sandbox_fetch {
    struct known_ask ask;
    sandbox_fetch_fn *done;
    void *arg;
};

static struct known_entry *read_entry(struct view key, const struct view *body, struct err *err)
{
    (void)key;
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        err_set(err, ERR_INTERNAL, "sandbox cache: out of memory");
        return NULL;
    }
    if (!sandbox_meta_read(*body, &entry->meta, err)) {
        free(entry);
        return NULL;
    }
    return &entry->known;
}

static const struct known_kind kind = {
    .method = SANDBOX_GET,
    .found = {SANDBOX_CACHE_TTL_MS, SANDBOX_CACHE_ENTRIES_MAX},
    .read = read_entry,
};

static const struct sandbox_meta *meta_of(const struct known_entry *entry)
{
    return entry == NULL ? NULL : &((const struct entry *)entry)->meta;
}

struct sandbox_cache *sandbox_cache_new(struct ipc_client *sandbox_service, struct err *err)
{
    struct sandbox_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "sandbox cache: out of memory");
        return NULL;
    }
    if (!known_open(&cache->known, &kind, sandbox_service, err)) {
        sandbox_cache_free(cache);
        return NULL;
    }
    return cache;
}

void sandbox_cache_free(struct sandbox_cache *cache)
{
    if (cache != NULL) {
        known_close(&cache->known);
        free(cache);
    }
}

const struct sandbox_meta *sandbox_cache_find(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    return meta_of(known_find(&cache->known, view_of(id)));
}

bool sandbox_meta_read(struct view body, struct sandbox_meta *out, struct err *err)
{
    struct sandbox_info info;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &sandbox_info_schema, &info, NULL, err);
    *out = (struct sandbox_meta){0};
    if (doc == NULL || !view_copy(info.status, out->status, sizeof out->status) ||
        !view_copy(info.end_reason, out->end_reason, sizeof out->end_reason) ||
        !view_copy(info.tier, out->tier, sizeof out->tier) ||
        !view_copy(info.created_at, out->created_at, sizeof out->created_at) ||
        !view_copy(info.expires_at, out->expires_at, sizeof out->expires_at) ||
        !view_copy(info.warned_of, out->warned_of, sizeof out->warned_of) ||
        !view_copy(info.ended_at, out->ended_at, sizeof out->ended_at) ||
        !view_copy(info.container.status, out->container_status, sizeof out->container_status)) {
        return err_set(err, ERR_INTERNAL, "sandbox-service answered nonsense");
    }
    if (info.container.error.len >= sizeof out->container_error) {
        info.container.error.len = sizeof out->container_error - 1;
    }
    (void)view_copy(info.container.error, out->container_error, sizeof out->container_error);
    memcpy(out->id, info.sandbox_id, ID_SIZE);
    memcpy(out->user_id, info.user_id, ID_SIZE);
    out->has_start = info.has_start;
    out->is_live = sandbox_status_is_live(info.status);
    out->limits = (struct resource_limits){.memory_mb = info.memory_mb,
                                           .cpu_milli = info.cpu_milli,
                                           .pids = info.pids,
                                           .disk_mb = info.disk_mb,
                                           .lifetime_hours = info.lifetime_hours};
    out->container_running = info.container.running;
    out->exit_code = info.container.exit_code;
    return true;
}

static void on_answer(const struct known_entry *entry, const struct err *err, struct known_ask *ask)
{
    const struct sandbox_fetch fetch = *(struct sandbox_fetch *)ask;
    free(ask);
    fetch.done(meta_of(entry), err, fetch.arg);
}

/* Points into id and body. */
static struct known_question question_about(const char id[ID_SIZE], char body[QUESTION_SIZE],
                                            const struct trace *trace)
{
    int length = snprintf(body, QUESTION_SIZE, "{\"sandboxId\":\"%s\"}", id);
    return (struct known_question){
        .key = view_of(id), .body = {body, (size_t)length}, .trace = trace};
}

struct sandbox_fetch *sandbox_fetch_begin(struct sandbox_cache *cache, const char id[ID_SIZE],
                                          const struct trace *trace, sandbox_fetch_fn *done,
                                          void *arg, struct err *err)
{
    char body[QUESTION_SIZE];
    const struct known_question question = question_about(id, body, trace);
    struct sandbox_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        err_set(err, ERR_INTERNAL, "sandbox fetch: out of memory");
        return NULL;
    }
    fetch->done = done;
    fetch->arg = arg;
    if (!known_ask(&cache->known, &fetch->ask, &question, on_answer, err)) {
        free(fetch);
        return NULL;
    }
    return fetch;
}

void sandbox_fetch_cancel(struct sandbox_fetch *fetch)
{
    known_cancel(&fetch->ask);
    free(fetch);
}

void sandbox_cache_prefetch(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    char body[QUESTION_SIZE];
    const struct known_question question = question_about(id, body, NULL);
    known_prefetch(&cache->known, &question);
}

void sandbox_cache_forget(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    known_forget(&cache->known, view_of(id));
}

void sandbox_cache_set_trusted(struct sandbox_cache *cache, bool trusted)
{
    known_set_trusted(&cache->known, trusted);
}
