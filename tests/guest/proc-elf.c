// The ELF loader, with images made here byte by byte: segments, zeroed memory, protections, position
// independence, interpreters, stack flags, and damaged files that must be refused or end in a signal.
#include <elf.h>
#include <stddef.h>
#include <sys/resource.h>

#include "guest-test.h"

#define PAGE 4096UL
#define BASE 0x400000UL

extern char **environ;

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[8];
    unsigned char code[512];
    size_t code_size;
    size_t file_size;    // 0: as much as there is
};

// A code buffer is built from these pieces; `exit` ends with the number that is in edi.
static void emit(struct image *im, const void *bytes, size_t size)
{
    memcpy(im->code + im->code_size, bytes, size);
    im->code_size += size;
}

#define EMIT(im, ...)                                                                                    \
    do {                                                                                                 \
        const unsigned char gt_bytes[] = {__VA_ARGS__};                                                  \
        emit(im, gt_bytes, sizeof(gt_bytes));                                                            \
    } while (0)

static void emit_exit(struct image *im, unsigned char code)
{
    EMIT(im, 0xbf, code, 0, 0, 0);    // mov $code, %edi
    EMIT(im, 0xb8, 60, 0, 0, 0, 0x0f, 0x05);    // mov $60, %eax; syscall
}

// Exits with the byte at an address.
static void emit_exit_byte(struct image *im, uint32_t address)
{
    EMIT(im, 0x0f, 0xb6, 0x3c, 0x25, address, address >> 8, address >> 16, address >> 24);    // movzbl addr, %edi
    EMIT(im, 0xb8, 60, 0, 0, 0, 0x0f, 0x05);
}

static struct image new_image(void)
{
    struct image im = {
        .header =
            {
                .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_phoff = sizeof(Elf64_Ehdr),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 1,
            },
    };
    im.header.e_entry = BASE + offsetof(struct image, code);
    im.segments[0] = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = BASE, .p_filesz = PAGE, .p_memsz = PAGE, .p_align = PAGE};
    return im;
}

static char image_path[PATH_MAX * 2];

// Writes the image, one page unless it says otherwise, with a pattern (byte = page number + 1) behind.
static void write_image(const struct image *im, size_t pages)
{
    static unsigned char data[16 * PAGE];
    memset(data, 0, sizeof(data));
    for (size_t i = 1; i < pages; i++)
        memset(data + i * PAGE, i + 1, PAGE);
    memcpy(data, im, offsetof(struct image, code_size));
    snprintf(image_path, sizeof(image_path), "%s", gt_path("image"));
    (void)unlink(image_path);
    CHECK_EQ(gt_write_file(image_path, data, im->file_size ? im->file_size : pages * PAGE), 0);
    CHECK_EQ(chmod(image_path, 0755), 0);
}

// Wait status of the image, or minus the errno of exec.
static int run_image(const struct image *im, size_t pages)
{
    char *argv[] = {"image", NULL};
    int ends[2], err = 0;
    write_image(im, pages);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = FORK({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        execve(image_path, argv, environ);
        err = errno;
        (void)!write(ends[1], &err, sizeof(err));
        _exit(255);
    });
    close(ends[1]);
    ssize_t n = read(ends[0], &err, sizeof(err));
    close(ends[0]);
    int status = gt_waitpid(pid);
    return n == (ssize_t)sizeof(err) ? -err : status;
}

#define CHECK_IMAGE_EXIT(im, pages, code) CHECK_EQ(run_image(im, pages), (code) << 8)
#define CHECK_IMAGE_SIGNAL(im, pages, sig) CHECK_EQ(run_image(im, pages) & 0x7f, sig)

TEST(smallest)
{
    struct image im = new_image();
    emit_exit(&im, 42);
    CHECK_IMAGE_EXIT(&im, 1, 42);
}

TEST(entry_registers)
{
    // rdx is 0 (no function to run at exit), and so are the flags' direction bit and rbp.
    struct image im = new_image();
    EMIT(&im, 0x48, 0x85, 0xd2, 0x75, 0x0c);    // test %rdx, %rdx; jne +12
    emit_exit(&im, 1);
    emit_exit(&im, 2);
    CHECK_IMAGE_EXIT(&im, 1, 1);
}

