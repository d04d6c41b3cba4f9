#include "common/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

static void expect(const struct list *head, const int *numbers, size_t count)
{
    size_t at = 0;
    for (LIST_EACH(node, head)) {
        assert_true(at < count);
        assert_int_equal(LIST_ENTRY(node, struct item, node)->number, numbers[at++]);
    }
    assert_int_equal(at, count);
}

static void members_stand_in_the_order_they_came(void **state)
{
    (void)state;
    struct list head;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&head);
    assert_true(list_is_empty(&head));
    for (int i = 0; i < 3; i++) {
        list_append(&head, &items[i].node);
        assert_true(list_is_linked(&items[i].node));
    }
    expect(&head, (const int[]){1, 2, 3}, 3);
    list_remove(&items[1].node);
    assert_false(list_is_linked(&items[1].node));
    expect(&head, (const int[]){1, 3}, 2);
    list_append(&head, &items[1].node);
    expect(&head, (const int[]){1, 3, 2}, 3);
}

static void removing_what_is_in_no_list_does_nothing(void **state)
{
    (void)state;
    struct item item = {.number = 1};
    list_remove(&item.node);
    assert_false(list_is_linked(&item.node));
}

static void a_member_may_remove_itself_in_a_walk(void **state)
{
    (void)state;
    struct list head;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        list_append(&head, &items[i].node);
    }
    for (LIST_EACH(node, &head)) {
        list_remove(node);
    }
    assert_true(list_is_empty(&head));
}

static void all_members_move_behind_those_of_another_list(void **state)
{
    (void)state;
    struct list to;
    struct list from;
    struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_init(&to);
    list_init(&from);
    list_append_all(&to, &from);
    assert_true(list_is_empty(&to));
    list_append(&from, &items[0].node);
    list_append_all(&to, &from);
    expect(&to, (const int[]){1}, 1);
    assert_true(list_is_empty(&from));
    list_append(&from, &items[1].node);
    list_append(&from, &items[2].node);
    list_append_all(&to, &from);
    list_append(&to, &items[3].node);
    expect(&to, (const int[]){1, 2, 3, 4}, 4);
    list_remove(&items[1].node);
    expect(&to, (const int[]){1, 3, 4}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_stand_in_the_order_they_came),
        cmocka_unit_test(removing_what_is_in_no_list_does_nothing),
        cmocka_unit_test(all_members_move_behind_those_of_another_list),
        cmocka_unit_test(a_member_may_remove_itself_in_a_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
