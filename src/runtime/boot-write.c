// Writing the boot spec; the format is in sandbox/boot-spec.h and boot-format.h.

#include "runtime/boot-write.h"
#include "runtime/exports.h"
#include "sandbox/boot-format.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sysinfo.h>

struct writer {
    char *data;
    size_t size, room;
    bool failed; // out of memory, or larger than the format allows
};

static void put(struct writer *w, const void *data, size_t size)
{
    if (w->failed || size > BOOT_MAX_SIZE || w->size + size > BOOT_MAX_SIZE) {
        w->failed = true;
        return;
    }
    if (w->size + size > w->room) {
        size_t room = MAX(2 * w->room, w->size + size + 4096);
        char *grown = realloc(w->data, room);
        if (!grown) {
            w->failed = true;
            return;
        }
        w->data = grown;
        w->room = room;
    }
    memcpy(w->data + w->size, data, size);
    w->size += size;
}

static void put_u16(struct writer *w, uint16_t value)
{
    put(w, &value, sizeof(value));
}

static void put_u32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof(value));
}

static void put_u64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof(value));
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text) + 1);
}

static size_t record_begin(struct writer *w, uint16_t tag)
{
    struct boot_record record = {.tag = tag};
    size_t at = w->size;
    put(w, &record, sizeof(record));
    return at;
}

static void record_end(struct writer *w, size_t at)
{
    static const char zeros[8];
    if (w->failed)
        return;
    uint32_t size = (uint32_t)(w->size - at - sizeof(struct boot_record));
    memcpy(w->data + at + offsetof(struct boot_record, size), &size, sizeof(size));
    put(w, zeros, (8 - size % 8) % 8);
}

static void put_text_record(struct writer *w, uint16_t tag, const char *text)
{
    size_t at = record_begin(w, tag);
    put_text(w, text);
    record_end(w, at);
}

