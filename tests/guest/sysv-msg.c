// Message queues, System V and POSIX: order, types, priorities, blocking, limits, notification, permissions,
// removal under waiters.
#include <mqueue.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "guest-test.h"

struct message {
    long type;
    char text[256];
};

static long send_text(int id, long type, const char *text, int flags)
{
    struct message m = {.type = type};
    snprintf(m.text, sizeof(m.text), "%s", text);
    return msgsnd(id, &m, strlen(text) + 1, flags);
}

static void expect_text(int id, long type, int flags, long want_type, const char *want)
{
    struct message m;
    memset(&m, 0x55, sizeof(m));
    ssize_t n = msgrcv(id, &m, sizeof(m.text), type, flags);
    if (n != (ssize_t)strlen(want) + 1 || m.type != want_type || strcmp(m.text, want) != 0)
        FAIL("msgrcv(%ld): got %zd type %ld \"%s\" want type %ld \"%s\" (%s)", type, n, n < 0 ? 0 : m.type,
             n < 0 ? "" : m.text, want_type, want, gt_errname(errno));
}

static int new_queue(void)
{
    return OK(msgget(IPC_PRIVATE, 0600));
}

static void remove_queue(int id)
{
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
}

TEST(msg_order_and_types)
{
    int id = new_queue();
    CHECK_EQ(send_text(id, 3, "three", 0), 0);
    CHECK_EQ(send_text(id, 1, "one", 0), 0);
    CHECK_EQ(send_text(id, 2, "two", 0), 0);
    CHECK_EQ(send_text(id, 1, "one again", 0), 0);
    expect_text(id, 0, 0, 3, "three");    // any: the first
    expect_text(id, 2, 0, 2, "two");
    CHECK_EQ(send_text(id, 5, "five", 0), 0);
    expect_text(id, -5, 0, 1, "one");    // the lowest type up to 5
    expect_text(id, 1, MSG_EXCEPT, 5, "five");
    expect_text(id, -1, 0, 1, "one again");
    struct message m;
    CHECK_ERRNO(msgrcv(id, &m, 10, 0, IPC_NOWAIT), ENOMSG);
    remove_queue(id);
}

TEST(msg_sizes)
{
    int id = new_queue();
    struct message m = {.type = 1};
    CHECK_EQ(send_text(id, 1, "0123456789", 0), 0);
    CHECK_ERRNO(msgrcv(id, &m, 5, 0, IPC_NOWAIT), E2BIG);
    CHECK_EQ(msgrcv(id, &m, 5, 0, IPC_NOWAIT | MSG_NOERROR), 5);
    CHECK(memcmp(m.text, "01234", 5) == 0);
    CHECK_EQ(msgsnd(id, &m, 0, 0), 0);
    CHECK_EQ(msgrcv(id, &m, 100, 0, 0), 0);
    m.type = 0;
    EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
    m.type = -1;
    EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
    m.type = 1;
    EXPECT_ERRNO(msgsnd(id, &m, -1, 0), EINVAL);
    EXPECT_ERRNO(msgsnd(id, &m, 1 << 24, 0), EINVAL);
    EXPECT_ERRNO(msgsnd(-1, &m, 1, 0), EINVAL);
    EXPECT_ERRNO(msgsnd(id, GT_BAD, 1, 0), EFAULT);
    EXPECT_ERRNO(msgrcv(id, &m, -1, 0, IPC_NOWAIT), EINVAL);
    remove_queue(id);
    EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
    EXPECT_ERRNO(msgrcv(id, &m, 1, 0, 0), EINVAL);
}

TEST(msg_get)
{
    key_t key = 0x51000000 ^ getpid();
    CHECK_ERRNO(msgget(key, 0600), ENOENT);
    int id = OK(msgget(key, IPC_CREAT | 0640));
    CHECK_EQ(msgget(key, 0), id);
    CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
    struct msqid_ds ds;
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.msg_qnum, 0);
    CHECK(ds.msg_qbytes > 0);
    CHECK_EQ(ds.msg_perm.mode & 0777, 0640);
    CHECK_EQ(ds.msg_stime, 0);
    CHECK_EQ(send_text(id, 1, "abc", 0), 0);
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    CHECK(ds.msg_qnum == 1 && ds.__msg_cbytes == 4 && ds.msg_lspid == getpid() && ds.msg_stime > 1000000000);
    ds.msg_qbytes = 100;
    ds.msg_perm.mode = 0600;
    CHECK_EQ(msgctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    CHECK(ds.msg_qbytes == 100 && (ds.msg_perm.mode & 0777) == 0600);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(send_text(id, 1, "x", IPC_NOWAIT), EACCES);
        CHECK_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
        CHECK_ERRNO(msgctl(id, IPC_STAT, &ds), EACCES);
        CHECK_ERRNO(msgget(key, 0600), EACCES);
    });
    CHECK_EXIT(pid, 0);
    remove_queue(id);
}

