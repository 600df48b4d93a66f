"""Finds the polynomial coefficients of `jitgrad/intrinsics`.

A script, not a test: ``python tests/intrinsics/fit_polynomials.py`` prints every table with the
relative error of its polynomial. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.prec = 200


def chebyshev_grid(low: Any, high: Any, count: int) -> list[Any]:
    """Return points that crowd towards the ends of an interval."""
    middle, radius = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def remez(
    target: Sequence[Any], weight: Sequence[Any], basis: Sequence[Sequence[Any]]
) -> tuple[list[Any], Any]:
    """Return the coefficients with the least maximal weighted error on a grid, and that error.

    Parameters
    ----------
    target : sequence of n numbers
        What is approximated.
    weight : sequence of n numbers
        What the error is multiplied by.
    basis : sequence of m sequences of n numbers
        The functions that are combined.

    Returns
    -------
    list of m numbers
        Coefficients.
    number
        Largest error times weight.
    """
    terms, points = len(basis), len(target)
    # errors alternate where the lowest term has one sign: turn it over where that is negative
    weight = [w if w * low > 0 else -w for w, low in zip(weight, basis[0], strict=True)]
    weighted = [[b[i] * weight[i] for b in basis] for i in range(points)]
    goal = [target[i] * weight[i] for i in range(points)]
    # even steps on a grid that itself crowds towards the ends
    chosen = [round((points - 1) * k / terms) for k in range(terms + 1)]
    for _ in range(400):
        rows = mp.matrix(terms + 1, terms + 1)
        right = mp.matrix(terms + 1, 1)
        for r, i in enumerate(chosen):
            for c in range(terms):
                rows[r, c] = weighted[i][c]
            rows[r, terms] = (-1) ** r
            right[r] = goal[i]
        solution = mp.lu_solve(rows, right)
        level = abs(solution[terms])
        coefficients = [solution[c] for c in range(terms)]
        error = [
            goal[i] - mp.fdot(zip(coefficients, weighted[i], strict=True)) for i in range(points)
        ]
        worst = max(abs(value) for value in error)
        if worst <= level * mpf("1.001"):
            break
        chosen = _exchange(error, chosen)
    return coefficients, worst


def _exchange(error: Sequence[Any], chosen: Sequence[int]) -> list[int]:
    """Take the point of the largest error in, and out the neighbour that has its sign."""
    worst = max(range(len(error)), key=lambda i: abs(error[i]))
    positive = error[worst] > 0
    right = next((k for k, i in enumerate(chosen) if i > worst), len(chosen))
    result = list(chosen)
    if right == 0:
        if (error[chosen[0]] > 0) == positive:
            result[0] = worst
        else:
            result = [worst, *chosen[:-1]]
    elif right == len(chosen):
        if (error[chosen[-1]] > 0) == positive:
            result[-1] = worst
        else:
            result = [*chosen[1:], worst]
    else:
        result[right if (error[chosen[right]] > 0) == positive else right - 1] = worst
    return result


def fit(
    function: Callable[[Any], Any],
    interval: tuple[Any, Any],
    powers: Sequence[int],
    *,
    dtype: type = np.float64,
    weight: Callable[[Any], Any] | None = None,
    fixed: dict[int, Any] | None = None,
    argument: Callable[[Any], Any] = lambda x: x,
    exact_leading: int = 2,
) -> tuple[list[float], float]:
    """Fit ``sum(c[j] * argument(x)**powers[j])`` to a function, rounding coefficients one by one.

    Parameters
    ----------
    function : callable
        What is approximated, on mpmath numbers.
    interval : (number, number)
        Where.
    powers : sequence of int
        Exponents.
    dtype : type
        What coefficients are rounded to.
    weight : callable, optional
        What the error is multiplied by; the default is one over the function.
    fixed : dict of int to number, optional
        Coefficients that are given.
    argument : callable
        What the powers are of.
    exact_leading : int
        How many coefficients are rounded one by one, each making up for the rounding of the last.

    Returns
    -------
    list of float
        Coefficients in the order of `powers`.
    float
        Largest weighted error.
    """
    grid = chebyshev_grid(*interval, 24 * (len(powers) + 2))
    values = [function(x) for x in grid]
    weights = [weight(x) if weight else 1 / v for x, v in zip(grid, values, strict=True)]
    arguments = [argument(x) for x in grid]
    known = {power: mpf(c) for power, c in (fixed or {}).items()}
    free = [power for power in powers if power not in known]
    for step in range(exact_leading + 1):
        rest = [
            v - sum(c * x**power for power, c in known.items())
            for x, v in zip(arguments, values, strict=True)
        ]
        solved, error = remez(rest, weights, [[x**power for x in arguments] for power in free])
        if step == exact_leading or len(free) == 1:
            known.update(
                {p: mpf(float(dtype(float(c)))) for p, c in zip(free, solved, strict=True)}
            )
            break
        known[free[0]] = mpf(float(dtype(float(solved[0]))))
        free = free[1:]
    return [float(known[power]) for power in powers], float(error)


SINGLE, DOUBLE = np.float32, np.float64
HALF = mpf(1) / 2
NOT_ZERO = mpf("1e-12")  # where the functions below are 0 / 0 at zero
ROOT_OF_DIGAMMA = mp.findroot(mp.digamma, mpf("1.4616"))

Function = Callable[[Any], Any]


def relative(function: Function, power: int = 0) -> Function:
    """Return the weight of a term times ``x**power`` in an error relative to `function`."""
    return lambda x: x**power / function(x)


def odd_tail(function: Function) -> tuple[Function, Function]:
    """Return ``(f(x) / x - 1) / x**2`` in ``z = x**2``, and its weight in `f`."""
    return (
        lambda z: (function(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z * mp.sqrt(z) / function(mp.sqrt(z)),
    )


def log_tail(f: Any) -> Any:
    return (mp.log(1 + f) - f) / f**2


def scaled_erfcx(centre: Any) -> Function:
    def function(q: Any) -> Any:
        a = centre * (1 + q) / (1 - q)
        return (1 + 2 * a) * mp.exp(a * a) * mp.erfc(a)

    return function


def erfinv_of_w(w: Any) -> Any:
    x = mp.sqrt(-mp.expm1(-w))
    return mp.erfinv(x) / x


def stirling_rest(w: Any) -> Any:
    x = 1 / mp.sqrt(w)
    return (mp.loggamma(x) - (x - HALF) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


def digamma_rest(w: Any) -> Any:
    x = 1 / mp.sqrt(w)
    return (mp.digamma(x) - mp.log(x) + 1 / (2 * x)) / w


def lgamma_near_two(t: Any) -> Any:
    return mp.loggamma(2 + t) / t


def digamma_near_root(z: Any) -> Any:
    return mp.digamma(z) / (z - ROOT_OF_DIGAMMA)


def main() -> None:
    """Print every table."""
    reduced = mp.log(2) / 2 * mpf("1.001")
    half = (-reduced, reduced)
    fraction = (mp.sqrt(HALF) - 1 - mpf("1e-9"), mp.sqrt(mpf(2)) - 1)
    eighth = mp.pi / 4 * mpf("1.0001")
    far = (mpf("1e-10"), 1 / mpf("8.4") ** 2)
    s = (mp.sqrt(mpf(2)) - 1) / (mp.sqrt(mpf(2)) + 1) * mpf("1.0001")

    def exp_tail(r: Any) -> Any:
        return (mp.exp(r) - 1 - r) / r**2

    def exp2_tail(r: Any) -> Any:
        return (mpf(2) ** r - 1) / r

    def cos_tail(z: Any) -> Any:
        return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2

    def cosh_tail(z: Any) -> Any:
        return (mp.cosh(mp.sqrt(z)) - 1) / z

    def atanh_tail(z: Any) -> Any:
        return (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2 - 2 * z / 3) / z**2

    def twice_atanh_tail(z: Any) -> Any:
        return (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z

    def erf_root(a: Any) -> Any:
        return (1 - mp.erfc(a) ** (mpf(1) / 4)) / a

    def weight_in_erf(a: Any) -> Any:
        return 4 * a * mp.erfc(a) ** (mpf(3) / 4) / mp.erf(a)

    def erfinv_tail(t: Any) -> Any:
        return erfinv_of_w(1 / t**2) * mp.sqrt(-mp.expm1(-1 / t**2)) * t

    def tabulate(
        name: str,
        function: Function,
        interval: tuple[Any, Any],
        count: int,
        dtype: type,
        **how: Any,
    ) -> None:
        coefficients, error = fit(function, interval, range(count), dtype=dtype, **how)
        print(f"{name}, {dtype.__name__}: error 2**{np.log2(error):.1f}")
        print("".join(f"    {coefficient!r},\n" for coefficient in coefficients))

    sine, sine_weight = odd_tail(mp.sin)
    sinh, sinh_weight = odd_tail(mp.sinh)
    tangent, tangent_weight = odd_tail(mp.tan)
    arctangent, arctangent_weight = odd_tail(mp.atan)
    arcsine, arcsine_weight = odd_tail(mp.asin)
    octant = (NOT_ZERO, eighth**2)
    small = (NOT_ZERO, reduced**2)
    for dtype, single in ((DOUBLE, False), (SINGLE, True)):

        def terms(in_double: int, in_single: int, single: bool = single) -> int:
            return in_single if single else in_double

        tabulate("EXP_TAIL", exp_tail, half, terms(10, 5), dtype, weight=relative(mp.exp, 2))
        weight = relative(lambda r: mpf(2) ** r, 1)
        tabulate("EXP2_TAIL", exp2_tail, (-HALF, HALF), terms(11, 6), dtype, weight=weight)
        how: dict[str, Any] = {"weight": lambda z: z / 2}
        until = (NOT_ZERO, mpf("0.2012") ** 2)
        tabulate("TWICE_ATANH_TAIL", twice_atanh_tail, until, terms(7, 3), dtype, **how)
        how = {"weight": relative(lambda z: 2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z), 1)}
        until = (NOT_ZERO, (mpf("1.0001") / 3) ** 2)
        tabulate("FRACTION_ATANH_TAIL", twice_atanh_tail, until, terms(10, 4), dtype, **how)
        tabulate("SIN_TAIL", sine, octant, terms(6, 3), dtype, weight=sine_weight)
        weight = relative(lambda z: mp.cos(mp.sqrt(z)), 2)
        tabulate("COS_TAIL", cos_tail, octant, terms(6, 3), dtype, weight=weight)
        tabulate("SINH_TAIL", sinh, small, terms(5, 3), dtype, weight=sinh_weight)
        tabulate("COSH_TAIL", cosh_tail, small, terms(6, 3), dtype, weight=lambda z: z)
        until_one = (NOT_ZERO, mpf(1))
        tabulate("ATAN_TAIL", arctangent, until_one, terms(20, 9), dtype, weight=arctangent_weight)
        quarter = (NOT_ZERO, mpf("0.25"))
        tabulate("ASIN_TAIL", arcsine, quarter, terms(12, 5), dtype, weight=arcsine_weight)
        at_zero = 1 / (2 * mp.sqrt(mp.pi))
        first = float(dtype(float(at_zero)))
        print(f"ERF_ROOT_FIRST: {first!r}")
        left = float(dtype(float(at_zero - first)))
        how = {"weight": weight_in_erf, "fixed": {0: left}, "exact_leading": terms(3, 8)}
        until = (NOT_ZERO, mpf("3.9" if single else "5.9"))
        tabulate(
            "ERF_ROOT_REST", lambda a, f=first: erf_root(a) - f, until, terms(26, 10), dtype, **how
        )
        centre, last = (mpf(2), mpf("10.1")) if single else (mpf(4), mpf(28))
        interval = (mpf(-1), (last - centre) / (last + centre))
        tabulate("ERFCX", scaled_erfcx(centre), interval, terms(22, 10), dtype)
        how = {"argument": lambda w: w - mpf("3.125")}
        central = (NOT_ZERO, mpf("5.84"))
        tabulate("ERFINV_CENTRAL", erfinv_of_w, central, terms(24, 11), dtype, **how)
        near_two = (-HALF * mpf("1.001"), HALF * mpf("1.001"))
        tabulate("LGAMMA_NEAR_TWO", lgamma_near_two, near_two, terms(18, 9), dtype)
        how = {"weight": mp.sqrt}
        tabulate("STIRLING_TAIL", stirling_rest, far, terms(6, 2), dtype, **how)
        tabulate("DIGAMMA_TAIL", digamma_rest, far, terms(7, 2), dtype, weight=lambda w: w)
        how = {"argument": lambda z: z - mpf("1.5")}
        interval = (mpf("0.999"), mpf("2.001"))
        tabulate("DIGAMMA_NEAR_ROOT", digamma_near_root, interval, terms(22, 10), dtype, **how)
    tabulate("TAN_TAIL", tangent, octant, 7, SINGLE, weight=tangent_weight)
    tabulate("ATANH_TAIL", atanh_tail, (NOT_ZERO, s * s), 7, DOUBLE, weight=lambda z: z**2)
    how = {"weight": relative(lambda f: mp.log(1 + f), 2), "fixed": {0: -0.5}}
    tabulate("LOG_TAIL", log_tail, fraction, 9, SINGLE, **how)
    until = (NOT_ZERO, s * s)
    how = {"weight": lambda z: z / 2 * mp.log(2)}
    tabulate("LOG2_TAIL", lambda z: twice_atanh_tail(z) / mp.log(2), until, 4, SINGLE, **how)
    how = {"argument": lambda t: t - mpf("0.299")}
    tabulate("ERFINV_TAIL", erfinv_tail, (mpf("0.1664"), mpf("0.432")), 14, DOUBLE, **how)


if __name__ == "__main__":
    main()
