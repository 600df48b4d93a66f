"""Time and error of the scalar functions of kernels: ``python -m bench.vector_math --help``.

Every function is called on each element of an array, by a loop that Numba compiles and by NumPy, or
SciPy where NumPy has none. One thread. The errors are those on random numbers, against mpmath.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.timing import interleave
from jitgrad.intrinsics.catalogue import all_intrinsics
from jitgrad.intrinsics.registration import register

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Function:
    """What is measured.

    Parameters
    ----------
    peer : callable
        NumPy's or SciPy's, on arrays.
    true : callable
        mpmath's, on numbers.
    low, high : float
        Where the first argument is from.
    others : tuple of (float, float)
        Where the other arguments are from.
    """

    peer: Callable[..., Any]
    true: Callable[..., Any]
    low: float
    high: float
    others: tuple[tuple[float, float], ...] = ()

    def arguments(self, count: int, dtype: str) -> list[Array]:
        """Return random arguments, the same ones at every call."""
        rng = np.random.default_rng(0)
        intervals = ((self.low, self.high), *self.others)
        return [rng.uniform(*interval, count).astype(dtype) for interval in intervals]


FUNCTIONS = {
    "exp": Function(np.exp, mpmath.exp, -50, 50),
    "exp2": Function(np.exp2, lambda x: mpmath.mpf(2) ** x, -50, 50),
    "expm1": Function(np.expm1, mpmath.expm1, -5, 5),
    "log": Function(np.log, mpmath.log, 0.01, 50),
    "log1p": Function(np.log1p, mpmath.log1p, -0.9, 9),
    "log2": Function(np.log2, lambda x: mpmath.log(x) / mpmath.log(2), 0.01, 50),
    "log10": Function(np.log10, mpmath.log10, 0.01, 50),
    "sigmoid": Function(special.expit, mpmath.sigmoid, -9, 9),
    "softplus": Function(
        lambda x, out: np.logaddexp(x, 0, out=out), lambda x: mpmath.log1p(mpmath.exp(x)), -9, 9
    ),
    "tanh": Function(np.tanh, mpmath.tanh, -4, 4),
    "sinh": Function(np.sinh, mpmath.sinh, -9, 9),
    "cosh": Function(np.cosh, mpmath.cosh, -9, 9),
    "asinh": Function(np.arcsinh, mpmath.asinh, -50, 50),
    "acosh": Function(np.arccosh, mpmath.acosh, 1, 50),
    "atanh": Function(np.arctanh, mpmath.atanh, -1, 1),
    "sin": Function(np.sin, mpmath.sin, -50, 50),
    "cos": Function(np.cos, mpmath.cos, -50, 50),
    "tan": Function(np.tan, mpmath.tan, -50, 50),
    "asin": Function(np.arcsin, mpmath.asin, -1, 1),
    "acos": Function(np.arccos, mpmath.acos, -1, 1),
    "atan": Function(np.arctan, mpmath.atan, -9, 9),
    "atan2": Function(np.arctan2, mpmath.atan2, -9, 9, ((-9, 9),)),
    "hypot": Function(np.hypot, mpmath.hypot, -9, 9, ((-9, 9),)),
    "pow": Function(np.power, mpmath.power, 0.01, 20, ((-9, 9),)),
    "sqrt": Function(np.sqrt, mpmath.sqrt, 0, 50),
    "rsqrt": Function(
        lambda x, out: np.divide(1, np.sqrt(x, out=out), out=out),
        lambda x: 1 / mpmath.sqrt(x),
        0.01,
        50,
    ),
    "cbrt": Function(np.cbrt, lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), -50, 50),
    "erf": Function(special.erf, mpmath.erf, -4, 4),
    "erfc": Function(special.erfc, mpmath.erfc, -4, 8),
    "erfinv": Function(special.erfinv, mpmath.erfinv, -1, 1),
    "lgamma": Function(special.gammaln, mpmath.loggamma, 0.01, 20),
    "digamma": Function(special.digamma, mpmath.digamma, 0.01, 20),
}


@functools.cache
def compiled(name: str, dtype: str) -> Callable[..., None]:
    """Return a compiled loop that calls an intrinsic on each element."""
    import numba

    register()
    twins = {record.name: record.twin for record in all_intrinsics()}
    names = ["x", "y"][: 1 + len(FUNCTIONS[name].others)]
    scope: dict[str, Any] = {name: twins[name]}
    exec(
        f"def kernel({', '.join(names)}, out):\n"
        "    for i in range(out.shape[0]):\n"
        f"        out[i] = {name}({', '.join(f'{n}[i]' for n in names)})\n",
        scope,
    )
    signature = f"void({', '.join([f'{dtype}[::1]'] * (len(names) + 1))})"
    build = numba.njit(signature, nogil=True, error_model="numpy", fastmath={"contract"})
    kernel: Callable[..., None] = build(scope["kernel"])
    return kernel


def error(name: str, dtype: str, count: int) -> float:
    """Return the largest error, in units in the last place of the true values."""
    function = FUNCTIONS[name]
    arguments = function.arguments(count, dtype)
    out = np.empty_like(arguments[0])
    compiled(name, dtype)(*arguments, out)
    worst = 0.0
    rows = zip(*(argument.tolist() for argument in arguments), strict=True)
    with mpmath.workprec(160):
        for value, row in zip(out, rows, strict=True):
            true = function.true(*map(mpmath.mpf, row))
            unit = np.spacing(np.abs(out.dtype.type(true))).item()
            worst = max(worst, float(abs(float(value) - true) / unit))
    return worst


def times(name: str, dtype: str, size: int, rounds: int) -> tuple[float, float]:
    """Return nanoseconds an element, ours and the peer's."""
    function = FUNCTIONS[name]
    arguments = function.arguments(size, dtype)
    out = np.empty_like(arguments[0])
    calls = (
        functools.partial(compiled(name, dtype), *arguments, out),
        functools.partial(function.peer, *arguments, out=out),
    )
    ours, theirs = interleave(calls, rounds, 2e-3)
    return ours.minimum / size * 1e9, theirs.minimum / size * 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.vector_math", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions; all are the default")
    parser.add_argument("--dtypes", nargs="+", default=["float64", "float32"])
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[16_000, 1_000_000], help="elements of an array"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--points", type=int, default=2000, help="numbers that errors are taken of")
    options = parser.parse_args(arguments)
    sizes = "".join(f"{f'{size:,} elements':^24}" for size in options.sizes)
    print(f"{'ns an element':20}{sizes}")
    columns = "".join(f"{'ours':>8}{'NumPy':>8}{'ratio':>7} " for _ in options.sizes)
    print(f"{'':20}{columns}{'max ulp':>8}")
    for name in options.names or FUNCTIONS:
        for dtype in options.dtypes:
            line = f"{name:10}{dtype:10}"
            for size in options.sizes:
                ours, theirs = times(name, dtype, size, options.rounds)
                line += f"{ours:8.2f}{theirs:8.2f}{ours / theirs:7.2f} "
            print(f"{line}{error(name, dtype, options.points):8.2f}", flush=True)


if __name__ == "__main__":
    main()
