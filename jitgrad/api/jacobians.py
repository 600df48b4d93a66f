"""Whole matrices of derivatives: `jacrev`, `jacfwd`, `hessian`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.api.autodiff import Argnums, immediately, is_numpy_program
from jitgrad.api.directional import linearize, vjp
from jitgrad.api.vmap import vmap
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import flatten, map_tree, unflatten
from jitgrad.ops.creation import eye, ones
from jitgrad.ops.rearranging import movedim
from jitgrad.syntax.calls import callee
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.immediate import NeedsHistoryError


def jacrev(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the Jacobian of `function`, all rows at once.

    It is `jitgrad.vmap` of the sweep back; where arguments have fewer elements than values,
    `jacfwd` has less to do.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Jacobian, or ``(jacobian, aux)``. It has the
        structure of the value, with the structure of the argument in place of each Tensor, a tuple
        of such if `argnums` is a sequence; the shapes are those of value and argument joined.

    Raises
    ------
    ArgumentError
        If there is no argument of such a number, when called.
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.jacrev(lambda x: x * x)(jitgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    several = not isinstance(argnums, int)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _by_chosen("jacrev", function, argnums, args, kwargs)
        if is_numpy_program(primals):
            with contextlib.suppress(NeedsHistoryError):
                return immediately(differentiated, args, kwargs)
        value, back, *aux = vjp(of_chosen, *primals, has_aux=has_aux)
        outputs, tree = flatten(value)
        blocks = [_rows(back, outputs, tree, k) for k in range(len(outputs))]
        jacobian = unflatten(tree, [block if several else block[0] for block in blocks])
        return (jacobian, *aux) if has_aux else jacobian

    return differentiated


def jacfwd(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the Jacobian of `function`, all columns at once.

    It is `jitgrad.vmap` of the products with unit directions, the better choice where arguments
    have fewer elements than values.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns what `jacrev` does.

    Raises
    ------
    ArgumentError
        If there is no argument of such a number, when called.
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.jacfwd(lambda x: jitgrad.stack([x, x * x, x**3]))(jitgrad.tensor(2.0))
    tensor([ 1.,  4., 12.])
    """
    several = not isinstance(argnums, int)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        of_chosen, primals = _by_chosen("jacfwd", function, argnums, args, kwargs)
        if is_numpy_program(primals):
            with contextlib.suppress(NeedsHistoryError):
                return immediately(differentiated, args, kwargs)
        value, forward, *aux = linearize(of_chosen, *primals, has_aux=has_aux)
        leaves, structure = flatten(primals)
        tensors = [box_tensor(leaf) for leaf in leaves]
        columns = [_columns(forward, tensors, structure, k) for k in range(len(tensors))]
        outputs, tree = flatten(value)
        blocks = [unflatten(structure, [c[k] for c in columns]) for k in range(len(outputs))]
        jacobian = unflatten(tree, [block if several else block[0] for block in blocks])
        return (jacobian, *aux) if has_aux else jacobian

    return differentiated


def hessian(function: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return a function that gives the second derivatives of `function`.

    It is the Jacobian of the gradient, all rows at once.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them, most often one number.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Jacobian of its Jacobian, in the structure
        that `jacrev` gives.

    Raises
    ------
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.hessian(lambda x: (x * x).sum() + x[0] * x[1])(jitgrad.tensor([1.0, 2.0]))
    tensor([[2., 1.],
            [1., 2.]])
    """
    return jacrev(jacrev(function, argnums), argnums)


def _by_chosen(
    name: str,
    function: Callable[..., Any],
    argnums: Argnums,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return `function` as one of the arguments to differentiate by, and these."""
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise ArgumentError(
                f"{name}: the function was called with {len(args)} positional arguments",
                why=f"argnums asks for number {number}",
                do="pass the arguments to differentiate by positionally",
            )

    def of_chosen(*chosen: Any) -> Any:
        arguments = list(args)
        for number, argument in zip(numbers, chosen, strict=True):
            arguments[number] = argument
        return callee(function)(*arguments, **kwargs)

    return of_chosen, tuple([args[k] for k in numbers])


def _rows(back: Callable[[Any], Any], outputs: list[Tensor], tree: Any, number: int) -> Any:
    """Return the derivatives of output `number`, in the structure of the arguments."""
    output = outputs[number]

    def row(ct: Any) -> Any:
        cts = [ct if k == number else Tensor.zeros_of(y.spec) for k, y in enumerate(outputs)]
        return back(unflatten(tree, cts))

    rows = _along_units(row, output)
    return map_tree(lambda x: x.reshape((*output.shape, *x.shape[1:])), rows)


def _columns(
    forward: Callable[..., Any], tensors: list[Tensor], structure: Any, number: int
) -> list[Tensor]:
    """Return the derivatives of each output by the argument's leaf of some number."""
    by = tensors[number]

    def column(tangent: Any) -> Any:
        ts = [tangent if k == number else Tensor.zeros_of(x.spec) for k, x in enumerate(tensors)]
        return forward(*unflatten(structure, ts))

    columns, _ = flatten(_along_units(column, by))
    return [movedim(x, 0, -1).reshape((*x.shape[1:], *by.shape)) for x in columns]


def _along_units(function: Callable[[Any], Any], like: Tensor) -> Any:
    """Return a linear function of each Tensor with one 1 and else zeros, along a first axis."""
    if not like.shape:
        # There is one direction, and nothing to do at once.
        return map_tree(lambda x: x.reshape((1, *x.shape)), function(ones((), dtype=like.dtype)))
    count = like.numel()
    return vmap(function)(eye(count, dtype=like.dtype).reshape((count, *like.shape)))
