// /proc/cpuinfo: what the cpuid instruction says of the CPU that the reader runs on, once for each CPU of the sandbox.
//
// DEVIATION: proc: every CPU of the sandbox is shown as a core of its own in one package, whatever the host's topology; `bugs` is
// empty, `microcode` unknown.
#include <cpuid.h>

#include "fs/proc/proc-int.h"

struct cpu_words { // feature words by leaf and register
    uint32_t leaf1_edx, leaf1_ecx, ext1_edx, ext1_ecx, leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_1_eax, xsave_eax, power_eax,
        ext8_ebx, ext7_edx;
};

struct flag {
    uint16_t word; // offset in struct cpu_words
    uint8_t bit;
    const char *name;
};

#define W(word_) offsetof(struct cpu_words, word_)
// In Linux's order (arch/x86 feature words 0 to 19), under Linux's names.
static const struct flag flags[] = {
    {W(leaf1_edx), 0, "fpu"},          {W(leaf1_edx), 1, "vme"},          {W(leaf1_edx), 2, "de"},
    {W(leaf1_edx), 3, "pse"},          {W(leaf1_edx), 4, "tsc"},          {W(leaf1_edx), 5, "msr"},
    {W(leaf1_edx), 6, "pae"},          {W(leaf1_edx), 7, "mce"},          {W(leaf1_edx), 8, "cx8"},
    {W(leaf1_edx), 9, "apic"},         {W(leaf1_edx), 11, "sep"},         {W(leaf1_edx), 12, "mtrr"},
    {W(leaf1_edx), 13, "pge"},         {W(leaf1_edx), 14, "mca"},         {W(leaf1_edx), 15, "cmov"},
    {W(leaf1_edx), 16, "pat"},         {W(leaf1_edx), 17, "pse36"},       {W(leaf1_edx), 19, "clflush"},
    {W(leaf1_edx), 23, "mmx"},         {W(leaf1_edx), 24, "fxsr"},        {W(leaf1_edx), 25, "sse"},
    {W(leaf1_edx), 26, "sse2"},        {W(leaf1_edx), 27, "ss"},          {W(leaf1_edx), 28, "ht"},
    {W(ext1_edx), 11, "syscall"},      {W(ext1_edx), 20, "nx"},           {W(ext1_edx), 22, "mmxext"},
    {W(ext1_edx), 25, "fxsr_opt"},     {W(ext1_edx), 26, "pdpe1gb"},      {W(ext1_edx), 27, "rdtscp"},
    {W(ext1_edx), 29, "lm"},           {W(ext7_edx), 8, "constant_tsc"},  {W(ext7_edx), 8, "nonstop_tsc"},
    {W(leaf1_ecx), 0, "pni"},          {W(leaf1_ecx), 1, "pclmulqdq"},    {W(leaf1_ecx), 9, "ssse3"},
    {W(leaf1_ecx), 12, "fma"},         {W(leaf1_ecx), 13, "cx16"},        {W(leaf1_ecx), 17, "pcid"},
    {W(leaf1_ecx), 19, "sse4_1"},      {W(leaf1_ecx), 20, "sse4_2"},      {W(leaf1_ecx), 21, "x2apic"},
    {W(leaf1_ecx), 22, "movbe"},       {W(leaf1_ecx), 23, "popcnt"},      {W(leaf1_ecx), 24, "tsc_deadline_timer"},
    {W(leaf1_ecx), 25, "aes"},         {W(leaf1_ecx), 26, "xsave"},       {W(leaf1_ecx), 28, "avx"},
    {W(leaf1_ecx), 29, "f16c"},        {W(leaf1_ecx), 30, "rdrand"},      {W(leaf1_ecx), 31, "hypervisor"},
    {W(ext1_ecx), 0, "lahf_lm"},       {W(ext1_ecx), 1, "cmp_legacy"},    {W(ext1_ecx), 4, "cr8_legacy"},
    {W(ext1_ecx), 5, "abm"},           {W(ext1_ecx), 6, "sse4a"},         {W(ext1_ecx), 7, "misalignsse"},
    {W(ext1_ecx), 8, "3dnowprefetch"}, {W(ext1_ecx), 9, "osvw"},          {W(ext1_ecx), 11, "xop"},
    {W(ext1_ecx), 16, "fma4"},         {W(ext1_ecx), 21, "tbm"},          {W(ext1_ecx), 22, "topoext"},
    {W(leaf7_ebx), 0, "fsgsbase"},     {W(leaf7_ebx), 1, "tsc_adjust"},   {W(leaf7_ebx), 3, "bmi1"},
    {W(leaf7_ebx), 5, "avx2"},         {W(leaf7_ebx), 7, "smep"},         {W(leaf7_ebx), 8, "bmi2"},
    {W(leaf7_ebx), 9, "erms"},         {W(leaf7_ebx), 10, "invpcid"},     {W(leaf7_ebx), 16, "avx512f"},
    {W(leaf7_ebx), 17, "avx512dq"},    {W(leaf7_ebx), 18, "rdseed"},      {W(leaf7_ebx), 19, "adx"},
    {W(leaf7_ebx), 20, "smap"},        {W(leaf7_ebx), 21, "avx512ifma"},  {W(leaf7_ebx), 23, "clflushopt"},
    {W(leaf7_ebx), 24, "clwb"},        {W(leaf7_ebx), 28, "avx512cd"},    {W(leaf7_ebx), 29, "sha_ni"},
    {W(leaf7_ebx), 30, "avx512bw"},    {W(leaf7_ebx), 31, "avx512vl"},    {W(xsave_eax), 0, "xsaveopt"},
    {W(xsave_eax), 1, "xsavec"},       {W(xsave_eax), 2, "xgetbv1"},      {W(xsave_eax), 3, "xsaves"},
    {W(leaf7_1_eax), 4, "avx_vnni"},   {W(leaf7_1_eax), 5, "avx512_bf16"}, {W(ext8_ebx), 0, "clzero"},
    {W(ext8_ebx), 2, "xsaveerptr"},    {W(ext8_ebx), 9, "wbnoinvd"},      {W(power_eax), 2, "arat"},
    {W(leaf7_ecx), 1, "avx512vbmi"},   {W(leaf7_ecx), 2, "umip"},         {W(leaf7_ecx), 6, "avx512_vbmi2"},
    {W(leaf7_ecx), 8, "gfni"},         {W(leaf7_ecx), 9, "vaes"},         {W(leaf7_ecx), 10, "vpclmulqdq"},
    {W(leaf7_ecx), 11, "avx512_vnni"}, {W(leaf7_ecx), 12, "avx512_bitalg"}, {W(leaf7_ecx), 14, "avx512_vpopcntdq"},
    {W(leaf7_ecx), 16, "la57"},        {W(leaf7_ecx), 22, "rdpid"},       {W(leaf7_ecx), 25, "cldemote"},
    {W(leaf7_ecx), 27, "movdiri"},     {W(leaf7_ecx), 28, "movdir64b"},   {W(leaf7_edx), 4, "fsrm"},
    {W(leaf7_edx), 8, "avx512_vp2intersect"}, {W(leaf7_edx), 10, "md_clear"}, {W(leaf7_edx), 14, "serialize"},
    {W(leaf7_edx), 22, "amx_bf16"},    {W(leaf7_edx), 23, "avx512_fp16"}, {W(leaf7_edx), 24, "amx_tile"},
    {W(leaf7_edx), 25, "amx_int8"},    {W(leaf7_edx), 28, "flush_l1d"},   {W(leaf7_edx), 29, "arch_capabilities"},
};

