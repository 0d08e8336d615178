// The engine of proc and sysfs: directories are constant tables of entries, files are texts made when they are read.
//
// An inode names its entry by table and index, and what else tells it apart by numbers: the process or thread, a descriptor, a CPU.
// It holds no reference to a task: an open file or a cached name never keeps a process in memory, and a process that is gone is
// noticed by its start time, which no later owner of the number shares.
//
// Locking: nodes are immutable. A file's text is a counted object: file.priv's lock (LOCK_RANK_OBJECT) guards the pointer to it.
// The functions of entries are called with file.pos_lock or a directory's dir_lock at most, and may sleep.
#pragma once

#include "base/strbuf.h"
#include "vfs/vfs-int.h"

// Which process or thread a node is about.
struct task_id {
    uint32_t tid;  // 0: none
    bool thread;   // the thread; else its process, whose leader may change (exec)
    nsec_t start;  // of the thread or the group
};

struct tree_node { // inode.priv
    uint16_t table, index;
    uint32_t number;  // descriptor, CPU
    uint32_t number2; // of what is below that
    struct task_id id;
};

// What an entry's function is called with.
struct tree_call {
    const struct tree_node *node;
    const struct tree_entry *entry;
    struct task *task; // reference of the caller's; NULL when the node is about none
    struct file *file; // NULL but for reading, writing and polling
};

enum tree_entry_flags {
    ENTRY_PTRACE_OPEN = 1 << 0, // only who may trace the process may open it (EACCES)
    ENTRY_PTRACE = 1 << 1,      // ... may read it, or follow it (EACCES)
    ENTRY_POLL_MOUNTS = 1 << 2, // poll tells of changed mounts
    ENTRY_SAME_GROUP = 1 << 3,  // the process itself may enter, whatever the mode says
    ENTRY_THREADS = 1 << 4,     // nlink counts the threads
    ENTRY_NUMBER = 1 << 6,      // arg is the number of what is below
    ENTRY_FD_LINK = 1 << 5,     // st_size 64, as Linux shows it
};

struct tree_entry {
    const char *name;
    uint32_t mode;  // with S_IFMT
    uint16_t table; // of a directory
    uint16_t flags;
    uint32_t arg;     // the function's own
    const char *text; // constant contents, when there is no show
    // Files: appends the contents. Links: the target. 0 or a negative errno.
    int (*show)(const struct tree_call *c, struct strbuf *out);
    // text: NUL-terminated copy of what was written, at most TREE_WRITE_MAX bytes. Bytes taken, or a negative errno.
    int64_t (*store)(const struct tree_call *c, char *text, uint64_t size);
    int (*follow)(const struct tree_call *c, struct path *ret); // magic links
    int (*open)(const struct tree_call *c, struct file *f);     // files of a type of their own
    bool (*present)(const struct tree_call *c);                 // NULL: always there
};
#define TREE_WRITE_MAX 4095
#define ULL(x) ((unsigned long long)(x))

// Children that come and go, named by a number with an optional prefix. c is the directory's.
struct tree_dynamic {
    struct tree_entry entry; // what every child is; its name is the prefix
    bool tasks;              // the number is a process's or thread's id
    // The first number >= from, in *ret; false: none.
    bool (*next)(const struct tree_call *c, uint64_t from, uint64_t *ret);
    // Completes child, which is a copy of the directory's node with table, index and number (or id.tid) set, and *mode, which is
    // the entry's. 0 or -ENOENT.
    int (*child)(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode);
};

struct tree_table {
    const struct tree_entry *entries;
    uint32_t count;
    const struct tree_dynamic *dynamic;
    bool no_cache; // names of children are not kept
    bool settings; // files that can't be written can't be opened for it, whatever the privileges (EACCES)
};

struct tree {
    const struct tree_table *const *tables; // the first is the root's
    uint32_t count;
    enum inode_type dir, file, link;
    enum file_type dir_file, text_file;
    int no_create; // errno of creating something
    uint64_t file_size; // st_size of files
};
extern const struct tree proc_tree;
extern const struct tree sysfs_tree; // fs/sysfs/

#define TREE_INDEX_DYNAMIC 0x3ff // tree_node.index of a table's dynamic children; table is the directory's
#define TREE_INDEX_ROOT 0x3fe

#define TREE_ENTRIES(array) .entries = (array), .count = ARRAY_SIZE(array)

const struct tree *tree_of(const struct super_block *sb);
const struct tree_entry *tree_entry_of(const struct tree *tree, const struct tree_node *node);
// A super block whose root shows tree's table 0. *ret: one reference.
int tree_super_create(enum super_type type, uint64_t magic, struct super_block **ret);
int tree_statfs(struct super_block *sb, struct kstatfs *out);
int tree_sync(struct super_block *sb);
int tree_revalidate(struct dentry *d);

// An inode of sb, which need not be of the tree's own type, for a node (copied). NULL: no memory.
struct inode *tree_make_inode(struct super_block *sb, const struct tree_node *node, uint32_t mode);

// The call for an inode or an open file. -ESRCH: the process is gone. tree_call_done() drops the reference.
int tree_call_init(struct tree_call *c, struct inode *inode, struct file *f);
void tree_call_done(struct tree_call *c);

// ---- Operations, for the tables of both file systems ----
int tree_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret);
int tree_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
                struct inode **ret);
int tree_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred, struct inode **ret);
int tree_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                 struct inode **ret);
int tree_link(struct inode *dir, const char *name, uint32_t len, struct inode *target);
int64_t tree_readlink(struct inode *inode, char *buf, uint64_t size);
int tree_follow(struct inode *inode, struct path *ret);
int tree_getattr(struct inode *inode);
int tree_setattr(struct inode *inode, const struct setattr *attr);
int tree_permission(struct inode *inode, const struct cred *cred, int mask);
int tree_dir_open(struct inode *inode, struct file *f);
int tree_file_open(struct inode *inode, struct file *f);
void tree_evict(struct inode *inode);
int tree_iterate(struct file *f, struct dir_emit *d);
int64_t tree_file_read(struct file *f, struct uio *u, uint64_t *pos);
int64_t tree_file_write(struct file *f, struct uio *u, uint64_t *pos);
int64_t tree_file_seek(struct file *f, int64_t offset, int whence);
uint32_t tree_file_poll(struct file *f);
struct wait_queue *tree_file_poll_queue(struct file *f);
void tree_file_release(struct file *f);

// The process or thread of an id: a reference, or NULL when it is gone.
struct task *task_id_get(const struct task_id *id);
// May the caller look into target: ptrace(2), "Ptrace access mode checking", PTRACE_MODE_READ_FSCREDS?
bool proc_may_trace(struct task *target);

// ---- Parsing what is written ----
// One number, with white space around it. base 0: as strtoll's. False when it is none or does not fit.
bool tree_parse_i64(const char *text, int base, int64_t *ret);
bool tree_parse_u64(const char *text, int base, uint64_t *ret);

// ---- Figures that both show (fs/proc/system.c, cpuinfo.c) ----
struct proc_memory { // bytes
    uint64_t total, free, available, anon, shared, cached, slab, page_tables, committed;
};
void proc_get_memory(struct proc_memory *out);
// "0-3": the CPUs of the sandbox, and a new line.
void proc_show_cpu_list(struct strbuf *out);
