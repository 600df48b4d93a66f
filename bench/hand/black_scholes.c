/* Prices of options, summed, with their derivatives by all that they depend on. */

#include "hand.h"

void black_scholes(
    long turns, long n, const double *restrict spot, const double *restrict strike,
    const double *restrict years, const double *restrict volatility, const double *rate,
    double *value, double *restrict d_spot, double *restrict d_strike, double *restrict d_years,
    double *restrict d_volatility, double *d_rate)
{
    REPEAT(turns) {
        double total = 0.0, by_rate = 0.0, r = *rate;
#pragma omp parallel for simd reduction(+ : total, by_rate)
        for (long i = 0; i < n; ++i) {
            double s = spot[i], k = strike[i], t = years[i], v = volatility[i];
            double root = sqrt(t), spread = v * root;
            double d1 = (log(s / k) + (r + 0.5 * v * v) * t) / spread;
            double n1 = 0.5 * (1.0 + erf(d1 * M_SQRT1_2));
            double n2 = 0.5 * (1.0 + erf((d1 - spread) * M_SQRT1_2));
            double discount = exp(-r * t), paid = k * discount * n2;
            double vega = s * root * exp(-0.5 * d1 * d1) * (0.5 * M_2_SQRTPI * M_SQRT1_2);
            total += s * n1 - paid;
            by_rate += t * paid;
            d_spot[i] = n1;
            d_strike[i] = -discount * n2;
            d_years[i] = r * paid + vega * v / (2.0 * t);
            d_volatility[i] = vega;
        }
        *value = total;
        *d_rate = by_rate;
    }
}