struct cpu {
    char vendor[13], name[49];
    uint32_t family, model, stepping, max_leaf, max_ext;
    uint32_t clflush, phys_bits, virt_bits, cache_kb, apic_id;
    struct cpu_words words;
};

static void read_name(struct cpu *cpu)
{
    uint32_t r[12] = {0};
    for (uint32_t i = 0; i < 3 && cpu->max_ext >= 0x80000004; i++)
        __cpuid(0x80000002 + i, r[i * 4], r[i * 4 + 1], r[i * 4 + 2], r[i * 4 + 3]);
    memcpy(cpu->name, r, 48);
    uint32_t from = 0;
    while (cpu->name[from] == ' ')
        from++;
    memmove(cpu->name, cpu->name + from, sizeof(cpu->name) - from);
}

static void read_model(struct cpu *cpu)
{
    uint32_t a, b;
    __cpuid(1, a, b, cpu->words.leaf1_ecx, cpu->words.leaf1_edx);
    cpu->family = a >> 8 & 15;
    cpu->model = a >> 4 & 15;
    cpu->stepping = a & 15;
    if (cpu->family >= 6)
        cpu->model |= (a >> 16 & 15) << 4;
    if (cpu->family == 15)
        cpu->family += a >> 20 & 255;
    cpu->clflush = (b >> 8 & 255) * 8;
    cpu->apic_id = b >> 24;
}

static void read_words(struct cpu *cpu)
{
    struct cpu_words *w = &cpu->words;
    uint32_t a, b, c, d;
    if (cpu->max_leaf >= 6)
        __cpuid(6, w->power_eax, b, c, d);
    if (cpu->max_leaf >= 7) {
        __cpuid_count(7, 0, a, w->leaf7_ebx, w->leaf7_ecx, w->leaf7_edx);
        if (a >= 1)
            __cpuid_count(7, 1, w->leaf7_1_eax, b, c, d);
    }
    if (cpu->max_leaf >= 13)
        __cpuid_count(13, 1, w->xsave_eax, b, c, d);
    if (cpu->max_ext >= 0x80000001)
        __cpuid(0x80000001, a, b, w->ext1_ecx, w->ext1_edx);
    if (cpu->max_ext >= 0x80000006) {
        __cpuid(0x80000006, a, b, c, d);
        cpu->cache_kb = c >> 16;
    }
    if (cpu->max_ext >= 0x80000007)
        __cpuid(0x80000007, a, b, c, w->ext7_edx);
    cpu->phys_bits = 36;
    cpu->virt_bits = 48;
    if (cpu->max_ext >= 0x80000008) {
        __cpuid(0x80000008, a, w->ext8_ebx, c, d);
        cpu->phys_bits = a & 255;
        cpu->virt_bits = a >> 8 & 255;
    }
}

