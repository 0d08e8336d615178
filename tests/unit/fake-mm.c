#include "fake-mm.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/slab.h"
#include "base/strbuf.h"

struct fake fake;

// ---- Platform --------------------------------------------------------------------------------------------------------

enum command_kind { ANON, FILE_MAP, UNMAP, PROTECT, ADVISE, MOVE };
struct command {
    enum command_kind kind;
    uint64_t addr, size, to, offset;
    int prot, flags, fd;
};
static struct command commands[4096];
static int command_count;
static bool resumed;

static int queue(struct command c)
{
    if (command_count == (int)(sizeof(commands) / sizeof(commands[0])))
        return -ENOSPC;
    commands[command_count++] = c;
    return 0;
}

static int host_prot(int prot)
{
    return (prot & PLATFORM_READ ? PROT_READ : 0) | (prot & PLATFORM_WRITE ? PROT_WRITE : 0) |
           (prot & PLATFORM_EXEC ? PROT_EXEC : 0);
}

int platform_map_anon(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool noreserve)
{
    return queue((struct command){.kind = ANON, .addr = addr, .size = size, .prot = host_prot(prot),
                                  .flags = noreserve ? MAP_NORESERVE : 0});
}

int platform_map_file(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool shared, int fd,
                      uint64_t offset)
{
    return queue((struct command){.kind = FILE_MAP, .addr = addr, .size = size, .prot = host_prot(prot),
                                  .flags = shared ? MAP_SHARED : MAP_PRIVATE, .fd = fd, .offset = offset});
}

int platform_unmap(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    return queue((struct command){.kind = UNMAP, .addr = addr, .size = size});
}

int platform_protect(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot)
{
    return queue((struct command){.kind = PROTECT, .addr = addr, .size = size, .prot = host_prot(prot)});
}

int platform_advise(struct platform_thread *pt, uint64_t addr, uint64_t size, int advice)
{
    return queue((struct command){.kind = ADVISE, .addr = addr, .size = size, .prot = advice});
}

int platform_move(struct platform_thread *pt, uint64_t from, uint64_t size, uint64_t to)
{
    return queue((struct command){.kind = MOVE, .addr = from, .size = size, .to = to});
}

int platform_touch(struct platform_thread *pt, uint64_t addr)
{
    return queue((struct command){.kind = ADVISE, .addr = addr, .size = PAGE_SIZE, .prot = MADV_POPULATE_WRITE});
}

static int run(const struct command *c)
{
    void *p = (void *)c->addr, *got;

    switch (c->kind) {
    case ANON:
        got = mmap(p, c->size, c->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | c->flags, -1, 0);
        return got == p ? 0 : -errno;
    case FILE_MAP:
        got = mmap(p, c->size, c->prot, MAP_FIXED | c->flags, c->fd, (off_t)c->offset);
        return got == p ? 0 : -errno;
    case UNMAP:
        return munmap(p, c->size) ? -errno : 0;
    case PROTECT:
        return mprotect(p, c->size, c->prot) ? -errno : 0;
    case ADVISE:
        return madvise(p, c->size, c->prot) ? -errno : 0;
    case MOVE:
        got = mremap(p, c->size, c->size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)c->to);
        return got == (void *)c->to ? 0 : -errno;
    }
    return -EINVAL;
}

int platform_commit(struct platform_thread *pt)
{
    int ret = 0;

    fake.commits++;
    if (fake.fail_commit && --fake.fail_commit == 0)
        ret = -ENOMEM;
    for (int i = 0; i < command_count && ret == 0; i++) {
        fake.commands++;
        ret = run(&commands[i]);
    }
    command_count = 0;
    return ret;
}

int platform_commit_and_resume(struct platform_thread *pt, int64_t result)
{
    int ret = platform_commit(pt);
    resumed = ret == 0;
    return ret;
}

bool platform_resumed(const struct platform_thread *pt)
{
    return resumed;
}

