// An address space to test mm/ with: the platform's commands are carried out by the test process on itself, and what the
// kernel around it would answer (limits, files, randomness) is answered by a few variables.
#pragma once

#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/copy.h"
#include "mm/mm-int.h"
#include "mm/mm.h"

struct fake_file { // what a struct file * points to here
    int refs, maps, denied;
    int fd;
    uint64_t size; // end of file, as file_map_source() reports it
    bool writable;
};

struct fake {
    uint64_t limits[RLIMIT_COUNT];
    bool privileged;
    int fail_commit; // the nth commit from now on fails, 0: none
    int commits, commands;
    struct kernel kernel;
    struct task task;
    struct thread_group group;
};
extern struct fake fake;

// Makes fake.task with an empty map whose mmap_base is `base`.
void fake_start(uint64_t base);
// Unmaps everything and frees the map.
void fake_stop(void);
struct file *fake_file(uint64_t size, bool writable);
struct fake_file *fake_of(struct file *f);
// "start-end prot flags" of each area, relative to base, in pages; for comparing maps.
void fake_show(struct mm *mm, uint64_t base, uint64_t end, char *out, size_t room);