// The largest cache: what Linux shows as "cache size".
static void read_cache(struct cpu *cpu)
{
    for (uint32_t i = 0; i < 8 && cpu->max_leaf >= 4; i++) {
        uint32_t a, b, c, d;
        __cpuid_count(4, i, a, b, c, d);
        if (!(a & 31))
            break;
        uint64_t size = (uint64_t)((b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * ((uint64_t)c + 1);
        cpu->cache_kb = MAX(cpu->cache_kb, (uint32_t)(size >> 10));
    }
}

static void read_cpu(struct cpu *cpu)
{
    uint32_t b, c, d;
    *cpu = (struct cpu){0};
    __cpuid(0, cpu->max_leaf, b, c, d);
    memcpy(cpu->vendor, &b, 4);
    memcpy(cpu->vendor + 4, &d, 4);
    memcpy(cpu->vendor + 8, &c, 4);
    __cpuid(0x80000000, cpu->max_ext, b, c, d);
    read_name(cpu);
    read_model(cpu);
    read_words(cpu);
    read_cache(cpu);
}

// In kHz: as the CPU says, or the time-stamp counter against the clock since the sandbox began.
static uint64_t tsc_khz(const struct cpu *cpu)
{
    uint32_t a, b, c, d;
    if (cpu->max_leaf >= 0x15) {
        __cpuid(0x15, a, b, c, d);
        if (a && b && c)
            return (uint64_t)c * b / a / 1000;
    }
    if (cpu->max_leaf >= 0x16) {
        __cpuid(0x16, a, b, c, d);
        if (a & 0xffff)
            return (uint64_t)(a & 0xffff) * 1000;
    }
    nsec_t start = clock_monotonic();
    uint64_t first = __builtin_ia32_rdtsc();
    nsec_t now;
    do
        now = clock_monotonic();
    while (now - start < 200000); // 200 microseconds: right to 0.1 %
    return (__builtin_ia32_rdtsc() - first) * 1000000 / (uint64_t)(now - start);
}

static void show_flags(const struct cpu *cpu, struct strbuf *out)
{
    strbuf_puts(out, "flags\t\t:");
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        uint32_t word;
        memcpy(&word, (const char *)&cpu->words + flags[i].word, sizeof(word));
        if (word >> flags[i].bit & 1)
            strbuf_printf(out, " %s", flags[i].name);
    }
    strbuf_puts(out, "\nbugs\t\t:\n");
}

static void show_one(const struct cpu *cpu, uint32_t number, uint32_t count, uint64_t khz, struct strbuf *out)
{
    strbuf_printf(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n", number,
                  cpu->vendor, cpu->family, cpu->model, cpu->name[0] ? cpu->name : "unknown");
    strbuf_printf(out, "stepping\t: %u\ncpu MHz\t\t: %llu.%03llu\ncache size\t: %u KB\nphysical id\t: 0\n", cpu->stepping,
                  ULL(khz / 1000), ULL(khz % 1000), cpu->cache_kb);
    strbuf_printf(out, "siblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\ninitial apicid\t: %u\n", count, number,
                  count, number, number);
    strbuf_printf(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n", cpu->max_leaf);
    show_flags(cpu, out);
    uint64_t bogo = khz * 2;
    strbuf_printf(out, "bogomips\t: %llu.%02llu\nclflush size\t: %u\ncache_alignment\t: %u\n", ULL(bogo / 1000),
                  ULL(bogo % 1000 / 10), cpu->clflush, cpu->clflush);
    strbuf_printf(out, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n", cpu->phys_bits,
                  cpu->virt_bits);
}

int proc_show_cpuinfo(const struct tree_call *c, struct strbuf *out)
{
    uint32_t count = MAX(the_kernel()->cpu_count, 1u);
    struct cpu cpu;
    read_cpu(&cpu);
    uint64_t khz = tsc_khz(&cpu);
    for (uint32_t i = 0; i < count; i++)
        show_one(&cpu, i, count, khz, out);
    return 0;
}

void proc_show_cpu_list(struct strbuf *out)
{
    uint32_t count = MAX(the_kernel()->cpu_count, 1u);
    if (count == 1)
        strbuf_puts(out, "0\n");
    else
        strbuf_printf(out, "0-%u\n", count - 1);
}
