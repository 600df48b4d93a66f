"""What gradients are where the mathematics leaves a choice: the conventions, as one table.

Every function takes the library as its first argument, so that the table can be run with PyTorch
in place of jitgrad; `DEVIATIONS` lists the rows where we do otherwise on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NAN, INF = math.nan, math.inf


@dataclass(frozen=True)
class Kink:
    """A point, and the gradient of the sum of a function's values there, for each input."""

    label: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    gradients: tuple[Any, ...]

    def __str__(self) -> str:
        return self.label


def _unary(label: str, function: Callable[..., Any], points: Any, slopes: Any) -> Kink:
    return Kink(label, function, (points,), (slopes,))


def _named(name: str) -> Callable[..., Any]:
    return lambda lib, *args: getattr(lib, name)(*args)


def _functional(name: str) -> Callable[..., Any]:
    return lambda lib, *args: getattr(lib.nn.functional, name)(*args)


_STEPS = [-1.5, -0.5, 0.0, 0.5, 1.0, 2.5]

KINKS = [
    # -- steps and corners ------------------------------------------------------------------
    _unary("abs at zero", _named("abs"), [0.0, -0.0], [0.0, 0.0]),
    *[_unary(f"{name} anywhere", _named(name), _STEPS, [0.0] * 6)
      for name in ("sign", "floor", "ceil", "round", "trunc")],
    _unary("relu at zero", _named("relu"), [0.0, -0.0], [0.0, 0.0]),
    _unary("leaky_relu at zero", _functional("leaky_relu"), [0.0], [0.01]),
    _unary("elu at zero", _functional("elu"), [0.0], [1.0]),
    _unary("softplus at zero", _functional("softplus"), [0.0, 1000.0, -1000.0], [0.5, 1.0, 0.0]),
    _unary("logsigmoid at zero", _functional("logsigmoid"), [0.0, 1e3, -1e3], [0.5, 0.0, 1.0]),
    _unary("clamp at its bounds", lambda lib, x: lib.clamp(x, 0.0, 1.0),
           [-0.5, 0.0, 0.5, 1.0, 1.5, NAN], [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
    Kink("clamp at a Tensor bound", lambda lib, x, b: lib.clamp(x, min=b),
         ([1.0, 0.0], [1.0, 1.0]), ([1.0, 0.0], [0.0, 1.0])),
    Kink("maximum of equals", _named("maximum"), ([1.0], [1.0]), ([0.5], [0.5])),
    Kink("minimum of equals", _named("minimum"), ([1.0], [1.0]), ([0.5], [0.5])),
    Kink("maximum of nan", _named("maximum"), ([NAN], [1.0]), ([1.0], [1.0])),
    Kink("fmax of equals", _named("fmax"), ([1.0], [1.0]), ([1.0], [0.0])),
    Kink("fmin of equals", _named("fmin"), ([1.0], [1.0]), ([1.0], [0.0])),
    Kink("fmax of nan", _named("fmax"), ([NAN], [1.0]), ([0.0], [1.0])),
    # -- extrema over axes --------------------------------------------------------------------
    _unary("max of ties", _named("max"), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
    _unary("min of ties", _named("min"), [1.0, 3.0, 1.0], [0.5, 0.0, 0.5]),
    _unary("amax of ties", lambda lib, x: lib.amax(x, 0), [2.0, 2.0, 1.0], [0.5, 0.5, 0.0]),
    _unary("amin of ties", lambda lib, x: lib.amin(x, 0), [2.0, 2.0, 3.0], [0.5, 0.5, 0.0]),
    _unary("max along an axis, ties", lambda lib, x: lib.max(x, 0).values,
           [1.0, 3.0, 3.0], [0.0, 1.0, 0.0]),
    _unary("min along an axis, ties", lambda lib, x: lib.min(x, 0).values,
           [1.0, 3.0, 1.0], [1.0, 0.0, 0.0]),
    # -- roots, powers, logarithms ------------------------------------------------------------
    _unary("sqrt at zero and below", _named("sqrt"), [0.0, -1.0], [INF, NAN]),
    _unary("rsqrt at zero", _named("rsqrt"), [0.0], [-INF]),
    _unary("cube root at zero", lambda lib, x: x ** (1 / 3), [0.0], [INF]),
    _unary("x**0 at zero", lambda lib, x: x**0, [0.0, 2.0], [0.0, 0.0]),
    _unary("x**0.0 at zero", lambda lib, x: x**0.0, [0.0, 2.0], [0.0, 0.0]),
    _unary("x**0.5 at zero", lambda lib, x: x**0.5, [0.0], [INF]),
    _unary("x**1 at zero", lambda lib, x: x**1, [0.0], [1.0]),
    _unary("x**2 at zero", lambda lib, x: x**2, [0.0], [0.0]),
    _unary("x**3 at zero", lambda lib, x: x**3, [0.0], [0.0]),
    _unary("x**-1 at zero", lambda lib, x: x**-1, [0.0], [-INF]),
    Kink("pow at (0, 0)", _named("pow"), ([0.0], [0.0]), ([0.0], [0.0])),
    Kink("pow at (0, 2)", _named("pow"), ([0.0], [2.0]), ([0.0], [0.0])),
    Kink("pow at (0, -1)", _named("pow"), ([0.0], [-1.0]), ([-INF], [-INF])),
    Kink("pow at (-2, 2)", _named("pow"), ([-2.0], [2.0]), ([-4.0], [NAN])),
    _unary("0 to the power x", lambda lib, x: 0.0**x, [0.0, 2.0], [0.0, 0.0]),
    _unary("log at zero", _named("log"), [0.0], [INF]),
    _unary("log1p at -1", _named("log1p"), [-1.0], [INF]),
    _unary("asin at 1", _named("asin"), [1.0], [INF]),
    _unary("acosh at 1", _named("acosh"), [1.0], [INF]),
    _unary("atanh at 1", _named("atanh"), [1.0], [INF]),
    _unary("logit at zero", _named("logit"), [0.0], [INF]),
    _unary("erfinv at 1", _named("erfinv"), [1.0], [INF]),
    _unary("lgamma at zero", _named("lgamma"), [0.0], [-INF]),
    _unary("digamma at zero", _named("digamma"), [0.0], [INF]),
    _unary("entr at zero", lambda lib, x: lib.special.entr(x), [0.0], [INF]),
    _unary("sinc at zero", _named("sinc"), [0.0], [0.0]),
    Kink("xlogy at (0, 0)", _named("xlogy"), ([0.0], [0.0]), ([0.0], [NAN])),
    _unary("x * log(x) at zero", lambda lib, x: x * lib.log(x), [0.0], [-INF]),
    # -- two arguments ------------------------------------------------------------------------
    Kink("hypot at (0, 0)", _named("hypot"), ([0.0], [0.0]), ([0.0], [0.0])),
    Kink("atan2 at (0, 0)", _named("atan2"), ([0.0], [0.0]), ([0.0], [-0.0])),
    Kink("remainder, also at jumps", _named("remainder"), ([4.0, 5.0, -5.0], [2.0, 2.0, 2.0]),
         ([1.0, 1.0, 1.0], [-2.0, -2.0, 3.0])),
    Kink("floor_divide", _named("floor_divide"), ([5.0], [2.0]), ([0.0], [0.0])),
    Kink("copysign at (0, -1)", _named("copysign"), ([0.0], [-1.0]), ([0.0], [0.0])),
    # -- the side that is not taken -----------------------------------------------------------
    _unary("where(x > 0, log x, 0) at zero", lambda lib, x: lib.where(x > 0, lib.log(x), 0.0),
           [0.0, 2.0], [0.0, 0.5]),
    _unary("where(x > 0, sqrt x, 0) at -1 and 0",
           lambda lib, x: lib.where(x > 0, lib.sqrt(x), 0.0), [-1.0, 0.0, 4.0], [0.0, 0.0, 0.25]),
    _unary("masked_fill(log x, x <= 0)", lambda lib, x: lib.log(x).masked_fill(x <= 0, 0.0),
           [0.0, 2.0], [0.0, 0.5]),
    _unary("nansum of a nan", lambda lib, x: lib.nansum(x), [NAN, 1.0], [0.0, 1.0]),
    _unary("nan_to_num", _named("nan_to_num"), [NAN, INF, 2.0], [0.0, 0.0, 1.0]),
    # -- products and sums of exponentials ----------------------------------------------------
    _unary("prod with one zero", lambda lib, x: lib.prod(x), [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    _unary("prod with two zeros", lambda lib, x: lib.prod(x), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    _unary("cumprod with a zero", lambda lib, x: lib.cumprod(x, 0),
           [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    _unary("logsumexp of -inf", lambda lib, x: lib.logsumexp(x, 0), [-INF, -INF], [NAN, NAN]),
    _unary("logsumexp of inf", lambda lib, x: lib.logsumexp(x, 0), [INF, 0.0], [NAN, 0.0]),
    _unary("softmax of -inf", lambda lib, x: lib.softmax(x, 0)[0], [-INF, -INF], [NAN, NAN]),
    Kink("logaddexp of -inf", _named("logaddexp"), ([-INF], [-INF]), ([NAN], [NAN])),
    _unary("log_softmax with one -inf", lambda lib, x: lib.log_softmax(x, 0)[1],
           [-INF, 0.0], [0.0, 0.0]),
    _unary("std of equal values", lambda lib, x: lib.std(x), [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    _unary("var of equal values", lambda lib, x: lib.var(x), [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    # -- losses -------------------------------------------------------------------------------
    _unary("bce_with_logits, target 1",
           lambda lib, x: lib.nn.functional.binary_cross_entropy_with_logits(
               x, lib.ones_like(x), reduction="sum"),
           [0.0, 1000.0, -1000.0], [-0.5, 0.0, -1.0]),
    _unary("bce of p = 0, target 1",
           lambda lib, p: lib.nn.functional.binary_cross_entropy(
               p, lib.ones_like(p), reduction="sum"),
           [0.0], [-1e12]),
    _unary("gather with an index twice",
           lambda lib, x: lib.gather(x, 0, lib.tensor([1, 1, 0])), [3.0, 4.0], [1.0, 2.0]),
    # -- order --------------------------------------------------------------------------------
    _unary("median of an even number", _named("median"),
           [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 0.0]),
    _unary("median of equal values", _named("median"), [2.0, 2.0, 2.0, 2.0], [0.25] * 4),
    _unary("quantile between two elements", lambda lib, x: lib.quantile(x, 0.5),
           [1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.5, 0.0]),
    _unary("cummax of equal values", lambda lib, x: lib.cummax(x, 0).values,
           [2.0, 2.0, 1.0], [1.0, 2.0, 0.0]),
    _unary("topk of equal values", lambda lib, x: lib.topk(x, 1).values, [1.0, 3.0, 3.0],
           [0.0, 1.0, 0.0]),
    Kink("scatter_reduce, equal largest values",
         lambda lib, x, y: lib.scatter_reduce(x, 0, lib.tensor([0, 0]), y, "amax"),
         ([2.0], [2.0, 1.0]), ([0.5], [0.5, 0.0])),
    _unary("cdist of equal points", lambda lib, x: lib.cdist(x, x), [[1.0, 2.0]], [[0.0, 0.0]]),
    _unary("normalize at zero", lambda lib, x: lib.nn.functional.normalize(x, dim=0),
           [0.0, 0.0], [1e12, 1e12]),
    # -- lines with bends -----------------------------------------------------------------------
    _unary("relu6 at its bends", _functional("relu6"), [0.0, 3.0, 6.0], [0.0, 1.0, 0.0]),
    _unary("hardtanh at its bends", _functional("hardtanh"), [-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]),
    _unary("hardsigmoid at its bends", _functional("hardsigmoid"),
           [-3.0, 0.0, 3.0], [0.0, 1 / 6, 0.0]),
    _unary("softshrink at its bends", _functional("softshrink"),
           [-0.5, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 1.0]),
    _unary("huber loss at its bends",
           lambda lib, x: lib.nn.functional.huber_loss(x, lib.zeros_like(x), reduction="sum"),
           [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]),
    _unary("l1 loss at zero",
           lambda lib, x: lib.nn.functional.l1_loss(x, lib.zeros_like(x), reduction="sum"),
           [0.0], [0.0]),
    _unary("max_pool of equal values",
           lambda lib, x: lib.nn.functional.max_pool1d(x, 2),
           [[[2.0, 2.0, 1.0, 3.0]]], [[[1.0, 0.0, 0.0, 1.0]]]),
    # -- norms and matrices ---------------------------------------------------------------------
    *[_unary(f"norm of order {p} at zero", lambda lib, x, p=p: lib.linalg.vector_norm(x, p),
             [0.0, 0.0], [0.0, 0.0]) for p in (1, 2, 3)],
    _unary("norm of order 1 with a zero", lambda lib, x: lib.linalg.vector_norm(x, 1),
           [0.0, -2.0], [0.0, -1.0]),
    _unary("norm of order inf of ties", lambda lib, x: lib.linalg.vector_norm(x, INF),
           [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
    _unary("Frobenius norm at zero", lambda lib, x: lib.linalg.norm(x, "fro"),
           [[0.0, 0.0]], [[0.0, 0.0]]),
    _unary("det of a singular matrix", lambda lib, x: lib.linalg.det(x),
           [[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
    _unary("eigvalsh of equal values", lambda lib, x: lib.linalg.eigvalsh(x),
           [[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]),
    _unary("dist of equal points", lambda lib, x: lib.dist(x, x.detach()), [1.0, 2.0], [0.0, 0.0]),
    _unary("cosine_similarity at zero",
           lambda lib, x: lib.nn.functional.cosine_similarity(x, lib.ones_like(x), dim=0),
           [0.0, 0.0], [0.5**0.5 * 1e8, 0.5**0.5 * 1e8]),
    # -- elements that are written twice --------------------------------------------------------
    Kink("index_put with an index twice",
         lambda lib, x, v: x.index_put((lib.tensor([0, 0]),), v),
         ([1.0, 2.0], [3.0, 4.0]), ([0.0, 1.0], [0.0, 1.0])),
    Kink("index_put with an index twice, adding",
         lambda lib, x, v: x.index_put((lib.tensor([0, 0]),), v, accumulate=True),
         ([1.0, 2.0], [3.0, 4.0]), ([1.0, 1.0], [1.0, 1.0])),
]  # fmt: skip

# Row to what PyTorch gives instead.
DEVIATIONS = {
    "x * log(x) at zero": "nan; here a cotangent of exactly zero beats an infinite slope",
    "hypot at (0, 0)": "nan",
    "floor_divide": "not implemented",
    "det of a singular matrix": "zero; the gradient is the matrix of cofactors",
    "index_put with an index twice": "both values get the gradient, also the one overwritten",
    "where(x > 0, log x, 0) at zero": "nan: the side that is not taken contributes 0 * inf",
    "where(x > 0, sqrt x, 0) at -1 and 0": "nan: the side that is not taken contributes 0 * inf",
    "masked_fill(log x, x <= 0)": "nan: the side that is not taken contributes 0 * inf",
}
