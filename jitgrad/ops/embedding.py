"""Rows of a matrix by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.ops.cast import stop_gradient
from jitgrad.ops.indexing import index_tensor
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rearranging import unsqueeze
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.taking import take

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="nn.functional")
def embedding(
    input: ArrayLike,
    weight: ArrayLike,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a matrix that indices name.

    Parameters
    ----------
    input : array_like of int
        Any shape; from 0 to n - 1.
    weight : array_like, shape (n, d)
        The rows.
    padding_idx : int, optional
        A row that gets no gradient; negative numbers count from the end.
    max_norm, scale_grad_by_freq, sparse : optional
        For PyTorch's signature; only their defaults are possible.
    norm_type : float
        Without effect.

    Returns
    -------
    Tensor, shape (*shape of `input`, d)

    Raises
    ------
    IndexingError
        If an index is out of range, or `input` does not hold integers.
    ShapeError
        If `weight` is no matrix.
    ArgumentError
        If something is asked for that is not there.
    """
    places, rows = index_tensor("embedding", input), box(weight)
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise ArgumentError(
            "embedding: max_norm, scale_grad_by_freq and sparse are not there",
            do="leave them out; the rows can be scaled before",
        )
    if rows.ndim != 2:
        raise ShapeError(f"embedding: a weight of shape {tuple(rows.shape)}", why="it has two axes")
    taken = take(rows, reshape_to(places, (1, *places.shape)), axes=(0,))
    if padding_idx is not None:
        padding = padding_idx % rows.shape[0] if rows.shape[0] else padding_idx
        taken = select(unsqueeze(places, -1) == padding, stop_gradient(taken), taken)
    return shown_as("EmbeddingBackward0", taken)
