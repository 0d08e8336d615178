/*
 * A real OpenMP program with more threads than CPUs: parallel regions and barriers around little
 * work. Prints a sum that depends on every thread having seen every other's step.
 *
 *   omp THREADS STEPS
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 8;
    int steps = argc > 2 ? atoi(argv[2]) : 1000;
    if (threads < 2 || threads > 256 || steps < 1)
        return 2;
    long *cells = calloc((size_t)threads, sizeof *cells);
    if (cells == NULL)
        return 2;
    int team = 0;
    omp_set_dynamic(0);
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        team = omp_get_num_threads();
        int self = omp_get_thread_num();
        for (int step = 0; step < steps; step++) {
            long next = cells[(self + 1) % threads] + 1;
#pragma omp barrier
            cells[self] = next;
#pragma omp barrier
        }
    }
    long sum = 0;
    for (int i = 0; i < threads; i++)
        sum += cells[i];
    printf("%d threads, sum %ld\n", team, sum);
    free(cells);
    return team == threads && sum == (long)threads * steps ? 0 : 1;
}
