// What the system calls on files share.
#pragma once

#include "vfs/vfs-int.h"

// The open file of a descriptor for the length of one call. *borrowed: no reference was taken, since the table is this task's
// alone and nobody else can close the descriptor meanwhile. O_PATH files too. NULL: EBADF.
static inline struct file *fd_borrow(struct task *t, int fd, bool *borrowed)
{
    struct fd_table *table = t->files;
    *borrowed = refcount_read(&table->refs) == 1;
    if (likely(*borrowed))
        return likely((uint32_t)fd < table->size) ? table->entries[fd].file : NULL;
    return fd_get(t, fd);
}

static inline void fd_return(struct file *f, bool borrowed)
{
    if (!borrowed)
        file_unref(f);
}

// F_SETFL: what may be changed of flags. fcntl.c.
int file_set_flags(struct task *t, struct file *f, uint32_t flags);

// The walk of a call that changes a directory: to the directory of the path's last component.
struct parent_walk {
    struct path dir;
    struct last_component last;
    char small[PATH_SMALL];
    char *text; // the path; last.name points into it
};

static inline int parent_walk_begin(struct task *t, int dirfd, uaddr_t path, struct parent_walk *w)
{
    w->dir = (struct path){0};
    int r = path_copy_name(t, path, w->small, &w->text);
    if (r < 0)
        return r;
    r = path_lookup_parent(t, dirfd, w->text, 0, &w->dir, &w->last);
    if (r < 0)
        path_name_done(w->small, w->text);
    return r;
}

static inline void parent_walk_done(struct parent_walk *w)
{
    path_put(&w->dir);
    path_name_done(w->small, w->text);
}
