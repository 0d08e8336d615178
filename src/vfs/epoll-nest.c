// Epolls that watch epolls: no circles, and no chain of more than five, so that a wake-up's recursion is bounded.
//
// Locking: kernel.epoll_nest_lock guards the graph: the lists epoll.nested downwards, and file.epoll_items of epolls' files
// upwards (they change only with both it and the inode's lock held). A walk marks where it has been with its generation, so
// that it costs one visit per epoll however many ways lead there.
#include "kernel/kernel.h"
#include "vfs/epoll-int.h"
#include "vfs/epoll.h"

enum { NESTS_MAX = 4 }; // edges in a chain, as Linux's EP_MAX_NESTS

// Longest chain of edges below ep; more than NESTS_MAX when it is too long or leads to `start`.
static uint32_t depth_below(struct epoll *ep, const struct epoll *start, uint64_t generation, uint32_t level)
{
    struct epoll_item *item;
    uint32_t depth = 0;
    if (ep == start || level > NESTS_MAX)
        return NESTS_MAX + 1;
    if (ep->generation == generation)
        return ep->depth;
    list_for_each(item, &ep->nested, nested_node)
    {
        struct epoll *below = epoll_of(item->file);
        uint32_t d = below ? depth_below(below, start, generation, level + 1) + 1 : 0;
        depth = MAX(depth, d);
        if (depth > NESTS_MAX)
            break;
    }
    ep->generation = generation;
    ep->depth = depth;
    return depth;
}

static uint32_t depth_above(struct epoll *ep, uint64_t generation, uint32_t level)
{
    struct epoll_item *item;
    uint32_t depth = 0;
    if (level > NESTS_MAX)
        return NESTS_MAX + 1;
    if (ep->generation == generation)
        return ep->depth;
    if (ep->file) {
        list_for_each(item, &ep->file->epoll_items, file_node)
        {
            depth = MAX(depth, depth_above(item->ep, generation, level + 1) + 1);
            if (depth > NESTS_MAX)
                break;
        }
    }
    ep->generation = generation;
    ep->depth = depth;
    return depth;
}

int epoll_check_nesting(struct epoll *ep, struct epoll *target)
{
    struct kernel *k = the_kernel();
    uint32_t below = depth_below(target, ep, ++k->epoll_nest_generation, 0);
    if (below > NESTS_MAX)
        return -ELOOP;
    uint32_t above = depth_above(ep, ++k->epoll_nest_generation, 0);
    return below + 1 + above > NESTS_MAX ? -ELOOP : 0;
}