TEST(bss_is_zero)
{
    // A data segment with 100 bytes in the file and two pages in memory.
    for (int past = 0; past < 3; past++) {
        struct image im = new_image();
        im.header.e_phnum = 2;
        im.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                      .p_flags = PF_R | PF_W,
                                      .p_offset = PAGE,
                                      .p_vaddr = BASE + 0x10000,
                                      .p_filesz = 100,
                                      .p_memsz = 3 * PAGE,
                                      .p_align = PAGE};
        static const uint32_t at[] = {99, 100, 2 * PAGE + 5};
        static const int want[] = {2, 0, 0};
        emit_exit_byte(&im, BASE + 0x10000 + at[past]);
        CHECK_IMAGE_EXIT(&im, 2, want[past]);
    }
}

TEST(bss_only_segment)
{
    struct image im = new_image();
    im.header.e_phnum = 2;
    im.segments[1] = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = BASE + 0x10000, .p_memsz = 5000, .p_align = PAGE};
    emit_exit_byte(&im, BASE + 0x10000 + 4999);
    CHECK_IMAGE_EXIT(&im, 1, 0);
}

TEST(unaligned_segment)
{
    // Offset and address are congruent modulo the page and not aligned.
    struct image im = new_image();
    im.header.e_phnum = 2;
    im.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                  .p_flags = PF_R,
                                  .p_offset = PAGE + 0x123,
                                  .p_vaddr = BASE + 0x10123,
                                  .p_filesz = 0x100,
                                  .p_memsz = 0x100,
                                  .p_align = PAGE};
    emit_exit_byte(&im, BASE + 0x10130);
    CHECK_IMAGE_EXIT(&im, 2, 2);
}

TEST(protections)
{
    // Writing to the text segment and running the data segment fault.
    struct image im = new_image();
    EMIT(&im, 0xc6, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0x01);    // movb $1, 0x400000
    emit_exit(&im, 1);
    CHECK_IMAGE_SIGNAL(&im, 1, SIGSEGV);
    im.segments[0].p_flags = PF_R | PF_W | PF_X;
    CHECK_IMAGE_EXIT(&im, 1, 1);
    im = new_image();
    im.segments[0].p_flags = PF_R | PF_W;
    emit_exit(&im, 1);
    CHECK_IMAGE_SIGNAL(&im, 1, SIGSEGV);
}

TEST(several_segments)
{
    for (int which = 1; which <= 5; which++) {
        struct image im = new_image();
        im.header.e_phnum = 6;
        for (int i = 1; i <= 5; i++)
            im.segments[i] = (Elf64_Phdr){.p_type = PT_LOAD,
                                          .p_flags = PF_R,
                                          .p_offset = i * PAGE,
                                          .p_vaddr = BASE + 0x100000UL * i,
                                          .p_filesz = PAGE,
                                          .p_memsz = PAGE,
                                          .p_align = PAGE};
        emit_exit_byte(&im, BASE + 0x100000 * which + 9);
        CHECK_IMAGE_EXIT(&im, 6, which + 1);
    }
}

TEST(position_independent)
{
    struct image im = new_image();
    im.header.e_type = ET_DYN;
    im.header.e_entry = offsetof(struct image, code);
    im.segments[0].p_vaddr = 0;
    // lea (%rip), %rdi; shr $40, %rdi: where position-independent programs are put
    EMIT(&im, 0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x48, 0xc1, 0xef, 0x28);
    EMIT(&im, 0xb8, 60, 0, 0, 0, 0x0f, 0x05);
    int status = run_image(&im, 1);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) >= 0x55 && WEXITSTATUS(status) <= 0x7f);
}

TEST(ignored_headers)
{
    // Notes, TLS, dynamic and unknown segments are not the kernel's business.
    struct image im = new_image();
    im.header.e_phnum = 6;
    im.segments[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = ~0ULL, .p_filesz = 100};
    im.segments[2] = (Elf64_Phdr){.p_type = PT_TLS, .p_offset = 1, .p_filesz = 100, .p_memsz = 50};
    im.segments[3] = (Elf64_Phdr){.p_type = PT_DYNAMIC, .p_vaddr = 8};
    im.segments[4] = (Elf64_Phdr){.p_type = 0x6fffffff, .p_vaddr = ~0ULL};
    im.segments[5] = (Elf64_Phdr){.p_type = PT_NULL, .p_vaddr = ~0ULL};
    emit_exit(&im, 7);
    CHECK_IMAGE_EXIT(&im, 1, 7);
}

