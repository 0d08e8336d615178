// config.json, as hostile as it comes. What is accepted must make a boot spec that is accepted, too.

#include "runtime/boot-write.h"
#include "runtime/config.h"
#include "runtime/exports.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Every bind mount gets the export of its number, without opening anything.
static void make_exports(const struct container *c, struct exports *x)
{
    x->count = 1;
    x->items[0] = (struct export){-1, BOOT_EXPORT_DIRECTORY, c->root_path};
    for (uint32_t i = 0; i < c->mount_count && x->count < BOOT_MAX_EXPORTS; i++) {
        if (c->mounts[i].type != BOOT_MOUNT_BIND)
            continue;
        x->of_mount[i] = x->count;
        x->items[x->count++] = (struct export){-1, 0, c->mounts[i].source};
    }
}

static void must_be_accepted(const struct container *c)
{
    static struct exports x;
    static struct boot_spec spec;
    const bool terminals[3] = {0};
    struct run_options o = {0};
    struct error e;
    struct stat st;
    const char *what;
    int fd;
    make_exports(c, &x);
    if (c->mount_count > BOOT_MAX_MOUNTS ||
        boot_spec_write(c, &o, &x, false, terminals, &fd, &e) < 0)
        return;
    if (fstat(fd, &st) < 0)
        abort();
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED || boot_spec_parse(data, (uint64_t)st.st_size, &spec, &what) < 0)
        abort();
    munmap(data, (size_t)st.st_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct container c = {0};
    struct error e = {0};
    c.id = pool_strdup(&c.pool, "fuzz");
    c.bundle = pool_strdup(&c.pool, "/bundle");
    char *text = pool_alloc(&c.pool, size + 1);
    if (size)
        memcpy(text, data, size);
    if (config_parse(text, size, &c, &e) == 0)
        must_be_accepted(&c);
    else if (!e.text[0])
        abort();
    container_done(&c);
    return 0;
}
