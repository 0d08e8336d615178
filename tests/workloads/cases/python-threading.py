# set: smoke
import queue, threading, time
from concurrent.futures import ThreadPoolExecutor
lock = threading.Lock(); n = 0
def add():
    global n
    for _ in range(2000):
        with lock: n += 1
ts = [threading.Thread(target=add) for _ in range(20)]; [t.start() for t in ts]; [t.join() for t in ts]; print(n)
q = queue.Queue(10); out = []
def worker():
    while (x := q.get()) is not None: out.append(x * 2); q.task_done()
ws = [threading.Thread(target=worker) for _ in range(4)]; [w.start() for w in ws]; [q.put(i) for i in range(1000)]; q.join(); [q.put(None) for _ in ws]; [w.join() for w in ws]; print(sum(out))
b = threading.Barrier(5); r = []
def bar(): b.wait(); r.append(1)
ts = [threading.Thread(target=bar) for _ in range(5)]; [t.start() for t in ts]; [t.join(5) for t in ts]; print(len(r))
e = threading.Event(); threading.Timer(0.1, e.set).start(); print(e.wait(3)); c = threading.Condition(); s = threading.Semaphore(2); print(s.acquire(), s.acquire(), s.acquire(timeout=0.05))
with c: print(c.wait(0.05))
l = threading.local(); l.x = 1; print(lock.acquire(timeout=1), lock.acquire(timeout=0.05))
with ThreadPoolExecutor(16) as p: print(sum(p.map(lambda i: (time.sleep(0.001), i)[1], range(300))))
ts = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(200)]; [t.start() for t in ts]; print(threading.active_count()); [t.join() for t in ts]; print(threading.active_count(), threading.get_native_id() > 0)
