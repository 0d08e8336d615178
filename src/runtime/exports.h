// The parts of the host's file tree that a sandbox may see, as descriptors of detached copies of their mounts. The gofer
// gets the descriptors and nothing else: no other mount is reachable from them.
#pragma once

#include "runtime/container.h"

struct export
{
    int fd;         // of the mount's root; O_PATH
    uint32_t flags; // boot_export_flags
    const char *path;
};

struct exports {
    struct export items[BOOT_MAX_EXPORTS]; // 0 is the root
    uint32_t count;
    uint32_t of_mount[BOOT_MAX_MOUNTS]; // for bind mounts of the container: index in items
};

// An unprivileged command makes itself a user name space in which only its own ids are mapped, and a mount name space that
// belongs to it. A privileged one stays where it is.
struct runtime_namespaces {
    int proc;      // the host's /proc
    bool rootless; // kernel processes are mapped to the caller, not to an id of their own
};
int runtime_namespaces_enter(struct runtime_namespaces *n, struct error *e);

// Opens root and bind sources. Kernel file systems (proc, sysfs, devices, cgroups) mounted beneath an exported directory
// are covered by empty read-only directories first, so that what they tell of the host is not exported with it. That
// happens in a mount name space that the command leaves again: covered, /proc would not be fit for the kernel process to
// mount its own.
int exports_open(struct container *c, const struct run_options *o, struct exports *x,
                 struct error *e);
void exports_close(struct exports *x);
