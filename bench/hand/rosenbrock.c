/* Rosenbrock's function with its gradient, and the product of its Hessian and a vector. */

#include "hand.h"

/* Elements from `begin` to `end`, each of which has neighbours on both sides. */
static double inner(long begin, long end, const double *restrict x, double *restrict dx)
{
    double total = 0.0;
    for (long i = begin; i < end; ++i) {
        double bend = x[i + 1] - x[i] * x[i], rest = 1.0 - x[i];
        total += 100.0 * bend * bend + rest * rest;
        dx[i] = 200.0 * (x[i] - x[i - 1] * x[i - 1]) - 400.0 * bend * x[i] - 2.0 * rest;
    }
    return total;
}

void rosenbrock(long turns, long n, const double *restrict x, double *value, double *restrict dx)
{
    REPEAT(turns) {
        double bend = x[1] - x[0] * x[0], rest = 1.0 - x[0];
        double total = 100.0 * bend * bend + rest * rest;
        dx[0] = -400.0 * bend * x[0] - 2.0 * rest;
        dx[n - 1] = 200.0 * (x[n - 1] - x[n - 2] * x[n - 2]);
        if (n < WORTH_THREADS)
            total += inner(1, n - 1, x, dx);
        else {
#pragma omp parallel reduction(+ : total)
            {
                long begin, end;
                my_share(1, n - 1, &begin, &end);
                total += inner(begin, end, x, dx);
            }
        }
        *value = total;
    }
}

void product(
    long turns, long n, const double *restrict x, const double *restrict v, double *restrict hv)
{
    REPEAT(turns) {
        hv[0] = (1200.0 * x[0] * x[0] - 400.0 * x[1] + 2.0) * v[0] - 400.0 * x[0] * v[1];
        hv[n - 1] = 200.0 * v[n - 1] - 400.0 * x[n - 2] * v[n - 2];
#pragma omp parallel for simd if (n > WORTH_THREADS)
        for (long i = 1; i < n - 1; ++i)
            hv[i] = (1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 202.0) * v[i]
                    - 400.0 * (x[i] * v[i + 1] + x[i - 1] * v[i - 1]);
    }
}
