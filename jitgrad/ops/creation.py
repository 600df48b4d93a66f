"""Tensors made from sizes and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.dtypes import DType
from jitgrad.core.primitive import Fill, Primitive, Sample, none, register
from jitgrad.core.spec import Shape, Spec

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

full_primitive = register(
    Primitive(
        "full",
        (),
        eager=lambda shape, value, dtype: np.full(shape, value, dtype),
        infer=lambda shape, value, dtype: Spec(shape, dtype),
        derivative=none("it has no inputs"),
        lowering=Fill(),
        samples=lambda rng: [
            Sample((), {"shape": shape, "value": 1.5, "dtype": np.dtype(np.float64)})
            for shape in [(), (0,), (2, 3)]
        ],
        doc="An array of one number.",
        grad_name="",
    )
)
