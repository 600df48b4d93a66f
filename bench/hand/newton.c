/* Kepler's equation by Newton's method: the adjoint of its steps, all of which are kept. */

#include "hand.h"

enum { MOST = 100 };

void gradient(
    long turns, const double *restrict given_mean, const double *restrict given_e,
    double *restrict value, double *restrict dmean, double *restrict de)
{
    REPEAT(turns) {
        double mean = *given_mean, e = *given_e, angle = mean, step = 1.0;
        double steps[MOST], sines[MOST], slopes[MOST];
        long count = 0;
        for (; fabs(step) > 1e-10 && count < MOST; ++count) {
            double sine = sin(angle), slope = 1.0 - e * cos(angle);
            step = (angle - e * sine - mean) / slope;
            steps[count] = step, sines[count] = sine, slopes[count] = slope;
            angle -= step;
        }
        *value = angle;
        double ct = 1.0, ct_mean = 0.0, ct_e = 0.0;
        for (long k = count - 1; k >= 0; --k) {
            /* step = wrong / slope */
            double ct_wrong = -ct / slopes[k], ct_slope = -ct_wrong * steps[k];
            ct_mean -= ct_wrong;
            ct_e -= ct_wrong * sines[k] + ct_slope * (1.0 - slopes[k]) / e;
            ct += ct_wrong * slopes[k] + ct_slope * e * sines[k];
        }
        *dmean = ct_mean + ct;
        *de = ct_e;
    }
}
