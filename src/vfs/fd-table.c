// Descriptor tables.
//
// A number is reserved in the bitmap first and its file is put in last, so that a half-made descriptor is never seen; a reserved
// number without a file reads as free. fd_table.lock guards every change. Looking up takes no lock: memory of files is only ever
// used for files, so a pointer that has just left the table can still be asked for its count; what was found is believed when it
// still stands there once a reference is taken. An array that was outgrown is kept until the table goes, for such readers.
#include "base/log.h"
#include "base/slab.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(table_type, SLAB_FD_TABLE, struct fd_table);

enum {
    FIRST_SIZE = 64,
    NR_OPEN = 1 << 20, // /proc/sys/fs/nr_open
};

static uint64_t bitmap_size(uint32_t size)
{
    return (uint64_t)size / 64 * sizeof(uint64_t);
}

struct fd_table *fd_table_alloc(uint32_t size)
{
    struct fd_table *table = slab_alloc(&table_type);
    if (!table)
        return NULL;
    size = MAX((size + 63) & ~63u, FIRST_SIZE);
    refcount_init(&table->refs, 1);
    lock_init(&table->lock, LOCK_RANK_FD_TABLE);
    table->size = size;
    table->entries = kmalloc((size + 1) * sizeof(struct fd_entry));
    table->used = kmalloc(bitmap_size(size));
    if (!table->entries || !table->used) {
        kfree(table->entries);
        kfree(table->used);
        slab_free(&table_type, table);
        return NULL;
    }
    return table;
}

struct fd_table *fd_table_ref(struct fd_table *table)
{
    refcount_get(&table->refs);
    return table;
}

// One entry beyond the last links an array to the one that it replaced.
static void free_arrays(struct fd_entry *entries, uint32_t size)
{
    while (entries) {
        struct fd_entry *older = (struct fd_entry *)entries[size].file;
        kfree(entries);
        entries = older;
        size /= 2;
    }
}

static bool bit_used(const struct fd_table *table, uint32_t fd)
{
    return table->used[fd / 64] >> (fd % 64) & 1;
}

// What a close by a task does beside dropping the reference; t NULL: a table that nobody uses any more.
static void close_file(struct task *t, struct fd_table *table, struct file *f)
{
    if (f->inode && f->inode->locks && f->type != FILE_PATH)
        file_locks_close(table, f);
    const struct file_ops *ops = file_ops(f);
    if (ops->flush)
        ops->flush(f, t);
    file_unref(f);
}

void fd_table_unref(struct fd_table *table)
{
    if (!table || !refcount_put(&table->refs))
        return;
    struct task *t = current_task();
    for (uint32_t w = 0; w < table->size / 64; w++) {
        while (table->used[w]) {
            uint32_t fd = w * 64 + (uint32_t)__builtin_ctzll(table->used[w]);
            table->used[w] &= table->used[w] - 1;
            if (table->entries[fd].file)
                close_file(t, table, table->entries[fd].file);
        }
    }
    free_arrays(table->entries, table->size);
    kfree(table->used);
    slab_free(&table_type, table);
}

struct fd_table *fd_table_copy(struct fd_table *old, uint32_t max)
{
    struct fd_table *table = NULL;
    uint32_t size;
    lock_take(&old->lock);
    for (;;) {
        uint32_t top = 0;
        for (uint32_t w = old->size / 64; w-- > 0 && !top;) {
            if (old->used[w])
                top = (w + 1) * 64;
        }
        size = MAX(MIN(top, (uint32_t)MIN((uint64_t)max + 63, NR_OPEN) & ~63u), FIRST_SIZE);
        if (table && table->size >= size)
            break;
        lock_release(&old->lock);
        fd_table_unref(table);
        table = fd_table_alloc(size);
        if (!table)
            return NULL;
        lock_take(&old->lock);
    }
    uint32_t count = MIN(MIN(old->size, table->size), max);
    for (uint32_t fd = 0; fd < count; fd++) {
        if (!bit_used(old, fd) ||
            !old->entries[fd].file) // reserved ones belong to a call under way elsewhere
            continue;
        table->entries[fd] = old->entries[fd];
        file_ref(table->entries[fd].file);
        table->used[fd / 64] |= BIT(fd % 64);
        table->count++;
    }
    lock_release(&old->lock);
    return table;
}

