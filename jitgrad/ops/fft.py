"""Discrete Fourier transforms; `jitgrad.fft`.

The operations know real arrays only: complex numbers are a last axis of size 2. None of them
divides by anything, so that each is its own transpose but for the sign of the exponent: with
``F[k, j] = exp(-2 pi i k j / n)``, the transpose of the real form of ``F`` is that of its
conjugate.

The public functions take and give `ComplexPair`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import get_default_dtype, is_floating
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.primitive import External, Primitive, Sample, register, transposes
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import mul
from jitgrad.ops.batching import along
from jitgrad.ops.cast import convert
from jitgrad.ops.complex import ComplexPair, as_pair, view_as_complex, view_as_real
from jitgrad.ops.joining import narrow
from jitgrad.ops.naming import shown_as
from jitgrad.ops.repeating import pad, roll

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

Axes = tuple[int, ...]


# -- transforms of arrays ----------------------------------------------------------------------


def _as_complex(z: Any) -> Any:
    """Return an array with a last axis of size 2 as a complex one."""
    kind = np.complex64 if z.dtype == np.float32 else np.complex128
    return np.ascontiguousarray(z).view(kind)[..., 0]


def _as_reals(z: Any, dtype: Any) -> Any:
    return np.ascontiguousarray(z)[..., None].view(dtype)


def _dft_eager(z: Any, axes: Axes, inverse: bool) -> Any:
    from scipy import fft

    transform = fft.ifftn if inverse else fft.fftn
    if not z.size or not axes:
        return z.copy()
    # the norm that divides in the other direction only
    norm: Any = "forward" if inverse else "backward"
    return _as_reals(transform(_as_complex(z), axes=axes, norm=norm), z.dtype)


def _ones_in_the_middle(z: Any, axis: int, size: int, factor: float) -> None:
    """Multiply what stands for two frequencies, ``k`` and ``n - k``, by a factor, in place."""
    z[(*[slice(None)] * axis, slice(1, (size + 1) // 2))] *= z.dtype.type(factor)


def _half_infer(x: Spec, axis: int, doubled: bool) -> Spec:
    shape = list(x.shape)
    shape[axis] = shape[axis] // 2 + 1
    return Spec((*shape, 2), x.dtype)


def _half_eager(x: Any, axis: int, doubled: bool) -> Any:
    from scipy import fft

    z = _as_reals(fft.rfft(x, axis=axis), x.dtype)
    if doubled:
        _ones_in_the_middle(z, axis, x.shape[axis], 2.0)
    return z


def _whole_infer(z: Spec, axis: int, size: int, doubled: bool) -> Spec:
    shape = list(z.shape[:-1])
    shape[axis] = size
    return Spec(tuple(shape), z.dtype)


def _whole_eager(z: Any, axis: int, size: int, doubled: bool) -> Any:
    from scipy import fft

    if not doubled:
        z = z.copy()
        # the library's inverse counts these frequencies twice
        _ones_in_the_middle(z, axis, size, 0.5)
    return fft.irfft(_as_complex(z), size, axis=axis, norm="forward")


_SHAPES: list[tuple[Shape, int]] = [((4,), 0), ((5,), 0), ((1,), 0), ((3, 4), 0), ((2, 5), 1)]


def _dft_samples(rng: np.random.Generator) -> list[Sample]:
    cases: list[tuple[Shape, Axes]] = [
        *[(shape, (axis,)) for shape, axis in _SHAPES], ((2, 3, 4), (0, 2)), ((0, 3), (1,))
    ]  # fmt: skip
    return [
        Sample((rng.uniform(-2, 2, (*shape, 2)),), {"axes": axes, "inverse": inverse})
        for shape, axes in cases
        for inverse in (False, True)
    ]


def _half_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((rng.uniform(-2, 2, shape),), {"axis": axis, "doubled": doubled})
        for shape, axis in _SHAPES
        for doubled in (False, True)
    ]


def _whole_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((rng.uniform(-2, 2, (*half, 2)),), {"axis": a, "size": n, "doubled": doubled})
        for half, a, n in [((3,), 0, 4), ((3,), 0, 5), ((1,), 0, 1), ((2, 3), 1, 4), ((2, 3), 0, 3)]
        for doubled in (False, True)
    ]


dft: Primitive = register(
    Primitive(
        "dft",
        ("z",),
        eager=_dft_eager,
        infer=lambda z, axes, inverse: Spec(z.shape, z.dtype),
        derivative=transposes(lambda ct, axes, inverse: dft(ct, axes=axes, inverse=not inverse)),
        lowering=External(),
        samples=_dft_samples,
        doc="Discrete Fourier transform over axes, not divided by anything.",
        grad_name="FftC2CBackward0",
        batching=along("axes"),
    )
)

half_spectrum: Primitive = register(
    Primitive(
        "rdft",
        ("x",),
        eager=_half_eager,
        infer=_half_infer,
        derivative=transposes(
            lambda ct, x_spec, axis, doubled: whole_signal(
                ct, axis=axis, size=x_spec.shape[axis], doubled=doubled
            )
        ),
        lowering=External(),
        samples=_half_samples,
        doc="Fourier transform of reals, frequencies that are not negative; those that stand for"
        " two may count double.",
        grad_name="FftR2CBackward0",
        batching=along("axis"),
    )
)

whole_signal: Primitive = register(
    Primitive(
        "irdft",
        ("z",),
        eager=_whole_eager,
        infer=_whole_infer,
        derivative=transposes(
            lambda ct, axis, doubled: half_spectrum(ct, axis=axis, doubled=doubled)
        ),
        lowering=External(),
        samples=_whole_samples,
        doc="Real part of the inverse Fourier transform, not divided by anything, of frequencies"
        " that are not negative; those that stand for two may count double.",
        grad_name="FftC2RBackward0",
        batching=along("axis"),
    )
)


# -- arguments ---------------------------------------------------------------------------------


def _floating(x: Any) -> Any:
    value = box(x)
    return value if is_floating(value.dtype) else convert(value, get_default_dtype())


def _scale(operation: str, norm: str | None, inverse: bool, count: int) -> float:
    """Return what a transform is multiplied by, for so many elements."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ArgumentError(
            f"{operation}: there is no norm {norm!r}",
            why="the norms are 'backward', 'ortho' and 'forward'",
        )
    if norm == "ortho":
        return 1.0 / math.sqrt(count)
    return 1.0 / count if inverse == (norm in (None, "backward")) else 1.0


