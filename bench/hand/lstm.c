/* A recurrent layer with gates: two products each step, those of the weights after the loop. */

#include "hand.h"

enum { GATES = 4 * HIDDEN, STATE = BATCH * HIDDEN };

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Makes the gates of their sums, for one time. */
static void step(
    float *restrict gates, const float *restrict back, const float *restrict bias,
    const float *restrict before, float *restrict c, float *restrict bent, float *restrict h)
{
    for (long i = 0; i < BATCH; ++i) {
        float *g = gates + i * GATES;
        const float *r = back + i * GATES;
        for (long j = 0; j < 2 * HIDDEN; ++j)
            g[j] = sigmoid(g[j] + r[j] + bias[j]);
        for (long j = 2 * HIDDEN; j < 3 * HIDDEN; ++j)
            g[j] = tanhf(g[j] + r[j] + bias[j]);
        for (long j = 3 * HIDDEN; j < GATES; ++j)
            g[j] = sigmoid(g[j] + r[j] + bias[j]);
        for (long j = 0; j < HIDDEN; ++j) {
            long k = i * HIDDEN + j;
            c[k] = g[HIDDEN + j] * before[k] + g[j] * g[2 * HIDDEN + j];
            bent[k] = tanhf(c[k]);
            h[k] = g[3 * HIDDEN + j] * bent[k];
        }
    }
}

/* Writes the cotangents of the gates' sums over the gates, and that of the state before over `dc`. */
static void step_back(
    float *restrict gates, const float *restrict before, const float *restrict bent,
    const float *restrict dh, float *restrict dc, float *restrict db)
{
    for (long i = 0; i < BATCH; ++i) {
        float *g = gates + i * GATES;
        for (long j = 0; j < HIDDEN; ++j) {
            long k = i * HIDDEN + j;
            float take = g[j], keep = g[HIDDEN + j], new = g[2 * HIDDEN + j];
            float show = g[3 * HIDDEN + j], d = dc[k] + dh[k] * show * (1.0f - bent[k] * bent[k]);
            g[j] = d * new * take * (1.0f - take);
            g[HIDDEN + j] = d * before[k] * keep * (1.0f - keep);
            g[2 * HIDDEN + j] = d * take * (1.0f - new * new);
            g[3 * HIDDEN + j] = dh[k] * bent[k] * show * (1.0f - show);
            dc[k] = d * keep;
        }
        for (long j = 0; j < GATES; ++j)
            db[j] += g[j];
    }
}

void gradient(
    long turns, const float *restrict x, const float *restrict w_in, const float *restrict w_back,
    const float *restrict bias, float *restrict value, float *restrict dw_in,
    float *restrict dw_back, float *restrict db)
{
    static float gates[STEPS][BATCH * GATES], h[STEPS + 1][STATE], c[STEPS + 1][STATE];
    static float bent[STEPS][STATE], back[BATCH * GATES], dh[STATE], dc[STATE];
    REPEAT_WITH_PRODUCTS(turns) {
        one_multiply('N', 'N', STEPS * BATCH, GATES, INPUT, x, w_in, gates[0]);
        for (long t = 0; t < STEPS; ++t) {
            one_multiply('N', 'N', BATCH, GATES, HIDDEN, h[t], w_back, back);
            step(gates[t], back, bias, c[t], c[t + 1], bent[t], h[t + 1]);
        }
        float total = 0.0f;
        for (long k = 0; k < STATE; ++k) {
            total += h[STEPS][k] * h[STEPS][k];
            dh[k] = 2.0f / STATE * h[STEPS][k];
        }
        *value = total / STATE;
        memset(dc, 0, sizeof dc);
        memset(db, 0, GATES * sizeof(float));
        for (long t = STEPS - 1; t >= 0; --t) {
            step_back(gates[t], c[t], bent[t], dh, dc, db);
            one_multiply('N', 'T', BATCH, HIDDEN, GATES, gates[t], w_back, dh);
        }
        one_multiply('T', 'N', INPUT, GATES, STEPS * BATCH, x, gates[0], dw_in);
        one_multiply('T', 'N', HIDDEN, GATES, STEPS * BATCH, h[0], gates[0], dw_back);
    }
}
