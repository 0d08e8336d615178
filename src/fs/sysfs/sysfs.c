// sysfs: CPUs, memory nodes, the devices that every sandbox has, and the places that programs look for. Constant tables, over the
// engine of proc (fs/tree.h).
//
// DEVIATION: sysfs: there is one package with one core for each CPU of the sandbox and one memory node, whatever the host has. The
// only network interface shown is the loopback. Nothing can be written.
#include "base/slab.h"
#include "fs/tree.h"
#include "fs/sysfs/sysfs-int.h"
#include "kernel/kernel.h"

#define SYSFS_MAGIC 0x62656572

// ---- Devices ----

static const struct {
    const char *name, *class;
    uint32_t major, minor, mode;
} devices[] = {
    [SYSFS_DEV_NULL] = {"null", "mem", 1, 3, 0666},       [SYSFS_DEV_ZERO] = {"zero", "mem", 1, 5, 0666},
    [SYSFS_DEV_FULL] = {"full", "mem", 1, 7, 0666},       [SYSFS_DEV_RANDOM] = {"random", "mem", 1, 8, 0666},
    [SYSFS_DEV_URANDOM] = {"urandom", "mem", 1, 9, 0666}, [SYSFS_DEV_KMSG] = {"kmsg", "mem", 1, 11, 0644},
    [SYSFS_DEV_TTY] = {"tty", "tty", 5, 0, 0666},         [SYSFS_DEV_CONSOLE] = {"console", "tty", 5, 1, 0},
    [SYSFS_DEV_PTMX] = {"ptmx", "tty", 5, 2, 0666},
};

static int show_dev(const struct tree_call *c, struct strbuf *out)
{
    uint32_t i = c->node->number;
    strbuf_printf(out, "%u:%u\n", devices[i].major, devices[i].minor);
    return 0;
}

static int show_uevent(const struct tree_call *c, struct strbuf *out)
{
    uint32_t i = c->node->number;
    strbuf_printf(out, "MAJOR=%u\nMINOR=%u\nDEVNAME=%s\n", devices[i].major, devices[i].minor, devices[i].name);
    if (devices[i].mode)
        strbuf_printf(out, "DEVMODE=%04o\n", devices[i].mode);
    return 0;
}

static int show_subsystem(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "../../../../class/%s", devices[c->node->number].class);
    return 0;
}

static const struct tree_entry device_entries[] = {
    SYSFS_SHOWN("dev", show_dev, 0),
    {.name = "subsystem", .mode = S_IFLNK | 0777, .show = show_subsystem},
    SYSFS_SHOWN("uevent", show_uevent, 0),
};

#define DEVICE(name_, index)                                                                                \
    {                                                                                                       \
        .name = (name_), .mode = S_IFDIR | 0755, .table = SYSFS_DEVICE, .flags = ENTRY_NUMBER, .arg = (index) \
    }

static const struct tree_entry virtual_mem_entries[] = {
    DEVICE("full", SYSFS_DEV_FULL),     DEVICE("kmsg", SYSFS_DEV_KMSG),       DEVICE("null", SYSFS_DEV_NULL),
    DEVICE("random", SYSFS_DEV_RANDOM), DEVICE("urandom", SYSFS_DEV_URANDOM), DEVICE("zero", SYSFS_DEV_ZERO),
};
static const struct tree_entry virtual_tty_entries[] = {
    DEVICE("console", SYSFS_DEV_CONSOLE),
    DEVICE("ptmx", SYSFS_DEV_PTMX),
    DEVICE("tty", SYSFS_DEV_TTY),
};

#define MEM_LINK(name_) SYSFS_SYMLINK(name_, "../../devices/virtual/mem/" name_)
#define TTY_LINK(name_) SYSFS_SYMLINK(name_, "../../devices/virtual/tty/" name_)

static const struct tree_entry class_mem_entries[] = {
    MEM_LINK("full"), MEM_LINK("kmsg"), MEM_LINK("null"), MEM_LINK("random"), MEM_LINK("urandom"), MEM_LINK("zero"),
};
static const struct tree_entry class_tty_entries[] = {TTY_LINK("console"), TTY_LINK("ptmx"), TTY_LINK("tty")};

