# set: smoke
import os, sqlite3, threading
c = sqlite3.connect("db"); c.execute("create table t(a integer primary key, b text)"); c.executemany("insert into t(b) values(?)", ((f"row{i}",) for i in range(20000))); c.commit(); print(c.execute("select count(*), max(b) from t").fetchone())
for mode in ("delete", "truncate", "persist", "memory", "wal"): print(c.execute(f"pragma journal_mode={mode}").fetchone()[0]); c.execute("update t set b=b||'x' where a%7=0"); c.commit()
c.close()
def writer(k):
    d = sqlite3.connect("db", timeout=30)
    for i in range(30):
        with d: d.execute("insert into t(b) values(?)", (f"t{k}-{i}",))
    d.close()
ts = [threading.Thread(target=writer, args=(k,)) for k in range(3)]; [t.start() for t in ts]; [t.join() for t in ts]
for k in range(3):
    if os.fork() == 0: writer(k + 10); os._exit(0)
print([os.wait()[1] for _ in range(3)]); c = sqlite3.connect("db"); print(c.execute("select count(*) from t").fetchone(), c.execute("pragma integrity_check").fetchone()); c.execute("create virtual table f using fts5(x)"); c.executemany("insert into f values(?)", [("hello world",), ("bye world",)]); print(c.execute("select * from f where f match 'hello'").fetchall()); c.execute("vacuum"); c.close(); print(sorted(os.listdir(".")))
