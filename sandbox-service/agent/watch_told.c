#include "sandbox-service/agent/watch_told.h"

#include "sandbox-service/agent/path.h"

#include <stdlib.h>

/* The folder's number and the name, without a NUL. */
struct key {
    char bytes[sizeof(int) + PATH_COMPONENT_MAX];
    size_t len;
};

struct told_name {
    struct map_node by_key;
    struct list node;
    uint64_t until;
    char key[];
};

static struct key key_of(int number, const char *name)
{
    struct key key;
    size_t len = strnlen(name, PATH_COMPONENT_MAX);
    memcpy(key.bytes, &number, sizeof number);
    memcpy(key.bytes + sizeof number, name, len);
    key.len = sizeof number + len;
    return key;
}

bool watch_told_init(struct watch_told *told, struct err *err)
{
    list_init(&told->fresh);
    list_init(&told->settled);
    return map_init(&told->names, err);
}

static void free_name(struct watch_told *told, struct told_name *name)
{
    map_remove(&told->names, &name->by_key);
    list_remove(&name->node);
    free(name);
}

void watch_told_clear(struct watch_told *told)
{
    if (told->names.buckets == NULL) {
        return;
    }
    list_append_all(&told->settled, &told->fresh);
    while (!list_is_empty(&told->settled)) {
        free_name(told, LIST_ENTRY(told->settled.next, struct told_name, node));
    }
}

void watch_told_free(struct watch_told *told)
{
    watch_told_clear(told);
    map_free(&told->names);
}

void watch_told_add(struct watch_told *told, int number, const char *name)
{
    struct key key = key_of(number, name);
    const struct view text = {key.bytes, key.len};
    if (told->names.count >= WATCH_TOLD_MAX || map_find(&told->names, text) != NULL) {
        return;
    }
    struct told_name *entry = calloc(1, sizeof *entry + key.len);
    if (entry == NULL) {
        return;
    }
    memcpy(entry->key, key.bytes, key.len);
    map_insert(&told->names, &entry->by_key, (struct view){entry->key, key.len});
    list_append(&told->fresh, &entry->node);
}

void watch_told_settle(struct watch_told *told, uint64_t position)
{
    struct list *node;
    while ((node = list_pop(&told->fresh)) != NULL) {
        LIST_ENTRY(node, struct told_name, node)->until = position;
        list_append(&told->settled, node);
    }
}

void watch_told_expire(struct watch_told *told, uint64_t position)
{
    while (!list_is_empty(&told->settled)) {
        struct told_name *first = LIST_ENTRY(told->settled.next, struct told_name, node);
        if (first->until > position) {
            return;
        }
        free_name(told, first);
    }
}

bool watch_told_forget(struct watch_told *told, int number, const char *name)
{
    struct key key = key_of(number, name);
    struct map_node *node = map_find(&told->names, (struct view){key.bytes, key.len});
    if (node == NULL) {
        return false;
    }
    free_name(told, MAP_ENTRY(node, struct told_name, by_key));
    return true;
}