static const struct tree_entry dev_char_entries[] = {
    SYSFS_SYMLINK("1:11", "../../devices/virtual/mem/kmsg"), SYSFS_SYMLINK("1:3", "../../devices/virtual/mem/null"),
    SYSFS_SYMLINK("1:5", "../../devices/virtual/mem/zero"),  SYSFS_SYMLINK("1:7", "../../devices/virtual/mem/full"),
    SYSFS_SYMLINK("1:8", "../../devices/virtual/mem/random"), SYSFS_SYMLINK("1:9", "../../devices/virtual/mem/urandom"),
    SYSFS_SYMLINK("5:0", "../../devices/virtual/tty/tty"),   SYSFS_SYMLINK("5:1", "../../devices/virtual/tty/console"),
    SYSFS_SYMLINK("5:2", "../../devices/virtual/tty/ptmx"),
};

// ---- What the machine calls itself ----

static int show_product_uuid(const struct tree_call *c, struct strbuf *out)
{
    const uint8_t *id = the_kernel()->boot_id;
    for (int i = 0; i < 16; i++)
        strbuf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    strbuf_putc(out, '\n');
    return 0;
}

static const struct tree_entry dmi_id_entries[] = {
    SYSFS_TEXT("bios_vendor", "Caisson\n"),
    SYSFS_TEXT("board_vendor", "Caisson\n"),
    SYSFS_TEXT("chassis_type", "1\n"),
    SYSFS_TEXT("chassis_vendor", "Caisson\n"),
    SYSFS_TEXT("product_name", "Caisson\n"),
    {.name = "product_uuid", .mode = S_IFREG | 0400, .show = show_product_uuid},
    SYSFS_TEXT("product_version", "1.0\n"),
    SYSFS_TEXT("sys_vendor", "Caisson\n"),
};
static const struct tree_entry dmi_entries[] = {SYSFS_DIR("id", SYSFS_DMI_ID)};
static const struct tree_entry class_dmi_entries[] = {SYSFS_SYMLINK("id", "../../devices/virtual/dmi/id")};

// ---- Network ----

static const struct tree_entry statistics_entries[] = {
    SYSFS_TEXT("collisions", "0\n"), SYSFS_TEXT("rx_bytes", "0\n"),   SYSFS_TEXT("rx_dropped", "0\n"),
    SYSFS_TEXT("rx_errors", "0\n"),  SYSFS_TEXT("rx_packets", "0\n"), SYSFS_TEXT("tx_bytes", "0\n"),
    SYSFS_TEXT("tx_dropped", "0\n"), SYSFS_TEXT("tx_errors", "0\n"),  SYSFS_TEXT("tx_packets", "0\n"),
};
static const struct tree_entry loopback_entries[] = {
    SYSFS_TEXT("addr_len", "6\n"),
    SYSFS_TEXT("address", "00:00:00:00:00:00\n"),
    SYSFS_TEXT("broadcast", "00:00:00:00:00:00\n"),
    SYSFS_TEXT("carrier", "1\n"),
    SYSFS_TEXT("dev_id", "0x0\n"),
    SYSFS_TEXT("flags", "0x9\n"),
    SYSFS_TEXT("ifindex", "1\n"),
    SYSFS_TEXT("iflink", "1\n"),
    SYSFS_TEXT("mtu", "65536\n"),
    SYSFS_TEXT("operstate", "unknown\n"),
    SYSFS_DIR("statistics", SYSFS_STATISTICS),
    SYSFS_SYMLINK("subsystem", "../../../../class/net"),
    SYSFS_TEXT("tx_queue_len", "1000\n"),
    SYSFS_TEXT("type", "772\n"),
    SYSFS_TEXT("uevent", "INTERFACE=lo\nIFINDEX=1\n"),
};
static const struct tree_entry virtual_net_entries[] = {SYSFS_DIR("lo", SYSFS_LOOPBACK)};
static const struct tree_entry class_net_entries[] = {SYSFS_SYMLINK("lo", "../../devices/virtual/net/lo")};

// ---- The kernel ----

