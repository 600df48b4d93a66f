/* LeNet: convolutions of one image at a time, as products with the pieces under each filter. */

#include "hand.h"

enum {
    SIDE = 5, CHANNELS1 = 6, CHANNELS2 = 16, PADDING = 2,
    EDGE1 = IMAGE, EDGE2 = EDGE1 / 2, EDGE3 = EDGE2 - SIDE + 1, EDGE4 = EDGE3 / 2,
    PIXELS1 = EDGE1 * EDGE1, PIXELS2 = EDGE2 * EDGE2, PIXELS3 = EDGE3 * EDGE3,
    PIXELS4 = EDGE4 * EDGE4, PIECE1 = SIDE * SIDE, PIECE2 = CHANNELS1 * SIDE * SIDE,
    FEATURES = CHANNELS2 * PIXELS4, DENSE1 = 120, DENSE2 = 84, CLASSES = 10
};

typedef struct {
    float pieces1[PIECE1 * PIXELS1], pooled1[CHANNELS1 * PIXELS2];
    float pieces2[PIECE2 * PIXELS3];
    int from1[CHANNELS1 * PIXELS2], from2[CHANNELS2 * PIXELS4];
} Image;

static Image images[BATCH];
static float features[BATCH * FEATURES], d_features[BATCH * FEATURES];
static float h1[BATCH * DENSE1], h2[BATCH * DENSE2], logits[BATCH * CLASSES];
static float d2[BATCH * DENSE2], d1[BATCH * DENSE1];

/* What lies under each entry of a filter, one row for an entry. */
static void take_pieces(
    int channels, int edge, int padding, const float *restrict image, float *restrict pieces)
{
    int out = edge + 2 * padding - SIDE + 1;
    for (int c = 0; c < channels; ++c)
        for (int a = 0; a < SIDE; ++a)
            for (int b = 0; b < SIDE; ++b)
                for (int i = 0; i < out; ++i, pieces += out) {
                    int row = i + a - padding, shift = b - padding;
                    if (row < 0 || row >= edge) {
                        memset(pieces, 0, out * sizeof(float));
                        continue;
                    }
                    for (int j = 0; j < out; ++j)
                        pieces[j] = j + shift < 0 || j + shift >= edge
                                        ? 0.0f
                                        : image[(c * edge + row) * edge + j + shift];
                }
}

/* The adjoint of the above without padding. */
static void put_pieces(int channels, int edge, const float *restrict pieces, float *restrict image)
{
    int out = edge - SIDE + 1;
    memset(image, 0, channels * edge * edge * sizeof(float));
    for (int c = 0; c < channels; ++c)
        for (int a = 0; a < SIDE; ++a)
            for (int b = 0; b < SIDE; ++b)
                for (int i = 0; i < out; ++i, pieces += out)
                    for (int j = 0; j < out; ++j)
                        image[(c * edge + i + a) * edge + j + b] += pieces[j];
}

/* Bias, relu, and the largest of each square of two by two, remembering which it was. */
static void pool(
    int channels, int edge, const float *restrict x, const float *restrict bias,
    float *restrict pooled, int *restrict from)
{
    for (int c = 0; c < channels; ++c)
        for (int i = 0; i < edge / 2; ++i)
            for (int j = 0; j < edge / 2; ++j) {
                int first = (c * edge + 2 * i) * edge + 2 * j, best = first;
                best = x[first + 1] > x[best] ? first + 1 : best;
                best = x[first + edge] > x[best] ? first + edge : best;
                best = x[first + edge + 1] > x[best] ? first + edge + 1 : best;
                *from++ = best;
                *pooled++ = fmaxf(x[best] + bias[c], 0.0f);
            }
}

static void pool_back(
    int channels, int edge, const float *restrict pooled, const int *restrict from,
    const float *restrict d_pooled, float *restrict dx, float *restrict d_bias)
{
    int each = (edge / 2) * (edge / 2);
    memset(dx, 0, channels * edge * edge * sizeof(float));
    for (int c = 0; c < channels; ++c)
        for (int i = c * each; i < (c + 1) * each; ++i) {
            float slope = pooled[i] > 0.0f ? d_pooled[i] : 0.0f;
            dx[from[i]] = slope;
            d_bias[c] += slope;
        }
}

static void add_to(int size, const float *restrict from, float *restrict to)
{
    for (int i = 0; i < size; ++i)
        to[i] += from[i];
}

static void layer(
    int in, int out, const float *x, const float *w, const float *restrict b, float *restrict y,
    float least)
{
    multiply('N', 'N', BATCH, out, in, x, w, y);
    for (int i = 0; i < BATCH; ++i)
        for (int j = 0; j < out; ++j)
            y[i * out + j] = fmaxf(y[i * out + j] + b[j], least);
}

