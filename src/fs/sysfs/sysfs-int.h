// Tables of sysfs and how their entries are written.
#pragma once

#include "fs/tree.h"

enum sysfs_table {
    SYSFS_ROOT,
    SYSFS_EMPTY,
    SYSFS_BUS,
    SYSFS_BUS_ONE,
    SYSFS_CLASS,
    SYSFS_CLASS_DMI,
    SYSFS_CLASS_MEM,
    SYSFS_CLASS_NET,
    SYSFS_CLASS_TTY,
    SYSFS_DEV,
    SYSFS_DEV_CHAR,
    SYSFS_DEVICES,
    SYSFS_VIRTUAL,
    SYSFS_VIRTUAL_MEM,
    SYSFS_VIRTUAL_NET,
    SYSFS_VIRTUAL_TTY,
    SYSFS_DEVICE,
    SYSFS_LOOPBACK,
    SYSFS_STATISTICS,
    SYSFS_DMI,
    SYSFS_DMI_ID,
    SYSFS_FS,
    SYSFS_KERNEL,
    SYSFS_KERNEL_MM,
    SYSFS_HUGE,
    SYSFS_SYSTEM, // from here on: machine.c
    SYSFS_CPUS,
    SYSFS_CPU,
    SYSFS_TOPOLOGY,
    SYSFS_CACHES,
    SYSFS_CACHE,
    SYSFS_SMT,
    SYSFS_NODES,
    SYSFS_NODE,
    SYSFS_TABLE_COUNT
};

enum sysfs_device {
    SYSFS_DEV_NULL,
    SYSFS_DEV_ZERO,
    SYSFS_DEV_FULL,
    SYSFS_DEV_RANDOM,
    SYSFS_DEV_URANDOM,
    SYSFS_DEV_KMSG,
    SYSFS_DEV_TTY,
    SYSFS_DEV_CONSOLE,
    SYSFS_DEV_PTMX,
};

#define SYSFS_DIR(name_, table_)                                                \
    {                                                                           \
        .name = (name_), .mode = S_IFDIR | 0755, .table = (table_)              \
    }
#define SYSFS_TEXT(name_, text_)                                                \
    {                                                                           \
        .name = (name_), .mode = S_IFREG | 0444, .text = (text_)                \
    }
#define SYSFS_SHOWN(name_, show_, arg_)                                         \
    {                                                                           \
        .name = (name_), .mode = S_IFREG | 0444, .show = (show_), .arg = (arg_) \
    }
#define SYSFS_SYMLINK(name_, text_)                                             \
    {                                                                           \
        .name = (name_), .mode = S_IFLNK | 0777, .text = (text_)                \
    }

extern const struct tree_table sysfs_cpus_table, sysfs_cpu_table, sysfs_topology_table, sysfs_caches_table,
    sysfs_cache_table, sysfs_smt_table, sysfs_nodes_table, sysfs_node_table;
