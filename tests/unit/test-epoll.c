// epoll over pipes and counters: the ready list, nesting, and that nothing is left when files go in any order.
#include <sys/epoll.h>

#include "kernel-fixture.h"
#include "vfs/epoll-int.h"
#include "vfs/epoll.h"
#include "vfs/eventfd.h"
#include "vfs/pipe.h"
#include "vfs/poll.h"

SLAB_TYPE(item_type, SLAB_EPOLL_ITEM, struct epoll_item);
SLAB_TYPE(epoll_type, SLAB_EPOLL, struct epoll);

static void check_nothing_left(void)
{
    assert_int_equal(slab_count(&item_type), 0);
    assert_int_equal(slab_count(&epoll_type), 0);
    assert_int_equal(user_count(the_kernel(), 0, USER_EPOLL_WATCHES), 0);
}

static int add(struct file *ep, struct file *f, int fd, uint32_t events)
{
    struct epoll_request r = {.events = events, .data = (uint64_t)fd};
    return epoll_add(task, ep, f, fd, &r);
}

static void bump(struct file *counter)
{
    uint64_t one = 1;
    assert_int_equal(fixture_write(counter, &one, sizeof(one)), sizeof(one));
}

static void test_readiness(void **state)
{
    struct file *ep = epoll_create_file(), *e = eventfd_create(0, false, O_NONBLOCK);
    struct epoll *p = epoll_of(ep);
    uint64_t n;
    assert_int_equal(add(ep, e, 5, EPOLLIN), 0);
    assert_int_equal(add(ep, e, 5, EPOLLIN), -EEXIST);
    assert_int_equal(add(ep, e, 6, EPOLLIN), 0); // a dup
    assert_int_equal(file_poll(ep), 0);
    bump(e);
    assert_int_equal(p->ready_count, 2);
    assert_int_equal(file_poll(ep), EPOLLIN | EPOLLRDNORM);
    assert_int_equal(fixture_read(e, &n, sizeof(n)), sizeof(n));
    // The list is a hint: asking finds that nothing is ready and empties it.
    assert_int_equal(file_poll(ep), 0);
    assert_int_equal(p->ready_count, 0);
    assert_int_equal(epoll_delete(task, ep, e, 5), 0);
    assert_int_equal(epoll_delete(task, ep, e, 5), -ENOENT);
    file_unref(e);
    assert_int_equal(slab_count(&item_type), 0);
    file_unref(ep);
    check_nothing_left();
}

static void test_registered_when_ready(void **state)
{
    struct file *ep = epoll_create_file(), *e = eventfd_create(3, false, O_NONBLOCK);
    struct epoll_request r = {.events = EPOLLOUT};
    assert_int_equal(add(ep, e, 1, EPOLLIN), 0);
    assert_int_equal(epoll_of(ep)->ready_count, 1);
    assert_int_equal(epoll_modify(task, ep, e, 1, &r), 0);
    assert_int_equal(epoll_modify(task, ep, e, 2, &r), -ENOENT);
    assert_int_equal(file_poll(ep), EPOLLIN | EPOLLRDNORM);
    r.events = EPOLLPRI;
    assert_int_equal(epoll_modify(task, ep, e, 1, &r), 0);
    assert_int_equal(file_poll(ep), 0);
    file_unref(ep);
    file_unref(e);
    check_nothing_left();
}

static void test_nesting(void **state)
{
    struct file *ep[7], *e = eventfd_create(1, false, O_NONBLOCK);
    for (int i = 0; i < 7; i++)
        ep[i] = epoll_create_file();
    assert_int_equal(add(ep[0], e, 1, EPOLLIN), 0);
    // A chain of five is the longest; it doesn't matter from which end it is made.
    for (int i = 1; i < 5; i++)
        assert_int_equal(add(ep[i], ep[i - 1], 10 + i, EPOLLIN), 0);
    assert_int_equal(add(ep[5], ep[4], 15, EPOLLIN), -ELOOP);
    assert_int_equal(add(ep[0], ep[5], 16, EPOLLIN), -ELOOP);
    assert_int_equal(add(ep[0], ep[4], 17, EPOLLIN), -ELOOP); // a circle
    assert_int_equal(add(ep[0], ep[1], 18, EPOLLIN), -ELOOP);
    assert_int_equal(add(ep[4], ep[1], 19, EPOLLIN), 0); // two ways to one place
    assert_int_equal(file_poll(ep[4]), EPOLLIN | EPOLLRDNORM);
    uint64_t n;
    assert_int_equal(fixture_read(e, &n, sizeof(n)), sizeof(n));
    assert_int_equal(file_poll(ep[4]), 0);
    bump(e);
    assert_int_equal(file_poll(ep[4]), EPOLLIN | EPOLLRDNORM);
    // The middle goes: the chain is cut.
    file_unref(ep[2]);
    assert_int_equal(add(ep[5], ep[4], 20, EPOLLIN), 0);
    for (int i = 0; i < 7; i++) {
        if (i != 2)
            file_unref(ep[i]);
    }
    file_unref(e);
    check_nothing_left();
}

static void test_pipe_edges(void **state)
{
    struct file *ep = epoll_create_file(), *p[2];
    char buf[4096] = {0};
    assert_int_equal(pipe_create(O_NONBLOCK, p), 0);
    assert_int_equal(add(ep, p[1], 1, EPOLLOUT | EPOLLET), 0);
    assert_int_equal(file_poll(ep), EPOLLIN | EPOLLRDNORM);
    struct epoll *e = epoll_of(ep);
    while (fixture_write(p[1], buf, sizeof(buf)) > 0) {
    }
    assert_int_equal(file_poll(ep), 0);
    assert_int_equal(e->ready_count, 0);
    assert_int_equal(fixture_read(p[0], buf, 1), 1);
    assert_int_equal(e->ready_count, 0); // no slot is free yet
    assert_int_equal(fixture_read(p[0], buf, sizeof(buf) - 1), sizeof(buf) - 1);
    assert_int_equal(file_poll(ep), EPOLLIN | EPOLLRDNORM);
    file_unref(p[0]);
    assert_int_equal(file_poll(p[1]) & EPOLLERR, EPOLLERR);
    file_unref(p[1]);
    file_unref(ep);
    check_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readiness),
        cmocka_unit_test(test_registered_when_ready),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_pipe_edges),
    };
    return cmocka_run_group_tests(tests, fixture_setup, NULL);
}
