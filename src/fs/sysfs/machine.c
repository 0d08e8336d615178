// devices/system: CPUs with their topology and caches, and the memory node.
#include <cpuid.h>

#include "fs/sysfs/sysfs-int.h"
#include "kernel/kernel.h"

static uint32_t cpu_count(void)
{
    return MIN(MAX(the_kernel()->cpu_count, 1u), 1024u);
}

// One CPU, or all of them, as a mask ("00000000,0000000f") or a list ("0-3").
static void show_set(struct strbuf *out, bool all, uint32_t cpu, bool list)
{
    if (list) {
        if (all)
            proc_show_cpu_list(out);
        else
            strbuf_printf(out, "%u\n", cpu);
        return;
    }
    uint32_t words = (cpu_count() + 31) / 32, rest = cpu_count() % 32;
    for (uint32_t w = words; w-- > 0;) {
        uint32_t bits = all ? UINT32_MAX : cpu / 32 == w ? 1u << cpu % 32 : 0;
        if (w + 1 == words && rest) {
            bits &= (1u << rest) - 1;
            strbuf_printf(out, "%0*x", (int)(rest + 3) / 4, bits);
        } else {
            strbuf_printf(out, "%08x", bits);
        }
        strbuf_putc(out, w ? ',' : '\n');
    }
}

// ---- CPUs ----

enum { SET_ALL = 1, SET_LIST = 2 }; // bits of arg; without SET_ALL: the one CPU

static int show_cpus(const struct tree_call *c, struct strbuf *out)
{
    show_set(out, c->entry->arg & SET_ALL, c->node->number, c->entry->arg & SET_LIST);
    return 0;
}

static int show_number(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%u\n", c->node->number);
    return 0;
}

static bool cpu_next(const struct tree_call *c, uint64_t from, uint64_t *ret)
{
    *ret = from;
    return from < cpu_count();
}

static int cpu_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    return number < cpu_count() ? 0 : -ENOENT;
}

static const struct tree_dynamic cpus = {
    .entry = {.name = "cpu", .mode = S_IFDIR | 0755, .table = SYSFS_CPU},
    .next = cpu_next,
    .child = cpu_child,
};
static const struct tree_entry cpus_entries[] = {
    SYSFS_TEXT("isolated", "\n"),
    SYSFS_TEXT("kernel_max", "1023\n"),
    SYSFS_TEXT("nohz_full", "(null)\n"),
    SYSFS_TEXT("offline", "\n"),
    SYSFS_SHOWN("online", show_cpus, SET_ALL | SET_LIST),
    SYSFS_SHOWN("possible", show_cpus, SET_ALL | SET_LIST),
    SYSFS_SHOWN("present", show_cpus, SET_ALL | SET_LIST),
    SYSFS_DIR("smt", SYSFS_SMT),
};
const struct tree_table sysfs_cpus_table = {TREE_ENTRIES(cpus_entries), .dynamic = &cpus, .settings = true};

static const struct tree_entry smt_entries[] = {
    SYSFS_TEXT("active", "0\n"),
    SYSFS_TEXT("control", "notsupported\n"),
};
const struct tree_table sysfs_smt_table = {TREE_ENTRIES(smt_entries), .settings = true};

static bool not_first(const struct tree_call *dir)
{
    return dir->node->number != 0;
}

static const struct tree_entry cpu_entries[] = {
    SYSFS_DIR("cache", SYSFS_CACHES),
    SYSFS_SYMLINK("node0", "../../node/node0"),
    {.name = "online", .mode = S_IFREG | 0444, .text = "1\n", .present = not_first},
    SYSFS_DIR("topology", SYSFS_TOPOLOGY),
    SYSFS_TEXT("uevent", "DRIVER=processor\n"),
};
const struct tree_table sysfs_cpu_table = {TREE_ENTRIES(cpu_entries), .settings = true};

