// The parser of the boot spec; see boot-spec.h for the format. Nothing outside of [data, data+size) is read, and nothing is
// allocated. Padding and the reserved halves of headers must be zero, so that a block has one reading only.

#include "sandbox/boot-spec.h"
#include "sandbox/boot-format.h"
#include <sys/mman.h>
#include <sys/stat.h>

struct reader {
    const char *at, *end; // what is left of the record, or of the block
};

static bool take(struct reader *r, void *out, uint64_t size)
{
    if ((uint64_t)(r->end - r->at) < size)
        return false;
    memcpy(out, r->at, size);
    r->at += size;
    return true;
}

// A text with its NUL; *ret points into the block.
static bool take_text(struct reader *r, const char **ret)
{
    const char *nul = memchr(r->at, 0, (size_t)(r->end - r->at));
    if (!nul)
        return false;
    *ret = r->at;
    r->at = nul + 1;
    return true;
}

static bool take_strings(struct reader *r, struct boot_strings *out)
{
    uint32_t count;
    if (!take(r, &count, sizeof(count)) || count > BOOT_MAX_STRINGS)
        return false;
    struct boot_strings s = {.data = r->at, .size = (uint32_t)(r->end - r->at), .count = count};
    for (uint32_t i = 0; i < count; i++) {
        const char *text;
        if (!take_text(r, &text))
            return false;
    }
    *out = s;
    return true;
}

static bool take_flagged_id(struct reader *r, uint32_t *id, uint32_t *flags)
{
    return take(r, id, sizeof(*id)) && take(r, flags, sizeof(*flags));
}

static bool parse_groups(struct reader *r, struct boot_spec *s)
{
    uint64_t size = (uint64_t)(r->end - r->at);
    // Records are 8-byte aligned, so the array is aligned, too.
    if (size % sizeof(uint32_t) || size / sizeof(uint32_t) > BOOT_MAX_GROUPS)
        return false;
    s->groups = (const uint32_t *)r->at;
    s->group_count = (uint32_t)(size / sizeof(uint32_t));
    for (uint32_t i = 0; i < s->group_count; i++)
        if (s->groups[i] == UINT32_MAX)
            return false;
    r->at = r->end;
    return true;
}

static bool parse_identity(struct reader *r, struct boot_spec *s)
{
    return take(r, &s->uid, 4) && take(r, &s->gid, 4) && take(r, &s->umask, 4) &&
           take(r, &s->oom_score_adj, 4) && s->uid != UINT32_MAX && s->gid != UINT32_MAX &&
           s->umask <= 0777 && s->oom_score_adj >= -1000 && s->oom_score_adj <= 1000;
}

static bool parse_capabilities(struct reader *r, struct boot_spec *s)
{
    return take(r, &s->cap_bounding, 8) && take(r, &s->cap_effective, 8) &&
           take(r, &s->cap_inheritable, 8) && take(r, &s->cap_permitted, 8) &&
           take(r, &s->cap_ambient, 8);
}

static bool parse_rlimit(struct reader *r, struct boot_spec *s)
{
    uint32_t number, zero;
    struct boot_rlimit limit = {.set = true};
    if (!take_flagged_id(r, &number, &zero) || !take(r, &limit.soft, 8) || !take(r, &limit.hard, 8))
        return false;
    if (number >= BOOT_MAX_RLIMIT || zero || s->rlimits[number].set || limit.soft > limit.hard)
        return false;
    s->rlimits[number] = limit;
    return true;
}

static bool parse_export(struct reader *r, struct boot_spec *s)
{
    if (s->export_count == BOOT_MAX_EXPORTS)
        return false;
    struct boot_export *e = &s->exports[s->export_count];
    if (!take_flagged_id(r, &e->id, &e->flags) || !take_text(r, &e->path))
        return false;
    if (e->id != s->export_count || e->flags & ~(uint32_t)BOOT_EXPORT_FLAGS_ALL)
        return false;
    s->export_count++;
    return true;
}

