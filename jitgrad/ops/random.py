"""Random numbers from counters: which ones are drawn follows from two integers, and is repeatable.

A generator is a key and a count of draws. A draw takes the count that is next, the only thing
here that is not a function of its inputs; the numbers are a function of key and count. So a
compiled function draws the same numbers as the plain one after the same `manual_seed`, fresh ones
at every call, and a derivative computes them again instead of keeping them.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as
   1, 2, 3, Proc. SC11 (2011). The function is their Philox 4x64 with 10 rounds.
.. [2] G. E. P. Box, M. E. Muller, A note on the generation of random normal deviates, Ann. Math.
   Stat. 29 (1958), 610-611.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import as_dtype, float32, float64, get_default_dtype, int64, result_dtype
from jitgrad.core.errors import ArgumentError
from jitgrad.core.philox import philox
from jitgrad.core.primitive import (
    Call,
    External,
    Lowering,
    Primitive,
    Sample,
    Template,
    none,
    register,
)
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import broadcast_shapes
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import add, div, mul, neg
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import check_floating, finish, floating_or_default, shape_of_size
from jitgrad.ops.exponential import log1p
from jitgrad.ops.families import elementwise
from jitgrad.ops.generators import Generator, next_draw

Array = np.ndarray[Any, Any]

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _drawn(
    name: str,
    eager: Callable[..., Any],
    infer: Callable[..., Spec],
    lowering: Lowering,
    doc: str,
    *params: Any,
) -> Primitive:
    return register(
        Primitive(
            name,
            ("key", "number"),
            eager=eager,
            infer=lambda key, number, **params: infer(**params),
            derivative=none("its inputs are whole numbers"),
            lowering=lowering,
            samples=lambda rng: [Sample((np.asarray(-7), np.asarray(3)), p) for p in params],
            doc=doc,
            grad_name="",
        )
    )


random_uniform = _drawn(
    "random_uniform",
    lambda key, number, shape, dtype, stream: np.asarray(
        philox(key, number, stream).random(shape, dtype=dtype)
    ),
    lambda shape, dtype, stream: Spec(shape, dtype),
    # Computed again rather than kept: masks of dropout take no memory.
    Call("fill_uniform", lambda shape, dtype, stream: (stream,), cost=5),
    "Random numbers, equally likely anywhere from 0 to 1, that belong to a key and a number.",
    {"shape": (2, 3), "dtype": float64, "stream": 0},
    {"shape": (19,), "dtype": float32, "stream": 0},
    {"shape": (), "dtype": float64, "stream": 1},
    {"shape": (0,), "dtype": float64, "stream": 1},
)

random_integers = _drawn(
    "random_integers",
    lambda key, number, shape, low, high, dtype: np.asarray(
        philox(key, number, 0).integers(low, high, shape, dtype=np.int64)
    ).astype(dtype),
    lambda shape, low, high, dtype: Spec(shape, dtype),
    External(),
    "Random integers, equally likely from a lowest one to below a bound.",
    {"shape": (2, 3), "low": -2, "high": 5, "dtype": int64},
)

random_permutation = _drawn(
    "random_permutation",
    lambda key, number, count, dtype: philox(key, number, 0).permutation(count).astype(dtype),
    lambda count, dtype: Spec((count,), dtype),
    External(),
    "The integers below a bound in random order.",
    {"count": 5, "dtype": int64},
)


def _box_muller(u: Array, v: Array) -> Array:
    radius = np.empty(np.broadcast(u, v).shape, u.dtype)
    # In place: fresh memory would take longer than the arithmetic.
    np.subtract(1.0, u, out=radius)
    np.log(radius, out=radius)
    np.multiply(-2.0, radius, out=radius)
    np.sqrt(radius, out=radius)
    angle = np.multiply(2.0 * np.pi, v, out=np.empty_like(radius))
    np.cos(angle, out=angle)
    return np.multiply(radius, angle, out=radius)


random_normal = elementwise(
    "random_normal",
    eager=_box_muller,
    derivative=none("it makes random numbers of random numbers"),
    template=Template("sqrt(-2.0 * log(1.0 - {u})) * cos(6.283185307179586 * {v})", cost=30),
    inputs=("u", "v"),
    samples=lambda rng: [Sample((rng.random((2, 3)), rng.random((2, 3))))],
    method=False,
    inplace=False,
    published=False,
    doc="Normally distributed numbers of two independent ones that are uniform from 0 to 1.",
)


def _uniform(shape: Any, dtype: Any, source: Generator | None, streams: int = 1) -> Any:
    """Return arrays of numbers from 0 to 1, `streams` independent ones, as one draw."""
    key, number = next_draw(source)
    return [random_uniform(key, number, shape=shape, dtype=dtype, stream=k) for k in range(streams)]


def _standard_normal(shape: Any, dtype: Any, source: Generator | None) -> Any:
    return random_normal(*_uniform(shape, dtype, source, streams=2))


@public(method=False)
def rand(
    *size: Any,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Return random numbers that are equally likely anywhere from 0 to 1.

    Parameters
    ----------
    *size : int, or one tuple of int
        The shape.
    dtype : dtype_like, optional
        Floating; the default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor
        Values from 0 (included) to 1 (excluded).
    """
    resolved = floating_or_default(dtype)
    check_floating("rand", resolved)
    shape = shape_of_size("rand", size)
    (drawn,) = _uniform(shape, resolved, generator)
    return finish(drawn, requires_grad)


