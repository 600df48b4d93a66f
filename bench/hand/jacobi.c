/* Steps of a five-point average. They are linear: the way back needs no value. */

#include "hand.h"

typedef double Grid[N][N];

static void average(Grid to, Grid from)
{
#pragma omp parallel for if (N * N > WORTH_THREADS)
    for (long i = 1; i < N - 1; ++i)
        for (long j = 1; j < N - 1; ++j)
            to[i][j] = 0.2 * (from[i][j] + from[i][j - 1] + from[i][j + 1] + from[i + 1][j]
                              + from[i - 1][j]);
}

void gradient(long turns, const double *restrict given, double *restrict value, double *restrict ct)
{
    static Grid a, b;
    REPEAT(turns) {
        memcpy(a, given, sizeof a);
        memcpy(b, given, sizeof b);
        for (long t = 0; t < STEPS; t += 2) {
            average(b, a);
            average(a, b);
        }
        double total = 0.0, (*d)[N] = (double (*)[N])ct;
        for (long i = 0; i < N; ++i)
            for (long j = 0; j < N; ++j) {
                total += a[i][j] * a[i][j];
                d[i][j] = 2.0 * a[i][j];
            }
        *value = total;
        /* The edge takes part in each step and stays as it is: its cotangents are collected in `d`,
           and are zero in the two grids that take turns. */
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        for (long i = 1; i < N - 1; ++i)
            memcpy(&a[i][1], &d[i][1], (N - 2) * sizeof(double));
        for (long t = 0; t < STEPS; ++t) {
            double(*from)[N] = t % 2 ? b : a;
            for (long k = 1; k < N - 1; ++k) {
                d[0][k] += 0.2 * from[1][k];
                d[N - 1][k] += 0.2 * from[N - 2][k];
                d[k][0] += 0.2 * from[k][1];
                d[k][N - 1] += 0.2 * from[k][N - 2];
            }
            average(t % 2 ? a : b, from);
        }
        for (long i = 1; i < N - 1; ++i)
            memcpy(&d[i][1], &a[i][1], (N - 2) * sizeof(double));
    }
}
