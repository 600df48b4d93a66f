"""Checks for tests: gradients against finite differences, values against expected ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.core.dtypes import float64, is_floating
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import flatten, unflatten
from jitgrad.tensor.backward import gradients_of
from jitgrad.tensor.modes import enable_grad, no_grad
from jitgrad.tensor.tensor import Tensor, box_tensor, make_tensor

__all__ = ["assert_close", "check_grads"]

Array = np.ndarray[Any, Any]
TensorFunction = Callable[[list[Tensor]], list[Tensor]]

# Where truncation and rounding of a central difference balance: the cube root of the precision.
_STEP = 6e-6
# Inputs with more elements are checked along this many random directions instead.
_MOST_ELEMENTS = 100
_DIRECTIONS = 20
_TOLERANCES = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def check_grads(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("rev",),
    *,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    eps: float = _STEP,
) -> None:
    """Check the gradient of a function against finite differences, in float64.

    Parameters
    ----------
    function : callable
        Takes `inputs`; returns a Tensor, or Tensors nested in tuples, lists and dicts. It must
        give the same result each time.
    inputs : sequence
        Arguments: Tensors, arrays, numbers, nested in any way. Floating ones are converted to
        float64 and differentiated with respect to, all others are constants.
    order : int
        Up to which order derivatives are checked.
    modes : sequence of str
        ``"rev"``, reverse mode.
    atol, rtol : float
        How far a derivative may be from the finite difference: ``atol + rtol * d``, where ``d`` is
        the largest derivative with respect to that input.
    eps : float
        Step of the differences, relative to elements above 1.

    Raises
    ------
    AssertionError
        If a derivative is wrong; names the input and the element.
    ArgumentError
        If there is nothing to differentiate with respect to.
    """
    if order < 1 or any(mode != "rev" for mode in modes):
        raise ArgumentError(
            f"check_grads: order {order} in modes {tuple(modes)} can't be checked",
            why="orders begin at 1; the mode is 'rev'",
        )
    wrapped, leaves = _with_leaves(function, inputs)
    step = _Tolerance(atol, rtol, eps)
    _check_order(wrapped, leaves, 1, order, step)


@dataclass(frozen=True, slots=True)
class _Tolerance:
    atol: float
    rtol: float
    eps: float


def _with_leaves(
    function: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[TensorFunction, list[Array]]:
    """Return `function` as one of its floating inputs, from list to list, and these inputs."""
    flat, tree = flatten(tuple(inputs))
    places = [place for place, leaf in enumerate(flat) if _is_differentiable(leaf)]
    if not places:
        raise ArgumentError(
            "check_grads: none of the inputs is floating",
            why="there is nothing to differentiate with respect to",
        )
    arrays = [np.array(box_tensor(flat[place]).detach().numpy(), float64) for place in places]

    def of_leaves(values: list[Tensor]) -> list[Tensor]:
        arguments = list(flat)
        for place, value in zip(places, values, strict=True):
            arguments[place] = value
        result, _ = flatten(function(*unflatten(tree, arguments)))
        return [r for r in result if isinstance(r, Tensor) and is_floating(r.dtype)]

    return of_leaves, arrays


def _is_differentiable(leaf: Any) -> bool:
    if isinstance(leaf, (Tensor, np.ndarray, np.generic)):
        return leaf.dtype.kind == "f"
    return isinstance(leaf, float)


def _check_order(
    function: TensorFunction, inputs: list[Array], order: int, last: int, tolerance: _Tolerance
) -> None:
    with no_grad():
        outputs = function([make_tensor(x.copy()) for x in inputs])
    rng = np.random.default_rng(order)
    cts = [rng.uniform(0.5, 1.5, ct.shape) * rng.choice([-1, 1], ct.shape) for ct in outputs]
    cts = [np.asarray(ct) for ct in cts]
    _check_first_order(function, inputs, cts, order, tolerance, rng)
    if order < last and outputs:
        of_gradient = _gradient_of(function, len(inputs))
        _check_order(of_gradient, [*inputs, *cts], order + 1, last, tolerance)


def _check_first_order(
    function: TensorFunction,
    inputs: list[Array],
    cts: list[Array],
    order: int,
    tolerance: _Tolerance,
    rng: np.random.Generator,
) -> None:
    with enable_grad():
        leaves = [make_tensor(x.copy()).requires_grad_() for x in inputs]
        gradients = _gradients(function(leaves), leaves, [make_tensor(ct) for ct in cts], False)
    for number, gradient in enumerate(gradients):
        found = gradient.detach().numpy()
        wrong = _compare(function, inputs, cts, number, found, tolerance, rng)
        if wrong:
            kind = "gradient" if order == 1 else f"derivative of order {order}"
            raise AssertionError(f"{kind} with respect to input number {number}: {wrong}")


def _gradients(
    outputs: list[Tensor], inputs: list[Tensor], cts: list[Tensor], create_graph: bool
) -> list[Tensor]:
    """Return gradients, zeros for inputs that the outputs do not depend on."""
    pairs = [(y, ct) for y, ct in zip(outputs, cts, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        found = gradients_of(
            [y for y, _ in pairs],
            inputs,
            [ct for _, ct in pairs],
            retain_graph=create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    return [Tensor.zeros_of(x.spec) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _gradient_of(function: TensorFunction, count: int) -> TensorFunction:
    """Return the function of inputs and cotangents that gives the gradients of `function`."""

    def gradient(values: list[Tensor]) -> list[Tensor]:
        recorded = any(value.requires_grad for value in values)
        with enable_grad():
            inputs = [v if recorded else v.detach().requires_grad_() for v in values[:count]]
            return _gradients(function(inputs), inputs, values[count:], recorded)

    return gradient


def _compare(
    function: TensorFunction,
    inputs: list[Array],
    cts: list[Array],
    number: int,
    gradient: Array,
    tolerance: _Tolerance,
    rng: np.random.Generator,
) -> str:
    """Return what is wrong with the gradient with respect to one input, or nothing."""
    x = inputs[number]
    if gradient.shape != x.shape:
        return f"it has shape {gradient.shape}, the input {x.shape}"
    steps = tolerance.eps * np.maximum(1.0, np.abs(x))
    allowed = tolerance.atol + tolerance.rtol * np.max(np.abs(gradient), initial=0.0)
    if not math.isfinite(allowed):
        return f"it is not finite: {gradient}"
    for label, change in _changes(steps, rng):
        numeric = _difference(function, inputs, cts, number, change)
        analytic = float(np.sum(gradient * change))
        size = float(np.max(np.abs(change)))
        if not abs(numeric - analytic) <= allowed * size * math.sqrt(np.count_nonzero(change)):
            return (
                f"{label} the rule gives {analytic / size:.9g},"
                f" finite differences give {numeric / size:.9g}"
            )
    return ""


def _changes(steps: Array, rng: np.random.Generator) -> list[tuple[str, Array]]:
    """Return changes of an input: of each element alone, or in random directions."""
    if steps.size > _MOST_ELEMENTS:
        signs = [rng.choice([-1, 1], steps.shape) for _ in range(_DIRECTIONS)]
        return [("in a random direction", steps * sign) for sign in signs]
    changes = []
    for place in np.ndindex(steps.shape):
        change = np.zeros_like(steps)
        change[place] = steps[place]
        shown = tuple(map(int, place))
        changes.append((f"at element {shown}", change))
    return changes


def _difference(
    function: TensorFunction,
    inputs: list[Array],
    cts: list[Array],
    number: int,
    change: Array,
) -> float:
    """Return half the change of the outputs, weighted by `cts`, from one side to the other."""
    sides = []
    for side in map(np.asarray, (inputs[number] + change, inputs[number] - change)):
        arguments = [side if k == number else x.copy() for k, x in enumerate(inputs)]
        with no_grad():
            sides.append([y.numpy() for y in function([make_tensor(a) for a in arguments])])
    ups, downs = sides
    weighted = (ct * (up - down) for ct, up, down in zip(cts, ups, downs, strict=True))
    return sum(float(np.sum(w, dtype=float64)) for w in weighted) / 2


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
) -> None:
    """Check that two values are equal within tolerances, and of the same shape and dtype.

    Parameters
    ----------
    actual, expected : Tensor, array or number, or these nested in tuples, lists and dicts
        An element is close where ``|actual - expected| <= atol + rtol * |expected|``.
    rtol, atol : float, optional
        Given together. By default 1.3e-6 and 1e-5 for float32, 1e-7 and 1e-7 for float64, of the
        less precise one where they differ; integers and booleans must be equal.
    equal_nan : bool
        Whether nan is close to nan.
    check_dtype : bool
        Whether the dtypes must be the same.

    Raises
    ------
    AssertionError
        If they are not close; says where they are furthest apart.
    ArgumentError
        If only one of the tolerances is given.
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError("assert_close: rtol and atol must be given together")
    pairs = list(_pairs(actual, expected))
    for number, (a, b) in enumerate(pairs):
        x, y = (np.asarray(box_tensor(value).detach().numpy()) for value in (a, b))
        wrong = _not_close(x, y, rtol, atol, equal_nan, check_dtype)
        if wrong:
            place = f"value number {number}: " if len(pairs) > 1 else ""
            raise AssertionError(place + wrong)


