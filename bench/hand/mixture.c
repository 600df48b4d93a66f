/* Log-likelihood of a Gaussian mixture whose inverse covariances are given by triangular factors,
   with Wishart's prior: blocks of points, laid out so that loops run over points.

   Q is a component's factor, z = Q (x - mean), and w the component's share of a point. Then the
   derivatives are: by the factor - w z (x - mean)', by the mean Q' (w z). */

#include "hand.h"

/* Rows are filled up to a multiple of four. */
enum { BLOCK = 128, LANES = 32, WIDE = (SIZE + 3) / 4 * 4, PACKED = SIZE * (SIZE - 1) / 2 };

typedef struct {
    double weight[COMPONENTS], sum[COMPONENTS][SIZE], factor[COMPONENTS][SIZE][WIDE];
} Sums;

/* Rows of each factor; below the diagonal the packed entries follow each other by rows. */
static void unpack(
    const double *restrict log_diagonals, const double *restrict lower,
    double factors[COMPONENTS][SIZE][SIZE])
{
    for (int k = 0; k < COMPONENTS; ++k) {
        const double *entry = lower + k * PACKED;
        for (int i = 0; i < SIZE; ++i) {
            for (int j = 0; j < i; ++j)
                factors[k][i][j] = *entry++;
            factors[k][i][i] = exp(log_diagonals[k * SIZE + i]);
        }
    }
}

static void centre(double points[SIZE][BLOCK], const double *mean, double centred[WIDE][BLOCK])
{
    for (int i = 0; i < SIZE; ++i)
        for (int n = 0; n < BLOCK; ++n)
            centred[i][n] = points[i][n] - mean[i];
}

/* z = Q centred, some points at a time, so that their sums stay in registers. */
static void transform(
    double factor[SIZE][SIZE], double centred[WIDE][BLOCK], double z[SIZE][BLOCK],
    double squares[BLOCK])
{
    for (int begin = 0; begin < BLOCK; begin += LANES) {
        double square[LANES] = {0.0};
        for (int i = 0; i < SIZE; ++i) {
            double sum[LANES] = {0.0};
            for (int j = 0; j <= i; ++j)
                for (int n = 0; n < LANES; ++n)
                    sum[n] += factor[i][j] * centred[j][begin + n];
            for (int n = 0; n < LANES; ++n) {
                square[n] += sum[n] * sum[n];
                z[i][begin + n] = sum[n];
            }
        }
        memcpy(squares + begin, square, sizeof square);
    }
}

/* Sums over points of the products of a row and four others. */
static void four_products(
    const double *restrict row, double centred[WIDE][BLOCK], int j, double *restrict sums)
{
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0;
    for (int n = 0; n < BLOCK; ++n) {
        a += row[n] * centred[j][n];
        b += row[n] * centred[j + 1][n];
        c += row[n] * centred[j + 2][n];
        d += row[n] * centred[j + 3][n];
    }
    sums[j] += a;
    sums[j + 1] += b;
    sums[j + 2] += c;
    sums[j + 3] += d;
}

