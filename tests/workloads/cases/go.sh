# set: full
# limit: 300
export GOFLAGS=-mod=mod GO111MODULE=off GOCACHE=$PWD/cache HOME=$PWD
cat >a.go <<'E'
package main
import ("bufio"; "fmt"; "io"; "net"; "os"; "os/exec"; "os/signal"; "runtime"; "sync"; "sync/atomic"; "syscall"; "time")
func main() {
	var wg sync.WaitGroup; var n int64; ch := make(chan int, 10)
	for i := 0; i < 10000; i++ { wg.Add(1); go func() { defer wg.Done(); atomic.AddInt64(&n, 1); runtime.Gosched() }() }
	wg.Wait(); fmt.Println(n, runtime.GOOS, runtime.NumCPU() > 0)
	go func() { for i := 0; i < 100; i++ { ch <- i }; close(ch) }(); s := 0; for x := range ch { s += x }; fmt.Println(s)
	o, err := exec.Command("sh", "-c", "echo child; exit 3").CombinedOutput(); fmt.Printf("%q %v\n", o, err)
	_, err = exec.Command("nosuch").Output(); fmt.Println(err); _, err = os.Open("nosuch"); fmt.Println(err)
	sig := make(chan os.Signal, 1); signal.Notify(sig, syscall.SIGUSR1); syscall.Kill(os.Getpid(), syscall.SIGUSR1); fmt.Println(<-sig)
	l, err := net.Listen("unix", "sock"); if err != nil { fmt.Println(err); return }
	go func() { c, _ := l.Accept(); io.Copy(c, c); c.Close() }(); c, err := net.Dial("unix", "sock"); if err != nil { fmt.Println(err); return }; fmt.Fprintln(c, "line"); r, _ := bufio.NewReader(c).ReadString('\n'); fmt.Print(r); c.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); _, err = c.Read(make([]byte, 1)); fmt.Println(err != nil && err.(net.Error).Timeout())
	t := time.Now(); time.Sleep(50 * time.Millisecond); fmt.Println(time.Since(t) >= 50*time.Millisecond)
	for i := 0; i < 20; i++ { b := make([]byte, 10<<20); b[5] = 1; _ = b }; runtime.GC(); var m runtime.MemStats; runtime.ReadMemStats(&m); fmt.Println(m.NumGC > 0)
	for i := 0; i < 50; i++ { wg.Add(1); go func(i int) { defer wg.Done(); if exec.Command("true").Run() != nil { fmt.Println("bad") } }(i) }; wg.Wait()
	go func() { for { } }(); time.Sleep(20 * time.Millisecond); runtime.GC()
	defer func() { fmt.Println("recovered:", recover()); var p *int; defer func() { fmt.Println(recover()); os.Exit(4) }(); fmt.Println(*p) }(); panic("p")
}
E
CGO_ENABLED=0 go build -o a a.go && ./a; echo $?; file a 2>/dev/null | grep -c static
cat >c.go <<'E'
package main
/*
#include <stdlib.h>
#include <pthread.h>
#include <unistd.h>
extern void cb(int);
static void *th(void *p) { cb(7); return 0; }
static void run(void) { pthread_t t; pthread_create(&t, 0, th, 0); pthread_join(t, 0); }
static int tw(int x) { usleep(1000); return 2 * x; }
*/
import "C"
import ("fmt"; "os/user"; "sync")
//export cb
func cb(x C.int) { fmt.Println("callback", x) }
func main() { C.run(); var w sync.WaitGroup; var s [50]int; for i := range s { w.Add(1); go func(i int) { defer w.Done(); s[i] = int(C.tw(C.int(i))) }(i) }; w.Wait(); t := 0; for _, x := range s { t += x }; u, err := user.Current(); fmt.Println(t, u.Username, err) }
E
CGO_ENABLED=1 go build -o c c.go 2>&1 | head; ./c; echo $?
cat >m_test.go <<'E'
package main
import "testing"
func TestA(t *testing.T) { t.Parallel() }
func BenchmarkB(b *testing.B) { for i := 0; i < b.N; i++ {} }
E
mkdir t; mv m_test.go t; (cd t && go test 2>&1 | awk '{print $1}'); go vet a.go; echo $?