def _scaled(x: Any, factor: float) -> Any:
    return x if factor == 1.0 else mul(x, factor)


def _resized(operation: str, x: Any, axis: int, size: int) -> Any:
    """Return `x` cut, or continued by zeros, to a size along an axis."""
    if size < 1:
        raise ShapeError(f"{operation}: {size} elements along axis {axis} can't be transformed")
    have = x.shape[axis]
    if size <= have:
        return x if size == have else narrow(x, axis, 0, size)
    return pad(x, (*(0, 0) * (x.ndim - 1 - axis), 0, size - have))


def _axes_and_sizes(
    operation: str, ndim: int, s: Any, dim: AxisLike
) -> tuple[list[int], list[int | None]]:
    """Return the axes, in the order in which they are given, and the size of each if it is."""
    if dim is None:
        count = ndim if s is None else len(s)
        axes = list(range(ndim - count, ndim))
    else:
        given = [dim] if isinstance(dim, int) else list(dim)
        axes = [normalize_axis(operation, a, ndim) for a in given]
        normalize_axes(operation, tuple(axes), ndim)
    wanted = [-1] * len(axes) if s is None else list(s)
    sizes = [None if n in (-1, None) else int(n) for n in wanted]
    if len(sizes) != len(axes):
        raise ShapeError(f"{operation}: {len(sizes)} sizes for {len(axes)} axes")
    return axes, sizes


def _complex_transform(
    operation: str, x: Any, s: Any, dim: AxisLike, norm: str | None, inverse: bool
) -> ComplexPair:
    z = as_pair(x)
    parts = view_as_real(ComplexPair(*_same(z)))
    axes, sizes = _axes_and_sizes(operation, parts.ndim - 1, s, dim)
    count = 1
    for axis, size in zip(axes, sizes, strict=True):
        parts = _resized(operation, parts, axis, parts.shape[axis] if size is None else size)
        count *= parts.shape[axis]
    result = dft(parts, axes=tuple(sorted(axes)), inverse=inverse)
    return view_as_complex(_scaled(result, _scale(operation, norm, inverse, count)))


def _same(z: ComplexPair) -> tuple[Any, Any]:
    """Return both parts as floating Tensors of one shape."""
    re = _floating(z.real)
    return re, mul(re, 0.0) if isinstance(z.imag, float) else _floating(z.imag)


def _real_to_half(
    operation: str, x: ArrayLike, s: Any, dim: AxisLike, norm: str | None
) -> ComplexPair:
    value = _floating(x)
    axes, sizes = _axes_and_sizes(operation, value.ndim, s, dim)
    count = 1
    for axis, size in zip(axes, sizes, strict=True):
        value = _resized(operation, value, axis, value.shape[axis] if size is None else size)
        count *= value.shape[axis]
    parts = half_spectrum(value, axis=axes[-1], doubled=False)
    if axes[:-1]:
        parts = dft(parts, axes=tuple(sorted(axes[:-1])), inverse=False)
    return view_as_complex(_scaled(parts, _scale(operation, norm, False, count)))