static const struct tree_entry topology_entries[] = {
    SYSFS_SHOWN("cluster_cpus", show_cpus, 0),
    SYSFS_SHOWN("cluster_cpus_list", show_cpus, SET_LIST),
    SYSFS_SHOWN("cluster_id", show_number, 0),
    SYSFS_SHOWN("core_cpus", show_cpus, 0),
    SYSFS_SHOWN("core_cpus_list", show_cpus, SET_LIST),
    SYSFS_SHOWN("core_id", show_number, 0),
    SYSFS_SHOWN("core_siblings", show_cpus, SET_ALL),
    SYSFS_SHOWN("core_siblings_list", show_cpus, SET_ALL | SET_LIST),
    SYSFS_SHOWN("die_cpus", show_cpus, SET_ALL),
    SYSFS_SHOWN("die_cpus_list", show_cpus, SET_ALL | SET_LIST),
    SYSFS_TEXT("die_id", "0\n"),
    SYSFS_SHOWN("package_cpus", show_cpus, SET_ALL),
    SYSFS_SHOWN("package_cpus_list", show_cpus, SET_ALL | SET_LIST),
    SYSFS_TEXT("physical_package_id", "0\n"),
    SYSFS_SHOWN("thread_siblings", show_cpus, 0),
    SYSFS_SHOWN("thread_siblings_list", show_cpus, SET_LIST),
};
const struct tree_table sysfs_topology_table = {TREE_ENTRIES(topology_entries), .settings = true};

// ---- Caches ----

struct cache {
    uint32_t type, level, line, partitions, ways, sets; // type: 1 data, 2 instruction, 3 unified
};

// The index-th cache as the CPU describes it: leaf 4, or its twin on AMD's.
static bool read_cache(uint32_t index, struct cache *out)
{
    uint32_t a, b, c, d, leaf = 4;
    __cpuid(0, a, b, c, d);
    if (b == 0x68747541 || b == 0x6f677948) { // "Auth", "Hygo"
        leaf = 0x8000001d;
        __cpuid(0x80000000, a, b, c, d);
    }
    if (a < leaf || index > 16)
        return false;
    __cpuid_count(leaf, index, a, b, c, d);
    *out = (struct cache){.type = a & 31, .level = a >> 5 & 7};
    out->line = (b & 4095) + 1;
    out->partitions = (b >> 12 & 1023) + 1;
    out->ways = (b >> 22) + 1;
    out->sets = c + 1;
    return out->type >= 1 && out->type <= 3;
}

static bool cache_next(const struct tree_call *c, uint64_t from, uint64_t *ret)
{
    struct cache cache;
    *ret = from;
    return from < 16 && read_cache((uint32_t)from, &cache);
}

static int cache_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    uint64_t found;
    return cache_next(c, number, &found) ? 0 : -ENOENT;
}

static const struct tree_dynamic caches = {
    .entry = {.name = "index", .mode = S_IFDIR | 0755, .table = SYSFS_CACHE},
    .next = cache_next,
    .child = cache_child,
};
const struct tree_table sysfs_caches_table = {.dynamic = &caches, .settings = true};

enum cache_figure { CACHE_LEVEL, CACHE_LINE, CACHE_PARTITION, CACHE_WAYS, CACHE_SETS, CACHE_ID };

static int show_cache_number(const struct tree_call *c, struct strbuf *out)
{
    struct cache cache;
    if (!read_cache(c->node->number, &cache))
        return -ENOENT;
    uint32_t v = 0;
    switch ((enum cache_figure)c->entry->arg) {
    case CACHE_LEVEL:
        v = cache.level;
        break;
    case CACHE_LINE:
        v = cache.line;
        break;
    case CACHE_PARTITION:
        v = cache.partitions;
        break;
    case CACHE_WAYS:
        v = cache.ways;
        break;
    case CACHE_SETS:
        v = cache.sets;
        break;
    case CACHE_ID:
        v = cache.level < 3 ? c->node->number2 : 0;
        break;
    }
    strbuf_printf(out, "%u\n", v);
    return 0;
}

static int show_cache_type(const struct tree_call *c, struct strbuf *out)
{
    static const char *const names[] = {"", "Data", "Instruction", "Unified"};
    struct cache cache;
    if (!read_cache(c->node->number, &cache))
        return -ENOENT;
    strbuf_printf(out, "%s\n", names[cache.type]);
    return 0;
}

