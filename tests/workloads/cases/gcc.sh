# set: smoke
cat >a.c <<'E'
#include <stdio.h>
#include <pthread.h>
#include <math.h>
static _Thread_local int t; static void *f(void *p) { t = *(int *)p; printf("thread %d\n", t); return 0; }
int main(int c, char **v) { pthread_t h; int x = 3; setvbuf(stdout, 0, _IONBF, 0); printf("%d %.3f\n", c, sqrt(2 + c)); pthread_create(&h, 0, f, &x); pthread_join(h, 0); return 42; }
E
for o in '-O0 -g' -O2 '-O2 -static' '-O2 -no-pie' '-O1 -fsanitize=undefined' '-O2 -flto'; do gcc $o -Wall a.c -o a -lm -pthread && ./a x; echo "$o $?"; done
cat >b.cc <<'E'
#include <iostream>
#include <thread>
#include <vector>
#include <stdexcept>
int main() { std::vector<std::thread> v; int s[8] = {}; for (int i = 0; i < 8; i++) v.emplace_back([&, i] { s[i] = i * i; }); for (auto &t : v) t.join(); int n = 0; for (int x : s) n += x; try { throw std::runtime_error("thrown"); } catch (std::exception &e) { std::cout << e.what() << n << std::endl; } }
E
g++ -O1 b.cc -o b -pthread && ./b; echo 'int x = ;' >c.c; gcc -c c.c 2>&1 | head -n 1; gcc -c nosuch.c 2>&1 | head -n 1; printf 'int f(int x){return x*3;}' >l.c; gcc -shared -fPIC l.c -o libl.so; printf 'int f(int);int main(){return f(5);}' >m.c; gcc m.c -L. -ll -Wl,-rpath,'$ORIGIN' -o m; ./m; echo $?; gcc -c l.c; ar rcs libl2.a l.o; gcc m.c -L. -ll2 -o m2 && ./m2; echo $?; gcc -E -x c - </dev/null | wc -l; nm l.o; strip m; objdump -d l.o | wc -l; cat >Makefile <<'E'
all: $(patsubst %,o%.txt,1 2 3 4 5 6 7 8)
o%.txt:
	@sleep 0.1; echo $* >$@
E
make -j4 && cat o*.txt | paste -sd,; make; touch -d '1 hour' Makefile; make -n | head -n 2; make nosuch 2>&1; echo $?