TEST(stack_flags)
{
    // PT_GNU_STACK with PF_X makes the stack executable; without, it is not.
    for (int exec = 0; exec < 2; exec++) {
        struct image im = new_image();
        im.header.e_phnum = 2;
        im.segments[1] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | (exec ? PF_X : 0)};
        // push a small program (mov $9, %edi; mov $60, %eax; syscall) and jump to it
        EMIT(&im, 0x48, 0xb8, 0x00, 0x00, 0x0f, 0x05, 0x90, 0x90, 0x90, 0x90, 0x50);    // second half
        EMIT(&im, 0x48, 0xb8, 0xbf, 0x09, 0, 0, 0, 0xb8, 0x3c, 0x00, 0x50);
        EMIT(&im, 0xff, 0xe4);    // jmp *%rsp
        // bytes on the stack: bf 09 00 00 00 b8 3c 00 | 00 00 0f 05
        int status = run_image(&im, 1);
        if (exec)
            CHECK_EQ(status, 9 << 8);
        else
            CHECK_EQ(status & 0x7f, SIGSEGV);
    }
}

TEST(interpreter)
{
    // The interpreter is a second image: it runs, and AT_BASE, AT_ENTRY tell it of the first.
    struct image interp = new_image();
    interp.header.e_type = ET_DYN;
    interp.header.e_entry = offsetof(struct image, code);
    interp.segments[0].p_vaddr = 0;
    emit_exit(&interp, 77);
    write_image(&interp, 1);
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s", gt_path("interp"));
    CHECK(strlen(name) < 100);
    CHECK_EQ(rename(image_path, name), 0);

    struct image im = new_image();
    im.header.e_phnum = 2;
    im.segments[1] = (Elf64_Phdr){.p_type = PT_INTERP,
                                  .p_offset = offsetof(struct image, code) + 256,
                                  .p_filesz = strlen(name) + 1,
                                  .p_memsz = strlen(name) + 1};
    strcpy((char *)im.code + 256, name);
    emit_exit(&im, 1);
    CHECK_IMAGE_EXIT(&im, 1, 77);
    // A jump to the program's own entry, found in the auxiliary vector, is what real ones do in the end. The
    // name must end with a zero byte, exist, and be an executable of the right kind.
    im.segments[1].p_filesz--;
    CHECK_EQ(run_image(&im, 1), -ENOEXEC);
    im.segments[1].p_filesz++;
    CHECK_EQ(chmod(name, 0644), 0);
    CHECK_EQ(run_image(&im, 1), -EACCES);
    CHECK_EQ(chmod(name, 0755), 0);
    CHECK_EQ(truncate(name, 10), 0);
    CHECK_EQ(run_image(&im, 1), -EIO);
    CHECK_EQ(gt_write_file(name, "#!/bin/sh\n1234567890123456789012345678901234567890123456789012345678901234567890",
                           80),
             0);
    CHECK_EQ(run_image(&im, 1), -ELIBBAD);
    CHECK_EQ(unlink(name), 0);
    CHECK_EQ(run_image(&im, 1), -ENOENT);
    im.segments[1].p_filesz = 1;
    CHECK_EQ(run_image(&im, 1), -ENOEXEC);
    im.segments[1].p_filesz = PATH_MAX + 1;
    CHECK_EQ(run_image(&im, 1), -ENOEXEC);
}

TEST(damaged_headers)
{
    static const struct {
        size_t offset;
        unsigned char value;
        const char *what;
    } cases[] = {
        {0, 0x7e, "magic"},
        {1, 'e', "magic"},
        {offsetof(Elf64_Ehdr, e_type), ET_CORE, "type core"},
        {offsetof(Elf64_Ehdr, e_type), ET_REL, "type relocatable"},
        {offsetof(Elf64_Ehdr, e_type), 0, "type none"},
        {offsetof(Elf64_Ehdr, e_machine), EM_386, "machine"},
        {offsetof(Elf64_Ehdr, e_phentsize), 32, "size of an entry"},
        {offsetof(Elf64_Ehdr, e_phnum), 0, "no segments"},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        struct image im = new_image();
        emit_exit(&im, 1);
        ((unsigned char *)&im)[cases[i].offset] = cases[i].value;
        int r = run_image(&im, 1);
        if (r != -ENOEXEC && r != -ELIBBAD)
            gt_fail(false, __FILE__, __LINE__, "%s: got %d", cases[i].what, r);
    }
    struct image im = new_image();
    emit_exit(&im, 1);
    im.header.e_phnum = 65535;
    EXPECT_EQ(run_image(&im, 1), -ENOEXEC);
    im.header.e_phnum = 1;
    im.header.e_phoff = 1 << 20;    // beyond the file
    EXPECT(run_image(&im, 1) < 0);
    im.header.e_phoff = ~0ULL - 8;
    EXPECT(run_image(&im, 1) < 0);
    im = new_image();
    im.file_size = 60;    // shorter than the header
    EXPECT_EQ(run_image(&im, 1), -ENOEXEC);
}

