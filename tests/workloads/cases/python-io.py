# set: smoke
"""mmap, select, poll, epoll, asyncio over pipes and local sockets."""
import asyncio, mmap, os, select, selectors, signal, socket, socketserver, threading, time
with open("m", "w+b") as f:
    f.truncate(100000); m = mmap.mmap(f.fileno(), 0); m[0:5] = b"hello"; m.flush(); f.seek(0); print(f.read(5), m.find(b"lo"), m.size()); f.seek(10); f.write(b"through"); f.flush(); print(m[10:17]); m.resize(200000); print(len(m), os.path.getsize("m")); m.madvise(mmap.MADV_DONTNEED); print(m[:5])
    c = mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_COPY); c[0:1] = b"X"; print(c[:5], m[:5]); ro = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ); print(ro[:5])
an = mmap.mmap(-1, 4096); 
if os.fork() == 0: an[0:4] = b"kid!"; os._exit(0)
os.wait(); print(an[:4]); big = mmap.mmap(-1, 1 << 30); big[(1 << 30) - 1] = 5; print(big[-1], big[12345]); big.close()
r, w = os.pipe(); print(select.select([r], [w], [], 0.05)[1] == [w]); p = select.poll(); p.register(r, select.POLLIN); print(p.poll(20)); os.write(w, b"x"); print(p.poll(20) == [(r, select.POLLIN)]); e = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); print(len(e.poll(0.1)), len(e.poll(0.05))); os.close(w); print(len(e.poll(0.1)), os.read(r, 5), os.read(r, 5))
s = selectors.DefaultSelector(); print(type(s).__name__); a, b = socket.socketpair(); s.register(a, selectors.EVENT_READ | selectors.EVENT_WRITE); print([m for _, m in s.select(0.1)]); b.close(); print(a.recv(1))
async def a_main():
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1); o, _ = await p.communicate(b"z" * 200000); print(len(o), p.returncode)
    rs = await asyncio.gather(*(asyncio.create_subprocess_shell(f"sleep 0.0{i}; exit {i}") for i in range(8))); print([await x.wait() for x in rs])
    async def serve(r, w):
        while d := await r.readline(): w.write(d.upper()); await w.drain()
        w.close()
    srv = await asyncio.start_unix_server(serve, "sock")
    async def client(i):
        r, w = await asyncio.open_unix_connection("sock"); out = []
        for k in range(20): w.write(b"c%d-%d\n" % (i, k)); out.append(await r.readline())
        w.close(); return out[-1]
    print(await asyncio.gather(*(client(i) for i in range(20)))); srv.close()
    try: await asyncio.wait_for(asyncio.sleep(5), 0.05)
    except asyncio.TimeoutError: print("timeout")
    loop = asyncio.get_running_loop(); ev = asyncio.Event(); loop.add_signal_handler(signal.SIGUSR1, ev.set); os.kill(os.getpid(), signal.SIGUSR1); await asyncio.wait_for(ev.wait(), 2); print("signal"); print(await loop.run_in_executor(None, sum, range(100))); pr, pw = os.pipe(); rd = asyncio.StreamReader(); await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(rd), os.fdopen(pr, "rb")); os.write(pw, b"pipe\n"); print(await rd.readline()); q = asyncio.Queue(); await q.put(1); print(await q.get())
asyncio.run(a_main())
class H(socketserver.StreamRequestHandler):
    def handle(self):
        for l in self.rfile: self.wfile.write(l[::-1])
class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): daemon_threads = True
srv = S("sock2", H); threading.Thread(target=srv.serve_forever, daemon=True).start(); c = socket.socket(socket.AF_UNIX); c.connect("sock2"); f = c.makefile("rwb"); f.write(b"abc\n"); f.flush(); print(f.read(4)); c.close(); srv.shutdown()
d1 = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d1.bind("\0abs"); d2 = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d2.bind("d2"); d2.sendto(b"dgram", "\0abs"); print(d1.recvfrom(10)); d1.settimeout(0.05)
try: d1.recv(1)
except TimeoutError: print("timed out")
