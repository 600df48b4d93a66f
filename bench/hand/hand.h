/* What the handwritten kernels share.

   Each kernel takes the number of turns, then sizes and arrays, and computes the same thing so
   many times: what is timed is the kernel, and not how Python calls it. */

#pragma once

#include <math.h>
#include <omp.h>
#include <string.h>

/* Lets no turn count on what an earlier one left in registers. */
static inline void forget(void)
{
    __asm__ volatile("" ::: "memory");
}

#define REPEAT(turns) for (long turn = 0; turn < (turns); ++turn, forget())

typedef void gemm_f32(
    const char *, const char *, const int *, const int *, const int *, const float *,
    const float *, const int *, const float *, const int *, const float *, float *, const int *);

enum { WORTH_THREADS = 50000 }; /* elements */

/* This thread's part of what lies between `begin` and `end`. */
static inline void my_share(long begin, long end, long *own_begin, long *own_end)
{
    long threads = omp_get_num_threads(), each = (end - begin + threads - 1) / threads;
    *own_begin = begin + omp_get_thread_num() * each;
    *own_end = *own_begin + each < end ? *own_begin + each : end;
}

/* SciPy's BLAS, and how many threads it uses; set by kernel.py. */
gemm_f32 *blas_sgemm;
int (*blas_get_num_threads)(void);
void (*blas_set_num_threads)(int);

/* C = alpha op(A) op(B) of row-major matrices: m by n, with k summed over; op transposes on 'T'. */
static inline void multiply_strided(
    char a_op, char b_op, int m, int n, int k, float alpha, const float *a, int a_stride,
    const float *b, int b_stride, float *c, int c_stride)
{
    const float zero = 0.0f;
    /* BLAS counts in columns, so it is told to compute the transpose from the transposes. */
    blas_sgemm(&b_op, &a_op, &n, &m, &k, &alpha, b, &b_stride, a, &a_stride, &zero, c, &c_stride);
}

/* The same of whole matrices, by one thread. */
static inline void one_multiply(
    char a_op, char b_op, int m, int n, int k, const float *a, const float *b, float *c)
{
    multiply_strided(a_op, b_op, m, n, k, 1.0f, a, a_op == 'T' ? m : k, b, b_op == 'T' ? k : n, c, n);
}

/* The same of whole matrices, rows of C divided among threads. */
static inline void multiply(
    char a_op, char b_op, int m, int n, int k, const float *a, const float *b, float *c)
{
    int a_stride = a_op == 'T' ? m : k, b_stride = b_op == 'T' ? k : n;
#pragma omp parallel if ((long)m * n * k > 200000)
    {
        long begin, end;
        my_share(0, m, &begin, &end);
        const float *from = a_op == 'T' ? a + begin : a + begin * k;
        if (begin < end)
            multiply_strided(
                a_op, b_op, end - begin, n, k, 1.0f, from, a_stride, b, b_stride, c + begin * n, n);
    }
}

static inline int without_threads_of_blas(void)
{
    int before = blas_get_num_threads();
    blas_set_num_threads(1);
    return before;
}

/* For kernels with products: the threads are this file's, and BLAS adds none of its own. */
#define REPEAT_WITH_PRODUCTS(turns)                                                          \
    for (int before = without_threads_of_blas(); before; blas_set_num_threads(before), before = 0) \
    REPEAT(turns)
