/* Sweeps over a grid in place. They are linear: the way back needs no value. */

#include "hand.h"

void gradient(long turns, const double *restrict given, double *restrict value, double *restrict ct)
{
    static double u[N][N];
    REPEAT(turns) {
        memcpy(u, given, sizeof u);
        for (long sweep = 0; sweep < SWEEPS; ++sweep)
            for (long i = 1; i < N - 1; ++i) {
                double others[N], left = u[i][0];
                for (long j = 1; j < N - 1; ++j)
                    others[j] = 0.25 * (u[i - 1][j] + u[i + 1][j] + u[i][j + 1]);
                for (long j = 1; j < N - 1; ++j)
                    u[i][j] = left = others[j] + 0.25 * left;
            }
        double total = 0.0, (*d)[N] = (double (*)[N])ct;
        for (long i = 0; i < N; ++i)
            for (long j = 0; j < N; ++j) {
                total += u[i][j] * u[i][j];
                d[i][j] = 2.0 * u[i][j];
            }
        *value = total;
        for (long sweep = 0; sweep < SWEEPS; ++sweep)
            for (long i = N - 2; i > 0; --i) {
                /* An element's own cotangent, which goes to its neighbours, and that from its right. */
                double given_on[N], right = 0.0;
                for (long j = N - 2; j > 0; --j)
                    given_on[j] = right = 0.25 * (d[i][j] + right);
                d[i][0] += right;
                d[i][1] = 0.0;
                d[i][N - 1] += given_on[N - 2];
                for (long j = 2; j < N - 1; ++j)
                    d[i][j] = given_on[j - 1];
                for (long j = 1; j < N - 1; ++j) {
                    d[i - 1][j] += given_on[j];
                    d[i + 1][j] += given_on[j];
                }
            }
    }
}
