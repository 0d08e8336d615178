// The texts of /proc/PID/mounts, /proc/PID/mountinfo and /proc/filesystems. proc(5).
#include <sys/sysmacros.h>

#include "vfs/mount-int.h"

struct flag_name {
    uint32_t flag;
    const char *text;
};

static void show_flags(struct strbuf *out, uint32_t flags)
{
    static const struct flag_name names[] = {
        {MS_NOSUID, ",nosuid"},           {MS_NODEV, ",nodev"},
        {MS_NOEXEC, ",noexec"},           {MS_NOATIME, ",noatime"},
        {MS_NODIRATIME, ",nodiratime"},   {MS_RELATIME, ",relatime"},
        {MS_NOSYMFOLLOW, ",nosymfollow"},
    };
    strbuf_puts(out, flags & MS_RDONLY ? "ro" : "rw");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (flags & names[i].flag)
            strbuf_puts(out, names[i].text);
    }
}

// Blanks and backslashes as octal numbers.
static void show_escaped(struct strbuf *out, const char *s, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        char c = s[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#')
            strbuf_printf(out, "\\%03o", (unsigned)(unsigned char)c);
        else
            strbuf_putc(out, c);
    }
}

static const char *type_name(const struct super_block *sb)
{
    const struct super_ops *ops = super_ops(sb);
    return ops->name ? ops->name : "none";
}

// What a line needs, taken with references so that no lock is held while text is made.
struct shown {
    struct mount *m;
    uint32_t id, parent_id;
};

static struct shown *note_mounts(struct mount_ns *ns, uint32_t *ret_count)
{
    struct mount *m;
    uint32_t room = 0, count = 0;
    lock_take(&ns->lock);
    list_for_each (m, &ns->mounts, node)
        room++;
    lock_release(&ns->lock);
    struct shown *s = kmalloc((room + 8) * sizeof(*s));
    if (!s)
        return NULL;
    lock_take(&ns->lock);
    list_for_each (m, &ns->mounts, node) {
        if (count < room + 8)
            s[count++] = (struct shown){
                .m = mount_ref(m), .id = m->id, .parent_id = m->parent ? m->parent->id : m->id};
    }
    lock_release(&ns->lock);
    *ret_count = count;
    return s;
}

static void show_options(struct strbuf *out, struct super_block *sb)
{
    const struct super_ops *ops = super_ops(sb);
    if (ops->show_options)
        ops->show_options(sb, out);
}

static void show_line(struct strbuf *out, const struct shown *s, const char *where, uint64_t size)
{
    show_escaped(out, s->m->source, strlen(s->m->source));
    strbuf_putc(out, ' ');
    show_escaped(out, where, size);
    strbuf_printf(out, " %s ", type_name(s->m->sb));
    show_flags(out, s->m->flags | (s->m->sb->read_only ? MS_RDONLY : 0));
    show_options(out, s->m->sb);
    strbuf_puts(out, " 0 0\n");
}

static void show_info_line(struct strbuf *out, const struct shown *s, const char *where,
                           uint64_t size, char *buf)
{
    struct super_block *sb = s->m->sb;
    struct path in_fs = {.mount = s->m, .dentry = s->m->root};
    struct mount fake = {.root = sb->root, .sb = sb};
    struct path top = {.mount = &fake, .dentry = sb->root};
    strbuf_printf(out, "%u %u %u:%u ", s->id, s->parent_id, major(sb->dev), minor(sb->dev));
    in_fs.mount = &fake; // the text from the file system's root, without the tree of mounts
    int64_t n = path_text(&in_fs, &top, the_kernel()->mounts, 0, buf, VFS_PATH_MAX);
    show_escaped(out, n > 0 ? buf : "/", n > 0 ? (uint64_t)n : 1);
    strbuf_putc(out, ' ');
    show_escaped(out, where, size);
    strbuf_putc(out, ' ');
    show_flags(out, s->m->flags);
    strbuf_printf(out, " - %s ", type_name(sb));
    show_escaped(out, s->m->source, strlen(s->m->source));
    strbuf_puts(out, sb->read_only ? " ro" : " rw");
    show_options(out, sb);
    strbuf_putc(out, '\n');
}

static void show_all(struct fs_context *fs, struct strbuf *out, bool info)
{
    struct path root;
    uint32_t count = 0;
    struct shown *s = note_mounts(fs->ns, &count);
    char *buf = kmalloc(2 * VFS_PATH_MAX);
    lock_take(&fs->lock);
    root = fs->root;
    path_get(&root);
    lock_release(&fs->lock);
    for (uint32_t i = 0; s && buf && i < count; i++) {
        struct path at = {.mount = s[i].m, .dentry = s[i].m->root};
        int64_t n = path_text(&at, &root, fs->ns, PATH_TEXT_ONLY_REACHED, buf, VFS_PATH_MAX);
        if (n > 0 && info)
            show_info_line(out, &s[i], buf, (uint64_t)n, buf + VFS_PATH_MAX);
        else if (n > 0)
            show_line(out, &s[i], buf, (uint64_t)n);
    }
    for (uint32_t i = 0; s && i < count; i++)
        mount_unref(s[i].m);
    path_put(&root);
    kfree(s);
    kfree(buf);
}

void mounts_show(struct fs_context *fs, struct strbuf *out)
{
    show_all(fs, out, false);
}

void mountinfo_show(struct fs_context *fs, struct strbuf *out)
{
    show_all(fs, out, true);
}

void filesystems_show(struct strbuf *out)
{
    for (int i = 0; i < SUPER_TYPE_COUNT; i++) {
        const struct super_ops *ops = super_ops_by_type((enum super_type)i);
        if (ops && ops->name && (ops->flags & SUPER_MOUNTABLE))
            strbuf_printf(out, "%s\t%s\n", ops->flags & SUPER_NODEV ? "nodev" : "", ops->name);
    }
}
