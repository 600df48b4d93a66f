"""The Tensor that a Module counts as its own, to be found by `Module.parameters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy.typing as npt

from jitgrad.core.dtypes import as_dtype
from jitgrad.tensor.tensor import Tensor

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike


class Parameter(Tensor):
    """A Tensor to be trained: a leaf that requires a gradient and belongs to a Module.

    Parameters
    ----------
    data : array_like
        First values, any shape; an array or Tensor shares its memory with the parameter.
    requires_grad : bool
        False for values that belong to the module and stay as they are.

    Raises
    ------
    DtypeError
        If `requires_grad` is asked for a dtype that is not floating.

    Examples
    --------
    >>> import jitgrad
    >>> class Scale(jitgrad.nn.Module):
    ...     def __init__(self):
    ...         self.factor = jitgrad.nn.Parameter([1.0, 2.0])
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        super().__init__(data.detach() if isinstance(data, Tensor) else data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def convert_(self, dtype: npt.DTypeLike) -> Parameter:
        """Change the dtype of the values and of the gradient, and return the parameter itself.

        Parameters
        ----------
        dtype : dtype_like
            A floating dtype. An optimizer made before has its state in the dtype of then.

        Returns
        -------
        Parameter
            The same object, so that what refers to it still does.
        """
        wanted = as_dtype(dtype)
        if wanted == self.dtype:
            return self
        requires_grad, grad = self.requires_grad, self.grad
        Tensor.__init__(self, self.detach().numpy().astype(wanted))
        self.requires_grad_(requires_grad)
        if grad is not None:
            self.grad = Tensor(grad.detach().numpy().astype(wanted))
        return self