// Always more than since the last look, so that everything is measured anew.
nsec_t platform_thread_user_time(const struct platform_thread *pt)
{
    static nsec_t time;
    return time += NSEC_PER_SEC;
}

int platform_mincore(struct platform_thread *pt, uint64_t addr, uint64_t size, uint8_t *vec)
{
    return mincore((void *)addr, size, vec) ? -errno : 0;
}

static uint64_t transfer(bool write, uint64_t addr, void *buf, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        uint64_t n = PAGE_SIZE - ((addr + done) & (PAGE_SIZE - 1));
        if (n > size - done)
            n = size - done;
        struct iovec local = {(char *)buf + done, n}, remote = {(void *)(addr + done), n};
        ssize_t r = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                          : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (r <= 0)
            break;
        done += (uint64_t)r;
        if ((uint64_t)r < n)
            break;
    }
    return done;
}

uint64_t platform_read(struct platform_mm *pm, uint64_t addr, void *buf, uint64_t size)
{
    return transfer(false, addr, buf, size);
}

uint64_t platform_write(struct platform_mm *pm, uint64_t addr, const void *buf, uint64_t size)
{
    return transfer(true, addr, (void *)(uintptr_t)buf, size);
}

const void *platform_window_in(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    return NULL;
}

const void *platform_window_in_prefix(struct platform_thread *pt, uint64_t addr, uint64_t *size)
{
    *size = 0;
    return NULL;
}

void *platform_window_out(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    return NULL;
}

void platform_window_shrink(struct platform_thread *pt, uint64_t unused)
{
}

void platform_window_flush(struct platform_thread *pt)
{
}

void platform_interrupt(struct platform_thread *pt)
{
}

void platform_get_regs(struct platform_thread *pt, struct guest_regs *out)
{
    *out = (struct guest_regs){0};
}

uint64_t platform_vdso_addr(const struct platform *p)
{
    return 0x7fff10000000;
}

int platform_mm_create(struct platform *p, struct platform_mm **ret_mm, struct platform_thread **ret_thread)
{
    *ret_mm = (void *)1;
    *ret_thread = (void *)1;
    return 0;
}

int platform_fork(struct platform_thread *parent, struct platform_mm **ret_mm, struct platform_thread **ret_thread)
{
    return platform_mm_create(NULL, ret_mm, ret_thread);
}

void platform_mm_destroy(struct platform_mm *pm)
{
}

// ---- Kernel ----------------------------------------------------------------------------------------------------------

struct kernel *the_kernel(void)
{
    return &fake.kernel;
}

struct task *current_task(void)
{
    return &fake.task;
}

uint64_t task_rlimit(const struct task *t, int resource)
{
    return fake.limits[resource];
}

bool capable(struct task *t, int cap)
{
    return fake.privileged;
}

void task_wake(struct task *t)
{
}

void kernel_random(void *out, uint64_t size)
{
    memset(out, 0, size);
}

// ---- Files -----------------------------------------------------------------------------------------------------------

struct fake_file *fake_of(struct file *f)
{
    return (struct fake_file *)f;
}

struct file *fake_file(uint64_t size, bool writable)
{
    struct fake_file *f = calloc(1, sizeof(*f));

    f->refs = 1;
    f->fd = memfd_create("fake", 0);
    f->size = size;
    f->writable = writable;
    if (ftruncate(f->fd, 1 << 30))
        abort();
    for (uint64_t at = 0; at < size; at += PAGE_SIZE)
        if (pwrite(f->fd, &at, sizeof(at), (off_t)at) != sizeof(at))
            abort();
    return (struct file *)f;
}

int file_map_source(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared, struct map_source *out)
{
    uint64_t end = fake_of(f)->size;

    *out = (struct map_source){.fd = fake_of(f)->fd, .offset = offset, .valid = PAGE_UP(end > offset ? end - offset : 0)};
    return 0;
}

