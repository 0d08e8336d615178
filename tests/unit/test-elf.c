// ELF images and #! lines: good ones, and each way of being wrong.
#include <elf.h>
#include <sys/mman.h>

#include "kernel/elf.h"
#include "unit.h"

struct sample {
    Elf64_Ehdr h;
    Elf64_Phdr p[8];
};

static struct sample good(void)
{
    struct sample s = {
        .h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
              .e_type = ET_DYN,
#if defined(__x86_64__)
              .e_machine = EM_X86_64,
#else
              .e_machine = EM_AARCH64,
#endif
              .e_entry = 0x1040,
              .e_phoff = sizeof(Elf64_Ehdr),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phnum = 4},
        .p = {{.p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 28},
              {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 0x1800, .p_memsz = 0x1800, .p_align = 0x1000},
              {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x1e00, .p_vaddr = 0x3e00, .p_filesz = 0x300,
               .p_memsz = 0x2345, .p_align = 0x200000},
              {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W}},
    };
    return s;
}

static int parse(const struct sample *s, struct elf_image *image)
{
    struct elf_header header;
    int ret = elf_parse_header(s, sizeof(*s), &header);

    if (ret < 0)
        return ret;
    assert_true(header.headers_offset == sizeof(Elf64_Ehdr) || header.headers_offset > sizeof(*s));
    return elf_parse_image(&header, s->p, image);
}

static void test_good(void **state)
{
    struct sample s = good();
    struct elf_image i;

    assert_int_equal(parse(&s, &i), 0);
    assert_false(i.fixed);
    assert_int_equal(i.entry, 0x1040);
    assert_int_equal(i.segment_count, 2);
    assert_int_equal(i.segments[1].start, 0x3000);
    assert_int_equal(i.segments[1].offset, 0x1000);
    assert_int_equal(i.segments[1].file_end, 0x4100);
    assert_int_equal(i.segments[1].end, 0x6145);
    assert_int_equal(i.segments[1].prot, PROT_READ | PROT_WRITE);
    assert_int_equal(i.low, 0);
    assert_int_equal(i.high, 0x7000);
    assert_int_equal(i.align, 0x200000);
    assert_int_equal(i.brk, 0x6145);
    assert_int_equal(i.headers_addr, sizeof(Elf64_Ehdr));
    assert_true(i.has_interpreter);
    assert_int_equal(i.interpreter_size, 28);
    assert_false(i.executable_stack);
    assert_int_equal(i.end_code, 0x1800);
    assert_int_equal(i.end_data, 0x4100);
}

static void test_not_elf(void **state)
{
    struct sample s = good();
    struct elf_header header;
    struct elf_image i;

    assert_int_equal(elf_parse_header(&s, 63, &header), -ENOEXEC);
    s.h.e_ident[0] = 'x';
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_ident[EI_CLASS] = ELFCLASS32;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_machine = EM_386;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_type = ET_REL;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_phentsize = 32;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_phnum = 0;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_phnum = 2000;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.h.e_phoff = UINT64_MAX - 100;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
}

static void test_bad_segments(void **state)
{
    struct sample s = good();
    struct elf_image i;

    s.p[2].p_memsz = s.p[2].p_filesz - 1;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[2].p_vaddr = UINT64_MAX - 0x1200;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[2].p_memsz = 1ull << 47;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[2].p_offset++;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[2].p_offset = INT64_MAX & ~0xfffull;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[0].p_filesz = 1;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.p[0].p_filesz = 5000;
    assert_int_equal(parse(&s, &i), -ENOEXEC);
    s = good();
    s.p[1].p_type = s.p[2].p_type = PT_NULL;
    assert_int_equal(parse(&s, &i), -EINVAL);
    s = good();
    s.p[3].p_flags |= PF_X;
    assert_int_equal(parse(&s, &i), 0);
    assert_true(i.executable_stack);
    s = good();
    s.p[2].p_align = 3; // nonsense is no reason
    assert_int_equal(parse(&s, &i), 0);
    assert_int_equal(i.align, PAGE_SIZE);
    s = good();
    s.p[2].p_filesz = 0; // nothing of it is in the file
    assert_int_equal(parse(&s, &i), 0);
    assert_int_equal(i.segments[1].file_end, i.segments[1].start);
}

static void check_script(const char *text, const char *interpreter, const char *argument)
{
    char buf[SCRIPT_BUFFER_SIZE] = {0};
    struct script_line line;
    int ret;

    memcpy(buf, text, MIN(strlen(text), sizeof(buf)));
    ret = script_parse(buf, &line);
    if (!interpreter) {
        assert_int_equal(ret, -ENOEXEC);
        return;
    }
    assert_int_equal(ret, 0);
    assert_string_equal(line.interpreter, interpreter);
    assert_int_equal(line.has_argument, argument != NULL);
    assert_string_equal(line.argument, argument ? argument : "");
}

static void test_scripts(void **state)
{
    char text[400];

    check_script("#!/bin/sh\n", "/bin/sh", NULL);
    check_script("#!/bin/sh", "/bin/sh", NULL);
    check_script("#! \t/bin/sh  \t\n", "/bin/sh", NULL);
    check_script("#!/bin/sh -e -x  \necho", "/bin/sh", "-e -x");
    check_script("#!/bin/sh\t-e\n", "/bin/sh", "-e");
    check_script("#!\n/bin/sh\n", NULL, NULL);
    check_script("#! \n", NULL, NULL);
    check_script("#!", NULL, NULL);
    check_script("# !/bin/sh\n", NULL, NULL);
    check_script("/bin/sh\n", NULL, NULL);
    // 255 bytes count. A path that is cut off is refused, an argument that is cut off is not.
    memset(text, 'a', sizeof(text));
    memcpy(text, "#!/", 3);
    text[300] = 0;
    check_script(text, NULL, NULL);
    memcpy(text, "#!/bin/sh ", 10);
    char cut[SCRIPT_BUFFER_SIZE];
    memset(cut, 'a', sizeof(cut));
    cut[SCRIPT_BUFFER_SIZE - 1 - 10] = 0;
    check_script(text, "/bin/sh", cut);
    memset(text, ' ', 300);
    memcpy(text, "#!", 2);
    check_script(text, NULL, NULL);
}

static void test_self(void **state)
{
    uint8_t head[4096];
    struct elf_header header;
    struct elf_image i;
    int fd = open("/proc/self/exe", O_RDONLY);

    assert_true(read(fd, head, sizeof(head)) == sizeof(head));
    close(fd);
    assert_int_equal(elf_parse_header(head, sizeof(head), &header), 0);
    assert_true(header.headers_offset + header.headers_size <= sizeof(head));
    assert_int_equal(elf_parse_image(&header, head + header.headers_offset, &i), 0);
    assert_true(i.segment_count >= 2 && i.headers_addr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_not_elf), cmocka_unit_test(test_bad_segments),
        cmocka_unit_test(test_scripts), cmocka_unit_test(test_self),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