// ---- Looking up ----

struct file *fd_table_get(struct fd_table *table, uint32_t fd)
{
    if (fd >= __atomic_load_n(&table->size, __ATOMIC_ACQUIRE))
        return NULL;
    for (;;) {
        struct fd_entry *entries = __atomic_load_n(&table->entries, __ATOMIC_ACQUIRE);
        struct file *f = __atomic_load_n(&entries[fd].file, __ATOMIC_ACQUIRE);
        if (!f)
            return NULL;
        if (!refcount_get_unless_zero(&f->refs))
            continue; // closed: the table says so already
        if (entries == __atomic_load_n(&table->entries, __ATOMIC_ACQUIRE) &&
            f == __atomic_load_n(&entries[fd].file, __ATOMIC_ACQUIRE))
            return f;
        file_unref(f);
    }
}

struct file *fd_get(struct task *t, int fd)
{
    struct fd_table *table = t->files;
    if (unlikely(refcount_read(&table->refs) != 1))
        return fd_table_get(table, (uint32_t)fd);
    if (unlikely((uint32_t)fd >= table->size))
        return NULL;
    struct file *f = table->entries[fd].file;
    return f ? file_ref(f) : NULL;
}

struct file *fd_get_rw(struct task *t, int fd)
{
    struct file *f = fd_get(t, fd);
    if (f && unlikely(f->type == FILE_PATH)) {
        file_unref(f);
        return NULL;
    }
    return f;
}

int64_t fd_table_next(struct fd_table *table, uint32_t from)
{
    int64_t found = -1;
    lock_take(&table->lock);
    for (uint32_t fd = from; fd < table->size && found < 0; fd++) {
        if (!table->used[fd / 64])
            fd |= 63;
        else if (table->entries[fd].file)
            found = fd;
    }
    lock_release(&table->lock);
    return found;
}

// ---- Numbers ----

// Doubles the table. table->lock held.
static int double_locked(struct fd_table *table)
{
    uint32_t old = table->size, size = old * 2;
    struct fd_entry *entries = kmalloc((uint64_t)(size + 1) * sizeof(*entries));
    uint64_t *used = kmalloc(bitmap_size(size));
    if (!entries || !used) {
        kfree(entries);
        kfree(used);
        return -ENOMEM;
    }
    memcpy(entries, table->entries, old * sizeof(*entries));
    memcpy(used, table->used, bitmap_size(old));
    entries[size].file = (struct file *)table->entries;
    kfree(table->used);
    table->used = used;
    STORE_RELEASE(table->entries, entries);
    STORE_RELEASE(table->size,
                  size); // after the array: a reader who sees the size sees that many entries
    return 0;
}

// Makes room for number fd. table->lock held.
static int grow_locked(struct fd_table *table, uint32_t fd)
{
    int r = 0;
    while (r == 0 && fd >= table->size)
        r = double_locked(table);
    return r;
}

// Lowest free number from min on, which may lie beyond the table. table->lock held.
static uint32_t lowest_free_locked(const struct fd_table *table, uint32_t min)
{
    uint32_t fd = MAX(min, table->next);
    while (fd < table->size) {
        uint64_t free = ~table->used[fd / 64] & ~0ull << (fd % 64);
        if (free)
            return fd / 64 * 64 + (uint32_t)__builtin_ctzll(free);
        fd = (fd / 64 + 1) * 64;
    }
    return fd;
}

int fd_reserve(struct task *t, bool cloexec, int min)
{
    struct fd_table *table = t->files;
    uint64_t limit = MIN(task_rlimit(t, RLIMIT_NOFILE), NR_OPEN);
    if (min < 0)
        return -EINVAL;
    lock_take(&table->lock);
    uint32_t fd = lowest_free_locked(table, (uint32_t)min);
    int r = fd >= limit ? -EMFILE : grow_locked(table, fd);
    if (r == 0) {
        table->used[fd / 64] |= BIT(fd % 64);
        table->entries[fd].cloexec = cloexec; // the file is NULL
        table->count++;
        if ((uint32_t)min <= table->next)
            table->next = fd + 1;
        r = (int)fd;
    }
    lock_release(&table->lock);
    return r;
}