def _pairs(actual: Any, expected: Any) -> Iterator[tuple[Any, Any]]:
    """Return the values to compare; an array is compared with a nested list as a whole."""
    if _is_value(actual) or _is_value(expected):
        if actual is None or expected is None:
            raise AssertionError(f"the values are {actual!r} and {expected!r}")
        yield actual, expected
        return
    (actual_items, actual_keys), (expected_items, expected_keys) = map(_items, (actual, expected))
    if actual_keys != expected_keys:
        raise AssertionError("the values are nested in different ways")
    for a, b in zip(actual_items, expected_items, strict=True):
        yield from _pairs(a, b)


def _is_value(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic, bool, int, float))


def _items(value: Any) -> tuple[list[Any], Any]:
    """Return the elements of a container and what must agree about it."""
    if isinstance(value, dict):
        return list(value.values()), list(value)
    if isinstance(value, (tuple, list)):
        return list(value), (isinstance(value, tuple), len(value))
    return [], value


def _not_close(
    x: Array,
    y: Array,
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
    check_dtype: bool,
) -> str:
    if x.shape != y.shape:
        return f"the shapes are {x.shape} and {y.shape}"
    if check_dtype and x.dtype != y.dtype:
        return f"the dtypes are {x.dtype} and {y.dtype}"
    floating = [_TOLERANCES[z.dtype.name] for z in (x, y) if z.dtype.kind == "f"]
    default_rtol, default_atol = max(floating, default=(0.0, 0.0))
    relative = default_rtol if rtol is None else rtol
    absolute = default_atol if atol is None else atol
    close = np.isclose(x, y, rtol=relative, atol=absolute, equal_nan=equal_nan)
    if close.all():
        return ""
    with np.errstate(all="ignore"):
        apart = np.where(close, 0.0, np.abs(x.astype(float64) - y.astype(float64)))
    apart = np.where(np.isnan(apart), np.inf, apart)
    place = tuple(map(int, np.unravel_index(int(np.argmax(apart)), x.shape)))
    return (
        f"{np.count_nonzero(~close)} of {x.size} elements are not close;"
        f" furthest apart at {place}: {x[place]} and {y[place]}"
    )