def _half_to_real(
    operation: str, x: Any, s: Any, dim: AxisLike, norm: str | None, inverse: bool = True
) -> Tensor:
    parts = view_as_real(ComplexPair(*_same(as_pair(x))))
    axes, sizes = _axes_and_sizes(operation, parts.ndim - 1, s, dim)
    last = axes[-1]
    given = sizes[-1]
    count = 2 * (parts.shape[last] - 1) if given is None else given
    if count < 1:
        raise ShapeError(f"{operation}: {count} elements along axis {last} can't be made")
    parts = _resized(operation, parts, last, count // 2 + 1)
    size = count
    for axis, wanted in zip(axes[:-1], sizes[:-1], strict=True):
        parts = _resized(operation, parts, axis, parts.shape[axis] if wanted is None else wanted)
        count *= parts.shape[axis]
    if axes[:-1]:
        parts = dft(parts, axes=tuple(sorted(axes[:-1])), inverse=True)
    result = whole_signal(parts, axis=last, size=size, doubled=True)
    return shown_as("FftC2RBackward0", _scaled(result, _scale(operation, norm, inverse, count)))


# -- public functions --------------------------------------------------------------------------

_NUMPY_DOC = """

    Parameters
    ----------
    {parameters}
    norm : {{"backward", "ortho", "forward"}}, optional
        Whether the inverse transform is divided by the number of elements (as where not given),
        both by its square root, or the other one by the number.

    Returns
    -------
    {returns}

    Raises
    ------
    ShapeError
        If an axis does not exist, or nothing is left to transform.
    ArgumentError
        If there is no such norm."""

_ONE = """n : int, optional
        Cut or continue by zeros to this size first{size}.
    dim : int
        The axis."""
_SEVERAL = """s : tuple of int, optional
        Cut or continue by zeros to these sizes first{size}; -1 leaves a size as it is.
    dim : int or tuple of int, optional
        The axes; {axes}."""
_ALL = "the last ones, as many as `s` has, or all"


def _documented(
    sentence: str, given: str, sizes: str, returns: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a function the docstring that all transforms share."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = f"x : {given}\n    {sizes}"
        function.__doc__ = sentence + _NUMPY_DOC.format(parameters=parameters, returns=returns)
        return public(method=False, namespace="fft")(function)

    return decorate


_COMPLEX = "ComplexPair or array_like\n        Reals, or a pair of real and imaginary parts."
_REAL = "array_like\n        Real numbers."
_HALF = "ComplexPair\n        The frequencies that are not negative."
_PAIR = "ComplexPair\n        Named tuple of the real and imaginary parts."
_PAIR_HALF = (
    "ComplexPair\n        Named tuple of the real and imaginary parts, of the frequencies that"
    " are not\n        negative: of ``n // 2 + 1`` of them."
)
_TENSOR = "Tensor\n        Real."
_EVEN = "; the size of the result,\n        twice that of the input less 2 where not given"


@_documented("Return the Fourier transform.", _COMPLEX, _ONE.format(size=""), _PAIR)
def fft(  # noqa: D103 - the decorator writes it
    x: Any, n: int | None = None, dim: int = -1, norm: str | None = None
) -> ComplexPair:
    return _complex_transform("fft", x, None if n is None else (n,), dim, norm, False)


@_documented("Return the inverse Fourier transform.", _COMPLEX, _ONE.format(size=""), _PAIR)
def ifft(  # noqa: D103 - the decorator writes it
    x: Any, n: int | None = None, dim: int = -1, norm: str | None = None
) -> ComplexPair:
    return _complex_transform("ifft", x, None if n is None else (n,), dim, norm, True)


@_documented("Return the Fourier transform of reals.", _REAL, _ONE.format(size=""), _PAIR_HALF)
def rfft(  # noqa: D103 - the decorator writes it
    x: ArrayLike, n: int | None = None, dim: int = -1, norm: str | None = None
) -> ComplexPair:
    return _real_to_half("rfft", x, None if n is None else (n,), dim, norm)


@_documented("Return the reals of a Fourier transform.", _HALF, _ONE.format(size=_EVEN), _TENSOR)
def irfft(  # noqa: D103 - the decorator writes it
    x: Any, n: int | None = None, dim: int = -1, norm: str | None = None
) -> Tensor:
    return _half_to_real("irfft", x, None if n is None else (n,), dim, norm)


@_documented(
    "Return the Fourier transform of a signal whose values at negative times are conjugate.",
    _HALF, _ONE.format(size=_EVEN), _TENSOR,
)  # fmt: skip
def hfft(  # noqa: D103 - the decorator writes it
    x: Any, n: int | None = None, dim: int = -1, norm: str | None = None
) -> Tensor:
    conjugate = as_pair(x).conj()
    return _half_to_real("hfft", conjugate, None if n is None else (n,), dim, norm, False)


@_documented(
    "Return the signal whose Fourier transform is real: the inverse of `hfft`.",
    _REAL, _ONE.format(size=""), _PAIR_HALF,
)  # fmt: skip
def ihfft(  # noqa: D103 - the decorator writes it
    x: ArrayLike, n: int | None = None, dim: int = -1, norm: str | None = None
) -> ComplexPair:
    opposite = {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)
    return _real_to_half("ihfft", x, None if n is None else (n,), dim, opposite).conj()


def _several(name: str, sentence: str, function: Any, *, two: bool) -> None:
    """Publish the form of a transform over several axes, or over two."""
    halves = "rfft" in name and not name.startswith("i")
    back = "irfft" in name
    default: Any = (-2, -1) if two else None

    def transform(
        x: Any, s: Sequence[int] | None = None, dim: AxisLike = default, norm: str | None = None
    ) -> Any:
        return function(name, x, s, dim, norm)

    transform.__name__ = transform.__qualname__ = name
    axes = "the last two where not given" if two else _ALL
    _documented(
        sentence,
        _HALF if back else _REAL if halves else _COMPLEX,
        _SEVERAL.format(size=", the sizes of the result" if back else "", axes=axes),
        _TENSOR if back else _PAIR_HALF if halves else _PAIR,
    )(transform)


for _suffix, _where in (("2", "over two axes"), ("n", "over several axes")):
    for _name, _sentence, _function in (
        ("fft", "Return the Fourier transform {}.",
         functools.partial(_complex_transform, inverse=False)),
        ("ifft", "Return the inverse Fourier transform {}.",
         functools.partial(_complex_transform, inverse=True)),
        ("rfft", "Return the Fourier transform of reals {}.", _real_to_half),
        ("irfft", "Return the reals of a Fourier transform {}.", _half_to_real),
    ):  # fmt: skip
        _several(f"{_name}{_suffix}", _sentence.format(_where), _function, two=_suffix == "2")


# -- frequencies -------------------------------------------------------------------------------


@public(method=False, namespace="fft")
def fftfreq(n: int, d: float = 1.0, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the frequencies of a Fourier transform, in its order.

    Parameters
    ----------
    n : int
        Number of elements.
    d : float
        Distance of two samples.
    dtype : dtype_like, optional
        The default dtype where not given.

    Returns
    -------
    Tensor, shape (n,)
        In periods per unit of `d`.
    """
    return _frequencies(np.fft.fftfreq(n, d), dtype)


@public(method=False, namespace="fft")
def rfftfreq(n: int, d: float = 1.0, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the frequencies of a Fourier transform of reals.

    Parameters
    ----------
    n : int
        Number of elements of the signal.
    d : float
        Distance of two samples.
    dtype : dtype_like, optional
        The default dtype where not given.

    Returns
    -------
    Tensor, shape (n // 2 + 1,)
        In periods per unit of `d`.
    """
    return _frequencies(np.fft.rfftfreq(n, d), dtype)


def _frequencies(values: Any, dtype: npt.DTypeLike | None) -> Tensor:
    result: Tensor = box(values.astype(get_default_dtype() if dtype is None else dtype))
    return result


@public(method=False, namespace="fft")
def fftshift(x: Any, dim: AxisLike = None) -> Any:
    """Return the elements with the zero frequency moved to the middle.

    Parameters
    ----------
    x : ComplexPair or array_like
        In the order of a Fourier transform.
    dim : int or tuple of int, optional
        The axes; all of them where not given.

    Returns
    -------
    ComplexPair or Tensor
        As `x`.
    """
    return _shifted("fftshift", x, dim, 0)


@public(method=False, namespace="fft")
def ifftshift(x: Any, dim: AxisLike = None) -> Any:
    """Return the elements in the order of a Fourier transform: the inverse of `fftshift`.

    Parameters
    ----------
    x : ComplexPair or array_like
        With the zero frequency in the middle.
    dim : int or tuple of int, optional
        The axes; all of them where not given.

    Returns
    -------
    ComplexPair or Tensor
        As `x`.
    """
    return _shifted("ifftshift", x, dim, 1)


def _shifted(operation: str, x: Any, dim: AxisLike, more: int) -> Any:
    if isinstance(x, ComplexPair):
        return ComplexPair(*[_shifted(operation, part, dim, more) for part in x])
    value = box(x)
    axes = normalize_axes(operation, dim, value.ndim)
    return roll(value, [(value.shape[a] + more) // 2 for a in axes], axes) if axes else value
