"""A table of vectors, looked up by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy.typing as npt

from jitgrad.nn.init import normal_
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.creation import zeros
from jitgrad.ops.embedding import embedding
from jitgrad.tensor.modes import no_grad

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class Embedding(Module):
    """Vectors that belong to numbers, such as those of words.

    Parameters
    ----------
    num_embeddings : int
        How many vectors.
    embedding_dim : int
        Their length.
    padding_idx : int, optional
        A number whose vector is zero at first, and is not trained.
    dtype : dtype_like, optional
        Dtype of the parameter; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        First values normally distributed.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.Embedding(10, 3)(jitgrad.tensor([[1, 2], [4, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the vectors of the numbers `x`."""
        return embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
