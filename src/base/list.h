// Intrusive doubly linked list: a node in each object, a head in the owner. Not thread-safe; the owner's lock guards it.
#pragma once

#include "base/types.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_between(struct list *n, struct list *prev, struct list *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

static inline void list_push_front(struct list *head, struct list *n)
{
    list_insert_between(n, head, head->next);
}

static inline void list_push_back(struct list *head, struct list *n)
{
    list_insert_between(n, head->prev, head);
}

// Removes n and leaves it an empty list of its own, so that removing twice is harmless and list_empty(n) tells.
static inline void list_remove(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

// Moves everything from one list to the end of another.
static inline void list_splice_back(struct list *head, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

#define list_first(head, type, member)                                                                                 \
    (list_empty(head) ? NULL : container_of((head)->next, type, member))
// The head is no object, so its "container" may only be compared, by address, and never be followed.
#define list_node_of(it, member) ((struct list *)((char *)(it) + offsetof(__typeof__(*(it)), member)))
#define list_for_each(it, head, member)                                                                                \
    for (it = container_of((head)->next, __typeof__(*it), member); list_node_of(it, member) != (head);                 \
         it = container_of(it->member.next, __typeof__(*it), member))
// Allows it to be removed, or freed, in the loop; not the one behind it.
#define list_for_each_safe(it, tmp, head, member)                                                                      \
    for (it = container_of((head)->next, __typeof__(*it), member),                                                     \
        tmp = container_of(list_node_of(it, member)->next, __typeof__(*it), member);                                   \
         list_node_of(it, member) != (head);                                                                           \
         it = tmp, tmp = container_of(list_node_of(tmp, member)->next, __typeof__(*it), member))
