// Kernel threads and their pool, see threads.h.
//
// An area is, from below: a page that is not mapped, the stack, and at the top a page with struct
// kernel_thread; the thread-local storage lies under that page (host/thread.h). Starting a thread
// costs the host a clone and two mappings, handing work to an idle one a futex wake. At most
// IDLE_MAX threads wait for work; the others end, and their areas are kept for reuse.
//
// Locking: pool.lock guards the lists. A thread's `word` is 0 while it waits for work and 1 once it
// has some.

#include "kernel/threads.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/types.h"
#include "host/host.h"
#include "host/thread.h"
#include "kernel/kernel-start.h"
#include "kernel/run.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "platform/trap/trap.h"

#define STACK_SIZE (128ul << 10)
#define IDLE_MAX   32u

struct kernel_thread {
    struct kernel_thread *next; // in the pool
    _Atomic uint32_t word;
    _Atomic uint32_t tid; // written by the host
    enum kernel_thread_kind kind;
    void *arg;
    char *area;
    void *restart[5]; // __builtin_setjmp
};

// Host threads are no part of a checkpoint: the pool is the process's, not the sandbox's.
static struct {
    struct lock lock;           // LOCK_RANK_HOST_FD: the pool
    struct kernel_thread *idle; // GUARDED_BY(lock): wait for work
    struct kernel_thread
        *ended; // GUARDED_BY(lock): have ended or are about to; their areas can be used again
    uint32_t idle_count; // GUARDED_BY(lock)
} pool = {.lock = LOCK_INITIALIZER(LOCK_RANK_HOST_FD)};

static __thread struct task *own_task;
static __thread struct kernel_thread *own_thread;

struct task *current_task(void)
{
    return own_task;
}

static void run_task(void *arg)
{
    struct task *t = arg;
    own_task = t;
    task_begin(t);
    task_run(t);
}

static void run_timers(void *arg)
{
    timer_thread();
}

void platform_mm_died(const struct platform_mm *pm)
{
    struct kernel *k = the_kernel();
    struct task *t;
    lock_take(&k->tasks_lock);
    list_for_each (t, &k->tasks, all_node) {
        lock_take(&t->lock);
        bool in_it = t->mm && t->mm->pm == pm;
        lock_release(&t->lock);
        if (in_it)
            thread_group_exit(t->group, SIGKILL);
    }
    lock_release(&k->tasks_lock);
}

static void run_listener(void *arg)
{
    platform_service_main(arg, PLATFORM_SERVICE_LISTENER);
}

static void run_reaper(void *arg)
{
    platform_service_main(arg, PLATFORM_SERVICE_REAPER);
}

static void run_pool(void *arg)
{
    platform_service_main(arg, PLATFORM_SERVICE_POOL);
}

static void run_control(void *arg)
{
    kernel_control_main(arg);
}

// The file layer's threads (fs/hostfs, fs/host).
void host_events_main(struct kernel *k) __attribute__((weak));
void gofer_client_main(struct kernel *k) __attribute__((weak));

static void run_events(void *arg)
{
    if (host_events_main)
        host_events_main(arg);
}

static void run_gofer(void *arg)
{
    if (gofer_client_main)
        gofer_client_main(arg);
}

// The terminal layer's (fs/tty/console.c).
void console_read_main(struct tty *tty) __attribute__((weak));
void console_write_main(struct tty *tty) __attribute__((weak));

static void run_console_in(void *arg)
{
    if (console_read_main)
        console_read_main(arg);
}

static void run_console_out(void *arg)
{
    if (console_write_main)
        console_write_main(arg);
}

static void (*const entries[KERNEL_THREAD_KIND_COUNT])(void *arg) = {
    [KERNEL_THREAD_TASK] = run_task,         [KERNEL_THREAD_TIMER] = run_timers,
    [KERNEL_THREAD_LISTENER] = run_listener, [KERNEL_THREAD_REAPER] = run_reaper,
    [KERNEL_THREAD_POOL] = run_pool,         [KERNEL_THREAD_CONTROL] = run_control,
    [KERNEL_THREAD_EVENTS] = run_events,     [KERNEL_THREAD_GOFER] = run_gofer,
    [KERNEL_THREAD_CONSOLE_IN] = run_console_in,
    [KERNEL_THREAD_CONSOLE_OUT] = run_console_out,
};

static void thread_main(void *arg)
{
    struct kernel_thread *kt = arg;
    own_thread = kt;
    // kernel_thread_exit() comes back here when there is more to do.
    (void)__builtin_setjmp(kt->restart);
    kt = own_thread;
    entries[kt->kind](kt->arg);
    kernel_thread_exit();
}

static void wait_for_work(struct kernel_thread *kt)
{
    while (atomic_load_explicit(&kt->word, memory_order_acquire) == 0)
        (void)host_futex((void *)&kt->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
}

__attribute__((noinline)) static _Noreturn void restart(struct kernel_thread *kt)
{
    __builtin_longjmp(kt->restart, 1);
}

void kernel_thread_exit(void)
{
    struct kernel_thread *kt = own_thread;
    own_task = NULL;
    atomic_store_explicit(&kt->word, 0, memory_order_relaxed);
    lock_take(&pool.lock);
    bool stay = pool.idle_count < IDLE_MAX;
    struct kernel_thread **list = stay ? &pool.idle : &pool.ended;
    kt->next = *list;
    *list = kt;
    pool.idle_count += stay;
    lock_release(&pool.lock);
    if (!stay)
        host_thread_exit();
    wait_for_work(kt);
    restart(kt);
}

static struct kernel_thread *new_area(void)
{
    uint64_t size = PAGE_SIZE + STACK_SIZE + host_thread_overhead() + PAGE_SIZE;
    int64_t at =
        host_mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0)
        return NULL;
    char *area = (char *)at;
    if (host_mmap(area + PAGE_SIZE, size - PAGE_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) < 0) {
        (void)host_munmap(area, size);
        return NULL;
    }
    struct kernel_thread *kt = (struct kernel_thread *)(area + size - PAGE_SIZE);
    kt->area = area + PAGE_SIZE;
    return kt;
}

static struct kernel_thread *take(struct kernel_thread **list)
{
    struct kernel_thread *kt = *list;
    if (kt)
        *list = kt->next;
    return kt;
}

int kernel_thread_create(enum kernel_thread_kind kind, void *arg)
{
    lock_take(&pool.lock);
    struct kernel_thread *kt = take(&pool.idle);
    bool idle = kt != NULL;
    if (idle)
        pool.idle_count--;
    else
        kt = take(&pool.ended);
    lock_release(&pool.lock);
    if (!kt)
        kt = new_area();
    if (!kt)
        return -ENOMEM;
    kt->kind = kind;
    kt->arg = arg;
    if (idle) {
        atomic_store_explicit(&kt->word, 1, memory_order_release);
        (void)host_futex((void *)&kt->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
        return 0;
    }
    // The earlier user may still be on its last instructions there.
    host_thread_join(&kt->tid);
    uint64_t size = (uint64_t)((char *)kt - kt->area);
    int ret = host_thread_start(kt->area, size, thread_main, kt, &kt->tid);
    if (ret < 0) {
        lock_take(&pool.lock);
        kt->next = pool.ended;
        pool.ended = kt;
        lock_release(&pool.lock);
    }
    return ret;
}
