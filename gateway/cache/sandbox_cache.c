#include "gateway/cache/sandbox_cache.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/contracts/sandbox.h"
#include "common/ipc/client.h"

#include <stdio.h>
#include <stdlib.h>

enum { FETCH_TIMEOUT_MS = 10 * 1000 };

struct entry {
    struct map_node node; /* by meta.id */
    struct list age;      /* oldest first */
    int64_t expires_ms;
    struct sandbox_meta meta;
};

struct sandbox_cache {
    struct ipc_client *sandbox_service; /* borrowed */
    struct map entries;
    struct list ages;
    struct list prefetches;
    bool trusted;
    uint64_t generation; /* moves with every invalidation: answers asked for before are not kept */
};

struct sandbox_fetch {
    struct list prefetch;        /* linked when nobody waits for it */
    struct sandbox_cache *cache; /* borrowed */
    struct ipc_call *call;
    uint64_t generation;
    sandbox_fetch_fn *done;
    void *arg;
};

struct sandbox_cache *sandbox_cache_new(struct ipc_client *sandbox_service, struct err *err)
{
    struct sandbox_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "sandbox cache: out of memory");
        return NULL;
    }
    cache->sandbox_service = sandbox_service;
    list_init(&cache->ages);
    list_init(&cache->prefetches);
    if (!map_init(&cache->entries, err)) {
        sandbox_cache_free(cache);
        return NULL;
    }
    return cache;
}

static void drop(struct sandbox_cache *cache, struct entry *entry)
{
    map_remove(&cache->entries, &entry->node);
    list_remove(&entry->age);
    free(entry);
}

static void drop_all(struct sandbox_cache *cache)
{
    for (LIST_EACH(node, &cache->ages)) {
        drop(cache, LIST_ENTRY(node, struct entry, age));
    }
}

void sandbox_cache_free(struct sandbox_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    drop_all(cache);
    for (LIST_EACH(node, &cache->prefetches)) {
        sandbox_fetch_cancel(LIST_ENTRY(node, struct sandbox_fetch, prefetch));
    }
    map_free(&cache->entries);
    free(cache);
}

static struct entry *find(const struct sandbox_cache *cache, const char *id)
{
    struct map_node *node = map_find(&cache->entries, view_of(id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, node);
}

const struct sandbox_meta *sandbox_cache_find(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    struct entry *entry = cache->trusted ? find(cache, id) : NULL;
    if (entry == NULL) {
        return NULL;
    }
    if (entry->expires_ms <= clock_monotonic_ms()) {
        drop(cache, entry);
        return NULL;
    }
    return &entry->meta;
}

static void remember(struct sandbox_cache *cache, const struct sandbox_meta *meta)
{
    struct entry *entry = find(cache, meta->id);
    if (entry != NULL) {
        drop(cache, entry);
    } else if (cache->entries.count >= SANDBOX_CACHE_ENTRIES_MAX) {
        drop(cache, LIST_ENTRY(cache->ages.next, struct entry, age));
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return; /* Only slower. */
    }
    entry->meta = *meta;
    entry->expires_ms = clock_monotonic_ms() + SANDBOX_CACHE_TTL_MS;
    map_insert(&cache->entries, &entry->node, view_of(entry->meta.id));
    list_append(&cache->ages, &entry->age);
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
    out->is_live = sandbox_status_is_live(info.status);
    out->memory_mb = info.memory_mb;
    out->cpu_milli = info.cpu_milli;
    out->lifetime_hours = info.lifetime_hours;
    out->container_running = info.container.running;
    out->exit_code = info.container.exit_code;
    return true;
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct sandbox_fetch *fetch = arg;
    struct sandbox_meta meta;
    struct err failure = {0};
    if (err == NULL && !sandbox_meta_read(*body, &meta, &failure)) {
        err = &failure;
    }
    if (err == NULL && fetch->cache->trusted && fetch->generation == fetch->cache->generation) {
        remember(fetch->cache, &meta);
    }
    if (fetch->done != NULL) {
        fetch->done(err == NULL ? &meta : NULL, err, fetch->arg);
    }
    list_remove(&fetch->prefetch);
    free(fetch);
}

struct sandbox_fetch *sandbox_fetch_begin(struct sandbox_cache *cache, const char id[ID_SIZE],
                                          const char *request_id, sandbox_fetch_fn *done, void *arg,
                                          struct err *err)
{
    struct sandbox_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        err_set(err, ERR_INTERNAL, "sandbox fetch: out of memory");
        return NULL;
    }
    fetch->cache = cache;
    fetch->generation = cache->generation;
    fetch->done = done;
    fetch->arg = arg;
    char body[ID_SIZE + 32];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", id);
    const struct ipc_call_options options = {.method = SANDBOX_GET,
                                             .request_id = request_id,
                                             .timeout_ms = FETCH_TIMEOUT_MS,
                                             .repeatable = true};
    fetch->call = ipc_call_begin(cache->sandbox_service, &options,
                                 (struct view){body, (size_t)length}, on_reply, fetch, err);
    if (fetch->call == NULL) {
        free(fetch);
        return NULL;
    }
    return fetch;
}

void sandbox_fetch_cancel(struct sandbox_fetch *fetch)
{
    ipc_call_cancel(fetch->call);
    list_remove(&fetch->prefetch);
    free(fetch);
}

void sandbox_cache_prefetch(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    struct err ignored = {0};
    struct sandbox_fetch *fetch =
        cache->trusted ? sandbox_fetch_begin(cache, id, "", NULL, NULL, &ignored) : NULL;
    if (fetch != NULL) {
        list_append(&cache->prefetches, &fetch->prefetch);
    }
}

void sandbox_cache_forget(struct sandbox_cache *cache, const char id[ID_SIZE])
{
    cache->generation++;
    struct entry *entry = find(cache, id);
    if (entry != NULL) {
        drop(cache, entry);
    }
}

void sandbox_cache_set_trusted(struct sandbox_cache *cache, bool trusted)
{
    cache->generation++;
    cache->trusted = trusted;
    if (!trusted) {
        drop_all(cache);
    }
}
