/* Entries of both networks: value and gradients, and a training step with Adam. */

#include "adam.h"

#ifndef Label
#define Label float
#endif

void gradient(
    long turns, const float *x, const Label *y, const float *w1, const float *b1, const float *w2,
    const float *b2, const float *w3, const float *b3, float *value, float *dw1, float *db1,
    float *dw2, float *db2, float *dw3, float *db3)
{
    REPEAT_WITH_PRODUCTS(turns)
        evaluate(x, y, w1, b1, w2, b2, w3, b3, value, dw1, db1, dw2, db2, dw3, db3);
}

/* Parameters, running means and running squares are changed in place. */
void step(
    long turns, const float *x, const Label *y, float *count, float *w1, float *b1, float *w2,
    float *b2, float *w3, float *b3, float *mean_w1, float *mean_b1, float *mean_w2,
    float *mean_b2, float *mean_w3, float *mean_b3, float *square_w1, float *square_b1,
    float *square_w2, float *square_b2, float *square_w3, float *square_b3, float *value)
{
    static float dw1[IN * HIDDEN1], db1[HIDDEN1], dw2[HIDDEN1 * HIDDEN2], db2[HIDDEN2];
    static float dw3[HIDDEN2 * OUT], db3[OUT];
    REPEAT_WITH_PRODUCTS(turns) {
        evaluate(x, y, w1, b1, w2, b2, w3, b3, value, dw1, db1, dw2, db2, dw3, db3);
        *count += 1.0f;
        Adam adam = adam_at(*count);
        adam_step(adam, IN * HIDDEN1, w1, dw1, mean_w1, square_w1);
        adam_step(adam, HIDDEN1, b1, db1, mean_b1, square_b1);
        adam_step(adam, HIDDEN1 * HIDDEN2, w2, dw2, mean_w2, square_w2);
        adam_step(adam, HIDDEN2, b2, db2, mean_b2, square_b2);
        adam_step(adam, HIDDEN2 * OUT, w3, dw3, mean_w3, square_w3);
        adam_step(adam, OUT, b3, db3, mean_b3, square_b3);
    }
}
