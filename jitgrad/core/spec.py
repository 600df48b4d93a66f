"""Shape and dtype of a value that is not computed yet."""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.core.dtypes import DType

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a value before it is computed.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the axes; ``()`` for a 0-d value.
    dtype : numpy dtype
        One of the supported dtypes.
    weak : bool
        True for a Python number, which takes part in promotion by its category only.
    """

    shape: Shape
    dtype: DType
    weak: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            # An extent counts as what it is as an int: very long.
            size *= int(extent)
        return size

    def __str__(self) -> str:
        name = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}
        short = name.get(self.dtype.name, self.dtype.name)
        return f"{short}[{', '.join(map(str, self.shape))}]" + ("~" if self.weak else "")


class Count(float):
    """A number that follows from shapes, such as how many elements a mean is taken over.

    It computes like any float and what comes of it is one, too. Kernels take it at run time, so
    that their source serves every size.
    """

    __slots__ = ()

    def __mul__(self, other: float) -> Count:
        return Count(float(self) * other)

    def __truediv__(self, other: float) -> Count:
        return Count(float(self) / other)

    def __rtruediv__(self, other: float) -> Count:
        return Count(other / float(self))

    def __neg__(self) -> Count:
        return Count(-float(self))

    __rmul__ = __mul__
