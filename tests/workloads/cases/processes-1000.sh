# set: smoke
cat >p.c <<'E'
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) { int g[2], up[2]; if (pipe(g) || pipe(up)) return 1; for (int i = 0; i < 1000; i++) { pid_t p = fork(); if (p < 0) { perror("fork"); return 2; } if (!p) { char c; close(g[1]); if (write(up[1], "u", 1) != 1) _exit(99); if (read(g[0], &c, 1)) _exit(98); _exit(i % 50); } } int n = 0; char c; while (n < 1000 && read(up[0], &c, 1) == 1) n++; printf("%d up\n", n); close(g[1]); int s, sum = 0; n = 0; while (wait(&s) > 0) n++, sum += WEXITSTATUS(s); printf("%d reaped, %d\n", n, sum); return 0; }
E
gcc -O1 p.c -o p && ./p; echo $?
