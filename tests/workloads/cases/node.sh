# set: full
# limit: 120
cat >a.js <<'E'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const fs = require('fs'), cp = require('child_process'), os = require('os'), crypto = require('crypto'), net = require('net'), zlib = require('zlib'), path = require('path');
if (!isMainThread) { const a = new Int32Array(workerData); for (let i = 0; i < 10000; i++) Atomics.add(a, 0, 1); parentPort.once('message', m => { parentPort.postMessage(m * 2); }); return; }
const assert = require('assert');
(async () => {
  const sab = new SharedArrayBuffer(8); const ws = Array.from({ length: 4 }, () => new Worker(__filename, { workerData: sab })), ends = ws.map(w => new Promise(ok => w.once('exit', ok)));
  console.log(await Promise.all(ws.map((w, i) => new Promise((ok, no) => { w.on('message', ok); w.on('error', no); w.postMessage(i); }))));
  console.log(await Promise.all(ends)); console.log(Atomics.load(new Int32Array(sab), 0));
  console.log(cp.execSync('echo sync').toString(), cp.spawnSync('sh', ['-c', 'kill -9 $$']).signal, cp.spawnSync('nosuch').error.code);
  const c = cp.spawn('cat'); let out = ''; c.stdout.on('data', d => out += d); c.stdin.end('x'.repeat(300000)); console.log(await new Promise(ok => c.on('close', (code, s) => ok([code, s, out.length]))));
  console.log(await Promise.all(Array.from({ length: 20 }, (_, i) => new Promise(ok => cp.exec('exit ' + i, e => ok(e ? e.code : 0))))));
  fs.writeFileSync('f', 'hello'); fs.appendFileSync('f', ' world'); console.log(fs.readFileSync('f', 'utf8'), fs.statSync('f').size); await fs.promises.mkdir('a/b', { recursive: true }); await Promise.all(Array.from({ length: 200 }, (_, i) => fs.promises.writeFile('a/b/' + i, String(i)))); console.log((await fs.promises.readdir('a/b')).length); fs.cpSync('a', 'c', { recursive: true }); fs.rmSync('a', { recursive: true }); console.log(fs.existsSync('a'), fs.readdirSync('c')); try { fs.readFileSync('nosuch'); } catch (e) { console.log(e.code, e.syscall); }
  const w = fs.watch('c', (t, f) => { console.log('watch', t, f); w.close(); }); fs.writeFileSync('c/new', ''); await new Promise(ok => w.on('close', ok));
  const rs = fs.createReadStream('/usr/bin/perl'), h = crypto.createHash('md5'); for await (const k of rs) h.update(k); console.log(h.digest('hex') === cp.execSync('md5sum /usr/bin/perl').toString().split(' ')[0]);
  console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(1e6, 'z'))).length, await new Promise(ok => crypto.pbkdf2('p', 's', 1000, 16, 'sha1', (e, k) => ok(k.toString('hex')))));
  const s = net.createServer(k => k.pipe(k)).listen('sock'); await new Promise(ok => s.on('listening', ok)); const k = net.connect('sock'); k.write('over'); console.log((await new Promise(ok => k.once('data', ok))).toString()); k.end(); s.close();
  process.on('SIGUSR2', () => console.log('usr2')); process.kill(process.pid, 'SIGUSR2'); await new Promise(ok => setTimeout(ok, 50)); console.log(process.uptime() > 0, os.cpus().length > 0, os.totalmem() > 1e8, process.memoryUsage().rss > 1e7, os.hostname().length > 0);
  const f = cp.fork('b.js'); f.send({ x: 1 }); console.log(await new Promise(ok => f.on('message', ok))); f.disconnect(); console.log(await new Promise(ok => f.on('exit', ok)));
  process.exitCode = 3;
})();
E
echo "process.on('message', m => process.send({ y: m.x + 1 }))" >b.js; node a.js; echo $?; node --max-old-space-size=50 -e 'const a = []; for (let i = 0; i < 2e5; i++) a.push({ i }); global.gc; console.log(a.length)'; node -e 'throw new Error("x")' 2>&1 | grep -c Error; echo 'console.log("stdin", 1+1)' | node -; node -e 'process.stdin.on("data", d => process.stdout.write(d))' </etc/debian_version; node --test 2>&1 | grep -c tests
