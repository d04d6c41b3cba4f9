#include "common/base/map.h"

#include "common/base/secret.h"

#include <assert.h>
#include <stdlib.h>

enum { MAP_FIRST_BUCKETS = 64 };

static uint64_t mix(uint64_t hash)
{
    hash ^= hash >> 32U;
    hash *= 0xd6e8feb86659fd93U;
    hash ^= hash >> 32U;
    return hash;
}

static uint64_t hash_bytes(uint64_t seed, struct view key)
{
    uint64_t hash = seed ^ mix(key.len);
    while (key.len > 0) {
        uint64_t word = 0;
        size_t take = key.len < sizeof word ? key.len : sizeof word;
        memcpy(&word, key.ptr, take);
        hash = mix(hash ^ word) + seed;
        key = view_from(key, take);
    }
    return mix(hash);
}

bool map_init(struct map *map, struct err *err)
{
    *map = (struct map){.bucket_count = MAP_FIRST_BUCKETS};
    if (!secret_random(&map->seed, sizeof map->seed, err)) {
        return false;
    }
    map->buckets = calloc(map->bucket_count, sizeof(struct map_node *));
    return map->buckets != NULL || err_set(err, ERR_INTERNAL, "map: out of memory");
}

void map_free(struct map *map)
{
    free((void *)map->buckets);
    *map = (struct map){0};
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

struct map_node *map_find(const struct map *map, struct view key)
{
    if (map->count == 0) {
        return NULL;
    }
    uint64_t hash = hash_bytes(map->seed, key);
    for (struct map_node *node = *bucket_of(map, hash); node != NULL; node = node->next) {
        if (node->hash == hash && view_equal(node->key, key)) {
            return node;
        }
    }
    return NULL;
}

static void grow(struct map *map)
{
    struct map larger = *map;
    larger.bucket_count = map->bucket_count * 2;
    larger.buckets = calloc(larger.bucket_count, sizeof(struct map_node *));
    if (larger.buckets == NULL) {
        return;
    }
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_node *next;
        for (struct map_node *node = map->buckets[i]; node != NULL; node = next) {
            next = node->next;
            struct map_node **bucket = bucket_of(&larger, node->hash);
            node->next = *bucket;
            *bucket = node;
        }
    }
    free((void *)map->buckets);
    *map = larger;
}

void map_insert(struct map *map, struct map_node *node, struct view key)
{
    assert(!node->mapped);
    if (map->count >= map->bucket_count) {
        grow(map);
    }
    node->key = key;
    node->hash = hash_bytes(map->seed, key);
    node->mapped = true;
    struct map_node **bucket = bucket_of(map, node->hash);
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    if (!node->mapped) {
        return;
    }
    struct map_node **link = bucket_of(map, node->hash);
    while (*link != node) {
        link = &(*link)->next;
    }
    *link = node->next;
    *node = (struct map_node){0};
    map->count--;
}

uint64_t map_hash(const struct map *map, struct view bytes)
{
    return hash_bytes(map->seed, bytes);
}

void map_each(struct map *map, void (*visit)(struct map_node *node, void *arg), void *arg)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_node *next;
        for (struct map_node *node = map->buckets[i]; node != NULL; node = next) {
            next = node->next;
            visit(node, arg);
        }
    }
}
