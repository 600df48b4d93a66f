"""Drawing from given probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.ops.arithmetic import div, neg
from jitgrad.ops.cast import stop_gradient
from jitgrad.ops.creation import check_floating
from jitgrad.ops.exponential import log
from jitgrad.ops.ordering import topk
from jitgrad.ops.quantiles import search_primitive
from jitgrad.ops.random import rand
from jitgrad.ops.scans import cumsum
from jitgrad.ops.selection import at_most
from jitgrad.ops.shape import broadcast_to
from jitgrad.ops.slicing import slice_primitive, whole_index

if TYPE_CHECKING:
    from jitgrad.ops.generators import Generator
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public()
def multinomial(
    x: ArrayLike, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Return indices drawn at random, each with the weight that it has in `x`.

    Parameters
    ----------
    x : array_like, shape (n,) or (m, n), floating
        Weights, not negative; they need not add up to one.
    num_samples : int
        How many to draw from each row.
    replacement : bool
        Whether an index may be drawn again.
    generator : Generator, optional
        Draw from this one; from the process's own where not given.

    Returns
    -------
    Tensor of int64, shape (num_samples,) or (m, num_samples)

    Raises
    ------
    ShapeError
        If `x` has another number of axes.
    ArgumentError
        If more indices are wanted than there are, without replacement.
    """
    weights = stop_gradient(box(x))
    check_floating("multinomial", weights.dtype)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: weights of shape {tuple(weights.shape)}")
    axis = normalize_axis("multinomial", -1, weights.ndim)
    *outer, size = weights.shape
    if num_samples < 1 or (not replacement and num_samples > size):
        raise ArgumentError(
            f"multinomial: {num_samples} indices of {size} are wanted",
            why="each is drawn once without replacement",
        )
    if not replacement:
        # The smallest of exponential times, each at the rate of its weight, come first.
        chance = rand(tuple(weights.shape), dtype=weights.dtype, generator=generator)
        return topk(div(weights, neg(log(chance))), num_samples, -1).indices
    total = cumsum(weights, -1)
    whole = whole_index(tuple(total.shape))
    last = slice_primitive(total, index=(*whole[:axis], ("range", size - 1, 1, 1)))
    chance = rand((*outer, num_samples), dtype=weights.dtype, generator=generator)
    found = search_primitive(total, chance * broadcast_to(last, (*outer, num_samples)), right=True)
    # where rounding carries a number up to the sum of all weights
    result: Tensor = at_most(found, size - 1)
    return result
