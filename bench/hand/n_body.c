/* Bodies that attract each other, by leapfrog steps: positions are kept, and inverse distances. */

#include "hand.h"

#define DT 0.01
#define SOFTENING2 0.01

/* One coordinate after the other, so that bodies fill vectors. */
typedef double Bodies[3][N];
typedef double Pairs[N][N];

static inline void gather(Bodies to, const double *from)
{
    for (long i = 0; i < N; ++i)
        for (long k = 0; k < 3; ++k)
            to[k][i] = from[3 * i + k];
}

static inline void scatter(double *to, Bodies from)
{
    for (long i = 0; i < N; ++i)
        for (long k = 0; k < 3; ++k)
            to[3 * i + k] = from[k][i];
}

static inline void add(Bodies to, double factor, Bodies from)
{
    for (long k = 0; k < 3; ++k)
        for (long i = 0; i < N; ++i)
            to[k][i] += factor * from[k][i];
}

/* Adds DT times the accelerations at `x` to `v`; writes the inverse distances. */
static void kick(Bodies x, Bodies v, Pairs inverse)
{
    for (long i = 0; i < N; ++i) {
        double a = 0.0, b = 0.0, c = 0.0;
#pragma omp simd reduction(+ : a, b, c)
        for (long j = 0; j < N; ++j) {
            double dx = x[0][j] - x[0][i], dy = x[1][j] - x[1][i], dz = x[2][j] - x[2][i];
            double q = 1.0 / sqrt(dx * dx + dy * dy + dz * dz + SOFTENING2), s = q * q * q;
            inverse[i][j] = q;
            a += dx * s, b += dy * s, c += dz * s;
        }
        v[0][i] += DT * a, v[1][i] += DT * b, v[2][i] += DT * c;
    }
}

/* Adds what the velocities' cotangents `w` give to those of the positions `x`. */
static void kick_back(Bodies x, Pairs inverse, Bodies w, Bodies ct)
{
    for (long i = 0; i < N; ++i) {
        double a = 0.0, b = 0.0, c = 0.0;
#pragma omp simd reduction(+ : a, b, c)
        for (long j = 0; j < N; ++j) {
            double dx = x[0][j] - x[0][i], dy = x[1][j] - x[1][i], dz = x[2][j] - x[2][i];
            double ex = w[0][j] - w[0][i], ey = w[1][j] - w[1][i], ez = w[2][j] - w[2][i];
            double q = inverse[i][j], s = q * q * q;
            double along = 3.0 * s * q * q * (dx * ex + dy * ey + dz * ez);
            a += s * ex - along * dx, b += s * ey - along * dy, c += s * ez - along * dz;
        }
        ct[0][i] += DT * a, ct[1][i] += DT * b, ct[2][i] += DT * c;
    }
}

void gradient(
    long turns, const double *restrict position, const double *restrict velocity,
    double *restrict value, double *restrict dposition, double *restrict dvelocity)
{
    static Bodies kept[STEPS];
    static Pairs inverse[STEPS];
    REPEAT(turns) {
        Bodies x, v, dx = {{0.0}}, dv = {{0.0}};
        gather(x, position);
        gather(v, velocity);
        for (long t = 0; t < STEPS; ++t) {
            memcpy(kept[t], x, sizeof x);
            kick(x, v, inverse[t]);
            add(x, DT, v);
        }
        double total = 0.0;
        for (long k = 0; k < 3; ++k)
            for (long i = 0; i < N; ++i)
                total += x[k][i] * x[k][i];
        *value = total;
        add(dx, 2.0, x);
        for (long t = STEPS - 1; t >= 0; --t) {
            add(dv, DT, dx);
            kick_back(kept[t], inverse[t], dv, dx);
        }
        scatter(dposition, dx);
        scatter(dvelocity, dv);
    }
}
