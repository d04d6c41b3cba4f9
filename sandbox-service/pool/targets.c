#include "sandbox-service/pool/targets.h"

enum { NUMBER_LEN_MAX = 4 };

static bool is_network(struct view word)
{
    return view_equal(word, VIEW("none")) || view_equal(word, VIEW("open"));
}

static bool is_template(struct view name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    for (size_t i = 0; i < name.len; i++) {
        if (memchr(allowed, name.ptr[i], sizeof allowed - 1) == NULL) {
            return false;
        }
    }
    return name.len > 0 && name.len <= TEMPLATE_NAME_MAX;
}

static bool read_count(struct view text, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
        if (i >= NUMBER_LEN_MAX) {
            return false;
        }
    }
    return text.len > 0 && *out <= POOL_COUNT_MAX;
}

struct pool_kind *pool_kinds_find(struct pool_kinds *kinds, struct view template_name,
                                  struct view network, enum tier tier)
{
    for (size_t i = 0; i < kinds->count; i++) {
        struct pool_kind *kind = &kinds->items[i];
        if (kind->tier == tier && view_equal(view_of(kind->template_name), template_name) &&
            view_equal(view_of(kind->network), network)) {
            return kind;
        }
    }
    struct pool_kind made = {.tier = tier};
    if (kinds->count == POOL_KINDS_MAX ||
        !view_copy(template_name, made.template_name, sizeof made.template_name) ||
        !view_copy(network, made.network, sizeof made.network)) {
        return NULL;
    }
    kinds->items[kinds->count] = made;
    return &kinds->items[kinds->count++];
}

/* One "template[/network[/tier]]=count". */
static bool read_kind(struct view text, const char *default_network, struct pool_kinds *out,
                      const char **what)
{
    struct view count = text;
    struct view tier_word = view_cut(&count, '=');
    struct view name = view_cut(&tier_word, '/');
    struct view network = view_cut(&tier_word, '/');
    enum tier tier = TIER_FREE;
    int64_t floor = 0;
    if (network.len == 0) {
        network = view_of(default_network);
    }
    *what = "must be a list such as base=2,python/none=4,base/open/pro=1";
    if (!is_template(name) || !read_count(count, &floor)) {
        return false;
    }
    *what = "names a network that is neither none nor open, or a tier that is not known";
    if (!is_network(network) || (tier_word.len > 0 && !tier_find(tier_word, &tier))) {
        return false;
    }
    struct pool_kind *kind = pool_kinds_find(out, name, network, tier);
    *what = "names more than 64 kinds";
    if (kind == NULL) {
        return false;
    }
    *what = "names a kind twice";
    bool is_new = kind->floor == 0;
    kind->floor = floor;
    return is_new;
}

bool pool_kinds_read(const char *text, const char *default_network, struct pool_kinds *out,
                     const char **what)
{
    struct view rest = strcmp(text, "none") == 0 ? VIEW("") : view_of(text);
    *out = (struct pool_kinds){0};
    while (rest.len > 0) {
        if (!read_kind(view_cut(&rest, ','), default_network, out, what)) {
            return false;
        }
    }
    return true;
}

static int64_t wished(const struct pool_kind *kind, int64_t adaptive_max)
{
    int64_t adaptive = kind->peak < adaptive_max ? kind->peak : adaptive_max;
    return kind->floor > adaptive ? kind->floor : adaptive;
}

/* One more of the kind, when that is wished for and fits. */
static bool grant(struct pool_kind *kind, int64_t upto, const struct pool_bounds *bounds,
                  int64_t *left_mb)
{
    int64_t needs_mb = bounds->tiers[kind->tier].memory_mb;
    if (kind->target >= upto || needs_mb > *left_mb) {
        return false;
    }
    kind->target++;
    *left_mb -= needs_mb;
    return true;
}

void pool_kinds_plan(struct pool_kinds *kinds, const struct pool_bounds *bounds)
{
    int64_t left_mb = bounds->memory_mb;
    for (size_t i = 0; i < kinds->count; i++) {
        struct pool_kind *kind = &kinds->items[i];
        kind->target = 0;
        while (grant(kind, kind->floor, bounds, &left_mb)) {
        }
    }
    bool any = true;
    while (any) {
        any = false;
        for (size_t i = 0; i < kinds->count; i++) {
            struct pool_kind *kind = &kinds->items[i];
            any |= grant(kind, wished(kind, bounds->adaptive_max), bounds, &left_mb);
        }
    }
}

static struct pool_kind *find_most(struct pool_kinds *kinds, int64_t sign)
{
    struct pool_kind *most = NULL;
    int64_t by = 0;
    for (size_t i = 0; i < kinds->count; i++) {
        struct pool_kind *kind = &kinds->items[i];
        int64_t lacks = sign * (kind->target - kind->warm);
        if (lacks > by) {
            by = lacks;
            most = kind;
        }
    }
    return most;
}

struct pool_kind *pool_kinds_neediest(struct pool_kinds *kinds)
{
    return find_most(kinds, 1);
}

struct pool_kind *pool_kinds_fullest(struct pool_kinds *kinds)
{
    return find_most(kinds, -1);
}

int64_t pool_kinds_spare(const struct pool_kinds *kinds)
{
    int64_t least = POOL_COUNT_MAX;
    for (size_t i = 0; i < kinds->count; i++) {
        const struct pool_kind *kind = &kinds->items[i];
        int64_t spare = kind->warm - (kind->target + 1) / 2;
        if (kind->target > 0 && spare < least) {
            least = spare;
        }
    }
    return least;
}
