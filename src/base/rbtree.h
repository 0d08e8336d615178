// Intrusive red-black tree. The user walks down by its own comparison and links the node, then calls rb_insert_fixup:
//
//     struct rb_node **link = &tree->root, *parent = NULL;
//     while (*link) { parent = *link; link = before(x, parent) ? &parent->left : &parent->right; }
//     rb_link(&x->node, parent, link);
//     rb_insert_fixup(tree, &x->node);
//
// Not thread-safe; the owner's lock guards it.
#pragma once

#include "base/types.h"

struct rb_node {
    struct rb_node *parent, *left, *right;
    bool red;
};

struct rb_tree {
    struct rb_node *root;
};

static inline void rb_link(struct rb_node *n, struct rb_node *parent, struct rb_node **link)
{
    *n = (struct rb_node){.parent = parent, .red = true};
    *link = n;
}

void rb_insert_fixup(struct rb_tree *t, struct rb_node *n);
void rb_remove(struct rb_tree *t, struct rb_node *n);
struct rb_node *rb_first(const struct rb_tree *t);
struct rb_node *rb_last(const struct rb_tree *t);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);