static bool parse_mount(struct reader *r, struct boot_spec *s)
{
    if (s->mount_count == BOOT_MAX_MOUNTS)
        return false;
    struct boot_mount *m = &s->mounts[s->mount_count];
    if (!take_flagged_id(r, &m->type, &m->export_id) || !take(r, &m->flags, 8) ||
        !take_text(r, &m->target) || !take_text(r, &m->source) || !take_text(r, &m->options))
        return false;
    if (m->type >= BOOT_MOUNT_TYPE_COUNT || m->target[0] != '/' ||
        (m->type != BOOT_MOUNT_BIND && m->export_id))
        return false;
    s->mount_count++;
    return true;
}

static bool parse_stdio(struct reader *r, struct boot_spec *s)
{
    uint32_t terminals;
    if (!take(r, &terminals, 4) || !take(r, &s->console_rows, 2) || !take(r, &s->console_cols, 2) ||
        terminals > 7)
        return false;
    for (int i = 0; i < 3; i++)
        s->stdio_is_terminal[i] = terminals >> i & 1;
    return true;
}

static bool parse_root(struct reader *r, struct boot_spec *s)
{
    return take(r, &s->root_export, 4) && take(r, &s->overlay, 4) && s->overlay <= BOOT_OVERLAY_DIR;
}

// One record's payload. False when it is malformed; the caller also refuses bytes that are left over.
static bool parse_record(uint16_t tag, struct reader *r, struct boot_spec *s)
{
    switch (tag) {
    case BOOT_TAG_FLAGS:
        return take(r, &s->flags, 4) && take(r, &s->tasks_max, 4) &&
               !(s->flags & ~(uint32_t)BOOT_FLAGS_ALL);
    case BOOT_TAG_ID:
        return take_text(r, &s->id) && s->id[0];
    case BOOT_TAG_HOSTNAME:
        return take_text(r, &s->hostname) && strlen(s->hostname) <= 64;
    case BOOT_TAG_DOMAINNAME:
        return take_text(r, &s->domainname) && strlen(s->domainname) <= 64;
    case BOOT_TAG_ARGS:
        return take_strings(r, &s->args) && s->args.count >= 1;
    case BOOT_TAG_ENV:
        return take_strings(r, &s->env);
    case BOOT_TAG_CWD:
        return take_text(r, &s->cwd) && s->cwd[0] == '/';
    case BOOT_TAG_IDENTITY:
        return parse_identity(r, s);
    case BOOT_TAG_GROUPS:
        return parse_groups(r, s);
    case BOOT_TAG_CAPABILITIES:
        return parse_capabilities(r, s);
    case BOOT_TAG_RLIMIT:
        return parse_rlimit(r, s);
    case BOOT_TAG_EXPORT:
        return parse_export(r, s);
    case BOOT_TAG_ROOT:
        return parse_root(r, s);
    case BOOT_TAG_MOUNT:
        return parse_mount(r, s);
    case BOOT_TAG_MASKED_PATHS:
        return take_strings(r, &s->masked_paths);
    case BOOT_TAG_READONLY_PATHS:
        return take_strings(r, &s->readonly_paths);
    case BOOT_TAG_STDIO:
        return parse_stdio(r, s);
    case BOOT_TAG_MEMORY_LIMIT:
        return take(r, &s->memory_limit, 8);
    case BOOT_TAG_SEED:
        return take(r, s->seed, sizeof(s->seed));
    case BOOT_TAG_START_TIME:
        return take(r, &s->start_time, 8);
    default:
        return false;
    }
}

static bool may_repeat(uint16_t tag)
{
    return tag == BOOT_TAG_RLIMIT || tag == BOOT_TAG_EXPORT || tag == BOOT_TAG_MOUNT;
}

