#!/usr/bin/env python3
"""The console of a sandbox, through a pseudo terminal of the host.

usage: console.py CAISSON [TEST...]

Prints one line for each test: "ok NAME", "FAIL NAME" or "skip NAME".
"""
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

CAISSON = None
LIMIT = 30 * int(os.environ.get("LIMIT_SCALE", "1"))


class Terminal(unittest.TestCase):
    def setUp(self):
        self.master, self.slave = pty.openpty()
        self.addCleanup(self.close_both)
        self.resize(33, 77)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

    def close_both(self):
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def start(self, *words, controlling=True, stdin=None, stdout=None, stderr=None):
        """words run with the terminal on the descriptors that are not given."""
        process = subprocess.Popen(
            words,
            stdin=self.slave if stdin is None else stdin,
            stdout=self.slave if stdout is None else stdout,
            stderr=self.slave if stderr is None else stderr,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)) if controlling else None,
            pass_fds=(self.slave,),
            env=dict(os.environ, PS1="$ ", TERM="dumb", C=CAISSON + " --debug-log /dev/null do --"),
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def inside(self, *words, **more):
        return self.start(CAISSON, "--debug-log", "/dev/null", "do", "--", *words, **more)

    def shell(self):
        """A shell of the host, which runs sandboxes as jobs."""
        process = self.start("bash", "--norc", "--noprofile", "--noediting", "-i")
        self.read_until(b"$ ")
        return process

    def type(self, text):
        os.write(self.master, text)

    def read_some(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.seen += os.read(self.master, 65536)

    def read_until(self, text, poke=b""):
        """Reads until text has come; what was before it, and it, is not seen again."""
        deadline = time.monotonic() + LIMIT
        while text not in self.seen and time.monotonic() < deadline:
            if poke:
                self.type(poke)
            self.read_some(0.05)
        self.assertIn(text, self.seen)
        end = self.seen.index(text) + len(text)
        out, self.seen = self.seen[:end], self.seen[end:]
        return out

    def ends(self, process, status):
        deadline = time.monotonic() + LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            self.read_some(0.05)
        self.assertEqual(process.poll(), status, self.seen)


class TestInside(Terminal):
    def test_names(self):
        process = self.inside(
            "sh", "-c", "tty; readlink /proc/self/fd/0; test /dev/console -ef /dev/pts/0 && echo same; echo to tty > /dev/tty"
        )
        self.ends(process, 0)
        self.assertEqual(self.seen, b"/dev/pts/0\r\n/dev/pts/0\r\nsame\r\nto tty\r\n")

    def test_modes(self):
        process = self.inside("stty", "-a")
        self.ends(process, 0)
        for word in (b"rows 33; columns 77", b"intr = ^C", b"erase = ^?", b" icrnl ixon ", b"isig icanon iexten echo "):
            self.assertIn(word, self.seen)

    def test_lines_and_end_of_file(self):
        process = self.inside("cat")
        self.type(b"abc\x7f\x7fd\n")
        self.read_until(b"abc\b \b\b \bd\r\nad\r\n")
        self.type(b"\x04")
        self.ends(process, 0)

    def test_signals(self):
        for key, status in ((b"\x03", 130), (b"\x1c", 131)):
            process = self.inside("sh", "-c", "echo up; exec sleep 100")
            self.read_until(b"up\r\n")
            self.type(key)
            self.ends(process, status)
            self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_raw_program(self):
        process = self.inside("sh", "-c", "stty raw -echo; echo up; dd bs=1 count=4 2>/dev/null | od -An -tx1")
        self.read_until(b"up")
        self.type(b"\x03\r\x1a\x04")
        self.read_until(b"03 0d 1a 04")
        self.ends(process, 0)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_resize(self):
        process = self.inside("bash", "-c", 'trap "stty size; exit 3" WINCH; echo up; while :; do sleep 0.02; done')
        self.read_until(b"up")
        self.resize(44, 88)
        self.read_until(b"44 88")
        self.ends(process, 3)

    def test_jobs(self):
        process = self.inside("bash", "--norc", "--noprofile", "--noediting", "-i")
        self.read_until(b"# " if os.geteuid() == 0 else b"$ ")
        self.type(b"sleep 100 & jobs\n")
        self.read_until(b"Running")
        self.type(b"fg; echo 'sta'tus=$?\n")
        self.read_until(b"tus=$?\r\n")
        self.read_until(b"sleep 100\r\n")
        time.sleep(0.2)
        self.type(b"\x1a")
        self.read_until(b"Stopped")
        self.read_until(b"status=148")
        self.type(b"bg; jobs\n")
        self.read_until(b"Running")
        self.type(b"kill %1\n")
        self.read_until(b"Terminated", poke=b"\n")
        self.type(b"cat &\n")
        self.read_until(b"Stopped", poke=b"\n")
        self.type(b"fg\n")
        self.read_until(b"fg\r\n")
        self.read_until(b"cat\r\n")
        self.type(b"to cat\n")
        self.read_until(b"to cat\r\nto cat\r\n")
        self.type(b"\x04")
        self.type(b"exit 6\n")
        self.ends(process, 6)

    def test_terminals_in_it(self):
        code = "import pty, sys; sys.exit(pty.spawn(['sh', '-c', 'tty; stty size; read x; echo got $x']) >> 8)"
        process = self.inside("python3", "-c", code)
        self.read_until(b"/dev/pts/1\r\n0 0\r\n")
        self.type(b"text\n")
        self.read_until(b"got text")
        self.ends(process, 0)

    @unittest.skipUnless(shutil.which("tmux"), "there is no tmux")
    def test_tmux(self):
        process = self.inside("env", "TERM=xterm", "tmux", "-f", "/dev/null", "new-session", "sh")
        self.read_until(b"[0]")
        self.type(b"tty; echo $((6 * 7))\n")
        self.read_until(b"42")
        self.type(b"exit\n")
        self.ends(process, 0)
        self.assertIn(b"[exited]", self.seen)

    def test_output_is_complete(self):
        process = self.inside("sh", "-c", "seq 200000; echo last")
        out = self.read_until(b"last\r\n")
        self.ends(process, 0)
        self.assertEqual(out, b"".join(b"%d\r\n" % i for i in range(1, 200001)) + b"last\r\n")

    def test_nobody_reads(self):
        process = self.inside("sh", "-c", "echo up; exec yes")
        self.read_until(b"up")
        time.sleep(0.5)
        self.type(b"\x03")
        self.assertEqual(process.wait(LIMIT), 130)

    def test_paste(self):
        text = b"".join(b"line %d of what was pasted\n" % i for i in range(3000))
        process = self.inside("sh", "-c", "stty -echo; echo up; head -n 3000 | cksum")
        self.read_until(b"up")
        done = 0
        while done < len(text):
            done += os.write(self.master, text[done : done + 1024])
            self.read_some(0)
        expected = subprocess.run(["cksum"], input=text, stdout=subprocess.PIPE, check=True).stdout.split()
        self.read_until(b" ".join(expected))
        self.ends(process, 0)


class TestOutside(Terminal):
    def test_stop_and_continue(self):
        self.shell()
        self.type(b"$C cat\n")
        self.type(b"one\n")
        self.read_until(b"one\r\none\r\n")
        self.type(b"\x1a")
        self.read_until(b"Stopped")
        self.type(b"stty -a | tr ' ' '\\n' | grep icanon; echo 'the she'll\n")
        self.assertNotIn(b"-icanon", self.read_until(b"the shell"))
        self.type(b"fg\n")
        self.read_until(b"$C cat\r\n")
        self.type(b"two\n")
        self.read_until(b"two\r\ntwo\r\n")
        self.type(b"\x04")
        self.read_until(b"$ ")
        self.type(b"echo 'sta'tus=$?\n")
        self.read_until(b"status=0")

    def test_background(self):
        self.shell()
        self.type(b"$C sh -c 'echo up; read x; echo got $x' &\n")
        self.read_until(b"up")
        self.read_until(b"Stopped", poke=b"\n")
        self.type(b"fg\n")
        self.read_until(b"fg")
        self.read_until(b"sh -c")
        self.type(b"input\n")
        self.read_until(b"got input")

    def test_background_without_reading(self):
        self.shell()
        self.type(b"$C sh -c 'sleep 0.3; echo 'do'ne' &\n")
        self.type(b"echo 'the she'll\n")
        self.read_until(b"the shell")
        self.read_until(b"done\r")

    def test_hangup(self):
        process = self.inside("sh", "-c", "trap 'exit 9' HUP; echo up; while :; do sleep 0.05; done")
        self.read_until(b"up")
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1
        self.assertIsNotNone(process.wait(LIMIT))

    def test_no_controlling_terminal(self):
        process = self.inside("sh", "-c", "read x; echo got $x; tty", controlling=False)
        self.type(b"text\n")
        self.read_until(b"got text\r\n/dev/pts/0\r\n")
        self.ends(process, 0)

    def test_some_descriptors(self):
        process = self.inside("sh", "-c", "test -t 0 && test -t 1 && ! test -t 2; echo $?", stderr=subprocess.DEVNULL)
        self.read_until(b"0\r\n")
        self.ends(process, 0)
        process = self.inside("sh", "-c", "test -t 0; echo $?; cat; test -t 1; echo $?", stdin=subprocess.DEVNULL)
        self.read_until(b"1\r\n0\r\n")
        self.ends(process, 0)

    def test_output_elsewhere(self):
        process = self.inside("sh", "-c", "test -t 0 && stty size; read x; echo got $x", stdout=subprocess.PIPE)
        self.type(b"text\n")
        self.assertEqual(process.communicate(timeout=LIMIT)[0], b"33 77\ngot text\n")
        self.assertEqual(termios.tcgetattr(self.slave), self.before)


class TestDiscipline(unittest.TestCase):
    """The line discipline does what Linux's does, byte by byte."""

    def transcript(self, seed, *prefix):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "transcript.py")
        command = [*prefix, "python3", script, str(seed), "250"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=4 * LIMIT).stdout

    def check(self, seed):
        ours = self.transcript(seed, CAISSON, "--debug-log", "/dev/null", "do", "--").split(b"\n")
        # Linux's depends on how soon its worker runs.
        for _ in range(5):
            linux = self.transcript(seed).split(b"\n")
            if linux == ours:
                return
        wrong = [(a, b) for a, b in zip(linux, ours) if a != b]
        self.fail(f"seed {seed}: Linux {wrong[0][0]!r}, here {wrong[0][1]!r}")

    def test_as_linux(self):
        for seed in range(4):
            with self.subTest(seed=seed):
                self.check(seed)


class Lines(unittest.TextTestResult):
    """One line a test, as scripts/test-all.sh counts them."""

    def name(self, test):
        return "tty-" + test.id().split(".", 1)[1]

    def addSuccess(self, test):
        print("ok " + self.name(test), flush=True)

    def addSkip(self, test, reason):
        print(f"skip {self.name(test)} ({reason})", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print("FAIL " + self.name(test), flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            print("FAIL " + self.name(test), flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print("FAIL " + self.name(test), flush=True)


if __name__ == "__main__":
    CAISSON = os.path.abspath(sys.argv.pop(1))
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0))
