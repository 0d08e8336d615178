# set: smoke
import multiprocessing as mp, os, sys, time
def sq(x): return x * x
def child(q, c, v, a, l, e):
    with l: v.value += 1
    a[0] = 7; q.put(os.getpid() != os.getppid()); c.send(["pipe", {1: 2}]); e.set(); sys.exit(5)
def main(m):
    ctx = mp.get_context(m); q = ctx.Queue(); a, b = ctx.Pipe(); v = ctx.Value("i", 41); arr = ctx.Array("i", 3); l = ctx.Lock(); e = ctx.Event()
    p = ctx.Process(target=child, args=(q, b, v, arr, l, e)); p.start(); print(m, q.get(timeout=20), a.recv(), e.wait(10)); p.join(); print(p.exitcode, v.value, arr[0])
    with ctx.Pool(3) as pool: print(sum(pool.map(sq, range(1000))), pool.apply_async(sq, (9,)).get(20))
    with ctx.Manager() as man: d = man.dict(); d["k"] = 1; print(dict(d))
    s = ctx.Semaphore(1); print(s.acquire(), s.acquire(timeout=0.05)); p = ctx.Process(target=time.sleep, args=(30,)); p.start(); p.terminate(); p.join(); print(p.exitcode)
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=ctx) as ex: print(list(ex.map(sq, range(5))))
    from multiprocessing import shared_memory
    sh = shared_memory.SharedMemory(create=True, size=10000); sh.buf[5] = 9; s2 = shared_memory.SharedMemory(sh.name); print(s2.buf[5]); s2.close(); sh.close(); sh.unlink()
if __name__ == "__main__":
    for m in ("fork", "spawn", "forkserver"): main(m)