static const struct tree_entry huge_entries[] = {
    SYSFS_TEXT("defrag", "always defer defer+madvise [madvise] never\n"),
    SYSFS_TEXT("enabled", "always [madvise] never\n"),
    SYSFS_TEXT("hpage_pmd_size", "2097152\n"),
    SYSFS_TEXT("shmem_enabled", "always within_size advise [never] deny force\n"),
    SYSFS_TEXT("use_zero_page", "1\n"),
};
static const struct tree_entry kernel_mm_entries[] = {
    SYSFS_DIR("hugepages", SYSFS_EMPTY),
    SYSFS_DIR("transparent_hugepage", SYSFS_HUGE),
};
static const struct tree_entry kernel_entries[] = {
    SYSFS_TEXT("address_bits", "64\n"),
    SYSFS_DIR("config", SYSFS_EMPTY),
    SYSFS_TEXT("cpu_byteorder", "little\n"),
    SYSFS_DIR("debug", SYSFS_EMPTY),
    SYSFS_TEXT("fscaps", "1\n"),
    SYSFS_DIR("mm", SYSFS_KERNEL_MM),
    SYSFS_TEXT("profiling", "0\n"),
    SYSFS_DIR("security", SYSFS_EMPTY),
    SYSFS_DIR("tracing", SYSFS_EMPTY),
    SYSFS_TEXT("uevent_seqnum", "0\n"),
};

// ---- The upper levels ----

static const struct tree_entry root_entries[] = {
    SYSFS_DIR("block", SYSFS_EMPTY),   SYSFS_DIR("bus", SYSFS_BUS),           SYSFS_DIR("class", SYSFS_CLASS),
    SYSFS_DIR("dev", SYSFS_DEV),       SYSFS_DIR("devices", SYSFS_DEVICES),   SYSFS_DIR("firmware", SYSFS_EMPTY),
    SYSFS_DIR("fs", SYSFS_FS),         SYSFS_DIR("hypervisor", SYSFS_EMPTY),  SYSFS_DIR("kernel", SYSFS_KERNEL),
    SYSFS_DIR("module", SYSFS_EMPTY),  SYSFS_DIR("power", SYSFS_EMPTY),
};
static const struct tree_entry bus_entries[] = {
    SYSFS_DIR("cpu", SYSFS_BUS_ONE),
    SYSFS_DIR("pci", SYSFS_BUS_ONE),
};
static const struct tree_entry bus_one_entries[] = {
    SYSFS_DIR("devices", SYSFS_EMPTY),
    SYSFS_DIR("drivers", SYSFS_EMPTY),
};
static const struct tree_entry class_entries[] = {
    SYSFS_DIR("block", SYSFS_EMPTY), SYSFS_DIR("dmi", SYSFS_CLASS_DMI), SYSFS_DIR("mem", SYSFS_CLASS_MEM),
    SYSFS_DIR("misc", SYSFS_EMPTY),  SYSFS_DIR("net", SYSFS_CLASS_NET), SYSFS_DIR("power_supply", SYSFS_EMPTY),
    SYSFS_DIR("thermal", SYSFS_EMPTY), SYSFS_DIR("tty", SYSFS_CLASS_TTY),
};
static const struct tree_entry dev_entries[] = {
    SYSFS_DIR("block", SYSFS_EMPTY),
    SYSFS_DIR("char", SYSFS_DEV_CHAR),
};
static const struct tree_entry devices_entries[] = {
    SYSFS_DIR("system", SYSFS_SYSTEM),
    SYSFS_DIR("virtual", SYSFS_VIRTUAL),
};
static const struct tree_entry virtual_entries[] = {
    SYSFS_DIR("dmi", SYSFS_DMI),
    SYSFS_DIR("mem", SYSFS_VIRTUAL_MEM),
    SYSFS_DIR("net", SYSFS_VIRTUAL_NET),
    SYSFS_DIR("tty", SYSFS_VIRTUAL_TTY),
};
static const struct tree_entry fs_entries[] = {SYSFS_DIR("cgroup", SYSFS_EMPTY)};
static const struct tree_entry system_entries[] = {
    SYSFS_DIR("cpu", SYSFS_CPUS),
    SYSFS_DIR("node", SYSFS_NODES),
};

#define TABLE(entries) (&(const struct tree_table){TREE_ENTRIES(entries), .settings = true})

