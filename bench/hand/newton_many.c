/* Kepler's equation for many orbits: blocks that stay in the cache, whose elements fill vectors. */

#include "hand.h"

enum { BLOCK = 256, MOST = 100 };

void gradient(
    long turns, const double *restrict means, const double *restrict es, double *restrict value,
    double *restrict dmeans, double *restrict des)
{
    static double steps[MOST][BLOCK], sines[MOST][BLOCK], slopes[MOST][BLOCK];
    static unsigned char moves[MOST][BLOCK];
    REPEAT(turns) {
        double total = 0.0;
        for (long first = 0; first < N; first += BLOCK) {
            const double *restrict mean = means + first, *restrict e = es + first;
            long size = N - first < BLOCK ? N - first : BLOCK, count = 0, left = size;
            double angle[BLOCK], ct[BLOCK], ct_mean[BLOCK], ct_e[BLOCK];
            memcpy(angle, mean, size * sizeof(double));
            memset(moves[0], 1, size);
            for (; left && count + 1 < MOST; ++count) {
                left = 0;
#pragma omp simd reduction(+ : left)
                for (long k = 0; k < size; ++k) {
                    double sine = sin(angle[k]), slope = 1.0 - e[k] * cos(angle[k]);
                    double step = (angle[k] - e[k] * sine - mean[k]) / slope;
                    steps[count][k] = step, sines[count][k] = sine, slopes[count][k] = slope;
                    angle[k] -= moves[count][k] ? step : 0.0;
                    moves[count + 1][k] = moves[count][k] & (fabs(step) > 1e-10);
                    left += moves[count + 1][k];
                }
            }
            for (long k = 0; k < size; ++k) {
                total += angle[k];
                ct[k] = 1.0, ct_mean[k] = 0.0, ct_e[k] = 0.0;
            }
            for (long n = count - 1; n >= 0; --n) {
#pragma omp simd
                for (long k = 0; k < size; ++k) {
                    double ct_step = moves[n][k] ? -ct[k] : 0.0;
                    double ct_wrong = ct_step / slopes[n][k], ct_slope = -ct_wrong * steps[n][k];
                    ct_mean[k] -= ct_wrong;
                    ct_e[k] -= ct_wrong * sines[n][k] + ct_slope * (1.0 - slopes[n][k]) / e[k];
                    ct[k] += ct_wrong * slopes[n][k] + ct_slope * e[k] * sines[n][k];
                }
            }
            for (long k = 0; k < size; ++k) {
                dmeans[first + k] = ct_mean[k] + ct[k];
                des[first + k] = ct_e[k];
            }
        }
        *value = total;
    }
}
