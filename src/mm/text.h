// Patched text: a file's executable segment, copied once into the memory file with its system calls turned into jumps to the
// stub (platform.h), and mapped in place of the file's own pages by every later process that maps it.
#pragma once

#include "base/types.h"
#include "mm/mm.h"

struct file;
struct kernel;
struct map_source;
struct task;
struct trap;
struct vma;

int text_init(struct kernel *k);
// A call of t trapped at rip (the instruction after `syscall`): counts, and patches the file's text when that pays.
void text_note_trap(struct task *t, uint64_t rip);
// A mapping of v from source is about to be queued on target: redirects source to the patched copy when there is one. mm.lock
// is held.
void text_substitute(const struct mm_target *target, const struct vma *v, struct map_source *source);
// Whether text_substitute() would have a copy for v. mm.lock is held.
bool text_has_copy(const struct vma *v);
// Finds the system calls in an ELF file's executable segment that are certain: text is the segment's bytes. Returns how many of
// at most `room` were written to sites, with offsets relative to the segment. Pure; for tests and fuzzing, too.
struct text_segment {
    uint64_t offset, vaddr, size; // of the executable segment: in the file, in memory, bytes
    uint64_t frames_offset, frames_vaddr, frames_size; // PT_GNU_EH_FRAME
};
struct platform_site;
bool text_parse(const uint8_t *head, uint64_t size, struct text_segment *out);
uint32_t text_find_sites(const struct text_segment *segment, const uint8_t *text, const uint8_t *frames,
                         struct platform_site *sites, uint32_t room);