/* Points that a block lacks are zeros of no weight. */
static double one_block(
    int count, const double *restrict x, const double *restrict offsets,
    const double *restrict means, double factors[COMPONENTS][SIZE][SIZE], Sums *restrict sums)
{
    static _Thread_local double z[COMPONENTS][SIZE][BLOCK], shares[COMPONENTS][BLOCK];
    static _Thread_local double points[SIZE][BLOCK], centred[WIDE][BLOCK];
    double largest[BLOCK], totals[BLOCK] = {0.0}, value = 0.0;
    memset(points, 0, sizeof points);
    for (int i = 0; i < SIZE; ++i)
        for (int n = 0; n < count; ++n)
            points[i][n] = x[n * SIZE + i];

    for (int k = 0; k < COMPONENTS; ++k) {
        double squares[BLOCK];
        centre(points, means + k * SIZE, centred);
        transform(factors[k], centred, z[k], squares);
        for (int n = 0; n < BLOCK; ++n) {
            shares[k][n] = offsets[k] - 0.5 * squares[n];
            largest[n] = k == 0 ? shares[k][n] : fmax(largest[n], shares[k][n]);
        }
    }

    for (int k = 0; k < COMPONENTS; ++k)
        for (int n = 0; n < BLOCK; ++n) {
            shares[k][n] = exp(shares[k][n] - largest[n]);
            totals[n] += shares[k][n];
        }
    for (int n = 0; n < count; ++n)
        value += log(totals[n]) + largest[n];
    for (int n = 0; n < BLOCK; ++n)
        totals[n] = n < count ? 1.0 / totals[n] : 0.0;

    for (int k = 0; k < COMPONENTS; ++k) {
        double weight = 0.0;
        for (int n = 0; n < BLOCK; ++n) {
            shares[k][n] *= totals[n];
            weight += shares[k][n];
        }
        sums->weight[k] += weight;
        centre(points, means + k * SIZE, centred);
        for (int i = 0; i < SIZE; ++i) {
            double sum = 0.0, *row = z[k][i];
            for (int n = 0; n < BLOCK; ++n) {
                row[n] *= shares[k][n];
                sum += row[n];
            }
            sums->sum[k][i] += sum;
            for (int j = 0; j <= i; j += 4)
                four_products(row, centred, j, sums->factor[k][i]);
        }
    }
    return value;
}

void mixture(
    long turns, long points, const double *restrict x, const double *restrict alphas,
    const double *restrict means, const double *restrict log_diagonals,
    const double *restrict lower, double *value, double *restrict d_alphas,
    double *restrict d_means, double *restrict d_diagonals, double *restrict d_lower)
{
    static double factors[COMPONENTS][SIZE][SIZE];
    static Sums all;
    REPEAT(turns) {
        double offsets[COMPONENTS], total = 0.0, largest = -INFINITY, sum = 0.0, prior = 0.0;
        unpack(log_diagonals, lower, factors);
        for (int k = 0; k < COMPONENTS; ++k) {
            offsets[k] = alphas[k];
            for (int i = 0; i < SIZE; ++i)
                offsets[k] += log_diagonals[k * SIZE + i];
            largest = fmax(largest, alphas[k]);
        }
        for (int k = 0; k < COMPONENTS; ++k)
            sum += exp(alphas[k] - largest);

        memset(&all, 0, sizeof all);
#pragma omp parallel reduction(+ : total)
        {
            static _Thread_local Sums own;
            memset(&own, 0, sizeof own);
#pragma omp for schedule(static)
            for (long begin = 0; begin < points; begin += BLOCK) {
                int count = points - begin < BLOCK ? points - begin : BLOCK;
                total += one_block(count, x + begin * SIZE, offsets, means, factors, &own);
            }
            double *to = (double *)&all, *from = (double *)&own;
#pragma omp critical
            for (unsigned long i = 0; i < sizeof own / sizeof *to; ++i)
                to[i] += from[i];
        }

        for (int k = 0; k < COMPONENTS; ++k) {
            double *entry = d_lower + k * PACKED;
            d_alphas[k] = all.weight[k] - points * exp(alphas[k] - largest) / sum;
            for (int j = 0; j < SIZE; ++j)
                d_means[k * SIZE + j] = 0.0;
            for (int i = 0; i < SIZE; ++i) {
                double diagonal = factors[k][i][i];
                for (int j = 0; j <= i; ++j)
                    d_means[k * SIZE + j] += factors[k][i][j] * all.sum[k][i];
                for (int j = 0; j < i; ++j) {
                    prior += factors[k][i][j] * factors[k][i][j];
                    *entry++ = factors[k][i][j] - all.factor[k][i][j];
                }
                prior += diagonal * diagonal;
                d_diagonals[k * SIZE + i] =
                    all.weight[k] + (diagonal - all.factor[k][i][i]) * diagonal;
            }
        }
        *value = total - points * (log(sum) + largest + 0.5 * SIZE * log(2.0 * M_PI)) + 0.5 * prior;
    }
}
