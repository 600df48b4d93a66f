"""Functions of nested parameters in the form that `scipy.optimize` takes: flat float64 vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.api.autodiff import value_and_grad
from jitgrad.api.decorator import compile
from jitgrad.core.dtypes import float64, is_floating
from jitgrad.core.errors import DtypeError, GradientError
from jitgrad.core.tree import flatten, unflatten
from jitgrad.tensor.backward import gradients_of
from jitgrad.tensor.modes import enable_grad, no_grad
from jitgrad.tensor.tensor import Tensor, make_tensor

Array = np.ndarray[Any, Any]


class _Flat:
    """Nested parameters as one vector; base of what is handed to SciPy.

    Parameters
    ----------
    parameters : nested structure
        Where the search begins.
    """

    def __init__(self, parameters: Any) -> None:
        leaves, self._tree = flatten(parameters)
        self._leaves = [_as_array(leaf) for leaf in leaves]
        self._kinds = [type(leaf) for leaf in leaves]
        self.x0 = self.ravel(parameters)

    def ravel(self, parameters: Any) -> Array:
        """Return nested parameters as one vector.

        Parameters
        ----------
        parameters : nested structure
            Of the structure and shapes that the search begins with.

        Returns
        -------
        numpy.ndarray, float64
            All elements, one parameter after the other, in row-major order.
        """
        leaves, _ = flatten(parameters)
        parts = [_as_array(leaf).astype(float64).ravel() for leaf in leaves]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unravel(self, x: Any) -> Any:
        """Return a vector as nested parameters.

        Parameters
        ----------
        x : array_like, one axis
            Such as ``result.x`` of SciPy.

        Returns
        -------
        nested structure
            Structure, shapes, dtypes and kinds (Tensor, array, float) as the search begins with,
            in memory of its own.
        """
        parts = zip(self._tensors(x), self._kinds, strict=True)
        return unflatten(self._tree, [_as_kind(part, kind) for part, kind in parts])

    def _tensors(self, x: Any) -> list[Tensor]:
        """Return the parameters of a vector as Tensors; floats, too, so that they stay float64."""
        flat = np.array(x, float64)
        parts: list[Tensor] = []
        start = 0
        for array in self._leaves:
            end = start + array.size
            part = flat[start:end].reshape(array.shape).astype(array.dtype, copy=False)
            parts.append(make_tensor(part))
            start = end
        return parts


class FlatObjective(_Flat):
    """A function to be minimised, as `scipy.optimize.minimize` takes it with ``jac=True``.

    Parameters
    ----------
    function : callable
        Takes nested parameters, all as Tensors, and further arguments if any; returns one number.
        It is compiled together with its gradient.
    parameters : dict, list, tuple, or any nested structure
        Where the search begins: floating arrays, Tensors and floats.

    Attributes
    ----------
    x0 : numpy.ndarray, float64
        `parameters` as one vector.

    Raises
    ------
    DtypeError
        If one of `parameters` is not floating.

    Examples
    --------
    >>> import scipy.optimize
    >>> from jitgrad.interop import FlatObjective
    >>> f = FlatObjective(lambda p: (p["a"] - 1.0) ** 2 + (p["b"] + 2.0) ** 2, {"a": 0.0, "b": 0.0})
    >>> found = scipy.optimize.minimize(f.fun, f.x0, jac=True, method="L-BFGS-B")
    >>> {name: round(value, 3) for name, value in f.unravel(found.x).items()}
    {'a': 1.0, 'b': -2.0}
    """

    def __init__(self, function: Callable[..., Any], parameters: Any) -> None:
        super().__init__(parameters)
        self._both = compile(value_and_grad(function))

    def fun(self, x: Any, *args: Any) -> tuple[float, Array]:
        """Return value and gradient.

        Parameters
        ----------
        x : array_like, one axis
            Parameters as one vector.
        *args
            Further arguments of the function; ``args`` of SciPy.

        Returns
        -------
        tuple of float and numpy.ndarray
            The value, and its gradient as float64 of the shape of `x`.
        """
        value, gradient = self._both(unflatten(self._tree, self._tensors(x)), *args)
        return float(value), self.ravel(gradient)


class FlatResiduals(_Flat):
    """A function of several results, as `scipy.optimize.least_squares` and ``root`` take it.

    Give them ``fun`` and ``jac`` of this object: ``least_squares(r.fun, r.x0, r.jac)``.

    Parameters
    ----------
    function : callable
        Takes nested parameters, all as Tensors, and further arguments if any; returns a floating
        Tensor of any shape. It is compiled.
    parameters : dict, list, tuple, or any nested structure
        Where the search begins: floating arrays, Tensors and floats.

    Attributes
    ----------
    x0 : numpy.ndarray, float64
        `parameters` as one vector.

    Raises
    ------
    DtypeError
        If one of `parameters` is not floating.

    Examples
    --------
    >>> import numpy, scipy.optimize
    >>> from jitgrad.interop import FlatResiduals
    >>> r = FlatResiduals(lambda p: p * p - numpy.array([4.0, 9.0]), numpy.array([1.0, 1.0]))
    >>> scipy.optimize.root(r.fun, r.x0, jac=r.jac).x.round(3)
    array([2., 3.])
    """

    def __init__(self, function: Callable[..., Any], parameters: Any) -> None:
        super().__init__(parameters)
        self._function = compile(function)

    def fun(self, x: Any, *args: Any) -> Array:
        """Return the results.

        Parameters
        ----------
        x : array_like, one axis
            Parameters as one vector.
        *args
            Further arguments of the function; ``args`` of SciPy.

        Returns
        -------
        numpy.ndarray, float64, one axis
            In row-major order.
        """
        with no_grad():
            return _as_array(self._output(self._tensors(x), args)).astype(float64).ravel()

    def jac(self, x: Any, *args: Any) -> Array:
        """Return the derivative of each result by each element of the vector.

        The compiled adjoint runs once for each result.

        Parameters
        ----------
        x : array_like, one axis
            Parameters as one vector.
        *args
            Further arguments of the function.

        Returns
        -------
        numpy.ndarray, float64, (number of results, size of `x`)
            The Jacobian matrix.
        """
        leaves = [part.requires_grad_() for part in self._tensors(x)]
        with enable_grad():
            output = self._output(leaves, args)
        result = np.zeros((output.numel(), self.x0.size))
        if output.requires_grad:
            for row, ct in zip(result, np.eye(len(result), dtype=output.dtype), strict=True):
                cts = [make_tensor(ct.reshape(output.shape))]
                found = gradients_of(
                    [output],
                    leaves,
                    cts,
                    retain_graph=True,
                    create_graph=False,
                    allow_unused=True,
                )
                row[:] = np.concatenate(
                    [
                        np.zeros(leaf.numel()) if g is None else g.numpy().ravel()
                        for g, leaf in zip(found, leaves, strict=True)
                    ]
                )
        return result

    def _output(self, tensors: list[Tensor], args: tuple[Any, ...]) -> Tensor:
        output = self._function(unflatten(self._tree, tensors), *args)
        if not isinstance(output, Tensor):
            raise GradientError(
                f"FlatResiduals: the function returned {type(output).__name__}",
                why="it is given Tensors and must return one, whose derivative is taken",
                do="compute with jitgrad's functions and operators; stack() joins several results",
            )
        return output


def _as_kind(part: Tensor, kind: type) -> Any:
    """Return a parameter as what was given: a Tensor, an array or a float."""
    if issubclass(kind, Tensor):
        return part
    return part.numpy() if kind is np.ndarray else part.item()


def _as_array(leaf: Any) -> Array:
    array = leaf.detach().numpy() if isinstance(leaf, Tensor) else leaf
    if type(array) is float or isinstance(array, np.floating):
        array = np.asarray(array)
    if not isinstance(array, np.ndarray) or not is_floating(array.dtype):
        raise DtypeError(
            f"scipy: {type(leaf).__name__} of dtype {getattr(array, 'dtype', 'none')} is found"
            " where floats belong",
            why="SciPy searches over real numbers",
            do="pass floating arrays, Tensors and floats; others as further arguments",
        )
    return array
