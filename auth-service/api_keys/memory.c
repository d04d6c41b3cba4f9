#include "auth-service/api_keys/memory.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/map.h"

#include <stdlib.h>

struct entry {
    struct map_node by_hmac;
    struct list by_use;
    uint8_t hmac[API_KEY_HASH_LEN];
    char key_id[ID_SIZE];
    int64_t until_ms; /* monotonic */
};

struct key_memory {
    struct map entries;
    struct list by_use; /* the least recently used first */
    size_t limit;
    int64_t ttl_ms;
};

static struct view hmac_view(const uint8_t hmac[API_KEY_HASH_LEN])
{
    return (struct view){(const char *)hmac, API_KEY_HASH_LEN};
}

struct key_memory *key_memory_new(size_t limit, int64_t ttl_ms, struct err *err)
{
    struct key_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        err_set(err, ERR_INTERNAL, "key memory: out of memory");
        return NULL;
    }
    memory->limit = limit;
    memory->ttl_ms = ttl_ms;
    list_init(&memory->by_use);
    if (!map_init(&memory->entries, err)) {
        free(memory);
        return NULL;
    }
    return memory;
}

static void forget(struct key_memory *memory, struct entry *entry)
{
    map_remove(&memory->entries, &entry->by_hmac);
    list_remove(&entry->by_use);
    free(entry);
}

void key_memory_free(struct key_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    for (LIST_EACH(node, &memory->by_use)) {
        forget(memory, LIST_ENTRY(node, struct entry, by_use));
    }
    map_free(&memory->entries);
    free(memory);
}

static struct entry *find(struct key_memory *memory, const uint8_t hmac[API_KEY_HASH_LEN])
{
    struct map_node *node = map_find(&memory->entries, hmac_view(hmac));
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, by_hmac);
}

void key_memory_add(struct key_memory *memory, const uint8_t hmac[API_KEY_HASH_LEN],
                    const char key_id[ID_SIZE])
{
    struct entry *entry = find(memory, hmac);
    if (entry != NULL) {
        forget(memory, entry);
    }
    if (memory->entries.count >= memory->limit) {
        forget(memory, LIST_ENTRY(memory->by_use.next, struct entry, by_use));
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return;
    }
    memcpy(entry->hmac, hmac, sizeof entry->hmac);
    memcpy(entry->key_id, key_id, sizeof entry->key_id);
    entry->until_ms = clock_monotonic_ms() + memory->ttl_ms;
    map_insert(&memory->entries, &entry->by_hmac, hmac_view(entry->hmac));
    list_append(&memory->by_use, &entry->by_use);
}

bool key_memory_has(struct key_memory *memory, const uint8_t hmac[API_KEY_HASH_LEN],
                    const char key_id[ID_SIZE])
{
    struct entry *entry = find(memory, hmac);
    if (entry == NULL) {
        return false;
    }
    if (entry->until_ms <= clock_monotonic_ms()) {
        forget(memory, entry);
        return false;
    }
    list_remove(&entry->by_use);
    list_append(&memory->by_use, &entry->by_use);
    return strcmp(entry->key_id, key_id) == 0;
}
