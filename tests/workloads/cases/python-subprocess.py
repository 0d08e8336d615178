# set: smoke
import os, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
run = subprocess.run
print(run(["echo", "hi"], capture_output=True, text=True).stdout, run("exit 3", shell=True).returncode, run(["sh", "-c", "kill -9 $$"]).returncode)
print(subprocess.check_output(["tr", "a-z", "A-Z"], input=b"x" * 300000)[-3:], subprocess.getstatusoutput("echo o; echo e >&2; exit 2"))
try: run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired as e: print("timeout", round(e.timeout, 3))
for bad in (["nosuchprogram"], ["/etc/passwd"]):
    try: run(bad)
    except OSError as e: print(type(e).__name__)
p = subprocess.Popen(["cat"], stdin=-1, stdout=-1); p.stdin.write(b"line\n"); p.stdin.flush(); print(p.stdout.readline()); p.terminate(); print(p.wait()); p.stdin.close(); p.stdout.close()
p1 = subprocess.Popen(["seq", "100000"], stdout=-1); p2 = subprocess.Popen(["tail", "-n", "1"], stdin=p1.stdout, stdout=-1); p1.stdout.close(); print(p2.communicate()[0], p1.wait())
r, w = os.pipe(); print(run(["sh", "-c", f"echo passed >&{w}"], pass_fds=[w]).returncode, os.read(r, 20)); print(run(["sh", "-c", f"echo no >&{w}"], stderr=subprocess.DEVNULL).returncode)
print(run(["pwd"], cwd="/usr", capture_output=True).stdout, run(["env"], env={"K": "v"}, capture_output=True).stdout, run(["sh", "-c", "umask"], umask=0o77, capture_output=True).stdout)
p = subprocess.Popen(["sh", "-c", "sleep 30 & wait"], start_new_session=True); time.sleep(0.2); print(os.getsid(p.pid) == p.pid); os.killpg(p.pid, signal.SIGTERM); print(p.wait())
print(run([sys.executable, "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())"], user=1234, group=1235, extra_groups=[7], capture_output=True).stdout)
p = subprocess.Popen(["sleep", "5"]); p.send_signal(signal.SIGSTOP); print(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1])); p.send_signal(signal.SIGCONT); p.kill(); print(p.wait())
with ThreadPoolExecutor(8) as pool: print(sum(pool.map(lambda i: run(["sh", "-c", f"exit {i % 5}"]).returncode, range(100))))
pids = [os.posix_spawn("/bin/true", ["true"], os.environ) for _ in range(50)]; print(sum(os.waitpid(p, 0)[1] for p in pids)); print(os.spawnlp(os.P_WAIT, "sh", "sh", "-c", "exit 4"), os.system("exit 5") >> 8, os.popen("echo popen").read())
fd = os.pidfd_open(p := os.posix_spawn("/bin/sleep", ["sleep", "9"], os.environ)); signal.pidfd_send_signal(fd, signal.SIGTERM); print(os.waitid(os.P_PIDFD, fd, os.WEXITED).si_status)
print(subprocess.Popen(["true"], preexec_fn=lambda: os.nice(3)).wait(), run(["sh", "-c", "ulimit -n"], preexec_fn=lambda: __import__("resource").setrlimit(7, (99, 99)), capture_output=True).stdout)
