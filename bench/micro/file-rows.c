/*
 * Files: reading, looking up, opening, listing, writing. The file that is read belongs to the
 * image (--data), as the files that programs read all day do; what is written lies in --dir.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_state {
    int fd;
    char path[512];
    char absent[600];
    bool own; /* the path was made here and goes away again */
    struct stat expected;
    uint8_t *buffer;
};

#define BUFFER_SIZE 65536

static int make_data_file(struct bench *b, struct file_state *f)
{
    snprintf(f->path, sizeof f->path, "%s/micro-data.%ld", b->work_dir, (long)getpid());
    f->own = true;
    int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return bench_fail(b, "open %s", f->path);
    for (uint64_t at = 0; at < BENCH_DATA_SIZE; at += BUFFER_SIZE) {
        for (uint64_t i = 0; i < BUFFER_SIZE; i++)
            f->buffer[i] = bench_pattern(at + i);
        if (write(fd, f->buffer, BUFFER_SIZE) != BUFFER_SIZE) {
            close(fd);
            return bench_fail(b, "write %s", f->path);
        }
    }
    return close(fd) == 0 ? 0 : bench_fail(b, "close %s", f->path);
}

static void teardown_file(struct bench *b)
{
    struct file_state *f = b->private_state;
    if (f->fd >= 0)
        close(f->fd);
    if (f->own)
        unlink(f->path);
    free(f->buffer);
    free(f);
    b->private_state = NULL;
}

static int setup_data(struct bench *b)
{
    struct file_state *f = calloc(1, sizeof *f);
    if (f == NULL)
        return bench_fail(b, "calloc");
    b->private_state = f;
    f->fd = -1;
    f->buffer = malloc(BUFFER_SIZE);
    if (f->buffer == NULL)
        goto failed;
    if (b->data_path != NULL)
        snprintf(f->path, sizeof f->path, "%s", b->data_path);
    else if (make_data_file(b, f) != 0)
        goto failed;
    snprintf(f->absent, sizeof f->absent, "%s.absent", f->path);
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &f->expected) != 0) {
        bench_fail(b, "%s", f->path);
        goto failed;
    }
    if (f->expected.st_size < BENCH_DATA_SIZE) {
        errno = 0;
        bench_fail(b, "%s is too short", f->path);
        goto failed;
    }
    return 0;
failed:
    if (b->error[0] == '\0')
        bench_fail(b, "set-up");
    teardown_file(b);
    return -1;
}

static int setup_zero(struct bench *b)
{
    struct file_state *f = calloc(1, sizeof *f);
    if (f == NULL)
        return bench_fail(b, "calloc");
    f->fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (f->fd < 0) {
        free(f);
        return bench_fail(b, "open /dev/zero");
    }
    b->private_state = f;
    return 0;
}

static int run_read_zero(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t byte = 0xff;
        ssize_t got = read(f->fd, &byte, 1);
        if (got != 1 || byte != 0)
            return bench_fail(b, "read of /dev/zero: %zd bytes, value %u", got, byte);
    }
    return 0;
}

static int run_write_zero(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        if (write(f->fd, "x", 1) != 1)
            return bench_fail(b, "write to /dev/zero");
    }
    return 0;
}

/* The row's parameter is the size in KiB. Three bytes of each piece are compared every time. */
static int run_pread(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    size_t size = (size_t)b->parameter * 1024;
    uint64_t offset = 0;
    for (uint64_t i = 0; i < n; i++) {
        f->buffer[0] ^= 0xff;
        f->buffer[size - 1] ^= 0xff;
        ssize_t got = pread(f->fd, f->buffer, size, (off_t)offset);
        if (got != (ssize_t)size)
            return bench_fail(b, "pread at %llu: %zd", (unsigned long long)offset, got);
        if (f->buffer[0] != bench_pattern(offset) ||
            f->buffer[size / 2] != bench_pattern(offset + size / 2) ||
            f->buffer[size - 1] != bench_pattern(offset + size - 1))
            return bench_fail(b, "pread at %llu: wrong data", (unsigned long long)offset);
        offset = (offset + size) % BENCH_DATA_SIZE;
    }
    return 0;
}

static int run_stat(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        struct stat st = {0};
        if (stat(f->path, &st) != 0)
            return bench_fail(b, "stat %s", f->path);
        if (st.st_ino != f->expected.st_ino || st.st_size != f->expected.st_size)
            return bench_fail(b, "stat %s: another file", f->path);
    }
    return 0;
}

