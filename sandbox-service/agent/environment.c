#include "sandbox-service/agent/environment.h"

#include <stdlib.h>

enum { FIRST_CAPACITY = 32 };

static char **find(const struct environment *env, struct view name)
{
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name.ptr, name.len) == 0 && env->items[i][name.len] == '=') {
            return &env->items[i];
        }
    }
    return NULL;
}

static bool make_room(struct environment *env, struct err *err)
{
    if (env->count >= ENVIRONMENT_ITEMS_MAX) {
        return err_set(err, ERR_LIMIT, "more than %d environment variables", ENVIRONMENT_ITEMS_MAX);
    }
    if (env->count + 1 < env->capacity) {
        return true;
    }
    size_t capacity = env->capacity == 0 ? FIRST_CAPACITY : env->capacity * 2;
    char **items = realloc(env->items, capacity * sizeof *items);
    if (items == NULL) {
        return err_set(err, ERR_INTERNAL, "environment: out of memory");
    }
    env->items = items;
    env->capacity = capacity;
    return true;
}

bool environment_set(struct environment *env, struct view name, struct view value, struct err *err)
{
    char *item = malloc(name.len + value.len + 2);
    if (item == NULL) {
        return err_set(err, ERR_INTERNAL, "environment: out of memory");
    }
    memcpy(item, name.ptr, name.len);
    item[name.len] = '=';
    if (value.len > 0) {
        memcpy(item + name.len + 1, value.ptr, value.len);
    }
    item[name.len + 1 + value.len] = '\0';
    char **earlier = find(env, name);
    if (earlier != NULL) {
        free(*earlier);
        *earlier = item;
        return true;
    }
    if (!make_room(env, err)) {
        free(item);
        return false;
    }
    env->items[env->count++] = item;
    env->items[env->count] = NULL;
    return true;
}

bool environment_set_pairs(struct environment *env, const struct json_pairs *pairs, struct err *err)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (!environment_set(env, pairs->items[i].name, pairs->items[i].value, err)) {
            return false;
        }
    }
    return true;
}

bool environment_set_all(struct environment *env, const struct environment *other, struct err *err)
{
    for (size_t i = 0; i < other->count; i++) {
        const char *item = other->items[i];
        const char *equals = strchr(item, '=');
        struct view name = {item, (size_t)(equals - item)};
        if (!environment_set(env, name, view_of(equals + 1), err)) {
            return false;
        }
    }
    return true;
}

const char *environment_get(const struct environment *env, const char *name)
{
    char **item = find(env, view_of(name));
    return item == NULL ? NULL : *item + strlen(name) + 1;
}

void environment_free(struct environment *env)
{
    for (size_t i = 0; i < env->count; i++) {
        free(env->items[i]);
    }
    free(env->items);
    *env = (struct environment){0};
}
