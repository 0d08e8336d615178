// A process's memory: maps, smaps, mem, cmdline, environ, auxv.
//
// DEVIATION: proc: /proc/PID/mem can't write where the mapping is read-only (EIO), which Linux allows to debuggers. pagemap can't
// be opened (EPERM).
#include "base/slab.h"
#include "fs/proc/proc-int.h"
#include "mm/copy.h"
#include "mm/mm.h"

enum { CHUNK = 64 << 10, TITLE_MAX = 4096 };

// ---- Maps ----

int proc_show_maps(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    if (!mm)
        return 0;
    mm_show_maps(mm, out, c->entry->arg != 0);
    mm_put(mm);
    return 0;
}

int proc_show_smaps_rollup(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    if (!mm)
        return -ESRCH;
    mm_show_smaps_rollup(mm, out);
    mm_put(mm);
    return 0;
}

int proc_show_auxv(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    if (!mm)
        return 0;
    strbuf_append(out, mm->auxv, MIN(mm->auxv_count, (uint32_t)MM_AUXV_MAX) * sizeof(uint64_t));
    mm_put(mm);
    return 0;
}

// ---- Arguments and environment ----

// What is there of [start, end).
static void append_memory(struct mm *mm, uint64_t start, uint64_t end, struct strbuf *out)
{
    char *buf = kmalloc(CHUNK);
    while (buf && start < end && !out->truncated) {
        uint64_t want = MIN(end - start, (uint64_t)CHUNK);
        uint64_t n = copy_in_mm(mm, buf, start, want);
        strbuf_append(out, buf, n);
        if (n < want)
            break;
        start += n;
    }
    kfree(buf);
}

int proc_show_environ(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    if (mm && mm->env_end > mm->env_start)
        append_memory(mm, mm->env_start, MIN(mm->env_end, mm->env_start + (8 << 20)), out);
    mm_put(mm);
    return 0;
}

// A program that has written a title over its arguments has also overwritten the NUL at their end: then what is shown is one
// string, which may run on into the environment (setproctitle(3)).
int proc_show_cmdline(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    if (!mm || mm->arg_end <= mm->arg_start) {
        mm_put(mm);
        return 0;
    }
    uint64_t end = MIN(mm->arg_end, mm->arg_start + (8 << 20));
    append_memory(mm, mm->arg_start, end, out);
    if (out->size && out->data[out->size - 1]) {
        if (mm->env_start == mm->arg_end)
            append_memory(mm, mm->env_start, MIN(mm->env_end, mm->env_start + TITLE_MAX), out);
        uint64_t size = strnlen(out->data, out->size);
        out->size = MIN(size + 1, out->size);
    }
    mm_put(mm);
    return 0;
}

// ---- mem ----

// The file doesn't keep the address space in memory; it remembers which one it was opened on.
struct mem_file { // file.priv
    const struct mm *mm; // compared, never followed
    uint64_t stack;      // tells it from a later one at the same place
};

int proc_open_mem(const struct tree_call *c, struct file *f)
{
    struct mm *mm = task_get_mm(c->task);
    struct mem_file *m = kmalloc(sizeof(*m));
    if (!m) {
        mm_put(mm);
        return -ENOMEM;
    }
    if (mm)
        *m = (struct mem_file){.mm = mm, .stack = mm->start_stack};
    mm_put(mm);
    f->type = FILE_PROC_MEM;
    f->priv = m;
    return 0;
}

static struct mm *mem_get(struct file *f)
{
    struct mem_file *m = f->priv;
    struct tree_call c;
    if (tree_call_init(&c, f->inode, f) < 0)
        return NULL;
    struct mm *mm = task_get_mm(c.task);
    tree_call_done(&c);
    if (mm && (mm != m->mm || mm->start_stack != m->stack)) {
        mm_put(mm);
        mm = NULL;
    }
    return mm;
}

static int64_t mem_move(struct mm *mm, struct uio *u, uint64_t addr, char *buf, bool write)
{
    uint64_t n = MIN(u->remaining, (uint64_t)CHUNK);
    if (!write) {
        n = copy_in_mm(mm, buf, addr, n);
        return n ? uio_put(u, buf, n) : -EIO;
    }
    int64_t got = uio_get(u, buf, n);
    if (got <= 0)
        return got;
    n = copy_out_mm(mm, addr, buf, (uint64_t)got);
    if (n < (uint64_t)got)
        uio_revert(u, (uint64_t)got - n);
    return n ? (int64_t)n : -EIO;
}

static int64_t mem_transfer(struct file *f, struct uio *u, uint64_t *pos, bool write)
{
    struct mm *mm = mem_get(f);
    char *buf = mm ? kmalloc(CHUNK) : NULL;
    uint64_t done = 0;
    int64_t n = mm && !buf ? -ENOMEM : 0;
    while (buf && u->remaining) {
        uint64_t want = MIN(u->remaining, (uint64_t)CHUNK);
        n = mem_move(mm, u, *pos, buf, write);
        if (n <= 0)
            break;
        *pos += (uint64_t)n;
        done += (uint64_t)n;
        if ((uint64_t)n < want)
            break;
    }
    kfree(buf);
    mm_put(mm);
    return done ? (int64_t)done : n;
}

static int64_t mem_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return mem_transfer(f, u, pos, false);
}

static int64_t mem_write(struct file *f, struct uio *u, uint64_t *pos)
{
    return mem_transfer(f, u, pos, true);
}

static void mem_release(struct file *f)
{
    kfree(f->priv);
}

const struct file_ops proc_mem_file_ops = {
    .read = mem_read,
    .write = mem_write,
    .seek = tree_file_seek,
    .release = mem_release,
};

int proc_open_refused(const struct tree_call *c, struct file *f)
{
    return -EPERM;
}