static int run_stat_absent(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        struct stat st;
        if (stat(f->absent, &st) != -1 || errno != ENOENT)
            return bench_fail(b, "stat of an absent name");
    }
    errno = 0;
    return 0;
}

static int run_open_close(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    int first = -1;
    for (uint64_t i = 0; i < n; i++) {
        int fd = open(f->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return bench_fail(b, "open %s", f->path);
        if (first < 0)
            first = fd;
        if (fd != first)
            return bench_fail(b, "open returned %d, not the lowest free descriptor %d", fd, first);
        if (close(fd) != 0)
            return bench_fail(b, "close");
    }
    return 0;
}

static int run_write_tmp(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        if (pwrite(f->fd, f->buffer, 4096, (off_t)(i % 64) * 4096) != 4096)
            return bench_fail(b, "pwrite");
    }
    uint8_t byte = 0;
    if (pread(f->fd, &byte, 1, 4095) != 1 || byte != f->buffer[4095])
        return bench_fail(b, "what was written does not come back");
    return 0;
}

static int setup_tmp(struct bench *b)
{
    const char *data_path = b->data_path;
    b->data_path = NULL;
    int result = setup_data(b);
    b->data_path = data_path;
    if (result != 0)
        return -1;
    struct file_state *f = b->private_state;
    close(f->fd);
    f->fd = open(f->path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0) {
        bench_fail(b, "open %s", f->path);
        teardown_file(b);
        return -1;
    }
    return 0;
}

static int run_create_unlink(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        int fd = open(f->absent, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return bench_fail(b, "create %s", f->absent);
        if (close(fd) != 0 || unlink(f->absent) != 0)
            return bench_fail(b, "unlink %s", f->absent);
    }
    return 0;
}

/* Maps the file, reads a byte of each of its first 16 pages, unmaps it. */
static int run_map_file(struct bench *b, uint64_t n)
{
    struct file_state *f = b->private_state;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *memory = mmap(NULL, BUFFER_SIZE, PROT_READ, MAP_PRIVATE, f->fd, 0);
        if (memory == MAP_FAILED)
            return bench_fail(b, "mmap of %s", f->path);
        for (uint64_t at = 1; at < BUFFER_SIZE; at += 4096) {
            if (memory[at] != bench_pattern(at))
                return bench_fail(b, "wrong data at %llu", (unsigned long long)at);
        }
        if (munmap(memory, BUFFER_SIZE) != 0)
            return bench_fail(b, "munmap");
    }
    return 0;
}

/* Lists /usr/bin: one operation is one whole listing. */
static int run_list(struct bench *b, uint64_t n)
{
    size_t first = 0;
    for (uint64_t i = 0; i < n; i++) {
        DIR *dir = opendir("/usr/bin");
        if (dir == NULL)
            return bench_fail(b, "opendir /usr/bin");
        size_t entries = 0;
        while (readdir(dir) != NULL)
            entries++;
        closedir(dir);
        if (first == 0)
            first = entries;
        if (entries != first || entries < 3)
            return bench_fail(b, "%zu entries, %zu before", entries, first);
    }
    return 0;
}

const struct row file_rows[] = {
    {"read-zero", "read 1 byte of /dev/zero", setup_zero, run_read_zero, teardown_file, 0, 0},
    {"write-zero", "write 1 byte to /dev/zero", setup_zero, run_write_zero, teardown_file, 0, 0},
    {"pread-4k", "pread 4 KiB of a cached file", setup_data, run_pread, teardown_file, 4, 0},
    {"pread-64k", "pread 64 KiB of a cached file", setup_data, run_pread, teardown_file, 64, 0},
    {"stat", "stat of a cached name", setup_data, run_stat, teardown_file, 0, 0},
    {"stat-absent", "stat of an absent name", setup_data, run_stat_absent, teardown_file, 0, 0},
    {"open-close", "open and close", setup_data, run_open_close, teardown_file, 0, 0},
    {"map-file", "map 16 pages of a file, read them, unmap", setup_data, run_map_file,
     teardown_file, 0, 0},
    {"list-dir", "list /usr/bin", NULL, run_list, NULL, 0, 0},
    {"write-tmp", "pwrite 4 KiB to a file in /tmp", setup_tmp, run_write_tmp, teardown_file, 0, 0},
    {"create-unlink", "create and remove a file in /tmp", setup_tmp, run_create_unlink,
     teardown_file, 0, 0},
    {0},
};
