"""Tensors made from sizes and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import Boxed, box
from jitgrad.core.dtypes import (
    DType,
    as_dtype,
    float64,
    get_default_dtype,
    int64,
    is_floating,
    scalar_dtype,
)
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, ShapeError
from jitgrad.core.extents import as_size
from jitgrad.core.primitive import (
    External,
    Fill,
    Primitive,
    Sample,
    Template,
    none,
    register,
    transposes,
)
from jitgrad.core.public import public, publish
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import broadcasting

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

Number = bool | int | float

full_primitive: Primitive = register(
    Primitive(
        "full",
        (),
        eager=lambda shape, value, dtype: np.full(shape, value, dtype),
        infer=lambda shape, value, dtype: Spec(shape, dtype),
        derivative=none("it has no inputs"),
        lowering=Fill(),
        samples=lambda rng: [
            Sample((), {"shape": shape, "value": 1.5, "dtype": float64})
            for shape in [(), (0,), (2, 3)]
        ],
        doc="An array of one number.",
        grad_name="",
    )
)

arange_primitive: Primitive = register(
    Primitive(
        "arange",
        (),
        eager=lambda start, step, count, dtype: (start + step * np.arange(count)).astype(dtype),
        infer=lambda start, step, count, dtype: Spec((count,), dtype),
        derivative=none("it has no inputs"),
        lowering=External(),
        samples=lambda rng: [
            Sample((), {"start": start, "step": step, "count": count, "dtype": dtype}, label)
            for start, step, count, dtype, label in [
                (0, 1, 4, int64, "integers"),
                (1.5, -0.25, 5, float64, "downwards"),
                (0.0, 1.0, 0, float64, "empty"),
            ]
        ],
        doc="Numbers at equal distances: a start and what follows at a step.",
        grad_name="",
    )
)

linspace_primitive: Primitive = register(
    Primitive(
        "linspace",
        (),
        eager=lambda start, end, count, dtype: np.linspace(start, end, count).astype(dtype),
        infer=lambda start, end, count, dtype: Spec((count,), dtype),
        derivative=none("it has no inputs"),
        lowering=External(),
        samples=lambda rng: [
            Sample((), {"start": 0.0, "end": 1.5, "count": count, "dtype": float64}, f"{count}")
            for count in (0, 1, 5)
        ],
        doc="Numbers at equal distances from a start to an end.",
        grad_name="",
    )
)

eye_primitive: Primitive = register(
    Primitive(
        "eye",
        (),
        eager=lambda rows, columns, dtype: np.eye(rows, columns, dtype=dtype),
        infer=lambda rows, columns, dtype: Spec((rows, columns), dtype),
        derivative=none("it has no inputs"),
        lowering=External(),
        samples=lambda rng: [
            Sample((), {"rows": n, "columns": m, "dtype": float64}, f"{n}x{m}")
            for n, m in [(3, 3), (2, 4), (0, 1)]
        ],
        doc="A matrix with ones on the diagonal and zeros elsewhere.",
        grad_name="",
    )
)

clone_primitive: Primitive = register(
    Primitive(
        "clone",
        ("x",),
        eager=lambda x: np.array(x, order="C"),
        infer=lambda x: Spec(x.shape, x.dtype),
        derivative=transposes(lambda ct: ct),
        lowering=Template("{x}"),
        samples=lambda rng: [
            Sample((rng.uniform(-3, 3, shape),), {}, str(shape)) for shape in [(), (0,), (3, 4)]
        ],
        doc="The same values in memory of their own.",
        grad_name="CloneBackward0",
        batching=broadcasting,
    )
)


def shape_of_size(operation: str, size: tuple[Any, ...]) -> Shape:
    """Return the shape that ``f(2, 3)`` or ``f((2, 3))`` asks for.

    Raises
    ------
    DtypeError
        If a size is no integer.
    ShapeError
        If a size is negative.
    """
    sizes = size[0] if len(size) == 1 and isinstance(size[0], tuple | list) else size
    try:
        shape = tuple([as_size(n) for n in sizes])
    except TypeError:
        raise DtypeError(
            f"{operation}: a size must be an integer", why=f"got {tuple(sizes)!r}"
        ) from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{operation}: the sizes {shape} must not be negative")
    return shape


def floating_or_default(dtype: npt.DTypeLike | None) -> DType:
    """Return `dtype` as a supported dtype, the default one for None."""
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def finish(value: Any, requires_grad: bool) -> Tensor:
    """Return `value`, as a leaf that requires a gradient where that is asked for."""
    result: Tensor = value.requires_grad_() if requires_grad else value
    return result


def _filled(shape: Shape, value: Number, dtype: DType, requires_grad: bool) -> Tensor:
    return finish(full_primitive(shape=shape, value=value, dtype=dtype), requires_grad)


@public(method=False)
def zeros(*size: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return zeros.

    Parameters
    ----------
    *size : int, or one tuple of int
        The shape.
    dtype : dtype_like, optional
        The default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of that shape and dtype.
    """
    return _filled(shape_of_size("zeros", size), 0, floating_or_default(dtype), requires_grad)