void fd_publish(struct task *t, int fd, struct file *f)
{
    struct fd_table *table = t->files;
    lock_take(&table->lock);
    BUG_ON((uint32_t)fd >= table->size || table->entries[fd].file);
    STORE_RELEASE(table->entries[fd].file, f);
    lock_release(&table->lock);
}

static void free_number_locked(struct fd_table *table, uint32_t fd)
{
    STORE_RELEASE(table->entries[fd].file, NULL);
    table->entries[fd].cloexec = false;
    table->used[fd / 64] &= ~BIT(fd % 64);
    table->count--;
    if (fd < table->next)
        table->next = fd;
}

void fd_unreserve(struct task *t, int fd)
{
    struct fd_table *table = t->files;
    lock_take(&table->lock);
    BUG_ON((uint32_t)fd >= table->size || table->entries[fd].file);
    free_number_locked(table, (uint32_t)fd);
    lock_release(&table->lock);
}

int fd_install(struct task *t, struct file *f, bool cloexec, int min)
{
    int fd = fd_reserve(t, cloexec, min);
    if (fd >= 0)
        fd_publish(t, fd, f);
    return fd;
}

int fd_close(struct task *t, int fd)
{
    struct fd_table *table = t->files;
    struct file *f = NULL;
    lock_take(&table->lock);
    if ((uint32_t)fd < table->size && (f = table->entries[fd].file))
        free_number_locked(table, (uint32_t)fd);
    lock_release(&table->lock);
    if (!f)
        return -EBADF;
    close_file(t, table, f);
    return 0;
}

int fd_dup_to(struct task *t, struct file *f, uint32_t fd, bool cloexec)
{
    struct fd_table *table = t->files;
    struct file *old = NULL;
    if (fd >= MIN(task_rlimit(t, RLIMIT_NOFILE), NR_OPEN))
        return -EBADF;
    lock_take(&table->lock);
    int r = grow_locked(table, fd);
    if (r == 0) {
        old = table->entries[fd].file;
        if (!old && bit_used(table, fd))
            r = -EBUSY; // another thread's open is about to fill it, dup2(2)
    }
    if (r == 0) {
        if (!old) {
            table->used[fd / 64] |= BIT(fd % 64);
            table->count++;
        }
        table->entries[fd].cloexec = cloexec;
        STORE_RELEASE(table->entries[fd].file, file_ref(f));
    }
    lock_release(&table->lock);
    if (r == 0 && old)
        close_file(t, table, old);
    return r < 0 ? r : (int)fd;
}

int fd_get_cloexec(struct task *t, int fd)
{
    struct fd_table *table = t->files;
    lock_take(&table->lock);
    int r =
        (uint32_t)fd < table->size && table->entries[fd].file ? table->entries[fd].cloexec : -EBADF;
    lock_release(&table->lock);
    return r;
}

int fd_set_cloexec(struct task *t, int fd, bool on)
{
    struct fd_table *table = t->files;
    int r = -EBADF;
    lock_take(&table->lock);
    if ((uint32_t)fd < table->size && table->entries[fd].file) {
        table->entries[fd].cloexec = on;
        r = 0;
    }
    lock_release(&table->lock);
    return r;
}

void fd_table_close_range(struct task *t, uint32_t first, uint32_t last, bool only_cloexec_flag)
{
    struct fd_table *table = t->files;
    lock_take(&table->lock);
    for (uint64_t fd = first; fd <= last && fd < table->size; fd++) {
        if (!table->used[fd / 64]) {
            fd |= 63;
            continue;
        }
        struct file *f = table->entries[fd].file;
        if (!f)
            continue;
        if (only_cloexec_flag) {
            table->entries[fd].cloexec = true;
            continue;
        }
        free_number_locked(table, (uint32_t)fd);
        lock_release(&table->lock);
        close_file(t, table, f);
        lock_take(&table->lock);
    }
    lock_release(&table->lock);
}

void fd_table_close_on_exec(struct task *t)
{
    struct fd_table *table = t->files;
    lock_take(&table->lock);
    for (uint32_t fd = 0; fd < table->size; fd++) {
        if (!table->used[fd / 64]) {
            fd |= 63;
            continue;
        }
        struct file *f = table->entries[fd].file;
        if (!f || !table->entries[fd].cloexec)
            continue;
        free_number_locked(table, fd);
        lock_release(&table->lock);
        close_file(t, table, f);
        lock_take(&table->lock);
    }
    lock_release(&table->lock);
}
