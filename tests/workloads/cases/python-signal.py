# set: smoke
import faulthandler, os, select, signal, threading, time
got = []
for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD, signal.SIGRTMIN + 3): signal.signal(s, lambda n, f: got.append(int(n)))
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR2); signal.alarm(1); signal.pause(); print(got); got.clear()
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); t = time.monotonic(); time.sleep(0.5); print(time.monotonic() - t >= 0.5, len(got) >= 3); signal.setitimer(signal.ITIMER_REAL, 0); got.clear()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}); os.kill(os.getpid(), signal.SIGUSR1); print(signal.sigpending(), got); print(signal.sigwait({signal.SIGUSR1}), got); print(signal.sigtimedwait({signal.SIGUSR1}, 0.05)); os.kill(os.getpid(), signal.SIGUSR1); i = signal.sigwaitinfo({signal.SIGUSR1}); print(i.si_signo, i.si_pid == os.getpid(), i.si_uid)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1}); r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w); os.kill(os.getpid(), signal.SIGUSR2); print(select.select([r], [], [], 1)[0] == [r], os.read(r, 10)); signal.set_wakeup_fd(-1)
if os.fork() == 0: os._exit(3)
t = time.monotonic(); time.sleep(0.3); print(got, os.wait()[1] >> 8); got.clear()
def killer(): time.sleep(0.1); signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
th = threading.Thread(target=killer); th.start(); rr, ww = os.pipe(); 
class Stop(Exception): pass
def raiser(n, f): raise Stop
signal.signal(signal.SIGUSR1, raiser)
try: os.read(rr, 1)
except Stop: print("interrupted read")
th.join()
for s in (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGBUS, signal.SIGTERM, signal.SIGPIPE):
    p = os.fork()
    if p == 0: signal.signal(s, signal.SIG_DFL); os.kill(os.getpid(), s); time.sleep(1); os._exit(0)
    print(s.name, os.WTERMSIG(os.waitpid(p, 0)[1]))
p = os.fork()
if p == 0:
    import ctypes; ctypes.string_at(0)
print("segv", os.WTERMSIG(os.waitpid(p, 0)[1])); signal.siginterrupt(signal.SIGUSR2, False); print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
try: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)
except KeyboardInterrupt: print("KeyboardInterrupt")
