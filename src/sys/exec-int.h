// Internals of exec: one structure that collects everything about the new program until the point of no return.
#pragma once

#include "kernel/elf.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "vfs/file.h"

#define EXEC_MAX_DEPTH 5               // #! lines that name scripts
#define EXEC_MAX_STRING (128u << 10)   // MAX_ARG_STRLEN, with NUL
#define EXEC_HEAD_SIZE PAGE_SIZE       // of a file, read at once

// ---- Arguments (exec-args.c) ----
// The strings one after the other, as they will lie on the new stack: argv, envp.
struct guest_cache;
struct exec_args {
    char *data;
    uint64_t size, room;
    uint64_t args_size; // of argv's part
    uint64_t limit;     // for strings and pointers
    uint32_t argc, envc;
    struct guest_cache *cache; // guest memory that was read for them
};

void exec_args_init(struct exec_args *a, struct task *t);
void exec_args_done(struct exec_args *a);
// Adds to argv until exec_args_end_argv(), then to envp. 0, -E2BIG, -ENOMEM, -EFAULT.
int exec_args_add(struct exec_args *a, const char *s);
int exec_args_add_user(struct exec_args *a, struct task *t, uaddr_t array);
int exec_args_end_argv(struct exec_args *a); // an empty argv gets one empty string
// Replaces argv[0] by up to three strings (a #! line); argument may be NULL.
int exec_args_replace_first(struct exec_args *a, const char *interpreter, const char *argument, const char *script);

// ---- The whole (exec.c) ----
struct exec_binary {
    struct file *file; // reference
    uint64_t head_size;
    uint8_t head[EXEC_HEAD_SIZE];
    struct elf_image image;
    uint64_t bias; // what is added to the image's addresses
};

struct exec {
    struct task *t;
    struct exec_args args;
    char *filename;      // what AT_EXECFN shows; kmalloc'ed
    bool name_from_file; // the name for comm is that of the file (executed by descriptor)
    bool inaccessible;   // the path goes through a descriptor that exec will close: no #! lines
    bool denied_write;   // file_deny_write() holds for program.file
    struct exec_binary program, interpreter;
    char comm[16];

    struct cred *cred; // of the new program; reference
    bool secure;       // AT_SECURE
    bool ids_changed;

    struct mm *mm;
    struct platform_thread *pt;
    uint64_t entry, sp;
};

// ---- Credentials (exec-cred.c) ----
// Fills in cred, secure, ids_changed. 0, -ENOMEM, -EPERM (file capabilities that can't be had).
int exec_prepare_cred(struct exec *e);

// ---- Address space (exec-image.c) ----
// Reads program headers and the interpreter of e->program.
int exec_read_image(struct exec_binary *b);
// Makes e->mm with both images and the stack in it. On failure nothing is left.
int exec_build_mm(struct exec *e);
void exec_drop_mm(struct exec *e);
