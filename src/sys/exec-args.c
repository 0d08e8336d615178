// Arguments and environment of exec: collected once into kernel memory, in the order in which they go onto the new stack.
//
// The guest's strings usually lie close together, so they are read by the page through a small cache instead of one by one.
// Limits are Linux's: a quarter of the stack limit, at most 6 MiB and at least 128 KiB, pointers included; 128 KiB a string.
#include "base/slab.h"
#include "mm/copy.h"
#include "sys/exec-int.h"

#include <sys/resource.h>

#define ARGS_MAX (6ull << 20)
#define ARGS_MIN (128ull << 10)
#define CACHE_SIZE (2 * PAGE_SIZE)

void exec_args_init(struct exec_args *a, struct task *t)
{
    uint64_t limit = task_rlimit(t, RLIMIT_STACK) / 4;

    *a = (struct exec_args){.limit = MAX(MIN(limit, ARGS_MAX), ARGS_MIN)};
}

void exec_args_done(struct exec_args *a)
{
    kfree(a->data);
    kfree(a->cache);
    a->data = NULL;
    a->cache = NULL;
}

static int reserve(struct exec_args *a, uint64_t more)
{
    uint64_t pointers = ((uint64_t)a->argc + a->envc + 1) * sizeof(uint64_t), room = a->room ? a->room : 16384;
    char *data;

    if (a->size + more + pointers > a->limit)
        return -E2BIG;
    if (a->size + more <= a->room)
        return 0;
    while (room < a->size + more)
        room *= 2;
    data = krealloc(a->data, a->room, room);
    if (!data)
        return -ENOMEM;
    a->data = data;
    a->room = room;
    return 0;
}

static void count_one(struct exec_args *a)
{
    if (a->args_size)
        a->envc++;
    else
        a->argc++;
}

int exec_args_add(struct exec_args *a, const char *s)
{
    uint64_t size = strlen(s) + 1;
    int ret;

    if (size > EXEC_MAX_STRING)
        return -E2BIG;
    ret = reserve(a, size);
    if (ret < 0)
        return ret;
    memcpy(a->data + a->size, s, size);
    a->size += size;
    count_one(a);
    return 0;
}

int exec_args_end_argv(struct exec_args *a)
{
    if (a->argc == 0) {
        int ret = exec_args_add(a, "");
        if (ret < 0)
            return ret;
    }
    a->args_size = a->size;
    return 0;
}

// ---- From the guest --------------------------------------------------------------------------------------------------

// Two pieces of guest memory that were read last: pointers and strings often lie apart.
struct guest_cache {
    struct {
        uint64_t start, size; // guest memory that data holds
        char data[CACHE_SIZE];
    } piece[2];
    unsigned recent;
};

static bool cache_has(const struct guest_cache *c, unsigned i, uint64_t addr)
{
    return addr >= c->piece[i].start && addr - c->piece[i].start < c->piece[i].size;
}

// The bytes at addr that are at hand: at least one, else -EFAULT.
static int cache_get(struct guest_cache *c, struct task *t, uint64_t addr, const char **ret, uint64_t *ret_size)
{
    unsigned i = c->recent;

    if (!cache_has(c, i, addr)) {
        i ^= 1;
        if (!cache_has(c, i, addr)) {
            uint64_t size = CACHE_SIZE - (addr & (PAGE_SIZE - 1));
            if (addr >= GUEST_ADDR_MAX)
                return -EFAULT;
            c->piece[i].start = addr;
            c->piece[i].size = copy_in_mm(t->mm, c->piece[i].data, addr, MIN(size, GUEST_ADDR_MAX - addr));
            if (c->piece[i].size == 0)
                return -EFAULT;
        }
        c->recent = i;
    }
    *ret = c->piece[i].data + (addr - c->piece[i].start);
    *ret_size = c->piece[i].size - (addr - c->piece[i].start);
    return 0;
}

static int cache_get_pointer(struct guest_cache *c, struct task *t, uint64_t addr, uint64_t *out)
{
    const char *at;
    uint64_t size;
    int ret = cache_get(c, t, addr, &at, &size);

    if (ret < 0)
        return ret;
    if (size < sizeof(*out))
        return copy_in(t, out, UADDR(addr), sizeof(*out));
    memcpy(out, at, sizeof(*out));
    return 0;
}

static int add_user_string(struct exec_args *a, struct task *t, struct guest_cache *c, uint64_t addr)
{
    uint64_t size = 0;

    for (;;) {
        const char *at, *nul;
        uint64_t n;
        int ret = cache_get(c, t, addr + size, &at, &n);
        if (ret < 0)
            return ret;
        nul = memchr(at, 0, n);
        if (nul)
            n = (uint64_t)(nul - at) + 1;
        if (size + n > EXEC_MAX_STRING)
            return -E2BIG;
        ret = reserve(a, n);
        if (ret < 0)
            return ret;
        memcpy(a->data + a->size, at, n);
        a->size += n;
        size += n;
        if (nul)
            break;
    }
    count_one(a);
    return 0;
}

int exec_args_add_user(struct exec_args *a, struct task *t, uaddr_t array)
{
    uint64_t pointer;
    int ret = 0;

    if (array.a == 0) // Linux takes NULL for an empty list
        return 0;
    if (!a->cache && !(a->cache = kmalloc(sizeof(*a->cache))))
        return -ENOMEM;
    for (uint64_t at = array.a; ret == 0; at += sizeof(pointer)) {
        ret = cache_get_pointer(a->cache, t, at, &pointer);
        if (ret < 0 || pointer == 0)
            break;
        ret = add_user_string(a, t, a->cache, pointer);
    }
    return ret;
}

// ---- #! --------------------------------------------------------------------------------------------------------------

int exec_args_replace_first(struct exec_args *a, const char *interpreter, const char *argument, const char *script)
{
    uint64_t first = strlen(a->data) + 1, sizes[3], total;
    const char *parts[3] = {interpreter, argument, script};
    char *at;
    int ret;

    sizes[0] = strlen(interpreter) + 1;
    sizes[1] = argument ? strlen(argument) + 1 : 0;
    sizes[2] = strlen(script) + 1;
    total = sizes[0] + sizes[1] + sizes[2];
    ret = reserve(a, total);
    if (ret < 0)
        return ret;
    memmove(a->data + total, a->data + first, a->size - first);
    at = a->data;
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        memcpy(at, parts[i] ? parts[i] : "", sizes[i]);
        at += sizes[i];
    }
    a->size += total - first;
    a->args_size += total - first;
    a->argc += argument ? 2 : 1;
    return 0;
}