int file_map_check(struct file *f, int prot, bool shared)
{
    return shared && (prot & PROT_WRITE) && !fake_of(f)->writable ? -EACCES : 0;
}

int file_map_max_prot(struct file *f, bool shared)
{
    return PROT_READ | PROT_EXEC | (shared && !fake_of(f)->writable ? 0 : PROT_WRITE);
}

int file_map_sync(struct file *f, uint64_t offset, uint64_t size)
{
    return 0;
}

int file_map_remove(struct file *f, uint64_t offset, uint64_t size)
{
    return 0;
}

bool file_map_immutable(const struct file *f)
{
    return false;
}

const void *file_map_identity(const struct file *f)
{
    return f;
}

void file_map_added(struct file *f, bool may_write)
{
    fake_of(f)->maps++;
}

void file_map_removed(struct file *f, bool may_write)
{
    fake_of(f)->maps--;
}

void file_map_describe(struct file *f, uint32_t *dev, uint64_t *ino, struct strbuf *path)
{
    strbuf_puts(path, "/fake");
}

int file_deny_write(struct file *f)
{
    fake_of(f)->denied++;
    return 0;
}

void file_allow_write(struct file *f)
{
    fake_of(f)->denied--;
}

struct file *file_ref(struct file *f)
{
    fake_of(f)->refs++;
    return f;
}

void file_unref(struct file *f)
{
    if (--fake_of(f)->refs)
        return;
    if (fake_of(f)->maps)
        abort();
    close(fake_of(f)->fd);
    free(f);
}

struct file *file_create_anon_shared(uint64_t size)
{
    struct file *f = fake_file(0, true);
    fake_of(f)->size = size;
    return f;
}

// ---- The test's own --------------------------------------------------------------------------------------------------

void fake_start(uint64_t base)
{
    struct mm *mm;

    memset(&fake, 0, sizeof(fake));
    for (int i = 0; i < RLIMIT_COUNT; i++)
        fake.limits[i] = UINT64_MAX;
    lock_init(&fake.kernel.tasks_lock, LOCK_RANK_TASKLIST);
    list_init(&fake.kernel.tasks);
    mm_init(&fake.kernel);
    lock_init(&fake.task.lock, LOCK_RANK_TASK);
    fake.task.kernel = &fake.kernel;
    fake.task.group = &fake.group;
    list_push_back(&fake.kernel.tasks, &fake.task.all_node);
    if (mm_create(NULL, &mm, &fake.task.pt) < 0)
        abort();
    fake.task.mm = mm;
    mm->mmap_base = base;
    mm->free_from = base;
}

void fake_stop(void)
{
    struct mm *mm = fake.task.mm;

    for (struct vma *v = vma_first(mm); v; v = vma_next(v))
        (void)munmap((void *)v->start, v->end - v->start);
    fake.task.mm = NULL;
    mm_put(mm);
}

void fake_show(struct mm *mm, uint64_t base, uint64_t end, char *out, size_t room)
{
    size_t used = 0;

    out[0] = 0;
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        if (v->start < base || v->start >= end)
            continue;
        used += (size_t)snprintf(out + used, room - used, "%llu-%llu %c%c%c%c\n",
                                 (unsigned long long)(v->start - base) / PAGE_SIZE,
                                 (unsigned long long)(v->end - base) / PAGE_SIZE, v->prot & PROT_READ ? 'r' : '-',
                                 v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-',
                                 v->flags & VMA_SHARED ? 's' : 'p');
    }
}

int64_t file_read_range(struct file *f, void *buf, uint64_t size, uint64_t offset)
{
    (void)f, (void)buf, (void)size, (void)offset;
    return -EIO;
}

void platform_mm_died(const struct platform_mm *pm)
{
    (void)pm;
}

struct session;
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s);
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s)
{
    (void)s;
}

void platform_set_regs(struct platform_thread *pt, const struct guest_regs *regs)
{
    (void)pt;
    (void)regs;
}