static void put_list_record(struct writer *w, uint16_t tag, const struct text_list *list)
{
    size_t at = record_begin(w, tag);
    put_u32(w, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        put_text(w, list->items[i]);
    record_end(w, at);
}

static uint64_t read_host_number(const char *path, uint64_t otherwise)
{
    FILE *f = fopen(path, "re");
    unsigned long long n = 0;
    bool ok = f && fscanf(f, "%llu", &n) == 1 && n > 0;
    if (f)
        (void)fclose(f);
    return ok ? n : otherwise;
}

// Without a limit of its own a sandbox gets as many tasks as take half of the host's ids, since a
// task is two threads of the host: a fork bomb has to end inside.
static uint32_t default_task_limit(void)
{
    uint64_t ids = read_host_number("/proc/sys/kernel/pid_max", 32768);
    uint64_t threads = read_host_number("/proc/sys/kernel/threads-max", 32768);
    return (uint32_t)MIN(MIN(ids, threads) / 4, (uint64_t)32768);
}

static uint32_t spec_flags(const struct container *c, const struct run_options *o, bool rootless)
{
    uint32_t flags = 0;
    flags |= o->debug ? BOOT_DEBUG : 0;
    flags |= o->strace ? BOOT_STRACE : 0;
    flags |= o->no_patching ? BOOT_NO_PATCHING : 0;
    flags |= o->no_spin ? BOOT_NO_SPIN : 0;
    flags |= o->no_stub_answers ? BOOT_NO_STUB_ANSWERS : 0;
    flags |= o->debug_counts ? BOOT_DEBUG_COUNTS : 0;
    flags |= o->log_json ? BOOT_LOG_JSON : 0;
    flags |= rootless ? BOOT_ROOTLESS : 0;
    flags |= c->terminal ? BOOT_TERMINAL : 0;
    flags |= c->no_new_privs ? BOOT_NO_NEW_PRIVS : 0;
    flags |= c->root_readonly ? BOOT_ROOT_READONLY : 0;
    flags |= BOOT_NEW_TASK_LIMIT;
    return flags;
}

static void put_process(struct writer *w, const struct container *c)
{
    put_list_record(w, BOOT_TAG_ARGS, &c->args);
    put_list_record(w, BOOT_TAG_ENV, &c->env);
    put_text_record(w, BOOT_TAG_CWD, c->cwd);

    size_t at = record_begin(w, BOOT_TAG_IDENTITY);
    put_u32(w, c->uid);
    put_u32(w, c->gid);
    put_u32(w, c->umask);
    put_u32(w, (uint32_t)c->oom_score_adj);
    record_end(w, at);

    at = record_begin(w, BOOT_TAG_GROUPS);
    put(w, c->groups, c->group_count * sizeof(c->groups[0]));
    record_end(w, at);

    at = record_begin(w, BOOT_TAG_CAPABILITIES);
    put_u64(w, c->cap_bounding);
    put_u64(w, c->cap_effective);
    put_u64(w, c->cap_inheritable);
    put_u64(w, c->cap_permitted);
    put_u64(w, c->cap_ambient);
    record_end(w, at);

    for (uint32_t i = 0; i < BOOT_MAX_RLIMIT; i++) {
        if (!c->rlimits[i].set)
            continue;
        at = record_begin(w, BOOT_TAG_RLIMIT);
        put_u32(w, i);
        put_u32(w, 0);
        put_u64(w, c->rlimits[i].soft);
        put_u64(w, c->rlimits[i].hard);
        record_end(w, at);
    }
}

static void put_files(struct writer *w, const struct container *c, const struct run_options *o,
                      const struct exports *exports)
{
    size_t at;
    for (uint32_t i = 0; i < exports->count; i++) {
        at = record_begin(w, BOOT_TAG_EXPORT);
        put_u32(w, i);
        put_u32(w, exports->items[i].flags);
        put_text(w, exports->items[i].path);
        record_end(w, at);
    }
    at = record_begin(w, BOOT_TAG_ROOT);
    put_u32(w, 0);
    put_u32(w, o->overlay);
    record_end(w, at);

    for (uint32_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        at = record_begin(w, BOOT_TAG_MOUNT);
        put_u32(w, m->type);
        put_u32(w, m->type == BOOT_MOUNT_BIND ? exports->of_mount[i] : 0);
        put_u64(w, m->flags);
        put_text(w, m->target);
        put_text(w, m->source);
        put_text(w, m->options);
        record_end(w, at);
    }
    put_list_record(w, BOOT_TAG_MASKED_PATHS, &c->masked_paths);
    put_list_record(w, BOOT_TAG_READONLY_PATHS, &c->readonly_paths);
}

// The memory file holds what the container writes. It stays well below the container's limit, or takes at most half of
// the host's memory where there is none, as a tmpfs does.
static uint64_t memory_file_limit(const struct container *c)
{
    struct sysinfo info;
    uint64_t half = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit / 2 : 0;
    if (!c->memory_limit)
        return half;
    uint64_t limit = c->memory_limit - c->memory_limit / 8;
    return half ? MIN(half, limit) : limit;
}

static void put_all(struct writer *w, const struct container *c, const struct run_options *o,
                    const struct exports *exports, bool rootless, const bool stdio_is_terminal[3])
{
    struct boot_header header = {.magic = BOOT_MAGIC, .version = BOOT_VERSION};
    put(w, &header, sizeof(header));

    size_t at = record_begin(w, BOOT_TAG_FLAGS);
    put_u32(w, spec_flags(c, o, rootless));
    put_u32(w, c->pids_limit ? c->pids_limit : default_task_limit());
    record_end(w, at);

    put_text_record(w, BOOT_TAG_ID, c->id);
    put_text_record(w, BOOT_TAG_HOSTNAME, c->hostname ? c->hostname : "caisson");
    put_text_record(w, BOOT_TAG_DOMAINNAME, c->domainname ? c->domainname : "(none)");
    put_process(w, c);
    put_files(w, c, o, exports);

    at = record_begin(w, BOOT_TAG_STDIO);
    put_u32(w, (uint32_t)stdio_is_terminal[0] | (uint32_t)stdio_is_terminal[1] << 1 |
                   (uint32_t)stdio_is_terminal[2] << 2);
    put_u16(w, c->console_rows);
    put_u16(w, c->console_cols);
    record_end(w, at);

    at = record_begin(w, BOOT_TAG_MEMORY_LIMIT);
    put_u64(w, memory_file_limit(c));
    record_end(w, at);

    char seed[32];
    if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
        w->failed = true;
    at = record_begin(w, BOOT_TAG_SEED);
    put(w, seed, sizeof(seed));
    record_end(w, at);

    at = record_begin(w, BOOT_TAG_START_TIME);
    put_u64(w, (uint64_t)o->start_time);
    record_end(w, at);

    if (!w->failed) {
        header.size = (uint32_t)w->size;
        memcpy(w->data, &header, sizeof(header));
    }
}

int boot_spec_write(const struct container *c, const struct run_options *o,
                    const struct exports *exports, bool rootless, const bool stdio_is_terminal[3],
                    int *ret, struct error *e)
{
    struct writer w = {0};
    put_all(&w, c, o, exports, rootless, stdio_is_terminal);
    if (w.failed) {
        free(w.data);
        return error_set(e, E2BIG, "arguments, environment and mounts of container %s", c->id);
    }
    int fd = memfd_create("caisson-boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int status = fd < 0 ? -1 : write_whole(fd, w.data, w.size);
    free(w.data);
    if (status == 0)
        status = fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    if (status < 0) {
        error_set(e, errno, "make the boot parameters' memory file");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *ret = fd;
    return 0;
}