static int show_cache_size(const struct tree_call *c, struct strbuf *out)
{
    struct cache cache;
    if (!read_cache(c->node->number, &cache))
        return -ENOENT;
    uint64_t size = (uint64_t)cache.line * cache.partitions * cache.ways * cache.sets;
    strbuf_printf(out, "%lluK\n", ULL(size >> 10));
    return 0;
}

static int show_cache_cpus(const struct tree_call *c, struct strbuf *out)
{
    struct cache cache;
    if (!read_cache(c->node->number, &cache))
        return -ENOENT;
    show_set(out, cache.level >= 3, c->node->number2, c->entry->arg & SET_LIST);
    return 0;
}

static const struct tree_entry cache_entries[] = {
    SYSFS_SHOWN("coherency_line_size", show_cache_number, CACHE_LINE),
    SYSFS_SHOWN("id", show_cache_number, CACHE_ID),
    SYSFS_SHOWN("level", show_cache_number, CACHE_LEVEL),
    SYSFS_SHOWN("number_of_sets", show_cache_number, CACHE_SETS),
    SYSFS_SHOWN("physical_line_partition", show_cache_number, CACHE_PARTITION),
    SYSFS_SHOWN("shared_cpu_list", show_cache_cpus, SET_LIST),
    SYSFS_SHOWN("shared_cpu_map", show_cache_cpus, 0),
    SYSFS_SHOWN("size", show_cache_size, 0),
    SYSFS_SHOWN("type", show_cache_type, 0),
    SYSFS_SHOWN("ways_of_associativity", show_cache_number, CACHE_WAYS),
};
const struct tree_table sysfs_cache_table = {TREE_ENTRIES(cache_entries), .settings = true};

// ---- The memory node ----

static void node_kb(struct strbuf *out, const char *name, uint64_t bytes)
{
    strbuf_printf(out, "Node 0 %-15s %8llu kB\n", name, ULL(bytes >> 10));
}

static int show_node_meminfo(const struct tree_call *c, struct strbuf *out)
{
    struct proc_memory m;
    proc_get_memory(&m);
    node_kb(out, "MemTotal:", m.total);
    node_kb(out, "MemFree:", m.free);
    node_kb(out, "MemUsed:", m.total - m.free);
    node_kb(out, "Active:", m.anon);
    node_kb(out, "Inactive:", m.cached);
    node_kb(out, "FilePages:", m.cached);
    node_kb(out, "AnonPages:", m.anon);
    node_kb(out, "Shmem:", m.shared);
    node_kb(out, "PageTables:", m.page_tables);
    node_kb(out, "Slab:", m.slab);
    strbuf_puts(out, "Node 0 HugePages_Total:     0\nNode 0 HugePages_Free:      0\nNode 0 HugePages_Surp:      0\n");
    return 0;
}

static const struct tree_entry node_entries[] = {
    SYSFS_SHOWN("cpulist", show_cpus, SET_ALL | SET_LIST),
    SYSFS_SHOWN("cpumap", show_cpus, SET_ALL),
    SYSFS_TEXT("distance", "10\n"),
    SYSFS_DIR("hugepages", SYSFS_EMPTY),
    SYSFS_SHOWN("meminfo", show_node_meminfo, 0),
    SYSFS_TEXT("numastat", "numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\nother_node 0\n"),
};

static int show_node_cpu(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "../../cpu/cpu%u", c->node->number);
    return 0;
}

static const struct tree_dynamic node_cpus = {
    .entry = {.name = "cpu", .mode = S_IFLNK | 0777, .show = show_node_cpu},
    .next = cpu_next,
    .child = cpu_child,
};
const struct tree_table sysfs_node_table = {TREE_ENTRIES(node_entries), .dynamic = &node_cpus, .settings = true};

static const struct tree_entry nodes_entries[] = {
    SYSFS_TEXT("has_cpu", "0\n"),
    SYSFS_TEXT("has_memory", "0\n"),
    SYSFS_TEXT("has_normal_memory", "0\n"),
    SYSFS_DIR("node0", SYSFS_NODE),
    SYSFS_TEXT("online", "0\n"),
    SYSFS_TEXT("possible", "0\n"),
};
const struct tree_table sysfs_nodes_table = {TREE_ENTRIES(nodes_entries), .settings = true};
