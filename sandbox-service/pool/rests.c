#include "sandbox-service/pool/rests.h"

enum {
    FIRST_MS = 2000,
    DOUBLINGS_MAX = 7, /* to about four minutes */
};

static bool is_same(const struct pool_kind *a, const struct pool_kind *b)
{
    return a->tier == b->tier && strcmp(a->template_name, b->template_name) == 0 &&
           strcmp(a->network, b->network) == 0;
}

/* The place of the kind; without one, a free place or the one that is free first. */
static size_t find(const struct pool_rests *rests, const struct pool_kind *kind)
{
    size_t place = 0;
    for (size_t i = 0; i < POOL_KINDS_MAX; i++) {
        const struct pool_rest *rest = &rests->items[i];
        if (rest->failures > 0 && is_same(&rest->kind, kind)) {
            return i;
        }
        if (rest->until_ms < rests->items[place].until_ms) {
            place = i;
        }
    }
    return place;
}

static bool has(const struct pool_rest *rest, const struct pool_kind *kind)
{
    return rest->failures > 0 && is_same(&rest->kind, kind);
}

int64_t pool_rests_note(struct pool_rests *rests, const struct pool_kind *kind, int64_t now_ms)
{
    struct pool_rest *rest = &rests->items[find(rests, kind)];
    int before = has(rest, kind) ? rest->failures : 0;
    int64_t wait_ms = (int64_t)FIRST_MS << (before < DOUBLINGS_MAX ? before : DOUBLINGS_MAX);
    *rest = (struct pool_rest){.kind = *kind, .failures = before + 1, .until_ms = now_ms + wait_ms};
    return wait_ms;
}

void pool_rests_forget(struct pool_rests *rests, const struct pool_kind *kind)
{
    struct pool_rest *rest = &rests->items[find(rests, kind)];
    if (has(rest, kind)) {
        *rest = (struct pool_rest){0};
    }
}

bool pool_rests_has(const struct pool_rests *rests, const struct pool_kind *kind, int64_t now_ms)
{
    const struct pool_rest *rest = &rests->items[find(rests, kind)];
    return has(rest, kind) && now_ms < rest->until_ms;
}
