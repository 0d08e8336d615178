#!/usr/bin/env python3
"""Sandboxes as a user meets them: exit statuses, descriptors, signals, the terminal, bad programs, full disks, and what is
left when a process of a sandbox is killed.

    life.py CAISSON
"""
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

CAISSON = ""


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return [text[text.index("(") + 1 : text.rindex(")")]] + text[text.rindex(")") + 2 :].split()


def processes(parent=None):
    """Living processes of sandboxes: {pid: role or "stub"}; below one parent, or all."""
    result = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, state, above = stat_fields(pid)[:3]
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if name.startswith("caisson") and state not in "ZX" and (parent is None or int(above) == parent):
            result[int(pid)] = words[1].decode() if len(words) > 1 else "stub"
    return result


class Base(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="caisson-life-")
        os.chmod(self.tmp, 0o755)
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.mounts = file.read()
        # The last cleanup to run: those of a test end what it has started.
        self.addCleanup(self.look_for_leftovers)

    def look_for_leftovers(self):
        gone = wait_for(lambda: not processes())
        left = processes()
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.assertTrue(gone, f"left: {left}")
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.assertEqual(file.read(), self.mounts)

    def do(self, *words, options=(), globals_=(), **keys):
        keys.setdefault("stdin", None if "input" in keys else subprocess.DEVNULL)
        if keys["stdin"] is None:
            del keys["stdin"]
        command = [CAISSON, "--debug-log", "/dev/null", *globals_, "do", *options, "--", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **keys)

    def start(self, *words, ready="up\n"):
        """A shell script that prints `ready` first."""
        process = subprocess.Popen(
            [CAISSON, "--debug-log", "/dev/null", "do", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        if line != ready:
            process.kill()
            self.fail(f"the first line is {line!r}, then: {process.stderr.read()}")
        return process

    def expect(self, result, status, out=None):
        self.assertEqual(result.returncode, status, result.stderr)
        if out is not None:
            self.assertEqual(result.stdout, out)


class TestStatus(Base):
    def test_exit(self):
        for status in (0, 1, 42, 255):
            self.expect(self.do("sh", "-c", f"exit {status}"), status)

    def test_signals(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1):
            self.expect(self.do("sh", "-c", f"kill -{number} $$; sleep 1; exit 99"), 128 + number)

    def test_missing(self):
        result = self.do("no-such-program")
        self.expect(result, 127)
        self.assertIn('exec: "no-such-program": executable file not found in $PATH', result.stderr)
        self.expect(self.do("/no/such/program"), 127)
        self.expect(self.do("/etc/passwd/x"), 127)

    def test_not_executable(self):
        self.expect(self.do("/etc/passwd"), 126)
        self.expect(self.do("/etc"), 126)


class TestBadPrograms(Base):
    def program(self, content):
        path = self.tmp + "/program"
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o755)
        return path

    def test_contents(self):
        with open("/bin/true", "rb") as file:
            good = file.read()
        table = {
            "empty": (b"", 126),
            "text": (b"hello\n", 126),
            "magic alone": (good[:4], 126),
            "truncated header": (good[:40], 126),
            "truncated program headers": (good[:100], 126),
            "huge header table": (good[:56] + b"\xff\xff" + good[58:], 126),
            "other machine": (good[:18] + b"\x28\x00" + good[20:], 126),
            "missing interpreter": (b"#!/no/such/interpreter\n", 127),
            "interpreter is a directory": (b"#!/etc\n", 126),
            "endless interpreters": (b"#!" + (self.tmp + "/program").encode() + b"\n", 126),
            "missing loader": (good.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-linux-x86-64.so.9"), 127),
        }
        for name, (content, status) in table.items():
            with self.subTest(name):
                result = self.do(self.program(content))
                self.expect(result, status)
                self.assertIn("program", result.stderr)

    def test_mutants(self):
        with open("/bin/true", "rb") as file:
            good = file.read()
        for offset in list(range(16, 64, 3)) + list(range(64, 400, 17)):
            broken = good[:offset] + bytes([good[offset] ^ 0xFF]) + good[offset + 1 :]
            status = self.do(self.program(broken)).returncode
            # Whatever the program makes of it: it is the program that ends, by itself or by a signal.
            self.assertIn(status, [0, 1, 126, 127] + [128 + n for n in (4, 5, 7, 8, 9, 11)], offset)


class TestOptions(Base):
    def test_environment_user_place(self):
        result = self.do(
            "sh", "-c", 'echo "$A $(id -u):$(id -g) $(pwd) $(hostname)"',
            options=["-e", "A=b c", "-u", "12:34", "-w", "/usr", "--hostname", "box"],
        )  # fmt: skip
        self.expect(result, 0, "b c 12:34 /usr box\n")

    def test_volumes(self):
        with open(self.tmp + "/file", "w", encoding="utf-8") as file:
            file.write("from outside\n")
        script = "cat /mnt/file; echo inside > /mnt/new; mkdir /mnt/dir; mv /mnt/new /mnt/dir/renamed"
        self.expect(self.do("sh", "-c", script, options=["-v", self.tmp + ":/mnt"]), 0, "from outside\n")
        with open(self.tmp + "/dir/renamed", encoding="utf-8") as file:
            self.assertEqual(file.read(), "inside\n")
        result = self.do("sh", "-c", "cat /mnt/file; echo x > /mnt/other", options=["-v", self.tmp + ":/mnt:ro"])
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Read-only file system", result.stderr)
        self.assertFalse(os.path.exists(self.tmp + "/other"))

    def test_file_volume(self):
        with open(self.tmp + "/file", "w", encoding="utf-8") as file:
            file.write("one\n")
        result = self.do("sh", "-c", "cat /mnt-file; echo two >> /mnt-file", options=["-v", self.tmp + "/file:/mnt-file"])
        self.expect(result, 0, "one\n")
        with open(self.tmp + "/file", encoding="utf-8") as file:
            self.assertEqual(file.read(), "one\ntwo\n")

    def test_host_is_untouched(self):
        before = sorted(os.listdir("/")), os.stat("/etc/passwd").st_mtime_ns
        script = "echo x > /new-file && echo y >> /etc/passwd && rm -rf /etc/shadow && mkdir -p /a/b && cat /new-file"
        self.expect(self.do("sh", "-c", script), 0, "x\n")
        self.assertEqual((sorted(os.listdir("/")), os.stat("/etc/passwd").st_mtime_ns), before)
        self.assertTrue(os.path.exists("/etc/shadow"))

    def test_no_overlay(self):
        os.makedirs(self.tmp + "/root/bin")
        if not os.path.exists("/bin/busybox"):
            self.skipTest("busybox is not installed")
        shutil.copy("/bin/busybox", self.tmp + "/root/bin/sh")
        result = self.do("sh", "-c", "echo x > /f", options=["--root", self.tmp + "/root"], globals_=["--overlay", "none"])
        self.expect(result, 0)
        self.assertTrue(os.path.exists(self.tmp + "/root/f"))

    def test_host_processes_are_hidden(self):
        self.assertNotIn("life.py", self.do("sh", "-c", "cat /proc/*/cmdline").stdout)


class TestDescriptors(Base):
    def test_pipes(self):
        self.expect(self.do("sh", "-c", "cat; echo err >&2", input="through\n"), 0, "through\n")
        data = "x" * 3000000
        self.expect(self.do("cat", input=data), 0, data)

    def test_closed_reader(self):
        process = subprocess.Popen([CAISSON, "do", "--", "yes"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(process.stdout.read(2), b"y\n")
        process.stdout.close()
        self.assertIn(process.wait(timeout=10), (1, 128 + signal.SIGPIPE))

    def test_two_writers_of_one_file(self):
        script = "for i in 1 2 3 4 5 6 7 8; do echo a$i; done & for i in 1 2 3 4 5 6 7 8; do echo b$i; done; wait"
        for mode in ("w", "a"):
            with open(self.tmp + "/out", mode, encoding="utf-8") as out:
                out.write("first\n")
                out.flush()
                command = [CAISSON, "--debug-log", "/dev/null", "do", "--", "sh", "-c", script]
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, check=True, timeout=30)
                subprocess.run(["echo", "last"], stdout=out, check=True)
            with open(self.tmp + "/out", encoding="utf-8") as file:
                lines = file.read().splitlines()
            lines = lines[-18:]
            self.assertEqual((lines[0], lines[-1]), ("first", "last"))
            self.assertEqual(sorted(lines[1:-1]), sorted(f"{c}{i}" for c in "ab" for i in range(1, 9)))

    def test_shared_offset_of_input(self):
        with open(self.tmp + "/in", "w+", encoding="utf-8") as file:
            file.write("one\ntwo\nthree\n")
            file.flush()
            file.seek(0)
            os.lseek(file.fileno(), 4, os.SEEK_SET)
            self.expect(self.do("sh", "-c", "head -c 4", stdin=file), 0, "two\n")
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 8)


class TestSignals(Base):
    def test_forwarded(self):
        process = self.start("sh", "-c", 'trap "echo got; exit 9" TERM; echo up; while :; do sleep 0.02; done')
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=10), 9)
        self.assertEqual(process.stdout.read(), "got\n")

    def test_default_action(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start("sh", "-c", "echo up; exec sleep 100")
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=10), 128 + number)