@public(method=False)
def randn(
    *size: Any,
    dtype: npt.DTypeLike | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Return random numbers with the standard normal distribution.

    Parameters
    ----------
    *size : int, or one tuple of int
        The shape.
    dtype : dtype_like, optional
        Floating; the default dtype where not given.
    requires_grad : bool
        Whether operations on it are recorded.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor
        Mean 0, standard deviation 1.
    """
    resolved = floating_or_default(dtype)
    check_floating("randn", resolved)
    shape = shape_of_size("randn", size)
    return finish(_standard_normal(shape, resolved, generator), requires_grad)


@public(method=False)
def rand_like(
    x: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return random numbers as of `rand`, in the shape and dtype of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype_like, optional
        That of `x` where not given; floating.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    like = box(x)
    chosen = like.dtype if dtype is None else dtype
    return rand(tuple(like.shape), dtype=chosen, requires_grad=requires_grad)


@public(method=False)
def randn_like(
    x: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return random numbers as of `randn`, in the shape and dtype of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dtype : dtype_like, optional
        That of `x` where not given; floating.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    like = box(x)
    chosen = like.dtype if dtype is None else dtype
    return randn(tuple(like.shape), dtype=chosen, requires_grad=requires_grad)


@public(method=False)
def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    dtype: npt.DTypeLike = np.int64,
    generator: Generator | None = None,
) -> Tensor:
    """Return random integers, equally likely from `low` to ``high - 1``.

    Parameters
    ----------
    low : int
        Lowest value; 0 in the form ``randint(high, size)``.
    high : int
        Bound that is never reached.
    size : int or tuple of int
        The shape.
    dtype : dtype_like
        Of the result.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor
        Integers, unless `dtype` says otherwise.

    Raises
    ------
    ArgumentError
        If there is no integer from `low` to below `high`, or no size is given.
    """
    if size is None:
        low, high, size = 0, low, high
    if size is None or high is None:
        raise ArgumentError("randint: the size is missing", do="write randint(low, high, size)")
    shape = shape_of_size("randint", (size,))
    if not low < high:
        raise ArgumentError(
            f"randint: there is no integer from {low} to below {high}",
            why="low must be less than high",
        )
    result: Tensor = random_integers(
        *next_draw(generator),
        shape=shape,
        low=int(low),
        high=int(high),
        dtype=as_dtype(dtype),
    )
    return result


@public(method=False)
def randperm(
    n: int, *, dtype: npt.DTypeLike = np.int64, generator: Generator | None = None
) -> Tensor:
    """Return the integers from 0 to ``n - 1`` in random order.

    Parameters
    ----------
    n : int
        How many.
    dtype : dtype_like
        Of the result.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor, shape (n,)
        A permutation.
    """
    (count,) = shape_of_size("randperm", (n,))
    ticket = next_draw(generator)
    result: Tensor = random_permutation(*ticket, count=count, dtype=as_dtype(dtype))
    return result


@public(method=False)
def normal(
    mean: ArrayLike,
    std: ArrayLike = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Return random numbers with a normal distribution.

    Parameters
    ----------
    mean, std : number or array_like
        Mean and standard deviation; shapes that broadcast. Gradients reach both.
    size : int or tuple of int, optional
        The shape, to which `mean` and `std` broadcast; their common shape where not given.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor
        ``mean + std * randn(...)``.
    """
    middle, spread = box(mean), box(std)
    shapes = (tuple(middle.shape), tuple(spread.shape))
    shape = (
        broadcast_shapes("normal", *shapes) if size is None else shape_of_size("normal", (size,))
    )
    given = [(value.dtype, value.ndim, False) for value in (middle, spread)]
    dtype = result_dtype([*given, (get_default_dtype(), 0, True)])
    result: Tensor = add(mul(randn(shape, dtype=dtype, generator=generator), spread), middle)
    return result


@public()
def bernoulli(p: ArrayLike, *, generator: Generator | None = None) -> Tensor:
    """Return ones and zeros: a one with the probability that `p` gives for that element.

    Parameters
    ----------
    p : array_like, floating
        Probabilities, from 0 to 1.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor, shape and dtype of `p`
        No gradient passes through.
    """
    from jitgrad.ops.comparison import lt

    probability = box(p)
    check_floating("bernoulli", probability.dtype)
    shape = tuple(probability.shape)
    chance = rand(shape, dtype=probability.dtype, generator=generator)
    result: Tensor = convert(lt(chance, probability), probability.dtype)
    return result


# -- in place: x.uniform_(), x.normal_() and their kin -----------------------------------------


@public(inplace=True, namespace="Tensor")
def uniform(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return random numbers from `low` to `high`, in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor, floating
        Gives shape and dtype.
    low, high : float
        Bounds.

    Returns
    -------
    Tensor
        Equally likely anywhere between the bounds.
    """
    result: Tensor = add(mul(rand_like(x), high - low), low)
    return result


def normal_values(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Return random numbers with a normal distribution, in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor, floating
        Gives shape and dtype.
    mean, std : float
        Mean and standard deviation.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.
    """
    result: Tensor = add(mul(randn_like(x), std), mean)
    return result


publish(normal_values, "normal", inplace=True, namespace="Tensor")


@public(inplace=True, namespace="Tensor")
def exponential(x: Tensor, lambd: float = 1.0) -> Tensor:
    """Return random numbers with an exponential distribution, in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor, floating
        Gives shape and dtype.
    lambd : float
        Rate: one divided by the mean.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.
    """
    check_floating("exponential", x.dtype)
    (drawn,) = _uniform(tuple(x.shape), x.dtype, None)
    result: Tensor = div(log1p(neg(drawn)), -lambd)
    return result
