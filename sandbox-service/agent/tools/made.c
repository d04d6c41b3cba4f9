#include "sandbox-service/agent/tools/made.h"

bool made_init(struct made *made, struct err *err)
{
    *made = (struct made){0};
    list_init(&made->in_order);
    return map_init(&made->by_name, err);
}

void made_free(struct made *made)
{
    struct list *node;
    while ((node = list_pop(&made->in_order)) != NULL) {
        struct made_item *item = LIST_ENTRY(node, struct made_item, in_order);
        map_remove(&made->by_name, &item->by_name);
        free(item);
    }
    map_free(&made->by_name);
}

struct made_item *made_find(const struct made *made, const char *name)
{
    struct map_node *node = map_find(&made->by_name, view_of(name));
    return node == NULL ? NULL : MAP_ENTRY(node, struct made_item, by_name);
}

static struct made_item *add(struct made *made, const char *name, struct err *err)
{
    size_t size = strlen(name) + 1;
    struct made_item *item = calloc(1, sizeof *item + size);
    if (item == NULL) {
        (void)err_set(err, ERR_INTERNAL, "unpacking: out of memory");
        return NULL;
    }
    memcpy(item->name, name, size);
    map_insert(&made->by_name, &item->by_name, view_of(item->name));
    list_append(&made->in_order, &item->in_order);
    return item;
}

static bool count(size_t *counter, size_t max, struct err *err)
{
    if (*counter >= max) {
        return err_set_reason(err, ERR_LIMIT, "archive_too_large",
                              "the archive has more than %zu members or folders", max);
    }
    ++*counter;
    return true;
}

struct made_item *made_add_member(struct made *made, const char *name, enum made_kind kind,
                                  struct err *err)
{
    struct made_item *item = made_find(made, name);
    if (item != NULL && (item->is_member || kind != MADE_FOLDER)) {
        (void)err_set_reason(err, ERR_INVALID, "archive_unsafe",
                             "two members have the same name: %s", name);
        return NULL;
    }
    if (!count(&made->member_count, MADE_MEMBERS_MAX, err)) {
        return NULL;
    }
    item = item == NULL ? add(made, name, err) : item;
    if (item != NULL) {
        item->kind = kind;
        item->is_member = true;
    }
    return item;
}

struct made_item *made_add_folder(struct made *made, const char *name, struct err *err)
{
    struct made_item *item = made_find(made, name);
    if (item != NULL && item->kind != MADE_FOLDER) {
        (void)err_set_reason(err, ERR_INVALID, "archive_unsafe",
                             "a member is both a folder and something else: %s", name);
        return NULL;
    }
    if (item != NULL) {
        return item;
    }
    if (!count(&made->folder_count, MADE_FOLDERS_MAX, err)) {
        return NULL;
    }
    item = add(made, name, err);
    if (item != NULL) {
        item->kind = MADE_FOLDER;
    }
    return item;
}
