/* A step of Adam for one array of parameters. */

#pragma once

#include "hand.h"

typedef struct {
    float rate, correction;
} Adam;

static inline Adam adam_at(float count)
{
    Adam adam = {RATE / (1.0f - powf(KEEP_MEAN, count)), 1.0f / (1.0f - powf(KEEP_SQUARE, count))};
    return adam;
}

static inline void adam_part(
    Adam adam, long begin, long end, float *restrict parameter, const float *restrict gradient,
    float *restrict mean, float *restrict square)
{
    for (long i = begin; i < end; ++i) {
        float g = gradient[i];
        mean[i] = KEEP_MEAN * mean[i] + (1.0f - KEEP_MEAN) * g;
        square[i] = KEEP_SQUARE * square[i] + (1.0f - KEEP_SQUARE) * g * g;
        parameter[i] -= adam.rate * mean[i] / (sqrtf(square[i] * adam.correction) + EPSILON);
    }
}

static inline void adam_step(
    Adam adam, long size, float *parameter, const float *gradient, float *mean, float *square)
{
    if (size < WORTH_THREADS) {
        adam_part(adam, 0, size, parameter, gradient, mean, square);
        return;
    }
#pragma omp parallel
    {
        long begin, end;
        my_share(0, size, &begin, &end);
        adam_part(adam, begin, end, parameter, gradient, mean, square);
    }
}
