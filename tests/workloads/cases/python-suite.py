# set: full
# limit: 900
"""Parts of Python's own tests: one line for each test, with its result. Those that differ for a known reason are left out."""
import os
import subprocess
import sys
import unittest

MODULES = """test_os test_posix test_posixpath test_subprocess test_signal test_threading test_thread test_threadsignals
    test_mmap test_select test_poll test_epoll test_selectors test_fcntl test_resource test_tempfile test_pathlib test_shutil
    test_glob test_file test_fileio test_io test_largefile test_memoryio test_pipes test_popen test_process_pipes
    test_fork1 test_wait3 test_wait4 test_time test_timeout test_sched test_queue test_tarfile test_zipfile test_gzip
    test_lzma test_bz2 test_sqlite3 test_dbm test_dbm_dumb test_shelve test_mailbox test_fileinput test_filecmp
    test_stat test_grp test_pwd test_pty test_tty test_openpty test_eintr test_faulthandler test_contextlib
    test_concurrent_futures test_multiprocessing_fork test_ctypes test_venv test_compileall test_import test_py_compile
    test_json test_struct test_array test_random test_uuid test_hashlib test_asyncio.test_subprocess
    test_asyncio.test_unix_events test_asyncio.test_locks test_asyncio.test_queues test_asyncio.test_tasks""".split()
# What the results depend on beside Linux: sockets of the internet family, load, the terminal that a test is started from.
KNOWN = {
    "Internet": "sockets of the internet family come later",
}


def run(module):
    import test.support
    test.support.use_resources = ["cpu", "subprocess", "largefile"]
    test.support.verbose = 0

    class Result(unittest.TestResult):
        def say(self, test, word):
            print("R", test.id(), word, flush=True)

        def addSuccess(self, test):
            self.say(test, "ok")

        def addFailure(self, test, err):
            self.say(test, "FAIL " + repr(str(err[1]).strip().splitlines()[:1])[:90])

        def addError(self, test, err):
            self.say(test, "ERROR " + repr(err[1])[:90])

        def addSkip(self, test, reason):
            self.say(test, "skip")

        def addExpectedFailure(self, test, err):
            self.say(test, "ok")

        def addSubTest(self, test, subtest, err):
            if err:
                self.say(subtest, "FAIL " + repr(err[1])[:90])

    name = "test." + module
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(name)
    except unittest.SkipTest:
        print("R", name, "skip")
        return
    suite.run(Result())
    print("R", name, "done", flush=True)


if len(sys.argv) > 1:
    os.makedirs("t", exist_ok=True)
    os.chdir("t")
    run(sys.argv[1])
    os._exit(0)
for module in os.environ.get("MODULES", "").split() or MODULES:
    try:
        out = subprocess.run([sys.executable, __file__, module],
                             capture_output=True, timeout=240, stdin=subprocess.DEVNULL).stdout
        end = ""
    except subprocess.TimeoutExpired as e:
        out, end = e.stdout or b"", f"R test.{module} not finished"
    lines = sorted(l[2:] for l in out.decode(errors="replace").splitlines() if l.startswith("R "))
    print("\n".join(lines + [end] if end else lines))
