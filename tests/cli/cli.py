#!/usr/bin/env python3
"""The command against the stand-in for caisson-sandbox: exit statuses, messages, states, signals, the terminal, what is
left behind.

    cli.py CAISSON
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

CAISSON = ""


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def status_field(pid, name):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def children_of(pid):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and status_field(p, "PPid") == str(pid)]


def sandbox_processes():
    """Those that live: a zombie of a sandbox whose command was killed belongs to whoever adopts it."""
    result = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().startswith(b"caisson-sandbox"):
                    result.append(int(pid))
        except OSError:
            pass
    return result

BOOT_TERMINAL = 0x100  # sandbox/boot-spec.h


class Base(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory(prefix="caisson-cli-")
        self.root = self.tmp.name + "/state"
        os.chmod(self.tmp.name, 0o755)

    def tearDown(self):
        gone = wait_for(lambda: not sandbox_processes())
        self.tmp.cleanup()
        self.assertTrue(gone, "processes of a sandbox are left")

    def run_caisson(self, *words, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            [CAISSON, "--root", self.root, *words], capture_output=True, text=True, timeout=20, check=False, **options
        )

    def start(self, *words, **options):
        process = subprocess.Popen(
            [CAISSON, "--root", self.root, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        # Both roles locked in: the sandbox is up.
        ready = wait_for(lambda: sorted(status_field(p, "Seccomp") for p in children_of(process.pid)) == ["2", "2"])
        self.assertTrue(ready, "the sandbox did not come up")
        return process

    def finish(self, process):
        out, err = process.communicate(timeout=10)
        return process.returncode, out, err

    def bundle(self, **changes):
        path = self.tmp.name + "/bundle"
        os.makedirs(path + "/rootfs", exist_ok=True)
        if not os.path.exists(path + "/config.json"):
            self.assertEqual(self.run_caisson("spec", "--bundle", path).returncode, 0)
        with open(path + "/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["process"]["terminal"] = False
        config["process"]["args"] = changes.pop("args", ["exit", "0"])
        config["process"].update(changes.pop("process", {}))
        config.update(changes)
        with open(path + "/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        return path


class TestExit(Base):
    def test_statuses(self):
        table = [
            (["exit", "0"], 0, ""),
            (["exit", "3"], 3, ""),
            (["exit", "255"], 255, ""),
            (["signal", "9"], 137, ""),
            (["signal", "15"], 143, ""),
            (["missing"], 127, 'exec: "missing": executable file not found in $PATH'),
            (["denied"], 126, 'exec: "denied": Permission denied'),
            (["fail"], 125, "the memory ?[31mfile: No space left on device"),
            (["rogue"], 125, "unknown message"),
            (["short"], 125, "wrong size"),
            (["silent"], 125, "without saying why"),
            (["forbidden"], 128 + signal.SIGSYS, "its filter refuses"),
        ]
        for words, status, text in table:
            with self.subTest(words):
                result = self.run_caisson("do", "--", *words)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertIn(text, result.stderr)
                self.assertEqual(bool(text), bool(result.stderr), result.stderr)

    def test_forbidden_call_is_named(self):
        result = self.run_caisson("--debug", "do", "--", "forbidden")
        self.assertIn("host call 41", result.stderr)

    def test_closed_standard_descriptors(self):
        result = subprocess.run(
            ["sh", "-c", f"exec {CAISSON} do -- exit 4 <&- >&- 2>&-"], timeout=20, check=False, capture_output=True
        )
        self.assertEqual(result.returncode, 4)


class TestUsage(Base):
    def test_errors(self):
        table = [
            (["--bogus"], 2, "unknown option --bogus"),
            (["frob"], 2, 'unknown command "frob"'),
            (["do"], 2, "missing argument"),
            (["do", "--bogus", "x"], 2, "unknown option --bogus"),
            (["do", "--cwd"], 2, "needs a value"),
            (["do", "--cwd", "x", "exit"], 125, "absolute path"),
            (["do", "--user", "bob", "exit"], 125, "numbers"),
            (["do", "--user", "4294967295", "exit"], 125, "numbers"),
            (["do", "--volume", "/tmp", "exit"], 125, "SRC:DST"),
            (["do", "--volume", "/tmp:/", "exit"], 125, "SRC:DST"),
            (["do", "--volume", "/nonexistent:/x", "exit"], 125, "/nonexistent: No such file"),
            (["do", "--volume", "/tmp:/x:rx", "exit"], 125, "neither ro nor rw"),
            (["do", "--root", "/nonexistent", "exit"], 125, "root /nonexistent: No such file"),
            (["do", "--root", "/etc/passwd", "exit"], 125, "root /etc/passwd: Not a directory"),
            (["do", "--env", "=x", "exit"], 125, "name is missing"),
            (["--overlay", "disk", "do", "exit"], 2, "none of memory"),
            (["--overlay", "dir=/nonexistent", "do", "exit"], 125, "/nonexistent: No such file"),
            (["--log-format", "xml", "list"], 2, "neither text nor json"),
            (["--debug-log", "/nonexistent/x", "do", "exit"], 125, "/nonexistent/x: No such file"),
            (["run", "a", "b"], 2, "too many"),
            (["run", "../a"], 125, "other than letters"),
            (["state", "."], 1, "not possible"),
            (["state", "x" * 2000], 1, "1 to 1024"),
            (["state", "absent"], 1, "does not exist"),
            (["delete", "absent"], 1, "does not exist"),
            (["kill", "absent"], 1, "does not exist"),
            (["help", "frob"], 2, "unknown command"),
        ]
        for words, status, text in table:
            with self.subTest(words):
                result = self.run_caisson(*words)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertIn(text, result.stderr)

    def test_help_and_version(self):
        for words in (["help"], ["--help"], ["help", "do"], ["do", "--help"], ["run", "-h"]):
            result = self.run_caisson(*words)
            self.assertEqual(result.returncode, 0)
            self.assertIn("Usage: caisson", result.stdout)
        lines = self.run_caisson("--version").stdout.splitlines()
        self.assertRegex(lines[0], r"^caisson version [0-9.]+$")
        self.assertRegex(lines[1], r"^spec: 1\.[0-9.]+$")

    def test_syscalls(self):
        lines = self.run_caisson("syscalls").stdout.splitlines()
        self.assertRegex(lines[0], r"^ +0 +read +full$")
        self.assertRegex(lines[-1], r"^\d+ full, \d+ partial, \d+ not supported")
        rows = json.loads(self.run_caisson("syscalls", "-f", "json", "-s", "no").stdout)
        self.assertTrue(rows and all(row["support"] == "no" for row in rows))
        self.assertEqual(self.run_caisson("syscalls", "-s", "some").returncode, 2)

    def test_engines_options_are_accepted(self):
        result = self.run_caisson("--systemd-cgroup", "--cgroup-manager", "systemd", "--rootless=auto", "do", "exit", "6")
        self.assertEqual(result.returncode, 6, result.stderr)

    def test_json_log(self):
        log = self.tmp.name + "/log"
        self.run_caisson("--log", log, "--log-format=json", "state", "absent")
        with open(log, encoding="utf-8") as file:
            line = json.loads(file.read().splitlines()[-1])
        self.assertEqual(line["level"], "error")
        self.assertIn("does not exist", line["msg"])
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


class TestDo(Base):
    def dump(self, *words, **options):
        result = self.run_caisson("do", *words, "--", "dump", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_options_reach_the_sandbox(self):
        volume = f"{self.tmp.name}:/a"
        text = self.dump(
            "--cwd=/x y", "-e", "A=b c", "--env", "B=", "-u", "7:8", "--hostname", "box", "-v", volume, "-v", volume + "b:ro"
        )
        for line in ("cwd=/x y", "env[0]=A=b c", "env[1]=B=", "uid=7 gid=8 umask=022", "hostname=box"):
            self.assertIn(line + "\n", text)
        self.assertIn(f"export[1]={self.tmp.name} 0x6\n", text)
        self.assertIn(f"export[2]={self.tmp.name} 0x7\n", text)
        self.assertIn("caps=1ffffffffff 0 0 0 0\n", text)
        self.assertNotIn("group=", text)

    def test_environment_is_small(self):
        text = self.dump(env={"PATH": "/bin", "HOME": "/h", "TERM": "t", "SECRET": "s"}, cwd="/")
        self.assertIn("=PATH=/bin\n", text)
        self.assertIn("=HOME=/h\n", text)
        self.assertNotIn("SECRET", text)
        text = self.dump("--env", "SECRET", "--root", self.tmp.name, env={"PATH": "/bin", "SECRET": "s"})
        self.assertIn("=SECRET=s\n", text)
        self.assertIn("=PATH=/usr/local/sbin:", text)
        self.assertIn("cwd=/\n", text)

    def test_many_arguments(self):
        text = self.dump_arguments(["x" * 1000] * 1500)
        self.assertIn("arg[1500]=", text)

    def dump_arguments(self, arguments):
        result = self.run_caisson("do", "dump", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_unprivileged(self):
        if os.geteuid() != 0:
            self.skipTest("is unprivileged anyway")
        words = ["setpriv", "--reuid", "1000", "--regid", "1000", "--groups", "5,6", "--inh-caps=-all", CAISSON, "do", "dump"]
        result = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, cwd="/")
        self.assertEqual(result.returncode, 0, result.stderr)
        for line in ("uid=1000 gid=1000", "group=5\n", "group=6\n"):
            self.assertIn(line, result.stdout)


class TestSignals(Base):
    def test_forwarding(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3):
            process = self.start("do", "wait")
            process.send_signal(number)
            self.assertEqual(self.finish(process)[0], 128 + number)

    def test_stop_and_continue(self):
        process = self.start("do", "stop")
        self.assertTrue(wait_for(lambda: status_field(process.pid, "State").startswith("T")))
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.finish(process)[0], 7)

    def test_death_of_the_command(self):
        process = self.start("do", "sleep")
        process.kill()
        self.finish(process)
        self.assertTrue(wait_for(lambda: not sandbox_processes()))

    def test_death_of_a_role(self):
        for role in ("kernel", "gofer"):
            process = self.start("do", "sleep")
            found = []

            def is_there(process=process, role=role, found=found):
                # A child that has not executed its binary yet shows the command's own arguments.
                for pid in children_of(process.pid):
                    try:
                        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                            if file.read().split("\0")[1:2] == [role]:
                                found.append(pid)
                    except OSError:
                        pass
                return bool(found)

            self.assertTrue(wait_for(is_there))
            os.kill(found[0], signal.SIGKILL)
            status, _, err = self.finish(process)
            self.assertEqual(status, 137)
            self.assertIn(f"{role} process was killed by signal 9", err)


class TestTerminal(Base):
    def open_session(self, *words):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        self.before = termios.tcgetattr(slave)
        process = subprocess.Popen(
            [CAISSON, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        return process, master, slave

    def is_raw(self, slave):
        return not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)

    def wait_until_up(self, process):
        def up():
            return [status_field(c, "Seccomp") for c in children_of(process.pid)] == ["2", "2"]

        self.assertTrue(wait_for(up))

    def test_raw_and_back(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process, _, slave = self.open_session("do", "wait")
            self.assertTrue(wait_for(lambda s=slave: self.is_raw(s)))
            self.wait_until_up(process)
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=10), 128 + number)
            self.assertEqual(termios.tcgetattr(slave), self.before)

    def test_raw_again_after_a_stop(self):
        process, _, slave = self.open_session("do", "stop")
        self.assertTrue(wait_for(lambda: status_field(process.pid, "State").startswith("T")))
        self.assertFalse(self.is_raw(slave))
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(timeout=10), 7)
        self.assertFalse(self.is_raw(slave))

    def boot_flags(self, text):
        found = re.search(rb"flags=(0x[0-9a-f]+|0) ", text)
        self.assertIsNotNone(found, text)
        return int(found.group(1), 16)

    def test_terminal_is_told(self):
        process, master, _ = self.open_session("do", "dump")
        self.assertEqual(process.wait(timeout=10), 0)
        text = b""
        while select.select([master], [], [], 0.2)[0]:
            text += os.read(master, 65536)
        self.assertEqual(self.boot_flags(text) & BOOT_TERMINAL, BOOT_TERMINAL)
        self.assertIn(b"terminals=7 console=33x77", text)

    def test_no_terminal_for_a_pipe(self):
        result = self.run_caisson("do", "dump")
        self.assertEqual(self.boot_flags(result.stdout.encode()) & BOOT_TERMINAL, 0)


class TestRun(Base):
    def test_life(self):
        bundle = self.bundle(args=["wait"], annotations={"a": "b"})
        process = self.start("run", "--bundle", bundle, "c1")
        state = json.loads(self.run_caisson("state", "c1").stdout)
        self.assertEqual((state["id"], state["status"], state["bundle"]), ("c1", "running", bundle))
        self.assertEqual(state["annotations"], {"a": "b"})
        self.assertIn(state["pid"], children_of(process.pid))
        self.assertEqual(json.loads(self.run_caisson("list", "-f", "json").stdout)[0]["id"], "c1")
        again = self.run_caisson("run", "-b", bundle, "c1")
        self.assertEqual(again.returncode, 125)
        self.assertIn("exists already", again.stderr)
        refused = self.run_caisson("delete", "c1")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is running", refused.stderr)
        self.assertEqual(self.run_caisson("kill", "c1", "0").returncode, 0)
        self.assertEqual(self.run_caisson("kill", "c1", "NONE").returncode, 1)
        self.assertEqual(self.run_caisson("kill", "c1", "HUP").returncode, 0)
        self.assertEqual(self.finish(process)[0], 129)
        self.assertEqual(os.listdir(self.root), [])

    def test_keep_and_delete(self):
        bundle = self.bundle(args=["exit", "5"])
        self.assertEqual(self.run_caisson("run", "--keep", "-b", bundle, "c2").returncode, 5)
        state = json.loads(self.run_caisson("state", "c2").stdout)
        self.assertEqual((state["status"], state["pid"]), ("stopped", 0))
        result = self.run_caisson("kill", "c2")
        self.assertEqual(result.returncode, 1)
        self.assertIn("container not running", result.stderr)
        self.assertEqual(self.run_caisson("delete", "c2").returncode, 0)
        self.assertEqual(os.listdir(self.root), [])
        self.assertEqual(self.run_caisson("delete", "--force", "c2").returncode, 0)

    def test_killed_command(self):
        bundle = self.bundle(args=["sleep"])
        process = self.start("run", "-b", bundle, "c3")
        process.kill()
        self.finish(process)
        self.assertTrue(wait_for(lambda: not sandbox_processes()))
        self.assertTrue(wait_for(lambda: '"stopped"' in self.run_caisson("state", "c3").stdout))
        self.assertEqual(self.run_caisson("delete", "c3").returncode, 0)

    def test_force(self):
        bundle = self.bundle(args=["sleep"])
        process = self.start("run", "-b", bundle, "c4")
        self.assertEqual(self.run_caisson("delete", "-f", "c4").returncode, 0)
        self.assertEqual(self.finish(process)[0], 137)
        process = self.start("run", "-b", bundle, "c4")
        self.assertEqual(self.run_caisson("kill", "c4", "SIGKILL").returncode, 0)
        self.assertEqual(self.finish(process)[0], 137)
        self.assertEqual(os.listdir(self.root), [])

    def test_half_made_state(self):
        os.makedirs(self.root + "/c5", mode=0o700)
        os.chmod(self.root, 0o700)
        self.assertEqual(self.run_caisson("delete", "c5").returncode, 1)
        self.assertEqual(self.run_caisson("list").returncode, 0)
        self.assertEqual(self.run_caisson("delete", "-f", "c5").returncode, 0)
        self.assertEqual(os.listdir(self.root), [])

    def test_spec_fields(self):
        bundle = self.bundle(
            args=["dump"],
            process={
                "user": {"uid": 1, "gid": 2, "umask": 63, "additionalGids": [3, 4]},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 18446744073709551615}],
                "cwd": "/w",
            },
            mounts=[
                {"destination": "/dev", "type": "tmpfs", "options": ["mode=700"]},
                {"destination": "/x/../y//z", "type": "bind", "source": "rootfs", "options": ["rbind", "ro", "nodev"]},
            ],
            hostname="h",
        )
        result = self.run_caisson("run", "-b", bundle, "c6")
        self.assertEqual(result.returncode, 0, result.stderr)
        for line in (
            "uid=1 gid=2 umask=077",
            "group=3",
            "rlimit[7]=10/18446744073709551615",
            "cwd=/w",
            f"export[1]={bundle}/rootfs 0x7",
            "mount[0]=5 0 0 /dev tmpfs mode=700",
            f"mount[1]=0 1 0x5 /y/z {bundle}/rootfs ",
        ):
            self.assertIn(line + "\n", result.stdout)

    def test_bad_configuration(self):
        table = [
            (b"", "not valid JSON"),
            (b"{", "not valid JSON"),
            (b"[]", "must be an object"),
            (b"{} x", "not valid JSON"),
            (b'{"ociVersion":"1.0.0"}', "root: is missing"),
            (b'{"ociVersion":"2.0.0"}', "not supported"),
            (b'{"ociVersion":"1.0.0","root":{"path":"rootfs"},"process":{"args":[]}}', "must name a program"),
            (b'{"ociVersion":"1.0.0","root":{"path":"rootfs"},"process":{"args":["a"],"cwd":"x"}}', "absolute path"),
            (b'{"ociVersion":"1.0.0","root":{"path":5}}', "must be a text"),
            (b'{"ociVersion":1' + b"0" * 30 + b"}", "more than 64 bits"),
            (b'{"a":' * 100 + b"1" + b"}" * 100, "not valid JSON"),
            (b'{"ociVersion":"1.0.0","root":{"path":"rootfs\\u0000x"}}', "NUL"),
        ]
        bundle = self.bundle()
        for text, message in table:
            with self.subTest(text[:60]):
                with open(bundle + "/config.json", "wb") as file:
                    file.write(text)
                result = self.run_caisson("run", "-b", bundle, "c7")
                self.assertEqual(result.returncode, 125)
                self.assertIn(message, result.stderr)
        self.assertFalse(os.path.exists(self.root))

    def test_missing_bundle_and_root(self):
        result = self.run_caisson("run", "-b", "/nonexistent", "c8")
        self.assertIn("bundle /nonexistent: No such file", result.stderr)
        bundle = self.bundle(root={"path": "absent"})
        result = self.run_caisson("run", "-b", bundle, "c8")
        self.assertEqual(result.returncode, 125)
        self.assertIn("absent: No such file", result.stderr)
        self.assertEqual(os.listdir(self.root), [])

    def test_foreign_state_directory(self):
        os.makedirs(self.root, mode=0o777)
        os.chmod(self.root, 0o777)
        result = self.run_caisson("run", "-b", self.bundle(), "c9")
        self.assertEqual(result.returncode, 125)
        self.assertIn("writable by nobody else", result.stderr)

    def test_one_of_two_wins(self):
        bundle = self.bundle(args=["exit", "0"])
        for _ in range(10):
            words = [CAISSON, "--root", self.root, "run", "-b", bundle, "c10"]
            pair = [subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
            results = sorted((p.communicate(timeout=20)[1], p.returncode) for p in pair)
            self.assertIn([r[1] for r in results], ([0, 125], [0, 0]), results)
        self.assertEqual(os.listdir(self.root), [])


class Lines(unittest.TextTestResult):
    """One line a test, as scripts/test-all.sh counts them."""

    def name(self, test):
        return "cli-" + test.id().split(".", 1)[1]

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


if __name__ == "__main__":
    CAISSON = os.path.abspath(sys.argv.pop(1))
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0))