static const char *const tag_names[BOOT_TAG_COUNT] = {
    [BOOT_TAG_FLAGS] = "flags",
    [BOOT_TAG_ID] = "id",
    [BOOT_TAG_HOSTNAME] = "hostname",
    [BOOT_TAG_DOMAINNAME] = "domainname",
    [BOOT_TAG_ARGS] = "args",
    [BOOT_TAG_ENV] = "env",
    [BOOT_TAG_CWD] = "cwd",
    [BOOT_TAG_IDENTITY] = "identity",
    [BOOT_TAG_GROUPS] = "groups",
    [BOOT_TAG_CAPABILITIES] = "capabilities",
    [BOOT_TAG_RLIMIT] = "rlimit",
    [BOOT_TAG_EXPORT] = "export",
    [BOOT_TAG_ROOT] = "root",
    [BOOT_TAG_MOUNT] = "mount",
    [BOOT_TAG_MASKED_PATHS] = "masked paths",
    [BOOT_TAG_READONLY_PATHS] = "read-only paths",
    [BOOT_TAG_STDIO] = "stdio",
    [BOOT_TAG_MEMORY_LIMIT] = "memory limit",
    [BOOT_TAG_SEED] = "seed",
    [BOOT_TAG_START_TIME] = "start time",
};

// What cannot be said of one record alone.
static const char *check_whole(const struct boot_spec *s, uint64_t seen)
{
    for (uint16_t tag = 1; tag < BOOT_TAG_COUNT; tag++)
        if (BOOT_TAGS_REQUIRED >> tag & 1 && !(seen >> tag & 1))
            return tag_names[tag];
    if (s->root_export >= s->export_count ||
        !(s->exports[s->root_export].flags & BOOT_EXPORT_DIRECTORY))
        return "root";
    for (uint32_t i = 0; i < s->mount_count; i++)
        if (s->mounts[i].type == BOOT_MOUNT_BIND && s->mounts[i].export_id >= s->export_count)
            return "mount";
    return NULL;
}

int boot_spec_parse(const void *data, uint64_t size, struct boot_spec *out, const char **what)
{
    struct reader block = {data, (const char *)data + size};
    struct boot_header header;
    memset(out, 0, sizeof(*out));
    out->hostname = out->domainname = "";
    out->masked_paths.data = out->readonly_paths.data = "";
    *what = "header";
    if (size > BOOT_MAX_SIZE)
        return -E2BIG;
    if ((uintptr_t)data % 8 || !take(&block, &header, sizeof(header)) ||
        header.magic != BOOT_MAGIC || header.version != BOOT_VERSION || header.size != size ||
        size % 8)
        return -EINVAL;

    uint64_t seen = 0;
    while (block.at < block.end) {
        struct boot_record record;
        *what = "record";
        if (!take(&block, &record, sizeof(record)) || record.zero || !record.tag ||
            record.tag >= BOOT_TAG_COUNT)
            return -EINVAL;
        *what = tag_names[record.tag];
        uint64_t padded = ((uint64_t)record.size + 7) & ~7ull;
        if (padded > (uint64_t)(block.end - block.at) ||
            (seen >> record.tag & 1 && !may_repeat(record.tag)))
            return -EINVAL;
        struct reader payload = {block.at, block.at + record.size};
        block.at += padded;
        for (const char *p = payload.end; p < block.at; p++)
            if (*p)
                return -EINVAL;
        if (!parse_record(record.tag, &payload, out) || payload.at != payload.end)
            return -EINVAL;
        seen |= 1ull << record.tag;
    }
    *what = check_whole(out, seen);
    return *what ? -EINVAL : 0;
}

int boot_spec_map(int fd, struct boot_spec *out, const char **what)
{
    struct stat st;
    *what = "file";
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || st.st_size > BOOT_MAX_SIZE)
        return -EINVAL;
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    return boot_spec_parse(data, (uint64_t)st.st_size, out, what);
}

const char *boot_strings_next(const struct boot_strings *s, const char **next)
{
    const char *text = *next;
    if (text >= s->data + s->size)
        return NULL;
    *next = text + strlen(text) + 1;
    return text;
}
