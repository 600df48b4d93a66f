/* Logistic regression: the matrix passes through the cache once, a block of rows at a time. */

#include "hand.h"

enum { BLOCK = 256 };

void logistic(
    long turns, long rows, const double *restrict x, const double *restrict y,
    const double *restrict w, const double *bias, double *value, double *restrict dw, double *db)
{
    REPEAT(turns) {
        double total = 0.0, by_bias = 0.0, by_weight[COLUMNS] = {0.0}, b = *bias;
#pragma omp parallel for reduction(+ : total, by_bias, by_weight[:COLUMNS]) schedule(static)
        for (long begin = 0; begin < rows; begin += BLOCK) {
            long count = rows - begin < BLOCK ? rows - begin : BLOCK;
            const double *block = x + begin * COLUMNS, *labels = y + begin;
            double z[BLOCK], dz[BLOCK];
            for (long i = 0; i < count; ++i) {
                double sum = 0.0;
                for (long j = 0; j < COLUMNS; ++j)
                    sum += block[i * COLUMNS + j] * w[j];
                z[i] = sum + b;
            }
            for (long i = 0; i < count; ++i) {
                double shrunk = exp(-fabs(z[i]));
                total += fmax(z[i], 0.0) - labels[i] * z[i] + log1p(shrunk);
                dz[i] = ((z[i] >= 0.0 ? 1.0 : shrunk) / (1.0 + shrunk) - labels[i]) / rows;
                by_bias += dz[i];
            }
            for (long i = 0; i < count; ++i)
                for (long j = 0; j < COLUMNS; ++j)
                    by_weight[j] += block[i * COLUMNS + j] * dz[i];
        }
        memcpy(dw, by_weight, sizeof by_weight);
        *value = total / rows;
        *db = by_bias;
    }
}
