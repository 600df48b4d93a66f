/* Fourteen elementwise operations in one pass, and the same with gradients of the sum. */

#include "hand.h"

void forward(
    long turns, long n, const double *restrict x, const double *restrict y, double *restrict out)
{
    REPEAT(turns) {
#pragma omp parallel for simd
        for (long i = 0; i < n; ++i) {
            double a = x[i] * y[i] + 0.5, c = fmax(a * a - x[i], y[i]);
            double d = c / (1.0 + a * a), e = fabs(d - x[i]) * 0.25;
            out[i] = (e + d) * y[i] - c;
        }
    }
}

void gradient(
    long turns, long n, const double *restrict x, const double *restrict y, double *value,
    double *restrict dx, double *restrict dy)
{
    REPEAT(turns) {
        double total = 0.0;
#pragma omp parallel for simd reduction(+ : total)
        for (long i = 0; i < n; ++i) {
            double a = x[i] * y[i] + 0.5, b = a * a - x[i], c = fmax(b, y[i]);
            double inverse = 1.0 / (1.0 + a * a), d = c * inverse, r = d - x[i];
            double e = fabs(r) * 0.25;
            total += (e + d) * y[i] - c;
            double dr = r > 0.0 ? 0.25 * y[i] : -0.25 * y[i];
            double dd = y[i] + dr, dc = dd * inverse - 1.0, db = b > y[i] ? dc : 0.0;
            double da = 2.0 * a * (db - dd * d * inverse);
            dx[i] = da * y[i] - db - dr;
            dy[i] = (e + d) + (dc - db) + da * x[i];
        }
        *value = total;
    }
}