class TestDeaths(Base):
    def roles(self, process):
        return {role: pid for pid, role in processes(process.pid).items()}

    def test_command(self):
        process = self.start("sh", "-c", "sleep 100 & echo up; wait")
        process.kill()
        process.wait()
        self.assertTrue(wait_for(lambda: not processes(), 2))

    def test_roles(self):
        for role in ("kernel", "gofer"):
            process = self.start("sh", "-c", "sleep 100 & echo up; wait")
            os.kill(self.roles(process)[role], signal.SIGKILL)
            self.assertEqual(process.wait(timeout=2), 137)
            self.assertIn(f"{role} process was killed by signal 9", process.stderr.read())

    def test_stub(self):
        process = self.start("sh", "-c", "sh -c 'echo up; sleep 100; exit 5' ; echo $?; sleep 0.2; exit 6")
        kernel = self.roles(process)["kernel"]
        # The newest one that runs something: the pool's stubs are older than the child that has printed, or idle.
        killed = False
        # The first is the zygote, without which there are no more processes.
        for pid in sorted(processes(kernel), reverse=True)[:-1]:
            os.kill(pid, signal.SIGKILL)
            killed = True
            if wait_for(lambda: select.select([process.stdout], [], [], 0)[0], 0.3):
                break
        self.assertTrue(killed)
        status = process.wait(timeout=10)
        self.assertIn(status, (6, 137), process.stderr.read())