static int queued(int id)
{
    struct msqid_ds ds;
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    return ds.msg_qnum;
}

TEST(msg_full_and_blocking)
{
    int id = new_queue();
    struct msqid_ds ds;
    CHECK_EQ(msgctl(id, IPC_STAT, &ds), 0);
    ds.msg_qbytes = 20;
    CHECK_EQ(msgctl(id, IPC_SET, &ds), 0);
    CHECK_EQ(send_text(id, 1, "123456789", 0), 0);
    CHECK_EQ(send_text(id, 1, "123456789", 0), 0);
    CHECK_ERRNO(send_text(id, 1, "x", IPC_NOWAIT), EAGAIN);
    pid_t pid = FORK({ CHECK_EQ(send_text(id, 1, "late", 0), 0); });
    gt_wait_state(pid, "S");
    CHECK_EQ(queued(id), 2);
    expect_text(id, 0, 0, 1, "123456789");
    CHECK_EXIT(pid, 0);
    expect_text(id, 0, 0, 1, "123456789");
    expect_text(id, 0, 0, 1, "late");
    // A receiver waits for its type only.
    pid = FORK({ expect_text(id, 7, 0, 7, "mine"); });
    gt_wait_state(pid, "S");
    CHECK_EQ(send_text(id, 6, "other", 0), 0);
    CHECK_EQ(send_text(id, 7, "mine", 0), 0);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(queued(id), 1);
    remove_queue(id);
}

TEST(msg_removed_under_waiters)
{
    int id = new_queue();
    pid_t pid = FORK({
        struct message m;
        CHECK_ERRNO(msgrcv(id, &m, 10, 0, 0), EIDRM);
    });
    gt_wait_state(pid, "S");
    gt_msleep(5);
    remove_queue(id);
    CHECK_EXIT(pid, 0);
}

static void on_signal(int sig)
{
    (void)sig;
}

TEST(msg_interrupted)
{
    int id = new_queue();
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    struct itimerval it = {{0, 0}, {0, 20000}};
    struct message m;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK_ERRNO(msgrcv(id, &m, 10, 0, 0), EINTR);    // never restarted
    remove_queue(id);
}

TEST(msg_pipeline)
{
    int a = new_queue(), b = new_queue();
    pid_t pid = FORK({
        struct message m;
        for (int i = 0; i < 500; i++) {
            ssize_t n = msgrcv(a, &m, sizeof(m.text), 0, 0);
            CHECK(n > 0);
            CHECK_EQ(msgsnd(b, &m, n, 0), 0);
        }
    });
    for (int i = 0; i < 500; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        CHECK_EQ(send_text(a, 1 + i % 3, text, 0), 0);
        expect_text(b, 0, 0, 1 + i % 3, text);
    }
    CHECK_EXIT(pid, 0);
    remove_queue(a);
    remove_queue(b);
}

static char mq_path[64];

static mqd_t open_mq(int flags, long max, long size)
{
    struct mq_attr attr = {.mq_maxmsg = max, .mq_msgsize = size};
    snprintf(mq_path, sizeof(mq_path), "/gt-%d", getpid());
    mqd_t mq = mq_open(mq_path, O_CREAT | O_RDWR | flags, 0600, max ? &attr : NULL);
    if (mq == (mqd_t)-1 && errno == ENOSYS)
        SKIP("no POSIX message queues");
    return mq;
}

