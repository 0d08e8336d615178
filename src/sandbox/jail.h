// The jail: how the two roles of caisson-sandbox lock themselves in at start. The steps are functions of their own
// because the kernel forks its zygote between them. All run while the process has one thread. Each returns 0 or a
// negative errno, and on failure says which step failed in *what ("mount of an empty root"); the caller then reports
// CONTROL_FAILED and ends: no step may be skipped.
//
// The order for the kernel role (architecture: order of the start):
//
//     jail_wait_for_go(&jail)          the command has written the user mapping
//     jail_enter_root(&jail)           namespaces, empty read-only root, host name, procfs at BOOT_FD_PROCFS
//     jail_become_nobody(&jail)        the one mapped id, no groups, no capability, no new privileges, pdeathsig
//     jail_reset_limits(&jail)         FSIZE, AS, CPU, CORE and the like; NOFILE to its hard limit
//     jail_close_descriptors(&jail)    whatever is not in boot-spec.h's list
//     jail_grow_descriptor_table(&jail)
//     jail_restrict_files(&jail)       Landlock: no file but procfs, where the host has it
//     jail_set_dumpable(true)          for the zygote, which the kernel process reads with process_vm_readv
//     ... fork the zygote; in the zygote jail_raise_oom_score(&jail) ...
//     jail_set_dumpable(false)
//     ... make the secrets: arena, keys; start what needs forbidden calls ...
//     jail_close_procfs(&jail)
//     jail_install_filter(JAIL_FILTER_KERNEL, flags)   nothing off the host call table from here on
//
// The gofer runs the same up to jail_restrict_files (which keeps its exports reachable) and then its own filter.
#pragma once

#include "base/types.h"
#include "sandbox/boot-spec.h"

enum jail_role { JAIL_KERNEL, JAIL_GOFER };
enum jail_filter { JAIL_FILTER_KERNEL, JAIL_FILTER_GOFER };

struct jail {
    enum jail_role role;
    const struct boot_spec *spec;
    const char *what; // the step that failed
    int nofile;       // after jail_reset_limits: the number of descriptors that may be open
    bool has_procfs;  // BOOT_FD_PROCFS is open
    int landlock_abi; // 0: the host has none
};

int jail_wait_for_go(struct jail *j);
int jail_enter_root(struct jail *j);
int jail_become_nobody(struct jail *j);
int jail_reset_limits(struct jail *j);
int jail_close_descriptors(struct jail *j);
int jail_grow_descriptor_table(struct jail *j);
int jail_restrict_files(struct jail *j);
int jail_set_dumpable(bool on);
int jail_raise_oom_score(
    struct jail *j); // of the calling process, to 500 above what it is, 1000 at most; needs procfs
void jail_close_procfs(struct jail *j);

// Installs the classic-BPF program that was generated from src/host/calls.tbl, on all threads (there is one). With trap
// a call off the list raises SIGSYS, for which jail_trap_handler() is installed and logs the number; without it the
// process is killed.
int jail_install_filter(enum jail_filter which, bool trap);

// Runs the steps up to and including jail_restrict_files in their order.
int jail_enter(struct jail *j);
