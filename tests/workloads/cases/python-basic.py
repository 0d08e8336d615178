# set: smoke
"""The language and the library over files, times, processes' faces, temporary files, locks."""
import ctypes, errno, fcntl, glob, hashlib, json, os, pathlib, resource, shutil, socket, stat, struct, sys, tempfile, time, uuid
print(sys.version_info[:2], os.getcwd() != "", os.name, sys.maxsize)
print(json.dumps({"a": [1, 2, {"b": None}]}), hashlib.sha256(b"x" * 1000000).hexdigest()[:16], sum(i * i for i in range(1000)))
p = pathlib.Path("d/e"); p.mkdir(parents=True); (p / "f").write_text("text" * 1000); print((p / "f").stat().st_size, sorted(map(str, pathlib.Path("d").rglob("*"))))
shutil.copytree("d", "d2"); print(sorted(glob.glob("**/f", recursive=True))); shutil.rmtree("d2"); print(os.path.exists("d2"))
for call in (lambda: open("nosuch"), lambda: os.mkdir("d"), lambda: os.rmdir("d"), lambda: os.open("d", os.O_WRONLY), lambda: os.readlink("d"), lambda: os.kill(1 << 22, 0)):
    try: call(); print("no error")
    except OSError as e: print(errno.errorcode[e.errno])
with open("f", "w+b") as f:
    f.write(bytes(range(256)) * 100); f.seek(-3, 2); print(f.read(), f.tell(), os.pread(f.fileno(), 4, 10), os.pwritev(f.fileno(), [b"a", b"bc"], 5)); f.truncate(7); f.flush(); print(os.fstat(f.fileno()).st_size)
    fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX, 10); print(fcntl.fcntl(f, fcntl.F_GETFD), os.get_inheritable(f.fileno()))
with tempfile.TemporaryDirectory() as t, tempfile.TemporaryFile(dir=t) as f: f.write(b"z"); print(os.listdir(t))
os.setxattr("f", "user.k", b"v"); print(os.listxattr("f"), os.getxattr("f", "user.k")); os.utime("f", ns=(10**18 + 1, 10**18 + 2)); print(os.stat("f").st_mtime_ns)
print(resource.getrlimit(resource.RLIMIT_CORE)[0] >= 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000, os.sysconf("SC_PAGE_SIZE"), os.cpu_count() > 0, len(os.sched_getaffinity(0)) > 0)
a = time.monotonic(); time.sleep(0.05); b = time.monotonic(); print(0.05 <= b - a < 2, time.time() > 1.6e9, time.process_time() > 0, time.clock_gettime(time.CLOCK_BOOTTIME) > 0, time.get_clock_info("monotonic").resolution)
print(len(os.urandom(32)), uuid.uuid4().version, os.getrandom(4) != os.getrandom(4), os.uname().sysname, os.umask(0o22) >= 0, os.getpriority(os.PRIO_PROCESS, 0), os.getloadavg()[0] >= 0)
libc = ctypes.CDLL(None, use_errno=True); print(libc.getpid() == os.getpid(), libc.close(999), errno.errorcode[ctypes.get_errno()])
r, wfd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK); print(fcntl.fcntl(r, 1032) if hasattr(fcntl, "F_GETPIPE_SZ") or True else 0)
try: os.read(r, 1)
except BlockingIOError: print("would block")
a, b = socket.socketpair(); socket.send_fds(a, [b"fd"], [r]); m, fds, _, _ = socket.recv_fds(b, 10, 4); os.write(wfd, b"passed"); print(m, os.read(fds[0], 10))
m = os.memfd_create("x", os.MFD_ALLOW_SEALING); os.write(m, b"abc"); fcntl.fcntl(m, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE); 
try: os.write(m, b"x")
except OSError as e: print(errno.errorcode[e.errno])
print(os.copy_file_range(os.open("f", os.O_RDONLY), os.open("g", os.O_CREAT | os.O_RDWR), 7), os.path.getsize("g"), os.sendfile(os.open("h", os.O_CREAT | os.O_RDWR), os.open("f", os.O_RDONLY), 0, 100))
with os.scandir("/etc/apt") as it: print(sorted((e.name, e.is_dir(), e.is_symlink()) for e in it))
names = [f"n{i}" for i in range(3000)]; os.mkdir("many"); [open(f"many/{n}", "w").close() for n in names]; print(sorted(os.listdir("many")) == sorted(names)); [os.rename(f"many/{n}", f"many/x{n}") for n in names]; print(len(os.listdir("many"))); shutil.rmtree("many")
