/* A network of three layers with tanh, so small that loops beat BLAS, and its training step. */

#include "hand.h"

#define WIDER(a, b) ((a) > (b) ? (a) : (b))
enum { WIDEST = WIDER(WIDER(IN, OUT), WIDER(HIDDEN1, HIDDEN2)) };

static inline void layer(
    int rows, int in, int out, const float *restrict x, const float *restrict w,
    const float *restrict b, float *restrict y)
{
    for (int i = 0; i < rows; ++i) {
        float sums[WIDEST];
        memcpy(sums, b, out * sizeof(float));
        for (int k = 0; k < in; ++k)
            for (int j = 0; j < out; ++j)
                sums[j] += x[i * in + k] * w[k * out + j];
        memcpy(y + i * out, sums, out * sizeof(float));
    }
}

static inline void squash(int size, float *restrict x)
{
    for (int i = 0; i < size; ++i)
        x[i] = tanhf(x[i]);
}

/* dw = x' dy and db = sum of dy. */
static inline void by_parameters(
    int rows, int in, int out, const float *restrict x, const float *restrict dy,
    float *restrict dw, float *restrict db)
{
    memset(db, 0, out * sizeof(float));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < out; ++j)
            db[j] += dy[i * out + j];
    for (int k = 0; k < in; ++k) {
        float sums[WIDEST] = {0};
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < out; ++j)
                sums[j] += x[i * in + k] * dy[i * out + j];
        memcpy(dw + k * out, sums, out * sizeof(float));
    }
}

/* dx = (dy w') (1 - x^2), where x went through tanh. */
static inline void by_input(
    int rows, int in, int out, const float *restrict x, const float *restrict dy,
    const float *restrict w, float *restrict dx)
{
    float turned[WIDEST * WIDEST];
    for (int j = 0; j < out; ++j)
        for (int k = 0; k < in; ++k)
            turned[j * in + k] = w[k * out + j];
    for (int i = 0; i < rows; ++i) {
        float sums[WIDEST] = {0};
        for (int j = 0; j < out; ++j)
            for (int k = 0; k < in; ++k)
                sums[k] += dy[i * out + j] * turned[j * in + k];
        for (int k = 0; k < in; ++k)
            dx[i * in + k] = sums[k] * (1.0f - x[i * in + k] * x[i * in + k]);
    }
}

static void evaluate(
    const float *restrict x, const float *restrict y, const float *restrict w1,
    const float *restrict b1, const float *restrict w2, const float *restrict b2,
    const float *restrict w3, const float *restrict b3, float *value, float *restrict dw1,
    float *restrict db1, float *restrict dw2, float *restrict db2, float *restrict dw3,
    float *restrict db3)
{
    static float h1[BATCH * HIDDEN1], h2[BATCH * HIDDEN2], d3[BATCH * OUT], d2[BATCH * HIDDEN2];
    static float d1[BATCH * HIDDEN1];
    float total = 0.0f;
    layer(BATCH, IN, HIDDEN1, x, w1, b1, h1);
    squash(BATCH * HIDDEN1, h1);
    layer(BATCH, HIDDEN1, HIDDEN2, h1, w2, b2, h2);
    squash(BATCH * HIDDEN2, h2);
    layer(BATCH, HIDDEN2, OUT, h2, w3, b3, d3);
    for (int i = 0; i < BATCH * OUT; ++i) {
        float rest = d3[i] - y[i];
        total += rest * rest;
        d3[i] = rest * (2.0f / (BATCH * OUT));
    }
    *value = total / (BATCH * OUT);
    by_parameters(BATCH, HIDDEN2, OUT, h2, d3, dw3, db3);
    by_input(BATCH, HIDDEN2, OUT, h2, d3, w3, d2);
    by_parameters(BATCH, HIDDEN1, HIDDEN2, h1, d2, dw2, db2);
    by_input(BATCH, HIDDEN1, HIDDEN2, h1, d2, w2, d1);
    by_parameters(BATCH, IN, HIDDEN1, x, d1, dw1, db1);
}

static inline void outer_products(
    int in, int out, const float *restrict x, const float *restrict dy, float *restrict dw)
{
    for (int i = 0; i < BATCH; ++i)
        for (int k = 0; k < in; ++k)
            for (int j = 0; j < out; ++j)
                dw[(i * in + k) * out + j] = x[i * in + k] * dy[i * out + j];
}

/* The gradients of each example's own loss. */
void examples(
    long turns, const float *restrict x, const float *restrict y, const float *restrict w1,
    const float *restrict b1, const float *restrict w2, const float *restrict b2,
    const float *restrict w3, const float *restrict b3, float *restrict dw1, float *restrict db1,
    float *restrict dw2, float *restrict db2, float *restrict dw3, float *restrict db3)
{
    static float h1[BATCH * HIDDEN1], h2[BATCH * HIDDEN2];
    REPEAT(turns) {
        layer(BATCH, IN, HIDDEN1, x, w1, b1, h1);
        squash(BATCH * HIDDEN1, h1);
        layer(BATCH, HIDDEN1, HIDDEN2, h1, w2, b2, h2);
        squash(BATCH * HIDDEN2, h2);
        layer(BATCH, HIDDEN2, OUT, h2, w3, b3, db3);
        for (int i = 0; i < BATCH * OUT; ++i)
            db3[i] = (db3[i] - y[i]) * (2.0f / OUT);
        outer_products(HIDDEN2, OUT, h2, db3, dw3);
        by_input(BATCH, HIDDEN2, OUT, h2, db3, w3, db2);
        outer_products(HIDDEN1, HIDDEN2, h1, db2, dw2);
        by_input(BATCH, HIDDEN1, HIDDEN2, h1, db2, w2, db1);
        outer_products(IN, HIDDEN1, x, db1, dw1);
    }
}

#include "network.h"
