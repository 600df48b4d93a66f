"""Random numbers: one generator for the process, so that one seed settles all of them.

A trace records that numbers are drawn, not which: a compiled function draws fresh ones at every
call, the same as the plain function after the same `manual_seed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import active_trace, box
from jitgrad.core.dtypes import as_dtype, float64, get_default_dtype, int64, result_dtype
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import External, Primitive, Sample, none, register
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import broadcast_shapes
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import add, div, mul
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import check_floating, finish, floating_or_default, shape_of_size

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class Generator:
    """A sequence of random numbers of one's own, which several threads may draw from.

    It begins where nobody can foresee, unless `manual_seed` is called.

    Examples
    --------
    >>> import jitgrad
    >>> generator = jitgrad.Generator().manual_seed(5)
    >>> a = jitgrad.rand(3, generator=generator)
    >>> b = jitgrad.rand(3, generator=jitgrad.Generator().manual_seed(5))
    >>> bool((a == b).all())
    True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # NumPy's, made when first needed.
        self._generator: np.random.Generator | None = None
        self._seed = 0

    def __repr__(self) -> str:
        return f"<jitgrad.Generator at {id(self):#x}>"

    def manual_seed(self, seed: int) -> Generator:
        """Begin the sequence that belongs to `seed`, and return the generator."""
        self.restart(seed)
        return self

    def seed(self) -> int:
        """Begin a sequence that nobody can foresee, and return its seed."""
        return self.restart(None)

    def initial_seed(self) -> int:
        """Return the seed that the sequence began with."""
        if self._generator is None:
            self.restart(None)
        return self._seed

    def restart(self, seed: int | None) -> int:
        """Begin the sequence that belongs to `seed`, one from the system for None; return it."""
        trace = active_trace()
        if trace is not None:
            trace.refuse("it sets the seed of the random numbers")
        sequence = np.random.SeedSequence(seed)
        entropy = sequence.entropy
        with self._lock:
            self._generator = np.random.Generator(np.random.Philox(sequence))
        assert isinstance(entropy, int)
        self._seed = entropy
        return entropy

    def draw(self, how: Callable[[np.random.Generator], Any]) -> Any:
        """Return what `how` draws from the generator, as no other thread does at the time."""
        if self._generator is None:
            self.restart(None)
        with self._lock:
            assert self._generator is not None
            return np.asarray(how(self._generator))

    def state(self) -> Any:
        """Return the generator's state; None before the first draw."""
        with self._lock:
            return None if self._generator is None else self._generator.bit_generator.state

    def restore(self, state: Any) -> None:
        """Put the generator back into a state; None leaves it as it is."""
        with self._lock:
            if state is not None and self._generator is not None:
                self._generator.bit_generator.state = state


_source = Generator()


@public(method=False)
def manual_seed(seed: int) -> None:
    """Begin the sequence of random numbers that belongs to `seed`.

    Parameters
    ----------
    seed : int
        Any integer.
    """
    number = int(seed)
    # Negative seeds are other sequences than positive ones.
    _source.restart(number if number >= 0 else (-number << 64) + 1)


def generator_state() -> Any:
    """Return the state of the process's generator, for `set_generator_state`."""
    return _source.state()


def set_generator_state(state: Any) -> None:
    """Put the process's generator back into a state of `generator_state`."""
    _source.restore(state)


@public(method=False)
def seed() -> int:
    """Begin a sequence of random numbers that nobody can foresee.

    Returns
    -------
    int
        The seed, with which `manual_seed` begins the same sequence.
    """
    return _source.restart(None)


def _drawn(
    name: str, eager: Callable[..., Any], infer: Callable[..., Spec], doc: str, *params: Any
) -> Primitive:
    return register(
        Primitive(
            name,
            (),
            eager=eager,
            infer=infer,
            derivative=none("it has no inputs"),
            lowering=External(),
            samples=lambda rng: [Sample((), {**p, "source": _source}) for p in params],
            doc=doc,
            grad_name="",
            impure=True,
        )
    )


random_uniform = _drawn(
    "random_uniform",
    lambda shape, dtype, source: source.draw(lambda g: g.random(shape, dtype=dtype)),
    lambda shape, dtype, source: Spec(shape, dtype),
    "Random numbers, equally likely anywhere from 0 to 1.",
    {"shape": (2, 3), "dtype": float64},
    {"shape": (), "dtype": float64},
)

random_normal = _drawn(
    "random_normal",
    lambda shape, dtype, source: source.draw(lambda g: g.standard_normal(shape, dtype=dtype)),
    lambda shape, dtype, source: Spec(shape, dtype),
    "Random numbers with the standard normal distribution.",
    {"shape": (2, 3), "dtype": float64},
    {"shape": (0,), "dtype": float64},
)

random_exponential = _drawn(
    "random_exponential",
    lambda shape, dtype, source: source.draw(lambda g: g.standard_exponential(shape, dtype=dtype)),
    lambda shape, dtype, source: Spec(shape, dtype),
    "Random numbers with the exponential distribution of mean 1.",
    {"shape": (2, 3), "dtype": float64},
)

random_integers = _drawn(
    "random_integers",
    lambda shape, low, high, dtype, source: source.draw(
        lambda g: g.integers(low, high, shape, dtype=np.int64).astype(dtype)
    ),
    lambda shape, low, high, dtype, source: Spec(shape, dtype),
    "Random integers, equally likely from a lowest one to below a bound.",
    {"shape": (2, 3), "low": -2, "high": 5, "dtype": int64},
)

random_permutation = _drawn(
    "random_permutation",
    lambda count, dtype, source: source.draw(lambda g: g.permutation(count).astype(dtype)),
    lambda count, dtype, source: Spec((count,), dtype),
    "The integers below a bound in random order.",
    {"count": 5, "dtype": int64},
)


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
    drawn = random_uniform(shape=shape, dtype=resolved, source=generator or _source)
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
    drawn = random_normal(shape=shape, dtype=resolved, source=generator or _source)
    return finish(drawn, requires_grad)


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
        shape=shape,
        low=int(low),
        high=int(high),
        dtype=as_dtype(dtype),
        source=generator or _source,
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
    result: Tensor = random_permutation(
        count=count, dtype=as_dtype(dtype), source=generator or _source
    )
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
    result: Tensor = div(
        random_exponential(shape=tuple(x.shape), dtype=x.dtype, source=_source), lambd
    )
    return result
