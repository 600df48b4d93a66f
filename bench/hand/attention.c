/* A block of causal self-attention: the large products by BLAS, heads in parallel. */

#include "hand.h"

enum { WIDTH = HEADS * HEAD, ROWS = BATCH * TIME, ALL = 3 * WIDTH };

static float qkv[ROWS * ALL], mixed[ROWS * WIDTH], d_mixed[ROWS * WIDTH], d_qkv[ROWS * ALL];
static float out[ROWS * WIDTH], shares[BATCH * HEADS][TIME * TIME];

static void one_head(int which, float scale)
{
    long start = (long)(which / HEADS) * TIME, column = (which % HEADS) * HEAD;
    float *q = qkv + start * ALL + column, *p = shares[which];
    multiply_strided('N', 'T', TIME, TIME, HEAD, scale, q, ALL, q + WIDTH, ALL, p, TIME);
    for (int i = 0; i < TIME; ++i) {
        float *row = p + i * TIME, largest = row[0], sum = 0.0f;
        for (int j = 1; j <= i; ++j)
            largest = fmaxf(largest, row[j]);
        for (int j = 0; j <= i; ++j) {
            row[j] = expf(row[j] - largest);
            sum += row[j];
        }
        for (int j = 0; j <= i; ++j)
            row[j] *= 1.0f / sum;
        for (int j = i + 1; j < TIME; ++j)
            row[j] = 0.0f;
    }
    multiply_strided(
        'N', 'N', TIME, HEAD, TIME, 1.0f, p, TIME, q + 2 * WIDTH, ALL,
        mixed + start * WIDTH + column, WIDTH);
}

static void one_head_back(int which, float scale)
{
    static _Thread_local float ds[TIME * TIME];
    long start = (long)(which / HEADS) * TIME, column = (which % HEADS) * HEAD;
    const float *q = qkv + start * ALL + column, *p = shares[which];
    const float *d_out = d_mixed + start * WIDTH + column;
    float *dq = d_qkv + start * ALL + column;
    multiply_strided('T', 'N', TIME, HEAD, TIME, 1.0f, p, TIME, d_out, WIDTH, dq + 2 * WIDTH, ALL);
    multiply_strided('N', 'T', TIME, TIME, HEAD, 1.0f, d_out, WIDTH, q + 2 * WIDTH, ALL, ds, TIME);
    for (int i = 0; i < TIME; ++i) {
        const float *row = p + i * TIME;
        float *d_row = ds + i * TIME, sum = 0.0f;
        for (int j = 0; j <= i; ++j)
            sum += row[j] * d_row[j];
        for (int j = 0; j < TIME; ++j)
            d_row[j] = row[j] * (d_row[j] - sum);
    }
    multiply_strided('N', 'N', TIME, HEAD, TIME, scale, ds, TIME, q + WIDTH, ALL, dq, ALL);
    multiply_strided('T', 'N', TIME, HEAD, TIME, scale, ds, TIME, q, ALL, dq + WIDTH, ALL);
}

void attention(
    long turns, const float *x, const float *w_qkv, const float *w_out, float *value, float *dx,
    float *dw_qkv, float *dw_out)
{
    const float scale = 1.0f / sqrtf(HEAD);
    REPEAT_WITH_PRODUCTS(turns) {
        multiply('N', 'N', ROWS, ALL, WIDTH, x, w_qkv, qkv);
#pragma omp parallel for
        for (int which = 0; which < BATCH * HEADS; ++which)
            one_head(which, scale);
        multiply('N', 'N', ROWS, WIDTH, WIDTH, mixed, w_out, out);
        double total = 0.0;
        for (long i = 0; i < ROWS; ++i) {
            float sum = 0.0f;
            for (long j = i * WIDTH; j < (i + 1) * WIDTH; ++j) {
                sum += out[j] * out[j];
                out[j] *= 2.0f / (ROWS * WIDTH);
            }
            total += sum;
        }
        *value = total / (ROWS * WIDTH);
        multiply('T', 'N', WIDTH, WIDTH, ROWS, mixed, out, dw_out);
        multiply('N', 'T', ROWS, WIDTH, WIDTH, out, w_out, d_mixed);
#pragma omp parallel for
        for (int which = 0; which < BATCH * HEADS; ++which)
            one_head_back(which, scale);
        multiply('T', 'N', WIDTH, ALL, ROWS, x, d_qkv, dw_qkv);
        multiply('N', 'T', ROWS, WIDTH, ALL, d_qkv, w_qkv, dx);
    }
}
