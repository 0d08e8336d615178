// Red-black tree (Cormen et al., "Introduction to Algorithms", chapter 13), with NULL for the leaves.
//
// Invariants: the root is black; a red node has no red child; every path from a node to a leaf passes the same number of
// black nodes. Locking: none, the owner's lock guards the tree.
#include "base/rbtree.h"

static bool is_red(const struct rb_node *n)
{
    return n && n->red;
}

// Puts b where a hangs. b may be NULL.
static void replace_child(struct rb_tree *t, struct rb_node *a, struct rb_node *b)
{
    struct rb_node *p = a->parent;
    if (!p)
        t->root = b;
    else if (p->left == a)
        p->left = b;
    else
        p->right = b;
    if (b)
        b->parent = p;
}

static void rotate_left(struct rb_tree *t, struct rb_node *n)
{
    struct rb_node *r = n->right;
    replace_child(t, n, r);
    n->right = r->left;
    if (n->right)
        n->right->parent = n;
    r->left = n;
    n->parent = r;
}

static void rotate_right(struct rb_tree *t, struct rb_node *n)
{
    struct rb_node *l = n->left;
    replace_child(t, n, l);
    n->left = l->right;
    if (n->left)
        n->left->parent = n;
    l->right = n;
    n->parent = l;
}

void rb_insert_fixup(struct rb_tree *t, struct rb_node *n)
{
    struct rb_node *p;
    while ((p = n->parent) && p->red) {
        struct rb_node *g = p->parent; // a red node isn't the root, so it has a parent
        bool left = g->left == p;
        struct rb_node *uncle = left ? g->right : g->left;
        if (is_red(uncle)) {
            p->red = uncle->red = false;
            g->red = true;
            n = g;
            continue;
        }
        if (n == (left ? p->right : p->left)) {
            if (left)
                rotate_left(t, p);
            else
                rotate_right(t, p);
            p = n;
        }
        p->red = false;
        g->red = true;
        if (left)
            rotate_right(t, g);
        else
            rotate_left(t, g);
        break;
    }
    t->root->red = false;
}

// The subtree at n (NULL for a leaf), a child of parent, is one black node short.
static void remove_fixup(struct rb_tree *t, struct rb_node *n, struct rb_node *parent)
{
    while (parent && !is_red(n)) {
        bool left = parent->left == n;
        struct rb_node *s =
            left ? parent->right : parent->left; // exists: its side has a black node more
        if (s->red) {
            s->red = false;
            parent->red = true;
            if (left)
                rotate_left(t, parent);
            else
                rotate_right(t, parent);
            s = left ? parent->right : parent->left;
        }
        struct rb_node *near = left ? s->left : s->right;
        struct rb_node *far = left ? s->right : s->left;
        if (!is_red(near) && !is_red(far)) {
            s->red = true;
            n = parent;
            parent = n->parent;
            continue;
        }
        if (!is_red(far)) {
            near->red = false;
            s->red = true;
            if (left)
                rotate_right(t, s);
            else
                rotate_left(t, s);
            far = s;
            s = near;
        }
        s->red = parent->red;
        parent->red = false;
        far->red = false;
        if (left)
            rotate_left(t, parent);
        else
            rotate_right(t, parent);
        return;
    }
    if (n)
        n->red = false;
}

void rb_remove(struct rb_tree *t, struct rb_node *n)
{
    struct rb_node *child, *parent;
    bool lost_red;
    if (n->left && n->right) {
        struct rb_node *next = n->right; // the successor takes n's place and colour
        while (next->left)
            next = next->left;
        child = next->right;
        lost_red = next->red;
        parent = next->parent;
        if (parent == n) {
            parent = next;
        } else {
            replace_child(t, next, child);
            next->right = n->right;
            next->right->parent = next;
        }
        replace_child(t, n, next);
        next->left = n->left;
        next->left->parent = next;
        next->red = n->red;
    } else {
        child = n->left ? n->left : n->right;
        lost_red = n->red;
        parent = n->parent;
        replace_child(t, n, child);
    }
    if (!lost_red)
        remove_fixup(t, child, parent);
    *n = (struct rb_node){0};
}

struct rb_node *rb_first(const struct rb_tree *t)
{
    struct rb_node *n = t->root;
    while (n && n->left)
        n = n->left;
    return n;
}

struct rb_node *rb_last(const struct rb_tree *t)
{
    struct rb_node *n = t->root;
    while (n && n->right)
        n = n->right;
    return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    if (n->right) {
        n = n->right;
        while (n->left)
            n = n->left;
        return (struct rb_node *)n;
    }
    while (n->parent && n->parent->right == n)
        n = n->parent;
    return n->parent;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
    if (n->left) {
        n = n->left;
        while (n->right)
            n = n->right;
        return (struct rb_node *)n;
    }
    while (n->parent && n->parent->left == n)
        n = n->parent;
    return n->parent;
}
