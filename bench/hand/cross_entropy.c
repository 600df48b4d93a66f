/* Binary cross entropy of one affine layer, so small that all of it stays in registers. */

#include "hand.h"

void binary(
    long turns, const float *restrict x, const float *restrict y, const float *restrict w,
    const float *restrict b, float *value, float *restrict dw, float *restrict db)
{
    REPEAT(turns) {
        float total = 0.0f, dz[COLUMNS];
        for (int j = 0; j < COLUMNS; ++j) {
            float z = b[j];
            for (int i = 0; i < ROWS; ++i)
                z += x[i] * w[i * COLUMNS + j];
            float shrunk = expf(-fabsf(z));
            total += fmaxf(z, 0.0f) - y[j] * z + log1pf(shrunk);
            dz[j] = ((z >= 0.0f ? 1.0f : shrunk) / (1.0f + shrunk) - y[j]) / COLUMNS;
            db[j] = dz[j];
        }
        for (int i = 0; i < ROWS; ++i)
            for (int j = 0; j < COLUMNS; ++j)
                dw[i * COLUMNS + j] = x[i] * dz[j];
        *value = total / COLUMNS;
    }
}
