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
    a->data = NULL;
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

struct string_cache {
    uint64_t start, size; // guest memory that data holds
    char data[CACHE_SIZE];
};

// The bytes at addr that are at hand: at least one, else -EFAULT.
static int cache_fill(struct string_cache *c, struct task *t, uint64_t addr, const char **ret, uint64_t *ret_size)
{
    if (addr < c->start || addr - c->start >= c->size) {
        uint64_t size = CACHE_SIZE - (addr & (PAGE_SIZE - 1));
        if (addr >= GUEST_ADDR_MAX)
            return -EFAULT;
        c->start = addr;
        c->size = copy_in_mm(t->mm, c->data, addr, MIN(size, GUEST_ADDR_MAX - addr));
        if (c->size == 0)
            return -EFAULT;
    }
    *ret = c->data + (addr - c->start);
    *ret_size = c->size - (addr - c->start);
    return 0;
}

static int add_user_string(struct exec_args *a, struct task *t, struct string_cache *c, uint64_t addr)
{
    uint64_t size = 0;

    for (;;) {
        const char *at, *nul;
        uint64_t n;
        int ret = cache_fill(c, t, addr + size, &at, &n);
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
    struct string_cache *cache;
    uint64_t pointers[64], at = array.a;
    int ret = 0;
    bool end = array.a == 0; // Linux takes NULL for an empty list

    cache = end ? NULL : kmalloc(sizeof(*cache));
    if (!end && !cache)
        return -ENOMEM;
    while (!end && ret == 0) {
        // As far as the page reaches: the list may end where memory does.
        uint64_t room = (PAGE_SIZE - (at & (PAGE_SIZE - 1))) / sizeof(uint64_t);
        uint64_t count = MIN(MAX(room, 1), ARRAY_SIZE(pointers));
        ret = copy_in(t, pointers, UADDR(at), count * sizeof(uint64_t));
        for (uint64_t i = 0; i < count && ret == 0 && !end; i++) {
            if (pointers[i] == 0)
                end = true;
            else
                ret = add_user_string(a, t, cache, pointers[i]);
        }
        at += count * sizeof(uint64_t);
    }
    kfree(cache);
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