static const struct tree_table *const tables[SYSFS_TABLE_COUNT] = {
    [SYSFS_ROOT] = TABLE(root_entries),
    [SYSFS_EMPTY] = &(const struct tree_table){0},
    [SYSFS_BUS] = TABLE(bus_entries),
    [SYSFS_BUS_ONE] = TABLE(bus_one_entries),
    [SYSFS_CLASS] = TABLE(class_entries),
    [SYSFS_CLASS_DMI] = TABLE(class_dmi_entries),
    [SYSFS_CLASS_MEM] = TABLE(class_mem_entries),
    [SYSFS_CLASS_NET] = TABLE(class_net_entries),
    [SYSFS_CLASS_TTY] = TABLE(class_tty_entries),
    [SYSFS_DEV] = TABLE(dev_entries),
    [SYSFS_DEV_CHAR] = TABLE(dev_char_entries),
    [SYSFS_DEVICES] = TABLE(devices_entries),
    [SYSFS_VIRTUAL] = TABLE(virtual_entries),
    [SYSFS_VIRTUAL_MEM] = TABLE(virtual_mem_entries),
    [SYSFS_VIRTUAL_NET] = TABLE(virtual_net_entries),
    [SYSFS_VIRTUAL_TTY] = TABLE(virtual_tty_entries),
    [SYSFS_DEVICE] = TABLE(device_entries),
    [SYSFS_LOOPBACK] = TABLE(loopback_entries),
    [SYSFS_STATISTICS] = TABLE(statistics_entries),
    [SYSFS_DMI] = TABLE(dmi_entries),
    [SYSFS_DMI_ID] = TABLE(dmi_id_entries),
    [SYSFS_FS] = TABLE(fs_entries),
    [SYSFS_KERNEL] = TABLE(kernel_entries),
    [SYSFS_KERNEL_MM] = TABLE(kernel_mm_entries),
    [SYSFS_HUGE] = TABLE(huge_entries),
    [SYSFS_SYSTEM] = TABLE(system_entries),
    [SYSFS_CPUS] = &sysfs_cpus_table,
    [SYSFS_CPU] = &sysfs_cpu_table,
    [SYSFS_TOPOLOGY] = &sysfs_topology_table,
    [SYSFS_CACHES] = &sysfs_caches_table,
    [SYSFS_CACHE] = &sysfs_cache_table,
    [SYSFS_SMT] = &sysfs_smt_table,
    [SYSFS_NODES] = &sysfs_nodes_table,
    [SYSFS_NODE] = &sysfs_node_table,
};

const struct tree sysfs_tree = {
    .tables = tables,
    .count = SYSFS_TABLE_COUNT,
    .dir = INODE_SYSFS_DIR,
    .file = INODE_SYSFS_FILE,
    .link = INODE_SYSFS_LINK,
    .dir_file = FILE_SYSFS_DIR,
    .text_file = FILE_SYSFS,
    .no_create = -EPERM,
    .file_size = 4096,
};

// ---- Operations ----

const struct inode_ops sysfs_dir_inode_ops = {
    .lookup = tree_lookup,
    .create = tree_create,
    .mkdir = tree_mkdir,
    .symlink = tree_symlink,
    .link = tree_link,
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .open = tree_dir_open,
    .evict = tree_evict,
};

const struct inode_ops sysfs_file_inode_ops = {
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .open = tree_file_open,
    .permission = tree_permission,
    .evict = tree_evict,
};

const struct inode_ops sysfs_link_inode_ops = {
    .readlink = tree_readlink,
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .evict = tree_evict,
};

const struct file_ops sysfs_dir_file_ops = {
    .iterate = tree_iterate,
    .seek = dir_seek,
};

const struct file_ops sysfs_file_ops = {
    .read = tree_file_read,
    .write = tree_file_write,
    .seek = tree_file_seek,
    .poll = tree_file_poll,
    .release = tree_file_release,
};

// ---- Super block ----

static int sysfs_mount(struct task *t, const char *source, const char *options, struct super_block **ret)
{
    return *options ? -EINVAL : tree_super_create(SUPER_SYSFS, SYSFS_MAGIC, ret);
}

const struct super_ops sysfs_super_ops = {
    .name = "sysfs",
    .flags = SUPER_MOUNTABLE | SUPER_NODEV,
    .mount = sysfs_mount,
    .statfs = tree_statfs,
    .sync = tree_sync,
};
