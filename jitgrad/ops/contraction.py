"""Products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.dtypes import result_dtype
from jitgrad.core.errors import ShapeError
from jitgrad.core.primitive import Contraction, Primitive, Sample, register, transposes
from jitgrad.core.shapes import broadcast_shapes
from jitgrad.core.spec import Spec
from jitgrad.ops.shape import permute_axes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def swap_last_axes(x: Any) -> Any:
    """Return the transpose of each matrix of a stack."""
    n = len(x.shape)
    return permute_axes(x, (*range(n - 2), n - 1, n - 2))


def _infer(x: Spec, y: Spec) -> Spec:
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(
            f"matmul: shapes {x.shape} and {y.shape} do not fit",
            why=f"the last axis of the first is {x.shape[-1]}, the axis before the last of the"
            f" second is {y.shape[-2]}; they must be equal",
            do="transpose one of them, for instance x @ y.T",
        )
    batch = broadcast_shapes("matmul", x.shape[:-2], y.shape[:-2])
    dtype = result_dtype([(x.dtype, x.ndim, False), (y.dtype, y.ndim, False)])
    return Spec((*batch, x.shape[-2], y.shape[-1]), dtype)


def _eager(x: Any, y: Any) -> Any:
    dtype = result_dtype([(x.dtype, x.ndim, False), (y.dtype, y.ndim, False)])
    return np.matmul(x.astype(dtype, copy=False), y.astype(dtype, copy=False))


def _samples(rng: np.random.Generator) -> list[Sample]:
    shapes = [
        ((2, 3), (3, 4)),
        ((1, 3), (3, 1)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((40, 50), (50, 30)),
    ]
    return [
        Sample((rng.uniform(-2, 2, a), rng.uniform(-2, 2, b)), {}, f"{a}@{b}") for a, b in shapes
    ]


# Matrices and stacks of matrices only; vectors get their axes in `matmul`.
matmul_stack = register(
    Primitive(
        "matmul",
        ("x", "y"),
        eager=_eager,
        infer=_infer,
        derivative=transposes(
            lambda ct, y: matmul_stack(ct, swap_last_axes(y)),
            lambda ct, x: matmul_stack(swap_last_axes(x), ct),
        ),
        lowering=Contraction(),
        samples=_samples,
        doc="Product of matrices, or of stacks of matrices whose leading axes broadcast.",
        grad_name="MmBackward0",
    )
)
