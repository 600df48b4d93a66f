"""Operations that move elements without computing: broadcasting, reshaping, transposing."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.errors import ShapeError
from jitgrad.core.extents import may_be_equal
from jitgrad.core.primitive import (
    Alias,
    Examples,
    IndexMap,
    Primitive,
    Sample,
    register,
    transposes,
)
from jitgrad.core.shapes import resolve_reshape
from jitgrad.core.spec import Shape, Spec


def _broadcast_infer(x: Spec, shape: Shape) -> Spec:
    return Spec(broadcast_target(x.shape, shape), x.dtype, x.weak)


def broadcast_target(shape: Shape, wanted: Shape, operation: str = "broadcast_to") -> Shape:
    """Return `wanted` with each -1 replaced by the size that `shape` has there.

    Raises
    ------
    ShapeError
        If `shape` does not broadcast to it.
    """
    added = len(wanted) - len(shape)
    resolved = tuple(
        shape[a - added] if n == -1 and a >= added else n for a, n in enumerate(wanted)
    )
    fits = added >= 0 and all(
        have == 1 or may_be_equal(have, want)
        for have, want in zip(shape, resolved[added:], strict=True)
    )
    if not fits or any(n < 0 for n in resolved):
        raise ShapeError(
            f"{operation}: shape {shape} does not broadcast to {wanted}",
            why="aligned from the right, each size must be equal or 1",
        )
    return resolved


def _broadcast_index(index: tuple[Affine, ...], x_spec: Spec, shape: Shape) -> tuple[Affine, ...]:
    added = len(index) - x_spec.ndim
    return tuple(
        Affine() if size == 1 else index[axis + added] for axis, size in enumerate(x_spec.shape)
    )


def _batched_broadcast(examples: Examples, x: Any, shape: Shape) -> Any:
    (spec,), (output,) = examples.specs, examples.outputs
    added = (1,) * (output.ndim - spec.ndim)
    aligned = reshape_to(x, (examples.count, *added, *spec.shape))
    return broadcast_to(aligned, (examples.count, *output.shape))


def _shaped(shapes: list[tuple[Shape, dict[str, Any]]]) -> Any:
    """Return samples: an array of each shape with static parameters."""

    def make(rng: np.random.Generator) -> list[Sample]:
        return [
            Sample((rng.uniform(-3, 3, shape),), params, f"{shape}-{list(params.values())}")
            for shape, params in shapes
        ]

    return make


broadcast_primitive: Primitive = register(
    Primitive(
        "broadcast_to",
        ("x",),
        eager=lambda x, shape: np.broadcast_to(
            x, broadcast_target(x.shape, shape) if -1 in shape else shape
        ),
        infer=_broadcast_infer,
        # Summing a cotangent back to its input's shape is the engine's work.
        derivative=transposes(lambda ct: ct),
        lowering=IndexMap(_broadcast_index),
        samples=_shaped(
            [
                ((), {"shape": (2, 3)}),
                ((3,), {"shape": (2, 3)}),
                ((2, 1), {"shape": (2, 3)}),
                ((1,), {"shape": (0,)}),
                ((2, 3), {"shape": (2, 3)}),
            ]
        ),
        doc="The input repeated along axes where it has size 1 or none.",
        grad_name="ExpandBackward0",
        view=True,
        merge=lambda first, second: second,
        batching=_batched_broadcast,
    )
)


def broadcast_to(x: Any, shape: Shape) -> Any:
    """Return `x` broadcast to `shape`, `x` itself where it has that shape."""
    return x if tuple(x.shape) == shape else broadcast_primitive(x, shape=shape)


def _reshape_index(index: tuple[Affine, ...], x_spec: Spec, shape: Shape) -> Any:
    """Return the input's index where only axes of size 1 come and go."""
    longer = [a for a, n in enumerate(shape) if n != 1]
    if [n for n in x_spec.shape if n != 1] != [shape[a] for a in longer]:
        return None
    moved = iter(longer)
    return tuple(Affine() if n == 1 else index[next(moved)] for n in x_spec.shape)


reshape_primitive: Primitive = register(
    Primitive(
        "reshape",
        ("x",),
        eager=lambda x, shape: np.reshape(x, shape),
        infer=lambda x, shape: Spec(resolve_reshape("reshape", x.shape, shape), x.dtype, x.weak),
        derivative=transposes(lambda ct, x_spec: reshape_to(ct, x_spec.shape)),
        lowering=Alias(_reshape_index),
        samples=_shaped(
            [
                ((), {"shape": (1,)}),
                ((6,), {"shape": (2, 3)}),
                ((2, 3), {"shape": (6,)}),
                ((2, 1, 3), {"shape": (2, 3)}),
                ((2, 3, 4), {"shape": (4, 6)}),
                ((0, 3), {"shape": (3, 0)}),
            ]
        ),
        doc="The same elements in the same order, in another shape.",
        grad_name="ViewBackward0",
        view=True,
        write_view=lambda base, part, shape: reshape_to(part, base.shape),
        merge=lambda first, second: second,
        batching=lambda examples, x, shape: reshape_to(
            x, (examples.count, *examples.outputs[0].shape)
        ),
    )
)


def reshape_to(x: Any, shape: Shape) -> Any:
    """Return `x` in `shape`, which has no -1; `x` itself where it has that shape."""
    return x if tuple(x.shape) == shape else reshape_primitive(x, shape=shape)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(a) for a in np.argsort(axes))


def _permute_index(
    index: tuple[Affine, ...], x_spec: Spec, axes: tuple[int, ...]
) -> tuple[Affine, ...]:
    return tuple(index[axes.index(axis)] for axis in range(x_spec.ndim))


permute_primitive: Primitive = register(
    Primitive(
        "permute",
        ("x",),
        eager=lambda x, axes: np.transpose(x, axes),
        infer=lambda x, axes: Spec(tuple(x.shape[a] for a in axes), x.dtype),
        derivative=transposes(lambda ct, axes: permute_axes(ct, _inverse(axes))),
        lowering=IndexMap(_permute_index),
        samples=_shaped(
            [
                ((2, 3), {"axes": (1, 0)}),
                ((2, 3, 4), {"axes": (2, 0, 1)}),
                ((2, 0), {"axes": (1, 0)}),
                ((3,), {"axes": (0,)}),
            ]
        ),
        doc="The input with its axes in another order.",
        grad_name="PermuteBackward0",
        view=True,
        write_view=lambda base, part, axes: permute_axes(part, _inverse(axes)),
        merge=lambda first, second: {"axes": tuple(first["axes"][axis] for axis in second["axes"])},
        batching=lambda examples, x, axes: permute_axes(x, (0, *[a + 1 for a in axes])),
    )
)


def permute_axes(x: Any, axes: tuple[int, ...]) -> Any:
    """Return `x` with axis number ``axes[k]`` as its axis `k`; `x` itself if nothing moves."""
    return x if axes == tuple(range(len(axes))) else permute_primitive(x, axes=axes)
