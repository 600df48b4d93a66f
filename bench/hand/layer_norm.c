/* Layer normalization and GELU: a row stays in the cache for all passes over it. */

#include "hand.h"

static void one_row(
    const float *restrict x, const float *restrict weight, const float *restrict bias,
    float scale, double *total, float *restrict dx, float *restrict dweight, float *restrict dbias)
{
    float sum = 0.0f, squares = 0.0f, slope = 0.0f, mean_dn = 0.0f, value = 0.0f;
    for (int j = 0; j < COLUMNS; ++j)
        sum += x[j];
    float mean = sum / COLUMNS;
    for (int j = 0; j < COLUMNS; ++j)
        squares += (x[j] - mean) * (x[j] - mean);
    float inverse = 1.0f / sqrtf(squares / COLUMNS + 1e-5f);
    for (int j = 0; j < COLUMNS; ++j) {
        float normal = (x[j] - mean) * inverse, z = normal * weight[j] + bias[j];
        float share = 0.5f * (1.0f + erff(z * (float)M_SQRT1_2)), y = z * share;
        float density = 0.3989422804014327f * expf(-0.5f * z * z);
        float dz = y * scale * (share + z * density), dn = dz * weight[j];
        value += y * y;
        dweight[j] += dz * normal;
        dbias[j] += dz;
        mean_dn += dn;
        slope += dn * normal;
        dx[j] = dn;
    }
    mean_dn /= COLUMNS;
    slope /= COLUMNS;
    for (int j = 0; j < COLUMNS; ++j)
        dx[j] = (dx[j] - mean_dn - (x[j] - mean) * inverse * slope) * inverse;
    *total += value;
}

void layer_norm(
    long turns, long rows, const float *restrict x, const float *restrict weight,
    const float *restrict bias, float *value, float *restrict dx, float *restrict dweight,
    float *restrict dbias)
{
    REPEAT(turns) {
        double total = 0.0;
        float scale = 2.0f / (rows * COLUMNS), by_weight[COLUMNS] = {0}, by_bias[COLUMNS] = {0};
#pragma omp parallel for reduction(+ : total, by_weight[:COLUMNS], by_bias[:COLUMNS])
        for (long i = 0; i < rows; ++i)
            one_row(x + i * COLUMNS, weight, bias, scale, &total, dx + i * COLUMNS, by_weight, by_bias);
        memcpy(dweight, by_weight, sizeof by_weight);
        memcpy(dbias, by_bias, sizeof by_bias);
        *value = total / (rows * (double)COLUMNS);
    }
}
