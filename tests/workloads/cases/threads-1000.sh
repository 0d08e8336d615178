# set: smoke
# A thousand threads in one process at a time.
cat >t.c <<'E'
#include <pthread.h>
#include <stdio.h>
static pthread_barrier_t b; static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static int n;
static void *f(void *p) { pthread_barrier_wait(&b); pthread_mutex_lock(&m); n++; pthread_mutex_unlock(&m); pthread_barrier_wait(&b); return p; }
int main(void) { static pthread_t h[1000]; pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536); pthread_barrier_init(&b, 0, 1001); for (int i = 0; i < 1000; i++) if (pthread_create(h + i, &a, f, h + i)) { printf("no thread %d\n", i); return 1; } pthread_barrier_wait(&b); pthread_barrier_wait(&b); for (int i = 0; i < 1000; i++) { void *r; pthread_join(h[i], &r); if (r != h + i) return 2; } printf("%d\n", n); return 0; }
E
gcc -O1 t.c -o t -pthread && ./t; echo $?
