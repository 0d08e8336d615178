// Random insertions and removals against the invariants of a red-black tree and against an array.
#include "base/rbtree.h"

#include "unit.h"

struct item {
    struct rb_node node;
    uint32_t key;
    bool in;
};

enum { COUNT = 512, ROUNDS = 20000 };
static struct item items[COUNT];

static struct item *item_of(const struct rb_node *n)
{
    return container_of(n, struct item, node);
}

// Returns the number of black nodes on every path below n.
static int check(const struct rb_node *n, const struct rb_node *parent, int *count)
{
    if (!n)
        return 0;
    assert_ptr_equal(n->parent, parent);
    if (n->red)
        assert_false((n->left && n->left->red) || (n->right && n->right->red));
    if (n->left)
        assert_true(item_of(n->left)->key <= item_of(n)->key);
    if (n->right)
        assert_true(item_of(n->right)->key >= item_of(n)->key);
    int l = check(n->left, n, count);
    int r = check(n->right, n, count);
    assert_int_equal(l, r);
    ++*count;
    return l + !n->red;
}

static void insert(struct rb_tree *t, struct item *x)
{
    struct rb_node **link = &t->root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = x->key < item_of(parent)->key ? &parent->left : &parent->right;
    }
    rb_link(&x->node, parent, link);
    rb_insert_fixup(t, &x->node);
    x->in = true;
}

static void check_all(const struct rb_tree *t)
{
    int count = 0, want = 0, seen = 0, back = 0;
    assert_false(t->root && t->root->red);
    check(t->root, NULL, &count);
    for (int i = 0; i < COUNT; i++)
        want += items[i].in;
    assert_int_equal(count, want);
    uint32_t last = 0;
    for (struct rb_node *n = rb_first(t); n; n = rb_next(n), seen++) {
        assert_true(item_of(n)->key >= last);
        last = item_of(n)->key;
    }
    assert_int_equal(seen, want);
    for (struct rb_node *n = rb_last(t); n; n = rb_prev(n), back++) {
        assert_true(item_of(n)->key <= last);
        last = item_of(n)->key;
    }
    assert_int_equal(back, want);
}

static void test_empty(void **state)
{
    struct rb_tree t = {0};
    assert_null(rb_first(&t));
    assert_null(rb_last(&t));
}

static void test_random(void **state)
{
    struct rb_tree t = {0};
    unsigned seed = 1;
    for (int i = 0; i < ROUNDS; i++) {
        struct item *x = &items[rand_r(&seed) % COUNT];
        if (x->in) {
            rb_remove(&t, &x->node);
            x->in = false;
        } else {
            x->key = (uint32_t)rand_r(&seed) % 300; // with equal keys
            insert(&t, x);
        }
        if (i % 37 == 0)
            check_all(&t);
    }
    for (int i = 0; i < COUNT; i++) {
        if (items[i].in) {
            rb_remove(&t, &items[i].node);
            items[i].in = false;
            check_all(&t);
        }
    }
    assert_null(t.root);
}

static void test_ordered(void **state)
{
    struct rb_tree t = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i].key = i;
        insert(&t, &items[i]);
    }
    check_all(&t);
    for (int i = COUNT - 1; i >= 0; i--) {
        rb_remove(&t, &items[i].node);
        items[i].in = false;
    }
    assert_null(t.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
