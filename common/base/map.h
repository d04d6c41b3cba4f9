/* common/base/map.h: a hash map from bytes to objects, through a member of the objects. */
#ifndef COMMON_BASE_MAP_H
#define COMMON_BASE_MAP_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

/* A member of the mapped object; zero while it is in no map. */
struct map_node {
    struct map_node *next;
    struct view key; /* borrowed: lies in the object, must not change while mapped */
    uint64_t hash;
    bool mapped;
};

struct map {
    struct map_node **buckets; /* owned */
    size_t bucket_count;       /* a power of two */
    size_t count;
    uint64_t seed; /* random, so that nobody can aim for one bucket */
};

#define MAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

bool map_init(struct map *map, struct err *err) MUST_CHECK;
/* The objects stay as they are; the map holds none of them any more. */
void map_free(struct map *map);

/* NULL when there is none. */
struct map_node *map_find(const struct map *map, struct view key);
/* The key must not be in the map. Never fails: a map that can't grow gets slower. */
void map_insert(struct map *map, struct map_node *node, struct view key);
/* Does nothing when node is in no map. */
void map_remove(struct map *map, struct map_node *node);

/* The map's own hash of any bytes: the same for the same bytes, and with no other map's seed. */
uint64_t map_hash(const struct map *map, struct view bytes);

/* Calls visit for each node; visit may remove that node from the map, and no other. */
void map_each(struct map *map, void (*visit)(struct map_node *node, void *arg), void *arg);

#endif
