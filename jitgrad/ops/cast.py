"""Change of dtype, and stopping the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.dtypes import DType, as_dtype, bool_, float32, float64, int32, int64
from jitgrad.core.primitive import (
    IndexMap,
    Primitive,
    Sample,
    Template,
    none,
    register,
    transposes,
)
from jitgrad.core.public import public, publish
from jitgrad.core.spec import Spec
from jitgrad.ops.batching import all_batched, broadcasting

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


def _samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((rng.uniform(-3, 3, shape),), {"dtype": float32}) for shape in [(), (0,), (3, 4)]
    ]


cast: Primitive = register(
    Primitive(
        "cast",
        ("x",),
        eager=lambda x, dtype: np.asarray(x).astype(dtype),
        infer=lambda x, dtype: Spec(x.shape, dtype),
        # The engine casts a cotangent to its input's dtype, so the rule has nothing left to do.
        derivative=transposes(lambda ct: ct),
        lowering=Template("{x}", boolean="{x} != 0"),
        samples=_samples,
        doc="Each element in another dtype.",
        grad_name="ToCopyBackward0",
        batching=broadcasting,
    )
)

stop_gradient: Primitive = register(
    Primitive(
        "stop_gradient",
        ("x",),
        eager=np.asarray,
        infer=lambda x: x,
        derivative=none("it exists to stop gradients"),
        lowering=IndexMap(lambda index, x_spec: index),
        samples=lambda rng: [Sample((rng.uniform(-1, 1, (3, 2)),))],
        doc="The input, as a constant of differentiation.",
        grad_name="",
        view=True,
        write_view=lambda base, part: with_value(base, part),
        batching=broadcasting,
    )
)


with_value: Primitive = register(
    Primitive(
        "with_value",
        ("x", "value"),
        eager=lambda x, value: np.array(value, order="C"),
        infer=lambda x, value: Spec(value.shape, value.dtype),
        derivative=transposes(lambda ct: ct, None),
        lowering=Template("{value}"),
        # Nothing but empty samples: the derivative is not that of the values, and means not to be.
        samples=lambda rng: [
            Sample((np.zeros(n), np.zeros(n)), {}, str(n)) for n in [(0,), (2, 0)]
        ],
        doc="The second input with the history of the first: what writing to a detached view does.",
        grad_name="AliasBackward0",
        batching=lambda examples, x, value: with_value(*all_batched(examples, (x, value))),
    )
)


number_primitive = Primitive(
    "number",
    ("x",),
    eager=np.asarray,
    infer=lambda x: Spec(x.shape, x.dtype, weak=True),
    derivative=transposes(lambda ct: ct),
    lowering=Template("{x}"),
    samples=lambda rng: [],
    doc="An element taken for a Python number, which takes part in promotion by its category.",
    grad_name="",
    batching=lambda examples, x: x,
)


def convert(x: Any, dtype: DType) -> Any:
    """Return `x` in `dtype`, `x` itself where it has it already; to bool, zero is False."""
    return x if x.dtype == dtype else cast(x, dtype=dtype)


@public()
def to(x: Tensor, dtype: npt.DTypeLike) -> Tensor:
    """Return `x` in another dtype.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dtype : dtype_like
        A supported dtype; a Tensor stands for its own dtype.

    Returns
    -------
    Tensor
        `x` itself where it has that dtype already. Gradients come back in the dtype of `x`.
    """
    wanted: Any = getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype
    result: Tensor = convert(x, as_dtype(wanted))
    return result


def _converter(name: str, dtype: DType) -> Callable[[Any], Any]:
    def converted(x: Any) -> Any:
        return convert(x, dtype)

    converted.__name__ = name
    converted.__doc__ = (
        f"Return `x` in {dtype.name}, `x` itself where it has that dtype already.\n\n"
        "Parameters\n----------\nx : Tensor\n    Any shape.\n\n"
        f"Returns\n-------\nTensor\n    In {dtype.name}.\n"
    )
    return converted


for _name, _dtype in {
    "float": float32, "double": float64, "int": int32, "long": int64, "bool": bool_
}.items():  # fmt: skip
    publish(_converter(_name, _dtype), _name, namespace="Tensor")


@public(namespace="Tensor")
def type_as(x: Tensor, other: Tensor) -> Tensor:
    """Return `x` in the dtype of `other`.

    Parameters
    ----------
    x, other : Tensor
        Any shapes.

    Returns
    -------
    Tensor
        `x` itself where it has that dtype already.
    """
    result: Tensor = convert(x, other.dtype)
    return result