@public(method=False)
def ones(*size: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return ones.

    Parameters
    ----------
    *size : int, or one tuple of int
        The shape.
    dtype : dtype_like, optional
        The default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of that shape and dtype.
    """
    return _filled(shape_of_size("ones", size), 1, floating_or_default(dtype), requires_grad)


@public(method=False)
def empty(*size: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Return a Tensor whose values don't matter; they are zeros, so that runs can be repeated.

    Parameters
    ----------
    *size : int, or one tuple of int
        The shape.
    dtype : dtype_like, optional
        The default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of that shape and dtype.
    """
    return _filled(shape_of_size("empty", size), 0, floating_or_default(dtype), requires_grad)


@public(method=False)
def full(
    size: int | tuple[int, ...],
    fill_value: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor filled with one value.

    Parameters
    ----------
    size : int or tuple of int
        The shape.
    fill_value : number or 0-d Tensor
        The value; gradients reach a Tensor.
    dtype : dtype_like, optional
        That of the value where not given: bool, int64, or the default dtype for a float.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of that shape and dtype.
    """
    shape = shape_of_size("full", (size,))
    if isinstance(fill_value, Boxed | np.ndarray):
        from jitgrad.ops.cast import convert
        from jitgrad.ops.shape import broadcast_to

        value = box(fill_value)
        value = value if dtype is None else convert(value, as_dtype(dtype))
        return finish(broadcast_to(value, shape), requires_grad)
    if isinstance(fill_value, np.generic):
        dtype = fill_value.dtype if dtype is None else dtype
        fill_value = fill_value.item()
    if not isinstance(fill_value, bool | int | float):
        raise DtypeError(f"full: the value must be a number, not {type(fill_value).__name__}")
    resolved = scalar_dtype(fill_value) if dtype is None else as_dtype(dtype)
    return _filled(shape, fill_value, resolved, requires_grad)


@public(method=False)
def zeros_like(
    x: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of the shape of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype_like, optional
        That of `x` where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    return full_like(x, 0, dtype=dtype, requires_grad=requires_grad)


@public(method=False)
def ones_like(
    x: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of the shape of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype_like, optional
        That of `x` where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    return full_like(x, 1, dtype=dtype, requires_grad=requires_grad)


@public(method=False)
def empty_like(
    x: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a Tensor of the shape of `x` whose values don't matter: zeros, as of `empty`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype_like, optional
        That of `x` where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    return full_like(x, 0, dtype=dtype, requires_grad=requires_grad)


@public(method=False)
def full_like(
    x: ArrayLike,
    fill_value: Any,
    *,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a Tensor of the shape of `x`, filled with one value.

    Parameters
    ----------
    x : array_like
        Any shape.
    fill_value : number or 0-d Tensor
        The value; gradients reach a Tensor.
    dtype : dtype_like, optional
        That of `x` where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    like = box(x)
    resolved = like.dtype if dtype is None else dtype
    return full(tuple(like.shape), fill_value, dtype=resolved, requires_grad=requires_grad)


@public(method=False)
def eye(
    n: int, m: int | None = None, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a matrix with ones on the diagonal and zeros elsewhere.

    Parameters
    ----------
    n : int
        Number of rows.
    m : int, optional
        Number of columns; `n` where not given.
    dtype : dtype_like, optional
        The default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor, shape (n, m)
        Identity matrix where `m` is `n`.
    """
    rows, columns = shape_of_size("eye", (n, n if m is None else m))
    value = eye_primitive(rows=rows, columns=columns, dtype=floating_or_default(dtype))
    return finish(value, requires_grad)


@public(method=False)
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the numbers from `start` in steps of `step`, up to but not including `end`.

    Parameters
    ----------
    start : number
        First value; 0 where only one number is given, which is then the end.
    end : number
        Bound of the values.
    step : number
        Distance of neighbours, not 0.
    dtype : dtype_like, optional
        Where not given, int64 if all three are integers, else the default dtype.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor, one axis
        ``ceil((end - start) / step)`` values.

    Raises
    ------
    ArgumentError
        If `step` is 0, or leads away from `end`.
    """
    if end is None:
        start, end = 0, start
    first, last, distance = (
        _number("arange", start),
        _number("arange", end),
        _number("arange", step),
    )
    if distance == 0:
        raise ArgumentError("arange: the step is 0")
    count = math.ceil((last - first) / distance)
    if count < 0:
        raise ArgumentError(
            f"arange: no steps of {distance} lead from {first} to {last}",
            why="the sign of the step must be that of end - start",
        )
    whole = all(isinstance(number, int) for number in (first, last, distance))
    resolved = (int64 if whole else get_default_dtype()) if dtype is None else as_dtype(dtype)
    value = arange_primitive(start=first, step=distance, count=count, dtype=resolved)
    return finish(value, requires_grad)


def _number(operation: str, value: Any) -> int | float:
    """Return a Python number for a number, a NumPy scalar or a 0-d Tensor."""
    if isinstance(value, Boxed) and value.requires_grad:  # type: ignore[attr-defined]
        raise GradientError(
            f"{operation}: a bound or step requires a gradient, which the result would not have",
            do=f"compute with {operation} of plain numbers: start + step * arange(n); or detach it",
        )
    if isinstance(value, Boxed | np.generic | np.ndarray):
        value = value.item()  # type: ignore[union-attr]
    if not isinstance(value, int | float):
        raise DtypeError(f"{operation}: {type(value).__name__} is no number")
    return int(value) if isinstance(value, bool) else value


@public(method=False)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers at equal distances from `start` to `end`, both included.

    Parameters
    ----------
    start, end : number or 0-d Tensor
        First and last value; gradients reach a Tensor.
    steps : int
        How many values.
    dtype : dtype_like, optional
        The default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor, shape (steps,)
        Equally spaced.
    """
    (count,) = shape_of_size("linspace", (steps,))
    resolved = floating_or_default(dtype)
    if isinstance(start, Boxed) or isinstance(end, Boxed):
        shares = linspace_primitive(start=0, end=1, count=count, dtype=resolved)
        return finish(box(start) * (1 - shares) + box(end) * shares, requires_grad)
    first, last = _number("linspace", start), _number("linspace", end)
    value = linspace_primitive(start=first, end=last, count=count, dtype=resolved)
    return finish(value, requires_grad)


@public()
def clone(x: ArrayLike) -> Tensor:
    """Return the same values in memory of their own; gradients pass through.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    result: Tensor = clone_primitive(box(x))
    return result


def _new(name: str, function: Callable[..., Any]) -> None:
    """Publish the method ``x.new_zeros(...)``: as `function`, in the dtype of `x` by default."""

    def made(x: Tensor, *args: Any, dtype: npt.DTypeLike | None = None, **kwargs: Any) -> Any:
        return function(*args, dtype=x.dtype if dtype is None else dtype, **kwargs)

    made.__doc__ = f"Return `{name}` of these sizes, in the dtype of this Tensor."
    publish(made, f"new_{name}", namespace="Tensor")


_new("zeros", zeros)
_new("ones", ones)
_new("empty", empty)
_new("full", full)


def check_floating(operation: str, dtype: DType) -> None:
    """Check that random or fractional values fit a dtype.

    Raises
    ------
    DtypeError
        If it is not floating.
    """
    if not is_floating(dtype):
        raise DtypeError(
            f"{operation}: the result can't have dtype {dtype}",
            why="its values are not whole numbers",
            do="ask for float32 or float64",
        )
