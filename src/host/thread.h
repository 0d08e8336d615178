// Threads of the kernel process, made by a clone of our own: libc's pthread_create() needs calls that the filter refuses.
//
// A thread gets one area of memory from its maker: stack below, thread-local storage and libc's thread control block at
// the top. libc believes that the process has one thread, so its malloc and stdio are out of bounds in threads; errno,
// string functions, vsnprintf and the vDSO's clocks work. Signals are handled on the thread's own stack.
#pragma once

#include "base/types.h"

// Bytes that an area needs beyond the wanted stack.
uint64_t host_thread_overhead(void);

// Starts entry(arg) on area (page-aligned, read-write, zeroed or reused after the earlier thread's end). *tid is written by
// the host before the thread runs, and zeroed with a (shared) futex wake once the area is free again. 0 or negative errno.
int host_thread_start(void *area, uint64_t size, void (*entry)(void *arg), void *arg,
                      _Atomic uint32_t *tid);

// Ends the calling thread. The area stays in use until its tid word is zero.
_Noreturn void host_thread_exit(void);

// Waits until the word is zero: the thread has ended and its area is free.
void host_thread_join(_Atomic uint32_t *tid);