// After the old program is gone a bad segment can only kill; before, exec fails. Either is right, running is not.
static void check_refused(const struct image *im, size_t pages, const char *what)
{
    int r = run_image(im, pages);
    if (r >= 0 && !WIFSIGNALED(r))
        gt_fail(false, __FILE__, __LINE__, "%s: ran, status %#x", what, r);
}

TEST(damaged_segments)
{
    struct image im;
#define DAMAGE(what, ...)                                                                                \
    do {                                                                                                 \
        im = new_image();                                                                                \
        emit_exit(&im, 1);                                                                               \
        __VA_ARGS__;                                                                                     \
        check_refused(&im, 1, what);                                                                     \
    } while (0)
    DAMAGE("file size above memory size", im.segments[0].p_memsz = 100);
    DAMAGE("kernel address", im.segments[0].p_vaddr = 0xffffffff80000000);
    DAMAGE("address beyond the end", im.segments[0].p_vaddr = 0x7ffffffff000);
    DAMAGE("wrapping size", im.segments[0].p_memsz = ~0ULL);
    DAMAGE("huge size", im.segments[0].p_memsz = 1UL << 47);
    DAMAGE("incongruent offset", im.segments[0].p_offset = 100);
    DAMAGE("no load segment", im.segments[0].p_type = PT_NOTE);
    DAMAGE("entry outside", im.header.e_entry = 0x12345678);
    DAMAGE("entry in the kernel", im.header.e_entry = 0xffffffff80000000);
    DAMAGE("offset beyond the file", im.segments[0].p_offset = 1 << 20);
}

TEST(truncated_text)
{
    // The segment says three pages, the file has one: touching the rest is SIGBUS.
    struct image im = new_image();
    im.segments[0].p_filesz = im.segments[0].p_memsz = 3 * PAGE;
    emit_exit_byte(&im, BASE + 2 * PAGE);
    CHECK_IMAGE_SIGNAL(&im, 1, SIGBUS);
    im = new_image();
    im.segments[0].p_filesz = im.segments[0].p_memsz = 3 * PAGE;
    emit_exit(&im, 3);
    CHECK_IMAGE_EXIT(&im, 1, 3);
}

TEST(brk_starts_after_bss)
{
    // brk(0) lies at or above the end of the last segment; the exit code is how it compares.
    struct image im = new_image();
    im.segments[0].p_memsz = 0x8000;
    im.segments[0].p_flags |= PF_W;
    EMIT(&im, 0xb8, 12, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05);    // mov $12, %eax; xor %edi, %edi; syscall
    EMIT(&im, 0x48, 0x3d, 0x00, 0x80, 0x40, 0x00);    // cmp $0x408000, %rax
    EMIT(&im, 0x73, 0x0c);    // jae +12
    emit_exit(&im, 1);
    emit_exit(&im, 2);
    CHECK_IMAGE_EXIT(&im, 1, 2);
}

TEST(write_to_file_mapping_is_private)
{
    // A program that writes to its data segment does not change its file.
    struct image im = new_image();
    im.segments[0].p_flags = PF_R | PF_W | PF_X;
    EMIT(&im, 0xc6, 0x04, 0x25, 0xf0, 0x0f, 0x40, 0x00, 0x55);    // movb $0x55, 0x400ff0
    emit_exit_byte(&im, 0x400ff0);
    CHECK_IMAGE_EXIT(&im, 1, 0x55);
    char data[PAGE];
    int fd = OK(open(image_path, O_RDONLY));
    CHECK_EQ(read(fd, data, PAGE), (ssize_t)PAGE);
    CHECK_EQ(data[0xff0], 0);
}

TEST(changed_between_runs)
{
    // Each run sees the file as it is now, whatever was cached.
    for (int i = 1; i <= 20; i++) {
        struct image im = new_image();
        emit_exit(&im, i);
        CHECK_IMAGE_EXIT(&im, 1, i);
        char *argv[] = {"image", NULL};
        // In place, too
        unsigned char code = 100 + i;
        int fd = OK(open(image_path, O_WRONLY));
        CHECK_EQ(pwrite(fd, &code, 1, offsetof(struct image, code) + 1), 1);
        CHECK_EQ(close(fd), 0);
        pid_t pid = FORK({
            execve(image_path, argv, environ);
            _exit(255);
        });
        CHECK_EXIT(pid, 100 + i);
    }
}