TEST(mq_priorities)
{
    mqd_t mq = OK(open_mq(O_EXCL, 8, 32));
    CHECK_EQ(mq_send(mq, "low", 4, 1), 0);
    CHECK_EQ(mq_send(mq, "high", 5, 9), 0);
    CHECK_EQ(mq_send(mq, "low too", 8, 1), 0);
    CHECK_EQ(mq_send(mq, "middle", 7, 5), 0);
    struct mq_attr attr;
    CHECK_EQ(mq_getattr(mq, &attr), 0);
    CHECK(attr.mq_maxmsg == 8 && attr.mq_msgsize == 32 && attr.mq_curmsgs == 4 && attr.mq_flags == 0);
    static const char *const want[] = {"high", "middle", "low", "low too"};
    static const unsigned priorities[] = {9, 5, 1, 1};
    for (int i = 0; i < 4; i++) {
        char text[32];
        unsigned priority;
        CHECK_EQ(mq_receive(mq, text, sizeof(text), &priority), (ssize_t)strlen(want[i]) + 1);
        CHECK_STR(text, want[i]);
        CHECK_EQ(priority, priorities[i]);
    }
    CHECK_EQ(mq_close(mq), 0);
    CHECK_EQ(mq_unlink(mq_path), 0);
}

TEST(mq_errors)
{
    mqd_t mq = OK(open_mq(O_NONBLOCK, 2, 16));
    char text[32];
    EXPECT_ERRNO(mq_receive(mq, text, sizeof(text), NULL), EAGAIN);
    EXPECT_ERRNO(mq_receive(mq, text, 15, NULL), EMSGSIZE);
    EXPECT_ERRNO(mq_send(mq, text, 17, 0), EMSGSIZE);
    EXPECT_ERRNO(mq_send(mq, text, 1, 32768), EINVAL);
    EXPECT_EQ(mq_send(mq, "a", 2, 0), 0);
    EXPECT_EQ(mq_send(mq, "b", 2, 32767), 0);
    EXPECT_ERRNO(mq_send(mq, "c", 2, 0), EAGAIN);
    EXPECT_ERRNO(open_mq(O_EXCL, 2, 16), EEXIST);
    EXPECT_ERRNO(mq_open("/gt-absent", O_RDWR), ENOENT);
    EXPECT_ERRNO(mq_open("no slash", O_RDWR), EINVAL);
    EXPECT_ERRNO(mq_unlink("/gt-absent"), ENOENT);
    mqd_t ro = OK(mq_open(mq_path, O_RDONLY));
    EXPECT_ERRNO(mq_send(ro, "x", 1, 0), EBADF);
    CHECK_EQ(mq_unlink(mq_path), 0);
    EXPECT_EQ(mq_receive(ro, text, sizeof(text), NULL), 2);    // lives on while open
}

TEST(mq_blocking_and_timeout)
{
    mqd_t mq = OK(open_mq(O_EXCL, 1, 16));
    CHECK_EQ(mq_unlink(mq_path), 0);
    char text[32];
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec -= 1;
    CHECK_ERRNO(mq_timedreceive(mq, text, sizeof(text), NULL, &ts), ETIMEDOUT);
    pid_t pid = FORK({
        CHECK_EQ(mq_receive(mq, text, sizeof(text), NULL), 3);
        CHECK_STR(text, "go");
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(mq_send(mq, "go", 3, 0), 0);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(mq_send(mq, "1", 2, 0), 0);
    pid = FORK({ CHECK_EQ(mq_send(mq, "2", 2, 0), 0); });
    gt_wait_state(pid, "S");
    CHECK_EQ(mq_receive(mq, text, sizeof(text), NULL), 2);
    CHECK_EXIT(pid, 0);
}

TEST(mq_poll_and_notify)
{
    mqd_t mq = OK(open_mq(O_EXCL, 2, 16));
    CHECK_EQ(mq_unlink(mq_path), 0);
    struct pollfd p = {.fd = mq, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 31};
    CHECK_EQ(mq_notify(mq, &ev), 0);
    CHECK_ERRNO(mq_notify(mq, &ev), EBUSY);
    CHECK_EQ(mq_send(mq, "x", 1, 0), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_code, SI_MESGQ);
    CHECK_EQ(info.si_value.sival_int, 31);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(mq_send(mq, "y", 1, 0), 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK_EQ(mq_notify(mq, &ev), 0);    // once each
    CHECK_EQ(mq_notify(mq, NULL), 0);
}
