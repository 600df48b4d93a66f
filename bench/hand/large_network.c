/* A network of three layers with relu and cross entropy, by BLAS, and its training step. */

#include "hand.h"

static void layer(
    int in, int out, const float *x, const float *w, const float *restrict b, float *restrict y)
{
    multiply('N', 'N', BATCH, out, in, x, w, y);
    for (int i = 0; i < BATCH; ++i)
        for (int j = 0; j < out; ++j)
            y[i * out + j] += b[j];
}

static void rectify(int size, float *restrict x)
{
    for (int i = 0; i < size; ++i)
        x[i] = fmaxf(x[i], 0.0f);
}

static void by_parameters(
    int in, int out, const float *x, const float *restrict dy, float *dw, float *restrict db)
{
    multiply('T', 'N', in, out, BATCH, x, dy, dw);
    memset(db, 0, out * sizeof(float));
    for (int i = 0; i < BATCH; ++i)
        for (int j = 0; j < out; ++j)
            db[j] += dy[i * out + j];
}

static void by_input(
    int in, int out, const float *restrict x, const float *dy, const float *w, float *restrict dx)
{
    multiply('N', 'T', BATCH, in, out, dy, w, dx);
    for (int i = 0; i < BATCH * in; ++i)
        dx[i] = x[i] > 0.0f ? dx[i] : 0.0f;
}

/* Logits become their derivatives. */
static float cross_entropy(const long *y, float *restrict logits)
{
    float total = 0.0f;
    for (int i = 0; i < BATCH; ++i) {
        float *row = logits + i * OUT, largest = row[0], sum = 0.0f, chosen = row[y[i]];
        for (int j = 1; j < OUT; ++j)
            largest = fmaxf(largest, row[j]);
        for (int j = 0; j < OUT; ++j) {
            row[j] = expf(row[j] - largest);
            sum += row[j];
        }
        total += logf(sum) + largest - chosen;
        for (int j = 0; j < OUT; ++j)
            row[j] *= 1.0f / (sum * BATCH);
        row[y[i]] -= 1.0f / BATCH;
    }
    return total / BATCH;
}

static void evaluate(
    const float *x, const long *y, const float *w1, const float *b1, const float *w2,
    const float *b2, const float *w3, const float *b3, float *value, float *dw1, float *db1,
    float *dw2, float *db2, float *dw3, float *db3)
{
    static float h1[BATCH * HIDDEN1], h2[BATCH * HIDDEN2], d3[BATCH * OUT], d2[BATCH * HIDDEN2];
    static float d1[BATCH * HIDDEN1];
    layer(IN, HIDDEN1, x, w1, b1, h1);
    rectify(BATCH * HIDDEN1, h1);
    layer(HIDDEN1, HIDDEN2, h1, w2, b2, h2);
    rectify(BATCH * HIDDEN2, h2);
    layer(HIDDEN2, OUT, h2, w3, b3, d3);
    *value = cross_entropy(y, d3);
    by_parameters(HIDDEN2, OUT, h2, d3, dw3, db3);
    by_input(HIDDEN2, OUT, h2, d3, w3, d2);
    by_parameters(HIDDEN1, HIDDEN2, h1, d2, dw2, db2);
    by_input(HIDDEN1, HIDDEN2, h1, d2, w2, d1);
    by_parameters(IN, HIDDEN1, x, d1, dw1, db1);
}

#define Label long
#include "network.h"
