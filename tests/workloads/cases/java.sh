# set: full
# limit: 200
cat >T.java <<'E'
import java.io.*; import java.nio.*; import java.nio.channels.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.concurrent.atomic.*; import java.util.stream.*;
public class T {
  static int depth; static void rec() { depth++; rec(); }
  public static void main(String[] a) throws Exception {
    var pool = Executors.newFixedThreadPool(16); var n = new AtomicLong(); var fs = new ArrayList<Future<?>>();
    for (int i = 0; i < 2000; i++) { int k = i; fs.add(pool.submit(() -> { byte[] b = new byte[100000]; b[k % 1000] = 1; n.addAndGet(b[k % 1000] + k % 3); })); }
    for (var f : fs) f.get(); pool.shutdown(); System.out.println(n + " " + pool.awaitTermination(5, TimeUnit.SECONDS));
    System.out.println(IntStream.range(0, 1000000).parallel().mapToLong(x -> x * 2L).sum());
    var keep = new ArrayList<byte[]>(); for (int i = 0; i < 3000; i++) { var b = new byte[50000]; if (i % 20 == 0) keep.add(b); } System.gc(); System.out.println(keep.size());
    try { rec(); } catch (StackOverflowError e) { System.out.println("overflow " + (depth > 1000)); } try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("npe"); }
    var p = new ProcessBuilder("sh", "-c", "cat; exit 3").start(); p.getOutputStream().write("to child".getBytes()); p.getOutputStream().close(); System.out.println(new String(p.getInputStream().readAllBytes()) + p.waitFor());
    try { new ProcessBuilder("nosuch").start(); } catch (IOException e) { System.out.println(e.getMessage()); }
    var f = Path.of("f"); Files.writeString(f, "text\n".repeat(1000)); System.out.println(Files.lines(f).count() + " " + Files.size(f)); try (var c = FileChannel.open(f, StandardOpenOption.READ, StandardOpenOption.WRITE)) { var m = c.map(FileChannel.MapMode.READ_WRITE, 0, 4096); m.put(0, (byte) 'X'); m.force(); var bb = ByteBuffer.allocate(4); c.read(bb, 0); System.out.println(new String(bb.array())); try (var l = c.lock()) { System.out.println(l.isValid()); } }
    Files.createDirectories(Path.of("x/y")); for (int i = 0; i < 100; i++) Files.createFile(Path.of("x/y/" + i)); try (var s = Files.walk(Path.of("x"))) { System.out.println(s.count()); } var q = new LinkedBlockingQueue<Integer>(5); var t = new Thread(() -> { try { for (int i = 0; i < 100; i++) q.put(i); q.put(-1); } catch (InterruptedException e) { } }); t.start(); int s = 0, v; while ((v = q.take()) >= 0) s += v; System.out.println(s);
    var ss = ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX); ss.bind(java.net.UnixDomainSocketAddress.of("sock")); var cc = SocketChannel.open(java.net.UnixDomainSocketAddress.of("sock")); var sc = ss.accept(); cc.write(ByteBuffer.wrap("hi".getBytes())); var in = ByteBuffer.allocate(2); sc.read(in); System.out.println(new String(in.array()));
    var w = new Thread(() -> { try { Thread.sleep(100000); } catch (InterruptedException e) { System.out.println("interrupted"); } }); w.start(); w.interrupt(); w.join(); Object o = new Object(); synchronized (o) { o.wait(20); } System.out.println(Runtime.getRuntime().availableProcessors() > 0); Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook"))); System.exit(5);
  }
}
E
javac T.java; echo $?; for g in Serial G1 Parallel; do rm -rf x f sock; java -Xmx200m -XX:+Use${g}GC T; echo "$g $?"; done
java -Xint -version 2>&1 | wc -l; jar cf t.jar T.class && jar tf t.jar | grep -c T.class; echo 'class B { int x = "s"; }' >B.java; javac B.java 2>&1 | tail -n 1; java -Xmx16m -XX:+UseSerialGC -cp . nosuch 2>&1 | head -n 1 | cut -c1-12
cat >K.java <<'E'
public class K { public static void main(String[] a) throws Exception { Thread.sleep(30000); } }
E
javac K.java; java K >dump & p=$!; sleep 2; kill -QUIT $p; sleep 1; kill $p; wait $p; echo $?; grep -c "Full thread dump" dump