class TestMany(Base):
    def test_ten_at_a_time(self):
        running = [self.start("sh", "-c", f"echo up; read x < /dev/null; sleep 0.2; exit {i}") for i in range(10)]
        self.assertEqual([p.wait(timeout=20) for p in running], list(range(10)))

    def test_ids_differ(self):
        running = [self.start("sh", "-c", "echo up; exec sleep 100") for _ in range(4)]
        maps = set()
        for process in running:
            kernel = next(pid for pid, role in processes(process.pid).items() if role == "kernel")
            with open(f"/proc/{kernel}/uid_map", encoding="utf-8") as file:
                maps.add(file.read().split()[1])
        if os.geteuid() == 0:
            self.assertEqual(len(maps), 4)
        for process in running:
            process.terminate()
            process.wait(timeout=10)


class TestHostileImages(Base):
    """Images whose directories are links: what is mounted inside stays inside, the host is neither read nor written."""

    def bundle(self, mounts=(), args=("sh", "-c", "exit 3")):
        if not os.path.exists("/bin/busybox"):
            self.skipTest("busybox is not installed")
        os.makedirs(self.tmp + "/b/rootfs/bin", exist_ok=True)
        for name in ("sh", "ls", "cat", "mount"):
            if not os.path.exists(self.tmp + "/b/rootfs/bin/" + name):
                shutil.copy("/bin/busybox", self.tmp + "/b/rootfs/bin/" + name)
        subprocess.run([CAISSON, "spec", "-b", self.tmp + "/b"], check=False, capture_output=True)
        with open(self.tmp + "/b/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=list(args))
        config["root"]["readonly"] = False
        config["mounts"] += list(mounts)
        with open(self.tmp + "/b/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)

    def run_bundle(self):
        words = [CAISSON, "--debug-log", "/dev/null", "--root", self.tmp + "/state", "run", "-b", self.tmp + "/b", "c"]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)

    def test_linked_mount_points(self):
        outside = self.tmp + "/outside"
        os.makedirs(outside)
        self.bundle()
        for name in ("proc", "sys", "dev"):
            os.symlink(outside, f"{self.tmp}/b/rootfs/{name}")
        result = self.run_bundle()
        # Refused, or mounted inside: never on the host.
        self.assertIn(result.returncode, (3, 125), result.stderr)
        self.assertEqual(os.listdir(outside), [])

    def test_linked_devices(self):
        os.makedirs(self.tmp + "/b/rootfs/dev")
        for name in ("null", "console", "tty", "pts"):
            os.symlink("/etc/passwd", f"{self.tmp}/b/rootfs/dev/{name}")
        before = os.stat("/etc/passwd").st_mtime_ns
        self.bundle(args=("sh", "-c", "echo broken > /dev/null; cat < /dev/null; exit 3"))
        result = self.run_bundle()
        self.assertEqual((result.returncode, result.stdout), (3, ""), result.stderr)
        self.assertEqual(os.stat("/etc/passwd").st_mtime_ns, before)

    def test_targets_that_leave(self):
        source = self.tmp + "/source"
        os.makedirs(source)
        self.bundle(
            mounts=[
                {"destination": "/../../../../" + self.tmp + "/up", "type": "bind", "source": source, "options": ["rbind"]},
                {"destination": "/link/x", "type": "bind", "source": source, "options": ["rbind"]},
            ]
        )
        os.symlink(self.tmp, self.tmp + "/b/rootfs/link")
        self.assertIn(self.run_bundle().returncode, (3, 125))
        self.assertEqual(sorted(os.listdir(self.tmp)), ["b", "source", "state"])

    def test_links_inside_a_volume(self):
        os.symlink("/etc/shadow", self.tmp + "/absolute")
        os.symlink("../../../../../../etc/shadow", self.tmp + "/relative")
        os.makedirs(self.tmp + "/empty/bin")
        if not os.path.exists("/bin/busybox"):
            self.skipTest("busybox is not installed")
        shutil.copy("/bin/busybox", self.tmp + "/empty/bin/cat")
        for name in ("absolute", "relative"):
            result = self.do("cat", "/mnt/" + name, options=["-v", self.tmp + ":/mnt", "--root", self.tmp + "/empty"])
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")


class TestFull(Base):
    def test_no_space_in_the_memory_file(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to mount")
        small = self.tmp + "/small"
        os.makedirs(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
        try:
            script = "dd if=/dev/zero of=/big bs=64k count=200; echo status $?; rm /big; echo ok > /small; cat /small"
            result = self.do("sh", "-c", script, globals_=["--overlay", "dir=" + small])
            self.expect(result, 0, "status 1\nok\n")
            self.assertIn("No space left on device", result.stderr)
            self.assertEqual(os.listdir(small), [])
        finally:
            subprocess.run(["umount", small], check=True)


class TestTerminal(Base):
    def open(self, *words):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        self.before = termios.tcgetattr(slave)
        process = subprocess.Popen(
            [CAISSON, "--debug-log", "/dev/null", "do", "--", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.master, self.slave = master, slave
        return process

    def read_until(self, text, seconds=5, poke=b""):
        out, deadline = b"", time.monotonic() + seconds
        while text not in out and time.monotonic() < deadline:
            self.type(poke)
            if select.select([self.master], [], [], 0.05)[0]:
                out += os.read(self.master, 65536)
        self.assertIn(text, out)
        return out

    def type(self, text):
        os.write(self.master, text)

    def test_shell(self):
        process = self.open("bash", "--norc", "--noprofile", "-i")
        self.read_until(b"$ " if os.geteuid() else b"# ")
        self.type(b"echo $((6*7)); stty size; tty\r")
        out = self.read_until(b"/dev/")
        self.assertIn(b"42\r\n33 77\r\n", out)
        self.type(b"sleep 100\r")
        time.sleep(0.5)
        self.type(b"\x03")
        self.type(b"echo status=$?\r")
        self.read_until(b"status=130")
        self.type(b"sleep 100\r")
        time.sleep(0.5)
        self.type(b"\x1a")
        self.read_until(b"Stopped")
        self.type(b"jobs; kill %1\r")
        # Until bash has seen the end of the job, it refuses to exit.
        self.read_until(b"Terminated", poke=b"\r")
        self.type(b"exit 4\r")
        self.assertEqual(process.wait(timeout=10), 4)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_interrupt_of_the_first_process(self):
        process = self.open("sh", "-c", "echo up; exec sleep 100")
        self.read_until(b"up")
        self.type(b"\x03")
        self.assertEqual(process.wait(timeout=10), 130)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_window_size(self):
        process = self.open("sh", "-c", 'trap "stty size; exit 3" WINCH; echo up; while :; do sleep 0.02; done')
        self.read_until(b"up")
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        self.read_until(b"44 88")
        self.assertEqual(process.wait(timeout=10), 3)


class Lines(unittest.TextTestResult):
    """One line a test, as scripts/test-all.sh counts them."""

    def name(self, test):
        return "life-" + test.id().split(".", 1)[1]

    def addSuccess(self, test):
        print("ok " + self.name(test), flush=True)

    def addSkip(self, test, reason):
        print(f"skip {self.name(test)} ({reason})", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print("FAIL " + self.name(test), flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print("FAIL " + self.name(test), flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            print("FAIL " + self.name(test), flush=True)


if __name__ == "__main__":
    CAISSON = os.path.abspath(sys.argv.pop(1))
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0))
