"""The rows: what is measured, and how fast it has to be.

`must` and `aim` are levels for the column `caisson`, with every CPU and nothing beside it, unless
`one_must`/`one_aim` give others for one CPU. Their `level` says what they are compared with:

  native   ratio to native, median of the per-round ratios
  start    must: ratio to runc, aim: ratio to crun
  ms, MiB, percent   the value itself
  survive  the sandbox outlives a process that takes all its memory
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    kind: str                 # micro, macro, start, exec, idle, bomb
    tier: str = "quick"
    must: float = None
    aim: float = None
    level: str = "native"
    one_must: float = None
    one_aim: float = None
    crosses: bool = True      # goes into the kernel: both shapes, both loads, three times the peer
    program: str = "micro"    # micro rows: which build
    image: str = "minimal"
    script: str = ""          # macro rows: what sh -c is given
    setup: str = ""
    repeat: int = 1
    expect: str = None        # the exact output; otherwise every column must print what native does
    volume: bool = False      # a host directory is mounted at /data
    conditions: str = "alone" # macro rows: 'alone', or 'all' for both shapes and loads
    timeout: int = 60
    micro_name: str = ""      # micro rows: the name inside the program, when it is not `name`


def micro(name, title, must=None, aim=None, **more):
    return Row(name, title, "micro", must=must, aim=aim, **more)


def macro(name, title, script, must=None, aim=None, **more):
    return Row(name, title, "macro", must=must, aim=aim, script=script, **more)


LOOP_TRUE = "i=0; while [ $i -lt 100 ]; do /bin/true || exit 1; i=$((i+1)); done; echo $i"
LOOP_PIPE = "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done | cksum"
FIND = "for k in 1 2; do find / -xdev ! -name '.gvisor*' | wc -l; done"
PERL_HASH = ("perl -e 'my (%h, $s); $h{\"key$_\"} = $_ * 2 for 1..300000; "
             "$s += $h{\"key$_\"} for 1..300000; print \"$s\\n\"'")
DD = ("f={dir}/big; dd if=/dev/zero of=$f bs=1M count=250 2>/dev/null && cat $f | wc -c; "
      "rm -f $f")
PYTHON = "python3 -c 'import json, re, argparse, subprocess; print(len(json.__all__))'"
NODE = "node -e 'console.log([1, 2, 3].map(x => x * x).join())'"
PERL = "perl -MPOSIX -MFile::Temp -MData::Dumper -e 'print POSIX::floor(3.7), \"\\n\"'"
UNPACK = "mkdir -p /tmp/work && tar -C /tmp/work --strip-components=1 -xf /srv/src/{0}.tar"
CONFIGURE = "cd /tmp/work && ./configure -q >/dev/null 2>&1 && grep -c '^#define' config.h"
MAKE = ("cd /tmp/work && make -s -j2 -C src linux-noreadline >/dev/null && "
        "src/lua -e 'print(6 * 7)'")
GIT_STATUS = "cd /srv/tree && for k in 1 2 3; do git status --porcelain | wc -l; done"
GIT_CLONE = ("git clone -q --no-local /srv/tree /tmp/clone && cd /tmp/clone && "
             "git ls-files | wc -l && git status --porcelain | wc -l")
SQL = ("mkdir -p /data && rm -f /data/t.db* && perl -e '"
       "print \"PRAGMA journal_mode={journal}; PRAGMA synchronous={sync};\\n\"; "
       "print \"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);\\n\"; "
       "for my $i (1..{count}) {{ "
       "print \"BEGIN;\\n\" if {batch} > 1 && $i % {batch} == 1; "
       "print \"INSERT INTO t VALUES($i, \\x27row number $i\\x27);\\n\"; "
       "print \"COMMIT;\\n\" if {batch} > 1 && $i % {batch} == 0; }} "
       "print \"SELECT count(*), sum(a) FROM t;\\n\"' > /tmp/in.sql")
SQLITE = "sqlite3 /data/t.db < /tmp/in.sql | tail -n 1"

MICRO_ROWS = [
    micro("getpid", "getpid by syscall()", 4, 0.5),
    micro("getpid-libc", "getpid by libc", 4, 0.5),
    micro("getuid", "getuid by libc", 4, 0.5),
    micro("umask", "umask (any null call)", 6, 2.5, one_must=40, one_aim=25),
    micro("umask-static", "umask, static program", 6, 2.5, one_must=40, one_aim=25,
          program="micro-static", micro_name="umask"),
    micro("getpid-t2", "getpid, 2 threads", 4, 0.5, tier="full"),
    micro("getpid-t16", "getpid, 16 threads", 4, 0.5, tier="full"),
    micro("umask-t1", "umask, 1 thread", 6, 2.5, tier="full", one_must=40, one_aim=25),
    micro("umask-t2", "umask, 2 threads", one_must=40, one_aim=25),
    micro("umask-t4", "umask, 4 threads", one_must=40, one_aim=25),
    micro("umask-t16", "umask, 16 threads", one_must=40, one_aim=25),
    micro("read-zero", "read 1 byte of /dev/zero", 6, 3),
    micro("write-zero", "write 1 byte to /dev/zero", 6, 3, tier="full"),
    micro("pread-4k", "pread 4 KiB, cached", 4, 2),
    micro("pread-4k-static", "pread 4 KiB, static program", 4, 2, tier="full",
          program="micro-static", micro_name="pread-4k"),
    micro("pread-64k", "pread 64 KiB, cached", tier="full"),
    micro("stat", "stat, cached", 3, 1.2),
    micro("stat-absent", "stat, absent name", 3, 1.2),
    micro("open-close", "open and close", 3, 1.5),
    micro("map-file", "map a file, read, unmap", tier="full"),
    micro("list-dir", "list /usr/bin", tier="full"),
    micro("write-tmp", "pwrite 4 KiB in /tmp", tier="full"),
    micro("create-unlink", "create and unlink in /tmp", tier="full"),
    micro("pipe-pong", "pipe ping-pong, 2 processes", 3, 1.5),
    micro("mutex", "contended mutex, 2 threads", 1.3, 1.0, crosses=False),
    micro("futex-relay", "futex hand-over, 2 threads", 1.3, 1.0),
    micro("barrier", "barrier, 4 threads per CPU", 1.3, 1.0),
    micro("touch", "first touch of a page", 1.15, 1.0, crosses=False),
    micro("cow", "copy-on-write of a page", 1.2, 1.0, crosses=False),
    micro("map", "mmap, touch, munmap", 3, 1.6),
    micro("fork", "fork, exit, wait", 2.5, 1.5),
    micro("fork-exec", "fork, exec /bin/true", 2, 1.2, tier="full"),
    micro("vfork-exec", "vfork, exec /bin/true", 2, 1.2),
    micro("spawn", "posix_spawn /bin/true", 2, 1.2),
    micro("thread", "thread create and join", 2.5, 1.5),
    micro("signal-self", "signal to self, handler", 6, 3),
    micro("clock-gettime", "clock_gettime", 1.05, 1.0, crosses=False),
    micro("compute", "pure computation", 1.03, 1.0, crosses=False),
    micro("chase", "memory-heavy computation", 1.03, 1.0, crosses=False),
]

MACRO_ROWS = [
    Row("start", "run /bin/true, start to end", "start", must=0.5, aim=0.7, level="start"),
    macro("true-100", "100 × /bin/true from sh", LOOP_TRUE, 2, 1.3, expect="100\n",
          conditions="all"),
    macro("find", "find / twice", FIND, 1.6, 1.0, conditions="all"),
    macro("tar", "tar of /usr to a pipe", "tar -C / -cf - usr | wc -c", 1.5, 1.1),
    macro("grep", "grep -r in /usr/share", "grep -rl license /usr/share | sort | cksum", 1.4, 1.1),
    macro("shell-loop", "30,000 echoes to a pipe", LOOP_PIPE, 3, 1.8, conditions="all"),
    macro("perl-hash", "perl, hash of 300,000", PERL_HASH, expect="90000300000\n", crosses=False),
    macro("dd-tmp", "dd 250 MB to /tmp, cat", DD.format(dir="/tmp"), expect="262144000\n",
          tier="full"),
    macro("dd-root", "dd 250 MB to /, cat", DD.format(dir=""), expect="262144000\n"),
    macro("dd-volume", "dd 250 MB to a volume, cat", DD.format(dir="/data"), volume=True,
          expect="262144000\n", tier="full"),
    macro("python", "python3 start-up", PYTHON, 1.4, 1.15, image="dev", repeat=3),
    macro("perl", "perl start-up", PERL, 1.4, 1.15, image="dev", repeat=5),
    macro("node", "node start-up", NODE, 1.4, 1.15, image="dev", expect="1,4,9\n", tier="full"),
    macro("openmp", "OpenMP barriers, 8 threads", "/opt/caisson-bench/omp 8 1000", 1.3, 1.0,
          image="dev", expect="8 threads, sum 8000\n"),
    macro("configure", "./configure (GNU hello)", CONFIGURE, 2, 1.4, image="dev",
          setup=UNPACK.format("hello"), tier="full", timeout=600),
    macro("make", "make -j2 (Lua)", MAKE, 1.25, 1.1, image="dev", setup=UNPACK.format("lua5.4"),
          expect="42\n", tier="full", timeout=600),
    macro("git-status", "git status, 3 times", GIT_STATUS, 1.8, 1.2, image="dev", tier="full",
          setup="git -C /srv/tree update-index -q --refresh", timeout=300),
    macro("git-clone", "git clone of that tree", GIT_CLONE, 1.8, 1.2, image="dev", tier="full",
          timeout=600),
    macro("sqlite", "sqlite, 100,000 inserts", SQLITE, 1.4, 1.1, image="dev", volume=True,
          tier="full", timeout=600, expect="100000|5000050000\n",
          setup=SQL.format(journal="MEMORY", sync="OFF", count=100000, batch=1)),
    macro("sqlite-sync", "the same, fsync per 100", SQLITE, 1.4, 1.1, image="dev", volume=True,
          tier="full", timeout=600, expect="100000|5000050000\n",
          setup=SQL.format(journal="DELETE", sync="FULL", count=100000, batch=100)),
    Row("exec", "exec in a running sandbox", "exec", must=10, aim=3, level="ms"),
    Row("idle-pss", "idle sandbox, PSS", "idle", must=4, aim=1.5, level="MiB", crosses=False),
    Row("idle-cpu", "idle sandbox, CPU", "idle", must=0.1, aim=0, level="percent", crosses=False),
    Row("memory-bomb", "memory bomb", "bomb", level="survive", crosses=False,
        script="/opt/caisson-bench/agent --bomb 2048; echo status $?; echo alive"),
]

ROWS = MICRO_ROWS + MACRO_ROWS
BY_NAME = {row.name: row for row in ROWS}


def select(tier, names):
    if names:
        unknown = [name for name in names if name not in BY_NAME]
        if unknown:
            raise SystemExit(f"no such row: {', '.join(unknown)}; rows are: "
                             + ", ".join(row.name for row in ROWS))
        return [row for row in ROWS if row.name in names]
    return [row for row in ROWS if tier == "full" or row.tier == "quick"]
