// Smoke test: what every other guest test needs (fork, exit, wait, files, clock).
#include "guest-test.h"

TEST(write_only)
{
    CHECK_EQ(write(STDOUT_FILENO, "", 0), 0);
}

TEST(identity)
{
    CHECK(getpid() > 0);
    CHECK_EQ(syscall(SYS_gettid), getpid());
    CHECK(getppid() >= 0);
}

TEST(fork_exit)
{
    pid_t pid = FORK({ _exit(7); });
    CHECK_EXIT(pid, 7);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(scratch_file)
{
    char text[16];
    CHECK_EQ(gt_write_file(gt_path("a"), "hello", 5), 0);
    CHECK_EQ(gt_read_file(gt_path("a"), text, sizeof(text)), 5);
    CHECK_STR(text, "hello");
}

TEST(clock_moves)
{
    int64_t start = gt_now_ns();
    gt_msleep(20);
    CHECK(gt_now_ns() - start >= 20000000);
}
