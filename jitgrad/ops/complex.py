"""Complex numbers as pairs of real Tensors, until there are complex dtypes."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.errors import ArgumentError, DtypeError
from jitgrad.core.public import public
from jitgrad.ops.arithmetic import add, div, mul, neg, sub
from jitgrad.ops.joining import stack
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import square
from jitgrad.ops.rounding import sign
from jitgrad.ops.selection import select
from jitgrad.ops.slicing import slice_primitive, whole_index
from jitgrad.ops.trigonometric import atan2, cos, hypot, sin

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class ComplexPair(NamedTuple):
    """Complex numbers as two real Tensors of one shape.

    It computes with ``+ - * /``, with other pairs, Tensors, arrays and numbers, complex ones
    included, and with ``abs``; what has its real and imaginary part as results has gradients.

    Parameters
    ----------
    real, imag : Tensor
        The real and the imaginary parts.
    """

    real: Any
    imag: Any

    def conj(self) -> ComplexPair:
        """Return the complex conjugate."""
        return ComplexPair(self.real, neg(self.imag))

    def angle(self) -> Tensor:
        """Return the angle to the positive real axis, in radians, from -pi to pi."""
        result: Tensor = atan2(self.imag, self.real)
        return result

    def abs(self) -> Tensor:
        """Return the magnitude; its gradient at zero is zero."""
        result: Tensor = hypot(self.real, self.imag)
        return result

    def numpy(self) -> Any:
        """Return the numbers as a complex array of NumPy."""
        return self.real.numpy() + 1j * self.imag.numpy()

    def __abs__(self) -> Tensor:
        return self.abs()

    def __neg__(self) -> ComplexPair:
        return ComplexPair(neg(self.real), neg(self.imag))

    def __add__(self, other: Any) -> ComplexPair:
        z = as_pair(other)
        return ComplexPair(add(self.real, z.real), add(self.imag, z.imag))

    def __radd__(self, other: Any) -> ComplexPair:
        result: ComplexPair = self + other
        return result

    def __sub__(self, other: Any) -> ComplexPair:
        z = as_pair(other)
        return ComplexPair(sub(self.real, z.real), sub(self.imag, z.imag))

    def __rsub__(self, other: Any) -> ComplexPair:
        result: ComplexPair = -self + other
        return result

    def __mul__(self, other: Any) -> ComplexPair:
        if _is_real(other):
            return ComplexPair(mul(self.real, other), mul(self.imag, other))
        z = as_pair(other)
        return ComplexPair(
            sub(mul(self.real, z.real), mul(self.imag, z.imag)),
            add(mul(self.real, z.imag), mul(self.imag, z.real)),
        )

    def __rmul__(self, other: Any) -> ComplexPair:
        result: ComplexPair = self * other
        return result

    def __truediv__(self, other: Any) -> ComplexPair:
        if _is_real(other):
            return ComplexPair(div(self.real, other), div(self.imag, other))
        z = as_pair(other)
        quotient: ComplexPair = self * z.conj() / add(square(z.real), square(z.imag))
        return quotient

    def __rtruediv__(self, other: Any) -> ComplexPair:
        result: ComplexPair = as_pair(other) / self
        return result


# NumPy leaves ``array * pair`` to the pair. In the class it would be taken for a field.
setattr(ComplexPair, "__array_ufunc__", None)  # noqa: B010 - unknown to type checkers


def _is_real(value: Any) -> bool:
    if isinstance(value, (ComplexPair, builtins.complex)):
        return False
    return isinstance(value, (Boxed, int, float)) or np.asarray(value).dtype.kind != "c"


def as_pair(value: Any) -> ComplexPair:
    """Return complex numbers of any kind as a pair; the imaginary part of reals is zero."""
    if isinstance(value, ComplexPair):
        return value
    if _is_real(value):
        return ComplexPair(value if isinstance(value, (int, float)) else box(value), 0.0)
    if isinstance(value, builtins.complex):
        return ComplexPair(value.real, value.imag)
    array = np.asarray(value)
    # copies, for the parts are strided and share memory
    return ComplexPair(box(array.real.copy()), box(array.imag.copy()))


# -- functions ---------------------------------------------------------------------------------


@public(method=False)
def complex(real: ArrayLike, imag: ArrayLike) -> ComplexPair:
    """Return complex numbers made of their real and imaginary parts.

    Parameters
    ----------
    real, imag : array_like, floating
        Of one shape and dtype.

    Returns
    -------
    ComplexPair
        Named tuple of the two; there are no complex dtypes.

    Raises
    ------
    ArgumentError
        If the shapes or dtypes differ.
    """
    re, im = box(real), box(imag)
    if tuple(re.shape) != tuple(im.shape) or re.dtype != im.dtype:
        raise ArgumentError(
            f"complex: a real part of {re.dtype} {tuple(re.shape)} and an imaginary part of"
            f" {im.dtype} {tuple(im.shape)}",
            why="shapes and dtypes must be equal",
        )
    return ComplexPair(re, im)


@public(method=False)
def polar(abs: ArrayLike, angle: ArrayLike) -> ComplexPair:
    """Return complex numbers made of their magnitudes and angles.

    Parameters
    ----------
    abs : array_like
        Magnitudes.
    angle : array_like
        In radians.

    Returns
    -------
    ComplexPair
        Named tuple of real and imaginary parts.
    """
    return ComplexPair(mul(abs, cos(angle)), mul(abs, sin(angle)))


@public(method=False)
def real(z: Any) -> Tensor:
    """Return the real part of complex numbers.

    Parameters
    ----------
    z : ComplexPair or array_like
        Reals are returned as they are.

    Returns
    -------
    Tensor
        The real part.
    """
    result: Tensor = z.real if isinstance(z, ComplexPair) else box(z)
    return result


@public(method=False)
def imag(z: Any) -> Tensor:
    """Return the imaginary part of complex numbers.

    Parameters
    ----------
    z : ComplexPair
        Complex numbers.

    Returns
    -------
    Tensor
        The imaginary part.

    Raises
    ------
    DtypeError
        If `z` is real, as in PyTorch.
    """
    if not isinstance(z, ComplexPair):
        raise DtypeError("imag: a real Tensor has no imaginary part")
    result: Tensor = z.imag
    return result


@public("conj_physical", method=False)
def conj(z: Any) -> Any:
    """Return the complex conjugate.

    Parameters
    ----------
    z : ComplexPair or array_like
        Reals are returned as they are.

    Returns
    -------
    ComplexPair or Tensor
        With the imaginary part negated.
    """
    return z.conj() if isinstance(z, ComplexPair) else box(z)


@public(method=False)
def angle(z: Any) -> Tensor:
    """Return the angle of complex numbers to the positive real axis.

    Parameters
    ----------
    z : ComplexPair or array_like
        Complex numbers, or reals.

    Returns
    -------
    Tensor
        In radians; for reals pi where they are negative, 0 elsewhere, and no gradient.
    """
    if isinstance(z, ComplexPair):
        return shown_as("AngleBackward0", z.angle())
    value = box(z)
    zero = mul(value, 0.0)
    result: Tensor = select(value < 0, add(zero, np.pi), zero)
    return result


@public(method=False)
def view_as_real(z: ComplexPair) -> Tensor:
    """Return complex numbers as reals with a last axis of size 2.

    Parameters
    ----------
    z : ComplexPair
        Complex numbers.

    Returns
    -------
    Tensor, shape (..., 2)
        A copy, with real and imaginary parts side by side.
    """
    return stack([z.real, z.imag], -1)


@public(method=False)
def view_as_complex(x: ArrayLike) -> ComplexPair:
    """Return reals with a last axis of size 2 as complex numbers.

    Parameters
    ----------
    x : array_like, shape (..., 2)
        Real and imaginary parts side by side.

    Returns
    -------
    ComplexPair
        Views of the two parts.

    Raises
    ------
    ArgumentError
        If the last axis has another size.
    """
    value = box(x)
    if not value.ndim or value.shape[-1] != 2:
        raise ArgumentError(
            f"view_as_complex: the shape is {tuple(value.shape)}", why="its last size must be 2"
        )
    index = whole_index(tuple(value.shape))[:-1]
    return ComplexPair(
        slice_primitive(value, index=(*index, ("at", 0))),
        slice_primitive(value, index=(*index, ("at", 1))),
    )


@public(method=False)
def sgn(z: Any) -> Any:
    """Return complex numbers divided by their magnitudes, zero where they are zero.

    Parameters
    ----------
    z : ComplexPair or array_like
        Of reals it is the sign.

    Returns
    -------
    ComplexPair or Tensor
        Of magnitude one, or zero.
    """
    if not isinstance(z, ComplexPair):
        return sign(z)
    size = z.abs()
    return z / select(size == 0.0, 1.0, size)
