// Kernel threads by number: what a thread runs is found in a constant table, so that no code pointer lies in memory that
// outlives a checkpoint. Threads are pooled: one whose work is done waits for the next, on the same stack.
#pragma once

struct task;

enum kernel_thread_kind {
    KERNEL_THREAD_TASK,  // arg: struct task *; task_run()
    KERNEL_THREAD_TIMER, // timer_thread()
    KERNEL_THREAD_LISTENER, // the platform's service threads; arg: struct platform *
    KERNEL_THREAD_REAPER,
    KERNEL_THREAD_POOL,
    KERNEL_THREAD_CONTROL,  // kernel_control_main(); arg: struct kernel *
    KERNEL_THREAD_EVENTS,   // host_events_main(); arg: struct kernel *
    KERNEL_THREAD_GOFER,    // gofer_client_main(); arg: struct kernel *
    KERNEL_THREAD_CONSOLE_IN,  // console_read_main(); arg: struct tty *
    KERNEL_THREAD_CONSOLE_OUT, // console_write_main(); arg: struct tty *
    KERNEL_THREAD_KIND_COUNT
};

// 0, -EAGAIN or -ENOMEM. The thread runs at once. Its kind's function ends by kernel_thread_exit(), or never.
int kernel_thread_create(enum kernel_thread_kind kind, void *arg);
// Ends the work of the calling thread, whatever is on its stack.
_Noreturn void kernel_thread_exit(void);
// current_task(): kernel/task.h
