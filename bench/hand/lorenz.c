/* The Lorenz system by Runge and Kutta: states are kept, slopes computed again on the way back. */

#include "hand.h"

#define DT 0.01

typedef struct { double x, y, z; } Vector;

static inline Vector slope(const double *p, Vector s)
{
    return (Vector){p[0] * (s.y - s.x), s.x * (p[1] - s.z) - s.y, s.x * s.y - p[2] * s.z};
}

/* a + factor * b */
static inline Vector plus(Vector a, double factor, Vector b)
{
    return (Vector){a.x + factor * b.x, a.y + factor * b.y, a.z + factor * b.z};
}

/* What a slope's cotangent gives to the state, and adds to the parameters' cotangents. */
static inline Vector slope_back(const double *p, Vector s, Vector ct, double *dp)
{
    dp[0] += (s.y - s.x) * ct.x;
    dp[1] += s.x * ct.y;
    dp[2] -= s.z * ct.z;
    return (Vector){(p[1] - s.z) * ct.y - p[0] * ct.x + s.y * ct.z,
                    p[0] * ct.x - ct.y + s.x * ct.z, -s.x * ct.y - p[2] * ct.z};
}

void gradient(
    long turns, const double *restrict state, const double *restrict parameters,
    double *restrict value, double *restrict dstate, double *restrict dparameters)
{
    static Vector kept[STEPS];
    REPEAT(turns) {
        double p[3] = {parameters[0], parameters[1], parameters[2]}, dp[3] = {0.0, 0.0, 0.0};
        Vector s = {state[0], state[1], state[2]};
        for (long t = 0; t < STEPS; ++t) {
            kept[t] = s;
            Vector k1 = slope(p, s), k2 = slope(p, plus(s, 0.5 * DT, k1));
            Vector k3 = slope(p, plus(s, 0.5 * DT, k2)), k4 = slope(p, plus(s, DT, k3));
            s = plus(plus(s, DT / 6.0, plus(k1, 1.0, k4)), DT / 3.0, plus(k2, 1.0, k3));
        }
        *value = s.x * s.x + s.y * s.y + s.z * s.z;
        const Vector zero = {0.0, 0.0, 0.0};
        Vector ct = plus(zero, 2.0, s);
        for (long t = STEPS - 1; t >= 0; --t) {
            s = kept[t];
            Vector s2 = plus(s, 0.5 * DT, slope(p, s)), s3 = plus(s, 0.5 * DT, slope(p, s2));
            Vector s4 = plus(s, DT, slope(p, s3));
            Vector sixth = plus(zero, DT / 6.0, ct), third = plus(zero, DT / 3.0, ct);
            Vector m4 = slope_back(p, s4, sixth, dp);
            Vector m3 = slope_back(p, s3, plus(third, DT, m4), dp);
            Vector m2 = slope_back(p, s2, plus(third, 0.5 * DT, m3), dp);
            Vector m1 = slope_back(p, s, plus(sixth, 0.5 * DT, m2), dp);
            ct = plus(plus(ct, 1.0, plus(m1, 1.0, m2)), 1.0, plus(m3, 1.0, m4));
        }
        dstate[0] = ct.x, dstate[1] = ct.y, dstate[2] = ct.z;
        memcpy(dparameters, dp, sizeof dp);
    }
}
