// Open files of proc and sysfs: a text that is made when reading begins, and commands that are written.
//
// A read at offset 0 makes the text anew; reads further on go on in the same text, so that a reader with a small buffer sees one
// state. The text is let go at its end.
//
// Locking: tree_file.lock guards the pointer to the text. Texts are counted and immutable, so that none is held over a copy.
#include <stdatomic.h>
#include <sys/epoll.h>

#include "base/checked.h"
#include "base/slab.h"
#include "fs/tree.h"
#include "mm/copy.h"

struct text {
    refcount_t refs;
    struct strbuf buf;
};

struct tree_file { // file.priv
    struct lock lock; // LOCK_RANK_OBJECT
    struct text *text;
    struct fs_context *fs; // ENTRY_POLL_MOUNTS: whose mounts
    uint32_t mounts_seen;  // GUARDED_BY(lock)
};

static struct tree_file *file_of(const struct file *f)
{
    return f->priv;
}

static void text_unref(struct text *x)
{
    if (!x || !refcount_put(&x->refs))
        return;
    strbuf_done(&x->buf);
    kfree(x);
}

int tree_file_open(struct inode *inode, struct file *f)
{
    struct tree_call c;
    int r = tree_call_init(&c, inode, f);
    if (r < 0)
        return r;
    if ((c.entry->flags & ENTRY_PTRACE_OPEN) && !proc_may_trace(c.task))
        r = -EACCES;
    else if (c.entry->open)
        r = c.entry->open(&c, f);
    struct tree_file *tf = r == 0 && !c.entry->open ? kmalloc(sizeof(*tf)) : NULL;
    if (tf) {
        lock_init(&tf->lock, LOCK_RANK_OBJECT);
        if (c.entry->flags & ENTRY_POLL_MOUNTS)
            tf->fs = task_get_fs(c.task);
        if (tf->fs)
            tf->mounts_seen = atomic_load_explicit(&tf->fs->ns->sequence, memory_order_relaxed);
        f->type = (uint8_t)tree_of(inode->sb)->text_file;
        f->priv = tf;
    } else if (r == 0 && !c.entry->open) {
        r = -ENOMEM;
    }
    tree_call_done(&c);
    return r;
}

void tree_file_release(struct file *f)
{
    struct tree_file *tf = file_of(f);
    if (!tf)
        return;
    text_unref(tf->text);
    if (tf->fs)
        fs_context_unref(tf->fs);
    kfree(tf);
}

// ---- Reading ----

static int make_text(struct file *f, struct text **ret)
{
    struct tree_call c;
    int r = tree_call_init(&c, f->inode, f);
    if (r < 0)
        return r;
    struct text *x = kmalloc(sizeof(*x));
    if (!x)
        r = -ENOMEM;
    else if ((c.entry->flags & ENTRY_PTRACE) && !proc_may_trace(c.task))
        r = -EACCES;
    else if (c.entry->show)
        r = c.entry->show(&c, &x->buf);
    else if (c.entry->text)
        strbuf_puts(&x->buf, c.entry->text);
    tree_call_done(&c);
    if (r == 0 && x->buf.truncated)
        r = -ENOMEM;
    if (r < 0) {
        if (x)
            strbuf_done(&x->buf);
        kfree(x);
        return r;
    }
    refcount_init(&x->refs, 1);
    *ret = x;
    return 0;
}

// x, whose reference is taken over, or NULL becomes f's text.
static void set_text(struct tree_file *tf, struct text *x)
{
    lock_take(&tf->lock);
    struct text *old = tf->text;
    tf->text = x;
    lock_release(&tf->lock);
    text_unref(old);
}

static int get_text(struct file *f, bool fresh, struct text **ret)
{
    struct tree_file *tf = file_of(f);
    struct text *x = NULL;
    if (!fresh) {
        lock_take(&tf->lock);
        x = tf->text;
        if (x)
            refcount_get(&x->refs);
        lock_release(&tf->lock);
    }
    if (!x) {
        int r = make_text(f, &x);
        if (r < 0)
            return r;
        refcount_get(&x->refs);
        set_text(tf, x);
    }
    *ret = x;
    return 0;
}

int64_t tree_file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct text *x;
    int r = get_text(f, *pos == 0, &x);
    if (r < 0)
        return r;
    int64_t n = 0;
    if (*pos < x->buf.size && u->remaining)
        n = uio_put(u, x->buf.data + *pos, MIN(u->remaining, x->buf.size - *pos));
    bool end = *pos >= x->buf.size;
    text_unref(x);
    if (end)
        set_text(file_of(f), NULL);
    if (n > 0)
        *pos += (uint64_t)n;
    return n;
}

// ---- Writing ----

int64_t tree_file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    uint64_t size = u->remaining;
    struct tree_call c;
    if (size > TREE_WRITE_MAX)
        return -EINVAL;
    char *text = kmalloc(size + 1);
    if (!text)
        return -ENOMEM;
    int64_t n = uio_get(u, text, size);
    if (n >= 0 && (uint64_t)n == size) {
        n = tree_call_init(&c, f->inode, f);
        if (n == 0) {
            n = c.entry->store ? c.entry->store(&c, text, size) : -EIO;
            tree_call_done(&c);
        }
        set_text(file_of(f), NULL);
    } else if (n >= 0) {
        n = -EFAULT;
    }
    kfree(text);
    if (n > 0)
        *pos += (uint64_t)n;
    return n;
}

// ---- The rest ----

int64_t tree_file_seek(struct file *f, int64_t offset, int whence)
{
    if (whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    return generic_seek(f, offset, whence, 0);
}

uint32_t tree_file_poll(struct file *f)
{
    struct tree_file *tf = file_of(f);
    uint32_t events = EPOLLIN | EPOLLRDNORM;
    if (!tf->fs)
        return events | EPOLLOUT | EPOLLWRNORM;
    lock_take(&tf->lock);
    uint32_t now = __atomic_load_n((uint32_t *)&tf->fs->ns->sequence, __ATOMIC_ACQUIRE);
    if (now != tf->mounts_seen) {
        tf->mounts_seen = now;
        events |= EPOLLERR | EPOLLPRI;
    }
    lock_release(&tf->lock);
    return events;
}

struct wait_queue *tree_file_poll_queue(struct file *f)
{
    struct tree_file *tf = file_of(f);
    return tf->fs ? &tf->fs->ns->wq : NULL;
}

// ---- Parsing ----

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

bool tree_parse_u64(const char *text, int base, uint64_t *ret)
{
    uint64_t v = 0;
    while (is_space(*text))
        text++;
    if (*text == '+')
        text++;
    bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
    if (hex && (base == 0 || base == 16))
        text += 2;
    if (base == 0)
        base = hex ? 16 : text[0] == '0' ? 8 : 10;
    if (digit_of(*text) >= base)
        return false;
    for (; digit_of(*text) < base; text++) {
        if (!mul_u64(v, (uint64_t)base, &v) || !add_u64(v, (uint64_t)digit_of(*text), &v))
            return false;
    }
    while (is_space(*text))
        text++;
    if (*text)
        return false;
    *ret = v;
    return true;
}

bool tree_parse_i64(const char *text, int base, int64_t *ret)
{
    uint64_t v;
    while (is_space(*text))
        text++;
    bool negative = *text == '-';
    if (!tree_parse_u64(text + negative, base, &v) || v > INT64_MAX)
        return false;
    *ret = negative ? -(int64_t)v : (int64_t)v;
    return true;
}
