#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { MANY = 5000 };

struct item {
    char key[32];
    struct map_node node;
    bool visited;
};

static struct item *make_items(struct map *map, size_t count)
{
    struct item *items = calloc(count, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(items[i].key, sizeof items[i].key, "key %zu", i);
        map_insert(map, &items[i].node, view_of(items[i].key));
    }
    return items;
}

static void inserted_objects_are_found(void **state)
{
    (void)state;
    struct map map;
    struct err err;
    assert_true(map_init(&map, &err));
    assert_null(map_find(&map, VIEW("key 0")));
    struct item *items = make_items(&map, MANY);
    assert_int_equal(map.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        struct map_node *node = map_find(&map, view_of(items[i].key));
        assert_non_null(node);
        assert_ptr_equal(MAP_ENTRY(node, struct item, node), &items[i]);
    }
    assert_null(map_find(&map, VIEW("key")));
    assert_null(map_find(&map, VIEW("")));
    free(items);
    map_free(&map);
}

static void removed_objects_are_not_found(void **state)
{
    (void)state;
    struct map map;
    struct err err;
    assert_true(map_init(&map, &err));
    struct item *items = make_items(&map, MANY);
    for (size_t i = 0; i < MANY; i += 2) {
        map_remove(&map, &items[i].node);
        map_remove(&map, &items[i].node);
    }
    assert_int_equal(map.count, MANY / 2);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(map_find(&map, view_of(items[i].key)) != NULL, i % 2 == 1);
    }
    map_insert(&map, &items[0].node, view_of(items[0].key));
    assert_non_null(map_find(&map, VIEW("key 0")));
    free(items);
    map_free(&map);
}

static void keys_may_be_empty_or_hold_nul(void **state)
{
    (void)state;
    struct map map;
    struct err err;
    struct item empty = {0};
    struct item with_nul = {0};
    assert_true(map_init(&map, &err));
    map_insert(&map, &empty.node, VIEW(""));
    map_insert(&map, &with_nul.node, VIEW("\0"));
    assert_ptr_equal(map_find(&map, VIEW("")), &empty.node);
    assert_ptr_equal(map_find(&map, VIEW("\0")), &with_nul.node);
    assert_null(map_find(&map, VIEW("\0\0")));
    map_free(&map);
}

static struct map *visited_map;
static void remove_odd(struct map_node *node, void *arg)
{
    size_t *visits = arg;
    struct item *item = MAP_ENTRY(node, struct item, node);
    assert_false(item->visited);
    item->visited = true;
    if (++*visits % 2 == 1) {
        map_remove(visited_map, node);
    }
}

static void a_visit_may_remove_its_node(void **state)
{
    (void)state;
    struct map map;
    struct err err;
    size_t visits = 0;
    assert_true(map_init(&map, &err));
    struct item *items = make_items(&map, MANY);
    visited_map = &map;
    map_each(&map, remove_odd, &visits);
    assert_int_equal(visits, MANY);
    assert_int_equal(map.count, MANY / 2);
    free(items);
    map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inserted_objects_are_found),
        cmocka_unit_test(removed_objects_are_not_found),
        cmocka_unit_test(keys_may_be_empty_or_hold_nul),
        cmocka_unit_test(a_visit_may_remove_its_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