static void layer_back(
    int in, int out, const float *x, const float *w, const float *restrict dy, float *restrict dx,
    float *dw, float *restrict db)
{
    multiply('T', 'N', in, out, BATCH, x, dy, dw);
    multiply('N', 'T', BATCH, in, out, dy, w, dx);
    memset(db, 0, out * sizeof(float));
    for (int i = 0; i < BATCH; ++i)
        for (int j = 0; j < out; ++j)
            db[j] += dy[i * out + j];
    for (int i = 0; i < BATCH * in; ++i)
        dx[i] = x[i] > 0.0f ? dx[i] : 0.0f;
}

/* Logits become their derivatives. */
static float cross_entropy(const long *y, float *restrict logits)
{
    float total = 0.0f;
    for (int i = 0; i < BATCH; ++i) {
        float *row = logits + i * CLASSES, largest = row[0], sum = 0.0f, chosen = row[y[i]];
        for (int j = 1; j < CLASSES; ++j)
            largest = fmaxf(largest, row[j]);
        for (int j = 0; j < CLASSES; ++j) {
            row[j] = expf(row[j] - largest);
            sum += row[j];
        }
        total += logf(sum) + largest - chosen;
        for (int j = 0; j < CLASSES; ++j)
            row[j] *= 1.0f / (sum * BATCH);
        row[y[i]] -= 1.0f / BATCH;
    }
    return total / BATCH;
}

void lenet(
    long turns, const float *x, const long *y, const float *k1, const float *c1, const float *k2,
    const float *c2, const float *w1, const float *b1, const float *w2, const float *b2,
    const float *w3, const float *b3, float *value, float *dk1, float *dc1, float *dk2, float *dc2,
    float *dw1, float *db1, float *dw2, float *db2, float *dw3, float *db3)
{
    REPEAT_WITH_PRODUCTS(turns) {
#pragma omp parallel for
        for (int n = 0; n < BATCH; ++n) {
            static _Thread_local float maps[CHANNELS2 * PIXELS1];
            Image *own = images + n;
            take_pieces(1, EDGE1, PADDING, x + n * PIXELS1, own->pieces1);
            one_multiply('N', 'N', CHANNELS1, PIXELS1, PIECE1, k1, own->pieces1, maps);
            pool(CHANNELS1, EDGE1, maps, c1, own->pooled1, own->from1);
            take_pieces(CHANNELS1, EDGE2, 0, own->pooled1, own->pieces2);
            one_multiply('N', 'N', CHANNELS2, PIXELS3, PIECE2, k2, own->pieces2, maps);
            pool(CHANNELS2, EDGE3, maps, c2, features + n * FEATURES, own->from2);
        }
        layer(FEATURES, DENSE1, features, w1, b1, h1, 0.0f);
        layer(DENSE1, DENSE2, h1, w2, b2, h2, 0.0f);
        layer(DENSE2, CLASSES, h2, w3, b3, logits, -INFINITY);
        *value = cross_entropy(y, logits);
        layer_back(DENSE2, CLASSES, h2, w3, logits, d2, dw3, db3);
        layer_back(DENSE1, DENSE2, h1, w2, d2, d1, dw2, db2);
        layer_back(FEATURES, DENSE1, features, w1, d1, d_features, dw1, db1);
        memset(dk1, 0, CHANNELS1 * PIECE1 * sizeof(float));
        memset(dk2, 0, CHANNELS2 * PIECE2 * sizeof(float));
        memset(dc1, 0, CHANNELS1 * sizeof(float));
        memset(dc2, 0, CHANNELS2 * sizeof(float));
#pragma omp parallel for reduction(                                                              \
        + : dk1[:CHANNELS1 * PIECE1], dk2[:CHANNELS2 * PIECE2], dc1[:CHANNELS1], dc2[:CHANNELS2])
        for (int n = 0; n < BATCH; ++n) {
            static _Thread_local float maps[CHANNELS2 * PIXELS1], pieces[PIECE2 * PIXELS3];
            static _Thread_local float d_pooled[CHANNELS1 * PIXELS2], product[CHANNELS2 * PIECE2];
            Image *own = images + n;
            pool_back(
                CHANNELS2, EDGE3, features + n * FEATURES, own->from2, d_features + n * FEATURES,
                maps, dc2);
            one_multiply('N', 'T', CHANNELS2, PIECE2, PIXELS3, maps, own->pieces2, product);
            add_to(CHANNELS2 * PIECE2, product, dk2);
            one_multiply('T', 'N', PIECE2, PIXELS3, CHANNELS2, k2, maps, pieces);
            put_pieces(CHANNELS1, EDGE2, pieces, d_pooled);
            pool_back(CHANNELS1, EDGE1, own->pooled1, own->from1, d_pooled, maps, dc1);
            one_multiply('N', 'T', CHANNELS1, PIECE1, PIXELS1, maps, own->pieces1, product);
            add_to(CHANNELS1 * PIECE1, product, dk1);
        }
    }
}
