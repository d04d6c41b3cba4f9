/* common/base/list.h: doubly linked lists through a member of the listed objects. */
#ifndef COMMON_BASE_LIST_H
#define COMMON_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Both the head of a list and a member of it. A head starts with list_init; a member that is in
 * no list is zero. */
struct list {
    struct list *next;
    struct list *previous;
};

/* The object that holds this member. */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* for (LIST_EACH(node, &head)): the body may remove node itself. */
/* NOLINTBEGIN(bugprone-macro-parentheses): node is a name being declared */
#define LIST_EACH(node, head)                                                                      \
    struct list *node = (head)->next, *node##_next_ = node->next;                                  \
    node != (head);                                                                                \
    node = node##_next_, node##_next_ = node->next
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void list_init(struct list *head)
{
    head->next = head;
    head->previous = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *node)
{
    return node->next != NULL;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->previous = head->previous;
    node->next = head;
    head->previous->next = node;
    head->previous = node;
}

/* Does nothing when node is in no list. */
static inline void list_remove(struct list *node)
{
    if (list_is_linked(node)) {
        node->previous->next = node->next;
        node->next->previous = node->previous;
        node->next = NULL;
        node->previous = NULL;
    }
}

/* Takes the first member out; NULL when there is none. */
static inline struct list *list_pop(struct list *head)
{
    struct list *node = head->next;
    if (node == head) {
        return NULL;
    }
    head->next = node->next;
    node->next->previous = head;
    node->next = NULL;
    node->previous = NULL;
    return node;
}

/* Moves all members of from, in their order, to the end of to. */
static inline void list_append_all(struct list *to, struct list *from)
{
    if (list_is_empty(from)) {
        return;
    }
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

#endif
